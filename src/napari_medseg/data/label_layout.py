"""How a label store is laid out on disk: chunks, names, attributes, and arithmetic with boxes.

Format: OME-NGFF 0.5, https://ngff.openmicroscopy.org/0.5/, section "Labels metadata".
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from napari_medseg.structures import Box, MaskClass

#: Key of the attributes that only this package reads.
OWN_KEY = "napari-medseg"


def chunk_shape(shape: Sequence[int]) -> tuple[int, ...]:
    """Chunks for a label image: 512² in a plane, 16 slices of 256² in a volume; never larger than the image."""
    wanted = (512, 512) if len(shape) == 2 else (*[1] * (len(shape) - 3), 16, 256, 256)
    return tuple(max(1, min(n, size)) for n, size in zip(shape, wanted, strict=True))


def lock_path(path: Path) -> Path:
    """The lock of one label store."""
    return path.with_name(path.name + ".lock")


def partial_path(path: Path) -> Path:
    """Where a label store is made before it is complete."""
    return path.with_name(path.name + ".partial")


def own_attributes(path: Path) -> dict[str, Any]:
    """What this package noted in a label store: ``case``, ``from``, ``complete_regions``; empty for foreign ones."""
    try:
        noted = json.loads((path / "zarr.json").read_bytes())["attributes"][OWN_KEY]
    except (OSError, ValueError, KeyError, TypeError):
        # Not a store of this package; whoever reads its pixels says what is wrong with it.
        return {}
    return dict(noted) if isinstance(noted, dict) else {}


def ome_attributes(
    shape: Sequence[int],
    classes: Sequence[MaskClass],
    name: str,
    spacing: Sequence[float] | None,
    units: Sequence[str] | None,
    offset: Sequence[float],
    levels: int = 1,
) -> dict[str, Any]:
    """The ``ome`` attributes of a label.

    Parameters
    ----------
    shape
        ``([z,] y, x)``.
    spacing, units
        Per axis; None where not known.
    offset
        Where the label begins in its image, in pixels of the label.
    levels
        Levels, each of every second row and column of the one before.
    """
    scale = [float(step) for step in spacing] if spacing is not None else [1.0] * len(shape)
    axes = [{"name": axis, "type": "space"} for axis in axis_names(len(shape))]
    if units is not None:
        axes = [{**axis, "unit": unit} for axis, unit in zip(axes, units, strict=True)]
    shift = [start * step for start, step in zip(offset, scale, strict=True)]
    datasets: list[dict[str, Any]] = []
    for level in range(levels):
        steps = [step * 2**level if axis >= len(scale) - 2 else step for axis, step in enumerate(scale)]
        transform: list[dict[str, Any]] = [{"type": "scale", "scale": steps}]
        if any(offset):
            # The same for all levels: a coarser pixel is the first of those that it stands for.
            transform.append({"type": "translation", "translation": shift})
        datasets.append({"path": str(level), "coordinateTransformations": transform})
    label = {
        "colors": [{"label-value": c.value, "rgba": [*bytes.fromhex(c.color[1:]), 255]} for c in classes],
        "properties": [{"label-value": c.value, "name": c.name} for c in classes],
    }
    multiscale = {"name": name, "axes": axes, "datasets": datasets}
    return {"version": "0.5", "multiscales": [multiscale], "image-label": label}


def axis_names(ndim: int) -> tuple[str, ...]:
    """Letters of the axes of a label image."""
    return tuple("tzyx"[-ndim:])


def slices(box: Box) -> tuple[slice, ...]:
    """A box as index."""
    return tuple(slice(start, stop) for start, stop in box)


def relative(inner: Box, outer: Box) -> Box:
    """A box in the coordinates of another one that holds it."""
    return tuple((a - start, b - start) for (a, b), (start, _) in zip(inner, outer, strict=True))
