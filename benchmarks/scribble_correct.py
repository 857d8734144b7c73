"""Measure how fast strokes bring a model's result to the truth: spread by the network's features, or merely painted.

python benchmarks/scribble_correct.py MODEL DATASET [--cases 8] [--methods ours,walker,brush]

For held-out cases (split "test"): the model predicts, then a simulated person draws one stroke at a time where the
present labels are wrong over the thickest place, as long as a line fits in there, up to `--length` pixels. `brush`
changes what was drawn and nothing else; `walker` is scikit-image's random walker on the picture with the stroke as one
seed and what is labelled beyond the same reach as the others; each method gets strokes at its own mistakes, and none
changes what was drawn before. Prints the mean Dice over the classes (pixels that nobody labelled left out) after so
many strokes, with its 95 % interval over the cases, and the time of a stroke, that of the network included.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from quick_learner import interval, stroke_in
from scipy import ndimage

from napari_medseg import api
from napari_medseg.annotation.change import box_of, grown, slices_of
from napari_medseg.data.dataset import Dataset
from napari_medseg.structures import NOT_LOOKED_AT

Labels = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]
#: The walker's reach beyond a stroke's box.
REACH = 40


class Method(Protocol):
    """Turns a stroke into labels."""

    def correct(self, labels: Labels, stroke: Mask, value: int) -> Labels:
        """Labels after a stroke."""


class Ours:
    """`napari_medseg.api.StrokeCorrector`."""

    def __init__(self, model: Any, image: Any, classes: Any) -> None:
        self._corrector = api.StrokeCorrector(model, image, classes)

    def correct(self, labels: Labels, stroke: Mask, value: int) -> Labels:
        """Labels after a stroke."""
        box = box_of(stroke)
        change = self._corrector.correct(labels, box, stroke[slices_of(box)], value)
        after = labels.copy()
        change.apply(after)
        return after


class Brush:
    """What was drawn, and nothing else."""

    def __init__(self, model: Any, image: Any, classes: Any) -> None:
        self._fixed = np.zeros(image.spatial_shape, bool)

    def correct(self, labels: Labels, stroke: Mask, value: int) -> Labels:
        """Labels after a stroke."""
        return np.where(stroke, np.uint8(value), labels)


class Walker:
    """scikit-image's random walker around the stroke."""

    def __init__(self, model: Any, image: Any, classes: Any) -> None:
        pixels = np.asarray(image.data, np.float64)
        self._picture = pixels / max(pixels.max(), 1)
        self._colours = 2 if image.rgb else None
        self._fixed = np.zeros(image.spatial_shape, bool)

    def correct(self, labels: Labels, stroke: Mask, value: int) -> Labels:
        """Labels after a stroke."""
        from skimage.segmentation import random_walker

        place = slices_of(grown(box_of(stroke), (REACH, REACH), labels.shape))
        drawn, now = stroke[place], labels[place]
        seeds = np.zeros(drawn.shape, np.int32)
        far = ndimage.distance_transform_edt(~drawn) > REACH
        seeds[(far | self._fixed[place]) & (now != value)] = 2
        seeds[(far | self._fixed[place]) & (now == value)] = 1
        seeds[drawn] = 1
        self._fixed |= stroke
        if not (seeds == 2).any() or not (seeds == 0).any():
            return np.where(stroke, np.uint8(value), labels)
        found = random_walker(self._picture[place], seeds, beta=130, mode="cg_j", channel_axis=self._colours) == 1
        parts, _ = ndimage.label(found)
        found = np.isin(parts, np.unique(parts[drawn])) & (parts > 0)
        after = labels.copy()
        after[place][found] = value
        return after


METHODS: dict[str, Any] = {"ours": Ours, "walker": Walker, "brush": Brush}


def dice(truth: Labels, found: Labels) -> float:
    """Mean over the classes of the truth, where somebody looked."""
    seen = truth != NOT_LOOKED_AT
    pairs = [((truth == v), (found == v) & seen) for v in np.unique(truth[seen]) if v != 0]
    return float(np.mean([2 * (a & b).sum() / (a.sum() + b.sum()) for a, b in pairs]))


def run(
    method: Method, truth: Labels, labels: Labels, counts: list[int], length: int
) -> tuple[list[float], list[float]]:
    """Dice after so many strokes, and seconds of each."""
    reached, seconds = [dice(truth, labels)], []
    for drawn in range(1, counts[-1] + 1):
        wrong = (truth != labels) & (truth != NOT_LOOKED_AT)
        if wrong.any():
            depth = ndimage.distance_transform_edt(np.pad(wrong, 1))[1:-1, 1:-1]
            value = int(truth.reshape(-1)[depth.argmax()])
            stroke = stroke_in(wrong & (truth == value), length)
            started = time.perf_counter()
            labels = method.correct(labels, stroke, value)
            seconds.append(time.perf_counter() - started)
        if drawn in counts:
            reached.append(dice(truth, labels))
    return reached, seconds


def main() -> None:
    """Print a line for each method."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--cases", type=int, default=8)
    parser.add_argument("--strokes", default="1,2,4,8,16")
    parser.add_argument("--length", type=int, default=60)
    parser.add_argument("--methods", default="ours,walker,brush")
    options = parser.parse_args()
    counts = [int(count) for count in options.strokes.split(",")]
    model, dataset, rng = api.load_model(options.model), Dataset.open(options.dataset), np.random.default_rng(0)
    own = {c.name: c.value for c in dataset.info.classes}
    table = np.zeros(256, np.uint8)
    for c in model.card.classes:
        table[c.value] = own[c.name]
    held = [case for case in dataset.cases if case.split == "test" and case.label]
    chosen = [held[i] for i in np.unique(np.linspace(0, len(held) - 1, options.cases).round().astype(int))]
    data = [(dataset.read_image(case), dataset.read_labels(case)) for case in chosen]
    predicted = [table[np.asarray(api.predict(model, image).labels)] for image, _ in data]
    print(f"{len(data)} cases of {options.dataset.name}; Dice after 0, {', '.join(map(str, counts))} strokes")
    for name in options.methods.split(","):
        results = [
            run(METHODS[name](model, image, dataset.info.classes), truth, labels, counts, options.length)
            for (image, truth), labels in zip(data, predicted, strict=True)
        ]
        columns = np.array([reached for reached, _ in results]).T
        line = "  ".join(interval(column, rng) for column in columns)
        times = np.concatenate([seconds for _, seconds in results])
        print(f"{name:8} {line}  {np.median(times):.2f} s (95 % {np.percentile(times, 95):.2f})", flush=True)


if __name__ == "__main__":
    main()
