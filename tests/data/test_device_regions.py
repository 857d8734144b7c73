"""Whose box a case of ultrasound is trained with: its own, its machine's, or none."""

from __future__ import annotations

import numpy as np
import pytest

from napari_medseg.data.dataset import Dataset
from napari_medseg.data.dataset_file import tag_classes
from napari_medseg.data.device_regions import device_regions, remember_device_region
from napari_medseg.data.forms import update_form
from napari_medseg.data.training_set import training_set
from napari_medseg.errors import DatasetError
from napari_medseg.io import image_files
from napari_medseg.structures import Box, DatasetInfo
from tests.io.ultrasound.writers import write_ultrasound

ACME = "Acme Medical Echo 7 40x60"


@pytest.fixture
def dataset(tmp_path):
    """Two frames and a cine of one machine, and a frame of a machine that is not known."""
    folder = tmp_path / "files"
    folder.mkdir()
    write_ultrasound(folder / "a.dcm", np.zeros((40, 60), np.uint8))
    write_ultrasound(folder / "b.dcm", np.zeros((40, 60), np.uint8))
    write_ultrasound(folder / "cine.dcm", np.zeros((3, 40, 60), np.uint8), cine=True)
    write_ultrasound(folder / "other.dcm", np.zeros((40, 60), np.uint8), Manufacturer="", ManufacturerModelName="")
    made = Dataset.create(tmp_path / "data", DatasetInfo(name="x", kind="ultrasound", tags=tag_classes(["t", "u"])))
    for file in image_files(folder):
        case = made.add_case(file)
        made.update_case(case.case, revision=case.revision, tag="t", status="done")
    return made


def boxes(dataset: Dataset) -> dict[str, Box | None]:
    return {case.case: case.box for case in training_set(dataset).cases}


def test_files_of_one_examination_are_cases_of_their_own(dataset):
    assert sorted(case.case for case in dataset.cases) == ["a", "b", "cine", "other"]


def test_without_any_box_none_is_given(dataset):
    assert set(boxes(dataset).values()) == {None}


def test_a_machines_box_serves_its_frames_and_a_cases_own_comes_first(dataset):
    remember_device_region(dataset.path, ACME, ((5, 30), (10, 50)))
    update_form(dataset, "b", {"region_box": "0:20,0:20"})
    assert boxes(dataset) == {
        "a": ((5, 30), (10, 50)),
        "b": ((0, 20), (0, 20)),
        "cine": ((5, 30), (10, 50)),
        "other": None,
    }


def test_a_changed_box_of_the_machine_changes_what_a_training_is_made_of(dataset):
    before = {case.case: case.content_hash for case in training_set(dataset).cases}
    remember_device_region(dataset.path, ACME, ((5, 30), (10, 50)))
    after = {case.case: case.content_hash for case in training_set(dataset).cases}
    assert {name for name in before if before[name] != after[name]} == {"a", "b", "cine"}


def test_a_cine_may_have_a_box_of_rows_and_columns(dataset):
    update_form(dataset, "cine", {"region_box": "0:20,0:20"})
    assert boxes(dataset)["cine"] == ((0, 20), (0, 20))


def test_a_case_that_is_a_part_of_a_frame_has_no_box_of_the_machine(dataset):
    remember_device_region(dataset.path, ACME, ((5, 30), (10, 50)))
    dataset.update_case("a", revision=dataset.case("a").revision, region="10:40,0:60")
    assert boxes(dataset)["a"] is None


@pytest.mark.parametrize("box", [((0, 41), (0, 10)), ((0, 10), (0, 61))])
def test_a_box_that_leaves_the_picture_is_named(dataset, box):
    remember_device_region(dataset.path, ACME, box)
    with pytest.raises(DatasetError, match="does not lie in its pictures"):
        training_set(dataset)


def test_writing_leaves_nothing_behind_but_the_file(dataset):
    remember_device_region(dataset.path, ACME, ((5, 30), (10, 50)))
    remember_device_region(dataset.path, ACME, ((5, 30), (10, 50)))
    assert [file.name for file in (dataset.path / "forms").iterdir()] == ["_devices.json"]
    assert device_regions(dataset.path) == {ACME: ((5, 30), (10, 50))}
