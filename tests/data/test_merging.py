from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_medseg.data.checking import check
from napari_medseg.data.dataset import Dataset
from napari_medseg.data.dataset_file import mask_classes, tag_classes
from napari_medseg.data.finishing import record_labels
from napari_medseg.data.layers import surfaces_of_layers
from napari_medseg.data.merging import merge_datasets
from napari_medseg.errors import DatasetError, MedsegError
from napari_medseg.structures import DatasetInfo, MaskClass
from tests.data.folders import write_mask, write_picture

SHAPE = (12, 10)


def make(folder: Path, info: DatasetInfo, labels: dict[str, np.ndarray], **cells: str) -> Dataset:
    """A data set with a done case per label image."""
    dataset = Dataset.create(folder, info, author="tester")
    for number, (name, pixels) in enumerate(labels.items()):
        picture = write_picture(folder.parent / f"{folder.name} pictures" / f"{name}.tif", SHAPE, seed=number)
        label = write_mask(dataset.labels_folder / f"{name}.tif", pixels).name
        dataset.add_case(picture, case=name, label=label, status="done", origin="person", **cells)
    return dataset


def oct_info(name: str, layers: list[str], areas: tuple[str, ...] = ()) -> DatasetInfo:
    classes = mask_classes([layer for layer in layers if layer != "background"] + [*areas])
    return DatasetInfo(name=name, kind="oct", classes=classes, surfaces=surfaces_of_layers(layers, classes))


NAMES = ("gland", "tumour", "vessel", "fat")


@st.composite
def infos_with_labels(draw: st.DrawFn, name: str) -> tuple[DatasetInfo, list[np.ndarray]]:
    names = draw(st.permutations(NAMES))[: draw(st.integers(1, 4))]
    values = draw(st.lists(st.integers(1, 254), min_size=len(names), max_size=len(names), unique=True))
    classes = tuple(MaskClass(value=v, name=n, color="#e69f00") for v, n in zip(values, names, strict=True))
    pixels = hnp.arrays(np.uint8, SHAPE, elements=st.sampled_from([0, 255, *values]))
    return DatasetInfo(name=name, classes=classes), draw(st.lists(pixels, min_size=1, max_size=3))


def names_of(labels: np.ndarray, info: DatasetInfo) -> np.ndarray:
    """Labels as names, with what is no class as it is."""
    names = {0: "nothing", 255: "not looked at", **{c.value: c.name for c in info.classes}}
    return np.vectorize(names.__getitem__)(labels)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(one=infos_with_labels("one"), two=infos_with_labels("two"))
def test_every_pixel_keeps_its_name_and_no_case_is_lost(
    tmp_path_factory: pytest.TempPathFactory,
    one: tuple[DatasetInfo, list[np.ndarray]],
    two: tuple[DatasetInfo, list[np.ndarray]],
) -> None:
    folder = tmp_path_factory.mktemp("sets")
    sources = [
        make(folder / info.name, info, {str(i): labels for i, labels in enumerate(drawn)}, group="1")
        for info, drawn in (one, two)
    ]
    merged = merge_datasets([source.path for source in sources], folder / "out")
    before = [(source, case) for source in sources for case in source.cases]
    assert len(merged.cases) == len(before) == len({case.case for case in merged.cases})
    assert {c.name for c in merged.info.classes} == {c.name for source in sources for c in source.info.classes}
    assert len({c.color for c in merged.info.classes}) == len(merged.info.classes)
    for (source, old), new in zip(before, merged.cases, strict=True):
        assert merged.image_path(new).samefile(source.image_path(old))
        old_labels, new_labels = source.read_labels(old), merged.read_labels(new)
        np.testing.assert_array_equal(names_of(old_labels, source.info), names_of(new_labels, merged.info))
        assert new.group == f"{source.info.name}/1"
        assert new.source == source.info.name
    assert not [fault for fault in check(merged) if fault.severity == "error"]


def test_ids_stay_where_no_two_sets_share_one(tmp_path: Path) -> None:
    info = DatasetInfo(name="a", classes=mask_classes(["gland"]))
    empty = np.zeros(SHAPE, np.uint8)
    one = make(tmp_path / "a", info, {"x": empty}, group="p", source="Scanner 1")
    two = make(tmp_path / "b", info, {"y": empty}, group="p")
    merged = merge_datasets([one.path, two.path], tmp_path / "out", same_groups=True)
    # Both data sets call themselves "a".
    assert [(c.case, c.group, c.source) for c in merged.cases] == [("x", "p", "Scanner 1"), ("y", "p", "a-2")]


