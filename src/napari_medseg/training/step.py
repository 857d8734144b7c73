"""One optimiser step: patches in, weights changed."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Sequence
from typing import Any

import numpy.typing as npt

from napari_medseg.errors import TrainingError
from napari_medseg.models.compute import Compute
from napari_medseg.models.guard import guard_torch_import

# The optimiser loads triton.
guard_torch_import()

import torch  # noqa: E402 - after the guard
from torch import nn  # noqa: E402 - after the guard

from napari_medseg.training.augmentation import augment  # noqa: E402 - after the guard
from napari_medseg.training.distributed import Group  # noqa: E402 - after the guard
from napari_medseg.training.events import Report  # noqa: E402 - after the guard
from napari_medseg.training.schedule import Schedule, derive_seed  # noqa: E402 - after the guard
from napari_medseg.training.stage import Batch, Stage  # noqa: E402 - after the guard
from napari_medseg.training.stain_jitter import jitter_stains  # noqa: E402 - after the guard


class Stepper:
    """The network of a stage with its optimiser.

    Every step takes its random numbers from the seed and its own number, so that nothing of them needs saving.

    Parameters
    ----------
    stage
        The stage; its model is moved to the device.
    schedule
        Gives the learning rate.
    compute
        Device and precision.
    seed
        The run's seed.
    group
        The processes that share a batch.
    report
        Told when a batch has to be computed in smaller parts.

    Raises
    ------
    TrainingError
        Nothing of the model is trainable, or there are more processes than patches in a batch.
    """

    def __init__(
        self, stage: Stage, schedule: Schedule, compute: Compute, seed: int, group: Group, report: Report
    ) -> None:
        if stage.training.batch_size < group.size:
            raise TrainingError(
                f"A batch of {stage.training.batch_size} patches cannot be shared by {group.size} processes: set "
                f"training.batch_size to {group.size} or more."
            )
        self.stage = stage
        self.schedule = schedule
        self.compute = compute
        self.seed = seed
        self.group = group
        self.report = report
        self.model = compute.prepare(stage.model)
        self._halted = _freeze(stage.frozen)
        trainable = [p for p in self.model.parameters() if p.requires_grad]
        if not trainable:
            raise TrainingError(f"Stage '{stage.name}' has no weight to train: all of its network is frozen.")
        self.trainable = trainable
        self.network = group.parallel(self.model)
        self.optimiser = _optimiser(trainable, stage)
        self.generator = torch.Generator(compute.device)
        #: Most patches that one forward pass takes; halved when memory runs out.
        self.part_size = math.ceil(stage.training.batch_size / group.size)
        #: Sum of the losses since it was last set to zero; not finite once a loss or a gradient was not.
        self.loss_sum = torch.zeros((), device=compute.device)
        self.last_loss = self.loss_sum

    def positions(self, step: int) -> range:
        """Positions in the sequence of patches that this process draws for a step."""
        size = self.stage.training.batch_size
        return range(step * size, (step + 1) * size)[self.group.rank :: self.group.size]

    def train_mode(self) -> None:
        """Networks learn, frozen parts do not even keep statistics."""
        self.network.train()
        for module in self.stage.frozen:
            module.eval()

    def step(self, step: int, patches: Sequence[npt.NDArray[Any]]) -> None:
        """Change the weights by one batch.

        Parameters
        ----------
        step
            Number of the step in its stage.
        patches
            What `PatchSource.draw` gave for `positions(step)`.

        Raises
        ------
        TrainingError
            Not even a single patch fits into memory.
        """
        while not self._attempt(step, patches):
            self._take_smaller_parts()

    def release(self) -> None:
        """Free the optimiser's memory and make frozen weights trainable again."""
        for parameter in self._halted:
            parameter.requires_grad_(True)
        self.optimiser.zero_grad(set_to_none=True)
        self.optimiser.state.clear()
        self.network = self.model.eval()

    def _attempt(self, step: int, patches: Sequence[npt.NDArray[Any]]) -> bool:
        """Do a step; False when memory ran out before any weight changed."""
        try:
            self._seed(step)
            self._backward(self._batch(patches))
        except RuntimeError as error:
            if not self.compute.is_out_of_memory(error):
                raise
            # Leaving the block frees what the failed attempt held: the error's traceback refers to it.
            return False
        norm = nn.utils.clip_grad_norm_(self.trainable, self.stage.training.gradient_clip or math.inf)
        for group in self.optimiser.param_groups:
            group["lr"] = self.schedule.learning_rate(step)
        self.optimiser.step()
        # Zero times infinity is not a number: an overflowing gradient shows in the sum too.
        self.loss_sum = self.loss_sum + self.last_loss + 0.0 * norm
        return True

    def _seed(self, step: int) -> None:
        seed = derive_seed(self.seed, self.stage.name, step, self.group.rank)
        torch.manual_seed(seed)
        self.generator.manual_seed(seed)

    def _batch(self, patches: Sequence[npt.NDArray[Any]]) -> Batch:
        images, labels, tags = (torch.from_numpy(array) for array in patches)
        device = self.compute.device
        settings, generator = self.stage.augmentation, self.generator
        moved, places = augment(images.to(device), labels.to(device), settings, generator)
        if settings.stain and self.stage.intensity is not None:
            moved = jitter_stains(moved, self.stage.intensity, settings.stain, generator)
        return Batch(images=self.compute.to(moved), labels=places.long(), tags=tags.to(device))

    def _backward(self, batch: Batch) -> None:
        """Gradients of a batch, computed part by part; `last_loss` becomes the batch's loss."""
        self.optimiser.zero_grad(set_to_none=True)
        # Processes are averaged, so each multiplies by their number; the loss of a part is a mean over its patches.
        scale = self.group.size / self.stage.training.batch_size
        total = torch.zeros((), device=self.compute.device)
        parts = _parts(batch, self.part_size)
        for number, part in enumerate(parts, start=1):
            last = number == len(parts)
            with contextlib.nullcontext() if last else self.group.without_averaging(self.network):
                with self.compute.autocast(part.images):
                    output = self.network(part.images)
                loss = self.stage.loss(output, part) * (len(part.tags) * scale)
                loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
            total += loss.detach()
        self.last_loss = total

    def _take_smaller_parts(self) -> None:
        """Halve the parts of a batch, saying so."""
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        if self.part_size == 1 or self.group.size > 1:
            raise TrainingError(
                f"Memory of {self.compute.device} ran out in stage '{self.stage.name}' with {self.part_size} patches "
                "at a time: choose a smaller input size, base_width or batch_size, or another device."
            )
        self.part_size = math.ceil(self.part_size / 2)
        text = (
            f"Memory of {self.compute.device} ran out: batches of {self.stage.training.batch_size} are computed in "
            f"parts of {self.part_size} from here on. Batch normalisation sees the parts, all else stays the same."
        )
        self.report("warning", text=text)


def _freeze(modules: Sequence[nn.Module]) -> list[nn.Parameter]:
    """Take gradients from modules; returns the parameters that had them."""
    halted = [p for module in modules for p in module.parameters() if p.requires_grad]
    for parameter in halted:
        parameter.requires_grad_(False)
    return halted


def _optimiser(trainable: Sequence[nn.Parameter], stage: Stage) -> torch.optim.Optimizer:
    """AdamW (arXiv:1711.05101); biases and the scales of normalisations are not decayed."""
    decayed = [p for p in trainable if p.ndim > 1]
    plain = [p for p in trainable if p.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": stage.training.weight_decay}, {"params": plain, "weight_decay": 0.0}]
    fused = all(p.device.type in ("cpu", "cuda") for p in trainable)
    return torch.optim.AdamW([g for g in groups if g["params"]], lr=stage.training.learning_rate, fused=fused)


def _parts(batch: Batch, size: int) -> list[Batch]:
    """A batch in parts of at most `size` patches."""
    if len(batch.tags) <= size:
        return [batch]
    spans = [slice(start, start + size) for start in range(0, len(batch.tags), size)]
    return [Batch(images=batch.images[s], labels=batch.labels[s], tags=batch.tags[s]) for s in spans]
