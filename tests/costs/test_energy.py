"""Energy: reports from numbers worked out by hand, tables that are refused, and what moves an estimate."""

import json

import h5py
import numpy as np
import pytest

import eventsim
from eventsim import Simulator
from eventsim.cli import main
from eventsim.costs import energy
from eventsim.costs.energy_summary import EnergyOfLayer, EnergySummary
from eventsim.costs.energy_table import EnergyTable, energy_table_names, find_energy_table, MemoryLevel
from eventsim.errors import FormatError, ModelError
from eventsim.merging import merge
from eventsim.model.chip import Chip
from eventsim.model.input import Input
from eventsim.model.network import Model
from eventsim.model.neurons import Neuron, Readout, SigmaDelta
from eventsim.model.synapses import Conv2d, Dense, Restimulation
from eventsim.model.transforms import Add, Flatten
from eventsim.runs.summary import summarise
from eventsim.runs.sums import sums_of

# round figures, so that a person can follow: near 1 pJ per bit, far 3
FIELDS = dict(
    name="round", float_addition={"32": 2}, float_multiplication={"32": 7}, integer_addition={"32": 3},
    integer_multiplication={"8": 5},
    memory=[{"name": "near", "bytes": 16, "picojoule": 8, "access_bits": 8},
            {"name": "far", "bytes": None, "picojoule": 30, "access_bits": 10}],
)


def table(**changed):
    return EnergyTable(**{**FIELDS, **changed})


def chain(*nodes, timesteps=2):
    named = {f"{node.kind.lower()}{i}": node for i, node in enumerate(nodes)}
    return Model(named, list(zip(named, list(named)[1:])), timesteps)


def assessed(model, x, precision="float32", by=None, **options):
    counts = Simulator(model, precision).run(np.asarray(x)).counts
    return energy.assess(model, counts, precision, by or table(), **options)


def layer(report, name):
    [assessed_layer] = [each for each in report.layers if each.name == name]
    return assessed_layer


def picojoule(cost):
    """Rounded to 1e-9 pJ, so that sums of decimals compare equal."""
    return {"additions": round(cost.additions * 1e12, 9), "products": round(cost.products * 1e12, 9),
            "updates": round(cost.updates * 1e12, 9),
            **{name: round(value * 1e12, 9) for name, value in cost.memory.items()}}


def pj(value):
    return pytest.approx(value * 1e-12, rel=1e-12, abs=0)


# ---- by hand

SMALL = dict(
    input0=Input((3,)), dense1=Dense(np.ones((2, 3))), neuron2=Neuron(v_threshold=1.5), dense3=Dense([[1.0, 1.0]]),
    readout4=Readout(),
)
X = [[[1, 0, 1], [0, 1, 0]]]  # 3 events; both neurons fire in both steps


def small(**replaced):
    return chain(*{**SMALL, **replaced}.values())


def test_two_layers_by_hand():
    """neuron2: 3 events x 2 targets are 6 additions, each reads a weight of 32 bits; 6 weights are 24
    bytes, so far. Messages: 2 bits of address. Two membranes, two steps, read and written, near."""
    report = assessed(small(), X)
    first, last = layer(report, "neuron2"), layer(report, "readout4")
    assert picojoule(first.cost) == {
        "additions": 6 * 2, "products": 0, "updates": 4 * 2, "far": 6 * 32 * 3, "near": 2 * 4 * 32 + 2 * 3 * 2}
    # 3 values in 2 steps are 2 bits; 6 MACs of floats
    assert picojoule(first.ann) == {
        "additions": 6 * 2, "products": 6 * 7, "updates": 2 * 2, "far": 6 * 32 * 3, "near": 2 * 3 * 2}
    assert (first.ann_bits, first.rate) == (2, 0.5)
    assert first.crossing_rate == pytest.approx((646 - 264) / 1200, rel=1e-12)
    assert picojoule(last.cost) == {
        "additions": 4 * 2, "products": 0, "updates": 2 * 2, "near": 4 * 32 + 2 * 2 * 32 + 2 * 4 * 1}
    assert picojoule(last.ann) == {"additions": 4, "products": 14, "updates": 2, "near": 64 + 2 * 2 * 2}
    assert last.crossing_rate is None  # its membranes alone cost more
    assert picojoule(layer(report, "input0").cost) == {"additions": 0, "products": 0, "updates": 0}
    total = report.total
    assert (total.cost.total, total.ann.total) == (pj(864 + 276), pj(646 + 92))
    assert total.rate == 10 / 16
    assert total.crossing_rate == pytest.approx(0.625 * (738 - 396) / 744, rel=1e-12)


