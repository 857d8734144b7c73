"""Prediction of a slide: strip by strip, row by row, into arrays on the disk, so that it can be stopped and go on.

A strip is as wide as memory allows for the rows that are being blended, mostly the whole slide; windows at the border
of two strips are run for both. Labels are final and written once no window reaches above their rows. A program that is
killed goes on at the first row that was not written: it runs again the few windows that reach over that row, in the
same batches, and blends them into the same places of the same buffer, so that not a bit differs. In the same way
several programs can each write a band of rows.
"""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from napari_medseg.inference.canvas import Targets
from napari_medseg.inference.engine import PLAIN, InRows, Run, judgement
from napari_medseg.inference.job import Job, Window, plan_job
from napari_medseg.inference.journal import Journal
from napari_medseg.inference.predictor import Predictor
from napari_medseg.inference.windows import cut_at_middles
from napari_medseg.io.growing import GrowingPyramid
from napari_medseg.models.allocator import kept_memory
from napari_medseg.models.compute import Compute
from napari_medseg.structures import Box, Image, Progress, TagResult

#: Bytes of the rows that are being blended and of those that wait to be written.
_STRIP_BYTES = 256 * 2**20
_MOST_READERS = 4
#: First row and end, counted from the first row of the region.
Band = tuple[int, int]
#: Probabilities are stored as whole numbers up to this.
PROBABILITY_ONE = 255


@dataclass(frozen=True, slots=True, kw_only=True)
class SlideOutputs:
    """Where the results of a slide are written, all in the slide's own grid.

    Parameters
    ----------
    labels
        uint8 pyramid (y, x), 255 where nobody looks; None for a network that draws nothing.
    probabilities
        uint8 pyramid (class with the background, y, x), 255 meaning 1; None where not wanted.
    journal
        What is finished of the rows that are written.
    """

    labels: GrowingPyramid | None
    probabilities: GrowingPyramid | None
    journal: Journal


@dataclass(slots=True)
class SlideRun:
    """What a run did.

    Parameters
    ----------
    jobs
        Windows per strip.
    windows
        Windows that this run computed.
    seconds
        Spent waiting for pixels, in the network, and in blending and writing.
    notes
        Sentences for people.
    """

    jobs: tuple[Job, ...]
    windows: int = 0
    seconds: dict[str, float] = field(default_factory=lambda: {"read": 0.0, "network": 0.0, "write": 0.0})
    notes: list[str] = field(default_factory=list)

    def tiles(self) -> list[tuple[int, int]]:
        """Row and column of every window, in order."""
        return sorted({(w.position[0], w.position[1]) for job in self.jobs for w in job.windows})

    def tile_edges(self, axis: int) -> npt.NDArray[np.int64]:
        """Where along an axis each window begins to count most: pixels of the slide, one more than windows."""
        plan, axis_map = self.jobs[0].plans[axis], self.jobs[0].maps[axis]
        spans = cut_at_middles(plan.starts, plan.window, plan.length)
        edges = np.array([0, *(stop for _, stop in spans)], np.float64)
        return np.rint(edges * axis_map.size / axis_map.working).astype(np.int64)


def predict_slide(
    predictor: Predictor,
    image: Image,
    outputs: SlideOutputs,
    *,
    region: Box | None = None,
    mask: npt.NDArray[np.bool_],
    band: Band | None = None,
    batch: int | None = None,
    compute: Compute | None = None,
    progress: Progress | None = None,
    cancel: Callable[[], bool] | None = None,
) -> SlideRun:
    """Predict what is not finished of a slide.

    Parameters
    ----------
    predictor
        Of two axes, without a `focus`.
    image
        Of two spatial axes.
    outputs
        Where results go; its journal says what is there.
    band
        The rows to write, as `plan_bands` chooses them; None for all.
    region, mask, batch, compute, progress, cancel
        As in `napari_medseg.inference.engine.predict`; progress counts the windows of the whole slide.

    Raises
    ------
    ConfigError, ModelError, ReadError, Cancelled
        As `napari_medseg.inference.engine.predict`.
    WriteError
        The results cannot be written.
    """
    jobs = plan_slide(predictor, image, outputs, region=region, mask=mask)
    rows = band or (0, jobs[0].region[0][1] - jobs[0].region[0][0])
    done = SlideRun(jobs)
    counts = [len(job.around(*rows)[1]) for job in jobs]
    total = sum(counts)
    with kept_memory():
        for number, (job, end) in enumerate(zip(jobs, itertools.accumulate(counts), strict=True)):
            strip = _Strip(number, job, outputs, rows)
            run = Run(predictor, image, job, strip.targets(), batch, compute or PLAIN, strip.rows())

            def report(now: int, of: int, text: str, end: int = end) -> None:
                # What was finished earlier counts as done.
                if progress is not None:
                    progress(end - of + now, total, text)

            todo = run.execute(report, cancel)
            strip.finish()
            done.windows += todo
            done.notes += [note for note in run.notes if note not in done.notes]
            for part, seconds in run.seconds.items():
                done.seconds[part] += seconds
    return done


