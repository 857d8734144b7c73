from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_medseg.data.dataset import Dataset
from napari_medseg.data.finishing import mark_done, record_labels
from napari_medseg.data.forms import update_form
from napari_medseg.data.tags import effective_tag, implied_tags
from napari_medseg.data.training_set import training_set, with_corrected_weight
from napari_medseg.data.work_log import Outcome, log_work
from napari_medseg.errors import DatasetError, InputNotFoundError
from napari_medseg.structures import Case
from tests.data.folders import INFO, make_cases, write_mask, write_picture


def hashes(dataset: Dataset) -> dict[str, str]:
    return {case.case: case.content_hash for case in training_set(Dataset.open(dataset.path)).cases}


def tagged(folder: Path, n: int = 4) -> Dataset:
    dataset = make_cases(folder, n)
    for i in range(n):
        dataset.update_case(f"c{i}", revision=1, tag=("benign", "malignant")[i % 2], status="done")
    return dataset


def test_only_finished_cases_train_and_drafts_when_asked(tmp_path: Path) -> None:
    dataset = tagged(tmp_path, 4)
    dataset.update_case("c1", revision=2, status="draft")
    dataset.update_case("c2", revision=2, status="reviewed")
    dataset.update_case("c3", revision=2, status="todo")
    assert [case.case for case in training_set(dataset).cases] == ["c0", "c2"]
    assert [case.case for case in training_set(dataset, include_drafts=True).cases] == ["c0", "c1", "c2"]


def test_a_case_that_says_nothing_does_not_train(tmp_path: Path) -> None:
    dataset = make_cases(tmp_path, 2)
    dataset.update_case("c0", revision=1, status="done")
    write_mask(dataset.labels_folder / "n.tif", np.full((40, 30), 255, np.uint8))
    dataset.update_case("c1", revision=1, status="done", label="n.tif")
    assert training_set(dataset).cases == ()


@given(st.sets(st.sampled_from([0, 1, 2, 255])), st.sampled_from(["", "benign", "malignant"]))
def test_a_mask_implies_a_tag_only_when_all_of_it_was_looked_at(values: set[int], given_tag: str) -> None:
    case = Case(case="a", image="i", tag=given_tag)
    tag = effective_tag(case, sorted(values) or None, INFO)
    if given_tag:
        expected = given_tag
    elif 255 in values or not values:
        expected = ""
    elif values == {0}:
        expected = "benign"
    else:
        expected = "malignant" if 2 in values else ""
    assert tag == expected
    assert 255 not in values or implied_tags(values, INFO) == set()


def test_a_hash_changes_exactly_when_its_case_does(tmp_path: Path) -> None:
    dataset = tagged(tmp_path)
    dataset.split(seed=1)
    before = hashes(dataset)
    revision = dataset.case("c0").revision
    dataset.update_case("c0", revision=revision, note="seen again", difficulty="hard")
    assert hashes(dataset) == before, "a note is not content"

    mask = np.zeros((40, 30), np.uint8)
    write_mask(dataset.labels_folder / "c0.tif", mask)
    dataset.update_case("c0", revision=dataset.case("c0").revision, label="c0.tif")
    labelled = hashes(dataset)
    assert _differing(before, labelled) == {"c0"}

    store = dataset.label_store(dataset.case("c0"), (40, 30))
    store.write_box(((3, 4), (3, 4)), np.array([[1]], np.uint8))
    record_labels(dataset, "c0", store, revision=dataset.case("c0").revision)
    drawn = hashes(dataset)
    assert _differing(labelled, drawn) == {"c0"}

    store.write_box(((3, 4), (3, 4)), np.array([[0]], np.uint8))
    assert hashes(dataset) == labelled, "the same pixels in another file format are the same content"

    write_picture(tmp_path / "pictures" / "c1.tif", seed=99)
    assert _differing(labelled, hashes(dataset)) == {"c1"}

    dataset.update_case("c2", revision=dataset.case("c2").revision, tag="malignant")
    dataset.update_case("c3", revision=dataset.case("c3").revision, grade="high")
    assert _differing(labelled, hashes(dataset)) == {"c1", "c2", "c3"}


def test_a_drawn_region_of_interest_is_part_of_a_case(tmp_path: Path) -> None:
    dataset = tagged(tmp_path, 2)
    before = hashes(dataset)
    update_form(dataset, "c0", {"region_box": "4:20,5:25"})
    cases = {case.case: case for case in training_set(dataset).cases}
    assert (cases["c0"].box, cases["c1"].box) == (((4, 20), (5, 25)), None)
    assert _differing(before, hashes(dataset)) == {"c0"}
    update_form(dataset, "c0", {"region_box": "4:20,5:31"})
    with pytest.raises(DatasetError, match=r"'c0'.*4:20,5:31.*draw it anew"):
        training_set(dataset)
    update_form(dataset, "c0", {"region_box": None})
    assert hashes(dataset) == before


