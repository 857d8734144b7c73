"""How much of a volume must be drawn: an annotator who draws every n-th slice and lets the rest be filled.

The annotator draws the first and the last slice that hold the structure, and every n-th in between, exactly as the data
set's mask is. The slices between are filled in one of these ways:

- interpolated: `annotation.interpolation` (signed distances);
- nearest slice: each slice gets what the nearest drawn one holds (of two equally near ones the earlier);
- mixed masks: drawn masks are blurred (Gaussian, 1 voxel), mixed linearly and cut at one half;
- grown: instead of outlines only strokes are drawn, in the deepest part of each structure and, as background,
  everywhere more than 2 voxels away from all of them; `annotation.growing` grows them over the picture.

    python benchmarks/volume_annotator.py DATA [--volumes N] [--seed N]
    python benchmarks/volume_annotator.py --latency [--repeats N]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
from scipy import ndimage

from napari_medseg.annotation.change import LabelChange
from napari_medseg.annotation.components import fill_holes, keep_largest, remove_small
from napari_medseg.annotation.copying import copy_slice
from napari_medseg.annotation.growing import grow_seeds
from napari_medseg.annotation.interpolation import interpolate
from napari_medseg.annotation.ranges import cut_range, fill_range
from napari_medseg.annotation.smoothing import smooth
from napari_medseg.errors import AnnotationError
from napari_medseg.inference.structure_evaluation import surface_distances
from napari_medseg.io import read

SETS = {"mr_msd_hippocampus": ("hippocampus", (1, 2)), "ct_lidc_nodules": ("nodule", (1,))}
EVERY = (2, 3, 4, 5, 6)
#: Structures with fewer slices would be drawn almost whole whatever n is.
FEWEST_SLICES = 8
UNSEEN = 255

Volume = tuple[np.ndarray, np.ndarray, tuple[float, ...]]  # picture, labels (z, y, x), mm per voxel


def volumes(folder: Path, values: tuple[int, ...], most: int, seed: int) -> Iterator[Volume]:
    """A sample of the volumes whose structure has enough slices."""
    paths = sorted((folder / "mask").glob("*.nii.gz"))
    np.random.default_rng(seed).shuffle(paths)
    found = 0
    for path in paths:
        labels = np.asarray(read(path).data[...]).astype(np.uint8)
        if np.ptp(np.flatnonzero(labels.any(axis=(1, 2)))) + 1 < FEWEST_SLICES or set(np.unique(labels)) != {
            0,
            *values,
        }:
            continue
        image = read(next((folder / "image").glob(path.name.replace("_mask", ""))))
        yield np.asarray(image.data[...]), labels, image.spacing
        found += 1
        if found == most:
            return


def drawn_slices(labels: np.ndarray, every: int) -> list[int]:
    held = np.flatnonzero(labels.any(axis=(1, 2)))
    return sorted({*range(held[0], held[-1], every), held[-1]})


def only(labels: np.ndarray, drawn: list[int]) -> np.ndarray:
    """The labels of the drawn slices; the others were not looked at."""
    sparse = np.full_like(labels, UNSEEN)
    sparse[drawn] = labels[drawn]
    return sparse


def interpolated(picture: np.ndarray, labels: np.ndarray, drawn: list[int], values, spacing) -> np.ndarray:
    after = only(labels, drawn)
    try:
        interpolate(after, values, drawn=drawn, spacing=spacing).apply(after)
    except AnnotationError:  # every slice was drawn
        return labels
    return np.where(after == UNSEEN, 0, after)


def nearest(picture: np.ndarray, labels: np.ndarray, drawn: list[int], values, spacing) -> np.ndarray:
    after = np.zeros_like(labels)
    for z in range(drawn[0], drawn[-1] + 1):
        after[z] = labels[min(drawn, key=lambda d: abs(d - z))]
    return after


def mixed(picture: np.ndarray, labels: np.ndarray, drawn: list[int], values, spacing) -> np.ndarray:
    blurred = {
        z: np.stack([ndimage.gaussian_filter((labels[z] == v).astype(float), 1.0) for v in values]) for z in drawn
    }
    after = np.zeros_like(labels)
    for first, last in pairwise(drawn):
        for z in range(first, last):
            t = (z - first) / (last - first)
            share = (1 - t) * blurred[first] + t * blurred[last]
            inside = share.sum(axis=0) >= 0.5
            after[z][inside] = np.asarray(values, np.uint8)[share.argmax(axis=0)[inside]]
    after[drawn] = labels[drawn]
    return after


def grown(picture: np.ndarray, labels: np.ndarray, drawn: list[int], values, spacing) -> np.ndarray:
    strokes = np.full_like(labels, UNSEEN)
    for z in drawn:
        for value in values:
            depth = ndimage.distance_transform_edt(labels[z] == value)
            strokes[z][depth > 0.5 * depth.max()] = value
        away = ndimage.distance_transform_edt(labels[z] == 0)
        strokes[z][away > 2] = 0
    for z in (drawn[0] - 1, drawn[-1] + 1):
        if 0 <= z < len(labels):
            strokes[z] = 0
    grow_seeds(strokes, picture, values, spacing=spacing, margin=2).apply(strokes)
    return np.where(strokes == UNSEEN, 0, strokes)


WAYS: dict[str, Callable[..., np.ndarray]] = {
    "interpolated": interpolated,
    "nearest slice": nearest,
    "mixed masks": mixed,
    "grown": grown,
}


def dice(truth: np.ndarray, other: np.ndarray) -> float:
    return 2 * np.count_nonzero(truth & other) / max(1, np.count_nonzero(truth) + np.count_nonzero(other))


def figures(truth: np.ndarray, other: np.ndarray, drawn: list[int], values, spacing) -> list[float]:
    """Dice of the volume, Dice of the slices that were not drawn, HD95 in mm; means of the classes."""
    filled = np.setdiff1d(np.arange(drawn[0], drawn[-1] + 1), drawn)
    rows = []
    for value in values:
        a, b = truth == value, other == value
        hd95 = surface_distances(a, b, spacing)[0] if b.any() else np.nan
        rows.append([dice(a, b), dice(a[filled], b[filled]) if filled.size else np.nan, hd95])
    return [float(n) for n in np.nanmean(rows, axis=0)]


def annotate(data: Path, most: int, seed: int) -> None:
    print("| data | volumes | every n-th | slices drawn | way | Dice | Dice, filled slices | HD95, mm | worst Dice |")
    print("|" + " --- |" * 9)
    for name, (_, values) in SETS.items():
        found = list(volumes(data / name, values, most, seed))
        for every in EVERY:
            drawn = [drawn_slices(labels, every) for _, labels, _ in found]
            slices = [int(np.ptp(d)) + 1 for d in drawn]
            share = np.mean([len(d) / n for d, n in zip(drawn, slices, strict=True)])
            for way, fill in WAYS.items():
                rows = np.array(
                    [
                        figures(labels, fill(picture, labels, d, values, spacing), d, values, spacing)
                        for (picture, labels, spacing), d in zip(found, drawn, strict=True)
                    ]
                )
                mean, worst = np.nanmean(rows, axis=0), rows[:, 0].min()
                print(
                    f"| {name} | {len(found)} | {every} | {share:.0%} | {way} | {mean[0]:.3f} | {mean[1]:.3f} | "
                    f"{mean[2]:.2f} | {worst:.3f} |",
                    flush=True,
                )


def phantom(shape: tuple[int, int, int] = (200, 512, 512)) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """An organ of 1.6 million voxels in a noisy CT: picture, labels of it, labels of every tenth slice alone."""
    z, y, x = np.ogrid[tuple(slice(n) for n in shape)]
    organ = ((z - 100) / 60) ** 2 + ((y - 250) / 70) ** 2 + ((x - 250) / 90) ** 2 < 1
    picture = np.random.default_rng(0).normal(0, 20, shape).astype(np.int16)
    picture[organ] += 60
    labels = np.where(organ, np.uint8(1), np.uint8(UNSEEN))
    labels[100, 240:244, 240:244] = 0
    labels[20, 20:24, 20:24] = 1
    sparse = only(labels, list(range(40, 161, 10)))
    for part in sparse[40:161:10]:
        ring = ndimage.binary_dilation(part == 1, iterations=8)
        part[ring & ~ndimage.binary_dilation(part == 1, iterations=6)] = 0
    return picture, labels, sparse


def latency(repeats: int) -> None:
    picture, labels, sparse = phantom()
    spacing = (1.25, 0.8, 0.8)
    tools: dict[str, Callable[[], LabelChange]] = {
        "interpolate (every 10th slice drawn)": lambda: interpolate(sparse, [1], spacing=spacing),
        "grow from seeds": lambda: grow_seeds(sparse, picture, [1], spacing=spacing),
        "fill a range, volume": lambda: fill_range(labels, picture, 1, 40, 90),
        "cut to a range, volume": lambda: cut_range(labels, picture, 1, 0, 120),
        "smooth, 1.5 mm, 3-D": lambda: smooth(labels, 1, 1.5, spacing=spacing),
        "keep largest, 3-D": lambda: keep_largest(labels, 1),
        "remove small, 3-D": lambda: remove_small(labels, 1, 100),
        "fill holes, 3-D": lambda: fill_holes(labels, 1),
        "fill holes, each slice": lambda: fill_holes(labels, 1, dims=2),
        "copy to the next slice": lambda: copy_slice(labels, [1], 100, 101),
    }
    print("| tool | voxels changed | time, s: median | longest |")
    print("|" + " --- |" * 4)
    for name, work in tools.items():
        times = []
        for _ in range(repeats):
            start = time.perf_counter()
            change = work()
            times.append(time.perf_counter() - start)
        print(f"| {name} | {change.count:,} | {np.median(times):.2f} | {max(times):.2f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, nargs="?", help="folder of the data sets")
    parser.add_argument("--volumes", type=int, default=100, help="most volumes per data set")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--latency", action="store_true", help="how fast each tool answers on 512 x 512 x 200")
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    if args.latency:
        latency(args.repeats)
    elif args.data is not None:
        annotate(args.data, args.volumes, args.seed)
    else:
        parser.error("name the folder of the data sets, or --latency")


if __name__ == "__main__":
    main()