def plan_slide(
    predictor: Predictor,
    image: Image,
    outputs: SlideOutputs,
    *,
    region: Box | None = None,
    mask: npt.NDArray[np.bool_],
) -> tuple[Job, ...]:
    """The windows of every strip of a slide; arguments and errors as `predict_slide`."""
    box = region or tuple((0, n) for n in image.spatial_shape)
    strips = _strips(predictor, image, box, outputs)
    return tuple(plan_job(predictor, image, strip, mask) for strip in strips)


def plan_bands(jobs: Sequence[Job], outputs: SlideOutputs, parts: int) -> list[Band]:
    """Rows for several programs, with about as many windows for each.

    Bands begin where files of the arrays do, so that no file has two writers.

    Parameters
    ----------
    jobs
        From `plan_slide`.
    parts
        Bands that are wanted; there are fewer where the slide has not as many files one below the other.

    Returns
    -------
    first row and end of every band, counted from the region's first row
    """
    (top, bottom), rows, plan = jobs[0].region[0], jobs[0].maps[0], jobs[0].plans[0]
    stored = [
        p.levels[0].shards or p.levels[0].chunks for p in (outputs.labels, outputs.probabilities) if p is not None
    ]
    step = max((s[-2] for s in stored), default=round(plan.window * rows.size / rows.working))
    begins = [int(np.searchsorted(rows.upper, plan.spans[w.position[0]][0])) for job in jobs for w in job.windows]
    edges = np.arange(top // step + 1, -(-bottom // step)) * step - top
    # Windows that begin above each edge.
    counts = np.searchsorted(np.sort(begins), edges)
    wanted = len(begins) * np.arange(1, parts) / parts
    cuts = {int(edges[np.abs(counts - share).argmin()]) for share in wanted} if edges.size else set()
    return list(itertools.pairwise([0, *sorted(cuts), bottom - top]))


def tag_of(predictor: Predictor, journal: Journal) -> TagResult | None:
    """The slide's tag: all windows together, each by its area; None without classifier, or where none was run."""
    told = [journal.judgements[place] for place in sorted(journal.judgements)]
    if not told or not predictor.tags:
        return None
    areas = np.array([one.area for one in told], np.float64)
    weighted = areas @ np.stack([one.logits for one in told]).astype(np.float64)
    return judgement(predictor, np.append(weighted, areas.sum()))


def _strips(predictor: Predictor, image: Image, region: Box, outputs: SlideOutputs) -> list[Box]:
    """The region in strips, whose borders lie where files of the arrays begin."""
    rows, (left, right) = region
    grid, scale = predictor.grid(image), predictor.scale_of(image)
    bytes_per_column, step = 4 * (len(predictor.classes) + 1) * grid.window[0] * scale[1], 1
    for pyramid, copies in ((outputs.labels, 3), (outputs.probabilities, 5)):
        if pyramid is not None:
            stored = pyramid.levels[0].shards or pyramid.levels[0].chunks
            bytes_per_column += copies * math.prod(stored[:-1])
            step = max(step, stored[-1], 2 ** (len(pyramid.levels) - 1))
    width = max(1, int(_STRIP_BYTES / bytes_per_column / step)) * step
    edges = [left, *range((left // width + 1) * width, right, width), right]
    return [(rows, (a, b)) for a, b in itertools.pairwise(edges)]


class _Strip:
    """A strip's targets and what the journal hears of it, in a band of rows."""

    def __init__(self, number: int, job: Job, outputs: SlideOutputs, band: Band) -> None:
        self._number, self._job, self._outputs = number, job, outputs
        self._first, self._last = band

    def targets(self) -> Targets:
        """Where the strip's rows are written."""
        outputs = self._outputs
        if outputs.labels is None:
            return Targets(None)
        shares = outputs.probabilities
        return Targets(
            outputs.labels.part(self._job.region),
            None if shares is None else shares.part(self._job.region, _stored),
            rows_written=self._wrote,
        )

    def rows(self) -> InRows:
        """From where on the strip is run."""
        readers = min(_MOST_READERS, os.cpu_count() or 1)
        return InRows(first_row=self._finished, last_row=self._last, readers=readers, judged=self._judged)

    def finish(self) -> None:
        """Say that the strip is finished; one without tissue never wrote a row."""
        if self._finished < self._last:
            self._wrote(self._last)

    @property
    def _finished(self) -> int:
        return self._outputs.journal.rows.get(self._number, self._first)

    def _wrote(self, rows: int) -> None:
        self._outputs.journal.wrote(self._number, rows)

    def _judged(self, windows: Sequence[Window], logits: npt.NDArray[np.float32]) -> None:
        self._outputs.journal.judged(self._number, windows, logits)
        if self._outputs.labels is None:
            # Nothing is drawn: a row is finished with its last window.
            row, end = windows[-1].position[0], self._job.plans[0].spans[windows[-1].position[0]][1]
            if windows[-1] == [w for w in self._job.windows if w.position[0] == row][-1]:
                self._wrote(min(int(np.searchsorted(self._job.maps[0].lower, end)), self._last))


def _stored(shares: npt.NDArray[np.float16]) -> npt.NDArray[np.uint8]:
    return np.rint(shares.astype(np.float32) * PROBABILITY_ONE).astype(np.uint8)
