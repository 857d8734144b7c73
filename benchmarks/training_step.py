"""A step of the training loop against the same step by hand in plain torch.

Both train the same network on the same patches with the same augmentation, loss, optimiser and gradient limit; the loop
adds seeding, events, checkpoints by time, prefetching and checks. Blocks of steps of both alternate, so that whatever
else the machine does meets both. Wall time decides on an idle machine; on a shared one only CPU time can be trusted.

    python benchmarks/training_step.py [--width 16] [--size 192] [--batch 8] [--rounds 5]
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from napari_medseg.config import AugmentationConfig, NetworkConfig, TrainingConfig
from napari_medseg.data.intensity import fit_intensity
from napari_medseg.data.patches import Patches
from napari_medseg.losses import mask_loss
from napari_medseg.models.building import build_segmenter
from napari_medseg.models.compute import Compute, choose_compute
from napari_medseg.structures import Image, MaskClass, TrainingCase
from napari_medseg.training.augmentation import augment
from napari_medseg.training.loop import fit
from napari_medseg.training.stage import Batch, Stage

#: Steps of a block, of which the first ones are not counted.
STEPS, WARM = 14, 3
GOAL = 1.03


def noise_case(number: int, side: int) -> TrainingCase:
    rng = np.random.default_rng(number)
    pixels = rng.integers(0, 256, (side, side, 3), np.uint8)
    labels = (pixels[..., 0] > 128).astype(np.uint8)
    return TrainingCase(
        case=str(number),
        group=str(number),
        source="",
        split="train",
        tag=None,
        grade=None,
        has_mask=True,
        load_image=lambda: Image(levels=(pixels,), axes="yxc", rgb=True),
        load_labels=lambda: labels,
        image_hash=str(number),
        content_hash=str(number),
    )


def make_stage(size: int, width: int, batch: int) -> Stage:
    cases = [noise_case(number, 2 * size) for number in range(4)]
    patches = Patches(
        cases,
        classes=(MaskClass(value=1, name="bright", color="#0072b2"),),
        tags=(),
        size=(size, size),
        scale_of=lambda image: (1.0, 1.0),
        intensity=fit_intensity([case.load_image() for case in cases]),
    )
    patches.draw(range(2 * len(cases)), 0)  # images are in memory from here on
    torch.manual_seed(0)
    return Stage(
        name="benchmark",
        title="benchmark",
        model=build_segmenter(NetworkConfig(base_width=width), 3, 2),
        source=patches,
        loss=mask_loss(),
        training=TrainingConfig(epochs=1, steps_per_epoch=STEPS, batch_size=batch, checkpoint_seconds=1000.0),
        augmentation=AugmentationConfig(),
    )


class Stamped:
    """A loss that notes when it is called: once per step."""

    def __init__(self, loss: Callable[[Any, Any], torch.Tensor]) -> None:
        self.loss = loss
        self.wall: list[float] = []
        self.cpu: list[float] = []

    def __call__(self, output: Any, batch: Any) -> torch.Tensor:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self.wall.append(time.perf_counter())
        self.cpu.append(time.process_time())
        return self.loss(output, batch)

    def seconds(self) -> tuple[float, float]:
        """Median wall and CPU time from step to step."""
        return statistics.median(np.diff(self.wall[WARM:])), statistics.median(np.diff(self.cpu[WARM:]))


def by_hand(stage: Stage, compute: Compute) -> None:
    """What a person would write for the same steps."""
    model = compute.prepare(stage.model).train()
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=1e-4, fused=True)
    generator = torch.Generator(compute.device)
    size = stage.training.batch_size
    for step in range(STEPS):
        images, labels, tags = map(torch.from_numpy, stage.source.draw(range(step * size, (step + 1) * size), 0))
        moved, places = augment(images.to(compute.device), labels.to(compute.device), stage.augmentation, generator)
        batch = Batch(images=compute.to(moved), labels=places.long(), tags=tags)
        optimiser.zero_grad(set_to_none=True)
        with compute.autocast():
            output = model(batch.images)
        loss = stage.loss(output, batch)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), stage.training.gradient_clip)
        optimiser.step()


def by_loop(stage: Stage, compute: Compute) -> None:
    with tempfile.TemporaryDirectory() as folder:
        fit(stage, folder=Path(folder), identity="benchmark", compute=compute, seed=0)


def measure(
    run: Callable[[Stage, Compute], None], arguments: argparse.Namespace, compute: Compute
) -> tuple[float, float]:
    stage = make_stage(arguments.size, arguments.width, arguments.batch)
    stamped = Stamped(stage.loss)
    run(Stage(**{name: getattr(stage, name) for name in Stage.__slots__} | {"loss": stamped}), compute)
    return stamped.seconds()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--size", type=int, default=192)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device")
    arguments = parser.parse_args()
    compute = choose_compute(arguments.device, training=True)
    compute.activate()
    print(f"{compute}; U-Net of width {arguments.width}, {arguments.batch} patches of {arguments.size}²")
    print("| round | loop wall, CPU (s) | by hand wall, CPU (s) | wall ratio | CPU ratio |")
    print("| --- | --- | --- | --- | --- |")
    ratios = []
    for number in range(arguments.rounds):
        # Who goes first changes, so that warming up helps neither.
        order = (by_loop, by_hand) if number % 2 else (by_hand, by_loop)
        seconds = {run: measure(run, arguments, compute) for run in order}
        loop, hand = seconds[by_loop], seconds[by_hand]
        ratios.append((loop[0] / hand[0], loop[1] / hand[1]))
        cells = [f"{loop[0]:.4f}, {loop[1]:.4f}", f"{hand[0]:.4f}, {hand[1]:.4f}", *(f"{r:.3f}" for r in ratios[-1])]
        print(f"| {number + 1} | {' | '.join(cells)} |", flush=True)
    for name, column in zip(("wall", "CPU"), zip(*ratios, strict=True), strict=True):
        middle = statistics.median(column)
        verdict = "met" if middle <= GOAL else "not met"
        spread = f"lowest {min(column):.3f}, highest {max(column):.3f}"
        print(f"{name} time: median ratio {middle:.3f} ({spread}); goal {GOAL} {verdict}")


if __name__ == "__main__":
    main()
