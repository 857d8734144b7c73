"""What cannot all be true, in data sets in which it was put on purpose."""

from __future__ import annotations

import numpy as np
import pytest

from napari_medseg.data.contradictions import confirm, contradictions
from napari_medseg.data.dataset import Dataset
from napari_medseg.data.dataset_file import mask_classes, tag_classes
from napari_medseg.data.finishing import mark_done
from napari_medseg.structures import DatasetInfo

INFO = DatasetInfo(
    name="test",
    classes=mask_classes(["tumour", "polyp", "vessel"]),
    tags=tag_classes(["benign", "malignant"]),
    implies={"tumour": "malignant", "polyp": "benign"},
)
TUMOUR, POLYP, VESSEL = 1, 2, 3
SHAPE = (48, 64)


def picture(seed):
    return np.random.default_rng(seed).integers(0, 255, (*SHAPE, 3)).astype(np.uint8)


@pytest.fixture
def dataset(tmp_path):
    return Dataset.create(tmp_path / "data", INFO)


def add(dataset, name, *, tag="", drawn=None, done=True, pixels=None, group=""):
    """A case; `drawn` is a list of values that are drawn as squares, or None for no labels."""
    image = picture(len(dataset.cases)) if pixels is None else pixels
    case = dataset.add_image(image, name, group=group or name)
    store = None
    if drawn is not None:
        store = dataset.label_store(case, SHAPE)
        for place, value in enumerate(drawn):
            store.write_box(((8, 16), (8 * place, 8 * place + 8)), np.full((8, 8), value, np.uint8))
        case = dataset.update_case(case.case, revision=case.revision, label=store.name, status="draft")
    if done:
        mark_done(dataset, name, store, revision=case.revision, tag=tag)
    elif tag:
        dataset.update_case(case.case, revision=case.revision, tag=tag)
    return name


def kinds(dataset):
    return {(each.case, each.kind) for each in contradictions(dataset)}


def test_each_kind_is_found_and_what_fits_is_not(dataset):
    add(dataset, "benign with tumour", tag="benign", drawn=[TUMOUR])
    add(dataset, "both", tag="", drawn=[TUMOUR, POLYP])
    add(dataset, "malignant but empty", tag="malignant", drawn=[0])
    add(dataset, "fits", tag="malignant", drawn=[TUMOUR, VESSEL])
    add(dataset, "vessels say nothing", tag="benign", drawn=[VESSEL])
    add(dataset, "a tag alone", tag="malignant")
    add(dataset, "not looked at in full", tag="malignant", drawn=[0], done=False)
    assert kinds(dataset) == {
        ("benign with tumour", "drawn"),
        ("both", "divided"),
        ("malignant but empty", "empty"),
    }


def test_a_drawn_tumour_counts_although_the_rest_was_not_looked_at(dataset):
    add(dataset, "draft", tag="benign", drawn=[TUMOUR], done=False)
    (found,) = contradictions(dataset)
    assert found.text == "The tag is 'benign', but tumour is drawn, which implies 'malignant'."


def test_twins_with_different_tags_or_drawings(dataset):
    image = np.zeros((*SHAPE, 3), np.uint8)
    image[10:30, 5:40] = 200
    other = np.zeros((*SHAPE, 3), np.uint8)
    other[30:, 30:] = 200
    add(dataset, "a", tag="benign", pixels=image)
    add(dataset, "b", tag="malignant", pixels=image // 2 + 10)
    add(dataset, "c", tag="malignant", pixels=other, drawn=[TUMOUR])
    add(dataset, "d", tag="malignant", pixels=other, drawn=[TUMOUR, VESSEL])
    add(dataset, "e", pixels=other, done=False)
    found = {(each.case, each.other): each.text for each in contradictions(dataset)}
    assert set(found) == {("a", "b"), ("c", "d")}
    assert "tag is 'benign' here and 'malignant' there" in found["a", "b"]
    assert "vessel is drawn only there" in found["c", "d"]


def test_what_is_confirmed_is_gone_until_the_case_changes(dataset):
    name = add(dataset, "odd", tag="benign", drawn=[TUMOUR])
    (found,) = contradictions(dataset)
    confirm(dataset, found)
    assert contradictions(Dataset.open(dataset.path)) == []
    case = dataset.case(name)
    dataset.update_case(name, revision=case.revision, note="looked at again")
    assert contradictions(dataset) == [], "a note changes nothing of it"
    store = dataset.label_store(dataset.case(name), SHAPE)
    store.write_box(((30, 40), (30, 40)), np.full((10, 10), TUMOUR, np.uint8))
    store.flush()
    assert [each.kind for each in contradictions(dataset)] == ["drawn"]


def test_one_case_can_be_asked_about_alone(dataset):
    add(dataset, "one", tag="benign", drawn=[TUMOUR])
    add(dataset, "two", tag="benign", drawn=[TUMOUR])
    assert [each.case for each in contradictions(dataset, cases={"two"})] == ["two"]
