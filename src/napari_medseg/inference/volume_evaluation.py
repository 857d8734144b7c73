"""Distances between the surfaces of predicted and true structures in a volume, in its own units."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.ndimage import binary_erosion, distance_transform_edt, generate_binary_structure

from napari_medseg import metrics
from napari_medseg.structures import NOT_LOOKED_AT, MaskClass

#: What a case adds for a class: HD95, ASSD, 1 where both were measured; 1 where the class was missed.
_WIDTH = 4


def surface_distances(
    truth: npt.NDArray[np.bool_], predicted: npt.NDArray[np.bool_], spacing: Sequence[float]
) -> npt.NDArray[np.float64]:
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
    surfaces = [_surface(mask[box]) for mask in (truth, predicted)]
    there, back = (
        distance_transform_edt(~other, sampling=spacing)[own] for own, other in (surfaces, tuple(reversed(surfaces)))
    )
    farthest = max(float(np.percentile(there, 95)), float(np.percentile(back, 95)))
    return np.array([farthest, np.concatenate([there, back]).mean()])


def _surface(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    inside: npt.NDArray[np.bool_] = binary_erosion(mask, generate_binary_structure(mask.ndim, 1))
    return mask & ~inside


def distance_sums(
    truth: npt.NDArray[np.uint8],
    predicted: npt.NDArray[np.uint8],
    classes: Sequence[MaskClass],
    spacing: Sequence[float] | None,
) -> npt.NDArray[np.float64]:
    """What a case adds to `distance_figures`.

    Parameters
    ----------
    truth, predicted
        uint8 labels of the same shape; nothing is compared where nobody looked.
    classes
        Mask classes.
    spacing
        Per axis; None counts voxels.

    Returns
    -------
    array (classes, 4): HD95, ASSD and 1 where truth and prediction hold the class, 1 in the last place where only the
    truth does
    """
    known = truth != NOT_LOOKED_AT
    sums = np.zeros((len(classes), _WIDTH))
    for i, mask_class in enumerate(classes):
        true = truth == mask_class.value
        if not true.any():
            continue
        found = (predicted == mask_class.value) & known
        if found.any():
            sums[i, :2] = surface_distances(true, found, spacing or (1.0,) * truth.ndim)
            sums[i, 2] = 1
        else:
            sums[i, 3] = 1
    return sums


def distance_figures(by_group: npt.NDArray[np.float64], classes: Sequence[MaskClass], seed: int) -> dict[str, Any]:
    """Mean HD95 and ASSD over cases, with intervals over groups.

    Parameters
    ----------
    by_group
        (groups, classes, 4): `distance_sums` of the cases of each group.
    classes, seed
        Mask classes; seed of the bootstrap.
    """

    def means(sums: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """(n, classes, 4) to (n, 2, classes + 1), the mean over classes last."""
        number = sums[..., 2]
        each = np.stack(
            [np.divide(sums[..., k], number, out=np.full(number.shape, np.nan), where=number > 0) for k in range(2)],
            axis=1,
        )
        return np.concatenate([each, metrics.mean_of_defined(each)[..., np.newaxis]], axis=-1)

    total = by_group.sum(axis=0)
    figures, bounds = means(total[np.newaxis])[0], metrics.bootstrap_interval(by_group, means, seed)
    document = {}
    for i, name in enumerate([*(c.name for c in classes), "mean"]):
        counts = total[i] if i < len(classes) else total.sum(axis=0)
        entry: dict[str, Any] = {"n_measured": int(counts[2]), "n_missed": int(counts[3])}
        for k, key in enumerate(("hd95", "assd")):
            interval = bounds[:, k, i]
            entry |= {key: figures[k, i], f"{key}_ci": None if np.isnan(interval).any() else [*map(float, interval)]}
        document[name] = entry
    return document
