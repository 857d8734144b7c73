"""The network that benchmarks/slides.py predicts slides with, and the same prediction as other packages do it.

Imports neither napari-medseg nor napari, so that it runs in an environment of its own where a peer's pins clash:

    python benchmarks/slide_peers.py monai slide.svs
    python benchmarks/slide_peers.py tiatoolbox slide.svs
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional

WINDOW, OVERLAP, CLASSES, MPP = 512, 64, 3, 0.5
WIDTHS = (16, 32, 64)


def block(before: int, after: int) -> nn.Sequential:
    first, second = (nn.Conv2d(n, after, 3, padding=1) for n in (before, after))
    return nn.Sequential(first, nn.ReLU(inplace=True), second, nn.ReLU(inplace=True))


class SmallUNet(nn.Module):
    """U-Net with two downsamplings and 0.1 million fixed weights: RGB (b, 3, y, x) of 0..1 to logits (b, 3, y, x)."""

    def __init__(self) -> None:
        super().__init__()
        first, second, third = WIDTHS
        self.down = nn.ModuleList([block(3, first), block(first, second), block(second, third)])
        self.up = nn.ModuleList([block(third + second, second), block(second + first, first)])
        self.head = nn.Conv2d(first, CLASSES, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found = [self.down[0](x)]
        for stage in self.down[1:]:
            found.append(stage(functional.max_pool2d(found[-1], 2)))
        x = found.pop()
        for stage in self.up:
            finer = found.pop()
            x = stage(torch.cat([functional.interpolate(x, scale_factor=2.0), finer], dim=1))
        return self.head(x)


def network() -> SmallUNet:
    torch.manual_seed(0)
    return SmallUNet().eval().requires_grad_(False)


def tissue_of(slide: object, side: int = 64) -> np.ndarray:
    """Where a small picture of a slide is not glass."""
    small = slide.get_thumbnail([n // side for n in slide.dimensions])  # type: ignore[attr-defined]  # OpenSlide's
    return np.asarray(small.convert("L")) < 235


def with_monai(path: Path, folder: Path) -> None:
    """Windows of tissue are read at the finest level, halved, run, and averaged into a zarr array."""
    import openslide
    from monai.inferers import PatchInferer, WSISlidingWindowSplitter, ZarrAvgMerger

    side = round(WINDOW * MPP / 0.25)
    mask = tissue_of(openslide.OpenSlide(path))

    def is_tissue(patch: object, place: tuple[int, int]) -> bool:
        y, x = (int(v) // 64 for v in place)
        return bool(mask[y : y + side // 64 + 1, x : x + side // 64 + 1].any())

    splitter = WSISlidingWindowSplitter(
        patch_size=side, overlap=OVERLAP / WINDOW, filter_fn=is_tissue, reader="OpenSlide", level=0
    )
    inferer = PatchInferer(
        splitter=splitter,
        merger_cls=ZarrAvgMerger,
        preprocessing=lambda patch: functional.avg_pool2d(patch.float() / 255, 2),
        store=str(folder / "merged.zarr"),
    )
    with torch.inference_mode():
        inferer([str(path)], network())


def with_tiatoolbox(path: Path, folder: Path) -> None:
    from tiatoolbox.models.engine.io_config import IOSegmentorConfig
    from tiatoolbox.models.engine.semantic_segmentor import SemanticSegmentor
    from tiatoolbox.models.models_abc import ModelABC

    class Wrapped(ModelABC):
        def __init__(self) -> None:
            super().__init__()
            self.network = network()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.network(x)

        @staticmethod
        def infer_batch(model: nn.Module, batch: torch.Tensor, *, device: str) -> np.ndarray:
            with torch.inference_mode():
                logits = model(batch.to(device).permute(0, 3, 1, 2).float() / 255)
            return torch.softmax(logits, dim=1).permute(0, 2, 3, 1).cpu().numpy()

    resolution = {"units": "mpp", "resolution": MPP}
    config = IOSegmentorConfig(
        input_resolutions=[resolution],
        output_resolutions=[resolution],
        save_resolution=resolution,
        patch_input_shape=(WINDOW, WINDOW),
        patch_output_shape=(WINDOW, WINDOW),
        stride_shape=(WINDOW - OVERLAP, WINDOW - OVERLAP),
    )
    segmentor = SemanticSegmentor(model=Wrapped(), batch_size=1, num_workers=0, verbose=False)
    segmentor.run(
        images=[path],
        patch_mode=False,
        ioconfig=config,
        auto_get_mask=True,
        device="cpu",
        output_type="zarr",
        save_dir=folder / "out",
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("peer", choices=["monai", "tiatoolbox"])
    parser.add_argument("slide", type=Path)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    network()(torch.zeros(1, 3, WINDOW, WINDOW))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    started, busy = time.perf_counter(), time.process_time()
    with tempfile.TemporaryDirectory(dir=arguments.slide.parent) as folder:
        (with_monai if arguments.peer == "monai" else with_tiatoolbox)(arguments.slide, Path(folder))
    found = {"wall": time.perf_counter() - started, "cpu": time.process_time() - busy}
    print(json.dumps(found | {"megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 - before}))


if __name__ == "__main__":
    main()