def test_integers_by_hand():
    """Weights of 8 bits, sums of 32; a product of 8 and 2 bits is a quarter of one of 8 and 8."""
    report = assessed(small(), X, "int8")
    first = layer(report, "neuron2")
    assert picojoule(first.cost) == {
        "additions": 6 * 3, "products": 0, "updates": 4 * 3, "near": 6 * 8 + 2 * 4 * 32 + 2 * 3 * 2}
    assert picojoule(first.ann) == {
        "additions": 6 * 3, "products": 6 * 5 * 16 / 64, "updates": 2 * 3, "near": 6 * 8 + 2 * 3 * 2}
    assert "8-bit integer weights" in report.baseline


def test_per_sample():
    """Twice the sample is the same per sample, and so is a sum over samples."""
    model = small()
    counts = Simulator(model).run(np.array(X * 2)).counts
    once = assessed(model, X).as_json()
    assert energy.assess(model, counts, "float32", table()).as_json() == once
    assert energy.assess(model, merge((counts.summed(), counts.summed())), "float32", table()).as_json() == once


def test_several_bits_and_signs_by_hand():
    """2 bits, 3 steps: 10 values in 4 bits; signed 19 in 5. A message says which of 3 (6) levels."""
    for signed, bits, payload in ((False, 4, 2), (True, 5, 3)):
        model = chain(Input((4,), bits=2, signed=signed), Dense(np.ones((1, 4))), Readout(), timesteps=3)
        report = assessed(model, [[[3, 0, 0, 0], [0, 2, 0, 0], [0, 0, 1, 0]]])
        readout = layer(report, "readout2")
        additions = (2 + 1 + 1) + 3  # set bits, and a doubling for each output and step
        assert readout.ann_bits == bits
        assert picojoule(readout.cost) == {
            "additions": additions * 2, "products": 0, "updates": 3 * 2,
            "near": 4 * 32 + 2 * 3 * 32 + 2 * 3 * (2 + payload)}
        assert readout.fixed.additions == pj(3 * 2)
        assert picojoule(readout.ann)["near"] == 4 * 32 + 2 * 4 * bits


@pytest.mark.parametrize("steps, bits, values", ((1, 1, 1), (3, 1, 2), (4, 1, 3), (7, 1, 3), (8, 1, 4), (4, 2, 4),
                                                 (5, 2, 4), (6, 2, 5), (1, 8, 8), (255, 1, 8), (256, 1, 9)))
def test_bits_of_the_baseline(steps, bits, values):
    """ceil(log2(T (2^b - 1) + 1))."""
    model = chain(Input((2,), bits=bits), Dense([[1.0, 1.0]]), Readout(), timesteps=steps)
    report = assessed(model, np.zeros((1, 2), int))
    assert layer(report, "readout2").ann_bits == values == int(np.ceil(np.log2(steps * (2**bits - 1) + 1)))


def test_an_image_is_read_as_it_is():
    model = chain(Input((2,), "image", 5), Dense([[1.0, 1.0]]), Readout(), timesteps=6)
    assert layer(assessed(model, [[7, 0]]), "readout2").ann_bits == 5


def test_real_numbers_by_hand():
    """An event carries the number itself, and makes a MAC at each synapse."""
    model = chain(Input((2,), "real"), Dense(np.ones((3, 2))), Readout())
    readout = layer(assessed(model, [[[0.5, 0.0], [0.25, -1.0]]]), "readout2")
    assert picojoule(readout.cost) == {
        "additions": 9 * 2, "products": 9 * 7, "updates": 6 * 2,
        "far": 9 * 32 * 3, "near": 2 * 6 * 32 + 2 * 3 * (1 + 32)}
    assert readout.ann_bits == 32


