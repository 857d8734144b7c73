"""Measure how good the quick learner's proposal is after so many strokes, and how long it takes.

python benchmarks/quick_learner.py path_glas --objects [--images 20] [--methods ours,skimage]

FOLDER holds `images` and `masks` (files of the same stem); `--objects` says that masks number objects of one class.
A simulated person draws in each picture: first one stroke in every class, then one stroke at a time where the proposal
is wrong over the thickest place, as long as a line fits in there, up to `--length` pixels. Prints, for each number of
strokes, the mean Dice over the classes other than background with its 95 % confidence interval over the pictures, and
the time of an update. `skimage` is the trainable segmentation of scikit-image's gallery (a random forest of 50 trees
on `multiscale_basic_features`), each method with strokes at its own mistakes. `--field 1024` mirrors each picture to
1024 x 1024 pixels, to measure the time of an update.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy import ndimage

Labels = npt.NDArray[np.uint8]
Picture = npt.NDArray[np.uint8]
UNSEEN = 255
#: Half the width of a stroke, in pixels.
RADIUS = 3


class Ours:
    """The quick learner of this package."""

    def __init__(self, picture: Picture, columns: bool) -> None:
        from napari_medseg.annotation.quick_features import pixel_features

        self._features = pixel_features(picture, columns=columns)

    def update(self, strokes: Labels) -> Labels:
        """Proposal from strokes."""
        from napari_medseg.annotation.quick_learner import QuickForest, examples_in

        return QuickForest(examples_in(self._features, strokes)).propose(self._features).values


class Skimage:
    """scikit-image's example of trainable segmentation, with its own settings."""

    def __init__(self, picture: Picture, columns: bool) -> None:
        from skimage.feature import multiscale_basic_features

        axis = -1 if picture.ndim == 3 else None
        self._features = multiscale_basic_features(picture, sigma_min=1, sigma_max=16, channel_axis=axis)

    def update(self, strokes: Labels) -> Labels:
        """Proposal from strokes."""
        from skimage import future
        from sklearn.ensemble import RandomForestClassifier

        # The example draws 5 % of the pixels per tree from labels of thousands; of a few strokes that is too little.
        forest = RandomForestClassifier(n_estimators=50, n_jobs=-1, max_depth=10, random_state=0)
        # 0 means "no label" there.
        marks = np.where(strokes == UNSEEN, 0, strokes.astype(np.int32) + 1)
        return (
            future.predict_segmenter(self._features, future.fit_segmenter(marks, self._features, forest)) - 1
        ).astype(np.uint8)


METHODS: dict[str, Callable[[Picture, bool], Any]] = {"ours": Ours, "skimage": Skimage}


def pictures(folder: Path, count: int, objects: bool, field: int) -> Iterator[tuple[Picture, Labels]]:
    """Some pictures, spread evenly over the folder, with their masks."""
    masks = sorted((folder / "masks").glob("*.png"))
    for index in np.unique(np.linspace(0, len(masks) - 1, min(count, len(masks))).round().astype(int)):
        picture = next((folder / "images").glob(f"{masks[index].stem}.*"))
        mask = np.asarray(Image.open(masks[index]))
        pixels = np.asarray(Image.open(picture))
        if len(np.unique(mask)) > 1:
            truth = ((mask > 0) if objects else mask).astype(np.uint8)
            yield (mirrored(pixels, field), mirrored(truth, field)) if field else (pixels, truth)


def mirrored(pixels: npt.NDArray[np.uint8], side: int) -> npt.NDArray[np.uint8]:
    """A square of this side, filled by mirroring."""
    missing = [(0, max(side - n, 0)) for n in pixels.shape[:2]]
    return np.pad(pixels, [*missing, (0, 0)][: pixels.ndim], mode="symmetric")[:side, :side]


