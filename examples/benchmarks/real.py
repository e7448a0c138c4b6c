"""Real networks, sample to answer: eventsim against the same network in PyTorch and in ONNX Runtime.

    pip install ".[benchmark]"
    taskset -c 1 python examples/benchmarks/real.py [--rounds 9] [--network mnist] [--compile] [--parts] [--json]

The trained networks of data/, an N-MNIST network with 300 steps, a recurrent layer as for spoken digits, and a
network as for gestures before a sensor of 128 x 128 (peers/workloads.py). The other libraries get the same
network, built from the same Model with everything folded (peers/): all steps of a layer as one batch, the first
convolution of a still image once, neurons as a few operations on tensors; PyTorch in both memory layouts and,
with --compile, by torch.compile; ONNX Runtime in float32 and, quantised by its own tool, in int8. Before anything
is timed, what each of them answers is compared with eventsim; one that computes something else is left out.

One thread; in every round all run in turn on other samples, beginning with another one; medians over the rounds.
Each runs one batch before its time is taken, so that nobody pays for the caches that the one before has filled.
eventsim's time is that of the whole call of `Simulator.run(x, record=())`, with checking, packing and counting.
The others get float tensors in their own layout, made before the clock starts. Ratios of float32 divide the
fastest float32 library's time, those of int8 the fastest library's, at the same batch.
"""

import argparse
import json
import sys
import time
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from layer import L1Limit, machine, Quiet, where_time_goes  # noqa: E402  (first: it limits the threads)

import numpy as np  # noqa: E402

from eventsim import Simulator, UnsupportedError  # noqa: E402
from peers.workloads import NAMES, workload  # noqa: E402

PRECISIONS = ("float32", "int8")
CHECKED = 16  # samples whose answers are compared
CLOSE = 1e-3  # of the range of the answers: far above rounding, far below a spike that differs
SAME = 0.75  # share of samples with close answers that a float32 library needs: rounding turns a spike at times
ALIKE = 0.9  # correlation of answers that an int8 library needs: it rounds by other rules than eventsim
ANN = "ANN int8"  # the layers once, with ReLU: shown beside the others, compared with none
CALIBRATION = 32  # samples from which ONNX Runtime takes the ranges for int8


# ---- who runs a network: name -> (prepare(x), run(prepared) -> answers)


def contenders(work, compiled):
    """eventsim at both precisions and the libraries that are installed."""
    made = {f"eventsim {p}": (lambda x: x, eventsim_runner(work.model, p)) for p in PRECISIONS}
    for add in (partial(torch_contenders, compiled=compiled), onnx_contenders):
        try:
            made.update(add(work))
        except (ImportError, UnsupportedError) as error:
            print(f"{work.name}: skipped a library: {error}", file=sys.stderr)
    return made


def eventsim_runner(model, precision):
    """Function: levels -> Recording."""
    simulator = Simulator(model, precision)
    return lambda x: simulator.run(x, record=())


def torch_contenders(work, compiled):
    """PyTorch in both layouts."""
    import torch
    from peers.in_torch import TorchNetwork

    torch.set_num_threads(1)
    if compiled:  # nothing of the network before
        torch.compiler.reset()
        torch._dynamo.config.recompile_limit = 64
    made = {}
    for last in (False, True):
        net = TorchNetwork(work.model, steps_of(work), last)
        runs = {"PyTorch": net, **({"compiled": torch.compile(net, dynamic=False)} if compiled else {})}
        for name, function in runs.items():
            made[name + " channels last" * last] = net.prepare, partial(_without_gradients, function)
    return made


def _without_gradients(function, x):
    import torch

    with torch.inference_mode():
        return function(x).numpy()


