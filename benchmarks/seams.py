"""How little overlap keeps seams invisible: stitched labels of a trained network against its own whole-image labels.

Trains the plain U-Net for a few minutes on gland masks, then predicts the images of unseen patients in windows, with
several ways of blending. Reported per variant: pixels run per image pixel (the cost), pixels that differ from one
forward pass over the whole image (all, and within 8 pixels of a seam), and Dice against the truth, as the difference to
that of gaussian 25 % with its 95 % interval over images.

    python benchmarks/seams.py ../shared/data/path_glas --shrink 2 --window 128 --predict-window 512 --mosaics 6
"""

from __future__ import annotations

import argparse
import csv
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image as Picture
from torch.nn import functional

from napari_medseg import metrics
from napari_medseg.config import NetworkConfig, WindowConfig
from napari_medseg.inference.engine import predict
from napari_medseg.inference.predictor import Predictor
from napari_medseg.inference.windows import plan_windows
from napari_medseg.models.building import build_segmenter
from napari_medseg.structures import Image, MaskClass

#: Pixels (y, x, 3) and mask (y, x).
Pair = tuple[np.ndarray, np.ndarray]

VARIANTS = [
    ("gaussian", 0.5),
    ("gaussian", 0.25),
    ("gaussian", 0.125),
    ("gaussian", 0.0625),
    ("constant", 0.25),
    ("constant", 0.125),
    ("crop", 0.25),
    ("crop", 0.1875),
    ("crop", 0.125),
    ("crop", 0.0625),
    ("crop", 0.0),
]
MULTIPLE = 16


def load(folder: Path, shrink: int) -> tuple[list[Pair], list[Pair]]:
    """Images (y, x, 3) and binary masks (y, x), `shrink` times smaller: of all patients but four, and of those four."""
    rows = list(csv.DictReader((folder / "index.csv").open(encoding="utf-8-sig")))
    patients = sorted({row["patient"] for row in rows}, key=int)
    unseen = set(patients[-4:])
    train, test = [], []
    for row in rows:
        picture = Picture.open(folder / "images" / f"{row['id']}.jpg").convert("RGB").reduce(shrink)
        mask = np.asarray(
            Picture.open(folder / "masks" / f"{row['id']}.png").resize(picture.size, Picture.Resampling.NEAREST)
        )
        (test if row["patient"] in unseen else train).append((np.asarray(picture), (mask > 0).astype(np.uint8)))
    return train, test


def normalise(pixels: np.ndarray) -> np.ndarray:
    return (pixels.astype(np.float32) - 150.0) / 60.0


def make_mosaics(cases: list[Pair], count: int, side: int) -> list[Pair]:
    """Larger images: `side` x `side` cases of one shape beside each other, in random order and orientation."""
    rng = np.random.default_rng(0)
    shape = cases[0][1].shape
    fitting = [case for case in cases if case[1].shape == shape]
    mosaics = []
    for _ in range(count):
        steps = rng.choice([-1, 1], side * side)
        tiles = [fitting[i] for i in rng.choice(len(fitting), side * side, replace=len(fitting) < side * side)]
        turned = [tuple(array[::step] for array in tile) for tile, step in zip(tiles, steps, strict=True)]
        rows = [turned[k : k + side] for k in range(0, side * side, side)]
        mosaics.append((join([[t[0] for t in row] for row in rows]), join([[t[1] for t in row] for row in rows])))
    return mosaics


def join(rows: list[list[np.ndarray]]) -> np.ndarray:
    """Arrays (y, x, ...) beside and below each other."""
    return np.concatenate([np.concatenate(row, axis=1) for row in rows])


def train_network(cases: list[Pair], steps: int, side: int, seed: int) -> torch.nn.Module:
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    model = build_segmenter(NetworkConfig(base_width=16), 3, 2).train().to(memory_format=torch.channels_last)
    optimiser = torch.optim.AdamW(model.parameters(), lr=2e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 2e-3, total_steps=steps)
    started = time.perf_counter()
    for step in range(steps):
        images, masks = [], []
        for index in rng.integers(0, len(cases), 8):
            pixels, mask = cases[index]
            y, x = (rng.integers(0, n - side + 1) for n in mask.shape)
            turn, flip = rng.integers(0, 4), rng.integers(0, 2)
            cut = (slice(y, y + side), slice(x, x + side))
            image, label = np.rot90(pixels[cut], turn), np.rot90(mask[cut], turn)
            images.append(normalise(image[:, ::-1] if flip else image).transpose(2, 0, 1))
            masks.append(label[:, ::-1] if flip else label)
        batch = torch.from_numpy(np.stack(images)).to(memory_format=torch.channels_last)
        loss = functional.cross_entropy(model(batch), torch.from_numpy(np.stack(masks)).long())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        if step % 50 == 0:
            print(f"step {step}: loss {loss.item():.3f}, {time.perf_counter() - started:.0f} s", flush=True)
    return model.eval()