def test_leaks_are_products():
    model = small(neuron2=Neuron(v_threshold=1.5, leak=0.5))
    assert layer(assessed(model, X), "neuron2").cost.products == pj(4 * 7)


def test_a_current_is_a_second_state():
    plain, filtered = (layer(assessed(small(neuron2=node), X), "neuron2") for node in (
        Neuron(v_threshold=1.5), Neuron(v_threshold=1.5, current_leak=0.0)))
    assert filtered.fixed.memory["near"] == 2 * plain.fixed.memory["near"] == pj(2 * 2 * 4 * 32)


def test_states_of_a_neuron_are_stored_together():
    """3 membranes are 12 bytes, near; with 3 synaptic currents they are 24, far."""
    for node, of_each, where in ((Neuron(v_threshold=9.0), 1, {"near": 1}),
                                 (Neuron(v_threshold=9.0, current_leak=0.5), 2, {"far": 3})):
        report = assessed(chain(Input((3,)), node, timesteps=1), np.zeros((1, 1, 3), int))
        [(name, picojoule_per_bit)] = where.items()
        assert layer(report, "neuron1").fixed.memory == {name: pj(2 * 3 * of_each * 32 * picojoule_per_bit)}


def test_a_queue_has_room_for_an_event_of_every_neuron():
    """33 events of 6 bits are 198, more than the 128 of near; so are the 33 weights."""
    x = np.zeros((1, 1, 33), int)
    x[..., 0] = 1
    report = assessed(chain(Input((33,)), Dense(np.ones((1, 33))), Readout(), timesteps=1), x)
    assert layer(report, "readout2").driven.memory == {"far": pj(3 * (32 + 2 * 6))}


def test_samples_of_their_own_lengths_are_as_long_as_they_are():
    """Samples of 2 and 4 steps cost, and cross, as those of 3 do."""
    model = chain(Input((2,)), Dense([[1.0, 1.0]]), Neuron(v_threshold=1.0), timesteps=None)
    x, simulator = np.zeros((2, 4, 2), int), Simulator(model)
    alike, own = (layer(energy.assess(model, run.counts, "float32", table()), "neuron2")
                  for run in (simulator.run(x[:, :3]), simulator.run(x, lengths=[2, 4])))
    assert (own.slope, own.crossing_rate, own.cost) == (alike.slope, alike.crossing_rate, alike.cost)


def test_a_shortcut_is_an_addition_per_neuron():
    nodes = {"in": Input((2,)), "dense": Dense(np.ones((2, 2))), "a": Neuron(v_threshold=9.0), "out": Readout()}
    edges = [("in", "dense"), ("dense", "a"), ("in", "a"), ("a", "out")]
    report = assessed(Model(nodes, edges, 2), [[[1, 0], [0, 0]]])
    shortcut = layer(report, "a")
    assert picojoule(shortcut.ann) == {"additions": (4 + 2) * 2, "products": 4 * 7, "updates": 4,
                                       "near": 4 * 32 + 2 * 2 * (2 * 2)}  # both paths read 2 numbers of 2 bits
    assert shortcut.driven.additions == pj(3 * 2)  # two targets, and the shortcut's one


def test_an_add_passes_on_what_both_send():
    nodes = {"in": Input((2,)), "d1": Dense(np.eye(2)), "d2": Dense(np.eye(2)), "a": Neuron(), "b": Neuron(),
             "sum": Add(), "last": Dense(np.ones((1, 2))), "out": Readout()}
    edges = [("in", "d1"), ("in", "d2"), ("d1", "a"), ("d2", "b"), ("a", "sum"), ("b", "sum"), ("sum", "last"),
             ("last", "out")]
    readout = layer(assessed(Model(nodes, edges, 2), [[[1, 0], [1, 0]]]), "out")
    # the sum is 2 once in each step, one set bit; each train sends 2 messages of 1 bit
    assert readout.driven.memory["near"] == pj(2 * 32 + 2 * (2 * 2 * 1))
    assert readout.ann.memory["near"] == pj(2 * 32 + 2 * (2 * 2 * 2))


