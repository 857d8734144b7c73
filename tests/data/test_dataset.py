from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from napari_medseg.data.checking import check
from napari_medseg.data.dataset import Dataset
from napari_medseg.data.dataset_file import (
    check_info,
    mask_classes,
    next_class_color,
    next_tag_color,
    tag_classes,
    with_class_renamed,
)
from napari_medseg.data.finishing import mark_done, mark_empty, mark_region_complete, record_labels
from napari_medseg.data.label_store import LabelStore
from napari_medseg.errors import ConflictError, DatasetError, InputNotFoundError
from napari_medseg.structures import Case, DatasetInfo, MaskClass, Surface
from tests.data.folders import INFO, make_cases, write_mask, write_picture


def store_of(dataset: Dataset, case: Case) -> LabelStore:
    return dataset.label_store(case, dataset.read_image(case).spatial_shape)


def draw(dataset: Dataset, case_id: str = "c0", value: int = 1) -> tuple[Case, LabelStore]:
    case = dataset.case(case_id)
    store = store_of(dataset, case)
    store.write_box(((0, 5), (0, 6)), np.full((5, 6), value, np.uint8))
    return record_labels(dataset, case_id, store, revision=case.revision), store


def test_a_data_set_is_read_again_as_it_was_made(tmp_path: Path) -> None:
    made = make_cases(tmp_path, 3)
    opened = Dataset.open(made.path)
    assert opened.info == INFO
    assert opened.cases == made.cases
    assert [case.case for case in opened.cases] == ["c0", "c1", "c2"]
    assert opened.read_image(opened.cases[1]).shape == (40, 30)
    assert opened.read_labels(opened.cases[1]) is None


def test_images_in_or_near_the_folder_are_named_relative_to_it(tmp_path: Path) -> None:
    dataset = make_cases(tmp_path / "deep" / "down" / "here", 1)
    assert dataset.cases[0].image == "../pictures/c0.tif"
    far = write_picture(tmp_path / "far.tif")
    assert dataset.add_case(far).image == far.as_posix()
    inside = write_picture(dataset.path / "images" / "i.tif")
    assert dataset.add_case(inside).image == "images/i.tif"
    os.rename(tmp_path / "deep", tmp_path / "moved")
    moved = Dataset.open(tmp_path / "moved" / "down" / "here" / "data")
    assert all(moved.read_image(case).shape == (40, 30) for case in moved.cases)


def test_ids_are_unique_whatever_the_files_are_called(tmp_path: Path) -> None:
    dataset = make_cases(tmp_path, 1)
    ids = [dataset.add_case(tmp_path / name).case for name in ("a/x.tif", "b/x.tif", "X.nii.gz", "c0.png")]
    assert ids == ["x", "x-2", "X-3", "c0-2"]
    with pytest.raises(DatasetError, match="taken"):
        dataset.add_case(tmp_path / "y.tif", case="x")


def test_an_array_in_memory_becomes_a_case(tmp_path: Path) -> None:
    dataset = make_cases(tmp_path, 0)
    pixels = np.random.default_rng(0).integers(0, 255, (20, 25, 3), np.uint8)
    case = dataset.add_image(pixels, "my slide/1", group="p1")
    np.testing.assert_array_equal(np.asarray(dataset.read_image(case).data[...]), pixels)
    assert case.group == "p1"
    assert dataset.image_path(case).parent == dataset.path / "images"
    assert dataset.add_image(pixels, "my slide/1").case != case.case


def test_a_change_writes_its_own_cells_and_counts_the_revision(tmp_path: Path) -> None:
    dataset = make_cases(tmp_path, 2)
    path = dataset.path / "cases.csv"
    # What a spreadsheet would save: another dialect, a column of its own, a cell nobody understands.
    header, *rows = path.read_text().replace(",", ";").replace("todo", "finished?").splitlines()
    lines = [f"{header};Ward", *(f"{row};7B" for row in rows)]
    path.write_bytes(b"\xef\xbb\xbf" + "".join(f"{line}\r\n" for line in lines).encode())
    dataset.reload()
    case = dataset.update_case("c1", revision=1, tag="benign", extra={"Ward": "8"})
    assert (case.tag, case.revision, case.author, case.extra) == ("benign", 2, "tester", {"Ward": "8"})
    written = path.read_bytes().decode("utf-8-sig").split("\r\n")
    assert written[:2] == lines[:2], "other lines stay as they are"
    assert "finished?" in written[2], "a cell that was not understood stays"
    assert path.read_bytes().startswith(b"\xef\xbb\xbf")


