"""Labels of a slide, box by box, against the whole of them made pixel by pixel."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.draw import polygon2mask

from napari_medseg.data.slide_contours import REGION, SlideContours, contours_path
from napari_medseg.data.slide_labels import SlideLabels, working_box
from napari_medseg.data.slide_master import SlideMaster
from napari_medseg.data.synthetic_slide import CLASSES
from napari_medseg.data.tile_tags import TileTag, tags_path, write_tile_tags
from napari_medseg.errors import DatasetError
from tests.data.slides import contour, make_slides

SHAPE = (640, 900)
STEP = 2
TRIANGLE = np.array([(50.0, 60.0), (400.0, 300.0), (80.0, 700.0)])


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """A data set with a case that has everything, and its labels at the resolution of the painting, made by hand."""
    folder = tmp_path_factory.mktemp("slides")
    dataset = make_slides(folder, kinds=())
    case = dataset.case("slide0")
    rng = np.random.default_rng(0)
    painted = np.full((SHAPE[0] // STEP, SHAPE[1] // STEP), 255, np.uint8)
    painted[100:160, 200:330] = rng.choice([0, 1, 2, 255], (60, 130))
    master = SlideMaster.create(dataset.labels_folder / "slide0.zarr", SHAPE, STEP, case="slide0", classes=CLASSES)
    master.write(((100, 160), (200, 330)), painted[100:160, 200:330])
    triangle = contour("necrosis", ((0, 1), (0, 1)))
    object.__setattr__(triangle.parts[0], "outer", TRIANGLE)
    contours = [contour(REGION, ((40, 500), (100, 620))), triangle, contour("tumour", ((120, 180), (140, 260)))]
    contours.append(contour("Ignore*", ((300, 330), (300, 330))))
    SlideContours(contours=tuple(contours)).write(contours_path(dataset.labels_folder, "slide0"))
    write_tile_tags(tags_path(dataset.labels_folder, "slide0"), [TileTag(((0, 64), (64, 128)), "stroma")])
    return SlideLabels.open(dataset, case, SHAPE), by_hand(painted)


def by_hand(painted):
    """Every pixel of the painting's grid, from the definition."""
    rows, columns = (np.arange(n) * STEP + STEP / 2 for n in painted.shape)
    labels = np.full(painted.shape, 255, np.uint8)
    labels[np.ix_((rows > 40) & (rows < 500), (columns > 100) & (columns < 620))] = 0
    # Pixel centres as corners of a grid whose pixel (i, j) lies at i * STEP + STEP / 2.
    labels[polygon2mask(painted.shape, (TRIANGLE - STEP / 2) / STEP)] = 2
    labels[np.ix_((rows > 120) & (rows < 180), (columns > 140) & (columns < 260))] = 1
    labels[np.ix_((rows > 300) & (rows < 330), (columns > 300) & (columns < 330))] = 255
    return np.where(painted != 255, painted, labels)


