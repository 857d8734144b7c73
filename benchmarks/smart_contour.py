"""Measure how well outlines that start from a rough ellipse fit what people drew, and how long they take.

python benchmarks/smart_contour.py us_busi_breast [--cases 100] [--others]

Takes the first lesion of each mask in FOLDER/images and FOLDER/masks (files of the same name), draws an ellipse around
it whose middle is off by up to `--shift` of its half axes and whose half axes are off by up to `--size`, and prints the
mean Dice of the ellipse and of the fitted outline with 95 % confidence intervals, and the median time. A folder with
polygons in XML (`xml/<case>.xml`, as DDTI has them) works as well. `--others` also runs scikit-image's level sets.
"""

from __future__ import annotations

import argparse
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy import ndimage

from napari_medseg.annotation.contours import Ellipse, contour_mask, fit_contour

Mask = npt.NDArray[np.bool_]
Grey = npt.NDArray[np.float64]
Fit = Callable[[Grey, Ellipse], Mask]
#: Smaller lesions are left out, in pixels.
LEAST = 300


def lesions(folder: Path) -> Iterator[tuple[Grey, Mask]]:
    """Pictures and their lesions."""
    for path in sorted((folder / "xml").glob("*.xml")):
        yield from polygons(folder, path)
    for path in sorted((folder / "masks").glob("*.png")):
        picture = next((folder / "images").glob(f"{path.stem}.*"))
        parts, count = ndimage.label(np.asarray(Image.open(path).convert("L")) > 127)
        if count and (parts == 1).sum() >= LEAST:
            yield np.asarray(Image.open(picture).convert("L"), np.float64), parts == 1


def polygons(folder: Path, path: Path) -> Iterator[tuple[Grey, Mask]]:
    """The same from a file of polygons."""
    for number, text in re.findall(
        r"<image>(\d+)</image>.*?<svg>(.*?)</svg>", path.read_text(errors="replace"), re.DOTALL
    ):
        picture = folder / "images" / f"{path.stem}_{number}.jpg"
        if not picture.exists() or not text.strip():
            continue
        grey = np.asarray(Image.open(picture).convert("L"), np.float64)
        # Some of the files are no JSON in places, so the numbers are looked for themselves.
        for shape in re.findall(r'"points":\s*\[(.*?)\]', text, re.DOTALL):
            points = [(int(y), int(x)) for x, y in re.findall(r'"x":\s*(\d+),\s*"y":\s*(\d+)', shape)]
            mask = contour_mask(np.array(points, float), grey.shape)
            if mask.sum() >= LEAST:
                yield grey, mask


def rough(mask: Mask, shift: float, size: float, rng: np.random.Generator) -> Ellipse:
    """An ellipse as a person in a hurry draws it."""
    sides = [np.flatnonzero(mask.any(axis=1 - axis)) for axis in (0, 1)]
    half = np.array([(side[-1] - side[0] + 1) / 2 for side in sides])
    middle = np.array([(side[-1] + side[0]) / 2 for side in sides]) + rng.uniform(-shift, shift, 2) * half
    half = half * rng.uniform(1 - size, 1 + size, 2)
    return Ellipse(middle=tuple(middle), axes=((half[0], 0.0), (0.0, half[1])))


def plain(grey: Grey, ellipse: Ellipse) -> Mask:
    """The ellipse itself."""
    return contour_mask(ellipse.points(np.ones((256, 1)))[..., 0].T, grey.shape)


def fitted(grey: Grey, ellipse: Ellipse) -> Mask:
    """The outline of this package."""
    return contour_mask(fit_contour(grey, ellipse), grey.shape)


def level_set(name: str) -> Fit:
    """One of scikit-image's, in the ellipse's surroundings."""
    from skimage import segmentation

    def fit(grey: Grey, ellipse: Ellipse) -> Mask:
        start = plain(grey, ellipse)
        box = tuple(slice(max(0, i.min() - 60), i.max() + 60) for i in np.nonzero(start))
        part, inside = grey[box], start[box].astype(np.int8)
        options: dict[str, Any] = {"init_level_set": inside}
        if name == "geodesic":
            edges = segmentation.inverse_gaussian_gradient(part / 255, alpha=100, sigma=3)
            found = segmentation.morphological_geodesic_active_contour(
                edges, 40, smoothing=1, balloon=0, threshold="auto", **options
            )
        else:
            found = segmentation.morphological_chan_vese(ndimage.gaussian_filter(part, 2), 20, smoothing=3, **options)
        whole = np.zeros(grey.shape, bool)
        # A level set may find things elsewhere; those are not meant.
        whole[box] = (found > 0) & ndimage.binary_dilation(inside, iterations=round(np.sqrt(inside.sum() / np.pi) / 4))
        return whole

    return fit


def dice(one: Mask, other: Mask) -> float:
    """Overlap, 0..1."""
    return float(2 * (one & other).sum() / max(1, one.sum() + other.sum()))


def interval(values: list[float], rng: np.random.Generator) -> str:
    """Mean and its 95 % interval by bootstrap."""
    means = rng.choice(values, (2000, len(values))).mean(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    return f"{np.mean(values):.3f} ({low:.3f} to {high:.3f})"


def main() -> None:
    """Print one line per method."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--shift", type=float, default=0.15)
    parser.add_argument("--size", type=float, default=0.2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--others", action="store_true")
    given = parser.parse_args()
    rng = np.random.default_rng(given.seed)
    found = [*lesions(given.folder)]
    rng.shuffle(found)  # type: ignore[arg-type]  # a list is shuffled in place
    found = found[: given.cases]
    ellipses = [rough(mask, given.shift, given.size, rng) for _, mask in found]
    methods: dict[str, Fit] = {"ellipse": plain, "fitted": fitted}
    if given.others:
        methods |= {"geodesic": level_set("geodesic"), "Chan-Vese": level_set("Chan-Vese")}
    print(f"{len(found)} lesions of {given.folder.name}")
    for name, fit in methods.items():
        scores, seconds = [], []
        for (grey, mask), ellipse in zip(found, ellipses, strict=True):
            start = time.perf_counter()
            outline = fit(grey, ellipse)
            seconds.append(time.perf_counter() - start)
            scores.append(dice(outline, mask))
        print(f"{name:10} Dice {interval(scores, rng)}   {1000 * np.median(seconds):.0f} ms")


if __name__ == "__main__":
    main()
