"""Tests that need a CUDA device; they skip elsewhere."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from napari_medseg.models.compute import Compute, choose_compute


@pytest.fixture(autouse=True)
def _needs_cuda() -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device is here")


@pytest.fixture
def cuda() -> Iterator[Compute]:
    """The first CUDA device in 32 bits, without the shortened products that would hide differences from the CPU."""
    kept = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    compute = choose_compute("cuda", "fp32", threads=2)
    compute.activate()
    yield compute
    torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = kept
