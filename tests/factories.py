"""Cases made in memory, for tests that need no files."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

from napari_medseg.data.synthetic_oct import CLASSES, SURFACES, bscan
from napari_medseg.data.synthetic_ultrasound import LESIONS, frame
from napari_medseg.data.synthetic_ultrasound import TAGS as FRAME_TAGS
from napari_medseg.structures import (
    DatasetInfo,
    Image,
    MaskClass,
    TagClass,
    TrainingCase,
    TrainingSet,
    UltrasoundScan,
)

INFO = DatasetInfo(
    name="synthetic",
    classes=(MaskClass(value=1, name="spot", color="#0072b2"),),
    tags=(TagClass(name="plain", color="#009e73"), TagClass(name="spotted", color="#d55e00")),
)
LAYER_INFO = DatasetInfo(name="synthetic OCT", kind="oct", classes=CLASSES, surfaces=SURFACES)


def spot_image(size: int, seed: int, *, spotted: bool) -> tuple[np.ndarray, np.ndarray]:
    """A noisy grey RGB square, with one bright red disc when spotted; and the labels of the disc."""
    rng = np.random.default_rng(seed)
    pixels = rng.normal(110, 12, (size, size, 3))
    labels = np.zeros((size, size), np.uint8)
    if spotted:
        radius = size // 5
        y, x = rng.integers(radius, size - radius, 2)
        rows, columns = np.ogrid[:size, :size]
        labels[(rows - y) ** 2 + (columns - x) ** 2 <= radius**2] = 1
        pixels[labels == 1] += (90, -40, -40)
    return np.clip(pixels, 0, 255).astype(np.uint8), labels


def spot_case(
    index: int,
    *,
    split: str = "train",
    size: int = 64,
    tagged: bool = True,
    masked: bool = True,
    spotted: bool | None = None,
) -> TrainingCase:
    """A case whose tag is "spotted" for odd indices."""
    is_spotted = bool(index % 2) if spotted is None else spotted
    pixels, labels = spot_image(size, index, spotted=is_spotted)
    tag = ("spotted" if is_spotted else "plain") if tagged else None
    return TrainingCase(
        case=f"case{index:03d}",
        group=f"group{index:03d}",
        source="",
        split=split,
        tag=tag,
        grade=None,
        has_mask=masked,
        load_image=lambda: Image(levels=(pixels,), axes="yxc", rgb=True, name=f"case{index:03d}"),
        load_labels=lambda: labels if masked else None,
        image_hash=hashlib.sha256(f"{index}{size}".encode()).hexdigest(),
        content_hash=hashlib.sha256(f"{index}{split}{size}{tag}{masked}".encode()).hexdigest(),
    )


def spot_set(
    train: int = 8, val: int = 4, test: int = 4, *, masks: int | None = None, tags: int | None = None, size: int = 64
) -> TrainingSet:
    """A small set; the first `masks` training cases have masks, the first `tags` have tags (None: all)."""
    cases = [
        spot_case(i, size=size, masked=masks is None or i < masks, tagged=tags is None or i < tags)
        for i in range(train)
    ]
    cases += [spot_case(100 + i, split="val", size=size) for i in range(val)]
    cases += [spot_case(200 + i, split="test", size=size) for i in range(test)]
    return TrainingSet(info=INFO, cases=tuple(cases))


def layer_case(
    index: int, *, split: str = "train", size: tuple[int, int] = (48, 64), source: str = "", drawn: bool = True
) -> TrainingCase:
    """A made-up B-scan with its layers."""
    pixels, labels = bscan(*size, seed=index)
    image = Image(levels=(pixels,), axes="yx", kind="oct", name=f"bscan{index:03d}")
    return TrainingCase(
        case=f"bscan{index:03d}",
        group=f"subject{index:03d}",
        source=source,
        split=split,
        tag=None,
        grade=None,
        has_mask=drawn,
        load_image=lambda: image,
        load_labels=lambda: labels if drawn else None,
        image_hash=hashlib.sha256(f"{index}{size}".encode()).hexdigest(),
        content_hash=hashlib.sha256(f"{index}{split}{size}{drawn}".encode()).hexdigest(),
    )


def layer_set(train: int = 4, val: int = 2, test: int = 2, *, size: tuple[int, int] = (48, 64)) -> TrainingSet:
    """A small set of B-scans."""
    cases = [layer_case(i, size=size) for i in range(train)]
    cases += [layer_case(100 + i, split="val", size=size) for i in range(val)]
    cases += [layer_case(200 + i, split="test", size=size) for i in range(test)]
    return TrainingSet(info=LAYER_INFO, cases=tuple(cases))


LESION_INFO = DatasetInfo(
    name="lesions",
    kind="image",
    classes=(MaskClass(value=1, name="tumour", color="#d55e00"), MaskClass(value=2, name="organ", color="#0072b2")),
    grades=("low", "high"),
)


def lesion_pixels(seed: int, grade: int, shape: tuple[int, ...] = (12, 24, 24)) -> tuple[np.ndarray, np.ndarray]:
    """A noisy volume or picture with a ball, brighter the higher its grade, inside an organ; and the labels of both."""
    rng = np.random.default_rng(seed)
    pixels = rng.normal(0, 8, shape)
    labels = np.zeros(shape, np.uint8)
    grid = np.ogrid[tuple(slice(0, n) for n in shape)]
    middle = [rng.uniform(0.4 * n, 0.6 * n) for n in shape]
    distance = sum((((axis - m) / n) ** 2 for axis, m, n in zip(grid, middle, shape, strict=True)), start=np.zeros(()))
    labels[distance <= 0.4**2] = 2
    labels[distance <= 0.2**2] = 1
    pixels[labels == 2] += 30
    pixels[labels == 1] += 60 + 60 * grade
    return pixels.astype(np.int16), labels


def lesion_case(
    index: int,
    *,
    split: str = "train",
    shape: tuple[int, ...] = (12, 24, 24),
    masked: bool = True,
    graded: bool = True,
    box: tuple[tuple[int, int], ...] | None = None,
) -> TrainingCase:
    """A case whose grade is that of its index, odd or even."""
    grade = index % 2
    pixels, labels = lesion_pixels(index, grade, shape)
    spacing = (2.0, 1.0, 1.0)[-len(shape) :]
    image = Image(
        levels=(pixels,),
        axes="zyx"[-len(shape) :],
        spacing=spacing,
        units=("millimeter",) * len(shape),
        name=f"lesion{index:03d}",
    )
    text = f"{index}{split}{shape}{masked}{graded}{box}"
    return TrainingCase(
        case=f"lesion{index:03d}",
        group=f"patient{index:03d}",
        source="",
        split=split,
        tag=None,
        grade=grade if graded else None,
        has_mask=masked,
        load_image=lambda: image,
        load_labels=lambda: labels if masked else None,
        image_hash=hashlib.sha256(f"{index}{shape}".encode()).hexdigest(),
        content_hash=hashlib.sha256(text.encode()).hexdigest(),
        box=box,
    )


def lesion_set(
    train: int = 6, val: int = 4, test: int = 4, *, shape: tuple[int, ...] = (12, 24, 24), **options: Any
) -> TrainingSet:
    """A small set of graded lesions; options as `lesion_case`."""
    cases = [lesion_case(i, shape=shape, **options) for i in range(train)]
    cases += [lesion_case(100 + i, split="val", shape=shape, **options) for i in range(val)]
    cases += [lesion_case(200 + i, split="test", shape=shape, **options) for i in range(test)]
    return TrainingSet(info=LESION_INFO, cases=tuple(cases))


def frame_case(
    index: int,
    *,
    split: str = "train",
    lesion: str | None = None,
    box: tuple[tuple[int, int], ...] | None = None,
    frames: int = 0,
    device: str = "",
) -> TrainingCase:
    """A made-up ultrasound frame, or a cine of `frames` of them; its class is that of its index."""
    lesion = lesion or LESIONS[index % len(LESIONS)]
    made = [frame(lesion, rows=144, columns=192, seed=100 * index + i).pixels for i in range(max(1, frames))]
    image = Image(
        levels=(np.stack(made) if frames else made[0],),
        axes="tyx" if frames else "yx",
        kind="ultrasound",
        name=f"frame{index:03d}",
        ultrasound=UltrasoundScan(device=device),
    )
    return TrainingCase(
        case=f"frame{index:03d}",
        group=f"patient{index:03d}",
        source="",
        split=split,
        tag=lesion,
        grade=None,
        has_mask=False,
        load_image=lambda: image,
        load_labels=lambda: None,
        image_hash=hashlib.sha256(f"{index}{frames}".encode()).hexdigest(),
        content_hash=hashlib.sha256(f"{index}{split}{lesion}{box}{frames}".encode()).hexdigest(),
        box=box,
    )


FRAME_INFO = DatasetInfo(name="frames", kind="ultrasound", tags=FRAME_TAGS)


def frame_set(train: int = 8, val: int = 4, test: int = 4) -> TrainingSet:
    """A small set of made-up ultrasound frames of four classes."""
    cases = [frame_case(i) for i in range(train)]
    cases += [frame_case(100 + i, split="val") for i in range(val)]
    cases += [frame_case(200 + i, split="test") for i in range(test)]
    return TrainingSet(info=FRAME_INFO, cases=tuple(cases))
