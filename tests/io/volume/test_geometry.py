"""Series with everything that goes wrong at once: each voxel that was stored is found where DICOM says that it lies."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_medseg.io import read
from napari_medseg.structures import Image

from .writers import write_series

ROWS, COLUMNS = 3, 4
SPACING = (0.75, 0.5)
INTERCEPT = -1024.0
START = np.array([-10.0, -20.0, 30.0])


@dataclass(frozen=True)
class Scan:
    """What a scanner made: values (z, y, x), the place of each slice and the directions of rows, columns and slices."""

    values: np.ndarray
    places: np.ndarray
    along: np.ndarray
    down: np.ndarray
    slopes: list[float]
    signed: bool

    def written(self, folder: Path, order: list[int], *, copies: int = 0, **elements: Any) -> Path:
        """Files of the slices in this order, so that neither names nor numbers follow places; some of them twice."""
        write_series(
            folder,
            self.values[order],
            positions=[tuple(place) for place in self.places[order]],
            orientation=[*self.along, *self.down],
            slope=[self.slopes[index] for index in order],
            spacing=SPACING,
            intercept=INTERCEPT,
            signed=self.signed,
            **elements,
        )
        for number, file in enumerate(sorted(folder.iterdir())[:copies]):
            shutil.copy(file, folder / f"again{number}")
        return folder

    def is_found_in(self, image: Image, slices: list[int]) -> None:
        """Every stored voxel lies in the image at its place in the body."""
        assert image.affine is not None
        pixels, inverse = np.asarray(image.data[...]), np.linalg.inv(image.affine)
        for index in slices:
            for y, x in np.ndindex(ROWS, COLUMNS):
                place = self.places[index] + self.along * x * SPACING[1] + self.down * y * SPACING[0]
                voxel = inverse @ [*place[::-1], 1]
                np.testing.assert_allclose(voxel, np.round(voxel), atol=0.02)
                assert pixels[tuple(np.round(voxel[:3]).astype(int))] == pytest.approx(
                    self.values[index, y, x], abs=0.01
                )


@st.composite
def scans(draw, *, leaning: bool = True) -> Scan:
    """Eight to ten slices of any direction."""
    count = draw(st.integers(8, 10))
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    # Any directions of rows and columns, those along the body's axes among them.
    turned, _ = np.linalg.qr(rng.normal(size=(3, 3)) if draw(st.booleans()) else np.eye(3)[rng.permutation(3)])
    along, down = turned.T[:2] * rng.choice([-1.0, 1.0], size=(2, 1))
    lean = draw(st.floats(-0.4, 0.4)) if leaning else 0.0
    step = draw(st.floats(0.5, 5.0)) * (np.cross(along, down) + lean * down)
    slopes = [float(slope) for slope in rng.choice([0.5, 1.0, 2.0], size=count)]
    stored = rng.integers(24, 1000, (count, ROWS, COLUMNS))
    values = stored * np.reshape(slopes, (-1, 1, 1)) + INTERCEPT
    places = START + np.arange(count)[:, np.newaxis] * step
    return Scan(values, places, along, down, slopes, draw(st.booleans()))


@settings(max_examples=25, deadline=None)
@given(scan=scans(), data=st.data())
def test_every_stored_voxel_lies_where_dicom_says(tmp_path_factory, scan: Scan, data) -> None:
    count = len(scan.values)
    lost = data.draw(st.sets(st.integers(1, count - 2), max_size=2), label="lost")
    kept = [index for index in range(count) if index not in lost]
    order = data.draw(st.permutations(kept), label="order")
    copies = data.draw(st.integers(0, 2), label="copies")
    image = read(scan.written(tmp_path_factory.mktemp("ct"), order, copies=copies))
    assert image.shape == (count, ROWS, COLUMNS)
    scan.is_found_in(image, kept)
    told = " ".join(image.warnings)
    assert (f"{len(lost)} slice" in told) == bool(lost)
    assert (f"{copies} of its files" in told) == bool(copies)


@settings(max_examples=15, deadline=None)
@given(scan=scans(leaning=False), data=st.data())
def test_upright_whole_series_lie_where_simpleitk_finds_them(tmp_path_factory, scan: Scan, data) -> None:
    sitk = pytest.importorskip("SimpleITK", reason="SimpleITK is not installed")
    # One slope for all slices: others are compared with what was stored, above.
    even = Scan(np.round(scan.values), scan.places, scan.along, scan.down, [1.0] * len(scan.values), scan.signed)
    folder = even.written(tmp_path_factory.mktemp("ct"), data.draw(st.permutations(range(len(scan.values)))))
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    theirs, image = reader.Execute(), read(folder)
    assert image.affine is not None
    pixels, inverse = np.asarray(image.data[...]), np.linalg.inv(image.affine)
    assert image.spacing == pytest.approx(_by_axis(image, theirs), rel=1e-4)
    for index in np.ndindex(*theirs.GetSize()):
        place = theirs.TransformIndexToPhysicalPoint(tuple(map(int, index)))
        voxel = np.round(inverse @ [*place[::-1], 1])[:3].astype(int)
        assert pixels[tuple(voxel)] == theirs[tuple(map(int, index))]


def _by_axis(image: Image, theirs: Any) -> list[float]:
    """SimpleITK's spacing in the order of the image's axes, which are slices, rows and columns in both."""
    assert image.shape == theirs.GetSize()[::-1]
    return list(theirs.GetSpacing()[::-1])


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_hounsfield_units_stay_what_they_are_whatever_is_shown_bright(tmp_path: Path, photometric: str) -> None:
    rng = np.random.default_rng(2)
    values = rng.integers(-1000, 1000, (8, ROWS, COLUMNS)).astype(float)
    places = START + np.arange(8)[:, np.newaxis] * [0.0, 0.0, 2.0]
    scan = Scan(values, places, np.array([1.0, 0, 0]), np.array([0, 1.0, 0]), [1.0] * 8, False)
    image = read(scan.written(tmp_path, list(range(8)), PhotometricInterpretation=photometric, PixelPaddingValue=0))
    scan.is_found_in(image, list(range(8)))
