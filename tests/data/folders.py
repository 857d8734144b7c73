"""Small data sets for the tests of this folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import tifffile

from napari_medseg.data.dataset import Dataset
from napari_medseg.data.dataset_file import mask_classes, tag_classes
from napari_medseg.structures import DatasetInfo

INFO = DatasetInfo(
    name="test",
    classes=mask_classes(["gland", "tumour"]),
    tags=tag_classes(["benign", "malignant"]),
    grades=("low", "high"),
    implies={"tumour": "malignant", "<empty>": "benign"},
)


def write_picture(path: Path, shape: tuple[int, ...] = (40, 30), seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(path, np.random.default_rng(seed).integers(0, 255, shape, np.uint8))
    return path


def write_mask(path: Path, pixels: npt.ArrayLike) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(path, np.asarray(pixels), compression="zlib")
    return path


def make_cases(folder: Path, n: int, shape: tuple[int, ...] = (40, 30)) -> Dataset:
    """A data set of n cases ``c0``, ``c1``, ... that nobody has looked at."""
    dataset = Dataset.create(folder / "data", INFO, author="tester")
    for i in range(n):
        dataset.add_case(write_picture(folder / "pictures" / f"c{i}.tif", shape, seed=i))
    return dataset
