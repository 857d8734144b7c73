"""Data sets to nnU-Net and COCO and back, read by others' readers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image as Picture

from napari_medseg.api import export_dataset
from napari_medseg.api.export_coco import _objects
from napari_medseg.cli import main
from napari_medseg.data.dataset import Dataset
from napari_medseg.data.dataset_file import mask_classes
from napari_medseg.data.importing import import_dataset
from napari_medseg.data.label_files import open_labels
from napari_medseg.errors import ConfigError, DatasetError, InputNotFoundError
from napari_medseg.io import write_labels

SHAPE = (30, 40)


def drawn(seed: int) -> npt.NDArray[np.uint8]:
    """Labels with pieces of classes 1 and 2, of which one has a hole."""
    labels = np.zeros(SHAPE, np.uint8)
    labels[3 + seed : 15, 4:18] = 1
    labels[6 + seed : 9, 8:11] = 0
    labels[20:26, 25:38] = 2
    return labels


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    """Three colour pictures with classes 1 and 2: train, val and test."""
    rng = np.random.default_rng(0)
    for folder in ("images", "masks"):
        (tmp_path / "source" / folder).mkdir(parents=True)
    rows = ["id,patient,grade"]
    for number, name in enumerate("abc"):
        Picture.fromarray(rng.integers(0, 255, (*SHAPE, 3), np.uint8)).save(tmp_path / f"source/images/{name}.png")
        Picture.fromarray(drawn(number)).save(tmp_path / f"source/masks/{name}.png")
        rows.append(f"{name},p{number},benign")
    (tmp_path / "source/table.csv").write_text("\n".join(rows))
    made = import_dataset(
        tmp_path / "source",
        tmp_path / "data",
        table="table.csv",
        tag_column="grade",
        group_column="patient",
        classes={1: "gland", 2: "nerve"},
    )
    for name, split in zip("abc", ("train", "val", "test"), strict=True):
        made.update_case(name, revision=1, split=split)
    return Dataset.open(made.path)


def labels_of(data: Dataset) -> dict[str, npt.NDArray[np.uint8]]:
    paths = {case.case: data.current_label_path(case) for case in data.cases}
    return {name: np.asarray(open_labels(path)[...]) for name, path in paths.items() if path is not None}


@pytest.mark.parametrize("format", ["nnunet", "coco"])
def test_what_goes_out_comes_back(tmp_path: Path, dataset: Dataset, format: str, capsys: Any) -> None:
    assert main(["dataset", "export", str(dataset.path), "--out", str(tmp_path / "out"), "--format", format]) == 0
    assert main(["dataset", "import", str(tmp_path / "out"), "--out", str(tmp_path / "back"), "--format", format]) == 0
    capsys.readouterr()
    back = Dataset.open(tmp_path / "back")
    assert [c.name for c in back.info.classes] == ["gland", "nerve"]
    for name, labels in labels_of(dataset).items():
        np.testing.assert_array_equal(labels_of(back)[name], labels)
        case = next(case for case in back.cases if case.case == name)
        before = next(case for case in dataset.cases if case.case == name)
        np.testing.assert_array_equal(back.read_image(case).region(), dataset.read_image(before).region())
        if format == "coco":
            assert (case.tag, case.group) == (before.tag, before.group)
        assert (case.split == "test") == (before.split == "test")


def test_nnunet_gets_what_its_documentation_asks_for(tmp_path: Path, dataset: Dataset) -> None:
    unsure = drawn(0)
    unsure[:2] = 255
    Picture.fromarray(unsure).save(tmp_path / "unsure.png")
    first = next(case for case in dataset.cases if case.case == "a")
    path = dataset.current_label_path(first)
    assert path is not None
    write_labels(path, unsure)
    out = tmp_path / "Dataset007_Glands"
    notes = [note for one in export_dataset(dataset, out, format="nnunet") for note in one.notes]
    described = json.loads((out / "dataset.json").read_text())
    assert described["labels"] == {"background": 0, "gland": 1, "nerve": 2, "ignore": 3}
    assert described["channel_names"] == {"0": "R", "1": "G", "2": "B"}
    assert (described["numTraining"], described["file_ending"]) == (2, ".png")
    assert sorted(path.name for path in (out / "imagesTr").iterdir()) == ["a_0000.png", "b_0000.png"]
    assert [path.name for path in (out / "imagesTs").iterdir()] == ["c_0000.png"]
    with Picture.open(out / "labelsTr/a.png") as written:
        np.testing.assert_array_equal(np.asarray(written), np.where(unsure == 255, 3, unsure))
    assert json.loads((out / "splits_final.json").read_text()) == [{"train": ["a"], "val": ["b"]}]
    assert any("ignore" in note for note in notes)


def test_volumes_go_to_nnunet_where_they_lie(tmp_path: Path) -> None:
    affine = np.diag([-0.7, -0.7, 3.0, 1.0])
    rng = np.random.default_rng(1)
    voxels = rng.integers(-1000, 1000, (8, 9, 5)).astype(np.int16)
    mask = (voxels > 500).astype(np.uint8) * 3
    for name, values in (("images", voxels), ("masks", mask)):
        (tmp_path / "source" / name).mkdir(parents=True)
        nib.Nifti1Image(values, affine).to_filename(tmp_path / "source" / name / "p1.nii.gz")
    data = import_dataset(tmp_path / "source", tmp_path / "data", kind="ct", classes={3: "bone"})
    export_dataset(data, tmp_path / "out", format="nnunet")
    image = nib.load(tmp_path / "out/imagesTr/p1_0000.nii.gz")
    label = nib.load(tmp_path / "out/labelsTr/p1.nii.gz")
    np.testing.assert_array_equal(image.get_fdata(), voxels)
    np.testing.assert_array_equal(label.get_fdata(), mask > 0)
    np.testing.assert_allclose(image.affine, affine, atol=1e-5)
    np.testing.assert_allclose(label.affine, affine, atol=1e-5)
    described = json.loads((tmp_path / "out/dataset.json").read_text())
    assert described["channel_names"] == {"0": "CT"}  # nnU-Net normalises by this name
    assert described["labels"] == {"background": 0, "bone": 1}


def nnunet(folder: Path, described: dict[str, Any], names: tuple[str, ...]) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = drawn(0) if "labels" in name else np.zeros(SHAPE, np.uint8)
        Picture.fromarray(pixels).save(path)
    (folder / "dataset.json").write_text(json.dumps(described))
    return folder


FILES = ("imagesTr/x_0000.png", "labelsTr/x.png", "imagesTs/y_0000.png")


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        ({"background": 0, "gland": 1, "nerve": 2}, {1: "gland", 2: "nerve"}),
        ({"0": "background", "1": "gland", "2": "nerve"}, {1: "gland", 2: "nerve"}),
        ({"background": 0, "whole": [1, 2], "core": [2]}, {1: "whole", 2: "core"}),
        ({"background": 0, "gland": 1, "ignore": 2}, {1: "gland"}),
    ],
)
def test_all_ways_of_nnunet_to_name_labels(tmp_path: Path, labels: dict[str, Any], names: dict[int, str]) -> None:
    source = nnunet(tmp_path / "raw", {"channel_names": {"0": "grey"}, "labels": labels}, FILES)
    data = import_dataset(source, tmp_path / "data")  # the layout is recognised
    assert {c.value: c.name for c in data.info.classes} == names
    expected = drawn(0)
    expected[expected == 2] = 2 if 2 in names else 255
    np.testing.assert_array_equal(labels_of(data)["x"], expected)
    assert {case.case: (case.split, case.status) for case in data.cases} == {"x": ("", "done"), "y": ("test", "todo")}


def test_further_channels_are_left_out_and_said(tmp_path: Path) -> None:
    described = {"channel_names": {"0": "T1", "1": "FLAIR"}, "labels": {"background": 0, "gland": 1, "nerve": 2}}
    source = nnunet(tmp_path / "raw", described, (*FILES, "imagesTr/x_0001.png"))
    said: list[str] = []
    assert len(import_dataset(source, tmp_path / "data", say=said.append).cases) == 2
    assert any("T1, FLAIR" in text for text in said)


def test_faulty_sources_are_refused_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="not what nnU-Net writes"):
        import_dataset(nnunet(tmp_path / "one", {"labels": {"gland": "x"}}, FILES), tmp_path / "data")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputNotFoundError, match="DatasetNNN_NAME"):
        import_dataset(tmp_path / "empty", tmp_path / "data", format="nnunet")
    with pytest.raises(DatasetError, match="no COCO annotations"):
        import_dataset(tmp_path / "empty", tmp_path / "data", format="coco")
    assert not (tmp_path / "data").exists()


def test_stacks_are_no_coco(tmp_path: Path) -> None:
    for name, values in (("images", np.zeros((4, 5, 3), np.int16)), ("masks", np.ones((4, 5, 3), np.uint8))):
        (tmp_path / "source" / name).mkdir(parents=True)
        nib.Nifti1Image(values, np.eye(4)).to_filename(tmp_path / "source" / name / "p.nii.gz")
    data = import_dataset(tmp_path / "source", tmp_path / "data", kind="mr")
    with pytest.raises(ConfigError, match="no flat picture"):
        export_dataset(data, tmp_path / "out", format="coco")
    assert not (tmp_path / "out").exists()


@settings(max_examples=30, deadline=None)
@given(hnp.arrays(np.uint8, st.tuples(st.integers(1, 12), st.integers(1, 12)), elements=st.integers(0, 2)))
def test_objects_are_those_that_the_coco_api_sees(labels: npt.NDArray[np.uint8]) -> None:
    masks = pytest.importorskip("pycocotools.mask")
    seen = np.zeros_like(labels)
    for one in _objects(labels, mask_classes(["a", "b"])):
        outline = one["segmentation"]
        if isinstance(outline, list):
            packed = masks.merge(masks.frPyObjects(outline, *labels.shape))
        else:
            packed = masks.frPyObjects(outline, *labels.shape)
        found = masks.decode(packed).astype(bool)
        assert found.sum() == one["area"] == masks.area(packed)
        np.testing.assert_array_equal(masks.toBbox(packed), one["bbox"])
        assert not seen[found].any()
        seen[found] = one["category_id"]
    np.testing.assert_array_equal(seen, labels)


@settings(max_examples=30, deadline=None)
@given(hnp.arrays(np.bool_, st.tuples(st.integers(1, 9), st.integers(1, 9))))
def test_packed_runs_are_read_as_the_coco_api_writes_them(mask: npt.NDArray[np.bool_]) -> None:
    masks = pytest.importorskip("pycocotools.mask")
    from napari_medseg.data.importing.coco import _runs

    packed = masks.encode(np.asfortranarray(mask.astype(np.uint8)))
    outline = {"size": packed["size"], "counts": packed["counts"].decode()}
    np.testing.assert_array_equal(_runs(outline, mask.shape), mask)


def coco(folder: Path, annotations: list[dict[str, Any]], file_name: str = "x.png") -> Path:
    (folder / "pictures").mkdir(parents=True)
    Picture.fromarray(np.zeros(SHAPE, np.uint8)).save(folder / "pictures/x.png")
    document = {
        "images": [{"id": 9, "file_name": file_name, "height": SHAPE[0], "width": SHAPE[1]}],
        "categories": [{"id": 40, "name": "cell"}, {"id": 7, "name": "nucleus"}],
        "annotations": [{"id": 1, "image_id": 9, **one} for one in annotations],
    }
    (folder / "annotations").mkdir()
    (folder / "annotations/instances.json").write_text(json.dumps(document))
    return folder


def test_small_objects_lie_on_large_ones_whatever_their_order(tmp_path: Path) -> None:
    small = {"category_id": 7, "segmentation": [[10, 10, 14, 10, 14, 14, 10, 14]], "area": 16}
    large = {"category_id": 40, "segmentation": [[5, 5, 20, 5, 20, 20, 5, 20]], "area": 225}
    data = import_dataset(coco(tmp_path / "raw", [small, large]), tmp_path / "data", format="coco")
    expected = np.zeros(SHAPE, np.uint8)
    expected[5:20, 5:20] = 1
    expected[10:14, 10:14] = 2
    np.testing.assert_array_equal(labels_of(data)["x"], expected)
    assert {c.value: c.name for c in data.info.classes} == {1: "cell", 2: "nucleus"}


@pytest.mark.parametrize(
    ("annotation", "file_name", "words"),
    [
        ({"category_id": 8, "segmentation": [[1, 1, 5, 1, 5, 5]]}, "x.png", "category 8"),
        ({"category_id": 7, "segmentation": [[1, 1, 5]]}, "x.png", "cannot be drawn"),
        ({"category_id": 7, "segmentation": {"size": [3, 3], "counts": [9]}}, "x.png", "3 x 3 pixels"),
        ({"category_id": 7, "segmentation": {"size": [30, 40], "counts": [9]}}, "x.png", "do not fill"),
        ({"category_id": 7, "segmentation": {"size": [30, 40], "counts": "é"}}, "x.png", "has no meaning"),
        ({"category_id": 7, "segmentation": [[1, 1, 5, 1, 5, 5]]}, "gone.png", "was not found"),
    ],
)
def test_faulty_coco_is_refused_with_its_place(
    tmp_path: Path, annotation: dict[str, Any], file_name: str, words: str
) -> None:
    with pytest.raises(DatasetError, match=words):
        import_dataset(coco(tmp_path / "raw", [annotation], file_name), tmp_path / "data", format="coco")
    assert not (tmp_path / "data").exists()


def test_images_without_objects_and_boxes_without_outline_are_said(tmp_path: Path) -> None:
    said: list[str] = []
    source = coco(tmp_path / "raw", [{"category_id": 7, "bbox": [1, 1, 4, 4]}])
    data = import_dataset(source, tmp_path / "data", format="coco", say=said.append)
    assert [case.status for case in data.cases] == ["todo"]
    assert len(said) == 2
