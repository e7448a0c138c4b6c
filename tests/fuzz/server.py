"""A fork server: this process imports and compiles, children do the cases, a thousand each, under limits.

A child writes what became of each case; where it dies or says nothing for too long, that is what became of the
case, and the next child goes on behind it.
"""

import faulthandler
import gc
import json
import os
import resource
import select
import shutil
import signal
import sys
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Callable, Iterable, Iterator, List, Tuple

from fuzz.cases import Case
from fuzz.corpus import folder_in_memory
from fuzz.trials import Outcome, trial

AT_ONCE = 1000  # cases of a child
LOOKED_EVERY = 0.5  # seconds
UNMADE = "unmade"  # stage of a case whose file h5py crashed in making
STACK = "stack"  # file where a child that crashes says where it was


@dataclass(frozen=True)
class Limits:
    """Of one case: seconds asleep, and of the processor; and bytes of address space beyond what the server has."""

    wall: float = 60
    processor: int = 40
    n_bytes: int = 3 << 30


@dataclass(frozen=True)
class Server:
    """Does cases in children. trial: (case, folder) -> Outcome."""

    limits: Limits = Limits()
    trial: Callable[[Case, Path], Outcome] = trial
    at_once: int = AT_ONCE

    def outcomes(self, cases: Iterable[Case]) -> Iterator[Tuple[Case, Outcome]]:
        """(case, what became of it), in order."""
        waiting, cases = [], iter(cases)
        with _folder() as folder:
            gc.freeze()  # children that collect garbage would copy our memory
            while True:
                waiting += islice(cases, self.at_once - len(waiting))
                if not waiting:
                    return
                for outcome in self._child(waiting, folder):
                    yield waiting.pop(0), outcome

    def one(self, case: Case) -> Outcome:
        """What becomes of one case."""
        return next(iter(replace(self, at_once=1).outcomes([case])))[1]

    def _child(self, waiting: List[Case], folder) -> Iterator[Outcome]:
        """What becomes of the first cases: of all, or up to one that ends the child."""
        read, write = os.pipe()
        sys.stdout.flush(), sys.stderr.flush()
        child = os.fork()
        if not child:
            os.close(read)
            self._serve(list(waiting), folder, write)
        os.close(write)
        try:
            yield from self._read(child, read, len(waiting), folder)
        finally:
            os.close(read)
            if child is not None and _is_running(child):
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)

    def _serve(self, waiting, folder, write):
        """What a child does. It never returns."""
        try:
            with open(folder.parent / STACK, "w") as stack:
                faulthandler.enable(stack)
                size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
                gc.set_threshold(20_000)  # as it is, 3 % of the time goes there
                for case in waiting:
                    used = resource.getrusage(resource.RUSAGE_SELF)
                    seconds = int(used.ru_utime + used.ru_stime) + self.limits.processor
                    _limit(resource.RLIMIT_CPU, seconds)
                    _limit(resource.RLIMIT_AS, size + self.limits.n_bytes)
                    outcome = self.trial(case, folder)
                    os.write(write, json.dumps(outcome).encode() + b"\n")
            os._exit(0)
        except BaseException as error:  # a fault of the campaign itself, which should be seen
            os.write(2, f"fuzz: {type(error).__name__}: {error}\n".encode())
            os._exit(99)

    def _read(self, child, read, n, folder):
        """Lines of a child, then how it died, where it died before n lines."""
        text, done, asleep, used = b"", 0, 0, 0
        while done < n:
            ready, _, _ = select.select([read], [], [], LOOKED_EVERY)
            part = os.read(read, 1 << 16) if ready else None
            if part:
                *lines, text = (text + part).split(b"\n")
                for line in lines:
                    yield Outcome(*json.loads(line))
                done, asleep = done + len(lines), 0
                continue
            if part is None:
                before, (used, state) = used, _used_and_state(child)
                asleep += LOOKED_EVERY * (used == before and state in "SD")
                if asleep < self.limits.wall:
                    continue
                os.kill(child, signal.SIGABRT)  # at which it says where it was
            status = os.waitpid(child, 0)[1]
            yield self._death(status, part is None, folder)
            _clear(folder)
            return
        os.waitpid(child, 0)

    def _death(self, status, waited, folder):
        where = _stack(folder)
        if where == UNMADE:
            return Outcome(UNMADE)
        if not os.WIFSIGNALED(status):
            return Outcome("died", "signal", f"exit status {os.WEXITSTATUS(status)}")
        number = os.WTERMSIG(status)
        if waited or number == signal.SIGXCPU:
            return Outcome("died", "hang", where, "no end within the limits")
        return Outcome("died", "signal", f"{signal.Signals(number).name} at {where}")


def _limit(what, most):
    hard = resource.getrlimit(what)[1]
    resource.setrlimit(what, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))


def _used_and_state(child):
    """Ticks of the processor that a child took, and the letter of its state. One that sleeps without end hangs;
    one that waits for the processor or was stopped does not, and one that computes without end meets its limit."""
    fields = Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12]), fields[0]


def _is_running(child):
    try:
        return os.waitpid(child, os.WNOHANG)[0] == 0
    except ChildProcessError:
        return False


def _stack(folder):
    """The innermost place in eventsim that a crashed child said, as "file:function"."""
    try:
        lines = (folder.parent / STACK).read_text().splitlines()
    except OSError:
        return "?"
    if any("/fuzz/damage.py" in line for line in lines):
        return UNMADE
    for line in lines:
        if "/eventsim/" in line and ' in ' in line:
            return "/".join(line.split('"')[1].split("/")[-2:]) + ":" + line.rpartition(" in ")[2]
    return "?"


def _clear(folder):
    for each in list(folder.iterdir()):
        shutil.rmtree(each) if each.is_dir() else each.unlink()


class _folder:
    """An empty folder in memory, in one of its own."""

    def __enter__(self):
        self._outer = folder_in_memory()
        inner = Path(self._outer.name) / "files"
        inner.mkdir()
        return inner

    def __exit__(self, *error):
        self._outer.cleanup()
