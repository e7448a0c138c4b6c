"""The slow definition of every statistic, from plain arrays of levels, membranes and answers.

It shares no code with `eventsim.statistics`: loops over samples, neurons and steps, whole numbers of
Python and exact fractions, made floats once at the end.

    expected = trains(levels, bits, signed, chosen)   # {field or derived number: value}
    expected = membranes(node, shape, H, U, levels, chosen)  # the same of one layer of neurons
    expected = decisions(outputs, labels)             # the same of the answers

`levels`, `H` and `U` are (N, T, *shape); neurons are taken in the order of the flattened shape.
"""

import math
from fractions import Fraction

import numpy as np

LONGEST = 1024  # steps from which on intervals share the histogram's last bin


# ---------------------------------------------------------------- what a node sent


def trains(levels, bits, signed, chosen):
    """Every field and every derived number of `TrainStatistics`, but `variation_sums` (see
    `variations`). chosen: the neurons whose correlations are wanted."""
    return {**events(levels, bits, signed), **intervals(levels, chosen)}


def events(levels, bits, signed):
    """What record=("statistics",) sums up, and what follows from it."""
    n, steps = levels.shape[:2]
    neurons = math.prod(levels.shape[2:])
    flat = levels.reshape(n, steps, neurons).tolist()
    top = 2**bits - 1
    lowest = -top if signed else 0
    found = {
        "shape": tuple(levels.shape[2:]), "bits": bits, "signed": signed, "n_samples": n, "n_steps": steps,
        "n_neurons": neurons, "chances": n * steps, "lowest_level": lowest,
        "events": [0] * neurons, "squares": [0] * neurons, "events_by_step": [0] * steps,
        "plane_events": [[0] * neurons for _ in range(bits * (2 if signed else 1))],
        "level_counts": [0] * (top - lowest + 1),
    }
    for neuron in range(neurons):
        for sample in range(n):
            in_sample = 0
            for step in range(steps):
                level = flat[sample][step][neuron]
                found["level_counts"][level - lowest] += 1
                if level == 0:
                    continue
                in_sample += 1
                found["events_by_step"][step] += 1
                for bit in range(bits):
                    plane = bit + (bits if level < 0 else 0)
                    found["plane_events"][plane][neuron] += (abs(level) // 2**bit) % 2
            found["events"][neuron] += in_sample
            found["squares"][neuron] += in_sample**2
    found.update(_of_events(found, n, steps, neurons))
    found.update(_of_levels(found, top))
    return found


def _of_events(found, n, steps, neurons):
    chances = n * steps
    rate = _ratio(sum(found["events"]), chances * neurons)
    return {
        "rates": [_ratio(count, chances) for count in found["events"]],
        "rate": rate,
        "sparsity": 1 - rate,
        "rate_by_step": [_ratio(count, n * neurons) for count in found["events_by_step"]],
        "silent": [count == 0 for count in found["events"]],
        "saturated": [count == chances for count in found["events"]],
        "silent_share": _ratio(sum(count == 0 for count in found["events"]), neurons),
        "saturated_share": _ratio(sum(count == chances for count in found["events"]), neurons),
        "fano": [_fano(count, square, n) for count, square in zip(found["events"], found["squares"])],
    }


def _fano(count, square, n):
    """Variance over mean of a sample's events; the variance of the samples at hand, not an estimate
    of more."""
    if count == 0:
        return math.nan
    mean = Fraction(count, n)
    return float((Fraction(square, n) - mean**2) / mean)


def _of_levels(found, top):
    values = [found["lowest_level"] + i for i in range(len(found["level_counts"]))]
    total, n_events = sum(found["level_counts"]), sum(found["events"])
    shares = [_ratio(count, total) for count in found["level_counts"]]
    entropy = 0.0
    for share in shares:
        if share > 0:
            entropy -= share * math.log2(share)
    levels_sent = sum(abs(value) * count for value, count in zip(values, found["level_counts"]))
    on_top = sum(count for value, count in zip(values, found["level_counts"]) if abs(value) == top)
    return {
        "level_values": values,
        "level_shares": shares,
        "plane_use": [_ratio(sum(plane), total) for plane in found["plane_events"]],
        "mean_level": levels_sent / n_events if n_events else 0.0,
        "top_level_share": on_top / n_events if n_events else 0.0,
        "entropy": entropy,
        "information_per_event": entropy / _ratio(n_events, total) if n_events else math.nan,
    }


def intervals(levels, chosen):
    """What record=("intervals",) sums up, and what follows from it."""
    n, steps = levels.shape[:2]
    fired = levels.reshape(n, steps, -1) != 0
    neurons = fired.shape[2]
    found = {name: [0] * neurons for name in
             ("interval_counts", "interval_sums", "interval_squares", "variation_counts")}
    longest = min(steps, LONGEST)
    histogram = [0] * (longest + 1)
    for neuron in range(neurons):
        for lengths in intervals_of(fired[:, :, neuron]):
            for length in lengths:
                found["interval_counts"][neuron] += 1
                found["interval_sums"][neuron] += length
                found["interval_squares"][neuron] += length**2
                histogram[min(length, longest)] += 1
            found["variation_counts"][neuron] += max(len(lengths) - 1, 0)
    trains = fired[:, :, chosen].reshape(n * steps, -1).astype(int)
    together, n_events = (trains.T @ trains).tolist(), trains.sum(axis=0).tolist()
    sums = [Fraction(*pair) if pair[1] else None
            for pair in zip(found["interval_sums"], found["interval_counts"])]
    return {
        "n_detailed": n, **found, "interval_histogram": histogram,
        "mean_intervals": [math.nan if mean is None else float(mean) for mean in sums],
        "cv": [_cv(*row) for row in zip(*(found[f"interval_{name}"] for name in ("counts", "sums", "squares")))],
        "together": together,
        "correlations": [[_pearson(n * steps, both, of_a, of_b) for both, of_b in zip(row, n_events)]
                         for row, of_a in zip(together, n_events)],
    }


def intervals_of(fired):
    """One neuron's intervals in steps, a list for every sample. fired: bool (N, T)."""
    found = []
    for train in fired:
        at = np.flatnonzero(train).tolist()
        found.append([later - earlier for earlier, later in zip(at, at[1:])])
    return found


def variations(levels):
    """Per neuron the exact sum of ((I1 - I2) / (I1 + I2))^2 over intervals that follow each other in
    one sample, as a Fraction. LV is 3 times its mean."""
    fired = levels.reshape(*levels.shape[:2], -1) != 0
    return [
        sum(
            (Fraction((b - a) ** 2, (b + a) ** 2) for lengths in intervals_of(fired[:, :, neuron])
             for a, b in zip(lengths, lengths[1:])),
            Fraction(0),
        )
        for neuron in range(fired.shape[2])
    ]


def _cv(count, total, squares):
    if count == 0:
        return math.nan
    mean = Fraction(total, count)
    return math.sqrt(Fraction(squares, count) - mean**2) / float(mean)


def _pearson(n, both, of_a, of_b):
    """Correlation of two trains of n steps, of their events and of those in the same steps; nan where one never
    changes."""
    covariance = n * both - of_a * of_b
    spread_a, spread_b = n * of_a - of_a**2, n * of_b - of_b**2
    if spread_a == 0 or spread_b == 0:
        return math.nan
    return covariance / math.sqrt(spread_a * spread_b)


def _ratio(above, below):
    return above / below if below else math.nan  # of whole numbers, rounded once


# ---------------------------------------------------------------- membranes


def phi(u, n_levels=1):
    """The rectified membrane of MPR (InfLoR-SNN, eq. 9), in quanta; with several levels above 0 the
    same curve around each of them."""
    if n_levels > 1 and u > 1:
        return 1 + phi(u - 1, n_levels - 1)
    if u < 0:
        return 1 - (1 - u) ** (1 / 3)
    if u <= 1:
        return math.tanh(3 * (u - 1 / 2)) / (2 * math.tanh(3 / 2)) + 1 / 2
    return u ** (1 / 3)


def unrectified(value):
    """The u of which phi(u) is `value`, by halving."""
    low, high = -1e6, 1e6
    while True:
        middle = (low + high) / 2
        if middle in (low, high):
            return high
        low, high = (low, middle) if phi(middle) >= value else (middle, high)


def membranes(node, shape, H, U, levels, chosen):
    """Every number of `MembraneStatistics` that has no bins, and the values that its bins hold.

    H, U: float64 (N, T, *shape) in the model's unit, before and after the reset. chosen: the neurons to
    look at.
    """
    n, steps = H.shape[:2]
    theta, quantum, bits = (_per_neuron(value, shape)[chosen]
                            for value in (node.v_threshold, node.quantum, node.bits))
    neurons = len(theta)
    tops = [2 ** int(b) - 1 for b in bits]
    quantum = np.array([_scale(node, *numbers) for numbers in zip(theta, quantum, tops)])
    in_thresholds = all(value > 0 for value in theta)
    units = theta if in_thresholds else quantum
    h, u, o = (array.reshape(n, steps, -1)[:, :, chosen] for array in (H, U, levels))
    finite = [float(v) for v in (h / units).ravel() if math.isfinite(v)]
    found = {
        "n_samples": n, "n_steps": steps, "unit": "thresholds" if in_thresholds else "quanta",
        "threshold": math.fsum(t / q for t, q in zip(theta, units)) / neurons,
        "step": math.fsum(q / t for q, t in zip(quantum, units)) / neurons,
        "n_levels": max(tops), "n_not_finite": int((~np.isfinite(h)).sum()),
        "lowest": min(finite, default=math.inf), "highest": max(finite, default=-math.inf),
        "mean_by_step": _means(u / units), "square_by_step": _means(u / units, square=True),
        "error_by_step": _means(h / quantum - o, square=True), "rectified_error_by_step": None,
        "rectified_error": math.nan,
        "values": {"potentials": h / units, "residuals": u / units, "rectified": None},
        "distances": _distances(node, h, theta, quantum, tops),
    }
    if node.rectify:
        rectified = np.array([[[phi(v, top) for v, top in zip(row, tops)] for row in sample]
                              for sample in h / quantum])
        found["values"]["rectified"] = rectified * quantum / units
        found["rectified_error_by_step"] = _means(rectified - o, square=True)
        found["rectified_error"] = float(np.mean(found["rectified_error_by_step"]))
    found["error"] = float(np.mean(found["error_by_step"]))
    found["drift"] = [math.sqrt(np.mean(found["square_by_step"][:, step])) for step in range(steps)]
    return found


def _scale(node, theta, quantum, top):
    """The size of a level in the membrane of one neuron: its quantum, where a soft reset subtracts that, a second
    threshold is that far from the first, or MPR counts in it; else what its threshold says."""
    in_membrane = node.kind != "Alpha" and (node.reset == "soft" or top > 1 or node.rectify)
    return quantum if in_membrane or theta <= 0 else theta


def _means(values, square=False):
    """float64 (N, T): mean over the neurons whose value is finite, or of their squares."""
    found = np.full(values.shape[:2], math.nan)
    for place in np.ndindex(found.shape):
        finite = [float(v) for v in values[place] if math.isfinite(v)]
        if finite:
            terms = [v * v for v in finite] if square else finite
            found[place] = math.fsum(terms) / len(terms) if all(map(math.isfinite, terms)) else math.inf
    return found


def _distances(node, h, theta, quantum, tops):
    """|H - the nearest threshold that it meets| in quanta. A rectified membrane of one bit meets its
    threshold where phi(H) does."""
    found = np.zeros(h.shape)
    for i, top in enumerate(tops):
        first = theta[i]
        if node.rectify and top == 1:
            first = quantum[i] * unrectified(theta[i] / quantum[i])
        thresholds = [first + k * quantum[i] for k in range(top)]
        if node.signed:
            thresholds += [-threshold for threshold in thresholds]
        for k in range(0, len(thresholds), 64):  # levels of 16 bits have 65535
            nearest = np.min([np.abs(h[:, :, i] - t) for t in thresholds[k : k + 64]], axis=0) / quantum[i]
            found[:, :, i] = nearest if k == 0 else np.minimum(found[:, :, i], nearest)
    return found


def _per_neuron(value, shape):
    """A scalar, per-channel or per-neuron parameter, one float for every neuron."""
    value = np.asarray(value, np.float64)
    if value.size == 1:
        value = value.reshape(())
    elif value.shape != tuple(shape):
        value = value.reshape(shape[0], *[1] * (len(shape) - 1))
    return np.broadcast_to(value, shape).ravel()


# ---------------------------------------------------------------- answers


def decisions(outputs, labels=None):
    """Every field and derived number of `Decisions`, one sample and one step after another."""
    n, steps, classes = outputs.shape
    final, correct = [0] * steps, [0] * steps
    confusion = [[0] * classes for _ in range(classes)]
    first_final = []
    for sample in range(n):
        answers = [max(range(classes), key=lambda c: (outputs[sample, step, c], -c)) for step in range(steps)]
        since = steps - 1
        while since > 0 and answers[since - 1] == answers[-1]:
            since -= 1
        final[since] += 1
        first_final.append(since + 1)
        if labels is not None:
            for step in range(steps):
                correct[step] += answers[step] == labels[sample]
            confusion[labels[sample]][answers[-1]] += 1
    found = {
        "n_samples": n, "final": final,
        "final_share": [sum(final[: step + 1]) / n for step in range(steps)],
        "mean_final_step": sum(first_final) / n,
        "correct": None, "confusion": None, "accuracy_by_step": None, "accuracy": None,
    }
    if labels is not None:
        found.update(correct=correct, confusion=confusion, accuracy_by_step=[c / n for c in correct],
                     accuracy=correct[-1] / n)
    return found
