"""The slow reference: interprets a Model step by step, neuron by neuron, synapse by synapse.

It is the readable twin of `eventsim.lowering` and `eventsim.kernels` and shares no code with them:
it imports nodes and errors, nothing else (`test_reference` checks that). Every synapse exists as an
entry of an explicit list, and every count is taken by walking over events and those lists, so that
no fan-out formula of the engine can be wrong here in the same way.

    result = simulate(model, x, "float32")          # or "float64", "int8"
    result = simulate(model, x, "fixed", chip=p)  # a chip's arithmetic
    result.levels["conv1"]                           # (N, T, C, H, W)

    numbers     how numbers are rounded, limited and made whole
    synapses    trains and kernels, and every synapse as one entry of a list
    folding     `Folded`: what a reader of spikes sees, all in float64
    neurons     `CompiledLayer`: a layer in the run's type; `Membranes`: what changes in it
    run         the loop over steps, and the counts

Arrays of neurons are flat here, in the order channel, row, column (`reshape(shape)` restores the
node's shape).

What a layer computes in one step, one operation after another (floats round after each):

    sum       ((path 1 + path 2) + ...), limited to its width
    X         [gain per neuron * sum, shifted left by weight_shift,] + bias of the synapses
    I         current_leak * I + X, or X; limited
    H         leak * U + I, + drive, late reset, refractoriness; limited
    levels, U the thresholds from the top plane down, the reset, v_min

`drive` is the neuron's bias and the leak potential (1 - leak) * v_leak, summed exactly, rounded
once. Only a neuron that has current_leak adds it there: without, the two are further constants in
the bias of X. A SigmaDelta goes on from I = X:

    S         S + I ("sigma_delta") or I ("delta"), limited
    a         S + bias, not below 0 where it rectifies
    d, o      a - sent; d where abs(d) >= v_threshold, else 0;  sent = sent + o
    level     floor(o / quantum), kept within its bits

An Alpha goes on from X:

    E, I      excitatory_leak * E + X, inhibitory_leak * I + X; their difference is the recorded current
    H         gain * (E - I)
    reset     where H of the step before is above v_threshold: all three are 0 ("hard"), or the I of the step
              before is taken from H, v_threshold from E, and I is 0 ("soft")
    level     1 where H is above v_threshold

A path is the synapses of one train, or the largest, in every window of a MaxPool, of a sum of such paths
and its own bias:

    Z         (path 1 + path 2) + ..., + bias, both of the map before the pool
    path      max of Z over the window, taken away where a BatchNorm or gain behind the pool is negative

Widths, shifts and limits are those of a chip; without one nothing is limited ("int8" raises
where int32 ends).
"""

from reference.folding import Folded
from reference.numbers import bounds_of, divided, fixed_point, limited, phi, round_half_away
from reference.run import fixed_points, simulate

__all__ = [
    "Folded", "bounds_of", "divided", "fixed_point", "fixed_points", "limited", "phi", "round_half_away",
    "simulate",
]