def test_synapses_of_synapses_are_one_array_and_two_products_of_the_baseline():
    """3 inputs, 2 sums, 2 neurons: events reach both neurons at once; a dense network weighs 6 and then 4
    numbers."""
    model = chain(Input((3,)), Dense(np.ones((2, 3))), Dense(np.full((2, 2), 0.5)), Neuron(v_threshold=1.5),
                  timesteps=2)
    neurons, one = layer(assessed(model, X), "neuron3"), layer(assessed(small(), X), "neuron2")
    assert picojoule(neurons.cost)["additions"] == picojoule(one.cost)["additions"] == 12
    assert picojoule(neurons.ann)["products"] == 10 * 7 and picojoule(neurons.ann)["additions"] == 10 * 2
    assert neurons.ann_bits == 2 and neurons.rate == 0.5


def test_sigma_delta_runs_its_baseline_at_each_step():
    model = chain(Input((2,), bits=4), SigmaDelta(mode="delta", bits=4), Dense(np.ones((1, 2))), Readout(),
                  timesteps=5)
    report = assessed(model, np.zeros((1, 5, 2), int))
    readout = layer(report, "readout3")
    assert readout.ann_bits == 4  # the number itself, not what 5 steps could say
    assert picojoule(readout.ann) == {"additions": 5 * 2 * 2, "products": 5 * 2 * 7, "updates": 5 * 2,
                                      "near": 5 * (2 * 32 + 2 * 2 * 4)}
    assert "run at each step without spikes" in report.baseline
    model.nodes["sigmadelta1"].rectify = False
    assert layer(assessed(model, np.zeros((1, 5, 2), int)), "readout3").ann_bits == 5  # and a sign
    encoder = layer(report, "sigmadelta1")
    assert encoder.ann_bits == 4  # a frame of the input, not all five
    assert encoder.fixed.memory["near"] == pj(2 * 10 * 2 * 32)  # its sum, and what it sent


def test_channel_attention():
    """Its baseline: a product per output, and its projection's MACs."""
    for weight, macs in ((None, 8), (np.ones((2, 2, 1, 1)), 16 + 8)):
        nodes = {"in": Input((2, 2, 2)), "at": Restimulation([1.0], weight), "a": Neuron(), "flat": Flatten(),
                 "dense": Dense(np.ones((1, 8))), "out": Readout()}
        names_ = list(nodes)
        report = assessed(Model(nodes, list(zip(names_, names_[1:])), 2), np.ones((1, 2, 2, 2, 2), int))
        assert layer(report, "a").ann.products == pj(macs * 7)


def test_borders_have_no_synapses():
    """A 3x3 kernel over 3x3 pixels with padding 1 has 49 synapses, not 81."""
    model = chain(Input((1, 3, 3)), Conv2d(np.ones((1, 1, 3, 3)), padding=1), Neuron(), timesteps=1)
    x = np.zeros((1, 1, 1, 3, 3), int)
    x[..., 0, 0] = 1
    neurons = layer(assessed(model, x), "neuron2")
    assert neurons.ann.products == pj(49 * 7) and neurons.driven.additions == pj(4 * 2)
    assert neurons.rate == 4 / 49


# ---- where the two cross


def test_at_the_crossing_both_cost_the_same():
    """One event of six chances. With u pJ per update the two meet where 256 + 4 u + 200 = 642 + 2 u."""
    x = [[[0, 1, 0], [0, 0, 0]]]
    neurons = layer(assessed(small(), x, by=table(neuron_update=93)), "neuron2")
    assert neurons.rate == pytest.approx(1 / 6)
    assert neurons.cost.total == pj(828) and neurons.ann.total == pj(828)
    assert neurons.crossing_rate == pytest.approx(1 / 6, rel=1e-12)
    dearer = layer(assessed(small(), x, by=table(neuron_update=94)), "neuron2")
    assert dearer.cost.total > dearer.ann.total and dearer.crossing_rate < 1 / 6


def test_the_crossing_does_not_depend_on_the_rate_of_the_run():
    """Binary events that all have the same fan-out: closed form, with or without events."""
    for x in (X, [[[0, 0, 0], [0, 1, 0]]], [[[1, 1, 1], [1, 1, 1]]], np.zeros((1, 2, 3), int)):
        neurons = layer(assessed(small(), x), "neuron2")
        assert neurons.crossing_rate == pytest.approx(382 / 1200, rel=1e-12)
    assert neurons.rate == 0 and neurons.driven.total == 0


