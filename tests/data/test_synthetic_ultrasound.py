"""Ultrasound frames of our own making: what is said of them is true of their pixels."""

from __future__ import annotations

import numpy as np
import pytest

from napari_medseg.data.checking import check
from napari_medseg.data.scan_region import find_scan_region
from napari_medseg.data.synthetic_ultrasound import LESIONS, frame, make_dataset
from napari_medseg.structures import Image


@pytest.mark.parametrize("lesion", LESIONS)
def test_a_frame_shows_its_kind_and_nothing_of_it_outside_the_fan(lesion):
    made = frame(lesion, seed=3)
    (top, bottom), (left, right) = made.scan
    inside = made.nodule.astype(bool)
    assert inside[top:bottom, left:right].sum() == inside.sum() > 500
    text = made.pixels.copy()
    text[top:bottom, left:right] = 0
    assert text.max() > 100
    same = frame(lesion, seed=3)
    np.testing.assert_array_equal(same.pixels, made.pixels)
    assert (frame(lesion, seed=4).pixels != made.pixels).any()


def test_kinds_differ_in_brightness():
    means = {lesion: np.median([_mean(lesion, seed) for seed in range(3)]) for lesion in LESIONS}
    assert means["medullary carcinoma"] < means["papillary carcinoma"] < means["nodular goitre"] - 20
    assert means["follicular tumour"] > means["nodular goitre"]


def _mean(lesion: str, seed: int) -> float:
    made = frame(lesion, rows=180, columns=280, seed=seed)
    return float(np.median(made.pixels[made.nodule == 1]))


@pytest.mark.parametrize("seed", range(4))
def test_the_scan_is_found_without_the_text(seed):
    made = frame(LESIONS[seed], seed=seed)
    found = find_scan_region(Image(levels=(made.pixels,), axes="yx", kind="ultrasound"))
    # The fan's tips may be missing, which are hardly wider than letters; what is written beside it must be.
    sides = np.diff(made.scan)
    assert (np.abs(np.subtract(found.box, made.scan)) <= sides / 16).all()
    assert found.box[0][1] < 360 - 360 // 20


def test_a_data_set_is_whole_and_keeps_patients_together(tmp_path):
    data = make_dataset(tmp_path / "made", n=40, rows=96, columns=128)
    assert data.info.kind == "ultrasound"
    assert not [fault for fault in check(data) if fault.severity == "error"]
    groups: dict[str, set[str]] = {}
    for case in data.cases:
        groups.setdefault(case.group, set()).add(case.split)
    assert all(len(splits) == 1 for splits in groups.values())
    for split in ("train", "val", "test"):
        assert {case.tag for case in data.cases if case.split == split} == set(LESIONS)


def test_a_frame_has_a_least_size():
    with pytest.raises(ValueError, match="at least 96 by 128"):
        frame(LESIONS[0], rows=50, columns=200)
