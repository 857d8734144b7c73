"""Figures of drawn structures beyond counted pixels: how far borders are off, volumes, and which pieces were found.

All of them are sums over cases, one row of `SUMS` per class, so that figures and their intervals over groups follow
from sums alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_medseg import metrics
from napari_medseg.structures import NOT_LOOKED_AT, MaskClass

#: What a case adds for a class.
SUMS = (
    "measured",  # 1 where truth and prediction hold the class
    "missed",  # 1 where only the truth does
    "invented",  # 1 where only the prediction does
    "hd95",
    "assd",
    "surface_dice",
    "relative_error",  # (predicted - true) / true volume, of cases whose truth holds the class
    "absolute_error",  # the same without its sign
    "pieces",  # of the truth
    "pieces_found",
    "pieces_predicted",
    "pieces_false",
)
#: Pixels within which borders count as equal, where nobody says otherwise.
TOLERANCE_PX = 2.0
_AT = {name: index for index, name in enumerate(SUMS)}
#: Figures that are means over cases, the sum they divide, and the sums that count the cases.
_MEANS = {
    "hd95": ("hd95", ("measured",)),
    "assd": ("assd", ("measured",)),
    "surface_dice": ("surface_dice", ("measured", "missed", "invented")),
    "volume_error": ("relative_error", ("measured", "missed")),
    "volume_error_abs": ("absolute_error", ("measured", "missed")),
}

Mask = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]


def surface_distances(truth: Mask, predicted: Mask, spacing: Sequence[float]) -> npt.NDArray[np.float64]:
    """HD95 and ASSD of two masks, each of which holds a voxel.

    The surface of a mask are its voxels with a neighbour outside (by a side; the edge of the volume is outside). Every
    surface voxel has a distance to the other mask's nearest one. HD95 is the larger of both 95th percentiles; ASSD the
    mean over the voxels of both surfaces (Heimann et al. 2009, doi:10.1109/TMI.2009.2013851).

    Parameters
    ----------
    truth, predicted
        Masks of the same shape.
    spacing
        Distance between neighbouring voxels per axis.

    Returns
    -------
    array (2,): HD95, ASSD in the unit of `spacing`
    """
    union = np.argwhere(truth | predicted)
    box = tuple(slice(low, high) for low, high in zip(union.min(axis=0), union.max(axis=0) + 1, strict=True))
    surfaces = [border(mask[box]) for mask in (truth, predicted)]
    there, back = (
        ndimage.distance_transform_edt(~other, sampling=spacing)[own]
        for own, other in (surfaces, tuple(reversed(surfaces)))
    )
    farthest = max(float(np.percentile(there, 95)), float(np.percentile(back, 95)))
    return np.array([farthest, np.concatenate([there, back]).mean()])


def border(mask: Mask) -> Mask:
    """Pixels of a mask with a neighbour outside of it, by a side; beyond the edge of the array is outside."""
    inside: Mask = ndimage.binary_erosion(mask)
    return mask & ~inside


def surface_dice(truth: Mask, predicted: Mask, spacing: Sequence[float], tolerance: float) -> float:
    """Share of both borders that lies within a tolerance of the other one (Nikolov et al. 2021, doi:10.2196/26151).

    Borders are pixels with a neighbour outside, by a side; the picture's edge is outside.

    Parameters
    ----------
    truth, predicted
        Masks of the same shape; NaN where both are empty.
    spacing
        Distance between neighbouring pixels per axis.
    tolerance
        In the unit of `spacing`.
    """
    borders = border(truth), border(predicted)
    total = sum(int(one.sum()) for one in borders)
    if total == 0:
        return float("nan")
    if not (borders[0].any() and borders[1].any()):
        return 0.0
    near = [
        int((ndimage.distance_transform_edt(~other, sampling=spacing)[own] <= tolerance).sum())
        for own, other in (borders, borders[::-1])
    ]
    return sum(near) / total


def structure_sums(
    truth: npt.NDArray[np.uint8],
    predicted: npt.NDArray[np.uint8],
    classes: Sequence[MaskClass],
    spacing: Sequence[float] | None,
    tolerance: float | None = None,
) -> Floats:
    """What a case adds to `structure_figures`.

    Parameters
    ----------
    truth, predicted
        uint8 labels of the same shape; nothing is compared where nobody looked.
    classes
        Mask classes.
    spacing
        Per axis; None counts pixels.
    tolerance
        Of `surface_dice`, in the unit of `spacing`; None: `TOLERANCE_PX` of the shortest distance between pixels.

    Returns
    -------
    array (classes, `SUMS`)
    """
    steps = tuple(spacing or (1.0,) * truth.ndim)
    near = TOLERANCE_PX * min(steps) if tolerance is None else tolerance
    known = truth != NOT_LOOKED_AT
    sums = np.zeros((len(classes), len(SUMS)))
    for row, mask_class in zip(sums, classes, strict=True):
        true, found = truth == mask_class.value, (predicted == mask_class.value) & known
        box = _box(true | found)
        if box is not None:
            _add(row, true[box], found[box], steps, near)
    return sums


def _box(mask: Mask) -> tuple[slice, ...] | None:
    """The box of a mask with a pixel of margin, so that its edge is none of the mask's; None where it is empty."""
    places = ndimage.find_objects(mask.astype(np.uint8))
    if not places:
        return None
    return tuple(slice(max(0, at.start - 1), at.stop + 1) for at in places[0])


