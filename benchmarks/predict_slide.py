"""A slide predicted as `predict` does it, against a plain loop with the same network: speed, peak memory, time.

The slide is generated: pyramidal JPEG tiles with islands of tissue on glass. The plain loop reads windows
side by side, without tissue mask, overlap and blending, and keeps the labels in memory. Each runs in a process of its
own.

python benchmarks/predict_slide.py [--sides 8192 16384] [--model FILE] [--threads 1] [--folder DIR]
"""

from __future__ import annotations

import argparse
import json
import math
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from napari_medseg.data.synthetic_slide import write_slide


def run_one(way: str, slide: Path, model: Path, threads: int) -> dict[str, Any]:
    """Predict in this process; figures of the run."""
    from napari_medseg import api

    loaded = api.load_model(model, device="cpu", threads=threads)
    image = api.read(slide)
    before = _peak_mb()
    started = time.perf_counter()
    if way == "predict":
        from napari_medseg.api.slides import predict_slide

        with tempfile.TemporaryDirectory(dir=slide.parent) as folder:
            done = predict_slide(loaded, image, folder)
        pixels, seconds = done.windows * math.prod(loaded.predictor.window), done.seconds
    else:
        pixels, seconds = _plain_loop(loaded, image)
    wall = time.perf_counter() - started
    return {"wall": wall, "pixels": pixels, "peak": _peak_mb(), "before": before, "seconds": seconds}


def _plain_loop(loaded: Any, image: Any) -> tuple[int, dict[str, float]]:
    import torch

    from napari_medseg.data.resampling import WindowReader, choose_level, working_shape

    predictor, compute = loaded.predictor, loaded.compute
    prepared, side = predictor.prepare(image), predictor.window[0]
    shape = working_shape(image, predictor.scale_of(image))
    reader = WindowReader(image, shape, choose_level(image, shape))
    labels = np.zeros(shape, np.uint8)
    seconds = {"read": 0.0, "network": 0.0, "write": 0.0}
    pixels = 0
    with torch.inference_mode():
        for y in range(0, shape[0] - side + 1, side):
            for x in range(0, shape[1] - side + 1, side):
                times = [time.perf_counter()]
                window = reader.read(((y, y + side), (x, x + side)))
                values = torch.from_numpy(np.ascontiguousarray(predictor.normalise(window, prepared), np.float32)[None])
                times.append(time.perf_counter())
                with compute.autocast():
                    logits, _ = predictor.forward(compute.to(values))
                times.append(time.perf_counter())
                labels[y : y + side, x : x + side] = logits[0].argmax(dim=0).numpy()
                times.append(time.perf_counter())
                for part, spent in zip(seconds, np.diff(times), strict=True):
                    seconds[part] += float(spent)
                pixels += side**2
    return pixels, seconds


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Run both ways on each size and print a table."""
    from napari_medseg import api

    parser = argparse.ArgumentParser()
    parser.add_argument("--sides", type=int, nargs="+", default=[8192, 16384])
    parser.add_argument("--model", type=Path, default=api.bundled_model("pathology"))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--one", nargs=2, metavar=("WAY", "SLIDE"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        way, slide = arguments.one
        print(json.dumps(run_one(way, Path(slide), arguments.model, arguments.threads)))
        return
    print(
        "| side | way | wall s | slide MP/s | network MP/s | read s | network s | write s | tables s | MB above model |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        for side in arguments.sides:
            slide = Path(folder) / f"{side}.tif"
            write_slide(slide, (side, side), mpp=0.5)
            for way in ("plain loop", "predict"):
                command = [sys.executable, __file__, "--model", str(arguments.model)]
                command += ["--threads", str(arguments.threads), "--one", way, str(slide)]
                found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
                parts = [f"{found['seconds'].get(part, 0.0):.1f}" for part in ("read", "network", "write", "tables")]
                speeds = [side**2 / found["wall"] / 1e6, found["pixels"] / found["seconds"]["network"] / 1e6]
                cells = [f"{found['wall']:.1f}", *(f"{s:.2f}" for s in speeds), *parts]
                cells.append(f"{found['peak'] - found['before']:.0f}")
                print("| " + " | ".join([str(side), way, *cells]) + " |", flush=True)


if __name__ == "__main__":
    main()