def test_what_was_drawn_here_keeps_its_complete_regions_and_further_columns(tmp_path: Path) -> None:
    info = DatasetInfo(name="a", classes=mask_classes(["gland", "fat"]), tags=tag_classes(["benign"]))
    one = Dataset.create(tmp_path / "a", info)
    picture = write_picture(tmp_path / "p.tif", SHAPE)
    case = one.add_case(picture, case="p", tag="benign", extra={"stain": "H&E"}, note="a, b")
    store = one.label_store(case, SHAPE)
    store.write_box(((2, 5), (3, 7)), np.full((3, 4), 2, np.uint8))
    store.add_complete_region(((0, 6), (0, 8)))
    record_labels(one, case.case, store, revision=case.revision)
    two = make(tmp_path / "b", DatasetInfo(name="b", classes=mask_classes(["fat"])), {"q": np.ones(SHAPE, np.uint8)})
    merged = merge_datasets([two.path, one.path], tmp_path / "out")
    new = merged.case("p")
    assert (new.tag, new.note, new.status, new.extra["stain"]) == ("benign", "a, b", "draft", "H&E")
    again = merged.label_store(new, SHAPE)
    assert again.complete_regions == (((0, 6), (0, 8)),)
    drawn = again.read()
    assert (drawn[2:5, 3:7] == 1).all()
    assert (drawn != 255).sum() == 12
    assert merged.case("q").extra["stain"] == ""


def test_piles_that_differ_at_the_bottom_become_the_longer_one(tmp_path: Path) -> None:
    labels = np.repeat(np.arange(SHAPE[0], dtype=np.uint8)[:, None] // 4, SHAPE[1], axis=1)
    short = make(tmp_path / "a", oct_info("a", ["background", "RNFL", "choroid"], ("fluid",)), {"x": labels})
    longer = ["background", "RNFL", "choroid", "background"]
    long = make(tmp_path / "b", oct_info("b", longer), {"y": labels})
    boundaries = short.path / "boundaries" / "x.csv"
    boundaries.parent.mkdir()
    boundaries.write_text("bscan,x,ILM,RNFL/choroid,anchors\n0,3,3.5,,ILM;RNFL/choroid\n")
    said: list[str] = []
    renamed = replace(long.info, surfaces=tuple(replace(s, name=f"my {s.name}") for s in long.info.surfaces))
    long.set_info(renamed)
    merged = merge_datasets([short.path, long.path], tmp_path / "out", say=said.append)
    assert [s.name for s in merged.info.surfaces] == ["my ILM", "my RNFL/choroid", "my choroid/background"]
    with (merged.path / "boundaries" / "x.csv").open(newline="") as file:
        header, row = csv.reader(file)
    assert header == ["bscan", "x", "my ILM", "my RNFL/choroid", "anchors"]
    assert row == ["0", "3", "3.5", "", "my ILM;my RNFL/choroid"]
    assert any("'my choroid/background'" in text for text in said)
    assert any("does not know 'fluid'" in text for text in said)


def test_contradictions_are_named_and_nothing_is_written(tmp_path: Path) -> None:
    empty = np.zeros(SHAPE, np.uint8)

    def refused(one: DatasetInfo, two: DatasetInfo, sentence: str) -> None:
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        folder.mkdir()
        sources = [make(folder / name, info, {"x": empty}).path for name, info in (("1", one), ("2", two))]
        with pytest.raises(DatasetError, match=sentence):
            merge_datasets(sources, folder / "out")
        assert sorted(path.name for path in folder.iterdir()) == ["1", "1 pictures", "2", "2 pictures"]

    plain = DatasetInfo(name="a", classes=mask_classes(["gland"]), tags=tag_classes(["benign", "malignant"]))
    refused(plain, replace(plain, kind="ct"), "only data sets of one kind")
    refused(
        replace(plain, grades=("low", "high")), replace(plain, grades=("I", "II")), "grades of 'a' are low, high.*I, II"
    )
    refused(replace(plain, implies={"gland": "benign"}), plain, "implies the tag 'benign' in 'a' but no tag in 'a-2'")
    refused(
        oct_info("a", ["background", "RNFL", "GCL", "INL"]),
        oct_info("b", ["background", "RNFL", "INL"]),
        "below 'RNFL' lies 'INL' in 'b' but 'GCL' in 'a'",
    )


def test_damaged_sources_are_refused(tmp_path: Path) -> None:
    info = DatasetInfo(name="a", classes=mask_classes(["gland"]))
    one = make(tmp_path / "a", info, {"x": np.full(SHAPE, 7, np.uint8)})
    two = make(tmp_path / "b", info, {"y": np.zeros(SHAPE, np.uint8)})
    with pytest.raises(MedsegError, match=r"x\.tif holds the value 7, which is no class"):
        merge_datasets([one.path, two.path], tmp_path / "out")
    with pytest.raises(DatasetError, match="two data sets or more"):
        merge_datasets([one.path], tmp_path / "out")
    (two.path / "cases.csv").write_text("case,image\ny,p.tif\ny,q.tif\n")
    with pytest.raises(DatasetError, match="rows that are not understood"):
        merge_datasets([two.path, one.path], tmp_path / "out")


def test_a_group_on_two_sides_is_refused_when_groups_are_the_same(tmp_path: Path) -> None:
    info = DatasetInfo(name="a", classes=mask_classes(["gland"]))
    empty = np.zeros(SHAPE, np.uint8)
    one = make(tmp_path / "a", info, {"x": empty}, group="p", split="train")
    two = make(tmp_path / "b", info, {"y": empty}, group="p", split="test")
    with pytest.raises(DatasetError, match="Group 'p' is in train"):
        merge_datasets([one.path, two.path], tmp_path / "out", same_groups=True)
    merged = merge_datasets([one.path, two.path], tmp_path / "out")
    assert [(c.group, c.split) for c in merged.cases] == [("a/p", "train"), ("a-2/p", "test")]