def test_silence_of_real_numbers_is_priced_as_macs():
    model = chain(Input((2,), "real"), Dense(np.ones((3, 2))), Readout())
    silent, half = (layer(assessed(model, x), "readout2") for x in (np.zeros((1, 2, 2)), [[[1.0, 0], [0, 1.0]]]))
    assert silent.slope == pytest.approx(half.slope, rel=1e-12, abs=0) and half.rate == 0.5


def test_a_silent_network_has_a_crossing_in_total():
    total = assessed(small(), np.zeros((1, 2, 3), int)).total
    slopes = 1200 + (4 * (2 + 32) + 2 * 2 * 2 * 1)
    assert total.crossing_rate == pytest.approx((738 - 396) / slopes, rel=1e-12)


@pytest.mark.parametrize("fixed, slope, baseline, expected", (
    (1.0, 2.0, 2.0, 0.5), (1.0, 1.0, 2.0, 1.0), (1.0, 0.9, 2.0, None), (2.0, 1.0, 2.0, None),
    (3.0, 1.0, 2.0, None), (1.0, 0.0, 2.0, None), (0.0, 0.0, 0.0, None),
))
def test_crossing(fixed, slope, baseline, expected):
    assert energy.crossing(fixed, slope, baseline) == expected


def test_words_for_no_crossing():
    text = assessed(small(), X).as_text()
    [line] = [line for line in text.splitlines() if line.startswith("readout4")]
    assert line.endswith("never less")
    cheap = assessed(small(), X, by=table(float_multiplication={"32": 9999})).as_text()
    assert [line for line in cheap.splitlines() if line.startswith("neuron2")][0].endswith("always less")
    assert cheap.splitlines()[2].split() == ["input0", *["0", "J"] * 5, "-", "-", "-", "-"]
    alike = EnergySummary(layers=(EnergyOfLayer("n", total=2e-12, ann_total=2e-12, ann_bits=1),))
    assert alike.as_text().splitlines()[2].endswith("never less")


# ---- figures


@pytest.mark.parametrize("bits, expected", ((8, 0.03), (32, 0.1), (20, 0.065), (4, 0.015), (64, 0.2)))
def test_additions_of_integers_grow_with_the_width(bits, expected):
    assert find_energy_table("horowitz_45nm").addition("integer", bits) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("a, b, expected", ((8, 8, 0.2), (32, 32, 3.1), (16, 34, 1.65), (8, 4, 0.1), (1, 8, 0.025),
                                            (64, 64, 12.4), (32, 8, 0.2 + 2.9 * 192 / 960)))
def test_products_of_integers_grow_with_both_widths(a, b, expected):
    by = find_energy_table("horowitz_45nm")
    assert by.multiplication("integer", a, b) == pytest.approx(expected, rel=1e-12)
    assert by.multiplication("integer", b, a) == by.multiplication("integer", a, b)


def test_between_three_figures_the_nearest_two_count():
    by = table(integer_addition={"8": 1, "16": 5, "32": 7}, integer_multiplication={"8": 1, "16": 5, "32": 7})
    assert [by.addition("integer", bits) for bits in (12, 24)] == [3, 6]
    assert by.multiplication("integer", 8, 20) == pytest.approx(1 + 4 * (160 - 64) / (256 - 64))


def test_floats_take_the_next_width():
    by = find_energy_table("horowitz_45nm")
    assert [by.addition("float", bits) for bits in (8, 16, 17, 32, 64)] == [0.4, 0.4, 0.9, 0.9, 0.9]
    assert [by.multiplication("float", bits, 8) for bits in (8, 16, 17, 64)] == [1.1, 1.1, 3.7, 3.7]


def test_the_smallest_memory_that_holds_it():
    by = find_energy_table("horowitz_45nm")
    names = [by.level(8 * size).name for size in (1, 8192, 8193, 32768, 1 << 20, (1 << 20) + 1, 1 << 40)]
    assert names == ["8 KB", "8 KB", "32 KB", "32 KB", "1 MB", "DRAM", "DRAM"]
    assert [level.picojoule_per_bit for level in by.memory] == [10 / 64, 20 / 64, 100 / 64, 1950 / 64]


