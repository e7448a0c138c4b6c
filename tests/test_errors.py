"""Every `raise` between a node's parameter and a run, reached by a case that matches its message.

The last test compares the lines that the cases reached with all `raise` statements of the sources.
"""

import re
import tempfile
from pathlib import Path

import numpy as np
import pytest
from raised import errors_of, raises_of

from eventsim import (
    Add, Alpha, AvgPool, BatchNorm, Concat, Conv1d, Conv2d, ConvTranspose2d, DataError, Delay, Dense, EventBins,
    Flatten, FormatError, Input, MaxPool, Model, ModelError, Neuron, Chip, Readout, Restimulation, RunError,
    SigmaDelta, Simulator, SumPool, UnsupportedError, Upsample,
)
from eventsim.engine import processor
from eventsim.model.chip import find_chip

MODULES = (
    "model.parameters", "model.node", "model.neurons", "model.synapses", "model.transforms", "model.input",
    "model.chip", "model.network", "lowering.overflow", "lowering.rounding", "lowering.scales", "lowering.linear",
    "lowering.units", "lowering.rules", "lowering.layers", "lowering.folding", "lowering.firing",
    "lowering.stages", "lowering.layout", "lowering.recipe", "statistics.ranges", "program", "engine.attention",
    "engine.counting", "engine.synchronous", "engine.recorder", "engine.simulator", "engine.arithmetic",
    "engine.executing", "engine.batches", "engine.resuming", "engine.processor",
)


def ones(*shape):
    return np.ones(shape)


def model(nodes, edges=None, precision=None, **settings):
    """The Model, or its Simulator at a precision; a chain where no edges are given."""
    names = list(nodes)
    built = Model(nodes, list(zip(names, names[1:])) if edges is None else edges, **settings)
    return built if precision is None else Simulator(built, precision)


def chain(*nodes, precision=None):
    """Nodes in a row; the first is the Input, or the shape of one."""
    first = nodes[0] if isinstance(nodes[0], Input) else Input(nodes[0])
    names = ["in", *"abcdefgh"]
    return model(dict(zip(names, (first, *nodes[1:]))), precision=precision)


def lowered(*nodes, precision="float32"):
    return chain(*nodes, precision=precision)


def norm(n):
    return BatchNorm(ones(n), ones(n), ones(n), ones(n))


MAP = (2, 4, 4)
CONV = Conv2d(ones(3, 2, 3, 3))
IN, N = Input(MAP), Neuron()


class Unknown(Flatten):
    """A node that nothing lowers."""

    kind = "Unknown"


class Batches:
    """What a loader offers, with nothing in it."""

    dataset, batch_size = (), 1

    def __iter__(self):
        return iter(())


def small(precision="float32", **options):
    return lowered((2,), Dense(ones(3, 2)), Neuron(**options), precision=precision)


def unequal_sum(*after):
    """Two trains of different quanta, added."""
    nodes = {"in": IN, "n": Neuron(0.5, quantum=0.5), "add": Add()}
    nodes.update({f"z{i}": node for i, node in enumerate(after)})
    names = list(nodes)[2:]
    return model(nodes, [("in", "n"), ("in", "add"), ("n", "add"), *zip(names, names[1:])], "float32")


def run_with_state(change):
    sim = small()
    x = ones(2, 2).astype(int)
    state = sim.run(x).state
    change(state)
    return sim.run(x, state=state)


def in_another_mode(probes, kind=np.float32):
    """A run whose processor seems to add otherwise; `tests/engine/test_processes.py` does set its modes."""
    simulator = small()
    with pytest.MonkeyPatch.context() as patch:
        for seen in (probes, processor.PROBES):
            patch.setitem(seen, np.dtype(kind), seen[np.dtype(kind)]._replace(expected=b""))
        simulator.run([[1, 1]])


# (what is done, kind of error, message)
def _tiny(encoding="spikes", weight=1.0):
    return Model({"i": Input((1,), encoding), "d": Dense([[weight]]), "o": Readout("sum")},
                 [("i", "d"), ("d", "o")])


def _with_sums(sums):
    simulator = Simulator(_tiny())
    state = simulator.run([[1], [0]]).state
    state.sums = sums
    simulator.run([[1], [0]], state=state)


def _with_step(step):
    simulator = Simulator(_tiny())
    state = simulator.run([[1]]).state
    state.step = step
    simulator.run([[1]], state=state)


def _with_refractory_counter():
    simulator = Simulator(Model({"i": Input((2,)), "n": Neuron(refractory=2)}, [("i", "n")]))
    state = simulator.run([[1, 1]]).state
    state.waiting["n"][:] = 7
    simulator.run([[1, 1]], state=state)


def _under(node=None, levels=1, input_bits=1, weight=1.0, **fields):
    """A Dense of 4 inputs into one neuron, run for 3 steps under a chip of these fields."""
    chip = Chip("chip", **fields)
    source = Input((4,), bits=input_bits)
    simulator = Simulator(
        Model({"in": source, "w": Dense(weight * ones(1, 4)), "a": node or Neuron()},
              [("in", "w"), ("w", "a")]), chip=chip)
    return simulator.run(levels * np.ones((1, 4), int), timesteps=3)


def _chip_text(tmp, text):
    path = Path(tmp) / "chip.json"
    path.write_text(text)
    return find_chip(str(path))


def _read_chip(text):
    with tempfile.TemporaryDirectory() as tmp:
        return _chip_text(tmp, text)


def _delayed(delay, node=None):
    nodes = {"in": Input((4,)), "d": node or Delay(0), "a": Neuron()}
    return Simulator(Model(nodes, [("in", "d", delay), ("d", "a")]), chip="loihi")


