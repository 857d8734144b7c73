"""Compare the quality that a model expects of its results with what it turns out to be, on held cases.

python benchmarks/next_label.py --prepare /tmp/replay --data ../shared/data       # once: small copies of the images
python benchmarks/predicted_quality.py /tmp/replay --seeds 5 --jobs 16 --device cuda --out quality.json

Groups (patients) are split into training, validation and test; a small segmenter is trained, its quality calibrated on
the validation cases (`napari_medseg.api.quality`), and every test case gets an expected Dice before its labels are
looked at. Printed per data set, for test images as they are and for spoilt ones (blurred, noisy, dark, with inverted
grey values) that were not called unlike the training's: correlation of expected and true Dice (Pearson over all,
Spearman within each model, mean over seeds), the mean error, the mean absolute error (beside that of always expecting
the mean of the validation cases), and how often the true Dice lay in the 90 % interval; and how often images of each
sort were called unlike the training's.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from next_label import DATASETS, Options, load, train_segmenter
from scipy import ndimage, stats

from napari_medseg.structures import TrainingCase

#: Shares of the cases that go to the validation and the test.
_SHARES = {"val": 0.25, "test": 0.3}

Pixels = npt.NDArray[np.uint8]


def spoilt(pixels: Pixels, how: str, seed: int) -> Pixels:
    """An image with an artefact: (y, x) or (y, x, c)."""
    values = pixels.astype(np.float64)
    if how == "blurred":
        values = ndimage.gaussian_filter(values, (3, 3, 0)[: values.ndim])
    elif how == "noisy":
        values = values + np.random.default_rng(seed).normal(0, 40, values.shape)
    elif how == "dark":
        values = 0.35 * values
    else:
        values = 255 - values
    return np.clip(values, 0, 255).astype(np.uint8)


SPOILT = ("blurred", "noisy", "dark", "inverted")


def split(cases: Sequence[TrainingCase], seed: int) -> dict[str, list[TrainingCase]]:
    """Whole groups in a random order to test, validation and training."""
    groups = [str(group) for group in np.random.default_rng(seed).permutation(sorted({c.group for c in cases}))]
    sides: dict[str, list[TrainingCase]] = {"test": [], "val": [], "train": []}
    for group in groups:
        side = next((s for s in ("test", "val") if len(sides[s]) < _SHARES[s] * len(cases)), "train")
        sides[side] += [case for case in cases if case.group == group]
    return sides


def trial(dataset: str, seed: int, options: Options) -> dict[str, Any]:
    """Train, calibrate, and expect the quality of every test case, as it is and spoilt."""
    from napari_medseg.api.quality import judge, quality_card
    from napari_medseg.inference.quality import quality_of

    began = time.perf_counter()
    info, cases = load(options.folder, dataset)
    sides = split(cases, seed)
    model = train_segmenter(info, sides["train"], seed, options)
    known = {side: judge(model, sides[side], info, dataset) for side in ("train", "val", "test")}
    card = quality_card(known["train"], known["val"])
    mean = float(np.mean([each.dice for each in known["val"]]))
    rows = [_row(each, quality_of(each.impression, card), "as it is") for each in known["test"]]
    for how in SPOILT:
        others = judge(model, [_spoilt_case(case, how) for case in sides["test"]], info, dataset)
        rows += [_row(each, quality_of(each.impression, card), how) for each in others]
    seconds = time.perf_counter() - began
    return {"dataset": dataset, "seed": seed, "validation_mean": mean, "rows": rows, "seconds": seconds}


def _spoilt_case(case: TrainingCase, how: str) -> TrainingCase:
    image = case.load_image()
    changed = replace(image, levels=(spoilt(np.asarray(image.data), how, len(case.case)),))
    return replace(case, load_image=lambda: changed)


def _row(known: Any, quality: Any, how: str) -> dict[str, Any]:
    return {
        "case": known.impression.case,
        "image": how,
        "expected": quality.dice,
        "interval": quality.dice_interval,
        "dice": known.dice,
        "unlike": quality.is_unlike,
    }


def _run(work: tuple[str, int, Options]) -> dict[str, Any]:
    import torch

    torch.set_num_threads(1)
    return trial(*work)


def summarise(trials: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The figures of every data set, of images as they are and of all images."""
    table = []
    for dataset in dict.fromkeys(each["dataset"] for each in trials):
        own = [each for each in trials if each["dataset"] == dataset]
        table.append({"dataset": dataset, "images": "as they are", **_figures(own, _as_it_is)})
        table.append({"dataset": dataset, "images": "spoilt, but not called unlike", **_figures(own, _missed)})
    return table


