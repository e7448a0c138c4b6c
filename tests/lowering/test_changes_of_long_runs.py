"""Constants that integers make other numbers only in runs that are longer than the model's."""

import warnings

import numpy as np
import pytest

from eventsim import Chip, Conv2d, Dense, evaluate, EventBins, Input, Model, Neuron, Readout, Simulator
from eventsim.errors import EventsimWarning
from eventsim.lowering.changes import adds_up

COARSE = Chip("coarse", decay_bits=4)
EVENTS = np.dtype([("t", "i8"), ("x", "i4"), ("y", "i4"), ("p", "i4")])


def chain(*nodes, timesteps=4):
    nodes = {f"{node.kind}{i}".lower(): node for i, node in enumerate(nodes)}
    return Model(nodes, list(zip(nodes, list(nodes)[1:])), timesteps=timesteps)


def leaky(leak=0.97, **fields):
    return chain(Input((1,)), Dense([[1.0]]), Neuron(5.0, leak=leak), **fields)


def warned_in(work):
    """The texts of the warnings that work() gives."""
    with warnings.catch_warnings(record=True) as messages:
        warnings.simplefilter("always")
        work()
    return [str(message.message) for message in messages if message.category is EventsimWarning]


def first_steps(leak, rounded):
    """From which run on two leaks are more than a tenth apart, counted step by step."""
    steps = 1
    while abs(adds_up(np.array(rounded), steps) / adds_up(np.array(leak), steps) - 1) <= 0.1:
        steps += 1
    return steps


def test_a_leak_of_a_long_run():
    """0.97 becomes 1 (16 of 16), which 4 steps do not show."""
    first = first_steps(0.97, 1.0)
    for steps, warned in ((first - 1, False), (first, True), (1000, True)):
        simulator = Simulator(leaky(), chip=COARSE)
        assert simulator.program.rounding["neuron2"].later["leak"][0] == first
        texts = warned_in(lambda: simulator.run(np.zeros((1, steps, 1), int)))
        assert len(texts) == warned
        assert not warned or texts[0].startswith(
            f"chip 'coarse' rounds the leak of neuron2 from 0.97 to 1, which makes it another network in a run of "
            f"{steps} steps; run in float32")


def test_it_is_said_once():
    simulator = Simulator(leaky(), chip=COARSE)
    x = np.zeros((1, 500, 1), int)
    assert len(warned_in(lambda: [simulator.run(x), simulator.run(x), simulator.predict(x[:, :400])])) == 1


def test_what_the_model_says_is_said_at_once_and_not_again():
    simulator = []
    texts = warned_in(lambda: simulator.append(Simulator(leaky(timesteps=1000), chip=COARSE)))
    assert len(texts) == 1 and not simulator[0].program.rounding["neuron2"].later
    assert not warned_in(lambda: simulator[0].run(np.zeros((1, 2000, 1), int)))


def test_runs_that_go_on_add_up():
    simulator = Simulator(leaky(), chip=COARSE)
    x = np.zeros((1, 5, 1), int)
    first = simulator.program.rounding["neuron2"].later["leak"][0]
    state, done = None, 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        while done + 5 < first:
            state, done = simulator.run(x, state=state).state, done + 5
    assert len(warned_in(lambda: simulator.run(x, state=state))) == 1


@pytest.mark.parametrize("fresh, warned", [(False, 1), (True, 0)])
def test_streams(fresh, warned):
    model = chain(Input((1, 1, 1), events=EventBins(polarities="one", sensor_size=(1, 1))), Conv2d([[[[1.0]]]]), Neuron(5.0, leak=0.97))
    simulator = Simulator(model, chip=COARSE)
    blocks = [np.array([(1000 * t, 0, 0, 0)], EVENTS) for t in range(0, 100, 4)]
    texts = warned_in(lambda: list(simulator.stream(blocks, "2ms", step="1ms", fresh=fresh)))
    assert len(texts) == warned


@pytest.mark.parametrize("node", [Neuron(0.3, reset="hard"), Neuron(0.3, reset="hard", leak=0.999),
                                  Readout("sum", leak=0.0), Readout("last", leak=1.0)], ids=repr)
def test_a_bias_of_a_long_run(node):
    """The first run that says it is the first whose rounding adds up to a threshold, or to an event."""
    def made(timesteps):
        return Simulator(chain(Input((2,)), Dense([[1.0, -0.5], [0.25, 1.0]], [0.003, 0.0]), node,
                               timesteps=timesteps), "int8")

    (layer, rounding), = made(4).program.rounding.items()
    first, change = rounding.later["bias"]
    assert not warned_in(lambda: made(first - 1)) and len(warned_in(lambda: made(first))) == 1
    assert rounding.changed_in(first) == {"bias": change} and not rounding.changed_in(first - 1)


def test_membranes_that_are_reset_add_up_no_longer():
    never = chain(Input((1,)), Dense([[1.0]]), Neuron(5.0, leak=0.97, reset_interval=4))
    assert not Simulator(never, chip=COARSE).program.rounding["neuron2"].later


def test_neurons_with_leaks_of_their_own():
    leaks = np.array([[[0.5, 0.97], [0.98, 0.9375]]])
    model = chain(Input((1, 2, 2)), Conv2d([[[[1.0]]]]), Neuron(5.0, leak=leaks))
    (first, change), = Simulator(model, chip=COARSE).program.rounding["neuron2"].later.values()
    assert first == first_steps(0.97, 1.0) and (change.before, change.of) == (0.97, 4)


def test_summaries_have_what_their_steps_change():
    simulator = Simulator(leaky(), chip=COARSE)
    x = np.zeros((1, 100, 1), int)
    with pytest.warns(EventsimWarning, match="in a run of 100 steps"):
        assert set(evaluate(simulator, x).weights["neuron2"].constants) == {"leak"}
    assert not evaluate(simulator, x[:, :4]).weights["neuron2"].constants