def test_nothing_is_written_when_nothing_changes(tmp_path: Path) -> None:
    dataset = make_cases(tmp_path, 1)
    before = (dataset.path / "cases.csv").stat().st_mtime_ns
    assert dataset.update_case("c0", revision=1, status="todo").revision == 1
    assert (dataset.path / "cases.csv").stat().st_mtime_ns == before


def test_a_conflict_keeps_both_versions(tmp_path: Path) -> None:
    mine = make_cases(tmp_path, 1)
    theirs = Dataset.open(mine.path, author="other")
    theirs.update_case("c0", revision=1, tag="benign", note="theirs")
    with pytest.raises(ConflictError, match=r"'c0' was changed by other"):
        mine.update_case("c0", revision=1, tag="malignant")
    assert mine.case("c0").tag == Dataset.open(mine.path).case("c0").tag == "benign"
    kept = [change for change in mine.history.read() if change.what == "conflict"]
    assert [(change.author, dict(change.after)["tag"]) for change in kept] == [("tester", "malignant")]
    assert mine.update_case("c0", revision=2, tag="malignant").revision == 3


def test_the_history_says_what_changed_from_what_to_what(tmp_path: Path) -> None:
    dataset = make_cases(tmp_path, 1)
    dataset.update_case("c0", revision=1, tag="benign")
    dataset.update_case("c0", revision=2, tag="malignant", origin="model:net")
    (path,) = (dataset.path / "history").glob("*.jsonl")
    last = json.loads(path.read_text().splitlines()[-1])
    assert (last["case"], last["author"], last["what"], last["origin"]) == ("c0", "tester", "update", "model:net")
    assert (last["from"]["tag"], last["to"]["tag"], last["revision"]) == ("benign", "malignant", 3)


def test_drawing_begins_a_draft_and_done_fills_the_rest(tmp_path: Path) -> None:
    dataset = make_cases(tmp_path, 1)
    case, store = draw(dataset)
    assert (case.status, case.label, case.origin) == ("draft", "c0.zarr", "person")
    labels = dataset.read_labels(case)
    assert labels is not None
    assert set(np.unique(labels)) == {1, 255}
    case = mark_done(dataset, "c0", store, revision=case.revision, tag="benign")
    assert (case.status, case.tag) == ("done", "benign")
    np.testing.assert_array_equal(dataset.read_labels(case), np.where(labels == 255, 0, labels))


def test_done_fills_nothing_where_a_region_was_marked_complete(tmp_path: Path) -> None:
    dataset = make_cases(tmp_path, 1)
    case, store = draw(dataset)
    case = mark_region_complete(dataset, "c0", store, ((0, 10), (0, 10)), revision=case.revision)
    case = mark_done(dataset, "c0", store, revision=case.revision)
    labels = dataset.read_labels(case)
    assert labels is not None
    assert (labels[:10, :10] != 255).all()
    assert (labels[10:] == 255).all()


def test_nothing_there_is_a_mask_of_zeros_and_a_tag_alone_is_no_mask(tmp_path: Path) -> None:
    dataset = make_cases(tmp_path, 2)
    case = mark_empty(dataset, "c0", store_of(dataset, dataset.case("c0")), revision=1)
    assert not np.any(dataset.read_labels(case))
    tagged = mark_done(dataset, "c1", store_of(dataset, dataset.case("c1")), revision=1, tag="benign")
    assert (tagged.status, dataset.read_labels(tagged)) == ("done", None)


def test_a_models_proposal_stays_a_models_until_said_otherwise(tmp_path: Path) -> None:
    dataset = make_cases(tmp_path, 1)
    store = store_of(dataset, dataset.case("c0"))
    store.write_box(((0, 40), (0, 30)), np.ones((40, 30), np.uint8))
    case = record_labels(dataset, "c0", store, revision=1, origin="model:net")
    assert mark_done(dataset, "c0", store, revision=case.revision).origin == "model:net"


