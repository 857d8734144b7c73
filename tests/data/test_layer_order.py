from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as Picture

from napari_medseg.cli import main
from napari_medseg.data.checking import check
from napari_medseg.data.dataset import Dataset
from napari_medseg.data.dataset_file import mask_classes
from napari_medseg.data.importing import import_dataset
from napari_medseg.data.layer_order import layer_values, layer_votes, order_fault
from napari_medseg.data.layers import surfaces_of_layers
from napari_medseg.errors import DatasetError
from napari_medseg.structures import DatasetInfo

NAMES = ("RNFL", "GCL", "INL", "ONL")
MASK = np.repeat(np.array([0, 0, 1, 1, 2, 2, 3, 4, 4, 0], np.uint8)[:, None], 12, axis=1)


def info_of(layers: list[str]) -> DatasetInfo:
    classes = mask_classes(NAMES)
    return DatasetInfo(name="t", kind="oct", classes=classes, surfaces=surfaces_of_layers(layers, classes))


def fault_of(mask: np.ndarray, layers: list[str]) -> str:
    info = info_of(layers)
    return order_fault(layer_votes(mask, layer_values(info)), info)


def source(folder: Path, masks: dict[str, np.ndarray]) -> Path:
    for name, mask in masks.items():
        for kind, pixels in (("images", np.zeros_like(mask)), ("masks", mask)):
            (folder / kind).mkdir(parents=True, exist_ok=True)
            Picture.fromarray(pixels).save(folder / kind / f"{name}.png")
    return folder


@given(st.permutations(NAMES), st.permutations(NAMES))
def test_only_the_order_that_masks_show_is_accepted_and_named(drawn: list[str], declared: list[str]) -> None:
    mask = np.repeat(np.array([0, *(NAMES.index(name) + 1 for name in drawn), 0])[:, None], 5, axis=1)
    fault = fault_of(mask, declared)
    if drawn == declared:
        assert fault == ""
    else:
        assert fault.endswith(f"are {','.join(drawn)}")


def test_layers_upside_down_take_the_background_along() -> None:
    assert fault_of(MASK, ["ONL", "INL", "GCL", "RNFL", "background"]).endswith("are background,RNFL,GCL,INL,ONL")


def test_votes_are_those_of_a_count_by_hand() -> None:
    mask = np.random.default_rng(0).integers(0, 5, (9, 40))
    votes = layer_votes(mask, [1, 2, 3, 4])
    for (i, a), (j, b) in itertools.product(enumerate(range(1, 5)), repeat=2):
        count = 0
        for column in mask.T:
            rows_a, rows_b = np.flatnonzero(column == a), np.flatnonzero(column == b)
            both = len(rows_a) and len(rows_b)
            count += bool(both and rows_a[0] < rows_b[0] and rows_a[-1] < rows_b[-1])
        assert votes[i, j] == count


def test_what_lies_around_a_retina_and_layers_that_are_missing_are_no_fault() -> None:
    around = MASK.copy()
    around[MASK == 0] = 4
    around[MASK == 4] = 0
    assert fault_of(around, ["ONL", "RNFL", "GCL", "INL"]) == ""
    assert fault_of(np.zeros((8, 8), np.uint8), list(NAMES)) == ""
    assert fault_of(np.where(MASK == 1, MASK, 0), list(NAMES)) == ""


def test_importing_layers_upside_down_is_refused_with_the_right_order(tmp_path: Path) -> None:
    folder = source(tmp_path / "s", {"a": MASK})
    classes = dict(enumerate(NAMES, start=1))
    layers = ["background", *NAMES, "background"]
    with pytest.raises(DatasetError, match="are background,RNFL,GCL,INL,ONL,background; list them in this order"):
        import_dataset(folder, tmp_path / "out", kind="oct", classes=classes, layers=layers[::-1])
    assert not (tmp_path / "out").exists()
    dataset = import_dataset(folder, tmp_path / "out", kind="oct", classes=classes, layers=layers)
    assert [f for f in check(dataset) if "order" in f.text] == []


def test_check_tells_an_order_that_was_declared_wrongly(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = source(tmp_path / "s", {"a": MASK, "b": MASK})
    import_dataset(folder, tmp_path / "out", kind="oct", classes=dict(enumerate(NAMES, start=1)))
    turned = surfaces_of_layers(list(NAMES[::-1]), mask_classes(NAMES))
    from napari_medseg.data.dataset_file import write_info

    write_info(tmp_path / "out", DatasetInfo(name="t", kind="oct", classes=mask_classes(NAMES), surfaces=turned))
    assert main(["dataset", "check", str(tmp_path / "out")]) == 1
    assert "top to bottom are RNFL,GCL,INL,ONL" in capsys.readouterr().out


def test_check_tells_the_one_case_that_stands_on_its_head(tmp_path: Path) -> None:
    folder = source(tmp_path / "s", {"a": MASK, "b": MASK, "c": MASK[::-1]})
    import_dataset(folder, tmp_path / "out", kind="oct", classes=dict(enumerate(NAMES, start=1)), layers=list(NAMES))
    found = [fault for fault in check(Dataset.open(tmp_path / "out")) if "against the order" in fault.text]
    assert [("'c'" in fault.where, fault.severity) for fault in found] == [(True, "warning")]