def onnx_contenders(work):
    """ONNX Runtime in float32 and int8, unrolled over the steps; and ANN."""
    from peers.in_onnx import OnnxNetwork

    model, steps, few = work.model, steps_of(work), work.x[-CALIBRATION:]

    def prepared(net):
        return [net.prepare(x[np.newaxis]) for x in few]

    plain = OnnxNetwork(model, steps)
    made = {"ONNX Runtime": plain, "ONNX Runtime int8": OnnxNetwork(model, steps, prepared(plain))}
    if not any(map(model.is_recurrent, model.order())):
        made[ANN] = OnnxNetwork(model, steps, prepared(OnnxNetwork(model, steps, relu=True)), relu=True)
    return {name: (net.prepare, net) for name, net in made.items()}


def steps_of(work):
    """Steps that a sample runs."""
    still = work.x.ndim == len(work.model.shapes[work.model.input]) + 1
    return work.model.timesteps if still else work.x.shape[1]


# ---- whether they compute the same


def answers_of(contender, x):
    """(N, classes), whoever runs it."""
    prepare, run = contender
    given = run(prepare(x))
    return np.asarray(getattr(given, "output", given), np.float64)


def agreement(answers, reference):
    """close: share of the samples whose answers are those of the reference. same: share with its prediction.
    alike: correlation of all answers."""
    apart = np.abs(answers - reference).max(1)
    return {"close": float((apart <= CLOSE * np.ptp(reference)).mean()),
            "same": float((answers.argmax(1) == reference.argmax(1)).mean()),
            "alike": float(np.corrcoef(answers.ravel(), reference.ravel())[0, 1])}


def refusal(name, found):
    """What a library's answers lack, or ""."""
    if "int8" in name:
        return "" if found["alike"] >= ALIKE else f"answers correlate by {found['alike']:.2f}, expected {ALIKE}"
    if found["close"] >= SAME:
        return ""
    return f"{100 * found['close']:.0f} % of the answers are eventsim's, expected {100 * SAME:.0f} %"


def admitted(runners, x):
    """(runners without those that compute something else, agreement by name) on samples x."""
    reference = answers_of(runners["eventsim float32"], x)
    found = {name: agreement(answers_of(runner, x), reference) for name, runner in runners.items() if name != ANN}
    wrong = {name: refusal(name, found[name]) for name in found if not name.startswith("eventsim")}
    for name, reason in wrong.items():
        if reason:
            print(f"refused {name}: {reason}", file=sys.stderr)
    return {name: runner for name, runner in runners.items() if not wrong.get(name)}, found


# ---- the run


def measure(work, rounds, seed, limits, compiled=False, parts=False):
    """All about one network: plain data, seconds still one entry per round."""
    rng = np.random.default_rng(seed)
    runners, agreements = admitted(contenders(work, compiled), work.x[:CHECKED])
    seconds = {batch: {name: [] for name in runners} for batch in work.batches}
    for batch in work.batches:  # compiled once, buffers allocated
        time_all(runners, work, batch, rng, 0)
    quiet, found_limits = Quiet(), {precision: [] for precision in PRECISIONS}
    for r in range(rounds):
        for batch in work.batches:
            for name, spent in time_all(runners, work, batch, rng, r).items():
                seconds[batch][name].append(spent)
        for precision, limit in limits.items():
            found_limits[precision].append(limit.best())
        _tell(f"{work.name} round {r + 1} of {rounds}")
    share = quiet.share()
    return {
        "network": work.name, "origin": work.origin, "steps": steps_of(work), "share_of_core": share,
        "compared": min(CHECKED, len(work.x)), "agreement": agreements, "seconds": seconds, "limits": found_limits,
        "additions": {p: additions_of(runners[f"eventsim {p}"], work.x) for p in PRECISIONS},
        "parts": {p: where_time_goes(Simulator(work.model, p), work.x[:9]) for p in PRECISIONS} if parts else {},
    }


