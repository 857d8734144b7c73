"""Peak memory of prediction from zarr to zarr, on 4k x 4k and 16k x 16k pixels, each in its own process.

python benchmarks/predict_memory.py [--small 4096] [--large 16384] [--probabilities] [--folder DIR]
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import zarr

CHUNK = 1024
GOAL_MB = 300


def make_image(path: Path, size: int) -> None:
    """An RGB zarr image of repeated noise, which compresses to little."""
    array = zarr.create_array(path, shape=(size, size, 3), chunks=(CHUNK, CHUNK, 3), dtype="u1")
    block = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    tile = np.tile(block, (CHUNK // 16, CHUNK // 16, 1))
    for y in range(0, size, CHUNK):
        for x in range(0, size, CHUNK):
            array[y : y + CHUNK, x : x + CHUNK] = tile


def run_one(folder: Path, size: int, probabilities: bool) -> None:
    """Predict in this process and print the peak resident memory in MB."""
    import torch

    from napari_medseg.config import WindowConfig
    from napari_medseg.inference.engine import predict
    from napari_medseg.inference.predictor import Predictor
    from napari_medseg.structures import Image, MaskClass

    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3, padding=1), torch.nn.ReLU(), torch.nn.Conv2d(8, 3, 1)).eval()
    predictor = Predictor(
        window=(512, 512),
        multiple=16,
        scale_of=lambda image: (1.0, 1.0),
        prepare=lambda image: None,
        normalise=lambda pixels, _: pixels.astype(np.float32) / 255,
        forward=lambda values: (network(values), None),
        classes=[MaskClass(value=v, name=str(v), color="#0072b2") for v in (1, 2)],
        tags=(),
        windows=WindowConfig(),
    )
    image = Image(levels=(zarr.open_array(folder / f"{size}.zarr", mode="r"),), axes="yxc", rgb=True)
    out = zarr.create_array(folder / f"{size}-labels.zarr", shape=(size, size), chunks=(CHUNK, CHUNK), dtype="u1")
    shares = None
    if probabilities:
        chunks = (1, CHUNK // 4, CHUNK)
        shares = zarr.create_array(folder / f"{size}-shares.zarr", shape=(3, size, size), chunks=chunks, dtype="f2")
    predict(predictor, image, out=out, probabilities_out=shares)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--small", type=int, default=4096)
    parser.add_argument("--large", type=int, default=16384)
    parser.add_argument("--probabilities", action="store_true", help="write probabilities as well")
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        run_one(arguments.folder, arguments.one, arguments.probabilities)
        return
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        peaks = []
        for size in (arguments.small, arguments.large):
            make_image(Path(folder) / f"{size}.zarr", size)
            command = [sys.executable, __file__, "--folder", folder, "--one", str(size)]
            command += ["--probabilities"] if arguments.probabilities else []
            start = time.perf_counter()
            peaks.append(float(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
            print(f"{size:>6} x {size:<6} peak {peaks[-1]:>7.0f} MB   {time.perf_counter() - start:.1f} s", flush=True)
        print(f"growth {peaks[1] - peaks[0]:.0f} MB   goal < {GOAL_MB}")


if __name__ == "__main__":
    main()
