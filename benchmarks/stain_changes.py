"""Whether changes of stains in training, or normalised stains, help on slides of another laboratory.

A segmenter of glands is trained on pictures of one set; it is judged on its test pictures as they are, and on the same
pictures with other stains: each made stronger or weaker, and both replaced by those of another laboratory. Patients are
on one side of the split. The network and the number of steps are small, so that a core is enough; what counts is the
difference between the rows.

    python benchmarks/stain_changes.py ../shared/data/path_glas [--seeds 3] [--steps 200]
"""

from __future__ import annotations

import argparse
import csv
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image as Picture

from napari_medseg import api
from napari_medseg.data.dataset import Dataset
from napari_medseg.data.stains import find_stains, with_stains
from napari_medseg.structures import DatasetInfo, MaskClass

Pixels = npt.NDArray[np.float32]
WAYS = {
    "nothing": [],
    "stain=0.1": ["augmentation.stain=0.1"],
    "stain=0.2": ["augmentation.stain=0.2"],
    "macenko": ["slides.stain_normalisation=macenko"],
}
#: Haematoxylin and eosin of another laboratory (red, green, blue).
OTHER = np.array([(0.49, 0.77, 0.41), (0.05, 0.88, 0.47)])


def changed(pixels: Pixels, strengths: tuple[float, float], stains: npt.NDArray[np.float64] | None = None) -> Pixels:
    """Colours (3, y, x) from 0 to 1 with both stains made stronger or weaker, or replaced."""
    found = find_stains(pixels.reshape(3, -1))
    if found is None:
        return pixels
    own = found[0]
    new = own if stains is None else (stains / np.linalg.norm(stains, axis=1, keepdims=True)).T
    return with_stains(pixels, new @ np.diag(strengths) @ np.linalg.pinv(own))


SETS: dict[str, Callable[[Pixels], Pixels]] = {
    "as they are": lambda pixels: pixels,
    "haematoxylin x 1.3, eosin x 0.7": lambda pixels: changed(pixels, (1.3, 0.7)),
    "haematoxylin x 0.7, eosin x 1.3": lambda pixels: changed(pixels, (0.7, 1.3)),
    "other stains": lambda pixels: changed(pixels, (1.0, 1.0), OTHER),
}


def write_set(source: Path, folder: Path, change: Callable[[Pixels], Pixels], *, only_test: bool) -> None:
    """A data set of the pictures, changed, with glands as the one class."""
    gland = MaskClass(value=1, name="gland", color="#0072b2")
    dataset = Dataset.create(folder, DatasetInfo(name=folder.name, classes=(gland,)))
    with (source / "index.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    patients = sorted({row["patient"] for row in rows})
    for row in rows:
        place = patients.index(row["patient"]) % 4
        split = ("train", "train", "val", "test")[place]
        if only_test and split != "test":
            continue
        pixels = np.asarray(Picture.open(source / "images" / f"{row['id']}.jpg").convert("RGB"), np.float32)
        colours = change(np.ascontiguousarray(pixels.transpose(2, 0, 1)) / 255)
        picture = np.rint(np.clip(colours, 0, 1) * 255).astype(np.uint8).transpose(1, 2, 0)
        path = folder / f"{row['id']}.png"
        Picture.fromarray(np.ascontiguousarray(picture)).save(path)
        mask = np.asarray(Picture.open(source / "masks" / f"{row['id']}.png")) > 0
        Picture.fromarray(mask.astype(np.uint8)).save(dataset.labels_folder / f"{row['id']}.png")
        known = {"label": f"{row['id']}.png", "status": "done", "split": split}
        dataset.add_case(path, case=row["id"], group=row["patient"], **known)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", type=Path, help="folder with images/, masks/ and index.csv")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=200)
    arguments = parser.parse_args()
    small = ["network.base_width=8", "input_size=64", "downsample=4", "training.learning_rate=0.003"]
    small += ["training.epochs=2", f"training.steps_per_epoch={arguments.steps // 2}"]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_set(arguments.source, folder / "data", SETS["as they are"], only_test=False)
        for number, change in enumerate(SETS.values()):
            write_set(arguments.source, folder / f"test{number}", change, only_test=True)
        print(f"| training | {' | '.join(SETS)} |\n|{' --- |' * (len(SETS) + 1)}", flush=True)
        for way, settings in WAYS.items():
            found: list[list[float]] = [[] for _ in SETS]
            for seed in range(arguments.seeds):
                run = folder / f"{way}-{seed}"
                wanted = [*small, *settings]
                api.train("pathology", folder / "data", run, assignments=wanted, seed=seed, device="cpu", threads=1)
                for number, values in enumerate(found):
                    document = api.evaluate(
                        run, folder / f"test{number}", device="cpu", threads=1, allow_training_cases=True
                    )
                    values.append(document["segmentation"]["gland"]["dice"])
            cells = [f"{statistics.mean(v):.3f} ({min(v):.3f} to {max(v):.3f})" for v in found]
            print(f"| {way} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
