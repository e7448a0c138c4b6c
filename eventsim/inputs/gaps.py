"""Gaps: refuses, before it is run, silence that no recording means, such as one wild time leaves behind."""

from time import perf_counter

import numpy as np

from eventsim.errors import DataError
from eventsim.inputs.event_files.options import EventOptions, microseconds, UNITS


def without_gaps(stream, options: EventOptions, newest=None, live=False, at_once=False):
    """Return an `EventStream` up to the first event that is more than `longest_gap` later than all events before
    it. There it raises DataError, naming the time of that event, or, to keep going, ends, and its notes say so.

    newest: time of an event before the first one; None: the stream's start. live: whether blocks come as
    they happen, so that a gap may be longer by the time in which nothing came. at_once: whether the stream is
    read as a whole, so that its first step begins at its smallest time; an event that much before all others
    then leaves a gap, too.
    """
    longest = microseconds(options.longest_gap, "longest_gap")

    def blocks():
        known, came = stream.start if newest is None else newest, perf_counter()
        lowest, early = None, at_once and stream.start is None
        for block in stream:
            allowed = longest + ((perf_counter() - came) * UNITS["s"] if live else 0.0)
            came = perf_counter()
            t = block["t"]
            newest_so_far, lowest_so_far = (t[0] if each is None else each for each in (known, lowest))
            latest, earliest = int(t.max()), int(t.min())
            if latest - newest_so_far <= allowed and (not early or lowest_so_far - earliest <= allowed):
                known, lowest = max(int(newest_so_far), latest), min(int(lowest_so_far), earliest)
                yield block
                continue
            before = np.maximum.accumulate(np.concatenate((t[:1] if known is None else [known], t[:-1])))
            after = np.minimum.accumulate(np.concatenate((t[:1] if lowest is None else [lowest], t[:-1])))
            wild = np.flatnonzero((t - before > allowed) | early & (after - t > allowed))
            if wild.size:
                first = wild[0]
                if first:
                    yield block[:first]
                late = t[first] > before[first]
                message = _message(int(t[first]), int((before if late else after)[first]), longest)
                if not options.keep_going:
                    raise DataError(f"{stream.name}: {message}")
                stream.notes.append(f"{message}; what comes from there on is left out")
                return
            known, lowest = max(int(before[-1]), int(t[-1])), min(int(after[-1]), int(t[-1]))
            yield block

    return stream.with_blocks(blocks, stream.sensor_size, stream.start)


def _message(time, other, longest):
    """time: of the wild event. other: the newest time that came before, or the smallest."""
    place, which = ("after", "newest") if time > other else ("before", "smallest")
    return (f"an event at t = {time} us comes {abs(time - other) / UNITS['s']:.6g} s {place} {other} us, the "
            f"{which} time before it, and silence of at most {longest / UNITS['s']:g} s is run: mend its time, or "
            "allow more (longest_gap, --longest-gap TIME)")
