"""Train the small bundled model, on synthetic tissue only, and put it among the package's resources.

    python tools/train_demo_model.py [--work DIR]

Draws a data set with `napari_medseg.data.synthetic`, trains scheme `pathology` on it with the command line, prints the
scores on its test split, and copies the model. An interrupted call goes on where it stopped when it gets the same DIR.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

from napari_medseg.data.synthetic import make_dataset

TARGET = Path(__file__).parents[1] / "src" / "napari_medseg" / "resources" / "pathology-demo.safetensors"
CASES = 100
SIZE = 256
SETTINGS = (
    "network.base_width=6",
    "input_size=128",
    "downsample=2",
    "training.epochs=16",
    "training.steps_per_epoch=12",
    "training.patience=6",
)


def napari_medseg(*arguments: str | Path) -> None:
    """Run a command of the package; its output goes to the terminal."""
    subprocess.run([sys.executable, "-m", "napari_medseg", *map(str, arguments)], check=True)


def main() -> None:
    """Data, training, figures, copy."""
    parser = argparse.ArgumentParser(description="Train the bundled demo model again.")
    parser.add_argument("--work", type=Path, default=Path("out/demo-model"), help="folder for data set and run")
    work = parser.parse_args().work
    data, run = work / "data", work / "run"
    if not (data / "dataset.json").is_file():
        make_dataset(data, n=CASES, size=SIZE, seed=0)
    settings = [word for setting in SETTINGS for word in ("--set", setting)]
    resume = ["--resume"] if run.exists() else []
    napari_medseg("train", "pathology", "--data", data, "--out", run, "--device", "cpu", *settings, *resume)
    napari_medseg("evaluate", run / "model.safetensors", "--data", data, "--split", "test")
    TARGET.parent.mkdir(exist_ok=True)
    shutil.copyfile(run / "model.safetensors", TARGET)
    print(f"{TARGET}: {TARGET.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
