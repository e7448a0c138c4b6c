"""Progress: a bar for what takes long, by tqdm, where it is installed."""

import sys
import warnings
from contextlib import contextmanager

DELAY = 2.0  # seconds before a bar appears


def in_notebook() -> bool:
    """Whether this runs in a Jupyter kernel, where output is shown as it comes."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return shell is not None and "IPKernelApp" in getattr(shell, "config", {})


@contextmanager
def sample_bar(total, wanted=None):
    """A function of the samples done, which moves a bar. wanted: None for a bar in notebooks alone."""
    bar = _bar() if (in_notebook() if wanted is None else wanted) else None
    if bar is None:
        yield lambda done: None
        return
    with bar(total=total, unit=" samples", leave=False, delay=DELAY) as shown:
        yield lambda done: shown.update(done - shown.n)


def _bar():
    """tqdm's class for this place, a widget where there are some, or None without tqdm."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that a notebook lacks widgets: tqdm then writes text
        try:
            from tqdm.auto import tqdm
        except ImportError:
            return None
    return tqdm
