"""Wall and CPU time of prediction on a large image: the engine, the network alone, and MONAI's sliding window.

Each round runs all of them one after the other, so that a busy machine slows all alike; ratios are medians over rounds
of the ratio within a round. The network is the same, with random weights; all end with uint8 labels in memory. The
engine keeps freed memory while it works (`models.allocator`); the network alone and MONAI get the same here, so that
ratios compare the work around the network, and MONAI is timed without it too, as its users run it.

    python benchmarks/predict_speed.py [--size 4096] [--window 512] [--base-width 16] [--rounds 3]
        [--device cuda]
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch

from napari_medseg.config import NetworkConfig, WindowConfig
from napari_medseg.inference.engine import predict
from napari_medseg.inference.folding import fold_batch_norm
from napari_medseg.inference.predictor import Predictor
from napari_medseg.models.allocator import kept_memory
from napari_medseg.models.building import build_segmenter
from napari_medseg.models.compute import Compute, choose_compute
from napari_medseg.structures import Image, MaskClass

CLASSES = [MaskClass(value=v, name=str(v), color="#0072b2") for v in (1, 2)]
GOALS = {"engine, default / its network": 1.05, "MONAI / engine, default": 1.5}


def normalise(pixels: np.ndarray, _: object) -> np.ndarray:
    return (pixels.astype(np.float32) - 128.0) / 64.0


def make_predictor(network: torch.nn.Module, window: int, windows: WindowConfig) -> Predictor:
    return Predictor(
        window=(window, window),
        multiple=16,
        scale_of=lambda image: (1.0, 1.0),
        prepare=lambda image: None,
        normalise=normalise,
        forward=lambda x: (network(x), None),
        classes=CLASSES,
        tags=(),
        windows=windows,
    )


def network_alone(predictor: Predictor, image: Image, compute: Compute) -> Callable[[], None]:
    """As many forward passes on inputs of the same shape as the engine makes, and nothing else."""
    shapes: list[torch.Size] = []

    def record(values: torch.Tensor) -> tuple[torch.Tensor, None]:
        shapes.append(values.shape)
        return torch.zeros(len(values), len(CLASSES) + 1, *values.shape[2:], device=values.device), None

    predict(
        Predictor(**{name: getattr(predictor, name) for name in Predictor.__slots__} | {"forward": record}),
        image,
        compute=compute,
    )
    batches = [compute.to(torch.randn(shape)) for shape in sorted(set(shapes))]
    plan = [batches[sorted(set(shapes)).index(shape)] for shape in shapes]

    def run() -> None:
        with torch.inference_mode(), compute.autocast():
            for batch in plan:
                logits, _ = predictor.forward(batch)
            logits[0, 0, 0, 0].item()  # a GPU is asked for all of it only when an answer is wanted

    return run


def monai_run(network: torch.nn.Module, pixels: np.ndarray, window: int, compute: Compute) -> Callable[[], None]:
    from monai.inferers import sliding_window_inference

    def run() -> None:
        values = compute.to(torch.from_numpy(normalise(pixels, None)).permute(2, 0, 1)[None])
        with torch.inference_mode(), compute.autocast():
            logits = sliding_window_inference(values, (window, window), 1, network, overlap=0.25, mode="gaussian")
            logits.argmax(dim=1).to(torch.uint8).cpu().numpy()

    return run


def measure(runs: dict[str, Callable[[], None]], rounds: int) -> dict[str, list[tuple[float, float]]]:
    """(wall, CPU) seconds per round and name."""
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            wall, cpu = time.perf_counter(), time.process_time()
            run()
            times[name].append((time.perf_counter() - wall, time.process_time() - cpu))
            print(f"  {name:<32}{times[name][-1][0]:>8.2f} s wall{times[name][-1][1]:>8.2f} s CPU", flush=True)
    return times


def ratio(times: dict[str, list[tuple[float, float]]], above: str, below: str) -> tuple[float, float]:
    """Medians over rounds of the ratio of wall and of CPU time."""
    pairs = list(zip(times[above], times[below], strict=True))
    return tuple(statistics.median(a[k] / b[k] for a, b in pairs) for k in (0, 1))  # type: ignore[return-value]  # two


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--size", type=int, default=4096)
    parser.add_argument("--window", type=int, default=512)
    parser.add_argument("--base-width", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--precision", default=None)
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    compute = choose_compute(arguments.device, arguments.precision)
    print(compute)
    pixels = np.random.default_rng(0).integers(0, 256, (arguments.size, arguments.size, 3), dtype=np.uint8)
    image = Image(levels=(pixels,), axes="yxc", rgb=True)
    plain = build_segmenter(NetworkConfig(base_width=arguments.base_width), 3, len(CLASSES) + 1).eval()
    network = compute.prepare_inference(fold_batch_norm(plain, torch.zeros(1, 3, 64, 64)))
    default = make_predictor(network, arguments.window, WindowConfig())
    gaussian = make_predictor(network, arguments.window, WindowConfig(blend="gaussian", overlap=0.25))
    runs = {
        "network, default windows": network_alone(default, image, compute),
        "engine, default": lambda: predict(default, image, compute=compute),
        "network, gaussian 25 %": network_alone(gaussian, image, compute),
        "engine, gaussian 25 %": lambda: predict(gaussian, image, compute=compute),
        "MONAI, gaussian 25 %": monai_run(network, pixels, arguments.window, compute),
    }
    with kept_memory():
        times = measure(runs, arguments.rounds)
    times |= measure({"MONAI as its users run it": runs["MONAI, gaussian 25 %"]}, arguments.rounds)
    print(f"\n{'ratio':<40}{'wall':>8}{'CPU':>8}")
    for title, above, below in [
        ("engine, default / its network", "engine, default", "network, default windows"),
        ("engine, gaussian 25 % / its network", "engine, gaussian 25 %", "network, gaussian 25 %"),
        ("MONAI / engine, gaussian 25 %", "MONAI, gaussian 25 %", "engine, gaussian 25 %"),
        ("MONAI / engine, default", "MONAI, gaussian 25 %", "engine, default"),
        ("MONAI as its users run it / engine", "MONAI as its users run it", "engine, default"),
    ]:
        wall, cpu = ratio(times, above, below)
        goal = f"   goal {GOALS[title]}" if title in GOALS else ""
        print(f"{title:<40}{wall:>8.3f}{cpu:>8.3f}{goal}")


if __name__ == "__main__":
    main()
