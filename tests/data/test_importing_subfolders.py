"""Images that lie in folders inside the folder that is imported."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_medseg.cli import main
from napari_medseg.data.importing import import_dataset
from napari_medseg.errors import MedsegError
from napari_medseg.io import image_files
from tests.data.folders import write_mask, write_picture
from tests.io.oct.writers import write_vol, write_xml

MASK = np.eye(40, 30, dtype=np.uint8)
BSCANS = np.random.default_rng(0).random((3, 20, 16)).astype(np.float32)


def imported(source: Path, **options: object) -> tuple[dict[str, tuple[str, bool]], list[str]]:
    """Group and whether there is a mask by case, and the remarks."""
    said: list[str] = []
    dataset = import_dataset(source, source.parent / "out", say=said.append, **options)  # type: ignore[arg-type] # as given
    return {case.case: (case.group, bool(case.label)) for case in dataset.cases}, said


def test_images_in_sub_folders_alone_are_taken_each_folder_a_group(tmp_path: Path) -> None:
    source = tmp_path / "s"
    for patient, name in (("P1", "a"), ("P1", "b"), ("P2/left", "c")):
        write_picture(source / "images" / patient / f"{name}.tif")
        write_mask(source / "masks" / patient / f"{name}_mask.tif", MASK)
    cases, said = imported(source)
    assert cases == {"a": ("P1", True), "b": ("P1", True), "c": ("P2", True)}
    assert said == ["The images lie in sub-folders, each a group of its own: P1, P2."]


def test_images_of_one_name_are_called_by_their_folder_too(tmp_path: Path) -> None:
    source = tmp_path / "s"
    for patient in ("P1", "P2"):
        write_picture(source / patient / "images" / "scan.tif")
        write_mask(source / patient / "masks" / "scan.tif", MASK)
    cases, _ = imported(source)
    assert cases == {"P1_scan": ("P1", True), "P2_scan": ("P2", True)}


def test_images_in_sub_folders_beside_others_are_named_when_they_are_left_out(tmp_path: Path) -> None:
    source = tmp_path / "s"
    write_picture(source / "a.tif")
    write_picture(source / "older" / "b.tif")
    write_mask(source / "masks" / "a.tif", MASK)
    (source / "papers").mkdir()
    (source / "papers" / "read me.txt").write_text("no image")
    cases, said = imported(source)
    assert cases == {"a": ("", True)}
    (remark,) = said
    assert "left out (older): import such a folder by itself with --images" in remark


def test_scanner_files_and_exports_in_patients_folders_are_volumes(tmp_path: Path) -> None:
    (tmp_path / "s" / "P1").mkdir(parents=True)
    write_vol(tmp_path / "s" / "P1" / "one.vol", BSCANS, np.full((3, 1, 16), 9, np.float32))
    write_xml(tmp_path / "s" / "P2", (BSCANS * 255).astype(np.uint8), {})
    cases, _ = imported(tmp_path / "s", kind="oct")
    assert cases == {"P2": ("", False), "one": ("P1", False)}


def test_an_export_folder_is_one_image_wherever_files_are_listed(tmp_path: Path) -> None:
    folder = tmp_path / "export"
    xml = write_xml(folder, (BSCANS * 255).astype(np.uint8), {})
    assert image_files(folder) == [folder]
    (folder / "second.xml").write_bytes(xml.read_bytes())
    assert image_files(folder) == [folder / "export.xml", folder / "second.xml"]


def test_folders_without_any_image_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "s" / "a" / "b").mkdir(parents=True)
    with pytest.raises(MedsegError, match="holds no image"):
        import_dataset(tmp_path / "s", tmp_path / "out")
    assert main(["dataset", "import", str(tmp_path / "s"), "--out", str(tmp_path / "out")]) == 1
    assert len(capsys.readouterr().err.splitlines()) == 1
