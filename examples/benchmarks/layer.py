"""One convolution, 3x3, 128 -> 128 channels at 32x32, T = 4: eventsim against dense libraries.

    pip install ".[benchmark]"
    taskset -c 1 python examples/benchmarks/layer.py [--rounds 9] [--json]

In every round, in turn: eventsim at each density and precision, each dense library on the same
four frames as a batch, and the additions that the core can do from its first-level cache. Each runs
other spikes before, so that none pays for the caches that another has filled. Every round draws new
spikes (the branch predictor can learn a sample that comes back); weights cover the full int8 range;
one thread; medians over the rounds.

What is timed of eventsim, inside `Simulator.run` of one sample: building the event index from the
bit-planes, the kernel that gathers, adds, updates the membranes and fires, and the counting. Not
in it: checking and packing the sample and summing up the answers, which a layer inside a net does not
do, and Python (the column `run` is the whole call, with all of it). Dense libraries do the convolution alone.
"""

import argparse
import json
import os
import platform
import sys
import time

for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[variable] = "1"  # read when the libraries are imported

import numpy as np  # noqa: E402
from numba import njit  # noqa: E402

from eventsim import Conv2d, Input, Model, Neuron, Simulator
from eventsim.lowering.layout import aligned_array  # noqa: E402
from eventsim.kernels.vectors import load_one, half_zeros, high_bytes, lanes_of, load, store, zeros  # noqa: E402

CHANNELS, SIZE, STEPS = 128, 32, 4
DENSITIES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5)
PRECISIONS = ("int8", "float32", "float64")
HEADLINE = 0.1
KILOBYTES = 16  # weights of the L1 loop; L1 data caches hold at least 32


def where_time_goes(simulator, images, timesteps=None):
    """Seconds per image by kernel, medians over images that run alone; "outside kernels" is Python and NumPy."""
    found = []
    for image in images:
        kernels = simulator.time_kernels(image[np.newaxis], timesteps)
        recording = next(simulator.iterate([image[np.newaxis]], timesteps))
        found.append({**kernels, "outside kernels": recording.seconds - sum(kernels.values())})
    return {name: float(np.median([f.get(name, 0.0) for f in found])) for name in found[0]}


class Quiet:
    """How much of the time since it was made this process had its core: below 95 %, others ran."""

    def __init__(self):
        self.began = time.process_time(), time.perf_counter()

    def share(self):
        return (time.process_time() - self.began[0]) / (time.perf_counter() - self.began[1])

    @staticmethod
    def text(share):
        """The share as a line says it; long calls lose more of a busy core than short ones."""
        warning = "" if share > 0.9 else " - TOO BUSY: do not report these ratios"
        return f"the core was ours for {100 * share:.0f} % of the time{warning}"


# ---- eventsim


def int8_weights(rng):
    """Whole numbers over -128..127, (out, in, 3, 3)."""
    return rng.integers(-128, 128, (CHANNELS, CHANNELS, 3, 3))


def layer_model(weights):
    """Spikes through one convolution into one-bit soft-reset neurons. The quantum is 512 of the
    weights' units, and fixed point finds a scale at which int8 is used to its ends."""
    return Model(
        {
            "input": Input((CHANNELS, SIZE, SIZE)),
            "synapses": Conv2d(weights / 512, padding=1),
            "neuron": Neuron(v_threshold=0.5, quantum=1.0),
        },
        [("input", "synapses"), ("synapses", "neuron")],
        timesteps=STEPS,
    )


def spikes(rng, density):
    """uint8 (1, T, C, H, W)."""
    return (rng.random((1, STEPS, CHANNELS, SIZE, SIZE), dtype=np.float32) < density).astype(np.uint8)


def time_layer(simulator, sample):
    """Seconds of one run by part, and its additions."""
    kernels = simulator.time_kernels(sample)
    recording = simulator.run(sample, record=())
    parts = {"index": 0.0, "kernel": 0.0, "count": 0.0}
    for name, seconds in kernels.items():
        if name.startswith("count"):
            parts["count"] += seconds
        elif name.startswith("index"):
            parts["index"] += seconds
        elif name not in ("pack", "clear_words", "sum_levels"):  # the input's, and the output's
            parts["kernel"] += seconds
    parts["layer"] = sum(parts.values())
    parts["run"] = recording.seconds
    return parts, recording.counts.total("additions")


# ---- the additions that a core can do from L1