def test_paint_counts_before_contours_and_these_before_regions(drawn):
    labels, truth = drawn
    found = labels.read(((0, SHAPE[0]), (0, SHAPE[1])), STEP)
    assert found.shape == truth.shape
    # The triangle's edge may run through the middle of a pixel.
    assert (found != truth).sum() <= 3
    assert set(np.unique(found)) == {0, 1, 2, 255}


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_a_box_is_the_same_part_of_the_whole(drawn, data):
    labels, _ = drawn
    whole = labels.read(((0, SHAPE[0]), (0, SHAPE[1])), STEP)
    box = []
    for n in SHAPE:
        start = data.draw(st.integers(0, n // STEP - 1))
        box.append((start, data.draw(st.integers(start + 1, n // STEP))))
    found = labels.read(tuple((start * STEP, stop * STEP) for start, stop in box), STEP)
    np.testing.assert_array_equal(found, whole[slice(*box[0]), slice(*box[1])])


def test_coarser_and_finer_pixels_are_those_of_their_centres(drawn):
    labels, _ = drawn
    box = ((0, SHAPE[0]), (0, SHAPE[1]))
    fine = labels.read(box, 1)
    assert fine.shape == SHAPE
    np.testing.assert_array_equal(labels.read(box, 5), fine[2::5, 2::5])
    # A coarser level of the painting is up to a quarter of a pixel off.
    coarse = labels.read(box, 20)
    near = [fine[10 + y :: 20, 10 + x :: 20] == coarse for y in (-5, 0, 4) for x in (-5, 0, 4)]
    assert np.mean(np.any(near, axis=0)) > 0.995
    np.testing.assert_array_equal(labels.read(((100, 200), (120, 260)), 0.5)[::2, ::2], fine[100:200, 120:260])


def test_kinds_tell_what_there_is(drawn):
    labels, _ = drawn
    kinds = labels.kinds()
    assert kinds.painted
    assert kinds.has_mask
    assert (kinds.contours, kinds.regions) == (3, 1)
    assert kinds.tile_tags == {"stroma": 1}
    assert kinds.values == {0, 1, 2}


def test_outside_of_the_drawn_boxes_nobody_looked(drawn):
    labels, _ = drawn
    fine = labels.read(((0, SHAPE[0]), (0, SHAPE[1])), 1)
    for y0, y1, x0, x1 in labels.drawn_boxes().astype(int):
        fine[y0 : y1 + 1, x0 : x1 + 1] = 255
    assert (fine == 255).all()


def test_a_working_grid_is_asked_for_at_the_right_place(drawn):
    labels, _ = drawn
    working = (213, 300)
    box, step = working_box(((10, 74), (50, 114)), SHAPE, working)
    found = labels.read(box, step)
    assert found.shape == (64, 64)
    whole = labels.read(((0, SHAPE[0]), (0, SHAPE[1])), 1)
    centres = [
        ((np.arange(a, a + 64) + 0.5) * n / w).astype(int) for a, n, w in zip((10, 50), SHAPE, working, strict=True)
    ]
    assert (found != whole[np.ix_(*centres)]).mean() < 0.02


def test_a_slide_without_anything_says_so(tmp_path):
    dataset = make_slides(tmp_path, kinds=())
    labels = SlideLabels.open(dataset, dataset.case("slide0"), (2048, 3072))
    assert not labels.kinds().has_mask
    assert not labels.kinds().painted
    assert labels.drawn_boxes().shape == (0, 4)
    assert (labels.read(((5, 105), (0, 50)), 2) == 255).all()


def test_the_hash_follows_every_kind_of_label(tmp_path):
    dataset = make_slides(tmp_path, kinds=("paint", "contours", "tiles"))

    def current():
        return SlideLabels.open(dataset, dataset.case("slide0"), (2048, 3072)).content_hash()

    seen = [current()]
    SlideMaster.open(dataset.labels_folder / "slide0.zarr").write(((0, 1), (0, 1)), np.ones((1, 1), np.uint8))
    seen.append(current())
    write_tile_tags(tags_path(dataset.labels_folder, "slide0"), [])
    seen.append(current())
    SlideContours().write(contours_path(dataset.labels_folder, "slide0"))
    seen.append(current())
    tifffile.imwrite(dataset.labels_folder / "slide0-tissue.tif", np.ones((32, 48), np.uint8))
    seen.append(current())
    assert len(set(seen)) == len(seen)


def test_a_mask_of_a_whole_fraction_of_the_slide_counts_as_paint(tmp_path):
    dataset = make_slides(tmp_path, kinds=())
    case = dataset.case("slide0")
    mask = np.full((512, 768), 255, np.uint8)
    mask[100:200, 300:400] = 1
    tifffile.imwrite(dataset.labels_folder / "mask.tif", mask)
    case = dataset.update_case("slide0", revision=case.revision, label="mask.tif")
    labels = SlideLabels.open(dataset, case, (2048, 3072))
    np.testing.assert_array_equal(labels.read(((0, 2048), (0, 3072)), 4), mask)
    with pytest.raises(DatasetError, match="no whole fraction"):
        SlideLabels.open(dataset, case, (2048, 2048))


def test_values_can_be_translated(drawn):
    labels, _ = drawn
    value_of = np.arange(256, dtype=np.uint8)
    value_of[1], value_of[2] = 7, 1
    box = ((0, SHAPE[0]), (0, SHAPE[1]))
    np.testing.assert_array_equal(labels.translated(value_of).read(box, 4), value_of[labels.read(box, 4)])
