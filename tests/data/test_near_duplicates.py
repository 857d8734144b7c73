"""Nearly equal pictures: what counts as one, and what is done with pairs of a data set."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow

from napari_medseg.cli import main
from napari_medseg.data.dataset import Dataset
from napari_medseg.data.dataset_file import tag_classes
from napari_medseg.data.near_duplicates import SIDE, near_duplicates, similar_thumbnails, thumbnail
from napari_medseg.data.similar_cases import (
    divided_duplicates,
    divided_fault,
    duplicate_faults,
    group_duplicates,
    similar_cases,
)
from napari_medseg.data.training_set import training_set
from napari_medseg.structures import DatasetInfo


def picture(seed: int, height: int = 96, width: int = 128) -> np.ndarray:
    """Blobs that differ from seed to seed."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (6, 8), np.uint8)
    return np.asarray(Pillow.fromarray(coarse).resize((width, height), Pillow.Resampling.BICUBIC))


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), gain=st.floats(0.3, 1.0), offset=st.floats(0, 40), scale=st.floats(0.6, 1.6))
def test_brightness_contrast_and_size_do_not_count(seed, gain, offset, scale):
    first = picture(seed)
    size = (round(first.shape[1] * scale), round(first.shape[0] * scale))
    second = np.asarray(Pillow.fromarray(first).resize(size, Pillow.Resampling.BICUBIC)) * gain + offset
    assert [pair[:2] for pair in near_duplicates([first, second])] == [(0, 1)]


def test_calliper_marks_do_not_hide_a_duplicate_and_other_pictures_are_none():
    pictures = [picture(seed) for seed in range(40)]
    marked = pictures[7].copy()
    marked[40, 20:100:4] = 255
    marked[36:45, 20] = marked[40, 16:25] = 255
    assert [pair[:2] for pair in near_duplicates([*pictures, marked])] == [(7, 40)]


def test_all_pairs_are_those_of_correlation_by_numpy():
    rng = np.random.default_rng(1)
    base = rng.normal(size=(30, SIDE, SIDE))
    mixed = [base[i] + rng.uniform(0, 3) * base[i % 7] for i in range(30)]
    expected = {
        (i, j) for i, j in combinations(range(30), 2) if np.corrcoef(mixed[i].ravel(), mixed[j].ravel())[0, 1] >= 0.6
    }
    found = near_duplicates(mixed, 0.6)
    assert {pair[:2] for pair in found} == expected
    assert [pair[2] for pair in found] == sorted((pair[2] for pair in found), reverse=True)


def test_pictures_without_contrast_are_like_nothing():
    assert near_duplicates([np.zeros((20, 30)), np.full((20, 30), 200, np.uint8), np.full((9, 9), np.nan)]) == []
    assert near_duplicates([]) == []
    assert not thumbnail(np.full((5, 5, 3), 7, np.uint8)).any()


def test_more_thumbnails_than_one_block_are_all_compared():
    rng = np.random.default_rng(2)
    small = [thumbnail(rng.random((SIDE, SIDE))) for _ in range(1100)]
    small[1099] = small[3]
    small[1050] = small[700]
    assert [pair[:2] for pair in similar_thumbnails(small)] == [(3, 1099), (700, 1050)]


def framed(inner: np.ndarray) -> np.ndarray:
    """A picture in a machine's frame, which is the same for all."""
    frame = np.zeros((240, 320), np.uint8)
    speckle = np.random.default_rng(int(inner[0, 0])).integers(20, 60, inner.shape, np.uint8)
    frame[60 : 60 + inner.shape[0], 90 : 90 + inner.shape[1]] = np.clip(inner // 2 + speckle, 20, 255)
    frame[10:30, 10:300:3] = 255
    return frame


@pytest.fixture
def dataset(tmp_path):
    """Six frames of six patients; `a` and `d` are one, `d` and `e` are one patient's."""
    info = DatasetInfo(name="frames", kind="ultrasound", tags=tag_classes(["x", "y"]))
    made = Dataset.create(tmp_path / "data", info)
    groups = {"a": "", "b": "p2", "c": "p3", "d": "p4", "e": "p4", "f": "p5"}
    for number, (name, group) in enumerate(groups.items()):
        pixels = framed(picture(0 if name in "ad" else number + 1))
        case = made.add_image(pixels, name, group=group)
        made.update_case(case.case, revision=case.revision, tag="xy"[number % 2], status="done")
    return made


def test_pairs_of_a_data_set_are_found_by_the_scan_alone(dataset):
    pairs = similar_cases(dataset)
    assert [(pair.first, pair.second) for pair in pairs] == [("a", "d")]
    assert pairs[0].likeness > 0.99


def test_a_missing_image_is_passed_over(dataset):
    dataset.image_path(dataset.case("d")).unlink()
    assert similar_cases(dataset) == []


def test_grouping_keeps_duplicates_and_their_groups_together(dataset):
    assert group_duplicates(dataset) == {"a": "a", "d": "a", "e": "a"}
    assert {case.case: case.group for case in dataset.cases} == {
        "a": "a",
        "b": "p2",
        "c": "p3",
        "d": "a",
        "e": "a",
        "f": "p5",
    }
    assert group_duplicates(dataset) == {}
    assert similar_cases(dataset) == []


def test_a_joined_group_takes_no_name_of_another(dataset):
    case = dataset.case("f")
    dataset.update_case("f", revision=case.revision, group="a")
    group_duplicates(dataset)
    groups = {case.case: case.group for case in dataset.cases}
    assert groups["a"] == groups["d"] == groups["e"] != groups["f"] == "a"


def test_training_is_told_of_pairs_on_both_sides_of_its_split(dataset):
    for name, split in zip("abcdef", ("train", "train", "val", "test", "test", "val"), strict=True):
        dataset.update_case(name, revision=dataset.case(name).revision, split=split)
    data = training_set(dataset)
    pairs = divided_duplicates(data, lambda done, total, text: None)
    (fault,) = divided_fault(data, pairs)
    assert "'a' (train) and 'd' (test)" in fault.text
    assert fault.severity == "warning"
    (listed,) = duplicate_faults(dataset, similar_cases(dataset))
    assert "both sides of the split (train, test)" in listed.text


def test_pairs_on_one_side_are_no_fault(dataset):
    for name in "abcdef":
        dataset.update_case(name, revision=dataset.case(name).revision, split="train")
    data = training_set(dataset)
    assert divided_duplicates(data, lambda done, total, text: None) == ()
    assert list(divided_fault(data, ())) == []


def test_commands_name_duplicates_and_group_them(dataset, capsys):
    assert main(["dataset", "check", str(dataset.path), "--duplicates"]) == 0
    assert "nearly that of case 'd'" in capsys.readouterr().out
    assert main(["dataset", "split", str(dataset.path), "--group-duplicates"]) == 0
    assert "d: group is now 'a'" in capsys.readouterr().out
    splits = {case.case: case.split for case in Dataset.open(dataset.path).cases}
    assert splits["a"] == splits["d"] == splits["e"]