@njit(nogil=True, error_model="numpy")
def add_rows(weight, index, masks, sums, repeats):
    """Three chains of additions of weight rows; the engine's instructions without its work."""
    lanes = lanes_of(masks)
    zero = zeros(sums, masks)
    x, y, z = zero, zero, zero
    for _ in range(repeats):
        for e in range(index.size):
            o = np.int64(load_one(index, e)) * lanes
            x = x + load(weight, o, zero)
            y = y + load(weight, o + lanes, zero)
            z = z + load(weight, o + 2 * lanes, zero)
    store(sums, 0, x + y + z)


@njit(nogil=True, error_model="numpy")
def add_paired_rows(weight, index, masks, sums, repeats):
    """`add_rows` for int8 weights, two in one int16, as `slide_pair_rows` of kernels.gathering_int8 adds them."""
    half = lanes_of(masks) // 2
    zero = half_zeros(weight, masks)
    words_0, words_1, words_2, highs_0, highs_1, highs_2 = zero, zero, zero, zero, zero, zero
    for _ in range(repeats):
        for e in range(index.size):
            o = np.int64(load_one(index, e)) * half
            word = load(weight, o, zero)
            words_0 = words_0 + word
            highs_0 = highs_0 + high_bytes(word)
            word = load(weight, o + half, zero)
            words_1 = words_1 + word
            highs_1 = highs_1 + high_bytes(word)
            word = load(weight, o + 2 * half, zero)
            words_2 = words_2 + word
            highs_2 = highs_2 + high_bytes(word)
    store(sums, 0, words_0 + words_1 + words_2)
    store(sums, half, highs_0 + highs_1 + highs_2)


