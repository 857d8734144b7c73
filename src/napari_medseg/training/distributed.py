"""Several processes that train one network together, started by torchrun.

Plain data parallelism: every process draws its own positions of the one sequence of patches, and gradients are averaged
after each backward pass. Losses are means over samples, so the averaged gradient is that of the whole batch. Batch
normalisation is the exception: each process normalises with the statistics of its own part of the batch, and the
running statistics are those of the first process.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from napari_medseg.errors import TrainingError
from napari_medseg.models.guard import guard_torch_import

# The optimiser, which training imports next, loads triton.
guard_torch_import()

import torch  # noqa: E402 - after the guard
from torch import distributed, nn  # noqa: E402 - after the guard

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """The processes of one training.

    Parameters
    ----------
    rank, size
        Number of this process, and how many there are.
    device
        Device that this process must use; None where it may choose.
    """

    rank: int = 0
    size: int = 1
    device: str | None = None

    @property
    def leader(self) -> bool:
        """Whether this process reports and writes files."""
        return self.rank == 0

    def gather(self, value: T) -> list[T]:
        """The values of all processes, in the order of their ranks, on every process."""
        if self.size == 1:
            return [value]
        values: list[Any] = [None] * self.size
        distributed.all_gather_object(values, value)
        return cast("list[T]", values)

    def barrier(self) -> None:
        """Wait until every process is here."""
        if self.size > 1:
            distributed.barrier()

    def parallel(self, model: nn.Module) -> nn.Module:
        """The model, wrapped so that backward passes average gradients over the processes."""
        if self.size == 1:
            return model
        from torch.nn.parallel import DistributedDataParallel

        return DistributedDataParallel(model)

    def without_averaging(self, model: nn.Module) -> contextlib.AbstractContextManager[Any]:
        """Context for the backward passes of a batch before its last one."""
        if self.size == 1:
            return contextlib.nullcontext()
        return cast("contextlib.AbstractContextManager[Any]", model.no_sync())  # type: ignore[operator]  # wrapped

    def share_buffers(self, model: nn.Module) -> None:
        """Give every process the leader's running statistics."""
        if self.size > 1:
            for buffer in model.buffers():
                distributed.broadcast(buffer, src=0)


#: Training in this process alone.
SINGLE = Group()


@contextlib.contextmanager
def processes(device: str | None = None) -> Iterator[Group]:
    """The group that torchrun started this process in; a group of one where it did not.

    Parameters
    ----------
    device
        What the user asked for; with ``"cuda"`` or None each process takes the device of its local rank.

    Raises
    ------
    TrainingError
        There are more processes than CUDA devices.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield SINGLE
        return
    cuda = torch.cuda.is_available() and (device is None or device.startswith("cuda"))
    own = "cpu"
    if cuda:
        local = int(os.environ["LOCAL_RANK"])
        if local >= torch.cuda.device_count():
            raise TrainingError(
                f"Process {local + 1} on this machine finds {torch.cuda.device_count()} CUDA devices: start as many "
                "processes as there are devices, or add --device cpu."
            )
        own = f"cuda:{local}"
        torch.cuda.set_device(local)
    distributed.init_process_group("nccl" if cuda else "gloo")
    try:
        yield Group(rank=distributed.get_rank(), size=size, device=own)
    finally:
        distributed.destroy_process_group()
