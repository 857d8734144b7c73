"""A scanner's own layers as drafts of a data set."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_medseg.annotation.device_layers import labels_of_device
from napari_medseg.api.device_layers import ORIGIN, surfaces_by_own_name, take_device_layers
from napari_medseg.cli import main
from napari_medseg.data.checking import check
from napari_medseg.data.dataset import Dataset
from napari_medseg.data.dataset_file import mask_classes
from napari_medseg.data.device_surfaces import match_surfaces
from napari_medseg.data.retina import STRUCTURES, surfaces_of_pile
from napari_medseg.errors import DatasetError
from napari_medseg.io.oct.heidelberg import LAYER_NAMES
from napari_medseg.io.reading import read
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


def test_declared_surfaces_take_those_of_their_names_or_meaning(tmp_path: Path) -> None:
    classes = mask_classes(["RNFL", "rest"])
    surfaces = surfaces_of_pile(["background", "RNFL", "rest"])
    dataset = Dataset.create(tmp_path / "d", DatasetInfo(name="d", kind="oct", classes=classes, surfaces=surfaces))
    case = dataset.add_case(_scan(tmp_path / "a.vol"))
    assert [surface.name for surface in surfaces] == ["ILM", "RNFL/rest"]
    said: list[str] = []
    assert take_device_layers(dataset, say=said.append) == [case.case]
    assert said == ["The scanner's surfaces were taken so: ILM; RNFL/rest = RNFL."]
    labels = dataset.read_labels(dataset.case(case.case))
    assert labels is not None
    assert labels[0, :, 0].tolist() == [0] * 5 + [1] * 4 + [2] * 11


#: Layers of Heidelberg's XML exports from top to bottom; .vol has those and some that are no surfaces of the retina.
HEIDELBERG = ("ILM", "RNFL", "GCL", "IPL", "INL", "OPL", "ELM", "PR1", "PR2", "RPE", "BM")
DUKE_DME = ("ILM", "NFL/GCL", "IPL/INL", "INL/OPL", "OPL/ONL", "ISM/ISE", "OS/RPE", "BM")
TOPCON = tuple(f"MULTILAYERS_{number}" for number in range(1, 11))
FOURTEEN = [name for name in STRUCTURES if name != "optic disc"]


@pytest.mark.parametrize("device", [HEIDELBERG, LAYER_NAMES])
def test_heidelbergs_surfaces_are_borders_of_the_fourteen_structures(device: tuple[str, ...]) -> None:
    match = match_surfaces(surfaces_of_pile(FOURTEEN), device)
    assert dict(match.names) == {
        "ILM": "ILM",
        "RNFL/GCL": "RNFL",
        "GCL/IPL": "GCL",
        "IPL/INL": "IPL",
        "INL/OPL": "INL",
        "OPL/ONL": "OPL",
        "ONL/ELM": "ELM",
        "MZ/EZ": "PR1",
        "EZ/RPE": "RPE",
        "BM": "BM",
    }
    assert match.missing == ("ELM/MZ", "choroid/sclera")
    assert not match.unclear


def test_the_upper_one_of_heidelbergs_photoreceptor_surfaces_begins_the_ellipsoid_zone() -> None:
    ez = surfaces_of_pile(["MZ", "EZ"])
    assert match_surfaces(ez, ["ELM", "PR2", "PR1", "RPE"]).names == {"MZ/EZ": "PR2"}
    assert match_surfaces(ez, ["ELM", "PR1", "PR2", "RPE"]).names == {"MZ/EZ": "PR1"}


def test_other_makers_surfaces_are_told_by_both_sides_or_by_number() -> None:
    layers = ["background", "RNFL", "GCL+IPL", "INL", "OPL", "ONL", "EZ", "RPE", "choroid"]
    duke = match_surfaces(surfaces_of_pile(layers), DUKE_DME)
    assert list(duke.names.values()) == list(DUKE_DME)
    topcon = match_surfaces(surfaces_of_pile(layers), TOPCON)
    assert topcon.names["BM"] == "MULTILAYERS_7"
    assert topcon.unclear == {"ONL/EZ": ("MULTILAYERS_9", "MULTILAYERS_5")}
    assert topcon.missing == ("OPL/ONL",)


def test_a_surface_that_may_be_two_of_the_scanners_is_left_to_a_person() -> None:
    surfaces = surfaces_of_pile(["background", "RNFL", "INL", "ONL", "background"])
    match = match_surfaces(surfaces, HEIDELBERG)
    assert match.unclear == {"RNFL/INL": ("RNFL", "GCL", "IPL"), "INL/ONL": ("INL", "OPL")}
    assert match.names == {"ILM": "ILM", "ONL/background": "ELM"}
    assert match_surfaces(surfaces, ["ILM", "IPL"]).names == {"ILM": "ILM", "RNFL/INL": "IPL"}
    assert match_surfaces(surfaces, []).text == "without ILM, RNFL/INL, INL/ONL, ONL/background"


@pytest.mark.parametrize("name", ["Linescan_1.vol", "eyepy_test_filetypes/heyex_xml"])
def test_real_files_give_the_surfaces_that_they_hold(shared_data: Path, name: str) -> None:
    path = shared_data / "formats_oct" / name
    path = next(path.rglob("*.xml")) if path.is_dir() else path
    image = read(path)
    assert image.oct is not None
    found = surfaces_by_own_name(surfaces_of_pile(FOURTEEN), image.oct.surfaces)
    assert {"ILM", "BM"} <= set(found)
    known = {name for name in image.oct.surfaces if name in HEIDELBERG and name != "PR1"}
    assert len(found) == len(known)
    names = [surface.name for surface in surfaces_of_pile(FOURTEEN) if surface.name in found]
    depths = [float(np.nanmedian(found[name] - found["ILM"])) for name in names]
    assert depths == sorted(depths)


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


def test_surfaces_of_a_scanner_that_cross_are_told(tmp_path: Path) -> None:
    rows = np.stack([np.full((2, 16), row, np.float32) for row in (4.5, 15.5, 8.5)], axis=1)
    rows[0, 0, 2:5] = 18.0
    dataset = Dataset.create(tmp_path / "d", DatasetInfo(name="d", kind="oct"))
    dataset.add_case(write_vol(tmp_path / "a.vol", _REFLECTANCE, rows))
    said: list[str] = []
    assert take_device_layers(dataset, say=said.append) == ["a"]
    assert said == ["a: the scanner's surfaces cross in 3 columns, where the upper one was taken."]
