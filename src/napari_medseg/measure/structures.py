"""Structures of scans one by one: volume, parts, grey values inside, and the two diameters of every part.

Parts are joined through faces (6 neighbours, 4 in a picture), as the tools that clean labels join them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_medseg.measure.diameters import diameters
from napari_medseg.measure.intensities import Intensities, intensities_of
from napari_medseg.measure.rows import Row
from napari_medseg.measure.sizes import size_rows
from napari_medseg.measure.space import Space
from napari_medseg.measure.subject import Subject
from napari_medseg.structures import NOT_LOOKED_AT, Progress

Mask = npt.NDArray[np.bool_]
#: More parts than this are specks; the largest are listed.
MOST_PARTS = 100
#: Kinds of which a picture, too, has parts worth a row each.
_SCANS = ("ct", "mr", "ultrasound")


@dataclass(frozen=True, slots=True)
class _Drawn:
    """The smallest box in which anything is drawn.

    Parameters
    ----------
    labels, grey
        Both ([z,] y, x) of the box; no grey values where no image is known.
    start
        First voxel of the box in the image.
    boxes
        Where each value lies in the box, None where it does not occur; that of value v is number v - 1.
    """

    labels: npt.NDArray[Any]
    grey: npt.NDArray[Any] | None
    start: tuple[int, ...]
    boxes: list[tuple[slice, ...] | None]


def has_parts(subject: Subject) -> bool:
    """Whether its structures are measured part by part: those of volumes, and of pictures that scanners made."""
    axes = len(subject.labels.shape)
    return axes == 3 or (axes == 2 and subject.kind in _SCANS)


def structure_rows(subject: Subject, progress: Progress | None = None) -> list[Row]:
    """A row per class, as `size_rows` has it, with its grey values; after it one row per part, the largest first.

    Where the image has no spacing, sizes are in pixels and diameters are left out.
    """
    rows = size_rows(subject, progress)
    drawn = _drawn(subject) if has_parts(subject) else None
    if drawn is None:
        return rows
    complete: list[Row] = []
    for row, c in zip(rows, subject.classes, strict=True):
        box = drawn.boxes[c.value - 1]
        complete += [row] if box is None else _with_parts(row, drawn, box, c.value, subject.space)
    return complete


def _drawn(subject: Subject) -> _Drawn | None:
    """None where nothing is drawn."""
    from scipy import ndimage

    labels = np.asarray(subject.labels[...])
    boxes = ndimage.find_objects(labels, max_label=NOT_LOOKED_AT - 1)
    found = [box for box in boxes if box is not None]
    if not found:
        return None
    start = tuple(min(box[axis].start for box in found) for axis in range(labels.ndim))
    stop = tuple(max(box[axis].stop for box in found) for axis in range(labels.ndim))
    inside = tuple(map(slice, start, stop))
    return _Drawn(
        labels=labels[inside],
        # Read once, for scans are decoded slice by slice.
        grey=None if subject.grey is None else np.asarray(subject.grey[inside]),
        start=start,
        boxes=[None if box is None else _inside(box, start) for box in boxes],
    )


def _inside(box: tuple[slice, ...], start: tuple[int, ...]) -> tuple[slice, ...]:
    """A box of the image, counted from another one's first voxel."""
    return tuple(slice(side.start - first, side.stop - first) for side, first in zip(box, start, strict=True))


def _with_parts(row: Row, drawn: _Drawn, box: tuple[slice, ...], value: int, space: Space) -> list[Row]:
    """The row of a class, and those of its parts."""
    from scipy import ndimage

    mask = drawn.labels[box] == value
    grey = None if drawn.grey is None else drawn.grey[box]
    start = _corner(box, drawn.start)
    numbers, count = ndimage.label(mask)
    parts = [
        _part_row(row, number, part, None if grey is None else grey[place], _corner(place, start), space)
        for number, (place, part) in enumerate(_largest(numbers), 1)
    ]
    note = f"the largest {MOST_PARTS} of {count:,} parts are listed" if count > MOST_PARTS else ""
    whole = replace(
        row,
        parts=count,
        note="; ".join(text for text in (row.note, note) if text),
        **_cells(None if grey is None else intensities_of(grey[mask])),
    )
    return [whole, *parts]


def _largest(numbers: npt.NDArray[np.int32]) -> Iterator[tuple[tuple[slice, ...], Mask]]:
    """Box and mask of each numbered part, the largest first, the first of equal ones before the others."""
    from scipy import ndimage

    sizes = np.bincount(numbers.reshape(-1))[1:]
    boxes = ndimage.find_objects(numbers)
    for index in np.argsort(-sizes, kind="stable")[:MOST_PARTS]:
        yield boxes[index], numbers[boxes[index]] == index + 1


def _corner(place: tuple[slice, ...], start: tuple[int, ...]) -> tuple[int, ...]:
    """First voxel of a box, counted from where that box is itself counted from."""
    return tuple(side.start + first for side, first in zip(place, start, strict=True))


def _part_row(
    row: Row, number: int, mask: Mask, grey: npt.NDArray[Any] | None, corner: tuple[int, ...], space: Space
) -> Row:
    pixels = int(np.count_nonzero(mask))
    size = space.pixel_size
    amount = None if size is None else pixels * size
    down, right = space.steps[-2:]
    axes = diameters(mask, (down, right)) if down is not None and right is not None else None
    middle = [at + first for at, first in zip(_middle(mask, space), corner, strict=True)]
    return replace(
        row,
        measure="part",
        part=number,
        pixels=pixels,
        area_mm2=amount if mask.ndim == 2 else None,
        volume_mm3=amount if mask.ndim == 3 else None,
        long_mm=None if axes is None else axes.long,
        short_mm=None if axes is None else axes.short,
        z=middle[0] if mask.ndim == 3 else None,
        y=middle[-2],
        x=middle[-1],
        **_cells(None if grey is None else intensities_of(grey[mask])),
    )


def _middle(mask: Mask, space: Space) -> tuple[int, ...]:
    """The voxel of a part that is nearest to its centre of mass, which may itself lie outside (rings, arcs)."""
    from scipy import ndimage

    center = np.asarray(ndimage.center_of_mass(mask))
    nearest = tuple(round(place) for place in center)
    if mask[nearest]:
        return nearest
    steps = [step or 1.0 for step in space.steps]
    points = np.argwhere(mask)
    apart = ((points - center) * steps) ** 2
    return tuple(int(index) for index in points[apart.sum(axis=1).argmin()])


def _cells(found: Intensities | None) -> dict[str, Any]:
    """Columns of a row."""
    if found is None:
        return {}
    return {
        "grey_mean": found.mean,
        "grey_sd": found.sd,
        "grey_median": found.median,
        "grey_p5": found.p5,
        "grey_p95": found.p95,
    }
