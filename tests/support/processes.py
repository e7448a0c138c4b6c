"""Processes of Python that import the eventsim that the tests import, wherever they are started."""

import os
import subprocess
import sys
from pathlib import Path

import eventsim

PACKAGES = str(Path(eventsim.__file__).parents[1])


def environment(**variables):
    """The environment of such a process. Without PYTHONSAFEPATH (Python 3.11) `-c` and `-m` would import the
    checkout that pytest runs in before what is installed, and compile its kernels anew."""
    path = os.pathsep.join(filter(None, (PACKAGES, os.environ.get("PYTHONPATH"))))
    return {**os.environ, "PYTHONPATH": path, "PYTHONSAFEPATH": "1", **variables}


def python(*arguments, **options):
    """Run this interpreter; returns the CompletedProcess, whose output is text, captured unless options say
    otherwise."""
    options = {"env": environment(), "text": True, **({} if "stdout" in options else {"capture_output": True}),
               **options}
    return subprocess.run([sys.executable, *map(str, arguments)], **options)
