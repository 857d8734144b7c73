"""A stroke on a network's result changes what looks alike to the network nearby.

Gaussian process regression with one correction per stroke, reduced to its first step: by how much the network was wrong
at the pixels of the stroke is carried over to other pixels, weighted by a Gaussian kernel of the distance between the
features that the last layer reads and of the distance in the picture (Rasmussen and Williams, "Gaussian Processes for
Machine Learning" (2006), section 4.2: products of kernels). A pixel changes where what is carried over makes up for
the lead of its present class. Nothing is trained, and nothing beyond the kernel's reach can change.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_medseg.annotation.change import Mask, box_of, grown, slices_of

if TYPE_CHECKING:
    from napari_medseg.inference.local_view import LocalView

#: Standard deviation of the kernel in features, each of which has one of 1.
_ALIKE = 0.6
#: Its standard deviation in the picture as a share of the stroke's longer side, and its limits, in pixels.
_NEAR, _LEAST, _MOST = 0.6, 10.0, 24.0
#: Standard deviations beyond which nothing changes.
_REACH = 2.5
#: By how much the class of a stroke leads at the stroke itself, in logarithms of probabilities.
_LEAD = 1.5
#: What must be carried over at least, also where the network is of the person's opinion.
_LEAST_GAIN = 0.1
#: Pixels of a stroke that are looked at.
_SAMPLES = 96
#: Probabilities are not trusted beyond this: of what a network is certain, it would not let itself be talked out.
_SMALLEST = 0.05


def spread(
    view: LocalView, present: npt.NDArray[np.intp], stroke: Mask, channel: int, *, kept: Mask, scale: float = 1.0
) -> Mask:
    """Where a stroke's class is to be drawn, the stroke itself included.

    Parameters
    ----------
    view
        What the network makes of the surroundings, (y, x).
    present
        Channel of the class that each pixel has now (y, x); -1 for none.
    stroke
        bool (y, x): where the person drew.
    channel
        Of the class that was drawn.
    kept
        bool (y, x): what must not change, apart from the stroke.
    scale
        Pixels of the image per pixel of the network.
    """
    longest = max(stop - start for start, stop in box_of(stroke)) / scale
    near = scale * float(np.clip(_NEAR * longest, _LEAST, _MOST))
    place = grown(box_of(stroke), (round(_REACH * near),) * 2, stroke.shape)
    inside = slices_of(place)
    drawn = stroke[inside]
    logs = np.log(np.maximum(view.probabilities[(slice(None), *inside)], _SMALLEST))
    now = present[inside]
    leading = np.where(now < 0, logs.max(axis=0), np.take_along_axis(logs, np.maximum(now, 0)[np.newaxis], 0)[0])
    behind = np.maximum(leading - logs[channel], 0)
    features = view.features[(slice(None), *inside)]
    gain = _carried(features, behind + np.float32(_LEAD), drawn, near)
    wanted = ((gain > np.maximum(behind, _LEAST_GAIN)) & (now != channel) & ~kept[inside]) | drawn
    # What looks alike elsewhere was not meant.
    parts, _ = ndimage.label(wanted)
    found = np.zeros(stroke.shape, bool)
    found[inside] = np.isin(parts, np.unique(parts[drawn]))
    return found


def _carried(
    features: npt.NDArray[np.float32], needed: npt.NDArray[np.float32], drawn: Mask, near: float
) -> npt.NDArray[np.float32]:
    """What is carried over from the pixels of a stroke to all others: the most of any of them."""
    rows, columns = np.nonzero(drawn)
    if len(rows) > _SAMPLES:
        chosen = np.linspace(0, len(rows) - 1, _SAMPLES).astype(int)
        rows, columns = rows[chosen], columns[chosen]
    count, height, width = features.shape
    grid = np.indices((height, width), np.float32).reshape(2, -1)
    # One Gaussian of both distances: features count as further axes.
    weights = (np.sqrt(count) * _ALIKE, near)
    points = np.concatenate([features.reshape(count, -1) / np.float32(weights[0]), grid / np.float32(weights[1])])
    corners = points.reshape(-1, height, width)[:, rows, columns]
    distances = (points**2).sum(axis=0)[:, np.newaxis] + (corners**2).sum(axis=0) - 2 * points.T @ corners
    strength = np.exp(-np.maximum(distances, 0) / 2) * needed[rows, columns]
    return np.asarray(strength.max(axis=1).reshape(height, width))
