"""Contours as a picture of all levels: the same as filling them at once."""

from __future__ import annotations

import numpy as np

from napari_medseg.data.slide_contours import SlideContours
from napari_medseg.io.contour_file import Contour, Part
from napari_medseg.widgets.contour_picture import picture_levels, shown_classes


def cell(y: float, x: float, name: str, color: str = "#010203") -> Contour:
    outer = np.array([(y, x), (y + 37, x + 3), (y + 20, x + 41)], np.float64)
    return Contour(parts=(Part(outer=outer),), class_names=(name,) if name else (), color=color)


def test_every_part_of_every_level_is_what_filling_at_once_gives() -> None:
    rng = np.random.default_rng(0)
    names = ["a", "b", ""]
    cells = tuple(cell(*rng.uniform(0, 2400, 2), names[i % 3]) for i in range(600))
    contours = SlideContours(contours=cells)
    shape = (2300, 2501)
    classes, values = shown_classes(contours)
    assert [(c.name, c.color) for c in classes] == [("a", "#010203"), ("b", "#010203"), ("no class", "#909090")]
    levels = picture_levels(contours, shape, values)
    assert [level.shape for level in levels] == [(2300, 2501), (1150, 1251), (575, 626)]
    for k, level in enumerate(levels):
        step = 2**k
        whole = contours.filled(((0, level.shape[0] * step), (0, level.shape[1] * step)), step, values)
        np.testing.assert_array_equal(np.asarray(level[...]), whole)
        np.testing.assert_array_equal(level[130:570, 500:601], whole[130:570, 500:601])
        np.testing.assert_array_equal(level[511:513, 512], whole[511:513, 512])
    assert {1, 2, 3} <= set(np.unique(levels[0][...]))


def test_more_classes_than_labels_can_tell_apart_share_the_last() -> None:
    classes, values = shown_classes(SlideContours(contours=tuple(cell(0, 0, str(i)) for i in range(300))))
    assert len(classes) == 254
    assert values.max() == 254
    assert (values[254:] == 254).all()