def time_all(runners, work, batch, rng, round_):
    """Return the seconds per sample of every runner, in turn, on samples that are drawn anew. round_: by its
    number another one begins. The first batch of each is not timed."""
    calls = work.singles if batch == 1 else 1
    drawn = [work.x[rng.integers(0, len(work.x), batch)] for _ in range(calls + 1)]
    spent, names = {}, list(runners)
    for turn in range(len(names)):
        name = names[(turn + round_) % len(names)]
        prepare, run = runners[name]
        first, *prepared = map(prepare, drawn)
        run(first)
        began = time.perf_counter()
        for x in prepared:
            run(x)
        spent[name] = (time.perf_counter() - began) / (calls * batch)
    return spent


def additions_of(runner, x):
    """Additions per sample, the mean over a few."""
    few = x[:CHECKED]
    return runner[1](few).counts.total("additions") / len(few)


def summarise(found):
    """Medians, ratios and rates of one network, as plain data."""
    limits = {p: float(np.median(values)) for p, values in found["limits"].items()}
    rows = []
    for batch, by_name in found["seconds"].items():
        medians = {name: float(np.median(values)) for name, values in by_name.items()}
        ann = medians.pop(ANN, None)
        others = {name: value for name, value in medians.items() if not name.startswith("eventsim")}
        fastest = {"int8": min(others, key=others.get, default=None),
                   "float32": min((name for name in others if "int8" not in name), key=others.get, default=None)}
        for precision in PRECISIONS:
            best, mine = fastest[precision], medians[f"eventsim {precision}"]
            per_second = found["additions"][precision] / mine
            rows.append({
                "batch": batch, "precision": precision, "seconds_per_sample": mine, "samples_per_second": 1 / mine,
                "fastest_other": best, "times_fastest_other": others[best] / mine if best else None,
                "additions": found["additions"][precision], "additions_per_second": per_second,
                "l1_additions_per_second": limits[precision], "l1_share": per_second / limits[precision],
                "others_seconds_per_sample": others, "ann_int8_seconds_per_sample": ann,
            })
    return {key: found[key] for key in ("network", "origin", "steps", "share_of_core", "compared", "agreement",
                                         "parts")} | {
        "rows": rows}


# ---- for people


def as_text(result):
    """Tables for people."""
    networks = result["networks"]
    others = list(dict.fromkeys(
        name for found in networks for row in found["rows"] for name in row["others_seconds_per_sample"]))
    lines = [result["machine"], f"one thread; medians of {result['rounds']} rounds of new samples",
             Quiet.text(min(found["share_of_core"] for found in networks)), "",
             f"{'ms per sample':<23}" + _heading(["eventsim", "eventsim", *map(_first, others)])
             + f"{'times faster':>16}{'ANN':>9}",
             f"{'network':<18}{'batch':>5}" + _heading(["float32", "int8", *map(_second, others)])
             + f"{'float32':>9}{'int8':>7}{'int8':>9}"]
    for found in networks:
        lines += _time_lines(found, others)
    lines += ["", "times faster: than the fastest library, marked * (float32: the fastest in float32)",
              "ANN int8: the same layers once, with ReLU for neurons, quantised by ONNX Runtime; not trained",
              "",
              f"{'network':<18}{'batch':>5} {'precision':<9}{'samples/s':>11}{'additions':>12}{'additions/s':>13}"
              f"{'of the core':>13}{'its limit':>12}"]
    for found in networks:
        lines += _rate_lines(found)
    lines += ["", "the core's limit: additions of weights from its first-level cache, measured in the same rounds",
              "", f"answers as eventsim's in float32, within {CLOSE:g} of their range / predictions as its, % of "
              "samples / correlation"]
    for found in networks:
        lines += _agreement_lines(found)
    for found in networks:
        lines += _parts_lines(found)
    return "\n".join(lines)


def _first(name):
    return "ONNX RT" if name.startswith("ONNX") else name.split()[0]


