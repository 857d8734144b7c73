"""What all sources of ultrasound frames share: the form that everything behind the reader expects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from napari_medseg.io.lazy import LazyArray
from napari_medseg.io.oct.normalizing import in_millimeters
from napari_medseg.io.ultrasound.doppler import has_color_doppler
from napari_medseg.io.ultrasound.header import spacing_of_frames
from napari_medseg.structures import Image, UltrasoundScan

_FLOW = "Flow is painted in colours over the grey picture (colour Doppler): models that see grey see it as bright."


def cine_image(
    path: Path, frames: LazyArray, scan: UltrasoundScan, step: tuple[float, float] | None, warnings: Sequence[str]
) -> Image:
    """Frames as an image of kind ``"ultrasound"``.

    Parameters
    ----------
    frames
        (t, y, x) or (t, y, x, rgb).
    scan
        What the machine tells; whether there is flow is added, as the middle frame shows it.
    step
        Millimetres per pixel along (y, x); None where it is not known.

    Returns
    -------
    image of axes ``"tyx"``, with ``"c"`` where it has colours; a single frame has no ``"t"``
    """
    is_colored = len(frames.shape) == 4
    axes = "tyxc" if is_colored else "tyx"
    if frames.shape[0] == 1:
        frames, axes, scan = frames.take(0, axis=0), axes[1:], replace(scan, frame_ms=None)
    spacing, units = spacing_of_frames(axes, scan.frame_ms, step)
    image = Image(
        levels=(frames,),
        axes=axes,
        spacing=spacing,
        units=units,
        kind="ultrasound",
        name=path.stem,
        path=path,
        channels=("red", "green", "blue") if is_colored else (),
        rgb=is_colored,
        warnings=tuple(warnings),
        ultrasound=scan,
    )
    return _with_flow(image, scan)


def as_ultrasound(image: Image) -> Image:
    """Any image that a person calls ultrasound: frames of a stack without distances are frames in time.

    Spacing in any unit of length becomes millimetres, and flow is looked for.
    """
    if image.ultrasound is not None:
        return image
    if "z" in image.axes and "t" not in image.axes and image.spacing is None:
        image = replace(image, axes=image.axes.replace("z", "t"))
    return _with_flow(in_millimeters(image), UltrasoundScan())


def _with_flow(image: Image, scan: UltrasoundScan) -> Image:
    if not image.rgb:
        return replace(image, ultrasound=scan)
    pixels = image.data
    flows = has_color_doppler(np.asarray(pixels[pixels.shape[0] // 2] if "t" in image.axes else pixels[...]))
    warnings = (*image.warnings, *([_FLOW] if flows else []))
    return replace(image, ultrasound=replace(scan, color_doppler=flows), warnings=warnings)
