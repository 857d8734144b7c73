"""How long a training on slides waits for its patches, as a share of its time.

The loop trains the segmenter with the plain encoder on patches from all over a slide of JPEG tiles: a generated one of
any size and, where it is given, a real one. A third of each step's patches is centred on what was drawn. What counts is
the time for which the loop stands still because the next batch is not there; its first batch is not counted. Beside it
stands what one thread needs for a batch by itself. On a machine that others use too, CPU seconds alone can be trusted.

    python benchmarks/slide_training.py [--sides 20000] [--slide FILE] [--width 16] [--size 192] [--batch 8]
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from napari_medseg.config import AugmentationConfig, NetworkConfig, TrainingConfig
from napari_medseg.data.dataset import Dataset
from napari_medseg.data.slide_contours import REGION, SlideContours, contours_path
from napari_medseg.data.synthetic_slide import CLASSES, write_slide
from napari_medseg.data.training_set import training_set
from napari_medseg.io import read
from napari_medseg.io.contour_file import Contour, Part
from napari_medseg.schemes import build_config, find_scheme
from napari_medseg.structures import DatasetInfo

WARM = 3
GOAL = 0.10


def outlined(folder: Path, slide: Path) -> Dataset:
    """A data set of one slide, half of which is complete, with two contours."""
    dataset = Dataset.create(folder, DatasetInfo(name="benchmark", kind="slide", classes=CLASSES))
    case = dataset.add_case(slide, status="done", split="train")
    rows, columns = read(slide).spatial_shape
    boxes = {
        REGION: (0, rows, 0, columns // 2),
        "tumour": (rows // 4, rows // 2, columns // 8, columns // 4),
        "necrosis": (rows // 2, 3 * rows // 4, columns // 4, 3 * columns // 8),
    }
    contours = []
    for name, (y0, y1, x0, x1) in boxes.items():
        corners = np.array([(y0, x0), (y0, x1), (y1, x1), (y1, x0)], np.float64)
        contours.append(Contour(parts=(Part(outer=corners),), class_names=(name,)))
    SlideContours(contours=tuple(contours)).write(contours_path(dataset.labels_folder, case.case))
    return dataset


def measure(dataset: Dataset, mpp: float | None, arguments: argparse.Namespace) -> dict[str, float]:
    """Seconds of a step and of its waiting, CPU seconds of a step and of drawing a batch."""
    from napari_medseg.models.compute import choose_compute
    from napari_medseg.training import loop
    from napari_medseg.training.prefetch import Prefetcher

    scheme = find_scheme("pathology")
    training = TrainingConfig(
        epochs=1, steps_per_epoch=arguments.steps, batch_size=arguments.batch, checkpoint_seconds=1000.0
    )
    config = build_config(scheme).model_copy(
        update={
            "network": NetworkConfig(base_width=arguments.width),
            "input_size": arguments.size,
            "training": training,
            "augmentation": AugmentationConfig(stain=arguments.stain),
            "slides": build_config(scheme).slides.model_copy(
                update={"mpp": mpp, "stain_normalisation": arguments.normalisation}
            ),
        }
    )
    compute = choose_compute(arguments.device, training=True)
    compute.activate()
    started = time.perf_counter()
    stage = next(scheme.stages(config, training_set(dataset), 0, compute))
    stage.source.draw(range(1), 0)
    prepared = time.perf_counter() - started
    alone = []
    for number in range(1, 7):
        started = time.process_time()
        stage.source.draw(range(number * arguments.batch, (number + 1) * arguments.batch), 0)
        alone.append(time.process_time() - started)
    waits: list[float] = []

    class Watched(Prefetcher):
        def take(self, step: int) -> Any:
            began = time.perf_counter()
            patches = super().take(step)
            waits.append(time.perf_counter() - began)
            return patches

    loop.Prefetcher = Watched  # type: ignore[misc]  # the loop is watched, not changed
    stamps: list[tuple[float, float]] = []
    inner = stage.loss

    def stamped(output: Any, batch: Any) -> Any:
        stamps.append((time.perf_counter(), time.process_time()))
        return inner(output, batch)

    object.__setattr__(stage, "loss", stamped)
    with tempfile.TemporaryDirectory() as run:
        loop.fit(stage, folder=Path(run), identity="benchmark", compute=compute, seed=1)
    step, cpu = np.diff(stamps, axis=0)[WARM:].mean(axis=0)
    wait = float(np.mean(waits[WARM + 1 :]))
    return {
        "prepared": prepared,
        "alone": statistics.median(alone),
        "cpu": float(cpu),
        "step": float(step),
        "wait": wait,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sides", type=int, nargs="*", default=[20000], help="of generated slides, in pixels")
    parser.add_argument("--slide", type=Path, nargs="*", default=[], help="real slides")
    parser.add_argument("--mpp", type=float, nargs="*", default=[1.0, 0.5])
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--size", type=int, default=192)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--steps", type=int, default=24)
    parser.add_argument("--stain", type=float, default=0.0)
    parser.add_argument("--normalisation", default="none", choices=["none", "macenko"])
    parser.add_argument("--device")
    parser.add_argument("--folder", type=Path, help="where generated slides are kept")
    arguments = parser.parse_args()
    print(f"{os.cpu_count()} cores; width {arguments.width}, {arguments.batch} patches of {arguments.size}²")
    print("| slide | µm per pixel | made ready s | a batch CPU s | a step CPU s | a step s | waiting s | share |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.folder or Path(temporary)
        slides = [*arguments.slide]
        for side in arguments.sides:
            path = folder / f"generated-{side}.svs"
            if not path.exists():
                write_slide(path, (side, side), seed=0)
            slides.append(path)
        for number, path in enumerate(slides):
            dataset = outlined(Path(temporary) / f"data{number}", path)
            for mpp in arguments.mpp:
                found = measure(dataset, mpp, arguments)
                share = found["wait"] / found["step"]
                cells = [
                    path.stem,
                    f"{mpp:g}",
                    *(f"{found[key]:.3f}" for key in ("prepared", "alone", "cpu", "step", "wait")),
                ]
                verdict = "met" if share <= GOAL else "not met"
                print(f"| {' | '.join(cells)} | {share:.1%} (goal {GOAL:.0%} {verdict}) |", flush=True)


if __name__ == "__main__":
    main()
