"""An abdomen that never was: CT in Hounsfield units, with the organs that were drawn.

For samples, tests and first steps without any patient's data. Organs are ellipsoids, bent a little by smooth waves; the
noise has the grain of a reconstruction. Nothing here is a measurement of real tissue.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_medseg.data.dataset import Dataset
from napari_medseg.data.finishing import mark_done, record_labels
from napari_medseg.structures import DatasetInfo, Image, MaskClass

CLASSES = (
    MaskClass(value=1, name="liver", color="#e69f00"),
    MaskClass(value=2, name="pancreas", color="#009e73"),
    MaskClass(value=3, name="tumour", color="#d55e00"),
    MaskClass(value=4, name="kidney", color="#56b4e9"),
)
#: Millimetres that a volume covers: along z, y and x.
EXTENT = (200.0, 320.0, 400.0)

TUMOUR = CLASSES[2]
#: Of the tumour, lowest first.
GRADES = ("soft", "fibrous")
#: Hounsfield units that a grade adds.
_DENSER = 60.0

_AIR, _FAT, _MUSCLE, _NOISE = -1000.0, -100.0, 50.0, 14.0
#: Bends: how far, as a share of the volume, and how many waves at most.
_BEND, _WAVES = 0.012, 3

Floats = npt.NDArray[np.float32]
Hounsfield = npt.NDArray[np.int16]
Labels = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class _Organ:
    """An ellipsoid; places and radii are shares of the volume along z (to the head), y (to the back), x (to the left).

    A value of 0 stands for what is no class.
    """

    value: int
    hounsfield: float
    middle: tuple[float, float, float]
    radii: tuple[float, float, float]


#: Later ones lie over earlier ones. The patient's right side is at the left, as on a screen.
_ORGANS = (
    _Organ(0, _FAT, (0.5, 0.5, 0.5), (9.0, 0.43, 0.46)),
    _Organ(0, _MUSCLE, (0.5, 0.52, 0.5), (9.0, 0.37, 0.41)),
    _Organ(0, _FAT, (0.45, 0.47, 0.5), (9.0, 0.29, 0.35)),
    _Organ(0, -850.0, (1.15, 0.5, 0.32), (0.30, 0.26, 0.14)),
    _Organ(0, -850.0, (1.15, 0.5, 0.68), (0.30, 0.26, 0.14)),
    _Organ(1, 105.0, (0.64, 0.43, 0.33), (0.30, 0.24, 0.19)),
    _Organ(0, 45.0, (0.66, 0.38, 0.62), (0.16, 0.12, 0.13)),
    _Organ(0, 115.0, (0.66, 0.55, 0.78), (0.18, 0.13, 0.08)),
    _Organ(4, 150.0, (0.36, 0.63, 0.33), (0.22, 0.09, 0.07)),
    _Organ(4, 150.0, (0.40, 0.63, 0.67), (0.22, 0.09, 0.07)),
    _Organ(2, 90.0, (0.46, 0.47, 0.54), (0.07, 0.06, 0.16)),
    _Organ(3, 55.0, (0.46, 0.46, 0.46), (0.06, 0.05, 0.045)),
    _Organ(0, 160.0, (0.5, 0.60, 0.52), (9.0, 0.035, 0.028)),
    _Organ(0, 450.0, (0.5, 0.72, 0.5), (9.0, 0.075, 0.06)),
    _Organ(0, 20.0, (0.5, 0.80, 0.5), (9.0, 0.025, 0.022)),
)


def abdomen(
    slices: int = 48, rows: int = 256, columns: int = 320, *, seed: int = 0, grade: int = 0
) -> tuple[Hounsfield, Labels]:
    """Make a CT of an abdomen.

    Parameters
    ----------
    slices, rows, columns
        Size; the volume covers `EXTENT` whatever its size (`spacing_of_size`).
    seed
        Same seed, same abdomen.
    grade
        Index into `GRADES`: the higher, the denser is the tumour.

    Returns
    -------
    int16 Hounsfield units (z, y, x), the first slice at the feet, and uint8 labels of all of it, values of `CLASSES`.
    """
    rng = np.random.default_rng(seed)
    shape = (slices, rows, columns)
    places = _bent(shape, rng)
    units = np.full(shape, _AIR, np.float32)
    labels = np.zeros(shape, np.uint8)
    for organ in _ORGANS:
        middle = [m + rng.normal(0, 0.006) for m in organ.middle] if organ.value else organ.middle
        inside = _distance(places, middle, organ.radii) < 1
        units[inside] = organ.hounsfield
        labels[inside] = organ.value
    units[labels == TUMOUR.value] += _DENSER * grade
    units = ndimage.gaussian_filter(units, 0.6)
    grain = ndimage.gaussian_filter(rng.standard_normal(shape, np.float32), (0.3, 0.7, 0.7))
    units += grain * np.float32(_NOISE / grain.std())
    return np.clip(np.rint(units), -1024, 3071).astype(np.int16), labels


def make_ct_dataset(folder: str | os.PathLike[str], n: int = 24, size: tuple[int, int, int] = (24, 80, 100)) -> Dataset:
    """A finished data set of generated abdomens with all organs drawn and a grade of the tumour.

    Half of the cases are for training; all others but one for validation, and one for tests.

    Parameters
    ----------
    folder
        A new or empty folder.
    n
        Number of cases, each of its own made-up patient, soft and fibrous tumours in turn.
    size
        Slices, rows and columns.

    Raises
    ------
    DatasetError, WriteError
        The folder holds something already, or cannot be written.
    """
    data = Dataset.create(folder, DatasetInfo(name="generated", kind="ct", classes=CLASSES, grades=GRADES))
    space: dict[str, Any] = {"spacing": spacing_of_size(*size), "units": ("millimeter",) * 3, "kind": "ct"}
    for index in range(n):
        grade = index % len(GRADES)
        pixels, labels = abdomen(*size, seed=index, grade=grade)
        image = Image(levels=(pixels,), axes="zyx", name=f"ct{index}", **space)
        case = data.add_image(image, f"ct{index}", group=f"patient {index}")
        store = data.label_store(case, size)
        store.write_box(tuple((0, n) for n in size), labels)
        case = record_labels(data, case.case, store, revision=case.revision)
        case = mark_done(data, case.case, store, revision=case.revision, grade=GRADES[grade])
        split = "train" if index < n // 2 else "val" if index < n - 1 else "test"
        data.update_case(case.case, revision=case.revision, split=split)
    return data


def spacing_of_size(slices: int, rows: int, columns: int) -> tuple[float, float, float]:
    """Millimetres between voxels (z, y, x) of an `abdomen` of a size.

    Examples
    --------
    >>> spacing_of_size(80, 256, 320)
    (2.5, 1.25, 1.25)
    """
    z, y, x = (whole / count for whole, count in zip(EXTENT, (slices, rows, columns), strict=True))
    return z, y, x


def _bent(shape: tuple[int, int, int], rng: np.random.Generator) -> list[Floats]:
    """Place of each voxel as shares of the volume, one array per axis that broadcasts to `shape`, moved by waves."""
    z, y, x = (
        ((np.arange(n, dtype=np.float32) + 0.5) / n).reshape([-1 if a == axis else 1 for a in range(3)])
        for axis, n in enumerate(shape)
    )
    waves, phases = rng.integers(1, _WAVES + 1, 4), rng.uniform(0, 2 * np.pi, 4)
    swing = [
        np.float32(_BEND) * np.sin(2 * np.pi * wave * along + phase).astype(np.float32)
        for wave, phase, along in zip(waves, phases, (z, x, z, y), strict=True)
    ]
    return [z, y + swing[0] + swing[1], x + swing[2] + swing[3]]


def _distance(places: list[Floats], middle: list[float] | tuple[float, ...], radii: tuple[float, ...]) -> Floats:
    """Squared distance from an ellipsoid's middle, 1 on its surface."""
    parts = (((p - m) / r) ** 2 for p, m, r in zip(places, middle, radii, strict=True))
    first, second, third = parts
    return np.asarray(first + second + third, np.float32)