def make_predictor(model: torch.nn.Module, window: tuple[int, int], blend: str, overlap: float) -> Predictor:
    return Predictor(
        window=window,
        multiple=MULTIPLE,
        scale_of=lambda image: (1.0, 1.0),
        prepare=lambda image: None,
        normalise=lambda pixels, _: normalise(pixels),
        forward=lambda x: (model(x.to(memory_format=torch.channels_last)), None),
        classes=[MaskClass(value=1, name="gland", color="#0072b2")],
        tags=(),
        windows=WindowConfig(blend=blend, overlap=overlap),
    )


def near_seams(shape: tuple[int, int], window: int, distance: int = 8) -> np.ndarray:
    """Pixels close to where the windows of the least overlap meet; the same pixels for every variant."""
    near = np.zeros(shape, bool)
    for axis, length in enumerate(shape):
        plan = plan_windows(length, window, MULTIPLE, WindowConfig(blend="crop", overlap=0.0625))
        for _, end in plan.spans[:-1]:
            band = [slice(None)] * 2
            band[axis] = slice(max(0, end - distance), end + distance)
            near[tuple(band)] = True
    return near


def cost(shape: tuple[int, int], window: int, blend: str, overlap: float) -> float:
    """Pixels run per image pixel."""
    plans = [plan_windows(n, window, MULTIPLE, WindowConfig(blend=blend, overlap=overlap)) for n in shape]
    return float(np.prod([len(p.starts) * p.window / p.length for p in plans]))


def dice_counts(truth: np.ndarray, labels: np.ndarray) -> np.ndarray:
    return metrics.class_counts(truth, labels, [1])[0]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--shrink", type=int, default=1, help="make images smaller by this much: a faster run")
    parser.add_argument("--window", type=int, default=256, help="side of training patches")
    parser.add_argument("--predict-window", type=int, help="side of windows; default: as in training")
    parser.add_argument("--mosaics", type=int, default=0, help="predict this many mosaics of 3 x 3 images instead")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--weights", type=Path, help="kept here, and taken from here where it exists")
    arguments = parser.parse_args()
    train, test = load(arguments.data, arguments.shrink)
    if arguments.weights and arguments.weights.exists():
        model = build_segmenter(NetworkConfig(base_width=16), 3, 2).eval().to(memory_format=torch.channels_last)
        model.load_state_dict(torch.load(arguments.weights, weights_only=True))
    else:
        model = train_network(train, arguments.steps, arguments.window, arguments.seed)
        if arguments.weights:
            torch.save(model.state_dict(), arguments.weights)
    if arguments.mosaics:
        test = make_mosaics(test, arguments.mosaics, 3)
    compare(model, test, arguments.predict_window or arguments.window)


def compare(model: torch.nn.Module, test: list[Pair], window: int) -> None:
    images = [Image(levels=(pixels,), axes="yxc", rgb=True) for pixels, _ in test]
    truths = [mask for _, mask in test]
    # A window as large as the image: one forward pass.
    whole = predict_all(make_predictor(model, (2048, 2048), "gaussian", 0.25), images)
    bands = [near_seams(mask.shape, window) for mask in truths]
    reference = predict_all(make_predictor(model, (window, window), "gaussian", 0.25), images)
    base, against = (
        np.stack([dice_counts(*pair) for pair in zip(truths, labels, strict=True)]) for labels in (whole, reference)
    )
    dice = metrics.counts_to_scores(base.sum(axis=0))["dice"]
    print(f"{len(test)} images of unseen patients, window {window}; whole image: Dice {dice:.4f}")
    titles = ("overlap", 8), ("cost", 7), ("differs %", 11), ("near seams %", 14), ("Dice - gaussian 25 %", 22)
    print(f"{'blend':<10}" + "".join(f"{title:>{width}}" for title, width in titles) + "  95 % interval")
    for blend, overlap in VARIANTS:
        labels = predict_all(make_predictor(model, (window, window), blend, overlap), images)
        differs = [a != b for a, b in zip(labels, whole, strict=True)]
        overall = 100 * np.concatenate([d.ravel() for d in differs]).mean()
        seam = 100 * np.concatenate([d[band] for d, band in zip(differs, bands, strict=True)]).mean()
        counts = np.stack([dice_counts(*pair) for pair in zip(truths, labels, strict=True)])
        pairs = np.stack([counts, against], axis=1)
        low, high = metrics.bootstrap_interval(pairs, dice_difference, seed=0)
        spent = np.mean([cost(mask.shape, window, blend, overlap) for mask in truths])
        print(
            f"{blend:<10}{overlap:>8.4f}{spent:>7.2f}{overall:>11.3f}{seam:>14.3f}"
            f"{dice_difference(pairs.sum(axis=0)):>22.5f}  [{low:.5f}, {high:.5f}]",
            flush=True,
        )


def predict_all(predictor: Predictor, images: list[Image]) -> list[np.ndarray]:
    return [np.asarray(predict(predictor, image).labels) for image in images]


def dice_difference(sums: np.ndarray) -> np.ndarray:
    """Dice of the first of two sums of counts (..., 2, 3) less that of the second."""
    dice = metrics.counts_to_scores(sums)["dice"]
    return dice[..., 0] - dice[..., 1]


if __name__ == "__main__":
    main()
