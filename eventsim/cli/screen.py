"""What a terminal shows: how wide lines are, colours, notes, bars. Elsewhere output is plain and has no width."""

import os
import shutil
import sys
import time
from contextlib import contextmanager

COLOURS = {"bold": "1", "red": "31", "green": "32", "yellow": "33"}
COMPILING = "compiling kernels, once for this machine"
LAYOUT = "{desc} |{bar}| {n_fmt}/{total_fmt} UNIT {elapsed}"  # of a bar, in tqdm's words


def width():
    """Columns of the terminal that standard output is, or None: a file or a pipe takes lines of any length."""
    return max(shutil.get_terminal_size().columns, 20) if sys.stdout.isatty() else None


def painted(text, colour, stream=None) -> str:
    """Text in a colour of COLOURS on a terminal; as it is elsewhere, with NO_COLOR set, and where TERM is dumb."""
    stream = sys.stdout if stream is None else stream
    if not stream.isatty() or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return text
    return f"\033[{COLOURS[colour]}m{text}\033[0m"


class Screen:
    """What a command says while it works, on standard error. quiet: no bars. verbose: what was done, and how long
    it took."""

    def __init__(self, arguments):
        self.quiet, self.verbose = getattr(arguments, "quiet", False), getattr(arguments, "verbose", False)

    @contextmanager
    def doing(self, what):
        """Say, if that is asked for, how long something took."""
        began = time.perf_counter()
        yield
        if self.verbose:
            print(f"eventsim: {what}: {time.perf_counter() - began:.2f} s", file=sys.stderr)

    @contextmanager
    def bar(self, total, unit="samples", title="running"):
        """A function of how many of `total` are done, which moves a bar: on a terminal, where tqdm is installed.
        It appears with the first move. A second argument is a new total."""
        bar, began, shown = self._tqdm(), time.time(), []

        def move(done, new_total=None):
            if bar is not None:
                if not shown:
                    shown.append(bar(total=new_total or total, desc=title, leave=False, dynamic_ncols=True,
                                     bar_format=LAYOUT.replace("UNIT", unit)))
                    shown[0].start_t = began
                shown[0].total = new_total or shown[0].total
                shown[0].update(done - shown[0].n)
                shown[0].refresh()

        try:
            yield move
        finally:
            for each in shown:
                each.close()

    @contextmanager
    def compiling(self):
        """Say that kernels are compiled, and how many of them are, while the body runs; with -v also how long that
        took."""
        from eventsim.kernels.compiling import watched

        with self.bar(None, "kernels", COMPILING) as move, watched(move) as progress:
            yield
        if self.verbose and progress.compiled:
            print(f"eventsim: compiled {progress.compiled} kernels, kept for later runs: {progress.seconds:.1f} s",
                  file=sys.stderr)

    def _tqdm(self):
        """The class of bars, or None where none are shown."""
        if self.quiet or not sys.stderr.isatty():
            return None
        try:
            from tqdm import tqdm
        except ImportError:
            return None
        return tqdm
