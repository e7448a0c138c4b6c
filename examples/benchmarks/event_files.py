"""How fast recordings are read: format x file x events x time, beside faery or the format's plain NumPy.

    python examples/benchmarks/event_files.py [--files FOLDER] [--rounds 5] [--json]

FOLDER: recordings to read too, such as `oracles/events`. Two million events are also written in each format that
needs no package, so that every reader has work. Each reader goes over all events of a file, rounds times, taking
turns; the fastest counts. "Beside" is faery's reader where it reads the format, through which eventsim reads
AEDAT 4 and ES in a process of its own, or else `numpy.fromfile` and the shifts of the format written by hand.
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support")]

import eventsim  # noqa: E402
from event_files import (  # noqa: E402
    aedat3_packet, made_events, structured, write_aedat2, write_aedat3, write_dat, write_evt2, write_recording,
)

N_EVENTS = 2_000_000


def written(folder):
    """{file: reader by hand, or None} of large recordings in each format."""
    events = made_events(N_EVENTS, 128, 128, step=4)
    write_aedat2(folder / "aedat2.aedat", events)
    size = 10_000
    write_aedat3(folder / "aedat3.aedat", *(
        aedat3_packet({key: column[i : i + size] for key, column in events.items()})
        for i in range(0, N_EVENTS, size)))
    write_dat(folder / "dat2.dat", events, lines=b"% Height 128\n% Width 128\n")
    write_evt2(folder / "evt2.raw", events, b"% evt 2.0\n% geometry 128x128\n% end\n")
    write_recording(folder / "nmnist.bin", events["x"], events["y"], events["p"], events["t"])
    np.save(folder / "structured.npy", structured(events))
    np.savez(folder / "columns.npz", **events)
    rows = zip(*(events[key][: N_EVENTS // 10].tolist() for key in "txyp"))
    (folder / "text.csv").write_text("t,x,y,p\n" + "".join("%d,%d,%d,%d\n" % row for row in rows))
    return {folder / name: by_hand for name, by_hand in HANDS.items()}


def hand_aedat2(path):
    """jAER's DVS128 addresses."""
    data = path.read_bytes()
    place = data.index(b"made for a test\r\n") + 17
    address, t = np.frombuffer(data, ">u4", offset=place).reshape(-1, 2).T
    return t.astype(np.int64), 127 - (address >> 1 & 127), address >> 8 & 127, 1 - (address & 1)


def hand_bin(path):
    """N-MNIST's 5 bytes."""
    x, y, a, b, c = np.fromfile(path, np.uint8).reshape(-1, 5).T.astype(np.int64)
    return (a & 127) << 16 | b << 8 | c, x, y, a >> 7


def hand_npy(path):
    """numpy.load."""
    rows = np.load(path)
    return tuple(rows[key].copy() for key in "txyp")


def hand_npz(path):
    """numpy.load."""
    with np.load(path) as found:
        return tuple(found[key] for key in "txyp")


def hand_csv(path):
    """numpy.loadtxt."""
    return tuple(np.loadtxt(path, np.int64, delimiter=",", skiprows=1).T)


HANDS = {"aedat2.aedat": hand_aedat2, "aedat3.aedat": None, "dat2.dat": None, "evt2.raw": None,
         "nmnist.bin": hand_bin,
         "structured.npy": hand_npy, "columns.npz": hand_npz, "text.csv": hand_csv}


def read_by_eventsim(path):
    """Number of events."""
    return sum(len(block) for block in eventsim.open_events(path))


def read_by_faery(path):
    """Number of events, or None where faery is missing or does not read the file."""
    try:
        import faery

        return sum(len(packet) for packet in faery.events_stream_from_file(path))
    except BaseException as error:  # whatever it has against a file; what its compiled part raises is no Exception
        if isinstance(error, KeyboardInterrupt):
            raise
        return None


def read_by_hand(by_hand):
    """A function like the others."""
    return lambda path: len(by_hand(path)[0])


def measured(path, readers, rounds):
    """[(name of the reader, events, fastest seconds)]."""
    seconds, counts = {}, {}
    for _ in range(rounds):
        for name, reader in readers.items():
            began = time.perf_counter()
            counts[name] = reader(path)
            seconds.setdefault(name, []).append(time.perf_counter() - began)
    return [(name, counts[name], min(found)) for name, found in seconds.items() if counts[name] is not None]


def rows_of(files, rounds):
    """One row for each file, as plain data."""
    for path, by_hand in files.items():
        readers = {"eventsim": read_by_eventsim, "faery": read_by_faery}
        if by_hand is not None:
            readers["NumPy"] = read_by_hand(by_hand)
        try:
            (_, n, own), *others = measured(path, readers, rounds)
        except eventsim.EventsimError as error:
            print(error, file=sys.stderr)
            continue
        yield {"file": path.name, "events": n, "seconds": own, "events_per_second": n / own,
               "others": {name: {"events": m, "seconds": taken} for name, m, taken in others}}


def main():
    """Print the table."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--files", type=Path, metavar="FOLDER")
    options.add_argument("--rounds", type=int, default=5, metavar="N")
    options.add_argument("--json", action="store_true")
    asked = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        files = written(Path(folder))
        if asked.files is not None:
            files.update((path, hand_bin if path.suffix == ".bin" else None)
                         for path in sorted(asked.files.iterdir())
                         if path.suffix in (".bin", ".dat", ".raw", ".aedat4", ".aedat", ".es"))
        rows = [row for row in rows_of(files, asked.rounds) if row["events"]]
    if asked.json:
        print(json.dumps(rows))
        return
    print("| file | events | ms | million events a second | beside |\n|---|---|---|---|---|")
    for row in rows:
        others = row["others"].items()
        beside = ", ".join(f"{name} {1e3 * other['seconds']:.1f} ms" for name, other in others) or "-"
        print(f"| `{row['file']}` | {row['events']:,} | {1e3 * row['seconds']:.1f} | "
              f"{row['events_per_second'] / 1e6:.1f} | {beside} |")


if __name__ == "__main__":
    main()
