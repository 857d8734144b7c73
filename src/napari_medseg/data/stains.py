"""Colours of stained tissue brought to a reference: they differ between laboratories and scanners.

M. Macenko et al., "A method for normalizing histology slides for quantitative analysis", ISBI 2009, 1107-1110: the
optical densities of tissue lie near a plane, whose extreme directions are the colours of both stains. A slide is looked
at once; every pixel of it is then mapped by the same 3 x 3 matrix, so that neighbouring tiles agree.
"""

from __future__ import annotations

import threading
import weakref
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_medseg.data.intensity import Intensity, Range, image_range, sample_pixels, stretch
from napari_medseg.data.slide_places import tissue_pixels
from napari_medseg.data.tissue import find_tissue
from napari_medseg.io.slide.facts import is_slide
from napari_medseg.structures import Image

Floats = npt.NDArray[np.float32]
Matrix = npt.NDArray[np.float64]

#: The stains that slides are brought to, haematoxylin and eosin: unit vectors of optical density (red, green, blue),
#: and how dense their 99th percentile is. Figures of the authors' own example, in natural logarithms.
REFERENCE = ((0.5626, 0.7201, 0.4062), (0.2159, 0.8012, 0.5581))
REFERENCE_STRENGTHS = (1.9705, 1.0308)
#: Pixels that let through more light than this, in all colours, are glass.
_LEAST_DENSITY = 0.15
#: Share of the directions that are taken for outliers at either end, in per cent, and the percentile that is "dense".
_OUTLIERS, _DENSE = 1.0, 99.0
#: Fewer stained pixels, or stains that lie closer together (in radians), are no ground for a judgement.
_FEWEST_PIXELS, _CLOSEST = 400, 0.05
#: The darkest that counts: one step of 8 bit.
_DARKEST = 1.0 / 255.0


@dataclass(frozen=True, slots=True, kw_only=True)
class StainedRange:
    """The range of an image, and the matrix that brings its optical densities to the reference; None: left as is."""

    limits: Range
    matrix: Matrix | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StainIntensity:
    """As `Intensity`, of colours that were brought to reference stains first; a `Normaliser`.

    Parameters
    ----------
    intensity
        What follows, fitted to normalised colours.
    stains, strengths
        Of the reference, as `REFERENCE` and `REFERENCE_STRENGTHS`.
    """

    intensity: Intensity
    stains: tuple[tuple[float, ...], ...] = REFERENCE
    strengths: tuple[float, ...] = REFERENCE_STRENGTHS
    _known: _Remembered = field(default_factory=lambda: _Remembered(), repr=False, compare=False)

    @property
    def channels(self) -> int:
        """Channels of the network's input."""
        return self.intensity.channels

    def prepare(self, image: Image) -> StainedRange:
        """Look at an image (of a slide: at its tissue) for its stains; an image is looked at once."""
        return self._known.get(image, self._look)

    def normalise(self, pixels: npt.NDArray[Any], prepared: StainedRange) -> Floats:
        """Network input from pixels, as `Intensity.normalise`."""
        if prepared.matrix is None or len(pixels) != 3:
            return self.intensity.normalise(pixels, prepared.limits)
        unit = Range(low=np.zeros(1, np.float32), high=np.ones(1, np.float32))
        return self.intensity.normalise(with_stains(stretch(pixels, prepared.limits), prepared.matrix), unit)

    def shown(self, image: Image, prepared: StainedRange) -> Image:
        """Some pixels of an image, with 0 to 1 as their range and reference stains, as an image of one row."""
        pixels = stretch(sample_pixels(image), prepared.limits)
        if prepared.matrix is not None:
            pixels = with_stains(pixels, prepared.matrix)
        top = np.rint(pixels * 255).astype(np.uint8)
        return Image(levels=(top.T[np.newaxis],), axes="yxc", rgb=len(top) == 3, name=image.name)

    def to_json(self) -> dict[str, Any]:
        """Plain values for a model file."""
        stains = {"method": "macenko", "stains": [list(s) for s in self.stains], "strengths": list(self.strengths)}
        return {**self.intensity.to_json(), "stain_normalisation": stains}

    def _look(self, image: Image) -> StainedRange:
        limits = image_range(image)
        if not image.rgb:
            return StainedRange(limits=limits, matrix=None)
        seen = tissue_pixels(image, find_tissue(image).mask) if is_slide(image) else sample_pixels(image)
        return StainedRange(limits=limits, matrix=stain_matrix(stretch(seen, limits), self.stains, self.strengths))


