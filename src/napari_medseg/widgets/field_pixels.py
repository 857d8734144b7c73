"""The pixels of image layers as labels over them see them: at the labels' own resolution, or a coarser one."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from napari.layers import Image, Labels

from napari_medseg.io.halving import halved_by_mean
from napari_medseg.structures import Box
from napari_medseg.widgets.volume_pixels import pixels_of


class FieldPixels:
    """Reads the picture under the labels of a case, also from a thread.

    Parameters
    ----------
    images
        Layers of one image: one of grey or colours, or one per channel.
    labels
        Over them, with pixels of the same or a larger size. Where they lie is read now.
    """

    def __init__(self, images: Sequence[Image], labels: Labels) -> None:
        self._images = tuple(images)
        image = images[0]
        steps = np.asarray(image.scale[-2:])
        #: Image pixels per pixel of the labels, and the place of the labels' first pixel, along y and x.
        self._ratio = np.asarray(labels.scale[-2:]) / steps
        self._origin = (np.asarray(labels.translate[-2:]) - image.translate[-2:]) / steps

    def read(self, box: Box, step: int) -> npt.NDArray[Any]:
        """One slice: (y, x), or (y, x, colour).

        Parameters
        ----------
        box
            In pixels of the labels; one wide along all axes but the last two.
        step
            Every so many rows and columns are wanted, from the box's first.
        """
        planes = [self._plane(image, box, step) for image in self._images]
        return planes[0] if len(planes) == 1 else np.stack(planes, axis=-1)

    def _plane(self, image: Image, box: Box, step: int) -> npt.NDArray[Any]:
        wanted = float(self._ratio.min()) * step
        read, down = _level(image, wanted)
        lead = tuple(start for start, _ in box[:-2])
        places = []
        for axis, (start, stop) in enumerate(box[-2:]):
            centres = np.arange(start, stop, step) + (step - 1) / 2
            on_image = self._origin[axis] + self._ratio[axis] * centres
            places.append(np.floor((on_image + 0.5) / down[axis]).astype(np.intp))
        # What is still too fine is averaged, not left out.
        halvings = max(0, math.floor(math.log2(wanted / max(down) + 1e-6)))
        size = 2**halvings
        first = [max(int(place[0]), 0) // size * size for place in places]
        last = [int(place[-1]) // size * size + size for place in places]
        pixels = read((*lead, *(slice(a, b) for a, b in zip(first, last, strict=True))))
        if image.rgb:
            pixels = np.moveaxis(pixels[..., :3], -1, 0)
        for _ in range(halvings):
            pixels = halved_by_mean(pixels)
        rows, columns = (
            np.clip((place - a) // size, 0, n - 1) for place, a, n in zip(places, first, pixels.shape[-2:], strict=True)
        )
        found = pixels[..., rows[:, np.newaxis], columns]
        return np.moveaxis(found, 0, -1) if image.rgb else found


def _level(image: Image, wanted: float) -> tuple[Callable[[tuple[Any, ...]], npt.NDArray[Any]], tuple[float, float]]:
    """Reads the coarsest level that is still fine enough; how many of the finest pixels one of its pixels covers."""
    if not image.multiscale:
        return pixels_of(image).part, (1.0, 1.0)
    sides = slice(-3, -1) if image.rgb else slice(-2, None)
    full = image.data[0].shape[sides]
    downs = [tuple(n / m for n, m in zip(full, level.shape[sides], strict=True)) for level in image.data]
    fitting = [i for i, down in enumerate(downs) if max(down) <= 1.02 * wanted]
    chosen = fitting[-1] if fitting else 0
    pixels = image.data[chosen]
    return lambda place: np.asarray(pixels[place]), (float(downs[chosen][0]), float(downs[chosen][1]))
