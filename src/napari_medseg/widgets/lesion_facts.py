"""What is said of a lesion that a model drew and graded: its size, and the slices that decided its grade."""

from __future__ import annotations

from collections.abc import Sequence

import napari
import numpy as np
import numpy.typing as npt
from napari.layers import Image as ImageLayer
from napari.layers import Layer

from napari_medseg.data.regions import lesion_mask
from napari_medseg.measure.diameters import Diameters
from napari_medseg.measure.lesions import LesionSize, lesion_size
from napari_medseg.measure.space import space_of
from napari_medseg.structures import Prediction
from napari_medseg.widgets._layers import spatial_kwargs, true_space

#: Share of the whole attention that the slices named here hold together.
_DECIDING = 0.5
_LONG, _SHORT = "#f0e442", "#56b4e9"


def size_of(prediction: Prediction, beside: ImageLayer) -> LesionSize | None:
    """The size of everything that a prediction draws; None where it draws nothing."""
    if prediction.labels is None:
        return None
    mask = lesion_mask(np.asarray(prediction.labels))
    spacing, units = true_space(beside) or (None, None)
    return lesion_size(mask, space_of(mask.ndim, spacing, units)) if mask.any() else None


def size_texts(size: LesionSize | None, region_start: int, *, flat: bool) -> list[str]:
    """Volume (area of a picture) and diameters in words.

    Parameters
    ----------
    region_start
        First slice of the predicted region in the image.
    flat
        Whether the image is a picture.
    """
    if size is None:
        return ["Nothing is drawn in the region."]
    if size.amount is None or size.axes is None:
        return [f"{size.pixels:,} pixels; the image has no spacing."]
    axes = size.axes
    amount = f"Area {size.amount:,.1f} mm²" if flat else f"Volume {size.amount / 1000:,.2f} mL"
    place = "" if flat else f" in slice {region_start + axes.slice_index}"
    return [f"{amount}, long axis {axes.long:.1f} mm, short axis {axes.short:.1f} mm{place}."]


def deciding_slices(attention: npt.NDArray[np.float32]) -> list[int]:
    """The fewest slices that hold half of a volume's attention, the strongest first; none without any."""
    sums = attention.reshape(len(attention), -1).sum(axis=1, dtype=np.float64)
    if sums.sum() <= 0:
        return []
    order = np.argsort(-sums, kind="stable")
    needed = int(np.searchsorted(np.cumsum(sums[order]), _DECIDING * sums.sum())) + 1
    return [int(index) for index in order[:needed]]


def attention_text(prediction: Prediction) -> str:
    """Which slices decided the grade; empty for pictures and where nothing is known."""
    if prediction.attention is None or prediction.attention.ndim < 3:
        return ""
    start = prediction.region[0][0]
    slices = [start + index for index in deciding_slices(prediction.attention)]
    if not slices:
        return ""
    if len(slices) == 1:
        return f"Slice {slices[0]} decided the grade most."
    return f"Slice {slices[0]} decided the grade most; half of what did lies in slices {runs_text(slices)}."


def runs_text(numbers: Sequence[int]) -> str:
    """Whole numbers in ascending order, neighbours joined.

    Examples
    --------
    >>> runs_text([7, 3, 2, 4])
    '2 to 4, 7'
    """
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and runs[-1][-1] == number - 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]} to {run[-1]}" for run in runs)


def add_axes(
    viewer: napari.Viewer, axes: Diameters, prediction: Prediction, *, model: str, beside: ImageLayer
) -> Layer:
    """The two diameters as lines over the image, in the slice they were measured in."""
    starts = [start for start, _ in prediction.region]
    lines = []
    for ends in (axes.long_line, axes.short_line):
        points = [(y + starts[-2], x + starts[-1]) for y, x in ends]
        lead = [starts[0] + axes.slice_index] if len(starts) == 3 else []
        lines.append(np.array([[*lead, *point] for point in points]))
    layer: Layer = viewer.add_shapes(
        lines,
        shape_type="line",
        name=f"{beside.name} · {model} diameters",
        edge_color=[_LONG, _SHORT],
        edge_width=0.6,
        metadata={"prediction": model},
        **spatial_kwargs(beside),
    )
    return layer
