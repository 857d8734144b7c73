"""Train the small bundled models, on generated pictures only, and put them among the package's resources.

    python tools/train_demo_model.py [SCHEME ...] [--work DIR]

Draws a data set for every scheme (all when none is named) with `napari_medseg.data.synthetic` and its siblings, trains
on it with the command line, prints the scores on its test split, and copies the model. An interrupted call goes on
where it stopped when it gets the same DIR.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari_medseg.data import synthetic, synthetic_ultrasound
from napari_medseg.data.synthetic_ct import make_ct_dataset
from napari_medseg.data.synthetic_oct import make_oct_dataset

RESOURCES = Path(__file__).parents[1] / "src" / "napari_medseg" / "resources"


@dataclass(frozen=True)
class Recipe:
    """A data set, made in a folder of its own, and settings of the training."""

    make: Callable[[Path], Any]
    settings: tuple[str, ...]


RECIPES: Mapping[str, Recipe] = {
    "pathology": Recipe(
        lambda folder: synthetic.make_dataset(folder, n=100, size=256, seed=0),
        (
            "network.base_width=6",
            "input_size=128",
            "downsample=2",
            "training.epochs=16",
            "training.steps_per_epoch=12",
            "training.patience=6",
        ),
    ),
    "oct": Recipe(
        lambda folder: make_oct_dataset(folder, n=40, subjects=20, size=(256, 384)),
        (
            "search=false",
            'candidates=[{"base_width":8,"downsamplings":4}]',
            "window_width=128",
            "stride=64",
            "training.batch_size=4",
            "training.epochs=16",
            "training.steps_per_epoch=24",
            "training.patience=6",
            "training.learning_rate=0.003",
        ),
    ),
    "boosting": Recipe(
        lambda folder: make_ct_dataset(folder, 24, (48, 128, 160)),
        (
            "variants=3+1",
            "base_width=6",
            "training.batch_size=2",
            "training.epochs=12",
            "training.steps_per_epoch=20",
            "training.validate_every=4",
            "training.learning_rate=0.004",
        ),
    ),
    "fibrosis": Recipe(
        lambda folder: make_ct_dataset(folder, 40, (48, 128, 160)),
        (
            "lesion=tumour",
            "network.base_width=6",
            "input_size=32",
            "input_slices=16",
            "training.batch_size=8",
            "training.epochs=24",
            "training.steps_per_epoch=12",
            "training.validate_every=4",
            "training.learning_rate=0.004",
        ),
    ),
    "thyroid": Recipe(
        lambda folder: synthetic_ultrasound.make_dataset(folder, n=160),
        (
            "network.base_width=4",
            "network.middle_modules=2",
            "input_size=128",
            "training.batch_size=16",
            "training.epochs=24",
            "training.steps_per_epoch=12",
            "training.patience=8",
            "training.learning_rate=0.002",
        ),
    ),
}


def napari_medseg(*arguments: str | Path) -> None:
    """Run a command of the package; its output goes to the terminal."""
    subprocess.run([sys.executable, "-m", "napari_medseg", *map(str, arguments)], check=True)


def train(scheme: str, work: Path) -> None:
    """Data, training, figures, copy."""
    recipe, data, run = RECIPES[scheme], work / scheme / "data", work / scheme / "run"
    if not (data / "dataset.json").is_file():
        recipe.make(data)
        napari_medseg("dataset", "split", data)
    settings = [word for setting in recipe.settings for word in ("--set", setting)]
    resume = ["--resume"] if run.exists() else []
    napari_medseg("train", scheme, "--data", data, "--out", run, "--device", "cpu", *settings, *resume)
    napari_medseg("evaluate", run / "model.safetensors", "--data", data, "--split", "test")
    target = RESOURCES / f"{scheme}-demo.safetensors"
    target.parent.mkdir(exist_ok=True)
    shutil.copyfile(run / "model.safetensors", target)
    print(f"{target}: {target.stat().st_size / 1e6:.2f} MB")


def main() -> None:
    """The schemes that were asked for."""
    parser = argparse.ArgumentParser(description="Train the bundled demo models again.")
    parser.add_argument("schemes", nargs="*", metavar="SCHEME", default=list(RECIPES), help=", ".join(RECIPES))
    parser.add_argument("--work", type=Path, default=Path("out/demo-models"), help="folder for data sets and runs")
    arguments = parser.parse_args()
    if unknown := set(arguments.schemes) - set(RECIPES):
        parser.error(f"there is no recipe for {', '.join(sorted(unknown))}")
    for scheme in arguments.schemes:
        train(scheme, arguments.work)


if __name__ == "__main__":
    main()
