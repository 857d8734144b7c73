"""How large each class is: its pixels, and its area or volume where spacing is known."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from napari_medseg.measure.rows import Row
from napari_medseg.measure.subject import Subject
from napari_medseg.structures import ArrayLike, Progress

_VALUES = 256


def count_values(labels: ArrayLike, progress: Progress | None = None) -> npt.NDArray[np.int64]:
    """Pixels per value 0..255, one slice at a time."""
    slices = 1 if len(labels.shape) == 2 else labels.shape[0]
    counts = np.zeros(_VALUES, np.int64)
    for index in range(slices):
        plane = np.asarray(labels[index] if len(labels.shape) > 2 else labels[...])
        # Numbers beyond 255 are no classes; they fall on the value that counts for nothing.
        counts += np.bincount(np.clip(plane, 0, _VALUES - 1).reshape(-1), minlength=_VALUES)
        if progress is not None:
            progress(index + 1, slices, "")
    return counts


def size_rows(subject: Subject, progress: Progress | None = None) -> list[Row]:
    """One row per class: mm² for a picture, mm³ for a volume, and pixels always."""
    counts = count_values(subject.labels, progress)
    size = subject.space.pixel_size
    flat = len(subject.labels.shape) == 2
    rows = []
    for c in subject.classes:
        pixels = int(counts[c.value])
        amount = None if size is None else pixels * size
        rows.append(
            Row(
                case=subject.name,
                measure="size",
                structure=c.name,
                pixels=pixels,
                area_mm2=amount if flat else None,
                volume_mm3=None if flat else amount,
                note="" if size is not None else "no spacing: in pixels alone",
            )
        )
    return rows