CASES = [
    # neurons with currents, sigma-delta, delays of neurons
    (lambda: Neuron(current_leak=1.5), ModelError, "current_leak has a value outside 0 to 1 .* current"),
    (lambda: Neuron(resolution=0), ModelError, "resolution is 0.0, expected integer steps per unit"),
    (lambda: Neuron(reset_interval=4, reset_offset=4), ModelError, "reset_offset is 4, .* from 0 to 3"),
    (lambda: SigmaDelta(quantum=0), ModelError, "quantum is 0.0, expected a value above 0"),
    (lambda: Alpha(0.9, 0.5, output_quantum=0), ModelError, "output_quantum has a value that is not above 0"),
    (lambda: Alpha(1.1, 0.5), ModelError,
     r"excitatory_leak has a value outside 0 to 1 \(it is the factor on the exc"),
    (lambda: Alpha(0.9, 0.5, reset="none"), ModelError, "reset is 'none', expected one of 'soft', 'hard'"),
    (lambda: Simulator(chain(Input(1), Alpha(0.9, 0.5)), "int8"), UnsupportedError,
     r"node 'a' \(Alpha\): its resets have no fixed point; run it in float32"),
    (lambda: SigmaDelta(v_threshold=-1), ModelError, "v_threshold has a value below 0"),
    (lambda: SigmaDelta("sigma"), ModelError, "mode is 'sigma', expected one of"),
    (lambda: chain(MAP, Delay(ones(3))), ModelError, r"node 'a' \(Delay\): steps has shape \(3,\)"),
    (lambda: lowered(Input(MAP, "image", mean=0.5), Delay([0, 1]), N), UnsupportedError,
     r"node 'a' \(Delay\): delays single neurons of values whose zero is shifted \(mean or BatchNorm\); it takes "
     "spikes"),

    # chips
    (lambda: Chip(""), ModelError, "name is '', expected the name of a chip"),
    (lambda: Chip("a", description=1), ModelError, "description is 1, expected text"),
    (lambda: Chip("a", signed_spikes=1), ModelError, "signed_spikes is 1, expected true or false"),
    (lambda: Chip("a", weight_bits=2, weight_step=2), ModelError,
     "weight_step is 2, but a weight of 2 bits reaches only 1"),
    (lambda: Chip("int8"), ModelError, "name is 'int8', which is a precision, expected another name for the chip"),
    (lambda: Chip("a", sum_bits=32), ModelError, "sum_bits is 32, which can only wrap"),
    (lambda: Chip("a", sum_bits=31), ModelError, "sum_bits is 31, expected a whole number from 2 to 30"),
    (lambda: Chip("a", sum_overflow="bounce"), ModelError, "sum_overflow is 'bounce', expected one of"),
    (lambda: find_chip("truenorth"), FormatError,
     "chip is 'truenorth', expected lava_sdnn, loihi or the path of a JSON file"),
    (lambda: find_chip("missing.json"), FormatError,
     r"missing.json: cannot be read as a chip \(No such file"),
    (lambda: _read_chip("{"), FormatError, "chip.json: cannot be read as a chip"),
    (lambda: _read_chip("[1]"), FormatError, "chip.json: not a chip: expected an object with name, description"),
    (lambda: _read_chip('{"name": "a", "bits": 3}'), FormatError, "chip.json: 'bits' is unknown"),
    (lambda: _read_chip('{"weight_bits": 3}'), FormatError, "chip.json: name missing, expected name, description"),
    (lambda: _read_chip('{"name": "a", "weight_bits": 99}'), FormatError,
     "chip.json: weight_bits is 99, expected a whole number from 2 to 16"),

    # what a chip cannot hold
    (lambda: Simulator(model({"in": Input((4,)), "a": N}), "fixed"), ModelError,
     "precision 'fixed' needs a chip: the model has none"),
    (lambda: Simulator(model({"in": Input((4,)), "a": N}), "int8", chip="loihi"), ModelError,
     "precision is 'int8', but a chip computes in 'fixed'"),
    (lambda: _under(Neuron(bits=2), spike_bits=1), UnsupportedError,
     r"node 'a' \(Neuron\): its spikes have 2 bits, but chip 'chip' has 1"),
    (lambda: _under(Neuron(signed=True), signed_spikes=False), UnsupportedError,
     r"node 'a' \(Neuron\): its spikes have a sign, which chip 'chip' does not"),
    (lambda: _delayed(63), UnsupportedError, "edge 'in' -> 'd': delay is 63 steps, but chip 'loihi' has"),
    (lambda: _delayed(0, Delay(63)), UnsupportedError, r"node 'd' \(Delay\): delay is 63 steps, but chip"),
    (lambda: _under(weight=1e6), UnsupportedError,
     "too far apart for chip 'chip' .weights of 8 bits.; widen the chip"),
    (lambda: _under(Neuron(2.0**31 - 1, quantum=1.0, resolution=1.0), membrane_bits=32, membrane_overflow="wrap"),
     UnsupportedError,
     "a threshold is 2147483647 steps, expected less under a chip whose membranes wrap at 32 bits"),
    (lambda: _under(membrane_bits=4, membrane_overflow="error"), RunError,
     r"node 'a' \(Neuron\): the membrane left its 4 bits \d+ times .* chip 'chip' makes that an error"),
    (lambda: _under(Neuron(reset="hard", v_reset=-9, resolution=16), membrane_bits=8), UnsupportedError,
     "its v_reset is -144 in steps of the state, but membranes of 8 bits on chip 'chip' are from -128 to 127; "
     "lower the resolution, or widen membrane_bits"),
    (lambda: _under(Neuron(resolution=64.0), 65535, 16, 1000.0, weight_bits=16),
     UnsupportedError, r"node 'a' \(Neuron\): one step can reach \d+, more than int32 holds"),
    (lambda: _under(Neuron(resolution=2.0**30), weight_bits=16, weight_shift=16), UnsupportedError,
     r"node 'a' \(Neuron\): one step can reach \d+, more than int32 holds"),
    (lambda: _under(Neuron(resolution=2.0**28, current_leak=0.5, bias=6), weight_bits=16, weight_shift=16),
     UnsupportedError, r"node 'a' \(Neuron\): one step can reach \d+, more than int32 holds"),
    (lambda: _under(SigmaDelta(bias=2e9, resolution=1.0, bits=1), membrane_bits=30, membrane_overflow="wrap"),
     UnsupportedError, "one step can reach 2536870912, more than int32 holds"),
    (lambda: lowered((2,), Dense(ones(3, 2)), Neuron(v_threshold=1e-3), precision="int8"), UnsupportedError,
     r"v_threshold of 0.001 is less than half a step of its integers \(0.007937\), which would make it fire "
     "without"),
    (lambda: lowered((2,), Dense(ones(3, 2)), Neuron(v_threshold=1e-50)), UnsupportedError,
     "v_threshold of 1e-50 is less than float32 holds, which would make it fire without input; run it in float64"),
    (lambda: lowered((2,), Dense(ones(3, 2)), Neuron(quantum=1e-50)), UnsupportedError,
     "its quantum of 1e-50 is less than float32 holds; run it in float64"),
    (lambda: lowered((1, 1, 2), Conv2d(ones(1, 1, 1, 1)), Neuron(input_gain=np.array([[[1.0, 1e-50]]]))),
     UnsupportedError, "a gain is less than float32 holds, and would be 0; run it in float64"),
    (lambda: Simulator(chain((4,), Neuron())).run(ones(2, 4), lengths=[1, 2]), DataError,
     r"x has shape \(2, 4\), samples that stand still: give x of shape \(N, T, ...\), or leave lengths out"),
    (lambda: _under(SigmaDelta(quantum=1 / 64, resolution=16)), UnsupportedError,
     "its quantum of 0.01562 is less than half a step .resolution 16.0.; raise the resolution"),
    (lambda: chain((4,), N, precision="float32").run(ones(1, 4), record="audit"), DataError,
     "record has 'audit', which is of integers; run in int8 or under a chip"),

    (lambda: Simulator(_tiny(weight=1e39)), UnsupportedError,
     "'o' .* larger than float32 holds; run it in float64"),
    (lambda: lowered((1,), Dense([[1e308]]), BatchNorm([1e308], [0], [0], [1]), N, precision="float64"),
     UnsupportedError, r"node 'c' \(Neuron\): a constant is larger than float64 holds; rescale the layer"),
    (lambda: Simulator(_tiny("real")).run([[1e39]]), DataError, "x has values that float32 does not hold"),
    (lambda: Simulator(_tiny()).run([[1]], state=3), DataError,
     "state is 3, expected the `state` of an earlier Recording"),
    (lambda: _with_sums(None), DataError, "state does not fit layer 'o'"),
    (lambda: _with_sums(np.zeros((3, 1), np.float32)), DataError, r"state is of \[3\] samples, but x has 2"),
    (lambda: _with_step("a"), DataError, "state.step is 'a', expected a whole number"),
    (lambda: Simulator(_tiny()).run([[1]], record=(3,)), DataError, "record has 3, expected any of"),
    # parameters
    (lambda: MaxPool((2, 2, 2)), ModelError,
     r"kernel_size is \(2, 2, 2\), expected a whole number, or one for each axis"),
    (lambda: Neuron(signed="no"), ModelError, "signed is 'no', expected True or False"),
    (lambda: model({"in": IN, "n": N}).is_recurrent([]), ModelError, r"group is \[\], expected a list of names"),
    (lambda: Neuron("much"), ModelError, "v_threshold is 'much', expected a number or an array of numbers"),
    (lambda: Neuron([[1], [1, 2]]), ModelError, "v_threshold is .* expected a number or an array of numbers"),
    (lambda: Neuron(np.nan), ModelError, "v_threshold has a value that is not finite"),
    (lambda: Neuron([1, np.inf]), ModelError, "v_threshold has a value that is not finite"),
    (lambda: Neuron([]), ModelError, "v_threshold has no value at all"),
    (lambda: Dense([[1, 2], [3, -np.inf]]), ModelError, r"weight has a value that is not finite: -inf at \[1, 1\]$"),
    (lambda: Conv2d(ones(1, 1, 1, 1), groups=0), ModelError, "groups is 0, expected a whole number from 1 to"),
    (lambda: Conv2d(ones(1, 1, 1, 1), groups="x"), ModelError, "groups is 'x', expected a whole number"),
    (lambda: Conv2d(ones(1, 1, 1, 1), stride=1.5), ModelError, "stride is 1.5, expected a whole number"),
    (lambda: Conv2d(ones(1, 1, 1, 1), padding=-1), ModelError, "padding is -1, expected a whole number from 0"),
    (lambda: Neuron(reset_delay=True), ModelError, "reset_delay is True, expected a whole number from 0 to 1"),
    (lambda: Neuron(reset_delay=2), ModelError, "reset_delay is 2, expected a whole number from 0 to 1"),
    (lambda: Conv2d(ones(1, 1, 1, 1), stride=(1, 1, 1)), ModelError, r"stride is \(1, 1, 1\), expected 2 whole"),
    (lambda: Conv1d(ones(1, 1, 1), stride=(1, 1)), ModelError, r"stride is \(1, 1\), expected 1 whole numbers"),
    (lambda: Neuron(reset="late"), ModelError, "reset is 'late', expected one of 'soft', 'hard', 'none'"),
    (lambda: Neuron(reset="none", bits=2), UnsupportedError, "reset 'none' with several bits or with reset_delay"),
    (lambda: ConvTranspose2d(ones(2, 2, 2)), ModelError,
     r"weight has shape \(2, 2, 2\), expected \(in, out / groups"),
    (lambda: ConvTranspose2d(ones(3, 1, 2, 2), groups=2), ModelError,
     "weight has 3 input channels, expected a multiple"),
    (lambda: ConvTranspose2d(ones(2, 1, 2, 2), padding=2), ModelError,
     r"padding is \(2, 2\), expected at most dilation"),
    (lambda: ConvTranspose2d(ones(2, 1, 2, 2), output_padding=1), ModelError,
     "expected less than stride or dilation"),
    (lambda: chain((3,), ConvTranspose2d(ones(2, 1, 2, 2))), ModelError,
     r"input has shape \(3,\), expected \(C, H, W\)"),
    (lambda: chain(MAP, ConvTranspose2d(ones(3, 1, 2, 2))), ModelError,
     "weight has 3 input channels, but 2 arrive"),
    (lambda: chain((3,), Upsample(2)), ModelError,
     r"node 'a' \(Upsample\): input has shape \(3,\), expected \(C, H, W\) or \(C, L\)"),
    (lambda: model({"in": IN, "p": MaxPool(2), "c": Concat()}, [("in", "c"), ("in", "p"), ("p", "c")]), ModelError,
     r"node 'c' \(Concat\): its inputs have shapes \(2, 4, 4\), \(2, 2, 2\), expected the same but for channels"),
    (lambda: Model({"in": Input((2, 4, 4)), "cat": Concat(), "c": Conv2d(ones(3, 5, 1, 1)), "n": Neuron()},
                   [("in", "cat"), ("n", "cat", 1), ("cat", "c"), ("c", "n")]), ModelError,
     r"node 'c' \(Conv2d\): its shape depends on its own output, which a node before it joins .* through a Dense"),
    (lambda: model({"in": IN, "n": Neuron(), "m": Neuron(), "c": Concat()},
                   [("in", "n"), ("n", "c"), ("m", "m", 1), ("m", "c")]), ModelError,
     r"node 'm' \(Neuron\): no path leads to it from 'in'"),
    (lambda: lowered(Input(MAP, "real"), ConvTranspose2d(ones(2, 1, 2, 2)), Neuron()), UnsupportedError,
     r"node 'a' \(ConvTranspose2d\): reads real numbers; it takes spikes"),
    (lambda: model({"in": IN, "n": Neuron(0.5, quantum=0.5), "add": Add(), "c": Concat(), "m": Neuron()},
                   [("in", "n"), ("in", "add"), ("n", "add"), ("add", "c"), ("in", "c"), ("c", "m")], "float32"),
     UnsupportedError, r"node 'c' \(Concat\): joins 'add', a sum of unequal quanta"),
    (lambda: Neuron(comparison="<"), ModelError, "comparison is '<', expected one of '>=', '>'"),
    (lambda: Readout("max"), ModelError, "reduce is 'max', expected one of 'sum', 'mean', 'last'"),
    (lambda: Input((2,), "picture"), ModelError,
     "encoding is 'picture', expected one of 'image', 'spikes', 'real'"),
    (lambda: Input(MAP, layout="HW"), ModelError, "layout is 'HW', expected one of 'CHW', 'HWC'"),
    (lambda: Input(()), ModelError, r"shape is \(\), expected \(C, H, W\), \(C, L\) or \(F,\)"),
    (lambda: Input((1, 2, 3, 4)), ModelError, r"shape is \(1, 2, 3, 4\), expected"),
    (lambda: Input((2, 0, 3)), ModelError, "shape is 0, expected a whole number from 1"),
    (lambda: Input((1 << 10, 1 << 10, 1 << 10)), ModelError, "more than 268435456 neurons in one node"),
    (lambda: chain(MAP, Neuron(ones(3))), ModelError,
     r"node 'a' \(Neuron\): v_threshold has shape \(3,\), expected a scalar, \(2,\) \(one per channel\) or "
     r"\(2, 4, 4\) \(one per neuron\)"),
    (lambda: chain(MAP, Readout(leak=ones(4, 4))), ModelError, r"node 'a' \(Readout\): leak has shape \(4, 4\)"),
    (lambda: Neuron(refractory=0.5), ModelError, "refractory is 0.5, expected whole numbers from 0 to"),
    (lambda: Neuron(refractory=-1), ModelError, "refractory is -1, expected whole numbers from 0 to"),
    (lambda: Neuron(bits=0), ModelError, "bits is 0, expected whole numbers from 1 to 16"),
    (lambda: Neuron(bits=[1, 17]), ModelError, r"bits is \[1, 17\], expected whole numbers from 1 to 16"),
    # nodes
    (lambda: EventBins(0), ModelError, "bin_width is 0.0, expected microseconds above 0"),
    (lambda: EventBins(polarities="both"), ModelError, "polarities is 'both', expected one of"),
    (lambda: EventBins(coincident="drop"), ModelError, "coincident is 'drop', expected one of"),
    (lambda: EventBins(sensor_size=0), ModelError, "sensor_size is 0, expected a whole number from 1"),
    (lambda: Input((2,), scale=0), ModelError, "scale is 0.0, expected a value above 0"),
    (lambda: Input((2,), "image", 8, std=[1, 0]), ModelError, "std has a value that is not above 0"),
    (lambda: Input((2,), "image", 9), ModelError, "bits is 9, expected a whole number from 1 to 8"),
    (lambda: Input((2,), mean=0.5), ModelError, "mean and std belong to encoding 'image', not 'spikes'"),
    (lambda: Input((2,), "real", std=2), ModelError, "mean and std belong to encoding 'image', not 'real'"),
    (lambda: Input((2,), "real", scale=2), ModelError, "scale is 2, the value of a level, but encoding 'real' has "
     "none: leave it out and give scaled numbers, or give levels to encoding 'image' or 'spikes'"),
    (lambda: Input((2,), "image", 8, signed=True), ModelError,
     "signed levels belong to encoding 'spikes', not 'image'"),
    (lambda: Input((2, 34, 34), signed=True, events=EventBins()), ModelError,
     "events belong to encoding 'spikes' without sign"),
    (lambda: Input((1, 34, 34), events=EventBins()), ModelError,
     r"shape is \(1, 34, 34\), but the events' sensor gives \(2, 34, 34\)"),
    (lambda: chain(Input((2, 4, 4), "image", 8, mean=[1, 2, 3]), N), ModelError,
     r"mean has shape \(3,\), expected \(\) or \(2,\)"),
    (lambda: chain(Input((2, 4, 4), "image", 8, std=ones(2, 4, 4)), N), ModelError,
     r"std has shape \(2, 4, 4\), expected"),
    (lambda: chain(Input((2, 4, 4), "image", 8, std=ones(2, 1)), N), ModelError,
     r"std has shape \(2, 1\), expected"),
    (lambda: Dense(ones(3)), ModelError, r"weight has shape \(3,\), expected \(out, in\)"),
    (lambda: Dense(ones(3, 2), ones(2)), ModelError, r"bias has shape \(2,\), expected \(3,\)"),
    (lambda: chain(MAP, Dense(ones(3, 32)), N), ModelError,
     r"node 'a' \(Dense\): input has shape \(2, 4, 4\), expected \(F,\): put a Flatten before it from 'in'"),
    (lambda: chain((5,), Dense(ones(3, 2)), N), ModelError, "weight has 2 inputs, but 5 arrive from 'in'"),
    (lambda: Conv1d(ones(1, 1, 1, 1)), ModelError, r"expected \(out, in / groups, K\)"),
    (lambda: Conv2d(ones(1, 1, 1)), ModelError,
     r"weight has shape \(1, 1, 1\), expected \(out, in / groups, kH, kW\)"),
    (lambda: Conv2d(ones(3, 1, 1, 1), groups=2), ModelError,
     "3 output channels, expected a multiple of groups = 2"),
    (lambda: chain((5,), Conv2d(ones(1, 5, 1, 1)), N), ModelError,
     r"input has shape \(5,\), expected \(C, H, W\)"),
    (lambda: chain(MAP, Conv1d(ones(1, 2, 1)), N), ModelError, r"input has shape \(2, 4, 4\), expected \(C, L\)"),
    (lambda: chain(MAP, Conv2d(ones(1, 3, 1, 1)), N), ModelError, "weight has 3 input channels, but 2 arrive"),
    (lambda: chain(MAP, Conv2d(ones(4, 2, 1, 1), groups=2), N), ModelError,
     "weight has 4 input channels, but 2 arrive"),
    (lambda: chain(MAP, Conv2d(ones(1, 2, 5, 5)), N), ModelError,
     r"node 'a' \(Conv2d\): kernel of 5 \(dilation 1\) is larger than the input of 4 with padding 0"),
    (lambda: chain(MAP, Conv2d(ones(1, 2, 3, 3), dilation=2), N), ModelError,
     r"kernel of 3 \(dilation 2\) is larger"),
    (lambda: chain((5,), SumPool(2)), ModelError, r"input has shape \(5,\), expected \(C, H, W\) or \(C, L\)"),
    (lambda: chain(MAP, SumPool(2, padding=2)), ModelError,
     "padding is 2, expected at most half of kernel_size, which is 2"),
    (lambda: chain(MAP, MaxPool(5)), ModelError, r"node 'a' \(MaxPool\): kernel of 5 \(dilation 1\) is larger"),
    (lambda: chain(MAP, AvgPool(3, 2, ceil_mode=True)), UnsupportedError,
     "average pooling with ceil_mode=True divides by unequal window sizes"),
    (lambda: chain(MAP, AvgPool(2, padding=1, count_include_pad=False)), UnsupportedError,
     "average pooling with count_include_pad=False divides by unequal"),
    (lambda: chain(MAP, AvgPool(3, 2, 1, ceil_mode=True, count_include_pad=False)), UnsupportedError,
     "average pooling with ceil_mode=True and count_include_pad=False"),
    (lambda: BatchNorm(1, ones(2), ones(2), ones(2)), ModelError, r"weight has shape \(\), expected \(C,\)"),
    (lambda: BatchNorm(ones(2), ones(2), ones(2), -ones(2)), ModelError,
     "running_var \\+ eps has a value that is not above 0"),
    (lambda: chain(MAP, norm(3), CONV, N), ModelError,
     r"node 'a' \(BatchNorm\): weight has shape \(3,\), expected \(2,\)"),
    (lambda: Restimulation(ones(2)), ModelError, r"kernel has shape \(2,\), expected \(K,\) with K odd"),
    (lambda: Restimulation(ones(3), ones(3, 2)), ModelError,
     r"weight has shape \(3, 2\), expected \(out, in, 1, 1\)"),
    (lambda: Restimulation(ones(3), stride=2), ModelError,
     r"stride is \(2, 2\), but without weight q is the identity"),
    (lambda: BatchNorm(ones(2), ones(3), ones(2), ones(2)), ModelError,
     r"bias has shape \(3,\), but weight \(2,\)"),
    (lambda: BatchNorm(ones(2), ones(2), ones(2), ones(2), eps=[1, 2]), ModelError,
     r"eps is \[1, 2\], expected a finite number"),
    # neurons
    (lambda: Neuron(quantum=0), ModelError, "quantum has a value that is not above 0"),
    (lambda: Neuron(output_quantum=[1, -1]), ModelError,
     r"output_quantum has a value that is not above 0: -1.0 at \[1\]$"),
    (lambda: Neuron(leak=1.5), ModelError, r"leak has a value outside 0 to 1 \(.*\): 1.5$"),
    (lambda: Neuron(leak=-0.5), ModelError, "leak has a value outside 0 to 1"),
    (lambda: Neuron(0, signed=True), ModelError,
     "v_threshold has a value that is not above 0, which signed needs"),
    (lambda: Neuron(signed=True, rectify=True), UnsupportedError,
     r"rectify \(MPR\) is not defined for signed levels"),
    (lambda: Neuron(reset_delay=1, refractory=1), UnsupportedError,
     "reset_delay together with refractory is not defined"),
    (lambda: chain(MAP, Neuron(quantum=ones(2, 4, 4))), ModelError,
     r"quantum has shape \(2, 4, 4\), expected \(\) or \(2,\)"),
    (lambda: chain(MAP, Neuron(bits=[1, 1, 1])), ModelError, r"bits has shape \(3,\), expected \(\) or \(2,\)"),
    (lambda: chain(MAP, Neuron(1.0, bits=2, rectify=True)), UnsupportedError,
     r"node 'a' \(Neuron\): rectify \(MPR\) with more than one bit is defined only for v_threshold = quantum / 2"),
    (lambda: Readout(leak=2), ModelError, "leak has a value outside 0 to 1"),
    # the graph
    (lambda: Model({}, []), ModelError, "the model has no nodes"),
    (lambda: Model({"a/b": IN}, []), ModelError, "'a/b' is no name for a node: expected text without '/'"),
    (lambda: Model({"": IN}, []), ModelError, "'' is no name for a node"),
    (lambda: Model({3: IN}, []), ModelError, "3 is no name for a node"),
    (lambda: Model({"..": IN}, []), ModelError, "'..' is no name for a node"),
    (lambda: Model({"a\nb": IN}, []), ModelError, r"'a\\nb' is no name .* without '/' and control characters"),
    (lambda: Model({"\x1b[2J": IN}, []), ModelError, r"'\\x1b\[2J' is no name for a node"),
    (lambda: Model({"a\u2028b": IN}, []), ModelError, r"'a\\u2028b' is no name for a node"),
    (lambda: Model({"in": Input}, []), ModelError, "node 'in' is .*, expected one of eventsim's nodes"),
    (lambda: model({"in": IN, "n": N}, [("in", "m")]), ModelError,
     "edge 'in' -> 'm' names node 'm', which does not exist"),
    (lambda: model({"in": IN, "n": N}, [("x", "n")]), ModelError,
     "edge 'x' -> 'n' names node 'x', which does not exist"),
    (lambda: model({"in": IN, "n": N}, [("in", "n", -1)]), ModelError,
     "edge 'in' -> 'n': delay is -1, expected a whole"),
    (lambda: model({"in": IN, "n": N}, [("in", "n", 5000)]), ModelError,
     "delay is 5000, expected a whole number from 0 to 4096"),
    (lambda: model({"in": IN, "n": N}, [("in", "n", 1), ("in", "n", 1)]), ModelError,
     r"edge 'in' -> 'n' \(delay 1\) occurs twice"),
    (lambda: model({"in": IN, "n": N}, []), ModelError,
     r"node 'n' \(Neuron\): 0 incoming edges, expected at least 1"),
    (lambda: model({"in": IN, "a": Add()}), ModelError,
     r"node 'a' \(Add\): 1 incoming edges, expected at least 2"),
    (lambda: model({"in": IN, "n": N, "c": CONV}, [("in", "n"), ("in", "c"), ("n", "c")]), ModelError,
     r"node 'c' \(Conv2d\): 2 incoming edges, expected 1; join its sources with Add"),
    (lambda: model({"in": IN, "n": N}, [("in", "n"), ("n", "in")]), ModelError,
     r"node 'in' \(Input\): 1 incoming edges, expected 0"),
    (lambda: model({"in": IN, "n": N}, [("in", "n"), ("n", "n")]), ModelError,
     "cycle without delay: 'n' -> 'n'; give one of its edges a delay of 1 step or more"),
    (lambda: model({"in": IN, "a": Add()}, [("in", "a"), ("a", "a", 1)]), ModelError,
     "cycle without a Neuron: 'a' -> 'a'; only a Neuron can close a cycle"),
    (lambda: Model({"n": N}, [("n", "n", 1)]), ModelError, r"0 nodes of type Input \[\], expected 1"),
    (lambda: model({"a": IN, "b": IN, "n": N}, [("a", "n"), ("b", "n")]), ModelError,
     r"2 nodes of type Input \['a', 'b'\], expected 1"),
    (lambda: lowered(MAP, CONV, MaxPool(2), Conv2d(ones(1, 3, 1, 1)), N), UnsupportedError,
     r"node 'c' \(Conv2d\): reads node 'b' \(MaxPool\), which gives a current, the maximum that node 'b' "
     r"\(MaxPool\) takes; put a Neuron between them"),
    (lambda: chain(MAP, CONV, MaxPool(2)), ModelError,
     r"node 'b' \(MaxPool\): the model ends in it, expected a Readout or a Neuron"),
    (lambda: model({"in": Input((2,)), "d": Dense(ones(2, 2)), "a": Add(), "n": N},
                   [("in", "d"), ("d", "a"), ("in", "a"), ("a", "n")]), ModelError,
     r"node 'a' \(Add\): its sources give 'd' current, 'in' spikes; it sums one kind: put synapses behind the "
     "spikes"),
    (lambda: chain(MAP, CONV, ConvTranspose2d(ones(3, 1, 1, 1)), N), ModelError,
     "which gives a current; put a Neuron between them, or merge them into one node"),
    (lambda: chain(Input(MAP, "real"), SumPool(2)), ModelError,
     "which gives real numbers; it accepts spikes, current"),
    (lambda: chain(MAP, norm(2), MaxPool(2)), ModelError, "which gives scaled spikes; it accepts spikes"),
    (lambda: chain((2,), Readout(), Neuron()), ModelError, "which gives the model's output; it accepts spikes"),
    (lambda: model({"in": IN, "n": N, "m": N}, [("in", "n"), ("m", "m", 1)]), ModelError,
     r"node 'm' \(Neuron\): no path leads to it from 'in'"),
    (lambda: model({"in": IN, "c": CONV, "n": N}, [("in", "c"), ("c", "n"), ("in", "n")]), ModelError,
     r"node 'n' \(Neuron\): '(in|c)' gives shape .*, but its other inputs give"),
    (lambda: chain((1, 1 << 14, 1 << 14), Conv2d(ones(2, 1, 1, 1)), N), ModelError,
     r"has more than 2\^28 neurons"),
    (lambda: model({"in": IN, "n": N, "m": N}, [("in", "n"), ("in", "m")]), ModelError,
     r"2 nodes end the model \[.*\], expected 1"),
    (lambda: chain(MAP, CONV), ModelError,
     r"node 'a' \(Conv2d\): the model ends in it, expected a Readout or a Neuron"),
    (lambda: model({"in": IN, "n": N}, class_names=["a"]), ModelError,
     r"class_names has 1 entries, but node 'n' \(Neuron\) gives 32 outputs"),
    (lambda: model({"in": IN, "n": N}, timesteps=0), ModelError, "timesteps is 0, expected a whole number from 1"),
    (lambda: Model({"in": IN, "n": N}, [("in", "n")], timesteps=None, timesteps_fixed=True), ModelError,
     "timesteps_fixed is True, but timesteps is None: say which number of steps is meant"),
    # folding
    (lambda: lowered(MAP, CONV, Flatten(), Neuron(input_gain=np.arange(1, 13))), UnsupportedError,
     r"node 'c' \(Neuron\): input_gain differs between positions of one channel of the flattened map; put the "
     "Flatten"),
    (lambda: model({"in": IN, "c": CONV, "f": Flatten(), "g": Flatten(), "d": Dense(ones(12, 32)), "n": N},
                   [("in", "c"), ("c", "f"), ("f", "n"), ("in", "g"), ("g", "d"), ("d", "n")], "float32"),
     UnsupportedError, r"node 'n' \(Neuron\): its inputs are flattened from maps of shapes"),
    (lambda: lowered(Input(MAP, "real"), Flatten(), N), UnsupportedError,
     r"node 'in' \(Input\): flattened real numbers can be read only by Dense"),
    (lambda: lowered(MAP, CONV, Flatten(), norm(12), N), UnsupportedError,
     r"node 'c' \(BatchNorm\): normalises a flattened current; put it before the Flatten"),
    (lambda: lowered(MAP, Restimulation(ones(3)), norm(2), N), UnsupportedError,
     r"node 'b' \(BatchNorm\): a Restimulation must lead straight into a Neuron"),
    (lambda: lowered(MAP, Restimulation(ones(3)), AvgPool(2), N), UnsupportedError,
     r"node 'b' \(AvgPool\): a Restimulation must lead straight into a Neuron"),
    (lambda: lowered(MAP, Restimulation(ones(3)), MaxPool(2), N), UnsupportedError,
     r"node 'b' \(MaxPool\): a Restimulation must lead straight into a Neuron"),
    (lambda: lowered(MAP, Restimulation(ones(3)), Conv2d(ones(3, 2, 1, 1)), N), UnsupportedError,
     r"node 'b' \(Conv2d\): a Restimulation must lead straight into a Neuron"),
    (lambda: lowered(MAP, CONV, Conv2d(ones(1, 3, 3, 3), padding=1), N), UnsupportedError,
     r"node 'b' \(Conv2d\): reads node 'a' \(Conv2d\), which gives a current, and pads it, where the synapses "
     "before it would give more than padding; put a Neuron between them, or pad before both"),
    (lambda: lowered(MAP, CONV, MaxPool(2), Flatten(), Dense(ones(2, 3)), N), UnsupportedError,
     r"node 'd' \(Dense\): reads node 'c' \(Flatten\), which gives a current, the maximum that node 'b' "
     r"\(MaxPool\) takes"),
    (lambda: lowered((4096,), Dense(ones(1, 4096)), Dense(ones(1025, 1)), N), UnsupportedError,
     r"node 'b' \(Dense\): reads node 'a' \(Dense\), which gives a current; composed with them it would have "
     "1,025 x 4,096 weights, expected at most 4,194,304 of them; put a Neuron between them"),
    (lambda: lowered((2048,), Dense(ones(2049, 2048)), Dense(ones(2048, 2049)), N), UnsupportedError,
     "to compose it with them would take 8,594,128,896 products, expected at most 8,589,934,592; put a Neuron "
     "between them"),
    (lambda: lowered(MAP, CONV, MaxPool(1), AvgPool(2), N), UnsupportedError,
     r"node 'c' \(AvgPool\): sums what node 'b' \(MaxPool\) gives, the maximum of a current, which does not "
     "compose"),
    (lambda: model({"in": Input(MAP), "c": CONV, "f": Flatten(), "d": Dense(ones(12, 32)), "g": Flatten(),
                    "a": Add(), "n": N},
                   [("in", "c"), ("c", "f"), ("in", "g"), ("g", "d"), ("f", "a"), ("d", "a"), ("a", "n")],
                   "float32"),
     UnsupportedError,
     r"node 'a' \(Add\): its inputs are flattened from maps of shapes .* put the Flatten after this node"),
    (lambda: Simulator(chain(MAP, CONV, MaxPool(2), N), chip="loihi"), UnsupportedError,
     r"node 'b' \(MaxPool\): takes the maximum of a current, which chip 'loihi' cannot; pool the spikes, or run "
     "in int8"),
    (lambda: lowered(MAP, CONV, MaxPool(1), Flatten(), Neuron(input_gain=np.arange(1, 13)), precision="int8"),
     UnsupportedError,
     r"node 'd' \(Neuron\): input_gain differs between positions of one channel of the flattened map"),
    (lambda: unequal_sum(Restimulation(ones(3)), N), UnsupportedError,
     r"node 'z0' \(Restimulation\): reads a sum of unequal quanta"),
    (lambda: lowered(Input(MAP, "image", 8, mean=1), Restimulation(ones(3)), N), UnsupportedError,
     "it takes the spikes of one node"),
    (lambda: unequal_sum(MaxPool(2)), UnsupportedError,
     r"node 'z0' \(MaxPool\): maximum of a sum of unequal quanta; give the trains equal quanta"),
    (lambda: lowered(Input((2, 8, 8), "image", 8, mean=1), SumPool(2), CONV, N), UnsupportedError,
     r"node 'a' \(SumPool\): pools values whose zero is shifted \(mean or BatchNorm\)"),
    (lambda: lowered(Input((2, 8, 8), "image", 8, mean=1), AvgPool(2, padding=1), CONV, N), UnsupportedError,
     "only average pooling without padding can"),
    (lambda: Simulator(Model({"in": Input(1, "image", 1, mean=1), "a": BatchNorm([1], [1], [0], [1]),
                              "b": Dense([[1.0]]), "n": N}, [("in", "a", 1), ("a", "b"), ("b", "n")])),
     UnsupportedError, "node 'a' .*: shifts values whose zero .* that a delay brings late"),
    (lambda: lowered((2, 8, 8), CONV, SumPool(2, padding=1), N), UnsupportedError,
     r"node 'b' \(SumPool\): pools a current with padding or ceil_mode"),
    (lambda: lowered((1, 4, 4), Conv2d(ones(1, 1, 1, 1), padding=6000), AvgPool(12001), N), UnsupportedError,
     r"node 'b' \(AvgPool\): pools a current, which with the synapses before it makes 144,024,001 weights, sums "
     r"of up to 1 numbers: 1.15 GB, expected at most 1.07 GB; pool the spikes instead, or smaller windows"),
    (lambda: lowered((2, 9, 9), CONV, SumPool(2, ceil_mode=True, stride=3), N), UnsupportedError,
     "does not compose with the synapses before it; pool the spikes instead"),
    (lambda: lowered(Input((1, 256, 256), bits=16), SumPool(256), N), UnsupportedError,
     r"node 'a' \(SumPool\): levels up to 4294901760 take 32 bits, expected at most 31; sum fewer levels"),
    (lambda: unequal_sum(Flatten()), UnsupportedError,
     r"node 'z0' \(Flatten\): the model ends in a sum of unequal quanta"),
    (unequal_sum, UnsupportedError,
     r"node 'add' \(Add\): the model ends in a sum of unequal quanta; give its trains"),
    (lambda: lowered(MAP, Unknown(), N), UnsupportedError,
     "Unknown has no rule of lowering; write one with @lowers in"),
    # lowering
    (lambda: Simulator(None), ModelError, r"model is a NoneType, expected a Model \(eventsim.load reads one"),
    (lambda: Simulator("net.h5"), ModelError, "model is a str, expected a Model"),
    (lambda: small("int4"), ModelError, "precision is 'int4', expected one of float32, float64, int8"),
    (lambda: lowered(Input((2,), "real"), N, precision="int8"), UnsupportedError,
     r"node 'in' \(Input\): real input has no fixed point; run in float32"),
    (lambda: lowered(MAP, CONV, Flatten(), Neuron(quantum=np.arange(1, 13))), UnsupportedError,
     r"node 'c' \(Neuron\): quantum or bits differ inside one channel of the flattened map; put the Flatten"),
    (lambda: lowered(Input((2000,), bits=16), Dense(ones(1, 2000)), N, precision="int8"), UnsupportedError,
     r"node 'b' \(Neuron\): one step can reach \d+, more than int32 holds; run it in float32"),
    (lambda: lowered((2,), Dense(ones(3, 2), 1e9 * ones(3)), N, precision="int8"), UnsupportedError,
     "a bias, threshold or potential does not fit int32 in fixed point; run it in float32, or rescale"),
    (lambda: small("int8", v_threshold=1e9), UnsupportedError,
     "a bias, threshold or potential does not fit int32"),
    (lambda: lowered((2,), Dense(1e6 * ones(3, 2)), N, precision="int8"), UnsupportedError,
     r"node 'b' \(Neuron\): its weights are more than 16383 times the quantum, which int16 cannot hold"),
    (lambda: lowered((1,), Dense([[1e308]]), BatchNorm([1e308], [0], [0], [1]), Readout(), precision="int8"),
     UnsupportedError,
     r"node 'c' \(Readout\): its weights, times what is folded into them, are larger than float64"),
    # runs
    (lambda: Simulator(model({"in": IN, "n": N}), workers=0), ModelError,
     "workers is 0, expected a whole number from 1"),
    (lambda: small().run([[1, 1]], record="all"), DataError, "record has 'all', expected any of spikes, currents"),
    (lambda: small().run([[1, 1]], record="spikes:a"), DataError,
     "record has 'spikes:a', but the nodes with spikes are in, b"),
    (lambda: small().run([[1, 1]], timesteps=0), DataError, "timesteps is 0, expected a whole number from 1"),
    (lambda: run_with_state(lambda s: s.membranes.update(b=s.membranes["b"][:1])), DataError,
     r"state is of \[1\] samples, but x has 2"),
    (lambda: run_with_state(lambda s: s.membranes.update(b=s.membranes["b"].astype(np.int32))), DataError,
     "state does not fit layer 'b'; expected one that a run of this model at precision 'float32' returned"),
    (lambda: small("int8").run([[1, 1]], timesteps=1 << 24), RunError,
     r"16777216 steps, but only \d+ are proved free of int32 overflow; run fewer steps, or in float32"),
    (lambda: model({"in": Input(2), "n": N}, precision="float32", timesteps=None).run([[1, 1]]), RunError,
     "the model: does not say how many steps a run takes, and samples that stand still do not either: give "
     "timesteps"),
    (lambda: chain((2,), Dense(ones(3, 2)), Neuron())["x"], ModelError,
     r"the model: no node 'x'; there are: 'in', 'a', 'b'"),
    (lambda: small().score(ones(1, 1, 2)), DataError, "there are no labels: give y, or a loader"),
    (lambda: small().score(Batches()), DataError, "a loader that has no sample"),
    (lambda: small().predict(Batches()), DataError, "a loader that has no sample"),
    (lambda: small().score(ones(2, 1, 2), [0.5, 1]), DataError, "labels has values that are no class numbers"),
    (lambda: small().score(ones(2, 1, 2), [np.nan, 1]), DataError, "labels has values that are no class numbers"),
    (lambda: small().predict(3), DataError, r"x has shape \(\), expected"),
    (lambda: small().predict(ones(1, 4, 2), "4"), DataError, "timesteps is '4', expected a whole number"),
    (lambda: small().predict([np.ma.array(ones(2), mask=[0, 1])]), DataError, "1 of 2 values are masked"),
    (lambda: small().predict(None), DataError, "x has elements of type object"),
    (lambda: small().predict([[1, 2], [3]]), DataError, "x is no array of numbers"),
    (lambda: small().predict((ones(2, 2), ones(2))), DataError, "x is no array of numbers"),
    (lambda: small().predict(ones(0, 2)), DataError, "which holds no value"),
    (lambda: small().predict(np.ma.array(ones(2, 2), mask=[[0, 1], [0, 0]])), DataError,
     "1 of 4 values are masked"),
    (lambda: small().run(np.ma.array(ones(2, 2), mask=True)), DataError, "4 of 4 values are masked"),
    (lambda: small().score(Batches(), ones(1)), DataError, "y is given, but x is a loader"),
    (lambda: model({"in": Input((2, 3, 3), events=EventBins(sensor_size=(3, 3))), "n": N}, precision="float32",
                   timesteps=5).run(ones(1, 2, 3, 3)), RunError,
     "the model: reads events over 5 steps, but samples have no steps: a single frame is repeated only if asked "
     "for"),
    (lambda: small().run([[[1, 1]]], lengths=[1], timesteps=1), DataError, "give timesteps or lengths, not both"),
    (lambda: small().run([[1, 1]], state=small().run([[[1, 1]]], lengths=[1]).state), DataError,
     "state is none that a run can continue from: samples that have lengths of their own"),
    (lambda: small().run([[[1, 1]]], lengths=[1], state=small().run([[1, 1]]).state), DataError,
     "state continues samples of one length; give state or lengths, not both"),
    (lambda: in_another_mode(processor.DENORMALS), RunError, "this thread flushes denormal numbers to zero"),
    (lambda: in_another_mode(processor.ROUNDING), RunError, "this thread's processor does not round to nearest"),
    (lambda: small().run([[1, 1]], record=5), DataError,
     "record is 5, expected a name such as 'spikes', or several"),
    (lambda: Model({"in": IN, "n": N}, [("in",)]), ModelError,
     r"edges has \('in',\), expected pairs \(source, target\)"),
    (lambda: list(small().iterate(5)), DataError, r"batches is 5, expected an iterable of x, or of \(x, y\)"),
    (lambda: Simulator(model({"in": IN, "n": N}), 5), ModelError,
     "precision is 5, expected one of float32, float64, int8"),
    (lambda: run_with_state(lambda s: setattr(s, "pending", None)), DataError,
     "state.pending is None, expected arrays by the names of layers"),
    (lambda: run_with_state(lambda s: s.membranes.update(b=[0.0])), DataError,
     r"state.membranes of 'b' is \[0.0\], expected an array"),
    (lambda: Simulator(_tiny(weight=2.0)).run([[1]], state=Simulator(_tiny()).run([[1]]).state), DataError,
     "state is of another network, whose weights, other constants or arithmetic differ, expected one that a run"),
    (_with_refractory_counter, DataError,
     "state.waiting of 'n' has a refractory counter of 7, which no run leaves; give a state as a run returned it"),
]


@pytest.mark.parametrize("case", range(len(CASES)), ids=lambda i: re.sub(r"\W+", " ", CASES[i][2])[:50].strip())
def test_message(case):
    function, kind, message = CASES[case]
    found = errors_of(function)
    assert found, f"nothing was raised, expected: {message}"
    assert type(found[0]) is kind
    assert re.search(message, str(found[0])), str(found[0])
    assert "\n" not in str(found[0])


def test_every_raise_has_a_case():
    reached = set()
    for function, *_ in CASES:
        for error in errors_of(function):
            trace = error.__traceback__
            while trace is not None:
                reached.add((trace.tb_frame.f_code.co_filename, trace.tb_lineno))
                trace = trace.tb_next
    missing = [
        f"{module}.py:{first}" for module in MODULES for path, lines in [raises_of(module)]
        for first, last in lines if not any((path, line) in reached for line in range(first, last + 1))
    ]
    assert not missing, "add a case to CASES for each"
