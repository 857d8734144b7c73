"""A scanner's own surfaces as labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from napari_medseg.annotation.surfaces import Labels, Rows, in_order, labels_of_surfaces

#: How far a lower surface may lie above an upper one and still count as touching it; devices write two decimals.
_ROUNDING = 0.011


def crossing_columns(surfaces: Mapping[str, Rows], names: Sequence[str]) -> int:
    """In how many columns of all B-scans a surface lies above one that it should lie below.

    Parameters
    ----------
    surfaces
        float32 (bscan, x) rows by name, NaN where missing.
    names
        From top to bottom; those that are not there are passed over.

    Examples
    --------
    >>> rows = {"ILM": np.array([[2, 9]], np.float32), "BM": np.array([[5, 5]], np.float32)}
    >>> crossing_columns(rows, ["ILM", "BM"])
    1
    """
    known = [surfaces[name] for name in names if name in surfaces]
    if len(known) < 2:
        return 0
    rows = np.stack(known)
    return int((np.fmax.accumulate(rows) - rows > _ROUNDING).any(axis=0).sum())


def labels_of_device(
    surfaces: Mapping[str, Rows], shape: Sequence[int], pile: Sequence[int], names: Sequence[str] = ()
) -> Labels:
    """Labels of all B-scans from a scanner's surfaces. Where they cross, the upper one counts.

    Parameters
    ----------
    surfaces
        float32 (bscan, x) rows by name, NaN where missing.
    shape
        Of the image, ``(y, x)`` or ``(bscan, y, x)``.
    pile
        Label values from top to bottom, one more than there are names.
    names
        Which surfaces lie between the layers of the pile, from top to bottom; one that the scanner does not have is
        missing everywhere. All of `surfaces` when empty.

    Returns
    -------
    uint8 of `shape`; 255 where missing surfaces leave open which layer it is
    """
    missing = np.full((1 if len(shape) == 2 else shape[0], shape[-1]), np.nan, np.float32)
    rows = np.stack([surfaces.get(name, missing) for name in names or surfaces], axis=1)  # (bscan, surface, x)
    return np.stack([labels_of_surfaces(in_order(one), shape[-2], pile) for one in rows]).reshape(tuple(shape))