def stroke_in(wrong: npt.NDArray[np.bool_], length: int) -> npt.NDArray[np.bool_]:
    """The longest line through the thickest place of what is wrong, as thick as a brush."""
    depth = ndimage.distance_transform_edt(np.pad(wrong, 1))[1:-1, 1:-1]
    middle = np.array(np.unravel_index(depth.argmax(), depth.shape))
    best: list[npt.NDArray[np.intp]] = []
    for angle in np.linspace(0, np.pi, 16, endpoint=False):
        line = [middle]
        for sign in (1, -1):
            for step in range(1, length // 2 + 1):
                place = np.round(middle + sign * step * np.array([np.sin(angle), np.cos(angle)])).astype(int)
                if np.any(place < 0) or np.any(place >= wrong.shape) or not wrong[tuple(place)]:
                    break
                line.append(place)
        best = max(best, line, key=len)
    drawn = np.zeros(wrong.shape, bool)
    drawn[tuple(np.array(best).T)] = True
    return np.asarray(ndimage.distance_transform_edt(~drawn) <= RADIUS) & wrong


def next_stroke(truth: Labels, proposal: Labels | None, strokes: Labels, length: int) -> int:
    """Draw one stroke; returns the value that was drawn, or -1 when nothing is wrong."""
    missing = [v for v in np.unique(truth) if v not in np.unique(strokes)]
    if missing or proposal is None:
        value = int(missing[0])
        strokes[stroke_in((truth == value), length)] = value
        return value
    wrong = (truth != proposal) & (strokes == UNSEEN)
    if not wrong.any():
        return -1
    depth = ndimage.distance_transform_edt(np.pad(wrong, 1))[1:-1, 1:-1]
    value = int(truth.reshape(-1)[depth.argmax()])
    strokes[stroke_in(wrong & (truth == value), length)] = value
    return value


def dice(truth: Labels, found: Labels) -> float:
    """Mean over the classes of the truth other than background."""
    values = [v for v in np.unique(truth) if v != 0]
    return float(
        np.mean([2 * ((truth == v) & (found == v)).sum() / ((truth == v).sum() + (found == v).sum()) for v in values])
    )


def run(
    method: Any, picture: Picture, truth: Labels, counts: list[int], length: int, columns: bool
) -> tuple[list[float], list[tuple[float, float]], float]:
    """Dice at each number of strokes, wall and processor seconds of each update, and seconds of the features."""
    started = time.perf_counter()
    learner = method(picture, columns)
    first = time.perf_counter() - started
    strokes = np.full(truth.shape, UNSEEN, np.uint8)
    proposal, reached, seconds = None, [], []
    for drawn in range(1, counts[-1] + 1):
        next_stroke(truth, proposal, strokes, length)
        if drawn < len(np.unique(truth)):
            continue
        started, worked = time.perf_counter(), time.process_time()
        proposal = learner.update(strokes)
        seconds.append((time.perf_counter() - started, time.process_time() - worked))
        # What was drawn is not proposed anew.
        proposal = np.where(strokes == UNSEEN, proposal, strokes)
        if drawn in counts:
            reached.append(dice(truth, proposal))
    return reached, seconds, first


def interval(values: npt.NDArray[np.float64], rng: np.random.Generator) -> str:
    """Mean and its 95 % interval by bootstrap."""
    low, high = np.percentile(rng.choice(values, (2000, len(values))).mean(axis=1), [2.5, 97.5])
    return f"{values.mean():.3f} ({low:.3f} to {high:.3f})"


def main() -> None:
    """Print a line for each method."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--images", type=int, default=20)
    parser.add_argument("--objects", action="store_true")
    parser.add_argument("--oct", action="store_true", help="columns are rays of light")
    parser.add_argument("--strokes", default="2,4,8,16")
    parser.add_argument("--field", type=int, default=0)
    parser.add_argument("--length", type=int, default=40)
    parser.add_argument("--methods", default="ours,skimage")
    options = parser.parse_args()
    counts = [int(count) for count in options.strokes.split(",")]
    rng = np.random.default_rng(0)
    found = list(pictures(options.folder, options.images, options.objects, options.field))
    print(f"{len(found)} pictures of {options.folder.name}; Dice after {', '.join(map(str, counts))} strokes")
    for name in options.methods.split(","):
        results = [run(METHODS[name], *each, counts, options.length, options.oct) for each in found]
        table = np.array([reached for reached, _, _ in results])
        line = "  ".join(interval(column, rng) for column in table.T)
        wall, processor = np.median(np.concatenate([seconds for _, seconds, _ in results]), axis=0)
        first = np.median([seconds for _, _, seconds in results])
        times = f"update {wall:.2f} s ({processor:.2f} s of processor), features {first:.2f} s"
        print(f"{name:10} {line}  {times}", flush=True)


if __name__ == "__main__":
    main()