def normaliser_from_json(values: dict[str, Any]) -> Intensity | StainIntensity:
    """What a model file says of the way to network input.

    Raises
    ------
    ValueError, KeyError, TypeError
        It cannot be understood.
    """
    intensity = Intensity.from_json(values)
    stains = values.get("stain_normalisation")
    if stains is None:
        return intensity
    if stains["method"] != "macenko":
        raise ValueError(f"unknown stain normalisation {stains['method']}")
    return StainIntensity(
        intensity=intensity,
        stains=tuple(tuple(float(v) for v in stain) for stain in stains["stains"]),
        strengths=tuple(float(v) for v in stains["strengths"]),
    )


def find_stains(pixels: Floats) -> tuple[Matrix, Matrix] | None:
    """The two stains of a picture.

    Parameters
    ----------
    pixels
        (3, n) red, green and blue from 0 to 1.

    Returns
    -------
    stains (3, 2), unit vectors of optical density, the bluer one (haematoxylin) first; strengths (2,), how dense each
    is where it is dense. None where there is too little tissue, or not two stains.
    """
    density = -np.log(np.maximum(pixels, _DARKEST)).astype(np.float64)
    density = density[:, (density > _LEAST_DENSITY).all(axis=0)]
    if density.shape[1] < _FEWEST_PIXELS:
        return None
    _, vectors = np.linalg.eigh(np.cov(density))
    plane = vectors[:, [2, 1]]
    # Densities are positive; so is the main direction.
    plane *= np.where(plane.sum(axis=0) < 0, -1.0, 1.0)
    along, across = plane.T @ density
    low, high = np.percentile(np.arctan2(across, along), [_OUTLIERS, 100.0 - _OUTLIERS])
    if high - low < _CLOSEST:
        return None
    stains = plane @ np.array([[np.cos(low), np.cos(high)], [np.sin(low), np.sin(high)]])
    # Haematoxylin holds back more red than eosin does.
    if stains[0, 0] < stains[0, 1]:
        stains = stains[:, ::-1]
    strengths = np.percentile(np.linalg.pinv(stains) @ density, _DENSE, axis=1)
    return (stains, strengths) if (strengths > 0).all() else None


def stain_matrix(
    pixels: Floats,
    stains: tuple[tuple[float, ...], ...] = REFERENCE,
    strengths: tuple[float, ...] = REFERENCE_STRENGTHS,
) -> Matrix | None:
    """Maps optical densities of a picture to those of a reference, float64 (3, 3); arguments as `find_stains`."""
    found = find_stains(pixels)
    if found is None:
        return None
    own, dense = found
    return np.asarray(np.array(stains).T @ np.diag(np.array(strengths) / dense) @ np.linalg.pinv(own))


def with_stains(pixels: Floats, matrix: Matrix) -> Floats:
    """Colours (3, ...) from 0 to 1 whose optical densities were multiplied by a matrix."""
    density = -np.log(np.maximum(pixels, np.float32(_DARKEST)))
    mixed = matrix.astype(np.float32) @ density.reshape(3, -1)
    return np.asarray(np.exp(-np.maximum(mixed, 0.0)).reshape(pixels.shape), np.float32)


class _Remembered:
    """What was found on images that are still in use, by their pixels: the same slide is asked for by many tiles."""

    def __init__(self) -> None:
        self._found: dict[int, tuple[weakref.ref[Any], StainedRange]] = {}
        self._lock = threading.Lock()

    def get(self, image: Image, look: Any) -> StainedRange:
        pixels = image.levels[0]
        with self._lock:
            known = self._found.get(id(pixels))
            if known is not None and known[0]() is pixels:
                return known[1]
            self._found = {key: kept for key, kept in self._found.items() if kept[0]() is not None}
            found: StainedRange = look(image)
            self._found[id(pixels)] = (weakref.ref(pixels), found)
            return found
