"""Training patches that hold one region each."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from napari_medseg.data.cropping import crop
from napari_medseg.data.intensity import Intensity
from napari_medseg.data.patches import index_of_values
from napari_medseg.data.region_patches import Jitter, RegionPatches, region_pixels
from napari_medseg.data.regions import RegionRule, mask_box
from napari_medseg.errors import DatasetError
from tests.factories import LESION_INFO, lesion_case

PLAIN = Intensity(channels=1, mean=(0.0,), std=(1.0,), window=(-50.0, 250.0))
RULE = RegionRule(margin=0.2, margin_mm=1.0)
STILL, SHAKEN = Jitter(shift=0, size=0), Jitter(shift=0.3, size=0.3)
SIZE = (8, 16, 16)


def patches(cases, boxes, **options):
    settings = {"index_of_value": index_of_values(LESION_INFO.classes), "jitter": STILL, **options}
    return RegionPatches(cases, boxes, size=SIZE, rule=RULE, intensity=PLAIN, **settings)


def tight_boxes(cases):
    return {case.case: mask_box(case.load_labels(), [1]) for case in cases}


def test_an_unshaken_patch_is_what_prediction_sees():
    cases = [lesion_case(index) for index in range(3)]
    boxes = tight_boxes(cases)
    source = patches(cases, boxes)
    images, labels, grades = source.draw(range(3), seed=4)
    assert sorted(grades) == [0, 0, 1]
    seen = []
    for image, mask in zip(images, labels, strict=True):
        for case in cases:
            whole = case.load_image()
            box = RULE.around(boxes[case.case], whole.spatial_shape, (2.0, 1.0, 1.0))
            if np.array_equal(image, region_pixels(crop(whole, box), SIZE, PLAIN)):
                seen.append(case.case)
                part = case.load_labels()[tuple(slice(*side) for side in box)]
                assert set(np.unique(mask)) == set(np.unique(part))
                assert abs((mask == 1).mean() - (part == 1).mean()) < 0.05
    assert sorted(seen) == sorted(case.case for case in cases)


def test_regions_of_any_jitter_lie_in_what_is_kept():
    shape = (12, 24, 24)
    corners = [((0, 2), (0, 3), (20, 24)), ((5, 6), (0, 24), (0, 2)), ((10, 12), (9, 23), (11, 12))]
    cases = [lesion_case(index, shape=shape) for index in range(3)]
    source = patches(cases, dict(zip([case.case for case in cases], corners, strict=True)), jitter=SHAKEN)
    images, _, _ = source.draw(range(300), seed=0)  # a region outside would be refused by its name
    assert np.isfinite(images).all()


def test_patches_follow_from_position_and_seed_alone():
    cases = [lesion_case(index) for index in range(4)]
    boxes = tight_boxes(cases)
    whole, lean = (patches(cases, boxes, jitter=SHAKEN, cache_bytes=room) for room in (1 << 30, 0))
    together = whole.draw([0, 5, 9], seed=1)
    alone = [lean.draw([position], seed=1) for position in (0, 5, 9)]
    for kind in range(3):
        np.testing.assert_array_equal(together[kind], np.concatenate([each[kind] for each in alone]))
    # Every pass holds each case once, in an order of its own; shaken boxes differ from pass to pass.
    first, second = whole.draw(range(4), seed=1)[0], whole.draw(range(4, 8), seed=1)[0]
    assert not any(np.array_equal(one, other) for one in first for other in second)


def test_what_a_case_lacks_is_not_made_up():
    cases = [lesion_case(0, masked=False), lesion_case(1, graded=False), replace(lesion_case(2), case="whole")]
    images, labels, grades = patches(cases, tight_boxes(cases[1:2])).draw(range(3), seed=0)
    assert np.isfinite(images).all()
    assert sum((mask == 255).all() for mask in labels) == 1
    assert sorted(grades) == [-1, 0, 0]


def test_an_image_of_other_dimensions_is_refused_by_name():
    with pytest.raises(DatasetError, match=r"lesion000.*'yx'.*takes 3"):
        patches([lesion_case(0, shape=(20, 20))], {}).draw([0], seed=0)
    with pytest.raises(DatasetError, match="no case to cut"):
        patches([], {})


def test_a_case_that_counts_for_several_comes_that_often_in_every_pass():
    cases = [lesion_case(0), replace(lesion_case(1), repeats=2)]
    source = patches(cases, tight_boxes(cases))
    assert len(source) == 3
    images = source.draw(range(3), seed=4)[0]
    assert sorted(sum(np.array_equal(one, other) for other in images) for one in images) == [1, 2, 2]