def _as_it_is(row: dict[str, Any]) -> bool:
    return bool(row["image"] == "as it is")


def _missed(row: dict[str, Any]) -> bool:
    return not _as_it_is(row) and not row["unlike"]


def _figures(trials: Sequence[dict[str, Any]], of: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    pairs = [(each, row) for each in trials for row in each["rows"] if of(row) and row["expected"] is not None]
    expected, true = (np.array([row[key] for _, row in pairs]) for key in ("expected", "dice"))
    constant = np.array([each["validation_mean"] for each, _ in pairs])
    inside = [row["interval"][0] <= row["dice"] <= row["interval"][1] for _, row in pairs]
    seeds = np.array([each["seed"] for each, _ in pairs])
    within = [_spearman(expected[seeds == seed], true[seeds == seed]) for seed in sorted(set(seeds.tolist()))]
    unlike = {
        how: float(np.mean([row["unlike"] for each in trials for row in each["rows"] if row["image"] == how]))
        for how in ("as it is", *SPOILT)
    }
    return {
        "cases": len(pairs),
        "pearson": float(stats.pearsonr(expected, true)[0]) if len(pairs) > 2 else float("nan"),
        "spearman": float(np.nanmean(within)) if not np.isnan(within).all() else float("nan"),
        "dice": float(true.mean()),
        "mean_error": float((expected - true).mean()),
        "absolute_error": float(np.abs(expected - true).mean()),
        "absolute_error_of_the_mean": float(np.abs(constant - true).mean()),
        "inside_90": float(np.mean(inside)),
        "called_unlike": unlike,
    }


def _spearman(expected: npt.NDArray[Any], true: npt.NDArray[Any]) -> float:
    """Rank correlation; NaN where a side does not vary, as under a line that does not rise."""
    if len(true) < 4 or np.ptp(expected) == 0 or np.ptp(true) == 0:
        return float("nan")
    return float(stats.spearmanr(expected, true)[0])


def as_markdown(table: Sequence[dict[str, Any]]) -> str:
    """The summary as a table."""
    lines = [
        "| data | images | cases | Dice | Pearson | Spearman | mean error | absolute error | of mean | inside 90 % |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for each in table:
        figures = [f"{each[key]:.2f}" for key in ("dice", "pearson", "spearman")]
        figures += [f"{each['mean_error']:+.3f}", f"{each['absolute_error']:.3f}"]
        figures += [f"{each['absolute_error_of_the_mean']:.3f}", f"{100 * each['inside_90']:.0f} %"]
        lines.append("| " + " | ".join([each["dataset"], each["images"], str(each["cases"]), *figures]) + " |")
    for each in table[::2]:
        shares = ", ".join(f"{how} {100 * share:.0f} %" for how, share in each["called_unlike"].items())
        lines.append(f"\nCalled unlike the training's, {each['dataset']}: {shares}.")
    return "\n".join(lines)


def main() -> None:
    """Run the trials and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="small copies that next_label.py --prepare made")
    parser.add_argument("--datasets", nargs="+", default=list(DATASETS), choices=DATASETS)
    parser.add_argument("--side", type=int, default=192, help="shorter side of the small copies, in pixels")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=1, help="trials at a time")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--steps", type=int, default=600, help="optimiser steps of the training")
    parser.add_argument("--width", type=int, default=16, help="channels of the network's finest level")
    parser.add_argument("--out", type=Path, help="JSON with every case, rewritten as trials end")
    args = parser.parse_args()
    options = Options(
        folder=args.folder,
        device=args.device,
        start=0,
        step=0,
        rounds=0,
        steps=args.steps,
        width=args.width,
        size=max(32, args.side // 32 * 32),
    )
    work = [(dataset, seed, options) for seed in range(args.seeds) for dataset in args.datasets]
    trials: list[dict[str, Any]] = []
    with multiprocessing.get_context("spawn").Pool(args.jobs) as pool:
        for each in pool.imap_unordered(_run, work):
            trials.append(each)
            print(f"{each['dataset']} seed {each['seed']}: {each['seconds']:.0f} s", flush=True)
            if args.out is not None:
                settings = {key: str(value) for key, value in vars(args).items()}
                text = json.dumps({"settings": settings, "table": summarise(trials), "trials": trials}, indent=1)
                args.out.write_text(text)
    print(as_markdown(summarise(trials)))


if __name__ == "__main__":
    main()
