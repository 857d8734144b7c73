from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as Picture

from napari_medseg.cli import main
from napari_medseg.data.scan_columns import with_spacing
from napari_medseg.io.plausibility import implausible_spacing, implausible_steps
from napari_medseg.structures import Image, Kind

#: Real scans: kind, axes, shape, millimetres per pixel.
SCANS: list[tuple[Kind, str, tuple[int, ...], tuple[float, ...]]] = [
    ("oct", "yx", (496, 768), (0.00387, 0.0118)),
    ("oct", "zyx", (49, 496, 512), (0.12, 0.00387, 0.0115)),
    ("oct", "zyx", (128, 1024, 512), (0.047, 0.00196, 0.0118)),
    ("ct", "zyx", (300, 512, 512), (1.25, 0.7, 0.7)),
    ("mr", "zyx", (40, 256, 256), (5.0, 0.9, 0.9)),
    ("ultrasound", "tyx", (50, 600, 800), (1.0, 0.08, 0.08)),
]


@pytest.mark.parametrize("scan", SCANS, ids=lambda scan: f"{scan[0]} {scan[1]}")
@given(factor=st.sampled_from([1.0, 1e-3, 1e3]))
def test_a_unit_that_was_mixed_up_is_told_with_what_was_meant(
    factor: float, scan: tuple[Kind, str, tuple[int, ...], tuple[float, ...]]
) -> None:
    kind, axes, shape, steps = scan
    wrong = [step * factor for step in steps]
    sentences = implausible_steps(kind, axes, shape, wrong)
    if factor == 1:
        assert sentences == {}
        return
    for axis in "yx":
        assert f"so {steps[axes.index(axis)]:.6g} mm may be meant" in sentences[axis]
        assert f"{wrong[axes.index(axis)]:.6g} mm per pixel" in sentences[axis]
    assert all(text.endswith(".") and text.count(". ") == 0 for text in sentences.values())


def test_pictures_and_unknown_distances_are_never_doubted() -> None:
    assert implausible_steps("image", "yx", (9, 9), (1e9, 1e-9)) == {}
    assert implausible_steps("oct", "yx", (9, 9), (None, None)) == {}
    pixels = (np.zeros((496, 768), np.uint8),)
    assert implausible_spacing(Image(levels=pixels, axes="yx", kind="oct")) == {}
    counted = Image(levels=pixels, axes="yx", kind="oct", spacing=(1.0, 1.0), units=("pixel", "pixel"))
    assert implausible_spacing(counted) == {}
    micrometers = Image(levels=pixels, axes="yx", kind="oct", spacing=(3.9, 11.5), units=("micrometer", "micrometer"))
    assert implausible_spacing(micrometers) == {}


def test_spacing_that_is_off_otherwise_is_told_without_a_guess() -> None:
    text = implausible_steps("ct", "zyx", (9, 512, 512), (0.7, 0.7, 12345.0))["x"]
    assert "Spacing along x is 12345 mm" in text
    assert text.endswith("correct it before anything is measured.")


def test_import_and_check_tell_micrometres_taken_for_millimetres(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "s").mkdir()
    for name in "ab":
        Picture.fromarray(np.zeros((64, 700), np.uint8)).save(tmp_path / "s" / f"{name}.png")
    out = str(tmp_path / "out")
    assert main(["dataset", "import", str(tmp_path / "s"), "--out", out, "--kind", "oct", "--spacing", "3.9,11.5"]) == 0
    assert "a.png and 1 more: Depth is 3.9 mm per pixel" in capsys.readouterr().out
    assert main(["dataset", "check", out]) == 0
    told = capsys.readouterr().out
    assert "(case 'a') and 1 more: Depth is 3.9 mm per pixel" in told
    assert "so 0.0115 mm may be meant. Correct it in the column 'spacing'" in told


def test_a_person_corrects_what_a_file_says_wrongly_and_nothing_else() -> None:
    pixels = (np.zeros((496, 768), np.uint8),)
    scan = Image(levels=pixels, axes="yx", kind="oct", spacing=(3.87, 0.0115), units=("millimeter",) * 2)
    scan = replace(scan, warnings=("Odd.", *implausible_spacing(scan).values()))
    corrected = with_spacing(scan, (0.004, 0.02))
    assert (corrected.spacing, corrected.warnings) == ((0.004, 0.0115), ("Odd.",))
