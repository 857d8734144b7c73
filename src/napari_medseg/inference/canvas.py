"""Stitching: windows of logits in, finished rows of labels out, with memory for one row of windows.

Windows come in order of their first axis. Once a window of the next row arrives, the rows above it can receive nothing
more: they are brought to the image's pixels, turned into labels and written, and the rest of the buffer rolls up.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from napari_medseg.inference.columns import ColumnConfidence
from napari_medseg.inference.looked_at import LookedAt
from napari_medseg.inference.resampling import AxisMap
from napari_medseg.inference.windows import AxisPlan
from napari_medseg.structures import NOT_LOOKED_AT

#: Bytes of float32 logits that are turned into labels at a time; about the size of a processor's cache.
_BLOCK_BYTES = 8 * 2**20


class RowWriter:
    """Writes rows of an array in whole chunks, so that no stored chunk is written twice.

    Parameters
    ----------
    target
        numpy or zarr array.
    axis
        Number of axes of `target` before those of `index`, which are written whole (classes).
    index
        Position along the axes after them (the slice of a stack); the rows follow.
    first
        The first row to be written; those before are written already.
    """

    def __init__(self, target: Any, axis: int, index: tuple[int, ...], first: int = 0) -> None:
        self._target, self._axis, self._index = target, axis, index
        stored = getattr(target, "shards", None) or getattr(target, "chunks", None)
        self._chunk = int(stored[len(index) + axis]) if stored else 1
        #: The row from which on chunks are counted.
        self._origin = int(getattr(target, "origin", 0))
        self._pending: list[npt.NDArray[Any]] = []
        self._row = first
        self._held = 0

    @property
    def written(self) -> int:
        """Rows that are written, from the first of all."""
        return self._row

    def write(self, rows: npt.NDArray[Any]) -> None:
        """Take the next rows; whole chunks are written."""
        self._pending.append(rows)
        self._held += rows.shape[self._axis]
        end = self._origin + self._row + self._held
        whole = end // self._chunk * self._chunk - self._origin - self._row
        if whole > 0:
            self._store(whole)

    def finish(self) -> None:
        """Write what is left."""
        if self._held:
            self._store(self._held)

    def _store(self, count: int) -> None:
        rows = self._pending[0] if len(self._pending) == 1 else np.concatenate(self._pending, axis=self._axis)
        head, rest = np.split(rows, [count], axis=self._axis)
        key = (*(slice(None),) * self._axis, *self._index, slice(self._row, self._row + count))
        self._target[key] = head
        self._pending = [rest.copy()] if rest.shape[self._axis] else []
        self._row += count
        self._held -= count


@dataclass(frozen=True, slots=True)
class Targets:
    """Where a prediction is written.

    Parameters
    ----------
    labels
        uint8 array of the region's shape; None for a network that draws nothing.
    probabilities
        float16 array (class, *the region's shape), numpy or zarr; None where not wanted.
    columns
        Sums up how sure the network is; None where not wanted.
    rows_written
        Called with the number of rows of the region that are written for good, whenever it grew.
    """

    labels: Any
    probabilities: Any = None
    columns: ColumnConfidence | None = None
    rows_written: Callable[[int], None] | None = None


class Canvas:
    """Blends the windows of one slice or volume and writes labels, and probabilities where asked for.

    Parameters
    ----------
    plans
        Windows per axis, in working pixels.
    maps
        Working to image pixels per axis; their ranges are the region.
    values
        Label value per channel, the background first; without the background where classes overlap.
    overlapping
        Whether every channel is a yes or no of its own; see `napari_medseg.inference.predictor.Predictor`.
    targets
        Where rows are written.
    index
        Position along the leading axes of the targets.
    looked_at
        Labels elsewhere are `NOT_LOOKED_AT`, probabilities 0. None: everywhere.
    device
        Where logits are blended.
    first_row
        Rows of the region before this one were written by an earlier run, and are not again. All that happens to the
        others is what would have happened then, operation by operation, so that not a bit differs.
    last_row
        Rows from this one on are written by another run, and not here; None for all rows.
    """

    def __init__(
        self,
        plans: Sequence[AxisPlan],
        maps: Sequence[AxisMap],
        values: Sequence[int],
        targets: Targets,
        index: tuple[int, ...],
        looked_at: LookedAt | None,
        device: torch.device,
        overlapping: bool = False,
        first_row: int = 0,
        last_row: int | None = None,
    ) -> None:
        self._maps, self._values, self._looked_at = maps, values, looked_at
        self._overlapping = overlapping
        self._needed = [m.needed for m in maps]
        self._first_row = first_row
        self._last_row = len(maps[0].lower) if last_row is None else last_row
        self._labels = RowWriter(targets.labels, 0, index, first_row)
        wanted = targets.probabilities
        self._probabilities = RowWriter(wanted, 1, index, first_row) if wanted is not None else None
        self._columns, self._index, self._rows_written = targets.columns, index, targets.rows_written
        height = min(plans[0].window + 1, self._needed[0][1] - self._needed[0][0])
        widths = [stop - start for start, stop in self._needed[1:]]
        # One row more than a window: interpolation looks one row back.
        self._sums = torch.zeros((len(values), height, *widths), device=device)
        self._weights = [[torch.from_numpy(w).to(device) for w in plan.weights] for plan in plans]
        self._plans = plans
        self._top = self._needed[0][0]
        self._done = 0
        #: Whether the buffer holds anything but zeros.
        self._blended = False

    def add(self, position: tuple[int, ...], logits: torch.Tensor) -> None:
        """Blend one window in.

        Parameters
        ----------
        position
            Index of the window along every axis.
        logits
            (class, [z,] y, x) of the window's size.
        """
        source, target = [slice(None)], [slice(None)]
        weights = []
        for axis, (plan, i, (first, end)) in enumerate(zip(self._plans, position, self._needed, strict=True)):
            low, high = plan.spans[i]
            start, stop = max(low, first), min(high, end)
            if axis == 0:
                self._flush(start)
                first = self._top
            source.append(slice(start - plan.starts[i], stop - plan.starts[i]))
            target.append(slice(start - first, stop - first))
            shape = [-1 if k == axis else 1 for k in range(len(self._plans))]
            weights.append(self._weights[axis][i][start - low : stop - low].reshape(shape))
        weight = weights[0]
        for other in weights[1:]:
            weight = weight * other
        self._blended = True
        self._sums[tuple(target)].addcmul_(logits[tuple(source)].to(self._sums), weight)

    def pass_by(self, position: tuple[int, ...]) -> None:
        """Do as if a window had been blended in none of whose rows is written here."""
        self._flush(max(self._plans[0].spans[position[0]][0], self._needed[0][0]))

    def finish(self) -> None:
        """Write all rows that are left."""
        if self._done < self._last_row:
            self._flush(self._needed[0][1])
        self._labels.finish()
        if self._probabilities is not None:
            self._probabilities.finish()
        if self._rows_written is not None:
            self._rows_written(self._labels.written)

    def _flush(self, until: int) -> None:
        """Emit what is final once no window reaches above row `until`; skipped windows may leave a gap above it."""
        while (end := self._top + self._sums.shape[1]) < until:
            self._advance(end)
        self._advance(until)

    def _advance(self, until: int) -> None:
        """Emit every image row that needs no working row from `until` on, and roll the buffer up."""
        rows = self._maps[0]
        ready = int(np.searchsorted(rows.upper, until))
        row_bytes = 4 * len(self._values) * int(np.prod([m.stop - m.start for m in self._maps[1:]]))
        step = max(1, _BLOCK_BYTES // row_bytes)
        for start in range(self._done, ready, step):
            self._emit(slice(start, min(start + step, ready)))
        self._done = max(ready, self._done)
        keep = int(rows.lower[ready]) if ready < len(rows.lower) else until
        self._roll(min(keep, until) - self._top)

    def _roll(self, count: int) -> None:
        """Move the rows from `count` on to the top of the buffer and clear what they leave."""
        if count <= 0:
            return
        self._top += count
        if not self._blended:
            return
        rest = self._sums.shape[1] - count
        self._blended = rest > 0
        for start in range(0, rest, count):  # in steps that do not overlap themselves
            stop = min(start + count, rest)
            self._sums[:, start:stop] = self._sums[:, start + count : stop + count]
        self._sums[:, max(rest, 0) :] = 0

    def _emit(self, part: slice) -> None:
        """Turn some of the image's rows into labels and write them."""
        first, last = max(part.start, self._first_row), min(part.stop, self._last_row)
        if first >= last:
            return
        new = slice(first - part.start, last - part.start)
        before = self._labels.written
        labels, shares = self._answers(part)
        self._labels.write(labels[new])
        if self._probabilities is not None:
            self._probabilities.write(shares.half().cpu().numpy()[:, new])
        if self._columns is not None:
            self._columns.add(self._index, labels, shares.amax(dim=0).float().cpu().numpy())
        if self._rows_written is not None and self._labels.written > before:
            self._rows_written(self._labels.written)

    def _answers(self, part: slice) -> tuple[npt.NDArray[np.uint8], torch.Tensor]:
        """Labels of some of the image's rows, and their probabilities (no class where those are not wanted)."""
        shape = [m.stop - m.start for m in self._maps]
        shape[0] = part.stop - part.start
        wanted = self._probabilities is not None or self._columns is not None
        channels = len(self._values) + self._overlapping if wanted else 0
        if self._looked_at is None:
            logits = self._logits(part, slice(0, shape[-1]))
            shares = self._shares(logits) if wanted else logits.new_zeros((0, *shape))
            return self._decide(logits).cpu().numpy(), shares
        labels = np.full(shape, NOT_LOOKED_AT, np.uint8)
        shares = self._sums.new_zeros((channels, *shape))
        for run in self._looked_at.runs(part):
            logits = self._logits(part, run)
            others = [slice(0, n) for n in shape[1:-1]]
            seen = self._looked_at.pixels([part, *others, run])
            labels[..., run] = np.where(seen, self._decide(logits).cpu().numpy(), np.uint8(NOT_LOOKED_AT))
            if wanted:
                shares[..., run] = self._shares(logits) * torch.from_numpy(seen).to(logits.device)
        return labels, shares

    def _logits(self, part: slice, columns: slice) -> torch.Tensor:
        """Logits of some of the image's rows, and of a stretch of its last axis."""
        last = self._maps[-1]
        low, high = int(last.lower[columns][0]), int(last.upper[columns][-1]) + 1
        first = self._needed[-1][0]
        logits = self._sums[..., low - first : high - first]
        logits = self._maps[0].apply(logits, 1, self._top, part)
        for axis, axis_map in enumerate(self._maps[1:-1], start=1):
            logits = axis_map.apply(logits, axis + 1, self._needed[axis][0], slice(None))
        return last.apply(logits, len(self._maps), low, columns)

    def _decide(self, logits: torch.Tensor) -> torch.Tensor:
        return (label_of_last if self._overlapping else label_of_largest)(logits, self._values)

    def _shares(self, logits: torch.Tensor) -> torch.Tensor:
        return shares_of_overlapping(logits) if self._overlapping else torch.softmax(logits, dim=0)


def label_of_largest(logits: torch.Tensor, values: Sequence[int]) -> torch.Tensor:
    """Value of the class with the largest logit; the earlier class where two are equal.

    A running maximum needs one byte per pixel, where `torch.argmax` makes eight.

    Parameters
    ----------
    logits
        (class, [z,] y, x)
    values
        Label value per class, 0..255.

    Returns
    -------
    uint8 tensor ([z,] y, x)
    """
    labels = torch.full(logits.shape[1:], values[0], dtype=torch.uint8, device=logits.device)
    best = logits[0]
    for value, challenger in zip(values[1:], logits[1:], strict=True):
        labels.masked_fill_(challenger > best, value)
        best = torch.maximum(best, challenger)
    return labels


def label_of_last(logits: torch.Tensor, values: Sequence[int]) -> torch.Tensor:
    """Value of the last class that is more probable than not, 0 where none is.

    Parameters
    ----------
    logits
        (class, [z,] y, x), without the background.
    values
        Label value per class, 1..254.

    Returns
    -------
    uint8 tensor ([z,] y, x)
    """
    labels = torch.zeros(logits.shape[1:], dtype=torch.uint8, device=logits.device)
    for value, logit in zip(values, logits, strict=True):
        labels.masked_fill_(logit > 0, value)
    return labels


def shares_of_overlapping(logits: torch.Tensor) -> torch.Tensor:
    """Probability of every class on its own, and before them that of the background: that not even the likeliest is.

    Parameters
    ----------
    logits
        (class, [z,] y, x), without the background.

    Returns
    -------
    (class + 1, [z,] y, x); they need not sum to 1
    """
    shares = torch.sigmoid(logits)
    return torch.cat([1 - shares.amax(dim=0, keepdim=True), shares])