def test_drawing_in_imported_labels_keeps_them(tmp_path: Path) -> None:
    dataset = make_cases(tmp_path, 1)
    write_mask(dataset.labels_folder / "first.tif", np.full((40, 30), 2, np.uint8))
    dataset.update_case("c0", revision=1, label="first.tif")
    case, _ = draw(dataset)
    labels = dataset.read_labels(case)
    assert labels is not None
    assert (case.label, labels[0, 0], labels[39, 29]) == ("c0.zarr", 1, 2)
    assert (dataset.labels_folder / "first.tif").exists()


def test_odd_ids_get_label_files_of_their_own(tmp_path: Path) -> None:
    dataset = make_cases(tmp_path, 0)
    picture = write_picture(tmp_path / "p.tif")
    ids = ["a/b", "a_b", "../up", "con", "ünï cödé", "a:b"]
    for value, name in enumerate(ids, start=1):
        dataset.add_case(picture, case=name)
        draw(dataset, name, value)
    for value, name in enumerate(ids, start=1):
        labels = dataset.read_labels(Dataset.open(dataset.path).case(name))
        assert labels is not None
        assert labels[0, 0] == value
    assert len(list(dataset.labels_folder.glob("*.zarr"))) == len(ids)


def test_a_region_is_a_case_of_its_own(tmp_path: Path) -> None:
    dataset = make_cases(tmp_path, 0)
    picture = write_picture(tmp_path / "p.tif")
    case = dataset.add_case(picture, region="10:30,5:20")
    whole = np.asarray(dataset.read_image(replace(case, region="")).data[...])
    part = dataset.read_image(case)
    assert part.spatial_shape == (20, 15)
    np.testing.assert_array_equal(part.region(), whole[np.newaxis, 10:30, 5:20])
    np.testing.assert_array_equal(part.data[3:5, 2], whole[13:15, 7])
    with pytest.raises(DatasetError, match=r"'p'.*does not lie in the image of 40 x 30"):
        dataset.read_image(replace(case, region="10:50,5:20"))


def test_a_removed_case_leaves_its_labels_in_the_trash(tmp_path: Path) -> None:
    dataset = make_cases(tmp_path, 2)
    case, _ = draw(dataset)
    dataset.remove_case("c0", revision=case.revision)
    assert [c.case for c in Dataset.open(dataset.path).cases] == ["c1"]
    (kept,) = (dataset.path / "history" / "trash").iterdir()
    assert LabelStore(kept, (40, 30), case="c0").read()[0, 0] == 1
    with pytest.raises(DatasetError, match="no longer"):
        dataset.update_case("c0", revision=3, tag="benign")


def test_classes_are_renamed_but_not_lost(tmp_path: Path) -> None:
    dataset = make_cases(tmp_path, 1)
    draw(dataset, value=2)
    renamed = replace(INFO, classes=(*mask_classes(["crypt", "tumour", "lumen"]),))
    dataset.set_info(renamed)
    assert Dataset.open(dataset.path).info == renamed
    dataset.set_info(replace(renamed, classes=renamed.classes[1:]))
    with pytest.raises(DatasetError, match=r"'tumour' is drawn in case 'c0'"):
        dataset.set_info(replace(INFO, classes=INFO.classes[:1], implies={}))
    dataset.update_case("c0", revision=2, tag="benign")
    with pytest.raises(DatasetError, match=r"'benign' is given to case 'c0'"):
        dataset.set_info(replace(renamed, tags=renamed.tags[1:], implies={}))


@pytest.mark.parametrize(
    "change",
    [
        {"classes": (*INFO.classes, replace(INFO.classes[0], value=255, name="x"))},
        {"classes": (*INFO.classes, INFO.classes[0])},
        {"implies": {"unheard of": "benign"}},
        {"implies": {"gland": "unheard of"}},
        {"kind": "smell"},
    ],
)
def test_a_description_that_contradicts_itself_is_refused(tmp_path: Path, change: dict[str, object]) -> None:
    with pytest.raises(DatasetError):
        Dataset.create(tmp_path / "data", replace(INFO, **change))  # type: ignore[arg-type]
    assert not (tmp_path / "data").exists()