def test_weights_move_to_the_memory_that_holds_them():
    """One weight more than near holds, and each read costs three times as much."""
    costs = []
    for n in (4, 5):
        model = chain(Input((n,)), Dense(np.ones((1, n))), Readout(), timesteps=1)
        x = np.zeros((1, 1, n), int)
        x[..., 0] = 1
        costs.append(picojoule(layer(assessed(model, x), "readout2").driven))
    assert costs[0]["near"] == 32 + 2 * 2 and costs[1] == {
        "additions": 2, "products": 0, "updates": 0, "far": 32 * 3, "near": 2 * 3}


def test_reuse_of_weights_is_the_baselines_alone():
    plain, reused = (layer(assessed(small(), X, by=table(dense_weight_reuse=n)), "neuron2") for n in (1, 4))
    assert reused.cost == plain.cost
    assert reused.ann.memory["far"] == pj(6 * 32 * 3 / 4)
    assert "read once for 4 MACs" in assessed(small(), X, by=table(dense_weight_reuse=4)).baseline


def test_float64_is_wide_in_memory_only():
    narrow, wide = (layer(assessed(small(), X, precision), "neuron2") for precision in ("float32", "float64"))
    assert wide.cost.arithmetic == narrow.cost.arithmetic
    assert wide.driven.memory["far"] == 2 * narrow.driven.memory["far"]


def test_a_chips_weights_have_its_width():
    model = small()
    counts = Simulator(model).run(np.array(X)).counts
    chip = Chip("four", weight_bits=4)
    four = energy.assess(model, counts, "fixed", table(), chip)
    assert four.layers[1].driven.memory["near"] == pj(6 * 4 + 2 * 3 * 2)
    model.chip = Chip("six", weight_bits=6)
    assert energy.assess(model, counts, "fixed", table()).layers[1].driven.memory["near"] == pj(6 * 6 + 12)
    assert energy.assess(model, counts, "int8", table()).layers[1].driven.memory["near"] == pj(6 * 8 + 12)


# ---- tables


def test_the_default_is_horowitzs():
    by = find_energy_table()
    assert energy_table_names() == ["horowitz_45nm"] and by.name == "horowitz_45nm"
    assert (by.float_addition["32"], by.float_multiplication["32"]) == (0.9, 3.7)
    assert (by.integer_addition["32"], by.integer_multiplication["32"]) == (0.1, 3.1)
    assert (by.integer_addition["8"], by.integer_multiplication["8"]) == (0.03, 0.2)
    assert "ISSCC 2014" in by.description


def test_a_table_comes_back_from_its_file(tmp_path):
    by = table(description="mine", neuron_update=4.5, dense_weight_reuse=2)
    path = tmp_path / "mine.json"
    path.write_text(by.as_json())
    assert find_energy_table(path) == find_energy_table(by) == by
    assert by.memory[0] == MemoryLevel("near", 16, 8.0, 8)


