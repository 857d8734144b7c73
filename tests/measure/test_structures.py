"""Volumes, parts, grey values and diameters of structures, against phantoms whose figures are known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from napari_medseg.data.dataset_file import mask_classes
from napari_medseg.measure.registry import measure
from napari_medseg.measure.space import Space
from napari_medseg.measure.structures import MOST_PARTS, structure_rows
from napari_medseg.measure.subject import Subject

CLASSES = mask_classes(["organ", "lesion"])
STEPS = (2.5, 0.8, 0.5)


def subject(labels, *, grey=None, steps=STEPS, kind="ct") -> Subject:
    return Subject(name="a", labels=labels, classes=CLASSES, space=Space(steps=steps), grey=grey, kind=kind)


def ellipsoid(center, radii, shape=(40, 90, 120)) -> np.ndarray:
    """All voxels whose middles lie in an ellipsoid; centre and radii in millimetres from the first voxel's middle."""
    places = np.indices(shape) * np.reshape(STEPS, (3, 1, 1, 1))
    scaled = (places - np.reshape(center, (3, 1, 1, 1))) / np.reshape(radii, (3, 1, 1, 1))
    return (scaled**2).sum(axis=0) <= 1


def test_an_ellipsoid_has_its_volume_and_its_axes_in_anisotropic_voxels():
    radii = (30.0, 24.0, 12.0)
    labels = ellipsoid((50, 36, 30), radii).astype(np.uint8)
    whole, part = structure_rows(subject(labels))[:2]
    assert whole.volume_mm3 == part.volume_mm3 == pytest.approx(4 / 3 * np.pi * np.prod(radii), rel=0.01)
    assert (whole.parts, part.measure, part.part) == (1, "part", 1)
    assert (part.long_mm, part.short_mm) == (pytest.approx(48, abs=0.9), pytest.approx(24, abs=0.9))
    assert (part.z, part.y, part.x) == (20, 45, 60)


def test_parts_are_listed_by_size_and_grey_values_are_those_inside():
    rng = np.random.default_rng(3)
    small, large = ellipsoid((25, 16, 12), (8, 8, 8)), ellipsoid((60, 45, 40), (12, 12, 12))
    labels = np.where(small | large, 2, 0).astype(np.uint8)
    grey = rng.normal(0, 300, labels.shape).astype(np.int16)
    grey[small] = 40
    rows = structure_rows(subject(labels, grey=grey))
    assert [(r.structure, r.measure, r.part) for r in rows] == [
        ("organ", "size", None),
        ("lesion", "size", None),
        ("lesion", "part", 1),
        ("lesion", "part", 2),
    ]
    empty, whole, first, second = rows
    assert (empty.pixels, empty.parts, empty.grey_mean) == (0, None, None)
    assert (first.pixels, second.pixels) == (large.sum(), small.sum())
    assert (second.grey_mean, second.grey_sd, second.grey_p5, second.grey_p95) == (40, 0, 40, 40)
    inside = grey[labels == 2].astype(float)
    assert (whole.grey_mean, whole.grey_sd) == (pytest.approx(inside.mean()), pytest.approx(inside.std()))
    assert whole.grey_median == pytest.approx(np.median(inside))
    assert (whole.grey_p5, whole.grey_p95) == pytest.approx(tuple(np.percentile(inside, [5, 95])))


@settings(max_examples=40, deadline=None)
@given(labels=arrays(np.uint8, st.tuples(*[st.integers(1, 6)] * 3), elements=st.sampled_from([0, 1, 2, 255])))
def test_parts_add_up_and_are_those_of_scikit_image(labels):
    from skimage.measure import label, regionprops

    grey = np.arange(labels.size, dtype=np.int32).reshape(labels.shape)
    rows = structure_rows(subject(labels, grey=grey))
    for value, c in enumerate(CLASSES, 1):
        whole = next(r for r in rows if r.measure == "size" and r.structure == c.name)
        parts = [r for r in rows if r.measure == "part" and r.structure == c.name]
        truth = regionprops(label(labels == value, connectivity=1), intensity_image=grey)
        assert sorted(r.pixels for r in parts) == sorted(int(one.num_pixels) for one in truth)
        assert sorted(r.grey_mean for r in parts) == pytest.approx(sorted(one.intensity_mean for one in truth))
        assert sum(r.pixels for r in parts) == whole.pixels == np.count_nonzero(labels == value)
        assert all(labels[r.z, r.y, r.x] == value for r in parts)
        assert [r.pixels for r in parts] == sorted((r.pixels for r in parts), reverse=True)


def test_the_place_of_a_ring_lies_on_the_ring():
    y, x = np.mgrid[-20:21, -20:21]
    ring = ((np.hypot(y, x) < 18) & (np.hypot(y, x) > 14)).astype(np.uint8)[np.newaxis]
    part = structure_rows(subject(ring))[1]
    assert ring[part.z, part.y, part.x] == 1


def test_without_spacing_there_are_pixels_and_grey_values_alone():
    labels = np.zeros((3, 8, 8), np.uint8)
    labels[1, 2:5, 2:6] = 1
    whole, part = structure_rows(subject(labels, grey=labels * 7, steps=(None, None, None)))[:2]
    assert (whole.volume_mm3, part.volume_mm3, part.long_mm) == (None, None, None)
    assert (part.pixels, part.grey_mean, part.y, part.x) == (12, 7, 3, 4)
    assert "no spacing" in whole.note
    in_plane = structure_rows(subject(labels, steps=(None, 1.0, 1.0)))[1]
    assert (in_plane.volume_mm3, in_plane.long_mm) == (None, pytest.approx(np.hypot(2, 4), abs=0.6))


def test_specks_are_counted_and_the_largest_listed():
    labels = np.zeros((1, 40, 40), np.uint8)
    labels[0, ::2, ::2] = 1
    labels[0, 39, 38:] = 1
    rows = structure_rows(subject(labels))
    assert rows[0].parts == 400
    assert f"largest {MOST_PARTS} of 400" in rows[0].note
    parts = [r for r in rows if r.measure == "part"]
    assert len(parts) == MOST_PARTS
    assert parts[0].pixels == 3


def test_values_that_are_no_numbers_do_not_count():
    labels = np.ones((2, 3, 3), np.uint8)
    grey = np.full(labels.shape, 5.0, np.float32)
    grey[0] = np.nan
    assert structure_rows(subject(labels, grey=grey))[0].grey_mean == 5
    grey[:] = np.nan
    assert structure_rows(subject(labels, grey=grey))[0].grey_mean is None


def test_slides_and_plain_pictures_have_sizes_alone():
    labels = np.ones((4, 4), np.uint8)
    for kind in ("slide", "image"):
        assert [r.measure for r in measure(subject(labels, steps=(1.0, 1.0), kind=kind))] == ["size", "size"]
    picture = measure(subject(labels, steps=(1.0, 1.0), kind="ultrasound"))
    assert [r.measure for r in picture] == ["size", "part", "size"]
    assert (picture[1].area_mm2, picture[1].volume_mm3, picture[1].z) == (16, None, None)