def _add(row: Floats, true: Mask, found: Mask, steps: Sequence[float], tolerance: float) -> None:
    volumes = int(true.sum()), int(found.sum())
    row[_AT["measured" if all(volumes) else "missed" if volumes[0] else "invented"]] = 1
    row[_AT["surface_dice"]] = surface_dice(true, found, steps, tolerance)
    if all(volumes):
        row[[_AT["hd95"], _AT["assd"]]] = surface_distances(true, found, steps)
    if volumes[0]:
        row[_AT["relative_error"]] = (volumes[1] - volumes[0]) / volumes[0]
        row[_AT["absolute_error"]] = abs(row[_AT["relative_error"]])
    row[_AT["pieces"]], row[_AT["pieces_found"]] = _touched(true, found)
    row[_AT["pieces_predicted"]], touched = _touched(found, true)
    row[_AT["pieces_false"]] = row[_AT["pieces_predicted"]] - touched


def _touched(mask: Mask, other: Mask) -> tuple[int, int]:
    """Number of pieces of a mask, corners joining too, and of those that share a pixel with another mask."""
    pieces, count = ndimage.label(mask, ndimage.generate_binary_structure(mask.ndim, mask.ndim))
    return count, len(np.unique(pieces[mask & other]))


def structure_figures(by_group: Floats, classes: Sequence[MaskClass], seed: int) -> dict[str, dict[str, Any]]:
    """Figures of every class and their mean, with 95 % intervals over groups.

    Parameters
    ----------
    by_group
        (groups, classes, `SUMS`): `structure_sums` of the cases of each group.
    classes, seed
        Mask classes; seed of the bootstrap.

    Returns
    -------
    by class name and ``"mean"``: ``hd95, assd, surface_dice, volume_error, volume_error_abs, piece_sensitivity,
    piece_precision``, each with ``_ci``, and the counts ``n_measured, n_missed, n_invented, n_pieces, n_pieces_found,
    n_pieces_false``
    """
    names = [*_MEANS, "piece_sensitivity", "piece_precision"]
    total = by_group.sum(axis=0)
    figures = _figures(total[np.newaxis])[0]
    bounds = metrics.bootstrap_interval(by_group, _figures, seed)
    document = {}
    for i, name in enumerate([*(c.name for c in classes), "mean"]):
        counts = total[i] if i < len(classes) else total.sum(axis=0)
        entry: dict[str, Any] = {
            f"n_{key}": int(counts[_AT[key]])
            for key in ("measured", "missed", "invented", "pieces", "pieces_found", "pieces_false")
        }
        for k, key in enumerate(names):
            interval = bounds[:, k, i]
            entry[key] = figures[k, i]
            entry[f"{key}_ci"] = None if np.isnan(interval).any() else [*map(float, interval)]
        document[name] = entry
    return document


def _figures(sums: Floats) -> Floats:
    """Sums (n, classes, `SUMS`) to figures (n, figures, classes + 1), the mean over classes last."""

    def of(*keys: str) -> Floats:
        return np.asarray(sum(sums[..., _AT[key]] for key in keys), np.float64)

    ratios = [(of(key), of(*counted)) for key, counted in _MEANS.values()]
    ratios.append((of("pieces_found"), of("pieces")))
    ratios.append((of("pieces_predicted") - of("pieces_false"), of("pieces_predicted")))
    each = np.stack([np.divide(a, b, out=np.full(a.shape, np.nan), where=b > 0) for a, b in ratios], axis=1)
    return np.concatenate([each, metrics.mean_of_defined(each)[..., np.newaxis]], axis=-1)