LEVEL = FIELDS["memory"]
BROKEN = {
    "name is 3": dict(name=3),
    "description is 1": dict(description=1),
    "float_addition is None": dict(float_addition=None),
    "float_addition is {}": dict(float_addition={}),
    "float_multiplication has a width of 'wide'": dict(float_multiplication={"wide": 1}),
    "integer_addition has a width of '0'": dict(integer_addition={"0": 1}),
    "integer_addition has a width of '129'": dict(integer_addition={"129": 1}),
    "integer_multiplication of 8 bits is -1": dict(integer_multiplication={"8": -1}),
    "integer_multiplication of 8 bits is 'x'": dict(integer_multiplication={"8": "x"}),
    "integer_multiplication of 8 bits is True": dict(integer_multiplication={"8": True}),
    "float_addition of 32 bits is nan": dict(float_addition={"32": float("nan")}),
    "float_addition of 32 bits is inf": dict(float_addition={"32": float("inf")}),
    "neuron_update is 'free'": dict(neuron_update="free"),
    "dense_weight_reuse is 0.5, expected 1 or more": dict(dense_weight_reuse=0.5),
    "dense_weight_reuse is None": dict(dense_weight_reuse=None),
    r"memory is \[\]": dict(memory=[]),
    "memory is 7": dict(memory=7),
    r"memory\[0\] is 7": dict(memory=[7]),
    r"memory\[1\] is .*expected an object with name, bytes, picojoule, access_bits": dict(
        memory=[LEVEL[0], {"name": "far"}]),
    r"memory\[0\].name is ''": dict(memory=[{**LEVEL[0], "name": ""}, LEVEL[1]]),
    r"memory\[0\].bytes is 1.5": dict(memory=[{**LEVEL[0], "bytes": 1.5}, LEVEL[1]]),
    r"memory\[0\].access_bits is 0": dict(memory=[{**LEVEL[0], "access_bits": 0}, LEVEL[1]]),
    r"memory\[1\].picojoule is -3": dict(memory=[LEVEL[0], {**LEVEL[1], "picojoule": -3}]),
    "expected null for the last and only there": dict(memory=[LEVEL[0]]),
    "null for the last": dict(memory=[LEVEL[1], {**LEVEL[1], "name": "b"}]),
    "each larger than the one before": dict(memory=[LEVEL[0], {**LEVEL[0], "name": "b"}, LEVEL[1]]),
    "expected different names": dict(memory=[LEVEL[0], {**LEVEL[1], "name": "near"}]),
}


@pytest.mark.parametrize("message", BROKEN)
def test_a_broken_table_is_refused_by_file_and_field(message, tmp_path):
    with pytest.raises(ModelError, match=message):
        table(**BROKEN[message])
    path = tmp_path / "broken.json"
    path.write_text(json.dumps({**FIELDS, **BROKEN[message]}))
    with pytest.raises(FormatError, match=message) as error:
        find_energy_table(path)
    assert str(error.value).startswith(f"{path}: ") and "\n" not in str(error.value)


@pytest.mark.parametrize("text, message", (
    ("{", "cannot be read as an energy table"),
    ("\xff", "not an energy table|cannot be read"),
    ("[" * 100000, "cannot be read as an energy table"),
    ("[]", "not an energy table: expected an object with name, float_addition"),
    ('{"name": "x"}', "float_addition, .*, integer_multiplication, memory missing, expected name, float_addition"),
    (json.dumps({**FIELDS, "colour": 1}), "'colour' is unknown, expected only name, float_addition"),
    (json.dumps(FIELDS)[:-1] + ', "neuron_update": 1, "neuron_update": 2}', "the key 'neuron_update' is there twice"),
))
def test_what_is_no_table(text, message, tmp_path):
    path = tmp_path / "broken.json"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(FormatError, match=message) as error:
        find_energy_table(path)
    assert str(error.value).startswith(f"{path}: ") and "\n" not in str(error.value)


@pytest.mark.parametrize("missing", ("name", "float_addition", "memory"))
def test_a_missing_field_is_named(missing, tmp_path):
    path = tmp_path / "broken.json"
    path.write_text(json.dumps({key: value for key, value in FIELDS.items() if key != missing}))
    with pytest.raises(FormatError, match=f"broken.json: {missing} missing"):
        find_energy_table(path)


def test_no_such_table(tmp_path):
    with pytest.raises(FormatError, match="energy table is 'nonsense', expected horowitz_45nm or the path"):
        find_energy_table("nonsense")
    with pytest.raises(FormatError, match="none.json: cannot be read as an energy table .No such file"):
        find_energy_table(tmp_path / "none.json")
    with pytest.raises(FormatError, match="cannot be read as an energy table .Is a directory"):
        find_energy_table(tmp_path)


# ---- the command line


@pytest.fixture
def paths(tmp_path):
    eventsim.save(small(), tmp_path / "net.h5")
    with h5py.File(tmp_path / "data.h5", "w") as file:
        file["x"] = np.array(X)
    (tmp_path / "mine.json").write_text(table().as_json())
    return [str(tmp_path / name) for name in ("net.h5", "data.h5")]


