"""A scanner's own layers as drafts of a data set."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_medseg.annotation.device_layers import labels_of_device
from napari_medseg.api.device_layers import ORIGIN, take_device_layers
from napari_medseg.cli import main
from napari_medseg.data.checking import check
from napari_medseg.data.dataset import Dataset
from napari_medseg.data.dataset_file import mask_classes
from napari_medseg.data.retina import surfaces_of_pile
from napari_medseg.errors import DatasetError
from napari_medseg.structures import DatasetInfo

from .io.oct.writers import MISSING, write_vol

_REFLECTANCE = np.random.default_rng(0).random((2, 20, 16)).astype(np.float32)


def _scan(path: Path) -> Path:
    rows = np.stack([np.full((2, 16), row, np.float32) for row in (4.5, 15.5, 8.5)], axis=1)
    rows[1, 2, 3] = MISSING
    return write_vol(path, _REFLECTANCE, rows)


def test_import_takes_them_as_drafts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "in").mkdir()
    _scan(tmp_path / "in" / "a.vol")
    write_vol(tmp_path / "in" / "b.vol", _REFLECTANCE, np.zeros((2, 0, 16), np.float32))
    code = main(
        ["dataset", "import", str(tmp_path / "in"), "--out", str(tmp_path / "d"), "--kind", "oct", "--device-layers"]
    )
    assert code == 0
    assert "1 case has the scanner's own layers" in capsys.readouterr().out
    dataset = Dataset.open(tmp_path / "d")
    with_layers, without = dataset.cases
    assert [c.name for c in dataset.info.classes] == ["RNFL", "RNFL to BM"]
    assert [surface.name for surface in dataset.info.surfaces] == ["ILM", "RNFL", "BM"]
    assert (with_layers.status, with_layers.origin, without.label) == ("draft", ORIGIN, "")
    labels = dataset.read_labels(with_layers)
    assert labels is not None
    assert labels[0, :, 0].tolist() == [0] * 5 + [1] * 4 + [2] * 7 + [0] * 4
    assert labels[1, :, 3].tolist() == [0] * 5 + [255] * 11 + [0] * 4
    assert not [fault for fault in check(dataset) if fault.severity == "error"]
    assert take_device_layers(dataset) == []


def test_declared_surfaces_take_those_of_their_names(tmp_path: Path) -> None:
    classes = mask_classes(["RNFL", "rest"])
    surfaces = surfaces_of_pile(["background", "RNFL", "rest"])
    dataset = Dataset.create(tmp_path / "d", DatasetInfo(name="d", kind="oct", classes=classes, surfaces=surfaces))
    case = dataset.add_case(_scan(tmp_path / "a.vol"))
    assert [surface.name for surface in surfaces] == ["ILM", "RNFL/rest"]
    assert take_device_layers(dataset) == [case.case]
    labels = dataset.read_labels(dataset.case(case.case))
    assert labels is not None
    assert labels[0, :, 0].tolist() == [0] * 5 + [255] * 15


def test_surfaces_of_other_names_are_not_guessed(tmp_path: Path) -> None:
    classes = mask_classes(["A", "B"])
    info = DatasetInfo(name="d", kind="oct", classes=classes, surfaces=surfaces_of_pile(["A", "B"]))
    dataset = Dataset.create(tmp_path / "d", info)
    dataset.add_case(_scan(tmp_path / "a.vol"))
    with pytest.raises(DatasetError, match=r"BM, ILM, RNFL.*A/B"):
        take_device_layers(dataset)


def test_the_upper_of_crossing_surfaces_counts() -> None:
    surfaces = {"upper": np.full((1, 2), 3.5, np.float32), "lower": np.array([[1.5, 4.5]], np.float32)}
    assert labels_of_device(surfaces, (6, 2), (0, 1, 2)).T.tolist() == [[0, 0, 0, 0, 2, 2], [0, 0, 0, 0, 1, 2]]
