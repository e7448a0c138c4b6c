"""What a terminal shows: how wide lines are, colours, notes, bars. Elsewhere output is plain and has no width."""

import os
import sys
import time
import warnings
from contextlib import contextmanager

from eventsim.errors import EventsimWarning
from eventsim.text import many

COLOURS = {"red": "31", "green": "32", "yellow": "33"}
SEVERITIES = {"fault:": "red", "warning:": "yellow"}  # of findings
COMPILING, ONCE = "compiling kernels", ", once for this machine"  # ONCE: where they are kept
LAYOUT = "{desc} |{bar}| {n_fmt}/{total_fmt} UNIT {elapsed}"  # of a bar, in tqdm's words


def terminal_size():
    """(columns, lines) of the terminal, as `shutil.get_terminal_size`, which takes longer to import than a
    help."""
    try:
        sizes = os.get_terminal_size(sys.__stdout__.fileno())
    except (AttributeError, ValueError, OSError):  # closed, or no terminal
        sizes = (0, 0)
    given = [os.environ.get(name, "") for name in ("COLUMNS", "LINES")]
    return tuple(int(text) if text.isdecimal() and int(text) else size or standard
                 for text, size, standard in zip(given, sizes, (80, 24)))


def width():
    """Columns of the terminal that standard output is, or None: a file or a pipe takes lines of any length."""
    return max(terminal_size()[0], 20) if sys.stdout.isatty() else None


def print_line(*pieces) -> None:
    """Print a line of pieces: texts, and (text, colour) in a colour of COLOURS on a terminal, not with NO_COLOR
    set nor where TERM is dumb. The codes of colours alone go past what keeps texts from steering a terminal."""
    terminal = getattr(sys.stdout, "raw", sys.stdout)
    coloured = sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    for piece in pieces:
        text, colour = piece if isinstance(piece, tuple) else (piece, None)
        if colour and coloured:
            terminal.write(f"\033[{COLOURS[colour]}m")
        print(text, end="")
        if colour and coloured:
            terminal.write("\033[0m")
    print()


def print_marked(text, colours) -> None:
    """Print lines, the first word of each in its colour, if it has one: word -> colour."""
    for line in text.split("\n"):
        word = line.partition(" ")[0]
        print_line((word, colours[word]), line[len(word):]) if word in colours else print_line(line)


def keep_matplotlib_quiet() -> None:
    """Keep off standard error what matplotlib logs of folders that it cannot write: it goes on without."""
    import logging

    logging.getLogger("matplotlib").setLevel(logging.ERROR)


def tell(text) -> None:
    """Say something in a line of standard error."""
    print(f"eventsim: {text}", file=sys.stderr)


@contextmanager
def warnings_by(tell):
    """Let a function of a text say eventsim's warnings, each time that there is one; others are shown as ever."""
    with warnings.catch_warnings():
        warnings.simplefilter("always", EventsimWarning)
        shown = warnings.showwarning

        def show(message, category, *where, **more):
            tell(message) if issubclass(category, EventsimWarning) else shown(message, category, *where, **more)

        warnings.showwarning = show
        yield


class Screen:
    """What a command says while it works, on standard error. quiet: no bars. verbose: what was done, and how long
    it took. notes: what `note` has said, for the JSON."""

    def __init__(self, arguments):
        self.quiet, self.verbose = getattr(arguments, "quiet", False), getattr(arguments, "verbose", False)
        self.notes = []

    def note(self, text, silently=False) -> None:
        """Say what a reader of the result has to know, once, and keep it. silently: only keep it."""
        if str(text) not in self.notes:
            self.notes.append(str(text))
            if not silently:
                tell(text)

    @contextmanager
    def doing(self, what):
        """Say, if that is asked for, how long something took."""
        began = time.perf_counter()
        yield
        if self.verbose:
            print(f"eventsim: {what}: {time.perf_counter() - began:.2f} s", file=sys.stderr)

    @contextmanager
    def bar(self, total, unit="samples", title="running"):
        """Give a function that is called with how many of `total` are done, and moves a bar on a terminal, where
        tqdm is installed.
        It appears with the first move. A second argument is a new total."""
        bar, began, shown = self._tqdm(), time.time(), []

        def move(done, new_total=None):
            if bar is not None:
                if not shown:
                    shown.append(bar(total=new_total or total, desc=title, leave=False, dynamic_ncols=True,
                                     file=getattr(sys.stderr, "raw", sys.stderr),
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
        from eventsim.kernels.compiling import base_of_kernels, watched

        kept = base_of_kernels() is not None
        with self.bar(None, "kernels", COMPILING + ONCE * kept) as move, watched(move) as progress:
            yield
        if self.verbose and progress.compiled:
            print(f"eventsim: compiled {many(progress.compiled, 'kernel')}{', kept for later runs' * kept}: "
                  f"{progress.seconds:.1f} s", file=sys.stderr)

    def _tqdm(self):
        """Return the class of bars, or None where none are shown."""
        if self.quiet or not sys.stderr.isatty():
            return None
        try:
            from tqdm import tqdm
        except ImportError:
            return None
        return tqdm
