"""B-scans of retinas that never were: layers around a fovea, speckle and shadows, with the labels that made them.

For the sample, tests and first steps without any patient's data. Thickness, brightness and noise are plausible for a
macula, but nothing here is a measurement of a real one.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image as Picture
from scipy import ndimage

from napari_medseg.data.dataset import Dataset
from napari_medseg.data.retina import BACKGROUND_WORD, STRUCTURES, surfaces_of_pile
from napari_medseg.data.scan_columns import format_spacing
from napari_medseg.structures import DatasetInfo, MaskClass

#: Layers from top to bottom between the vitreous and the choroid, which both are background.
LAYERS = ("RNFL", "GCL+IPL", "INL", "OPL", "ONL", "RPE")
#: The layers, and fluid, an area painted over them.
CLASSES = (
    *(MaskClass(value=i, name=name, color=STRUCTURES[name.split("+")[0]]) for i, name in enumerate(LAYERS, start=1)),
    MaskClass(value=len(LAYERS) + 1, name="fluid", color="#999999"),
)
FLUID = CLASSES[-1]
SURFACES = surfaces_of_pile([BACKGROUND_WORD, *LAYERS, BACKGROUND_WORD])
#: Millimetres per pixel along depth and width, those of a common scanner.
SPACING = (0.0039, 0.0115)

#: Thickness of each layer far from the fovea and in its centre, as shares of the picture's height.
_OUTER = np.array([0.06, 0.12, 0.06, 0.05, 0.11, 0.07])
_CENTRE = np.array([0.012, 0.02, 0.015, 0.02, 0.15, 0.07])
#: Brightness from the vitreous to the choroid.
_BRIGHTNESS = np.array([0.06, 0.8, 0.5, 0.28, 0.52, 0.2, 0.95, 0.42])

Floats = npt.NDArray[np.float64]
Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Device:
    """How a scanner shows what it sees."""

    speckle: float
    gamma: float
    ground: float


_DEVICES = {
    "device A": _Device(speckle=0.35, gamma=1.0, ground=0.0),
    "device B": _Device(speckle=0.55, gamma=0.7, ground=0.08),
}


def bscan(
    height: int = 256, width: int = 256, seed: int = 0, *, device: str = "device A", fluid: bool = False
) -> tuple[Pixels, Pixels]:
    """One B-scan through the fovea and its labels.

    Parameters
    ----------
    height, width
        In pixels, at least 32 each.
    seed
        Equal seeds give equal pictures.
    device
        ``"device A"``, or ``"device B"`` with more speckle and less contrast.
    fluid
        Put a pocket of fluid into the outer nuclear layer.

    Returns
    -------
    uint8 image (y, x), uint8 labels (y, x) with the values of `CLASSES`

    Examples
    --------
    >>> image, labels = bscan(height=64, width=48, seed=1)
    >>> image.shape, labels.shape, sorted(set(labels.ravel().tolist()))
    ((64, 48), (64, 48), [0, 1, 2, 3, 4, 5, 6])
    """
    images, labels = volume(1, height, width, seed, device=device, fluid=fluid)
    return images[0], labels[0]


def volume(
    bscans: int = 8,
    height: int = 256,
    width: int = 256,
    seed: int = 0,
    *,
    device: str = "device A",
    fluid: bool = False,
) -> tuple[Pixels, Pixels]:
    """A raster of B-scans around a fovea, which lies in the middle one.

    Parameters
    ----------
    bscans
        Number of B-scans.
    height, width, seed, device, fluid
        As for `bscan`.

    Returns
    -------
    uint8 image (bscan, y, x), uint8 labels of the same shape
    """
    if min(height, width) < 32 or bscans < 1:
        raise ValueError(f"A B-scan needs at least 32 by 32 pixels, got {bscans} of {height} by {width}.")
    rng = np.random.default_rng([seed, 3])
    rows = surface_rows(bscans, height, width, seed)
    ranks = np.zeros((bscans, height, width), np.uint8)
    for surface in range(rows.shape[1]):
        ranks += np.arange(height)[:, None] > rows[:, surface, None]
    labels = np.where(ranks > len(LAYERS), 0, ranks).astype(np.uint8)
    if fluid:
        labels[_pocket(rows, height, rng)] = FLUID.value
    wet = labels == FLUID.value
    images = [_picture(one, pocket, _DEVICES[device], rng) for one, pocket in zip(ranks, wet, strict=True)]
    return np.stack(images), labels


def surface_rows(bscans: int, height: int, width: int, seed: int) -> Floats:
    """Rows of `SURFACES`, float64 (bscan, surface, x), halfway between two pixels as curves are."""
    rng = np.random.default_rng([seed, 1])
    z = np.linspace(-1, 1, bscans)[:, None] if bscans > 1 else np.zeros((1, 1))
    x = np.linspace(-1, 1, width) - rng.uniform(-0.15, 0.15)
    distance = np.hypot(z * 0.8, x)  # (bscan, x) from the fovea; half a width is 1
    pit = np.exp(-((distance / rng.uniform(0.25, 0.35)) ** 2))[:, None]
    vary = 1 + 0.06 * _waves((len(_OUTER), width), 0.15 * width, rng)
    thick = (_OUTER[:, None] * (1 - pit) + _CENTRE[:, None] * pit) * vary * height  # (bscan, layer, x)
    # The lower border of the retina is a shallow bowl; everything else stands on it.
    bowl = 0.76 + rng.uniform(-0.03, 0.03) - 0.05 * x**2 + rng.uniform(-0.04, 0.04) * x + 0.01 * z
    bottom = bowl * height + 0.006 * height * _waves((1, width), 0.1 * width, rng)
    above = np.cumsum(np.maximum(thick, 1.0)[:, ::-1], axis=1)[:, ::-1]
    rows = np.concatenate([bottom[:, None] - above, bottom[:, None]], axis=1)
    between: Floats = np.floor(rows) + 0.5
    return between


def make_oct_dataset(
    folder: str | os.PathLike[str],
    n: int = 8,
    subjects: int = 4,
    size: tuple[int, int] = (96, 128),
    seed: int = 0,
) -> Dataset:
    """A finished data set of single B-scans with labels, spacing and the device as source.

    Every other subject was scanned with the other device; every third B-scan holds fluid. Cases have no split yet.

    Parameters
    ----------
    folder
        A new or empty folder.
    n, subjects
        Number of B-scans, and of the made-up people that they are dealt to in turn.
    size
        Height and width of each B-scan in pixels.
    seed
        Equal seeds give equal data sets.

    Raises
    ------
    DatasetError, WriteError
        The folder holds something already, or cannot be written.
    """
    info = DatasetInfo(name="synthetic OCT", kind="oct", classes=CLASSES, surfaces=SURFACES)
    data = Dataset.create(folder, info, author="synthetic")
    images = data.path / "images"
    images.mkdir()
    for i in range(n):
        subject, name = i % subjects, f"bscan_{i:03}"
        device = tuple(_DEVICES)[subject % 2]
        image, labels = bscan(*size, seed=10_000 * seed + i, device=device, fluid=i % 3 == 2)
        Picture.fromarray(image).save(images / f"{name}.png")
        Picture.fromarray(labels).save(data.labels_folder / f"{name}.png")
        data.add_case(
            images / f"{name}.png",
            case=name,
            group=f"subject {subject + 1}",
            source=device,
            label=f"{name}.png",
            origin="person",
            status="done",
            extra={"spacing": format_spacing(SPACING), "laterality": "RL"[subject // 2 % 2]},
        )
    return data


def _waves(shape: tuple[int, int], sigma: float, rng: np.random.Generator) -> Floats:
    """Smooth noise along the last axis, of zero mean and unit deviation per row."""
    noise = ndimage.gaussian_filter1d(rng.standard_normal((shape[0], shape[1] + 2 * int(4 * sigma))), sigma, axis=1)
    noise = noise[:, int(4 * sigma) :][:, : shape[1]]
    waves: Floats = (noise - noise.mean(axis=1, keepdims=True)) / np.maximum(noise.std(axis=1, keepdims=True), 1e-9)
    return waves


def _pocket(rows: Floats, height: int, rng: np.random.Generator) -> npt.NDArray[np.bool_]:
    """A lens of fluid within the outer nuclear layer of each B-scan, bool (bscan, y, x)."""
    top, bottom = rows[:, LAYERS.index("ONL")], rows[:, LAYERS.index("ONL") + 1]
    width = rows.shape[-1]
    centre, reach = width * rng.uniform(0.3, 0.7), width * rng.uniform(0.08, 0.14)
    swell = np.sqrt(np.clip(1 - ((np.arange(width) - centre) / reach) ** 2, 0, 1))
    middle, half = (top + bottom) / 2, 0.4 * (bottom - top) * swell
    y = np.arange(height)[:, None]
    inside: npt.NDArray[np.bool_] = np.abs(y - middle[:, None]) < half[:, None]
    return inside


def _picture(
    ranks: npt.NDArray[np.uint8], pocket: npt.NDArray[np.bool_], device: _Device, rng: np.random.Generator
) -> Pixels:
    """What a scanner shows of one B-scan, uint8 (y, x): brightness by layer, decay, shadows, speckle."""
    height, width = ranks.shape
    bright = np.where(pocket, 0.1, _BRIGHTNESS[ranks])
    # Light is lost on the way through the choroid, and under vessels.
    depth = np.cumsum(ranks == len(LAYERS) + 1, axis=0) / height
    bright = np.where(ranks == len(LAYERS) + 1, bright * np.exp(-5.0 * depth), bright)
    shadow = np.zeros(width)
    for place in rng.uniform(0, width, 3):
        shadow += 0.35 * np.exp(-(((np.arange(width) - place) / (0.006 * width + 1)) ** 2))
    bright = np.where(ranks > 1, bright * (1 - np.clip(shadow, 0, 0.6)), bright)
    # Speckle multiplies, and is a little wider than deep.
    speckle = ndimage.gaussian_filter(rng.gamma(1 / device.speckle**2, device.speckle**2, (height, width)), (0.6, 0.9))
    seen = ndimage.gaussian_filter(bright, 0.7) * speckle + np.abs(rng.normal(0, 0.03, (height, width)))
    level = device.ground + (1 - device.ground) * np.clip(seen, 0, 1) ** device.gamma
    pixels: Pixels = (np.clip(level, 0, 1) * 230).round().astype(np.uint8)
    return pixels
