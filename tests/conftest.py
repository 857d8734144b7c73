"""Fixtures that many tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

# Read before napari is imported anywhere: tests must not read or write the user's settings.
os.environ.setdefault("NAPARI_CONFIG", "")


def _data_root() -> Path | None:
    candidates = [os.environ.get("MEDSEG_DATA", ""), Path(__file__).parents[2] / "shared" / "data"]
    return next((Path(c) for c in candidates if c and Path(c).is_dir()), None)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder with real labelled images; skips where there is none."""
    root = _data_root()
    if root is None:
        pytest.skip("real images are not here: put them at ../shared/data or name their folder in MEDSEG_DATA")
    return root
