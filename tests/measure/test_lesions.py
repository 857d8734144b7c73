"""Sizes of lesions: volume of everything, axes of the largest part."""

from __future__ import annotations

import numpy as np
import pytest

from napari_medseg.measure.lesions import lesion_size
from napari_medseg.measure.space import Space

STEPS = (2.0, 0.5, 0.5)


def test_stray_pixels_count_as_volume_and_not_as_length():
    mask = np.zeros((5, 40, 40), bool)
    mask[1:4, 10:18, 10:14] = True
    alone = lesion_size(mask, Space(steps=STEPS))
    mask[2, 39, 39] = True
    strayed = lesion_size(mask, Space(steps=STEPS))
    assert strayed.pixels == alone.pixels + 1
    assert strayed.amount == pytest.approx(alone.amount + 0.5)
    assert (strayed.axes.long, strayed.axes.slice_index) == (alone.axes.long, 1)


def test_what_spacing_does_not_tell_is_left_out():
    mask = np.ones((3, 4, 4), bool)
    in_plane = lesion_size(mask, Space(steps=(None, 1.0, 1.0)))
    assert in_plane.amount is None
    assert in_plane.axes is not None
    assert lesion_size(mask, Space(steps=(None, None, None))).axes is None
    nothing = lesion_size(np.zeros((3, 4, 4), bool), Space(steps=STEPS))
    assert (nothing.pixels, nothing.amount, nothing.axes) == (0, 0.0, None)