def test_command_line(paths, tmp_path, capsys):
    mine = str(tmp_path / "mine.json")
    assert main(["run", *paths, "--energy", mine]) == 0
    report = assessed(small(), X)
    out = capsys.readouterr().out
    assert out.rstrip().endswith(report.as_text())
    assert "energy by round: 1.14 nJ, of which arithmetic 32 pJ; a matched dense network: 738 pJ" in out
    assert main(["run", *paths, "--energy", mine, "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["energy"] == report.as_json()
    cost = report.total.cost
    assert cost.arithmetic * len(X) == pj(12 + 8 + 8 + 4) and cost.traffic > 0
    assert printed["totals"]["energy_joule"] == cost.total * len(X)  # with memory
    assert main(["run", *paths, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["energy"]["table"] == "horowitz_45nm"


@pytest.mark.parametrize("call, message", [
    (lambda t: t.addition("foo", 8), "kind is 'foo', expected one of 'float', 'integer'"),
    (lambda t: t.addition("floats", 8), "did you mean 'float'"),
    (lambda t: t.addition(3, 8), "kind is 3, expected"),
    (lambda t: t.addition("float", 0), "bits is 0, expected a whole number from 1 on"),
    (lambda t: t.multiplication("integer", "8", 8), "bits is '8', expected"),
    (lambda t: t.multiplication("float", 8, None), "other is None, expected"),
    (lambda t: t.update(None, 8), "kind is None, expected"),
    (lambda t: t.level("much"), "bits is 'much', expected"),
    (lambda t: t.level(float("nan")), "bits is nan, expected a finite number")])
def test_what_a_table_has_no_figure_of(call, message):
    with pytest.raises(ModelError, match=message):
        call(table())


def test_json_has_every_part(paths):
    values = assessed(small(), X).as_json()
    assert (values["table"], values["unit"]) == ("round", "joule per sample")
    for row in [*values["layers"], values["total"]]:
        parts = ("additions", "products", "updates", "memory")
        assert row["total"] == pytest.approx(sum(row[part] for part in parts), rel=1e-12, abs=0)
        assert row["memory"] == pytest.approx(sum(row["memory_by_level"].values()), rel=1e-12, abs=0)
        assert row["ann_total"] == row["ann"]["total"]
        assert {"ann_bits", "rate", "crossing_rate"} <= set(row)
    for part in ("total", "ann_total", "memory"):
        total = sum(row[part] for row in values["layers"])
        assert values["total"][part] == pytest.approx(total, rel=1e-12, abs=0)


def test_command_line_errors_are_one_line(paths, tmp_path, capsys):
    (tmp_path / "broken.json").write_text("{}")
    for given, message in (("nonsense", "energy table is 'nonsense'"), (str(tmp_path / "broken.json"), "missing")):
        assert main(["run", *paths, "--energy", given]) == 1
        out, err = capsys.readouterr()
        assert out == "" and err.startswith("eventsim: ") and err.count("\n") == 1 and message in err


def test_int8_charges_the_width_that_each_layer_has(tmp_path):
    """Weights of too many magnitudes for 8 bits take 16, and cost as much to read."""
    weight = np.full((2, 4), 0.001)
    weight[:, 0] = 100.0
    nodes = {"in": Input((4,), bits=1), "wide": Dense(weight), "n": Neuron(), "plain": Dense(np.ones((2, 2))),
             "m": Neuron()}
    model = Model(nodes, [("in", "wide"), ("wide", "n"), ("n", "plain"), ("plain", "m")], timesteps=3)
    simulator = Simulator(model, "int8")
    widths = {name: rounded.weight_bits for name, rounded in simulator.program.rounding.items()}
    assert widths == {"n": 16, "m": 8}
    recording = simulator.run(np.ones((1, 3, 4), np.uint8))
    counts, summary = recording.counts, summarise(sums_of(recording))
    narrow = energy.assess(model, counts, "int8").summary()
    wide, plain = (row for row in summary.energy.layers if row.name in widths)
    narrow_wide, narrow_plain = (row for row in narrow.layers if row.name in widths)
    assert "8-bit and 16-bit integer weights" in summary.energy.baseline and "8-bit integer" in narrow.baseline
    assert plain == narrow_plain
    per_bit = 10 / 64  # of the smallest memory, picojoule
    extra = counts.layer_totals("n")["additions"] * 8 * per_bit
    assert extra and wide.memory - narrow_wide.memory == pytest.approx(1e-12 * extra, rel=1e-9)