def _second(name):
    rest = name.replace("ONNX Runtime", "").split(" ", 1)[1:]
    return "ch. last" if rest == ["channels last"] else rest[0] if rest and rest[0] else "float32"


def _heading(words):
    return "".join(f"{word:>9}" for word in words)


def _time_lines(found, others):
    for fp, i8 in zip(found["rows"][::2], found["rows"][1::2]):
        marked = {fp["fastest_other"], i8["fastest_other"]}
        label = found["network"] if fp is found["rows"][0] else ""
        cells = [f"{1e3 * row['seconds_per_sample']:>9.3f}" for row in (fp, i8)]
        for name in others:
            value = fp["others_seconds_per_sample"].get(name)
            cells.append(f"{'-':>8} " if value is None else f"{1e3 * value:>8.3f}{'*' if name in marked else ' '}")
        ratios = ["-" if row["times_fastest_other"] is None else f"{row['times_fastest_other']:.2f}"
                  for row in (fp, i8)]
        ann = fp["ann_int8_seconds_per_sample"]
        shown = "-" if ann is None else f"{1e3 * ann:.3f}"
        yield f"{label:<18}{fp['batch']:>5}{''.join(cells)}{ratios[0]:>9}{ratios[1]:>7}{shown:>9}"


def _rate_lines(found):
    for row in found["rows"]:
        label = found["network"] if row is found["rows"][0] else ""
        yield (f"{label:<18}{row['batch']:>5} {row['precision']:<9}{row['samples_per_second']:>11.0f}"
               f"{row['additions'] / 1e6:>10.2f} M{row['additions_per_second'] / 1e9:>11.2f} G"
               f"{100 * row['l1_share']:>11.1f} %{row['l1_additions_per_second'] / 1e9:>10.0f} G")


def _agreement_lines(found):
    cells = [f"{name} {100 * each['close']:.0f} / {100 * each['same']:.0f} / {each['alike']:.3f}"
             for name, each in found["agreement"].items() if name != "eventsim float32"]
    yield f"{found['network']}: {found['compared']} of {found['origin']}; {found['steps']} steps"
    yield from (f"  {', '.join(cells[i : i + 3])}" for i in range(0, len(cells), 3))


def _parts_lines(found):
    for precision, parts in found["parts"].items():
        total = sum(parts.values())
        yield from ("", f"where the time goes, {found['network']}, {precision}, batch 1: {1e3 * total:.2f} ms")
        for name, value in sorted(parts.items(), key=lambda item: -item[1]):
            yield f"  {name:<24}{1e3 * value:>8.3f} ms{100 * value / total:>7.1f} %"


def main(argv=None):
    """Measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=9, help="at least 5 for a result to report (default 9)")
    parser.add_argument("--seed", type=int, default=60)
    parser.add_argument("--network", choices=NAMES, nargs="+", default=NAMES, help="these alone")
    parser.add_argument("--shared", type=Path, default=Path(__file__).resolve().parents[3] / "shared",
                        help="folder with datasets/ (mnist, cifar-10-batches-bin, n-mnist) and oracles/nir; what "
                             "is not there is replaced or left out, and said (default %(default)s)")
    parser.add_argument("--compile", action="store_true", help="torch.compile, too; takes minutes and a compiler")
    parser.add_argument("--parts", action="store_true", help="where the time of a single sample goes")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    args = parser.parse_args(argv)
    limits = {precision: L1Limit(precision, np.random.default_rng(args.seed)) for precision in PRECISIONS}
    found = []
    for name in args.network:
        _tell(f"{name} is built")
        work = workload(name, args.shared, args.seed)
        if work is not None:
            found.append(summarise(measure(work, args.rounds, args.seed, limits, args.compile, args.parts)))
    _tell("")
    result = {"machine": machine(), "rounds": args.rounds, "networks": found}
    print(json.dumps(result, indent=1) if args.json else as_text(result))
    return 0


def _tell(text):
    """Progress, on a terminal."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
