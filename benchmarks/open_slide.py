"""How soon a slide is on the screen, beside OpenSlide and tifffile's zarr: first picture, jumps, memory.

Writes a generated slide (JPEG tiles of 256 pixels, levels four apart, as Aperio's scanners store them; or its finest
level alone), then shows it in napari in a process of its own per way. The three differ only in the arrays that napari
gets. OpenSlide is asked for the block that napari wants; tifffile's zarr store is handed over as it is.

    xvfb-run -a python benchmarks/open_slide.py --side 40000
    xvfb-run -a python benchmarks/open_slide.py --side 40000 --levels 1 --ways ours
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from napari_medseg.data.synthetic_slide import write_slide

WAYS = {"ours": "napari-medseg", "openslide": "OpenSlide", "zarr": "tifffile's zarr store"}
JUMPS = 20
TIMES = ("jump", "jump_p95", "jump_cpu")
CANVAS = (800, 1000)


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
    if way == "ours":
        from napari_medseg.hooks import image_layers
        from napari_medseg.io import read

        ((data, keywords, _),) = image_layers(read(path))
        return data, keywords
    keywords = {"rgb": True, "contrast_limits": (0, 255)}
    if way == "openslide":
        from openslide import OpenSlide

        slide = OpenSlide(path)
        levels: list[Any] = [OpenSlideLevel(slide, level) for level in range(slide.level_count)]
    else:
        import tifffile
        import zarr

        with tifffile.TiffFile(path) as file:
            count = len(file.series[0].levels)
        levels = [zarr.open_array(tifffile.imread(path, aszarr=True, level=level), mode="r") for level in range(count)]
    return (levels, keywords | {"multiscale": True}) if len(levels) > 1 else (levels[0], keywords)


def measure(way: str, path: Path) -> dict[str, float]:
    """Seconds to the first picture and per jump, CPU seconds per jump, bytes above an empty window."""
    import napari
    import openslide  # noqa: F401 - so that nobody's clock counts imports
    import tifffile  # noqa: F401
    import zarr  # noqa: F401
    from qtpy.QtWidgets import QApplication

    import napari_medseg.hooks  # noqa: F401

    def shown() -> None:
        QApplication.processEvents()
        viewer.screenshot(canvas_only=True, flash=False)

    viewer = napari.Viewer(show=True)
    viewer.window.resize(*reversed(CANVAS))
    viewer.add_image(np.zeros((16, 16, 3), np.uint8), rgb=True)
    shown()
    viewer.layers.clear()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    data, keywords = layer_of(way, path)
    layer = viewer.add_image(data, **keywords)
    viewer.reset_view()
    shown()
    first = time.perf_counter() - start
    places = np.random.default_rng(0).uniform(0.1, 0.9, (JUMPS, 2))
    seconds, cpu = [], []
    for place in places:
        start, busy = time.perf_counter(), time.process_time()
        viewer.scene.camera.zoom = 1 / float(layer.scale[0])
        viewer.scene.camera.center = tuple(place * (layer.extent.world[1] - layer.extent.world[0]))
        shown()
        seconds.append(time.perf_counter() - start)
        cpu.append(time.process_time() - busy)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    viewer.close()
    jump = {"jump": float(np.median(seconds)), "jump_p95": float(np.quantile(seconds, 0.95))}
    return {"first": first, **jump, "jump_cpu": float(np.median(cpu)), "megabytes": (peak - before) / 1024}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--side", type=int, default=40_000)
    parser.add_argument("--levels", type=int, default=4)
    parser.add_argument("--ways", nargs="+", choices=list(WAYS), default=list(WAYS))
    parser.add_argument("--measure", nargs=2, metavar=("WAY", "FILE"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.measure:
        print(json.dumps(measure(args.measure[0], Path(args.measure[1]))))
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "slide.svs"
        write_slide(path, (args.side, args.side), levels=args.levels, share=0.4)
        size = path.stat().st_size / 2**20
        print(
            f"| {args.side} × {args.side}, {args.levels} level(s), {size:.0f} MB | first picture | jump, median "
            "| jump, 95 % | CPU per jump | memory above an empty window |"
        )
        print("| --- | --- | --- | --- | --- | --- |")
        for way in args.ways:
            command = [sys.executable, __file__, "--measure", way, str(path)]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
            found = json.loads(done.stdout.splitlines()[-1])
            cells = [f"{found['first']:.2f} s", *(f"{found[key] * 1000:.0f} ms" for key in TIMES)]
            print(f"| {WAYS[way]} | {' | '.join(cells)} | {found['megabytes']:.0f} MB |", flush=True)


if __name__ == "__main__":
    main()