def test_what_is_no_data_set_is_refused_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputNotFoundError, match="does not exist"):
        Dataset.open(tmp_path / "nowhere")
    with pytest.raises(DatasetError, match="is not a data set"):
        Dataset.open(tmp_path)
    dataset = make_cases(tmp_path, 1)
    with pytest.raises(DatasetError, match="already holds something"):
        Dataset.create(dataset.path, INFO)
    document = json.loads((dataset.path / "dataset.json").read_text())
    (dataset.path / "dataset.json").write_text(json.dumps({**document, "format": 99}))
    with pytest.raises(DatasetError, match="version 99"):
        Dataset.open(dataset.path)
    (dataset.path / "dataset.json").write_text("{")
    with pytest.raises(DatasetError, match="JSON"):
        Dataset.open(dataset.path)


def test_a_split_is_written_once_and_kept(tmp_path: Path) -> None:
    dataset = make_cases(tmp_path, 12)
    first = dataset.split(seed=3)
    assert {case.case: case.split for case in Dataset.open(dataset.path).cases} == first
    assert dataset.split(seed=4) == first
    assert all(case.revision == 2 for case in dataset.cases)
    assert set(dataset.split((1, 0, 0), redraw=True).values()) == {"train"}


def test_tags_and_classes_of_a_small_data_set_have_seven_colours():
    classes, tags = mask_classes(["a", "b", "c", "d"]), tag_classes(["x", "y", "z"])
    assert len({one.color for one in (*classes, *tags)}) == 7


def test_a_further_tag_or_class_takes_a_colour_that_is_free():
    info = DatasetInfo(name="n", classes=mask_classes(["a", "b"]), tags=tag_classes(["x", "y"]))
    while len(info.classes) + len(info.tags) < 7:
        new = next_class_color(info), next_tag_color(info)
        assert not {one.color for one in (*info.classes, *info.tags)} & set(new)
        info = replace(info, classes=(*info.classes, MaskClass(value=len(info.classes) + 1, name="n", color=new[0])))
    assert next_class_color(info).startswith("#")  # all are taken: one comes again


def test_a_renamed_tag_follows_in_rows_implications_and_history(tmp_path: Path) -> None:
    dataset = make_cases(tmp_path, 3)
    for name, tag in (("c0", "benign"), ("c1", "malignant")):
        case = dataset.case(name)
        dataset.update_case(name, revision=case.revision, tag=tag)
    dataset.rename_tag("malignant", "cancer")
    again = Dataset.open(dataset.path)
    assert [tag.name for tag in again.info.tags] == ["benign", "cancer"]
    assert again.info.implies == {"tumour": "cancer", "<empty>": "benign"}
    assert [(case.tag, case.revision) for case in again.cases] == [("benign", 2), ("cancer", 3), ("", 1)]
    assert not [fault for fault in check(again) if fault.severity == "error" and "history" in fault.text]
    with pytest.raises(DatasetError, match="declared twice"):
        dataset.rename_tag("benign", "cancer")
    with pytest.raises(DatasetError, match="no tag 'unknown'"):
        dataset.rename_tag("unknown", "x")
    assert [case.tag for case in Dataset.open(dataset.path).cases] == ["benign", "cancer", ""]


def test_a_renamed_class_follows_beside_surfaces_and_in_implications() -> None:
    classes = mask_classes(["RNFL", "GCL"])
    surfaces = (Surface(name="ILM", above="", below="RNFL"), Surface(name="inner", above="RNFL", below="GCL"))
    info = DatasetInfo(name="a", classes=classes, surfaces=surfaces, tags=tag_classes(["bad"]), implies={"RNFL": "bad"})
    renamed = with_class_renamed(info, "RNFL", "nerve fibres")
    check_info(renamed)
    assert [(s.above, s.below) for s in renamed.surfaces] == [("", "nerve fibres"), ("nerve fibres", "GCL")]
    assert renamed.implies == {"nerve fibres": "bad"}
