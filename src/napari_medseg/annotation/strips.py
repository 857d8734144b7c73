"""The part of a B-scan around the course of a curve, pulled straight, and how well each place in it suits the curve.

Layers are as steep as the retina is curved, and blur across a steep layer would wash it out. So a strip is cut along
the course first (a line between two clicks, or a curve of the neighbouring B-scan) and smoothed along it then.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter, uniform_filter1d

from napari_medseg.annotation.surfaces import Rows
from napari_medseg.structures import Edge

Floats = npt.NDArray[np.float32]

#: Smoothing across and along the course, in pixels: speckle is as wide as it is deep, layers are not.
SMOOTHING = (1.25, 5.0)
#: Columns beside the course that take part in the smoothing.
MARGIN = 10
#: Rows above and below a curve whose pattern of layers tells it from others.
PATTERN = 16
#: How much the edge itself counts beside the pattern around it.
EDGE_SHARE = 0.3


@dataclass(frozen=True, slots=True)
class Strip:
    """A strip of a B-scan.

    Parameters
    ----------
    pixels
        float32 (offset, x): smoothed intensities; the middle of the entry ``o`` lies ``first + o + 0.5`` rows below the
        course.
    first
        Distance from the course to the first entry's upper border, in whole rows.
    """

    pixels: Floats
    first: int

    @property
    def reach(self) -> int:
        """How many rows above the course the first judged cut lies."""
        return -self.first - PATTERN

    def patterns(self) -> Floats:
        """Layers around the course in each column, float32 (2 * PATTERN, x), with mean 0 and deviation 1."""
        pattern = self.pixels[-self.first - PATTERN : -self.first + PATTERN]
        pattern = pattern - pattern.mean(axis=0)
        return np.asarray(pattern / (pattern.std(axis=0) + np.float32(1e-6)), np.float32)

    def contrast(self) -> Floats:
        """Strength of the edge at the course in each column, float32 (x,)."""
        near = np.diff(self.pixels[-self.first - 2 : -self.first + 2], axis=0)
        return np.asarray(np.abs(near).max(axis=0), np.float32)

    def costs(self, edge: Edge, patterns: Floats, contrast: float) -> Floats:
        """How little each cut suits a curve.

        Parameters
        ----------
        edge
            What the intensity does on the way down; "any" says nothing.
        patterns
            float32 (2 * PATTERN, x): what the layers around the curve look like in each column, as `patterns` of the
            strip in which it is known.
        contrast
            Strength that the edge has elsewhere on the curve.

        Returns
        -------
        float32 (cut, x) in [0, 1], from `reach` rows above the course downwards
        """
        cost = 1 - np.clip(_resemblance(self.pixels, patterns), 0, 1)
        if edge == "any":
            return np.asarray(cost, np.float32)
        sign = 1 if edge == "dark-to-bright" else -1
        step = sign * np.diff(self.pixels, axis=0)
        scale = contrast + 0.02 * float(np.abs(step).max(initial=0.0)) + 1e-6
        missing = 1 - np.clip(step / scale, 0, 1)
        return np.asarray((cost + EDGE_SHARE * missing[PATTERN - 1 : -PATTERN + 1]) / (1 + EDGE_SHARE), np.float32)


def cut_strip(picture: Floats, columns: npt.NDArray[np.intp], course: Rows, lowest: int, highest: int) -> Strip:
    """The strip along a course.

    Parameters
    ----------
    picture
        float32 (y, x); outside it, its outermost pixels go on.
    columns
        Columns (x,) of the course: neighbouring ones, or every second or third.
    course
        Rows (x,) in those columns.
    lowest, highest
        Cuts around the course that `Strip.costs` is to judge, in rows from it.
    """
    width = picture.shape[1]
    step = int(columns[1] - columns[0]) if len(columns) > 1 else 1
    beside = MARGIN // step
    left, right = min(beside, columns[0] // step), min(beside, (width - 1 - columns[-1]) // step)
    before, after = np.arange(-left, 0), np.arange(1, right + 1)
    near = min(beside, len(course) - 1)
    slopes = ((course[near] - course[0]) / max(near, 1), (course[-1] - course[-1 - near]) / max(near, 1))
    # Beside its ends the course goes on as it came.
    rows = np.concatenate([course[0] + slopes[0] * before, course, course[-1] + slopes[1] * after])
    x = np.concatenate([columns[0] + step * before, columns, columns[-1] + step * after])
    first = lowest - PATTERN
    pixels = _sampled(picture, x, rows + np.float32(0.5 + first), highest - lowest + 2 * PATTERN)
    smooth = gaussian_filter(pixels, (SMOOTHING[0], SMOOTHING[1] / step), mode="nearest", truncate=3.0)
    return Strip(np.ascontiguousarray(smooth[:, left : left + len(course)]), first)


def _sampled(picture: Floats, x: npt.NDArray[np.intp], top: Rows, depth: int) -> Floats:
    """Intensities (depth, x) from the rows `top` (x,) downwards, between the pixels by their distance."""
    upper = np.floor(top)
    share = (top - upper).astype(np.float32)
    # One gather for both neighbours: the entry below a pixel's upper neighbour is its lower one.
    index = upper.astype(np.intp) + np.arange(depth + 1)[:, None]
    pixels = picture[np.clip(index, 0, len(picture) - 1), x]
    return np.asarray(pixels[:-1] + share * (pixels[1:] - pixels[:-1]), np.float32)


def _resemblance(pixels: Floats, patterns: Floats) -> Floats:
    """Correlation of the pixels around each cut with a pattern, in [-1, 1], (entries - 2 * PATTERN + 1, x)."""
    size = 2 * PATTERN
    entries = len(pixels) - size + 1
    total = np.zeros((entries, pixels.shape[1]), np.float32)
    for k in range(size):
        total += pixels[k : k + entries] * patterns[k]
    middle = slice(PATTERN, PATTERN + entries)
    mean = uniform_filter1d(pixels, size, axis=0, mode="nearest")[middle]
    square = uniform_filter1d(pixels * pixels, size, axis=0, mode="nearest")[middle]
    # Where nothing is to be seen, noise must not look like layers.
    deviation = np.sqrt(np.maximum(square - mean * mean, 0)) + 0.03 * pixels.std()
    return np.asarray(total / size / np.maximum(deviation, np.float32(1e-6)), np.float32)


def recorded(bscan: npt.NDArray[np.generic]) -> Floats:
    """A B-scan in which what no scanner recorded goes on as the nearest recorded pixel of its column.

    Registration leaves white or black wedges at the top and the bottom, whose border is the strongest edge of all: runs
    of the brightest or darkest value from the picture's edge. Two pixels more count, because pictures are often
    resampled across that border. NaN counts as darkest.

    Parameters
    ----------
    bscan
        (y, x), of any intensity.

    Returns
    -------
    float32 (y, x)
    """
    picture = np.asarray(bscan, np.float32)
    picture = np.nan_to_num(picture, nan=float(np.nanmin(picture)) if np.isfinite(picture).any() else 0.0)
    empty = _padding(picture) | _padding(picture[::-1])[::-1]
    empty[:, empty.all(axis=0)] = False
    if not empty.any():
        return picture
    first = (~empty).argmax(axis=0)
    last = len(picture) - 1 - (~empty[::-1]).argmax(axis=0)
    nearest = np.clip(np.arange(len(picture))[:, None], first, last)
    return np.take_along_axis(picture, nearest, axis=0)


def _padding(picture: Floats) -> npt.NDArray[np.bool_]:
    """Runs of at least 4 pixels of an extreme value from the top, and two pixels more; bool (y, x)."""
    extreme = (picture[0] == picture.min()) | (picture[0] == picture.max())
    run = np.logical_and.accumulate((picture == picture[0]) & extreme, axis=0)
    length = run.sum(axis=0)
    padding: npt.NDArray[np.bool_] = (length >= 4) & (np.arange(len(picture))[:, None] < length + 2)
    return padding
