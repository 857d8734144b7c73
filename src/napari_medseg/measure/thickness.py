"""Thickness along A-scans: how deep a layer, several of them, or an area is in every column of every B-scan.

Thickness is measured straight down the columns, as scanners report it, and not across a tilted layer. It is kept in
pixels; `ThicknessMap.microns` multiplies by the true distance of rows, which is never guessed.

A layer reaches from its upper to its lower surface. What is painted inside it (fluid) counts into it and is a target of
its own as well. A column says nothing (NaN) of a layer where

- nobody looked at a pixel (255) that could belong to it,
- an area touches it from outside, so that its surface could run anywhere under the area (the optic disc),
- it is cut off by the edge of the picture,
- there is no layer at all.

A layer that others take the place of is 0 there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_medseg.measure.targets import Target
from napari_medseg.structures import BACKGROUND, NOT_LOOKED_AT, ArrayLike, Progress

Floats = npt.NDArray[np.float32]
Labels = npt.NDArray[np.uint8]

#: Places of pixels that are no layer in its place: an area, not looked at, background between two layers.
_AREA, _UNKNOWN, _STRAY = -1, -2, -3


@dataclass(frozen=True, slots=True, kw_only=True)
class ThicknessMap:
    """Thickness of one target, seen from above.

    Parameters
    ----------
    target
        What was measured.
    pixels
        float32 (bscan, x): thickness in pixels of depth, NaN where not known. A single B-scan counts as one.
    axial
        Millimetres per pixel of depth; None where not known.
    """

    target: Target
    pixels: Floats
    axial: float | None

    @property
    def unit(self) -> str:
        """``"µm"``, or ``"px"`` where the spacing is not known."""
        return "px" if self.axial is None else "µm"

    @property
    def values(self) -> Floats:
        """Thickness in `unit`."""
        return self.pixels if self.axial is None else self.pixels * np.float32(1000 * self.axial)


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """Thickness over columns, in pixels: mean, min, max (NaN where nothing is known), and how much is known.

    `coverage` is the share of columns where the thickness is known, `columns` their number.
    """

    mean: float
    minimum: float
    maximum: float
    coverage: float
    columns: int


def summarize(pixels: npt.NDArray[np.floating]) -> Summary:
    """Summary of a map or a part of one; all columns count the same.

    Examples
    --------
    >>> summarize(np.array([10.0, 20.0, np.nan, np.nan]))
    Summary(mean=15.0, minimum=10.0, maximum=20.0, coverage=0.5, columns=2)
    """
    known = pixels[np.isfinite(pixels)].astype(np.float64)
    if not known.size:
        return Summary(mean=np.nan, minimum=np.nan, maximum=np.nan, coverage=0.0, columns=0)
    return Summary(
        mean=float(known.mean()),
        minimum=float(known.min()),
        maximum=float(known.max()),
        coverage=known.size / pixels.size,
        columns=int(known.size),
    )


def thickness_maps(
    labels: ArrayLike,
    pile: Sequence[int],
    targets: Sequence[Target],
    axial: float | None,
    progress: Progress | None = None,
) -> tuple[ThicknessMap, ...]:
    """Thickness of every target in every column, counted in labels, one B-scan at a time.

    Parameters
    ----------
    labels
        uint8 ([z,] y, x), numpy, zarr or lazy.
    pile
        Label values of the layers from top to bottom; empty where there are no layers.
    targets
        What to measure, as `targets.targets_of` lists it.
    axial
        Millimetres per row, or None.
    progress
        Called with (B-scans done, B-scans, "") after each.
    """
    count = 1 if len(labels.shape) == 2 else labels.shape[0]
    found = np.empty((len(targets), count, labels.shape[-1]), np.float32)
    for index in range(count):
        bscan = np.asarray(labels[index] if len(labels.shape) > 2 else labels[...])
        # Numbers beyond 255 are no classes: whoever wrote them, nothing is known there.
        found[:, index] = bscan_thickness(np.clip(bscan, 0, NOT_LOOKED_AT).astype(np.uint8), pile, targets)
        if progress is not None:
            progress(index + 1, count, "")
    return tuple(ThicknessMap(target=t, pixels=p, axial=axial) for t, p in zip(targets, found, strict=True))


def bscan_thickness(bscan: Labels, pile: Sequence[int], targets: Sequence[Target]) -> Floats:
    """Thickness of targets in one B-scan.

    Parameters
    ----------
    bscan
        uint8 (y, x).

    Returns
    -------
    float32 (targets, x) in pixels, NaN where not known

    Examples
    --------
    >>> layer = Target(name="a", color="", role="layer", first=1, last=1)
    >>> bscan_thickness(np.array([[0, 1, 9, 1, 2, 0]], np.uint8).T, (0, 1, 2, 0), [layer]).tolist()
    [[3.0]]
    """
    ranks = _places(bscan, pile)
    return np.stack([_area(bscan, ranks, t) if t.role == "area" else _layers(ranks, t) for t in targets])


def _places(bscan: Labels, pile: Sequence[int]) -> npt.NDArray[np.int16]:
    """Place of each pixel in the pile, int16 (y, x); see `_AREA` and its like for what has none.

    Background that stands at both ends of the pile belongs to the upper end above the first layer of its column and to
    the lower one below the last.
    """
    place = np.full(256, _AREA, np.int16)
    place[BACKGROUND] = _STRAY
    place[NOT_LOOKED_AT] = _UNKNOWN
    for rank, value in enumerate(pile):
        place[value] = rank
    ranks: npt.NDArray[np.int16] = place[bscan]
    if len(pile) > 1 and pile[0] == pile[-1]:
        last = len(pile) - 1
        inner = (ranks > 0) & (ranks < last)
        rows = np.arange(len(bscan))[:, None]
        first_inner, last_inner = _ends(inner)
        end = ranks == last
        ranks[end] = _STRAY
        ranks[end & (rows < first_inner)] = 0
        ranks[end & (rows > last_inner)] = last
        ranks[end & ~inner.any(axis=0)] = _STRAY
    return ranks


def _ends(mask: npt.NDArray[np.bool_]) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """First and last row of each column's pixels; of an empty column the picture's height and -1."""
    there = mask.any(axis=0)
    first = np.where(there, mask.argmax(axis=0), len(mask))
    last = np.where(there, len(mask) - 1 - mask[::-1].argmax(axis=0), -1)
    return first, last


def _layers(ranks: npt.NDArray[np.int16], target: Target) -> Floats:
    """Thickness of layers that lie on each other, float32 (x,)."""
    height = len(ranks)
    inside = (ranks >= target.first) & (ranks <= target.last)
    top, bottom = _ends(inside)
    enclosed = (np.arange(height)[:, None] > top) & (np.arange(height)[:, None] < bottom)
    count = inside.sum(axis=0) + ((ranks == _AREA) & enclosed).sum(axis=0)
    columns = np.arange(ranks.shape[1])
    above = ranks[np.maximum(top, 1) - 1, columns]
    below = ranks[np.minimum(bottom, height - 2) + 1, columns]
    silent = (above == _AREA) | (above == _UNKNOWN) | (below == _AREA) | (below == _UNKNOWN)
    unknown = (top == 0) | (bottom == height - 1) | silent | ((ranks == _UNKNOWN) & enclosed).any(axis=0)
    # Where no pixel of it is there, it is 0 if the layers on either side touch, else anything could be between them.
    _, upper = _ends((ranks >= 0) & (ranks < target.first))
    lower, _ = _ends(ranks > target.last)
    unknown = np.where(inside.any(axis=0), unknown, (lower > upper + 1) | (upper < 0) | (lower == height))
    return np.where(unknown, np.float32(np.nan), count.astype(np.float32)).astype(np.float32)


def _area(bscan: Labels, ranks: npt.NDArray[np.int16], target: Target) -> Floats:
    """Pixels of an area per column, float32 (x,); not known where a pixel in or at the layers was not looked at."""
    unknown = ranks == _UNKNOWN
    top, bottom = _ends((ranks >= 0) & (bscan != BACKGROUND))
    # Without layers, one pixel that nobody looked at could belong to the area, wherever it is.
    top, bottom = np.where(bottom < 0, 0, top), np.where(bottom < 0, len(bscan), bottom)
    rows = np.arange(len(bscan))[:, None]
    doubtful = (unknown & (rows >= top - 1) & (rows <= bottom + 1)).any(axis=0)
    count = (bscan == target.value).sum(axis=0).astype(np.float32)
    return np.where(doubtful, np.float32(np.nan), count).astype(np.float32)


def thickness_of_rows(
    rows: Mapping[str, Floats], upper: str, lower: str, *, height: int | None = None
) -> npt.NDArray[np.float32]:
    """Thickness between two surfaces, to a fraction of a pixel.

    Parameters
    ----------
    rows
        (bscan, x) rows by the surfaces' names, as in ``OctScan.surfaces``; NaN where there is none.
    upper, lower
        Two of the names.
    height
        Rows of the picture: a surface along its upper or lower edge is not shown there and counts as missing.

    Returns
    -------
    float32 (bscan, x) in pixels; NaN where a surface is missing or they cross

    Examples
    --------
    >>> thickness_of_rows({"ILM": np.array([[2.5, 3.0]]), "BM": np.array([[9.0, np.nan]])}, "ILM", "BM").tolist()
    [[6.5, nan]]
    """
    top, bottom = np.asarray(rows[upper], np.float32), np.asarray(rows[lower], np.float32)
    with np.errstate(invalid="ignore"):
        known = bottom >= top
        if height is not None:
            known &= (top > -0.5) & (bottom < height - 0.5)
    return np.where(known, bottom - top, np.float32(np.nan)).astype(np.float32)
