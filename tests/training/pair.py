"""Train a network without, then one with batch normalisation, and save what came out.

As a program it starts two processes with the environment that torchrun gives. They are copies of one process, so that
torch is imported once.
"""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

import torch
from torch import nn

from napari_medseg.training.distributed import processes
from napari_medseg.training.loop import fit
from tests.training.tiny import CPU, STILL, mask_stage, training


def train_both(out: Path) -> None:
    with processes("cpu") as group:
        CPU.activate()
        torch.manual_seed(group.rank)  # the leader's weights are the ones that count
        folder = out / f"run{group.size}"
        model = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 2, 1))
        config = training(batch_size=5)  # odd, so that the processes have unequal shares
        stage = mask_stage(model=model, augmentation=STILL, training=config)
        result = fit(stage, folder=folder / "plain", identity="x", compute=CPU, seed=1, group=group)
        normalised = mask_stage(training=training(epochs=2))
        fit(normalised, folder=folder / "normalised", identity="y", compute=CPU, seed=1, group=group)
        torch.save(
            {
                "weights": model.state_dict(),
                "score": result.best_score,
                "epochs": result.epochs,
                "normalised": normalised.model.state_dict(),
            },
            out / f"of{group.size}-{group.rank}.pt",
        )


def main(out: Path) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2"}
    children = []
    for rank in range(2):
        child = os.fork()
        if not child:
            os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank)}
            train_both(out)
            os._exit(0)
        children.append(child)
    sys.exit(max(os.waitpid(child, 0)[1] for child in children) != 0)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
