"""Figures of layers: how far predicted surfaces lie from true ones, and how often layers are out of order.

Everything a case adds is a sum, so that figures and their intervals are made of sums over groups, as those of
`napari_medseg.metrics` are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_medseg import metrics
from napari_medseg.annotation.order import count_violations, repair_order
from napari_medseg.annotation.surfaces import Labels, Rows, ranks_of_labels, surfaces_of_labels
from napari_medseg.structures import ArrayLike

Floats = npt.NDArray[np.float64]

#: What `LayerSums` keeps per surface, in the order of its last axis.
_COLUMNS, _SIGNED, _ABSOLUTE, _SQUARED, _COLUMNS_UM, _SIGNED_UM, _ABSOLUTE_UM, _MISSING = range(8)


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerSums:
    """What one case adds.

    Parameters
    ----------
    errors, errors_repaired
        (surfaces, 8): columns that are compared, sums of signed, absolute and squared distance in pixels, columns with
        known spacing, sums of signed and absolute distance in µm, and columns whose true surface has no predicted one.
        As predicted, and after the order of the layers was repaired.
    counts_repaired
        (classes, 3) pixels, as `metrics.class_counts` counts them, after the repair.
    order
        (6,): columns with layers, of those out of order before and after the repair; the same of B-scans.
    """

    errors: Floats
    errors_repaired: Floats
    counts_repaired: npt.NDArray[np.int64]
    order: npt.NDArray[np.int64]


def layer_sums(
    truth: Labels, predicted: ArrayLike, pile: Sequence[int], values: Sequence[int], axial: float | None
) -> LayerSums:
    """Compare one case, B-scan by B-scan.

    Parameters
    ----------
    truth, predicted
        uint8 ([z,] y, x).
    pile
        Label values of the layers from top to bottom.
    values
        Label values of the classes to count.
    axial
        Millimetres per row; None where not known.
    """
    errors = np.zeros((2, len(pile) - 1, 8))
    counts = np.zeros((len(values), 3), np.int64)
    order = np.zeros(6, np.int64)
    for index in np.ndindex(*truth.shape[:-2]):
        true, raw = truth[index], np.asarray(predicted[index if index else ...])
        rows = surfaces_of_labels(true, pile)
        # A violation of order is the prediction's own: it counts where nobody looked, too.
        repaired = repair_order(raw, pile).labels
        for step, labels in enumerate((raw, repaired)):
            errors[step] += _errors(rows, surfaces_of_labels(labels, pile), truth.shape[-2], axial)
            violations = count_violations(labels, pile)
            order[1 + step] += violations
            order[4 + step] += violations > 0
        counts += metrics.class_counts(true, repaired, values)
        layered = _layered_columns(raw, pile)
        order[0] += layered
        order[3] += layered > 0
    return LayerSums(errors=errors[0], errors_repaired=errors[1], counts_repaired=counts, order=order)


def _layered_columns(bscan: Labels, pile: Sequence[int]) -> int:
    """Columns that hold a layer other than the background."""
    return int(((ranks_of_labels(bscan, pile) >= 0) & (bscan != 0)).any(axis=0).sum())


def _errors(true: Rows, predicted: Rows, height: int, axial: float | None) -> Floats:
    """Sums over the columns of one B-scan, (surfaces, 8). A surface along the picture's edge is not shown there."""
    known = _shown(true, height)
    both = known & _shown(predicted, height)
    distance = np.where(both, predicted.astype(np.float64) - true, 0.0)
    sums = np.zeros((len(true), 8))
    sums[:, _COLUMNS] = both.sum(axis=1)
    sums[:, _SIGNED] = distance.sum(axis=1)
    sums[:, _ABSOLUTE] = np.abs(distance).sum(axis=1)
    sums[:, _SQUARED] = (distance**2).sum(axis=1)
    sums[:, _MISSING] = (known & ~both).sum(axis=1)
    if axial is not None:
        sums[:, _COLUMNS_UM] = sums[:, _COLUMNS]
        sums[:, (_SIGNED_UM, _ABSOLUTE_UM)] = 1000 * axial * sums[:, (_SIGNED, _ABSOLUTE)]
    return sums


def _shown(rows: Rows, height: int) -> npt.NDArray[np.bool_]:
    with np.errstate(invalid="ignore"):
        shown: npt.NDArray[np.bool_] = (rows > -0.5) & (rows < height - 0.5)
    return shown


def surface_figures(sums_by_group: Floats, names: Sequence[str], seed: int) -> dict[str, Any]:
    """Figures per surface, and their mean over surfaces, with intervals over groups.

    Parameters
    ----------
    sums_by_group
        (groups, surfaces, 8), as in `LayerSums`.
    names
        Of the surfaces.
    """
    keys = ("signed_px", "abs_px", "rmse_px", "signed_um", "abs_um")

    def figures(sums: npt.NDArray[Any]) -> Floats:
        """(n, surfaces, 8) to (n, keys, surfaces + 1), the mean last."""
        columns, columns_um = sums[..., _COLUMNS], sums[..., _COLUMNS_UM]
        stacked = np.stack(
            [
                _mean(sums[..., _SIGNED], columns),
                _mean(sums[..., _ABSOLUTE], columns),
                np.sqrt(_mean(sums[..., _SQUARED], columns)),
                _mean(sums[..., _SIGNED_UM], columns_um),
                _mean(sums[..., _ABSOLUTE_UM], columns_um),
            ],
            axis=-2,
        )
        return np.concatenate([stacked, metrics.mean_of_defined(stacked)[..., np.newaxis]], axis=-1)

    total = sums_by_group.sum(axis=0)
    values = figures(total[np.newaxis])[0]
    bounds = metrics.bootstrap_interval(sums_by_group, figures, seed)
    document: dict[str, Any] = {}
    for i, name in enumerate([*names, "mean"]):
        entry: dict[str, Any] = {}
        for k, key in enumerate(keys):
            interval = bounds[:, k, i]
            entry |= {key: values[k, i], f"{key}_ci": None if np.isnan(interval).any() else interval.tolist()}
        of = total[i] if i < len(names) else total.sum(axis=0)
        document[name] = entry | {"n_columns": int(of[_COLUMNS]), "n_missing": int(of[_MISSING])}
    return document


def order_figures(order: npt.NDArray[np.int64]) -> dict[str, Any]:
    """Shares of columns and of B-scans out of order, from the sum of `LayerSums.order`."""
    columns, before, after, bscans, bscans_before, bscans_after = order.tolist()
    return {
        "columns_before": before / columns if columns else np.nan,
        "columns_after": after / columns if columns else np.nan,
        "bscans_before": bscans_before / bscans if bscans else np.nan,
        "bscans_after": bscans_after / bscans if bscans else np.nan,
        "n_columns": columns,
        "n_bscans": bscans,
    }


def _mean(total: Floats, number: Floats) -> Floats:
    mean: Floats = np.full(total.shape, np.nan)
    np.divide(total, number, out=mean, where=number > 0)
    return mean
