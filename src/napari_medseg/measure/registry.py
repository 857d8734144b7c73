"""What is measured of which kind of image.

A further measure is a function from a `Subject` to rows and an entry in `MEASURES`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from napari_medseg.measure.lines import line_rows
from napari_medseg.measure.retina import thickness_rows
from napari_medseg.measure.rows import Row
from napari_medseg.measure.sizes import size_rows
from napari_medseg.measure.structures import structure_rows
from napari_medseg.measure.subject import Subject
from napari_medseg.structures import Kind, Progress

Measurement = Callable[[Subject, Progress | None], list[Row]]

#: Measurements by kind of image; kinds that are not named have their structures measured, in volumes part by
#: part, and the diameters that were drawn.
MEASURES: Mapping[Kind, tuple[Measurement, ...]] = {"oct": (thickness_rows, size_rows), "slide": (size_rows,)}
_ALWAYS: tuple[Measurement, ...] = (structure_rows, line_rows)


def has_lines(subject: Subject) -> bool:
    """Whether diameters that a person drew are among what is measured."""
    return line_rows in MEASURES.get(subject.kind, _ALWAYS)


def measure(subject: Subject, progress: Progress | None = None) -> list[Row]:
    """Everything measured of one label image.

    Raises
    ------
    ConfigError
        Surfaces and classes do not fit each other, or the fovea lies outside the scan.
    """
    return [row for part in MEASURES.get(subject.kind, _ALWAYS) for row in part(subject, progress)]
