"""Slides: reading beside the bare JPEG decoder, opening and panning, prediction beside its bare network and others.

Each way runs in a process of its own on the same generated slide (JPEG tiles of 256 pixels, levels four apart, as
Aperio's scanners store them). Ratios compare what ran one after the other. Peers that are not installed here run with
the interpreter that `--peer-python` names, or are left out.

    xvfb-run -a python benchmarks/slides.py [--small] [--peer-python PATH] [--folder DIR] [--only scan open predict]
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

#: Rows and columns of the slide, and the side of the block at its finest level that is scanned.
SIZES = {"full": ((30_000, 40_000), 12_288), "small": ((7_000, 9_000), 4096)}
SHARE = 0.08
CANVAS = (800, 1000)
JUMPS, PANS, PAN = 20, 40, 150
OPENERS = {"ours": "napari-medseg", "openslide": "OpenSlide", "zarr": "tifffile's zarr store"}


def peak() -> float:
    """Megabytes that this process ever held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def timed(work: Callable[[], object]) -> dict[str, float]:
    """Seconds of the clock and of processors."""
    start, busy = time.perf_counter(), time.process_time()
    work()
    return {"wall": time.perf_counter() - start, "cpu": time.process_time() - busy}


def scan(path: Path, side: int) -> dict[str, dict[str, float]]:
    """Medians of three rounds: every tile of a block decoded, read by this package and by OpenSlide.

    All three use as many threads as this package does, and whole tiles.
    """
    import imagecodecs
    import tifffile
    from openslide import OpenSlide

    from napari_medseg.io import read
    from napari_medseg.io.slide.threads import num_threads

    step = 1024
    corners = [(y, x) for y in range(0, side, step) for x in range(0, side, step)]
    with tifffile.TiffFile(path) as file:
        page = file.pages.first
        across = -(-page.imagewidth // page.tilewidth)
        indices = [i * across + j for i in range(side // page.tilelength) for j in range(side // page.tilewidth)]
        places = [(page.dataoffsets[i], page.databytecounts[i]) for i in indices]
    slide = OpenSlide(path)

    def decode() -> None:
        with path.open("rb") as stored, ThreadPoolExecutor(num_threads()) as pool:

            def parts() -> list[list[bytes]]:
                found = []
                for offset, count in places:
                    stored.seek(offset)
                    found.append(stored.read(count))
                return [found[start : start + 16] for start in range(0, len(found), 16)]

            list(pool.map(lambda part: [imagecodecs.jpeg_decode(tile) for tile in part], parts()))

    def ours() -> None:
        level = read(path).levels[0]
        for y, x in corners:
            level[y : y + step, x : x + step]

    def theirs() -> None:
        def load(corner: tuple[int, int]) -> object:
            return np.asarray(slide.read_region(corner[::-1], 0, (step, step)))

        with ThreadPoolExecutor(num_threads()) as pool:
            list(pool.map(load, corners))

    rounds = [{"decode": timed(decode), "ours": timed(ours), "openslide": timed(theirs)} for _ in range(3)]
    names = rounds[0]
    return {way: {key: median(r[way][key] for r in rounds) for key in ("wall", "cpu")} for way in names}


class OpenSlideLevel:
    """What napari needs of an array, from OpenSlide."""

    def __init__(self, slide: Any, level: int) -> None:
        width, height = slide.level_dimensions[level]
        self.shape, self.dtype, self.ndim, self.size = (height, width, 3), np.dtype(np.uint8), 3, height * width * 3
        self._slide, self._level, self._factor = slide, level, slide.level_downsamples[level]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return self[:, :]

    def __getitem__(self, key: Any) -> np.ndarray:
        key = key if isinstance(key, tuple) else (key,)
        (y0, y1, _), (x0, x1, _) = (part.indices(n) for part, n in zip(key, self.shape[:2], strict=False))
        place = round(x0 * self._factor), round(y0 * self._factor)
        pixels = self._slide.read_region(place, self._level, (x1 - x0, y1 - y0)).convert("RGB")
        return np.asarray(pixels)[(..., *key[2:])]


def layer_of(way: str, path: Path) -> tuple[Any, dict[str, Any]]:
    """What napari is given."""
    if way == "ours":
        from napari_medseg.hooks import image_layers
        from napari_medseg.io import read

        ((data, keywords, _),) = image_layers(read(path))
        return data, keywords
    keywords: dict[str, Any] = {"rgb": True, "contrast_limits": (0, 255), "multiscale": True}
    if way == "openslide":
        from openslide import OpenSlide

        slide = OpenSlide(path)
        return [OpenSlideLevel(slide, level) for level in range(slide.level_count)], keywords
    import tifffile
    import zarr

    with tifffile.TiffFile(path) as file:
        count = len(file.series[0].levels)
    levels = [zarr.open_array(tifffile.imread(path, aszarr=True, level=level), mode="r") for level in range(count)]
    return levels, keywords


def opening(way: str, path: Path) -> dict[str, float]:
    """Seconds to the first picture, per jump to another place and per pan at full resolution; megabytes.

    Of jumps and pans also the seconds for which the window's own thread was busy, whatever else the machine did.
    """
    import napari
    import openslide  # noqa: F401 - so that nobody's clock counts imports
    import tifffile  # noqa: F401
    import zarr  # noqa: F401
    from qtpy.QtWidgets import QApplication

    import napari_medseg.hooks  # noqa: F401

    def shown() -> None:
        QApplication.processEvents()
        viewer.screenshot(canvas_only=True, flash=False)

    def move(centre: np.ndarray) -> tuple[float, float]:
        start, busy = time.perf_counter(), time.thread_time()
        viewer.scene.camera.center = tuple(centre)
        shown()
        return time.perf_counter() - start, time.thread_time() - busy

    viewer = napari.Viewer(show=True)
    viewer.window.resize(*reversed(CANVAS))
    viewer.add_image(np.zeros((16, 16, 3), np.uint8), rgb=True)
    shown()
    idle = median(timed(shown)["wall"] for _ in range(10))
    viewer.layers.clear()
    before = peak()
    start = time.perf_counter()
    data, keywords = layer_of(way, path)
    layer = viewer.add_image(data, **keywords)
    viewer.reset_view()
    shown()
    first = time.perf_counter() - start
    pixel = float(layer.scale[0])
    extent = layer.extent.world[1] - layer.extent.world[0]
    rng = np.random.default_rng(0)
    viewer.scene.camera.zoom = 1 / pixel
    jumps = [move(place * extent) for place in rng.uniform(0.1, 0.9, (JUMPS, 2))]
    steps = np.cumsum(PAN * pixel * rng.choice([-1, 1], 2) * np.ones((PANS, 2)), axis=0)
    pans = [move(extent / 2 + step) for step in steps]
    found = {"first": first, "idle": idle, "megabytes": peak() - before}
    for name, moves in (("jump", jumps), ("pan", pans)):
        seconds, busy = zip(*moves, strict=True)
        found |= {name: median(seconds), f"{name}_p95": float(np.quantile(seconds, 0.95))}
        found[f"{name}_cpu"] = float(np.quantile(busy, 0.95))
    viewer.close()
    return found


def predicting(path: Path, threads: int) -> dict[str, float]:
    """One slide predicted, then the network alone on inputs of the same shapes."""
    import torch
    from slide_peers import CLASSES, MPP, WINDOW, network

    from napari_medseg import api
    from napari_medseg.config import WindowConfig
    from napari_medseg.data.synthetic_slide import CLASSES as KINDS
    from napari_medseg.inference.predictor import Predictor
    from napari_medseg.models.allocator import kept_memory
    from napari_medseg.models.compute import Compute

    compute = Compute(device="cpu", precision="fp32", channels_last=False, threads=threads)
    compute.activate()
    model, shapes = network(), []

    def forward(values: torch.Tensor) -> tuple[torch.Tensor, None]:
        shapes.append(tuple(values.shape))
        return model(values), None

    predictor = Predictor(
        window=(WINDOW, WINDOW),
        multiple=4,
        scale_of=lambda image: tuple(s / MPP for s in image.spacing or ()),
        prepare=lambda image: None,
        normalise=lambda pixels, _: pixels.astype(np.float32) / 255,
        forward=forward,
        classes=KINDS[: CLASSES - 1],
        tags=(),
        windows=WindowConfig(),
    )
    with torch.inference_mode():
        model(torch.zeros(1, 3, WINDOW, WINDOW))
    loaded = api.load_model(api.bundled_model("pathology"), device="cpu", precision="fp32", threads=threads)
    loaded = replace(loaded, predictor=predictor, compute=compute)
    before = peak()
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        found = timed(lambda: api.predict_slide(loaded, api.read(path), folder))
    grown, plan = peak() - before, list(shapes)
    inputs = {shape: torch.rand(shape) for shape in set(plan)}

    def alone() -> None:
        with torch.inference_mode(), kept_memory():
            for shape in plan:
                model(inputs[shape])

    bare = timed(alone)
    pixels = sum(shape[0] * shape[2] * shape[3] for shape in plan) / 1e6
    return {**found, "megabytes": grown, "forward": bare["wall"], "forward_cpu": bare["cpu"], "pixels": pixels}


def run(command: list[str]) -> dict[str, Any] | None:
    """The JSON that a program prints last; None, and its last line, where it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        print(f"left out: {' '.join(command[1:3])}: {(done.stderr.splitlines() or [''])[-1]}", file=sys.stderr)
        return None
    return json.loads(done.stdout.splitlines()[-1])  # type: ignore[no-any-return]  # an object is printed


def table(*rows: tuple[object, ...]) -> None:
    print("| " + " | ".join(str(cell) for cell in rows[0]) + " |")
    print("| " + " | ".join("---" for _ in rows[0]) + " |")
    for row in rows[1:]:
        print("| " + " | ".join(f"{cell:.2f}" if isinstance(cell, float) else str(cell) for cell in row) + " |")
    print(flush=True)


def tell_scan(path: Path, side: int) -> None:
    found = run([sys.executable, __file__, "--measure", "scan", str(path), str(side)])
    assert found is not None, "reading needs OpenSlide beside this package"
    names = {"decode": "JPEG decoder alone", "ours": "napari-medseg", "openslide": "OpenSlide"}
    size, ours = side**2 * 3 / 1e6, found["ours"]
    rows = [
        (names[way], size / f["wall"], size / f["cpu"], f["wall"] / ours["wall"], f["cpu"] / ours["cpu"])
        for way, f in found.items()
    ]
    table(("every tile read", "MB/s", "MB per CPU s", "time / ours", "CPU / ours"), *rows)


def tell_opening(path: Path) -> None:
    keys = ["first", "jump", "jump_p95", "jump_cpu", "pan", "pan_p95", "pan_cpu", "idle"]
    rows = []
    for way, name in OPENERS.items():
        found = run([sys.executable, __file__, "--measure", "open", str(path), way])
        if found is not None:
            cells = [f"{1000 * found[key]:.0f} ms" for key in keys]
            rows.append((name, *cells, f"{found['megabytes']:.0f} MB"))
    heads: list[str] = ["first picture"]
    for move in ("jump", f"pan by {PAN} pixels"):
        heads += [f"{move}, median", "95 %", "its CPU, 95 %"]
    heads += ["empty window drawn", "memory"]
    table(("slide in napari", *heads), *rows)


def tell_predicting(path: Path, threads: int, peer_python: str) -> None:
    ours = run([sys.executable, __file__, "--threads", str(threads), "--measure", "predict", str(path), ""])
    assert ours is not None, "prediction failed"
    rows: list[tuple[object, ...]] = [
        ("its network alone", ours["forward"], ours["forward_cpu"], 1.0, 1.0, ""),
        ("napari-medseg", ours["wall"], ours["cpu"], *ratios(ours, ours), f"{ours['megabytes']:.0f}"),
    ]
    peers = Path(__file__).with_name("slide_peers.py")
    for peer, python in (("monai", sys.executable), ("tiatoolbox", peer_python)):
        found = run([python, str(peers), peer, str(path), "--threads", str(threads)])
        if found is not None:
            rows.append((peer, found["wall"], found["cpu"], *ratios(found, ours), f"{found['megabytes']:.0f}"))
    title = f"{ours['pixels']:.0f} megapixels of windows, {threads} threads"
    table((title, "wall s", "CPU s", "wall / network", "CPU / network", "MB above the model"), *rows)


def ratios(found: dict[str, float], ours: dict[str, float]) -> tuple[float, float]:
    return found["wall"] / ours["forward"], found["cpu"] / ours["forward_cpu"]


def main() -> None:
    from napari_medseg.data.synthetic_slide import write_slide

    parser = argparse.ArgumentParser()
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--peer-python", default=sys.executable, help="interpreter that has tiatoolbox")
    parser.add_argument("--folder", type=Path)
    parts = ["scan", "open", "predict"]
    parser.add_argument("--only", nargs="+", choices=parts, default=parts)
    parser.add_argument("--measure", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        what, path, more = arguments.measure
        if what == "scan":
            found: Any = scan(Path(path), int(more))
        else:
            found = opening(more, Path(path)) if what == "open" else predicting(Path(path), arguments.threads)
        print(json.dumps(found))
        return
    shape, side = SIZES["small" if arguments.small else "full"]
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        path = Path(folder) / "slide.svs"
        write_slide(path, shape, share=SHARE)
        print(f"{shape[1]} × {shape[0]} pixels, {path.stat().st_size / 2**20:.0f} MB\n")
        if "scan" in arguments.only:
            tell_scan(path, side)
        if "open" in arguments.only:
            tell_opening(path)
        if "predict" in arguments.only:
            tell_predicting(path, arguments.threads, arguments.peer_python)


if __name__ == "__main__":
    main()
