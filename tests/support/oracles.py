"""What other simulators and chips computed, where it is at hand."""

from pathlib import Path

import pytest

_SHARED = Path(__file__).resolve().parents[3] / "shared"
_FOLDER, FIELD = _SHARED / "oracles", _SHARED / "field"
LAVA, NIR = _FOLDER / "lava", _FOLDER / "nir"
needs_lava = pytest.mark.skipif(not LAVA.is_dir(), reason="no ../shared/oracles")
needs_field = pytest.mark.skipif(not FIELD.is_dir(), reason="no ../shared/field")
needs_nir = pytest.mark.skipif(not NIR.is_dir(), reason="no ../shared/oracles")
