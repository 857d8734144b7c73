"""Ultrasound frames that never were: a fan on black, the machine's text beside it, a nodule whose kind can be seen.

For samples, tests and first steps without any patient's data. Speckle has the Rayleigh distribution that echoes of many
small scatterers have, and its grain grows with depth as a beam does; nothing here is a measurement of real tissue. The
kinds differ in what people look at: echogenicity, margin, shape, echogenic foci.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image as Picture
from PIL import ImageDraw
from scipy import ndimage

from napari_medseg.data.dataset import Dataset
from napari_medseg.data.dataset_file import mask_classes, tag_classes
from napari_medseg.data.regions import bounding_box
from napari_medseg.structures import Box, DatasetInfo, MaskClass, TagClass

#: The classes of the scheme `thyroid`.
LESIONS = ("nodular goitre", "follicular tumour", "papillary carcinoma", "medullary carcinoma")
TAGS: tuple[TagClass, ...] = tag_classes(LESIONS)
CLASSES: tuple[MaskClass, ...] = mask_classes(("nodule",))

Floats = npt.NDArray[np.float32]
Grey = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]

#: Grey of the tissue around, before speckle.
_TISSUE = 105.0
#: Share of the frame's height above and below the fan, where text stands.
_TOP, _BOTTOM = 0.10, 0.12


@dataclass(frozen=True, slots=True)
class _Look:
    """What a nodule of a kind looks like.

    Parameters
    ----------
    grey
        Its brightness beside `_TISSUE`.
    ratio
        Height by width.
    roughness
        How far the outline strays, as a share of the radius.
    halo
        Grey that its rim loses.
    foci
        Bright specks, of `focus` pixels each in a frame of 360 rows.
    focus
        Their size.
    cysts
        Black holes in it.
    """

    grey: float
    ratio: float
    roughness: float
    halo: float = 0.0
    foci: int = 0
    focus: float = 1.0
    cysts: int = 0


_LOOKS: dict[str, _Look] = {
    "nodular goitre": _Look(grey=112, ratio=0.65, roughness=0.03, cysts=7),
    "follicular tumour": _Look(grey=128, ratio=0.75, roughness=0.02, halo=75),
    "papillary carcinoma": _Look(grey=58, ratio=1.35, roughness=0.16, foci=22, focus=1.2),
    "medullary carcinoma": _Look(grey=40, ratio=0.9, roughness=0.09, foci=4, focus=4.5),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class SyntheticFrame:
    """A frame and the truth about it.

    Parameters
    ----------
    pixels
        uint8 (y, x), text and all.
    nodule
        uint8 (y, x): 1 in the nodule, 0 elsewhere.
    scan
        ((y0, y1), (x0, x1)): the smallest box around the fan.
    """

    pixels: Grey
    nodule: Grey
    scan: Box


def frame(lesion: str, *, rows: int = 360, columns: int = 560, seed: int = 0) -> SyntheticFrame:
    """Make one frame.

    Parameters
    ----------
    lesion
        One of `LESIONS`. Its name also stands in the text under the fan, as on some real frames: what learns from the
        whole frame can read the answer.
    rows, columns
        Size, at least 96 by 128.
    seed
        Same seed, same frame.

    Examples
    --------
    >>> made = frame("papillary carcinoma", rows=120, columns=160)
    >>> made.pixels.shape, made.pixels.dtype, made.nodule.max()
    ((120, 160), dtype('uint8'), np.uint8(1))
    """
    if rows < 96 or columns < 128:
        raise ValueError(f"An ultrasound frame needs at least 96 by 128 pixels, got {rows} by {columns}.")
    look, rng = _LOOKS[lesion], np.random.default_rng([seed, LESIONS.index(lesion)])
    fan, depth = _fan(rows, columns)
    scan = bounding_box(fan)
    assert scan is not None, "the fan fills most of the frame"
    nodule = _nodule(fan, look, rng)
    tissue = _tissue((rows, columns), rng)
    tissue = _with_nodule(tissue, nodule, look, rng)
    pixels = _speckled(tissue, depth, rng)
    pixels[~fan] = 0
    picture = Picture.fromarray(pixels)
    _write(picture, lesion, rng)
    return SyntheticFrame(pixels=np.asarray(picture), nodule=nodule.astype(np.uint8), scan=scan)


def make_dataset(
    folder: str | os.PathLike[str], n: int = 24, *, rows: int = 360, columns: int = 560, seed: int = 0
) -> Dataset:
    """A small data set of tagged frames, two of each made-up patient; of five patients three are for training.

    Parameters
    ----------
    folder
        A new or empty folder.
    n
        Number of cases, at least 1; the kinds of nodule take turns from patient to patient.
    rows, columns
        Size of each frame.
    seed
        Equal seeds give equal data sets.

    Raises
    ------
    DatasetError, WriteError
        The folder holds something already, or cannot be written.
    """
    info = DatasetInfo(name="synthetic thyroid", kind="ultrasound", classes=CLASSES, tags=TAGS)
    data = Dataset.create(folder, info, author="synthetic")
    images = data.path / "images"
    images.mkdir()
    for i in range(n):
        patient = i // 2
        lesion = LESIONS[patient % len(LESIONS)]
        name = f"frame_{i:03}"
        made = frame(lesion, rows=rows, columns=columns, seed=10_000 * seed + i)
        Picture.fromarray(made.pixels).save(images / f"{name}.png")
        Picture.fromarray(made.nodule).save(data.labels_folder / f"{name}.png")
        data.add_case(
            images / f"{name}.png",
            case=name,
            group=f"patient {patient:02}",
            split=("train", "train", "train", "val", "test")[patient // len(LESIONS) % 5],
            tag=lesion,
            label=f"{name}.png",
            origin="person",
            status="done",
        )
    return data


def _fan(rows: int, columns: int) -> tuple[Mask, Floats]:
    """The fan of a curved probe, and the depth of each pixel in it, 0..1."""
    y, x = np.mgrid[:rows, :columns].astype(np.float32)
    top, bottom = _TOP * rows, (1 - _BOTTOM) * rows
    near = 0.6 * rows
    # The probe's middle lies above the frame; `near` is the radius of its face.
    middle = (top - near * np.cos(0.5), columns / 2)
    radius = np.hypot(y - middle[0], x - middle[1])
    far = bottom - middle[0]
    angle = np.arctan2(x - middle[1], y - middle[0])
    fan = (radius >= near) & (radius < far) & (np.abs(angle) < 0.5)
    return fan, np.asarray(np.clip((radius - near) / (far - near), 0, 1), np.float32)


def _nodule(fan: Mask, look: _Look, rng: np.random.Generator) -> Mask:
    """A nodule of a kind well inside the fan."""
    rows, columns = fan.shape
    height = rows * rng.uniform(0.15, 0.2) * np.sqrt(look.ratio)
    width = height / look.ratio
    middle = (rows * rng.uniform(0.48, 0.6), columns * rng.uniform(0.46, 0.54))
    y, x = np.mgrid[:rows, :columns]
    v, u = (y - middle[0]) / height, (x - middle[1]) / width
    angle = np.arctan2(v, u)
    waves = sum(
        np.sin(k * angle + rng.uniform(0, 2 * np.pi)) * rng.uniform(0.4, 1.0) * 2.0 / k for k in (2, 3, 5, 7, 9)
    )
    inside = np.hypot(v, u) < 1 + look.roughness * waves
    return np.asarray(inside & ndimage.binary_erosion(fan, iterations=4))


def _tissue(shape: tuple[int, int], rng: np.random.Generator) -> Floats:
    """Tissue in layers under the skin, with slow differences in brightness."""
    slow = ndimage.gaussian_filter(rng.standard_normal(shape).astype(np.float32), (shape[0] / 40, shape[1] / 14))
    slow /= max(float(slow.std()), 1e-6)
    tissue = _TISSUE + 12 * slow
    y = np.arange(shape[0], dtype=np.float32)[:, np.newaxis] / shape[0]
    # Skin and muscle: a bright layer, then a darker one.
    tissue += 45 * np.exp(-(((y - 0.16) / 0.02) ** 2)) - 35 * np.exp(-(((y - 0.24) / 0.04) ** 2))
    return np.asarray(tissue, np.float32)


def _with_nodule(tissue: Floats, nodule: Mask, look: _Look, rng: np.random.Generator) -> Floats:
    scale = nodule.shape[0] / 360
    soft = ndimage.gaussian_filter(nodule.astype(np.float32), 1.2 * scale)
    mixed = tissue * (1 - soft) + look.grey * soft
    if look.halo:
        rim = np.exp(-((ndimage.distance_transform_edt(~nodule) / (5 * scale)) ** 2)) * ~nodule
        mixed -= look.halo * rim
    inner = ndimage.binary_erosion(nodule, iterations=max(1, round(5 * scale)))
    places = np.argwhere(inner)
    y, x = np.mgrid[: nodule.shape[0], : nodule.shape[1]]
    spots = [(255.0, look.focus * scale)] * look.foci + [(12.0, 6.0 * scale)] * look.cysts
    for grey, radius in spots if len(places) else []:
        row, column = places[rng.integers(len(places))]
        near = np.hypot(y - row, x - column) < max(radius * rng.uniform(0.7, 1.3), 0.8)
        mixed[near & nodule] = grey
    return np.asarray(mixed, np.float32)


def _speckled(tissue: Floats, depth: Floats, rng: np.random.Generator) -> Grey:
    """Speckle whose grain is wider the deeper it lies, and tissue that fades with depth."""
    shape, scale = tissue.shape, tissue.shape[0] / 360
    grains = []
    for width in (1.0, 2.2):
        real, imaginary = (
            ndimage.gaussian_filter(rng.standard_normal(shape).astype(np.float32), (0.7 * scale, width * scale))
            for _ in range(2)
        )
        speckle = np.hypot(real, imaginary)
        grains.append(speckle / speckle.mean())
    speckle = grains[0] * (1 - depth) + grains[1] * depth
    # Machines show the logarithm of echoes, which tames the bright end.
    shown = tissue * (0.45 + 0.55 * speckle) * (1.05 - 0.35 * depth)
    return np.asarray(np.clip(shown, 6, 255), np.uint8)


def _write(picture: Picture.Image, lesion: str, rng: np.random.Generator) -> None:
    """What a machine writes beside the scan: a bar, settings, a scale, and here the answer."""
    draw, (columns, rows) = ImageDraw.Draw(picture), picture.size
    size = max(7, rows // 30)
    draw.rectangle((0, 0, columns - 1, max(2, round(0.05 * rows))), fill=60)
    draw.text((4, 1), "SYNTHETIC  THYROID", fill=220, font_size=size)
    for line, text in enumerate(
        (f"FR {rng.integers(20, 40)}", f"D {rng.integers(3, 6)} cm", f"G {rng.integers(40, 70)}")
    ):
        draw.text((4, round(0.12 * rows) + line * round(1.4 * size)), text, fill=200, font_size=size)
    for mark in range(11):
        y = round((_TOP + (1 - _TOP - _BOTTOM) * mark / 10) * (rows - 1))
        draw.line((columns - 8, y, columns - 3, y), fill=180)
    draw.text((columns // 3, rows - round(1.3 * size)), lesion.upper(), fill=210, font_size=size)