class L1Limit:
    """Additions per second from a weight block that fits L1, at the best number of lanes."""

    def __init__(self, precision, rng):
        self.rng = rng
        self.dtype = np.dtype(np.int16 if precision == "int8" else precision)
        self.paired = precision == "int8"
        values = rng.integers(-(1 << 15), 1 << 15, KILOBYTES * 1024 // self.dtype.itemsize)
        self.weight = aligned_array(values.astype(self.dtype))
        for lanes in (16, 32, 64):
            self.rate(lanes, 1)

    def best(self):
        """Additions per second, the highest over the numbers of lanes."""
        return max(self.rate(lanes, 400) for lanes in (16, 32, 64))

    def rate(self, lanes, repeats):
        width = lanes // 2 if self.paired else lanes
        rows = self.weight.size // width
        index = self.rng.integers(0, rows - 2, 300).astype(np.int32)
        sums = np.zeros(64, self.dtype)
        function = add_paired_rows if self.paired else add_rows
        began = time.perf_counter()
        function(self.weight, index, np.zeros(1, f"u{lanes // 8}"), sums, repeats)
        return 3 * lanes * index.size * repeats / (time.perf_counter() - began)


# ---- dense libraries: name -> a function that takes uint8 (T, C, H, W) and returns seconds


def onnx_layers(weights):
    """ONNX Runtime, one thread: Conv in float32, QLinearConv in int8 (both memory layouts)."""
    try:
        import onnx  # noqa: F401
        import onnxruntime
    except ImportError as error:
        print(f"skipped ONNX Runtime: {error}", file=sys.stderr)
        return {}
    from onnx import TensorProto, helper, numpy_helper

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    window = dict(kernel_shape=[3, 3], pads=[1] * 4)

    def session(node, element, shape, constants):
        inputs = [helper.make_tensor_value_info("x", element, shape)]
        outputs = [helper.make_tensor_value_info("y", element, None)]
        graph = helper.make_graph([node], "layer", inputs, outputs,
                                  [numpy_helper.from_array(v, n) for n, v in constants.items()])
        operators = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
        model = helper.make_model(graph, opset_imports=operators)
        model.ir_version = 8
        return onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"])

    shape = (STEPS, CHANNELS, SIZE, SIZE)
    last = (STEPS, SIZE, SIZE, CHANNELS)
    quantised = dict(xs=np.float32(1), xz=np.uint8(0), w=weights.astype(np.int8), ws=np.float32(1 / 512),
                     wz=np.int8(0), ys=np.float32(1), yz=np.uint8(128))
    names = ["x", *quantised]
    sessions = {
        "ONNX Runtime float32": (session(
            helper.make_node("Conv", ["x", "w"], ["y"], **window), TensorProto.FLOAT, shape,
            {"w": weights.astype(np.float32) / 512}), np.float32, None),
        "ONNX Runtime int8": (session(
            helper.make_node("QLinearConv", names, ["y"], **window), TensorProto.UINT8, shape,
            quantised), np.uint8, None),
        "ONNX Runtime int8 channels last": (session(
            helper.make_node("QLinearConv", names, ["y"], domain="com.microsoft", channels_last=1, **window),
            TensorProto.UINT8, last, quantised), np.uint8, (0, 2, 3, 1)),
    }

    def timed(found, dtype, axes):
        def run(frames):
            frames = frames if axes is None else frames.transpose(axes)
            x = np.ascontiguousarray(frames.astype(dtype))
            began = time.perf_counter()
            found.run(None, {"x": x})
            return time.perf_counter() - began

        return run

    return {name: timed(*found) for name, found in sessions.items()}


def torch_layers(weights):
    """PyTorch (oneDNN), one thread: float32 in both memory layouts, int8 channels last."""
    try:
        import torch
    except ImportError as error:
        print(f"skipped PyTorch: {error}", file=sys.stderr)
        return {}
    torch.set_num_threads(1)
    float_weights = torch.from_numpy(weights.astype(np.float32) / 512)

    def timed(run, prepare):
        def call(frames):
            x = prepare(torch.from_numpy(frames.astype(np.float32)))
            with torch.inference_mode():
                began = time.perf_counter()
                run(x)
                return time.perf_counter() - began

        return call

    def channels_last(x):
        return x.contiguous(memory_format=torch.channels_last)

    def convolution(w):
        return lambda x: torch.nn.functional.conv2d(x, w, padding=1)

    layers = {
        "PyTorch float32": timed(convolution(float_weights), lambda x: x),
        "PyTorch float32 channels last": timed(convolution(channels_last(float_weights)), channels_last),
    }
    try:
        import warnings

        warnings.simplefilter("ignore")
        torch.backends.quantized.engine = "x86"
        quantised = torch.ao.nn.quantized.Conv2d(CHANNELS, CHANNELS, 3, padding=1, bias=False)
        quantised.set_weight_bias(
            torch.quantize_per_tensor(float_weights, 1 / 512, 0, torch.qint8), None)
        quantised.scale, quantised.zero_point = 1.0, 128
        layers["PyTorch int8 channels last"] = timed(
            quantised, lambda x: channels_last(torch.quantize_per_tensor(x, 1.0, 0, torch.quint8)))
    except (AttributeError, RuntimeError) as error:
        print(f"skipped PyTorch int8: {error}", file=sys.stderr)
    return layers


# ---- the run


def measure(rounds, seed):
    """All measurements: nested dicts of lists, one entry per round."""
    rng = np.random.default_rng(seed)
    weights = int8_weights(rng)
    model = layer_model(weights)
    simulators = {precision: Simulator(model, precision) for precision in PRECISIONS}
    dense = {**onnx_layers(weights), **torch_layers(weights)}
    limits = {precision: L1Limit(precision, rng) for precision in PRECISIONS}
    found = {
        "layer": {p: {d: [] for d in DENSITIES} for p in PRECISIONS},
        "dense": {name: [] for name in dense},
        "l1": {p: [] for p in PRECISIONS},
        "rate": {d: [] for d in DENSITIES},
    }
    for precision, simulator in simulators.items():
        simulator.run(spikes(rng, HEADLINE))  # compiles
    for run in dense.values():
        run(spikes(rng, HEADLINE)[0])
    quiet = Quiet()
    for r in range(rounds):
        for density in DENSITIES:
            before, sample = spikes(rng, density), spikes(rng, density)
            for i in range(len(PRECISIONS)):
                precision = PRECISIONS[(i + r) % len(PRECISIONS)]
                time_layer(simulators[precision], before)
                found["layer"][precision][density].append(time_layer(simulators[precision], sample))
        before, sample = spikes(rng, HEADLINE), spikes(rng, HEADLINE)
        for name, run in dense.items():
            run(before[0])
            found["dense"][name].append(run(sample[0]))
        for precision, limit in limits.items():
            found["l1"][precision].append(limit.best())
        print(f"round {r + 1} of {rounds}", end="\r", file=sys.stderr, flush=True)
    found["share"] = quiet.share()
    return found


def summarise(found, rounds):
    """Medians, rates and ratios as plain data."""
    dense = {name: float(np.median(seconds)) for name, seconds in found["dense"].items()}
    float_dense = {name: s for name, s in dense.items() if "float32" in name}
    int_dense = {name: s for name, s in dense.items() if "int8" in name}
    macs = STEPS * CHANNELS**2 * (3 * SIZE - 2) ** 2
    rows = []
    for precision in PRECISIONS:
        limit = float(np.median(found["l1"][precision]))
        for density in DENSITIES:
            runs = found["layer"][precision][density]
            parts = {k: float(np.median([run[0][k] for run in runs])) for k in runs[0][0]}
            rate = float(np.median([run[1] / run[0]["layer"] for run in runs]))
            rows.append({
                "precision": precision, "density": density,
                "additions": float(np.median([run[1] for run in runs])), "seconds": parts,
                "additions_per_second": rate, "l1_additions_per_second": limit, "l1_share": rate / limit,
                "times_fastest_dense_float32": _ratio(float_dense, parts["layer"]),
                "times_fastest_dense_int8": _ratio(int_dense, parts["layer"]),
            })
    wins = {
        precision: {
            kind: _crossing([r for r in rows if r["precision"] == precision], min(libraries.values()))
            for kind, libraries in (("float32", float_dense), ("int8", int_dense)) if libraries
        }
        for precision in PRECISIONS
    }
    return {
        "machine": machine(), "rounds": rounds, "share_of_core": found["share"], "dense_macs": macs,
        "dense_seconds": dense, "rows": rows, "density_where_dense_wins": wins,
    }


def _ratio(libraries, seconds):
    return min(libraries.values()) / seconds if libraries else None


def _crossing(rows, dense):
    """Density at which the layer takes as long as dense, between the measured ones: None where it
    is always faster, 0 where it never is."""
    before = None
    for row in rows:
        seconds, density = row["seconds"]["layer"], row["density"]
        if seconds >= dense:
            if before is None:
                return 0.0
            share = (dense - before[0]) / (seconds - before[0])
            return before[1] + share * (density - before[1])
        before = seconds, density
    return None


def machine():
    """Processor and versions, in one line."""
    processor = platform.processor() or platform.machine()
    try:
        lines = open("/proc/cpuinfo").read().splitlines()
        processor = next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
        flags = next(line for line in lines if line.startswith("flags")).split()
        wide = [name for name in ("avx2", "avx512f", "avx512_vnni") if name in flags]
        processor += f" ({', '.join(wide)})"
    except (OSError, StopIteration):
        pass
    versions = [f"Python {platform.python_version()}"]
    for name in ("numpy", "numba", "onnxruntime", "torch", "spikingjelly", "snntorch"):
        if name in sys.modules:
            versions.append(f"{name} {getattr(sys.modules[name], '__version__', '')}".strip())
    return f"{processor}; {', '.join(versions)}"


def as_text(result):
    """Tables for people."""
    lines = [result["machine"], f"3x3, {CHANNELS} -> {CHANNELS}, {SIZE}x{SIZE}, T = {STEPS}; one thread; "
             f"medians of {result['rounds']} rounds; {Quiet.text(result['share_of_core'])}", ""]
    for name, seconds in result["dense_seconds"].items():
        lines.append(f"{name:<34}{1e3 * seconds:8.3f} ms{result['dense_macs'] / seconds / 1e9:9.0f} G MAC/s")
    lines += ["", f"{'':27}{'ms':^40}{'additions/s':>13}{'share':>8}{'times fastest dense':>21}",
              f"{'precision':<10}{'density':>8}{'index':>9}{'kernel':>9}{'count':>8}{'layer':>9}{'run':>9}"
              f"{'':>13}{'of L1':>10}{'float32':>12}{'int8':>9}"]
    for row in result["rows"]:
        s = {name: 1e3 * value for name, value in row["seconds"].items()}
        ratios = "".join(
            f"{'-' if r is None else format(r, '.2f'):>{width}}"
            for r, width in ((row["times_fastest_dense_float32"], 12), (row["times_fastest_dense_int8"], 9)))
        lines.append(
            f"{row['precision']:<10}{100 * row['density']:>6.0f} %{s['index']:>9.3f}{s['kernel']:>9.3f}"
            f"{s['count']:>8.3f}{s['layer']:>9.3f}{s['run']:>9.3f}"
            f"{row['additions_per_second'] / 1e9:>11.1f} G{100 * row['l1_share']:>8.0f} %{ratios}")
    lines += ["", "layer = index + kernel + count; ratios above 1: eventsim is faster, below 1: dense is"]
    for precision, kinds in result["density_where_dense_wins"].items():
        said = ", ".join(f"{kind} {_density(value)}" for kind, value in kinds.items())
        limit = next(r for r in result["rows"] if r["precision"] == precision)["l1_additions_per_second"]
        lines.append(f"{precision:<8} L1 limit {limit / 1e9:.0f} G additions/s; dense wins: {said or '-'}")
    return "\n".join(lines)


def _density(value):
    if value is None:
        return f"not up to {100 * DENSITIES[-1]:.0f} %"
    return f"from {100 * value:.0f} % on" if value else f"already at {100 * DENSITIES[0]:.0f} %"


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=9, help="at least 5 for a result to report (default 9)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    args = parser.parse_args(argv)
    result = summarise(measure(args.rounds, args.seed), args.rounds)
    print(json.dumps(result, indent=1) if args.json else as_text(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