def test_labels_and_images_come_on_demand(tmp_path: Path) -> None:
    dataset = make_cases(tmp_path, 1)
    store = dataset.label_store(dataset.case("c0"), (40, 30))
    store.write_box(((0, 9), (0, 9)), np.full((9, 9), 2, np.uint8))
    case = record_labels(dataset, "c0", store, revision=1)
    mark_done(dataset, "c0", store, revision=case.revision, grade="high")
    (only,) = training_set(dataset).cases
    labels = only.load_labels()
    assert labels is not None
    assert (only.tag, only.grade, only.has_mask, only.group) == ("malignant", 1, True, "c0")
    assert (labels == 2).sum() == 81
    assert only.load_image().region().shape == (1, 40, 30)


def test_unfinished_cases_of_a_group_bind_the_finished_ones(tmp_path: Path) -> None:
    dataset = tagged(tmp_path, 4)
    for name in ("c0", "c1"):
        dataset.update_case(name, revision=2, group="p")
    dataset.update_case("c1", revision=3, split="test", status="todo")
    for seed in range(5):
        splits = {case.case: case.split for case in training_set(dataset, seed=seed).cases}
        assert splits["c0"] == "test"


@pytest.mark.parametrize(
    ("cells", "error", "sentence"),
    [
        ({"image": "gone.tif"}, InputNotFoundError, r"'c0'.*gone\.tif does not exist"),
        ({"label": "gone.tif"}, InputNotFoundError, r"gone\.tif does not exist"),
        ({"tag": "odd"}, DatasetError, r"Row 2 .*'c0'.*'odd'"),
        ({"region": "everywhere"}, DatasetError, r"Row 2 .*'everywhere'"),
        ({"label": "../c0.tif"}, DatasetError, r"Row 2 .*outside"),
        ({"label": "strange.tif"}, DatasetError, r"'c0'.*value 7"),
    ],
)
def test_a_faulty_case_is_refused_by_name(
    tmp_path: Path, cells: dict[str, str], error: type[Exception], sentence: str
) -> None:
    dataset = tagged(tmp_path)
    write_mask(dataset.labels_folder / "strange.tif", np.full((40, 30), 7, np.uint8))
    _edit_by_hand(dataset, cells)
    with pytest.raises(error, match=sentence):
        training_set(dataset)


def _edit_by_hand(dataset: Dataset, cells: dict[str, str]) -> None:
    from napari_medseg.data.table import render_table

    (dataset.path / "cases.csv").write_bytes(render_table(dataset.table.with_cells(0, cells)))
    dataset.reload()


def _differing(one: dict[str, str], two: dict[str, str]) -> set[str]:
    return {case for case in one if one[case] != two[case]}


@pytest.mark.parametrize(
    ("cells", "sentence"),
    [
        ({"case": "c0"}, "the id is that of row 2 too"),
        ({"status": "finished??"}, "status 'finished\\?\\?' is not one of"),
    ],
)
def test_a_row_that_would_drop_out_unnoticed_is_refused(tmp_path: Path, cells: dict[str, str], sentence: str) -> None:
    dataset = tagged(tmp_path, 4)
    edit_row(dataset, 2, cells)
    with pytest.raises(DatasetError, match=f"^Row 4 of .*{sentence}"):
        training_set(Dataset.open(dataset.path))


@pytest.mark.parametrize("region", ["", "0:20,0:20"])
def test_labels_of_another_size_are_refused_before_the_start(tmp_path: Path, region: str) -> None:
    dataset = tagged(tmp_path, 4)
    write_mask(dataset.labels_folder / "small.tif", np.zeros((39, 30), np.uint8))
    dataset.update_case("c1", revision=2, label="small.tif", region=region)
    with pytest.raises(DatasetError, match="Case 'c1': its labels have 39 x 30 pixels but its image"):
        training_set(dataset)


def edit_row(dataset: Dataset, row: int, cells: dict[str, str]) -> None:
    """Change cells as a spreadsheet would, past all checks."""
    path = dataset.path / "cases.csv"
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    rows[row] |= cells
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def test_corrected_cases_of_the_training_split_come_more_often_when_asked(tmp_path: Path) -> None:
    dataset = tagged(tmp_path, 4)
    for i, split in enumerate(("train", "train", "val", "train")):
        dataset.update_case(f"c{i}", revision=2, split=split)
    corrected = Outcome(kind="labels", pairs={("gland", "background"): 7})
    for name, outcome in (("c0", corrected), ("c1", Outcome(kind="labels")), ("c2", corrected)):
        log_work(dataset, name, 5.0, origin="model:net", finished=outcome)
    cases = training_set(dataset)
    assert with_corrected_weight(cases, dataset, 1) is cases
    weighted = with_corrected_weight(cases, dataset, 3).cases
    assert {case.case: case.repeats for case in weighted} == {"c0": 3, "c1": 1, "c2": 1, "c3": 1}
    changed = [a.case for a, b in zip(cases.cases, weighted, strict=True) if a.content_hash != b.content_hash]
    assert changed == ["c0"], "another training is another training"
