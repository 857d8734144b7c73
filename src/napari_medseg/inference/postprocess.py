"""What is done to labels after a network has drawn them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from napari_medseg.annotation.order import repair_order


def repair_layers(labels: Any, pile: Sequence[int]) -> float:
    """Put the layers of every column in order, in place, B-scan by B-scan.

    Parameters
    ----------
    labels
        uint8 ([z,] y, x), numpy or zarr.
    pile
        Label values of the layers from top to bottom.

    Returns
    -------
    Share of the columns with layers in which a pixel was changed.
    """
    changed = layered = 0
    for index in np.ndindex(*labels.shape[:-2]):
        bscan = np.asarray(labels[index])
        repaired = repair_order(bscan, pile).labels
        different = (repaired != bscan).any(axis=0)
        layered += int(np.isin(bscan, [value for value in pile if value]).any(axis=0).sum())
        if different.any():
            changed += int(different.sum())
            labels[index] = repaired
    return changed / max(layered, 1)
