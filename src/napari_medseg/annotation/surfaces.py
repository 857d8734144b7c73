"""Surfaces and labels: two views of the same layers, converted both ways.

A surface is a row per column of a B-scan. Pixel ``y`` of a column lies below a surface at row ``r`` exactly where
``y > r``; a surface between the pixels 4 and 5 has the row 4.5. NaN: the surface is not there in this column (a shadow,
the optic disc, an edge of the scan), and what lies between its neighbours is not known.

A *pile* holds the label values of the layers from top to bottom, one more than there are surfaces. Values outside the
pile are areas (fluid, optic disc) that were painted over the layers; they say nothing of the surfaces under them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from napari_medseg.structures import BACKGROUND, NOT_LOOKED_AT, DatasetInfo

Rows = npt.NDArray[np.float32]
Labels = npt.NDArray[np.uint8]
Columns = slice | npt.NDArray[np.bool_]


def pile_of(info: DatasetInfo) -> tuple[int, ...]:
    """Label values of the layers from top to bottom; empty for a data set without surfaces."""
    if not info.surfaces:
        return ()
    value_of = {"": BACKGROUND, **{c.name: c.value for c in info.classes}}
    return (value_of[info.surfaces[0].above], *(value_of[surface.below] for surface in info.surfaces))


def labels_of_surfaces(rows: Rows, height: int, pile: Sequence[int]) -> Labels:
    """Labels of a B-scan from its surfaces.

    Parameters
    ----------
    rows
        (surfaces, x), NaN where a surface is missing; in every column the rows that are there do not decrease.
    height
        Rows of the B-scan.
    pile
        Label values from top to bottom, ``surfaces + 1`` of them.

    Returns
    -------
    uint8 (y, x); 255 where a missing surface leaves open which layer it is

    Examples
    --------
    >>> labels_of_surfaces(np.array([[0.5, 0.5], [1.5, np.nan]], np.float32), 4, (0, 1, 2)).T.tolist()
    [[0, 1, 2, 2], [0, 255, 255, 255]]
    """
    first, last = _open_ranks(rows, height)
    values = np.asarray(pile, np.uint8)[np.minimum(first, last)]
    values[first != last] = NOT_LOOKED_AT
    return values


def outside_of_layers(labels: Labels, pile: Sequence[int]) -> npt.NDArray[np.bool_]:
    """Pixels of B-scans that can only be background: those above the uppermost and below the lowest layer of a pile.

    What nobody looked at between two layers, or in a column without the outermost layer, is some layer, not background.

    Parameters
    ----------
    labels
        uint8 ([z,] y, x).
    pile
        Label values from top to bottom.

    Returns
    -------
    bool, of the shape of `labels`; all True where nothing but areas was drawn

    Examples
    --------
    >>> outside_of_layers(np.array([[255, 1, 255, 2, 255], [255, 255, 1, 1, 255]], np.uint8).T, (0, 1, 2, 0)).T.tolist()
    [[True, False, False, False, True], [True, True, False, False, False]]
    """
    layers = [value for value in pile if value != BACKGROUND]
    is_layer = np.isin(labels, layers)
    if not is_layer.any():
        # Background without a layer is what lies above a first surface; the layers are still to come.
        return np.full(labels.shape, not (labels == BACKGROUND).any())
    rows = np.arange(labels.shape[-2])[:, np.newaxis]
    first = np.where(is_layer, rows, labels.shape[-2]).min(axis=-2, keepdims=True)
    last = np.where(is_layer, rows, -1).max(axis=-2, keepdims=True)
    outside = np.zeros(labels.shape, bool)
    if pile[0] == BACKGROUND:
        uppermost = ((labels == layers[0]) & (rows == first)).any(axis=-2, keepdims=True)
        outside |= uppermost & (rows < first)
    if pile[-1] == BACKGROUND:
        lowest = ((labels == layers[-1]) & (rows == last)).any(axis=-2, keepdims=True)
        outside |= lowest & (rows > last)
    return outside


def surfaces_of_labels(labels: Labels, pile: Sequence[int], *, before: Rows | None = None) -> Rows:
    """Surfaces of a labelled B-scan.

    In each column, surface ``i`` is put where fewest pixels lie on its wrong side (labels drawn by hand are not always
    in order); of several such places the highest. Over all surfaces this is the monotone fit of the layers with the
    least sum of ranks that pixels are off, cut into one problem per surface, and the cuts cannot cross: moving the cut
    of surface ``i`` below a pixel adds a wrong pixel or takes one away, and it takes one away for a lower surface
    wherever it does for an upper one; so the first minimum of the lower surface is not above that of the upper one.

    Pixels of areas, 255, and a background that the pile does not name say nothing. A surface is NaN where

    - the column holds no layer but the background,
    - pixels that say nothing lie between its two sides (the optic disc, fluid across it, a part not looked at), so
      that it could run anywhere among them.

    A surface that the picture does not show, all layers of the column being on one side of it, has the row -0.5 (above
    the picture) or ``height - 0.5``.

    Parameters
    ----------
    labels
        uint8 (y, x).
    pile
        Label values from top to bottom.
    before
        Surfaces (surfaces, x) that the labels were drawn from before somebody painted. They stay wherever the labels
        do not contradict them: to a fraction of a pixel, and under areas that were painted over them.

    Returns
    -------
    float32 (surfaces, x), in every column not decreasing where they are not NaN

    Examples
    --------
    >>> column = np.array([[0, 0, 1, 9, 9, 3, 0]], np.uint8).T
    >>> surfaces_of_labels(column, (0, 1, 2, 3, 0)).T.tolist()
    [[1.5, nan, nan, 5.5]]
    """
    height, width = labels.shape
    ranks = ranks_of_labels(labels, pile)
    rows = np.full((len(pile) - 1, width), np.nan, np.float32)
    named = np.array([value != BACKGROUND for value in pile])
    known = (named[ranks] & (ranks >= 0)).any(axis=0)
    silent = np.zeros((height + 1, width), bool)  # whether the pixel below a cut says nothing
    silent[:-1] = ranks < 0
    cost = np.zeros((height + 1, width), np.int32)
    for index in range(len(rows)):
        # Moving a cut below a pixel of a lower layer puts one more on the wrong side, of an upper layer one less.
        step = (ranks > index).astype(np.int8) - ((ranks >= 0) & (ranks <= index))
        np.cumsum(step, axis=0, out=cost[1:])
        cut = cost.argmin(axis=0)
        open_ended = np.take_along_axis(silent, cut[None], axis=0)[0]
        rows[index] = np.where(known & ~open_ended, cut - 0.5, np.nan)
        if before is not None:
            fits = _is_minimum(cost, before[index])
            fits &= np.isfinite(rows[index]) | _within_area(labels, pile, before[index])
            rows[index] = np.where(fits, before[index], rows[index])
    return rows


def in_order(rows: Rows) -> Rows:
    """Surfaces (surfaces, x) that do not cross: where they did, the lower one is moved down to the upper one."""
    return np.where(np.isnan(rows), np.float32(np.nan), np.fmax.accumulate(rows, axis=0)).astype(np.float32)


def cuts_of_rows(rows: npt.NDArray[np.floating], height: int) -> npt.NDArray[np.intp]:
    """Index of the first pixel below each surface, 0 to `height`; 0 for NaN."""
    cuts: npt.NDArray[np.intp] = np.clip(np.floor(np.nan_to_num(rows, nan=-1.0)) + 1, 0, height).astype(np.intp)
    return cuts


def _is_minimum(cost: npt.NDArray[np.int32], row: Rows) -> npt.NDArray[np.bool_]:
    """Whether a surface (x,) lies at one of the cheapest cuts of costs (y + 1, x)."""
    at_row = np.take_along_axis(cost, cuts_of_rows(row, len(cost) - 1)[None], axis=0)[0]
    found: npt.NDArray[np.bool_] = np.isfinite(row) & (at_row == cost.min(axis=0))
    return found


def _within_area(labels: Labels, pile: Sequence[int], row: Rows) -> npt.NDArray[np.bool_]:
    """Whether a surface (x,) touches an area, and nothing that was not looked at."""
    cut = cuts_of_rows(row, len(labels))
    sides = np.stack([np.maximum(cut - 1, 0), np.minimum(cut, len(labels) - 1)])
    values = np.take_along_axis(labels, sides, axis=0)
    found: npt.NDArray[np.bool_] = area_pixels(values, pile).any(axis=0) & (values != NOT_LOOKED_AT).all(axis=0)
    return found


def ranks_of_labels(labels: Labels, pile: Sequence[int]) -> npt.NDArray[np.int16]:
    """Place of each pixel's layer in the pile.

    Where one value stands at both ends of a pile (the background above and below a retina), its pixels belong to the
    end on which fewer layer pixels of their column lie.

    Parameters
    ----------
    labels
        uint8 (y, x).
    pile
        Label values from top to bottom.

    Returns
    -------
    int16 (y, x); -1 for what is no layer
    """
    rank = np.full(256, -1, np.int16)
    for index, value in reversed(list(enumerate(pile))):
        rank[value] = index
    ranks: npt.NDArray[np.int16] = rank[labels]
    if len(pile) > 1 and pile[0] == pile[-1]:
        inner = np.cumsum(ranks > 0, axis=0, dtype=np.int32)
        below_most = 2 * inner > inner[-1]
        ranks[(ranks == 0) & below_most] = len(pile) - 1
        ranks[(ranks == 0) & (inner[-1] == 0)] = -1
    return ranks


def area_pixels(labels: Labels, pile: Sequence[int]) -> npt.NDArray[np.bool_]:
    """Which pixels belong to areas painted over the layers; bool, shaped as `labels`."""
    area = np.ones(256, bool)
    area[[BACKGROUND, NOT_LOOKED_AT, *pile]] = False
    found: npt.NDArray[np.bool_] = area[labels]
    return found


def paint_surfaces(
    labels: Labels, rows: Rows, pile: Sequence[int], *, columns: Columns = slice(None), before: Rows | None = None
) -> Labels:
    """Labels with the layers of some columns drawn anew from their surfaces.

    Painting and curves can be used in turns, because only what the surfaces decide is drawn:

    - Pixels of areas keep their value.
    - Pixels between surfaces that are there get their layer, also those that stood at 255: to keep a part out of
      training, end the curves there.
    - Where missing surfaces leave the layer open, a pixel keeps the layer it has if it is one of those left open.
      Everything else there becomes 255, and so do all open pixels of columns in which a surface was taken away.

    Parameters
    ----------
    labels
        uint8 (y, x); not changed.
    rows
        float32 (surfaces, x) of the whole B-scan.
    pile
        Label values from top to bottom.
    columns
        Which columns to draw: a slice, or bool (x,).
    before
        Surfaces (surfaces, x) that the labels were last drawn from; those missing in `rows` were taken away, and what
        they alone decided is open again.

    Returns
    -------
    uint8 (y, x)
    """
    painted = labels.copy()
    old, new_rows = labels[:, columns], rows[:, columns]
    first, last = _open_ranks(new_rows, len(labels))
    drawn = labels_of_surfaces(new_rows, len(labels), pile)
    # A background at both ends of the pile may be either, so it asks for both places.
    fits = np.zeros(old.shape, bool)
    for rank, value in enumerate(pile):
        fits |= (old == value) & (first <= rank) & (rank <= last)
    if before is not None:
        old_rows = before[:, columns]
        fits &= ~(np.isfinite(old_rows) & np.isnan(new_rows)).any(axis=0)
        # What the curves had drawn goes with them: a background above the retina is none below it.
        was_first, was_last = _open_ranks(old_rows, len(labels))
        fits &= (was_first != was_last) | (old != labels_of_surfaces(old_rows, len(labels), pile))
    keep = area_pixels(old, pile) | ((first != last) & fits)
    painted[:, columns] = np.where(keep, old, drawn)
    return painted


def _open_ranks(rows: Rows, height: int) -> tuple[npt.NDArray[np.int16], npt.NDArray[np.int16]]:
    """First and last layer that each pixel can belong to, int16 (y, x); equal where no surface is missing there."""
    # A pixel lies between the surfaces above it and those below it; where both counts leave only one layer between
    # them it is known, where surfaces are missing in between it is not.
    pixel = np.arange(height, dtype=np.float32)[:, None]
    first = np.zeros((height, rows.shape[1]), np.int16)
    last = np.full((height, rows.shape[1]), len(rows), np.int16)
    for index, row in enumerate(rows):
        first[pixel > row] = index + 1  # False for NaN
    for index in range(len(rows) - 1, -1, -1):
        last[pixel <= rows[index]] = index
    return first, last
