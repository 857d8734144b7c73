"""Diameters that a person drew with the mouse: their lengths, one row each."""

from __future__ import annotations

import math

from napari_medseg.measure.rows import Row
from napari_medseg.measure.space import Space
from napari_medseg.measure.subject import Subject
from napari_medseg.structures import Progress, Segment


def line_rows(subject: Subject, progress: Progress | None = None) -> list[Row]:
    """A row per line, in the order in which they were drawn."""
    return [_row(subject, number, line) for number, line in enumerate(subject.lines, 1)]


def length_of(line: Segment, space: Space) -> float | None:
    """Millimetres from end to end; None where a line runs along an axis whose spacing is not known.

    Examples
    --------
    >>> length_of(((4.0, 0.0, 0.0), (4.0, 3.0, 8.0)), Space(steps=(None, 1.0, 0.5)))
    5.0
    """
    total = 0.0
    for start, stop, step in zip(*line, space.steps, strict=True):
        if start == stop:
            continue
        if step is None:
            return None
        total += ((stop - start) * step) ** 2
    return math.sqrt(total)


def _row(subject: Subject, number: int, line: Segment) -> Row:
    middle = [round((start + stop) / 2) for start, stop in zip(*line, strict=True)]
    length = length_of(line, subject.space)
    return Row(
        case=subject.name,
        measure="line",
        structure=f"line {number}",
        long_mm=length,
        z=middle[0] if len(middle) == 3 else None,
        y=middle[-2],
        x=middle[-1],
        note="" if length is not None else "no spacing",
    )
