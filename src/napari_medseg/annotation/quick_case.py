"""The quick learner on one case: what it learns from, wherever that was drawn, and what it proposes in a field."""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_medseg.annotation.change import box_of, grown, slices_of
from napari_medseg.annotation.quick_features import GRID, HALO, Planes, pixel_features
from napari_medseg.annotation.quick_learner import Examples, Proposal, QuickForest, examples_in, joined
from napari_medseg.annotation.surfaces import Labels
from napari_medseg.structures import NOT_LOOKED_AT, Box, Progress

#: Reads a box of one plane of the picture, every so many pixels: (y, x) or (y, x, colour).
Read = Callable[[Box, int], npt.NDArray[Any]]

#: Sides of the parts outside the field from which is learnt, and how many of them, the nearest slices first.
_PART, _PARTS = 256, 12
#: Examples of each value from one such part.
_FROM_PART = 600


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """Where a proposal is wanted.

    Parameters
    ----------
    box
        In pixels of the labels, ([slice,] y, x).
    step
        Every so many rows and columns are judged.
    """

    box: Box
    step: int = 1

    @classmethod
    def around(cls, box: Box, shape: Sequence[int], most: int) -> Field:
        """The field of a box, with the smallest step (1, 2, 4, ...) that judges no more than so many pixels."""
        step = 1
        while np.prod([b - a for a, b in box], dtype=np.int64) // step**2 > most:
            step *= 2
        plane = [
            (a // step * step, min(-(-b // step) * step, n)) for (a, b), n in zip(box[-2:], shape[-2:], strict=True)
        ]
        return cls(box=(*box[:-2], *plane), step=step)

    def slices(self) -> Iterator[tuple[tuple[int, int], ...]]:
        """The box of each slice's own axes, in order."""
        yield from itertools.product(*(((i, i + 1) for i in range(*side)) for side in self.box[:-2]))


class QuickCase:
    """What the quick learner keeps of one case between two strokes. Not for two threads at a time.

    Parameters
    ----------
    read
        Reads the picture.
    columns
        Whether columns are rays of light, as in OCT.
    """

    def __init__(self, read: Read, *, columns: bool = False) -> None:
        self._read, self._columns = read, columns
        self._features: dict[tuple[Box, int], Planes] = {}
        self._parts: dict[tuple[Box, int], tuple[int, Examples]] = {}
        #: What was learnt last from this case, to go on with in another one; None before that.
        self.learnt: Examples | None = None

    def propose(
        self, field: Field, labels: Labels, others: Sequence[Examples] = (), progress: Progress | None = None
    ) -> Proposal:
        """Learn from everything that is drawn, and judge the field.

        Parameters
        ----------
        labels
            uint8 ([slice,] y, x), all of the case; 255 where nobody looked.
        others
            Examples of other cases; those of other kinds of pictures are left out.
        progress
            Told between parts of the work; may raise `Cancelled`.

        Returns
        -------
        values and confidence of the field's box.

        Raises
        ------
        AnnotationError
            There are no examples of two kinds.
        """
        planes = [(*lead, *field.box[-2:]) for lead in field.slices()]
        wanted = {(box, field.step) for box in planes}
        self._features = {key: kept for key, kept in self._features.items() if key in wanted}
        own: list[Examples] = []
        for i, box in enumerate(planes):
            if progress is not None:
                progress(i, len(planes), "features")
            seen = labels[slices_of(box)].reshape([b - a for a, b in box[-2:]])
            own.append(
                examples_in(self._features_of(box, field.step, labels.shape), seen[:: field.step, :: field.step])
            )
        own += self._elsewhere(field, labels, progress)
        count = own[0].features.shape[1]
        own = [part for part in own if len(part.values)]
        self.learnt = joined(own).thinned() if own else None
        alike = [each for each in others if each.features.shape[1] == count]
        forest = QuickForest(joined([*own, *alike]))
        found = [forest.propose(self._features_of(box, field.step, labels.shape), progress) for box in planes]
        shape = [b - a for a, b in field.box]
        values, confidence = (
            _repeated(np.stack(parts), field.step, shape)
            for parts in ([each.values for each in found], [each.confidence for each in found])
        )
        return Proposal(values=values, confidence=confidence)

    def _features_of(self, box: Box, step: int, shape: tuple[int, ...]) -> Planes:
        """Features of a box of one slice, kept for the next stroke."""
        key = (box, step)
        if key not in self._features:
            self._features[key] = self._compute(box, step, shape)
        return self._features[key]

    def _compute(self, box: Box, step: int, shape: tuple[int, ...]) -> Planes:
        around = grown(box[-2:], (HALO * step,) * 2, shape[-2:])
        wide = (*box[:-2], *((a // (GRID * step) * (GRID * step), b) for a, b in around))
        if self._columns:
            # A ray is judged as a whole.
            wide = (*wide[:-2], (0, shape[-2]), wide[-1])
        features = pixel_features(self._read(wide, step), columns=self._columns)
        inner = [((a - w) // step, -(-(b - w) // step)) for (a, b), (w, _) in zip(box[-2:], wide[-2:], strict=True)]
        return np.ascontiguousarray(features[slices_of(tuple(inner))])

    def _elsewhere(self, field: Field, labels: Labels, progress: Progress | None) -> list[Examples]:
        """Examples outside the field: other parts of the picture, other slices."""
        found: list[Examples] = []
        kept: dict[tuple[Box, int], tuple[int, Examples]] = {}
        for box in itertools.islice(_drawn_parts(field, labels), _PARTS):
            if progress is not None:
                progress(len(found), _PARTS, "features")
            seen = labels[slices_of(box)].reshape([b - a for a, b in box[-2:]])[:: field.step, :: field.step]
            key, state = (box, field.step), zlib.crc32(np.ascontiguousarray(seen).data)
            known = self._parts.get(key)
            if known is None or known[0] != state:
                known = state, examples_in(self._compute(box, field.step, labels.shape), seen, _FROM_PART)
            kept[key] = known
            found.append(known[1])
        self._parts = kept
        return found


def _drawn_parts(field: Field, labels: Labels) -> Iterator[Box]:
    """Parts of slices, outside the field, in which something is drawn; the nearest slices first."""
    drawn = labels != NOT_LOOKED_AT
    drawn[slices_of(field.box)] = False
    # A flat picture is one slice without index.
    slices = np.argwhere(np.atleast_1d(drawn.any(axis=(-2, -1))))[:, : labels.ndim - 2]
    middle = np.array([(a + b - 1) / 2 for a, b in field.box[:-2]])
    order = np.argsort(np.abs(slices - middle).sum(axis=1), kind="stable")
    side = _PART * field.step
    for index in (tuple(int(i) for i in slices[place]) for place in order):
        plane = drawn[index]
        (top, bottom), (left, right) = box_of(plane)
        corners = itertools.product(*(range(a // side * side, b, side) for a, b in ((top, bottom), (left, right))))
        for corner in corners:
            part = tuple((start, min(start + side, n)) for start, n in zip(corner, plane.shape, strict=True))
            if plane[slices_of(part)].any():
                yield (*((i, i + 1) for i in index), *part)


def _repeated(values: npt.NDArray[Any], step: int, shape: Sequence[int]) -> npt.NDArray[Any]:
    """Every pixel as often as the step says, along the last two axes, cut to a shape."""
    if step > 1:
        values = np.repeat(np.repeat(values, step, axis=-2), step, axis=-1)[..., : shape[-2], : shape[-1]]
    return values.reshape(tuple(shape))
