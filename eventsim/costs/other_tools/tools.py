"""Tools: how each tool counts the values that arrive at a synaptic module.

Read in the sources of sinabs 3.1.3 (`hooks.register_synops_hooks`), NeuroBench 2.3.0
(`SynapticOperations`), SpikingJelly 2.0.0 (`op_counter.SynOpCounter`, `MACCounter`) and syops 0.0.5
(`ops`), and compared with them number by number in tests/test_tools_live.py. F is the real fan-out
of an input, which is smaller at borders.

| convention | counts | w = 0 | borders | graded x | real x | bias |
|---|---|---|---|---|---|---|
| sinabs synops | sum of x F, mean over samples and steps | counted | real | x value | x value | no |
| NeuroBench effective | pairs with x != 0 and w != 0 (1) | left out | real | MAC, 1 each | MAC | no |
| NeuroBench dense | all pairs | counted | real | - | - | no |
| SpikingJelly SynOp | nnz(x) F (2) | counted | real | 0 | 0 | no |
| SpikingJelly MAC | dense, or 0 (2) | counted | padding included | dense | dense | no |
| syops ACs | dense x mean of x (3) | counted | padding included | 0 | 0 | yes |
| syops MACs | dense, or 0 (3) | counted | padding included | dense | dense | yes |

(1) ACs in calls whose x are all -1, 0 or 1, else MACs. (2) SynOps in calls whose x are all 0 or 1, MACs
in the others. (3) ACs in calls whose x have at most two values, from 0 to 1; MACs in the others.

What the sources do besides, and we with them:

* sinabs counts Conv2d and Linear, not Conv1d, and lets negative x cancel positive ones. It multiplies
  what a module counts by the windows of the average pools (2d) since the last module with weights,
  even where neurons stand between the two.
* NeuroBench adds up in float32, which is exact only to 2^24 per call; we are exact.
* SpikingJelly takes weights that are all 0 or 1 for spikes, too: pairs with x = 1 and w = 1 are SynOps
  where both are, nonzero weights x outputs (padding included) where only the weights are, and neither
  makes MACs.
* syops adds the bias of a Linear once per call, whatever the batch, and that of a convolution once per
  output; both are multiplied with the mean, too. Inputs such as {0, 0.5} pass for spikes.
"""

from typing import NamedTuple

import numpy as np

from eventsim.costs.fanouts import FanOuts


class Convention(NamedTuple):
    """tool and count: names. short: for tables. per: what the tool divides by, "step" (of a sample),
    "sample", or "" for nothing. differs: where it departs from ours."""

    tool: str
    count: str
    short: str
    per: str
    differs: str

    @property
    def unit(self):
        """What the numbers count, in words."""
        return f"operations per {self.per}" if self.per else "operations of the whole run"


CONVENTIONS = {
    "sinabs": Convention(
        "sinabs", "synops", "synops", "step",
        "synops, but each event counts as its value: level x quantum, pixels as they are normalised, "
        "negative ones cancelling"),
    "neurobench_acs": Convention(
        "NeuroBench", "effective_acs", "effective ACs", "sample",
        "nonzero_synops where a call has only -1, 0 and 1"),
    "neurobench_macs": Convention(
        "NeuroBench", "effective_macs", "effective MACs", "sample",
        "nonzero_synops of all other calls, multi-bit spikes among them, which we only add"),
    "neurobench_dense": Convention("NeuroBench", "dense", "dense", "sample", "dense_macs"),
    "spikingjelly_synops": Convention(
        "SpikingJelly", "synops", "SynOps", "",
        "synops where a call has only 0 and 1, else nothing"),
    "spikingjelly_macs": Convention(
        "SpikingJelly", "macs", "MACs", "",
        "all other calls as if dense, padding included; we count no MACs but of real-valued input"),
    "syops_acs": Convention(
        "syops", "acs", "ACs", "sample",
        "dense x mean input where a call is binary: padding and bias counted, fan-outs averaged"),
    "syops_macs": Convention(
        "syops", "macs", "MACs", "sample", "all other calls as if dense, padding and bias counted"),
}


class Calls(NamedTuple):
    """Values as a tool is called with them. x: float64 (groups, samples, T, inputs): one call for each
    group and step."""

    x: np.ndarray

    @staticmethod
    def of(values, batch):
        """Yield the calls of values (n, T, *shape) in groups of `batch` samples, the last one smaller."""
        n, steps = values.shape[:2]
        n_full = n // batch * batch
        for part, size in ((values[:n_full], batch), (values[n_full:], n - n_full)):
            if len(part):
                yield Calls(part.reshape(-1, size, steps, part[0, 0].size))

    def all(self, condition):
        """Return bool (groups, T): whether the condition holds for all values of a call."""
        return condition.all(axis=(1, 3))


class SynapticModule(NamedTuple):
    """What the tools know of a synaptic module. kind: of the node. binary_weights: all are 0 or 1.
    nonzero_weights: how many are not 0. pool_factor: see `_pool_factor`."""

    kind: str
    fans: FanOuts
    binary_weights: bool
    nonzero_weights: int
    has_bias: bool
    pool_factor: int

    def counts(self, calls: Calls):
        """Return {key of CONVENTIONS: sum over all calls}."""
        x = calls.x
        # (groups, samples, T) with the fan-out, each by itself, so that no order of batches shows
        effective = ((x != 0) * self.fans.nonzero.reshape(-1)).sum(axis=3)
        arriving = ((x != 0) * self.fans.real.reshape(-1)).sum(axis=3)
        sums = {} if self.kind == "Conv1d" else {
            "sinabs": float((x * self.fans.real.reshape(-1)).sum(axis=3).sum()) * self.pool_factor
        }
        ternary = calls.all((x == 0) | (np.abs(x) == 1))
        per_call = effective.sum(axis=1)
        n_pairs = x.shape[0] * x.shape[1] * x.shape[2]
        sums["neurobench_acs"] = int(per_call[ternary].sum())
        sums["neurobench_macs"] = int(per_call[~ternary].sum())
        sums["neurobench_dense"] = self.fans.dense * n_pairs
        return {**sums, **self._spikingjelly(calls, effective, arriving), **self._syops(calls)}

    def _spikingjelly(self, calls, effective, arriving):
        binary = calls.all((calls.x == 0) | (calls.x == 1))
        n_samples = calls.x.shape[1]
        others = int((~binary).sum()) * n_samples  # samples and steps of the calls that are not binary
        if not self.binary_weights:
            return {"spikingjelly_synops": int(arriving.sum(axis=1)[binary].sum()),
                    "spikingjelly_macs": others * self.fans.padded}
        each = self.nonzero_weights
        if self.kind != "Dense":  # a kernel's weight is used once per output position
            each *= self.fans.positions
        return {"spikingjelly_synops": int(effective.sum(axis=1)[binary].sum()) + others * each,
                "spikingjelly_macs": 0}

    def _syops(self, calls):
        x = calls.x
        lowest, highest = x.min(axis=(1, 3)), x.max(axis=(1, 3))
        ends = (lowest[:, None, :, None], highest[:, None, :, None])
        spikes = calls.all((x == ends[0]) | (x == ends[1])) & (lowest >= 0) & (highest <= 1)
        n_samples = x.shape[1]
        operations = self.fans.padded * n_samples
        if self.has_bias:
            operations += self.fans.outputs * (1 if self.kind == "Dense" else n_samples)
        means = x.sum(axis=3).sum(axis=1) / (n_samples * x.shape[3])
        return {"syops_acs": float((means[spikes] * operations).sum()),
                "syops_macs": operations * int((~spikes).sum())}
