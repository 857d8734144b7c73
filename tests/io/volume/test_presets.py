"""Windows of Hounsfield units: level and width the right way round, and which one comes first."""

from __future__ import annotations

import numpy as np
import pytest

from napari_medseg.io.volume.presets import AS_FILE, WINDOW_KEY, WINDOWS, contrast_limits, default_limits, windows_of
from napari_medseg.structures import Image

_CT = Image(levels=(np.zeros((2, 3, 3), np.int16),), axes="zyx", kind="ct")


@pytest.mark.parametrize(
    ("name", "black", "white"),
    [("soft tissue", -160, 240), ("liver", 15, 165), ("lung", -1350, 150), ("bone", -770, 1730), ("brain", 0, 80)],
)
def test_windows_show_what_they_are_named_after(name: str, black: float, white: float) -> None:
    assert contrast_limits(*WINDOWS[name]) == (black, white)


def test_the_files_own_window_comes_first() -> None:
    own = Image(levels=_CT.levels, axes="zyx", kind="ct", metadata={WINDOW_KEY: (50.0, 350.0)})
    assert next(iter(windows_of(own))) == AS_FILE
    assert default_limits(own) == (-125, 225)
    assert default_limits(_CT) == (-160, 240)


def test_other_images_and_pictures_of_ct_have_no_hounsfield_units() -> None:
    assert default_limits(Image(levels=_CT.levels, axes="zyx", kind="mr")) is None
    assert default_limits(Image(levels=(np.zeros((3, 3), np.uint8),), axes="yx", kind="ct")) is None
