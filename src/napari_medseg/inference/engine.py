"""The one engine that runs any scheme's predictor over any image, in bounded memory.

The image is cut into windows on one fixed grid; windows are read (from the cheapest pyramid level that is fine enough)
while the network works on earlier ones, blended on a canvas as high as one window, and written row by row. Predicting
a region runs the windows of the whole image's grid that touch it, so a region and the whole agree in every pixel.
"""

from __future__ import annotations

import itertools
import math
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_medseg.data.cropping import crop
from napari_medseg.data.resampling import WindowReader, choose_level
from napari_medseg.errors import Cancelled, ConfigError, ModelError, ReadError
from napari_medseg.inference.behind import Behind
from napari_medseg.inference.columns import ColumnConfidence
from napari_medseg.inference.job import Job, Window, chosen_region, plan_job
from napari_medseg.inference.predictor import Predictor
from napari_medseg.models.allocator import kept_memory
from napari_medseg.models.guard import guard_torch_import
from napari_medseg.structures import NOT_LOOKED_AT, Box, Image, Prediction, Progress, TagResult

guard_torch_import()

import torch  # noqa: E402 - after the guard
from torch.nn import functional  # noqa: E402 - after the guard

from napari_medseg.inference.canvas import Canvas, Targets  # noqa: E402 - imports torch
from napari_medseg.models.compute import Compute  # noqa: E402 - imports torch

#: Pixels of one batch: what a processor works on at its best rate, and what keeps a GPU busy.
_BATCH_PIXELS = {"cpu": 512 * 512, "cuda": 8 * 512 * 512}
#: What runs anywhere; callers who care for speed pass `choose_compute`'s answer.
PLAIN = Compute(device="cpu", precision="fp32", channels_last=False, threads=1)
#: Attribute of a zarr output that says whether every row was written.
COMPLETE = "napari-medseg-complete"


def predict(
    predictor: Predictor,
    image: Image,
    *,
    region: Box | None = None,
    mask: npt.NDArray[np.bool_] | None = None,
    probabilities: bool = False,
    confidence: bool = False,
    out: Any = None,
    probabilities_out: Any = None,
    batch: int | None = None,
    compute: Compute | None = None,
    progress: Progress | None = None,
    cancel: Callable[[], bool] | None = None,
) -> Prediction:
    """Labels, probabilities and the tag of an image or a part of it.

    Parameters
    ----------
    predictor
        What a scheme made of a model file.
    image
        Any image with at least as many spatial axes as the predictor's window has; a longer one is a stack, whose
        slices are predicted one by one.
    region
        (start, stop) per spatial axis in level-0 pixels; None for everything. A predictor with a `focus` predicts what
        it cuts out around the region, which is the region of the result.
    mask
        Where to predict: boolean array that covers the whole image, with its spatial axes, at any resolution (a tissue
        mask may be coarse). Windows without a pixel of it are skipped; labels outside are 255.
    probabilities
        Whether to return probabilities as well; takes 2 bytes per class (with the background) and pixel.
    confidence
        Whether to return the confidence of every column (`ColumnConfidence`); only for predictors of planes.
    out
        Array (uint8, the region's shape) that receives the labels, a zarr array in whole chunk rows; None makes a
        numpy array. The attribute `COMPLETE` of a zarr array is False until the last row is written.
    probabilities_out
        Array (float16, (class, *the region's shape)) that receives the probabilities, as `out` does the labels; memory
        stays bounded then.
    batch
        Windows per forward pass; None chooses by window and device. Halved, with a note, when memory runs out.
    compute
        Device and precision; None for float32 on the CPU.
    progress
        Called with (windows done, windows, text) after every batch.
    cancel
        Asked before every batch; True ends the work.

    Raises
    ------
    ConfigError
        The region or mask does not fit the image.
    ModelError
        The network gives values that are not numbers, needs more axes than the image has, or memory is too small for
        one window.
    ReadError
        The image holds values that are not numbers.
    Cancelled
        `cancel` said so, or `progress` raised it.
    """
    started = time.perf_counter()
    if predictor.focus is not None:
        place = predictor.focus(image, chosen_region(image, region, mask))
        wanted: dict[str, Any] = {"probabilities": probabilities, "out": out, "probabilities_out": probabilities_out}
        alone = replace(predictor, focus=None)
        found = predict(alone, crop(image, place), **wanted, compute=compute, progress=progress, cancel=cancel)
        return replace(found, region=place)
    job = plan_job(predictor, image, region, mask)
    shape = tuple(stop - start for start, stop in job.region)
    labels = _target(out, shape, np.uint8) if predictor.classes else None
    if labels is not None and mask is not None:
        for index in job.skipped_slices:
            labels[index] = NOT_LOOKED_AT  # no window will visit them
    floats = None
    if predictor.classes and (probabilities or probabilities_out is not None):
        floats = _target(probabilities_out, (len(predictor.classes) + 1, *shape), np.float16)
    columns = ColumnConfidence(shape) if confidence and predictor.classes and len(predictor.window) == 2 else None
    run = Run(predictor, image, job, Targets(labels, floats, columns), batch, compute or PLAIN)
    with kept_memory():
        run.execute(progress, cancel)
    for target in (labels, floats):
        _mark(target, complete=True)
    return Prediction(
        labels=labels,
        classes=tuple(predictor.classes),
        tag=run.tag(),
        probabilities=floats,
        confidence=None if columns is None else columns.values(),
        region=job.region,
        seconds=time.perf_counter() - started,
        notes=tuple(run.notes),
        frames=run.frames(),
    )


def _target(out: Any, shape: tuple[int, ...], dtype: npt.DTypeLike) -> Any:
    """What a result is written to: the caller's array, or a new one."""
    if out is None:
        return np.zeros(shape, dtype)
    if tuple(out.shape) != shape or out.dtype != dtype:
        raise ConfigError(
            f"The output must be {np.dtype(dtype)} of shape {shape}, but is {out.dtype} of shape {tuple(out.shape)}."
        )
    _mark(out, complete=False)
    return out


def _mark(target: Any, *, complete: bool) -> None:
    if hasattr(target, "attrs"):
        target.attrs[COMPLETE] = complete


@dataclass(frozen=True, slots=True, kw_only=True)
class InRows:
    """How a picture that is worth resuming is run: every batch lies within one row of windows.

    Which windows share a batch then does not depend on where the run began, and so nothing else does.

    Parameters
    ----------
    first_row
        Rows of the region before this one are written already, or by another run.
    last_row
        Rows from this one on are written by another run.
    readers
        Threads that read windows.
    judged
        Called with the windows of every batch and their tag logits (window, tag).
    """

    first_row: int
    last_row: int
    readers: int
    judged: Callable[[Sequence[Window], npt.NDArray[np.float32]], None]


class Run:
    """One prediction in progress.

    Parameters
    ----------
    job
        What is to be predicted.
    targets
        Where it is written.
    rows
        For slides; None runs everything from the first window on.
    predictor, image, batch, compute
        As in `predict`.
    """

    def __init__(
        self,
        predictor: Predictor,
        image: Image,
        job: Job,
        targets: Targets,
        batch: int | None,
        compute: Compute,
        rows: InRows | None = None,
    ) -> None:
        self.notes: list[str] = []
        #: Seconds that were spent waiting for pixels, in the network, and waiting for blending and writing.
        self.seconds = {"read": 0.0, "network": 0.0, "write": 0.0}
        self._rows = rows
        self._predictor, self._image, self._job, self._compute = predictor, image, job, compute
        self._targets = targets
        self._device = torch.device(compute.device)
        self._sizes = tuple(plan.window for plan in job.plans)
        pixels = _BATCH_PIXELS.get(self._device.type, _BATCH_PIXELS["cuda"])
        self._batch = batch or max(1, pixels // math.prod(self._sizes))
        self._reader = WindowReader(image, job.working, choose_level(image, job.working))
        self._canvas: Canvas | None = None
        self._slice: tuple[int, ...] | None = None
        #: Sum of tag logits and of the areas that they weigh, per slice.
        self._tags: defaultdict[tuple[int, ...], torch.Tensor] = defaultdict(
            lambda: torch.zeros(len(predictor.tags) + 1)
        )
        grid = predictor.grid(image)
        self.notes.extend(grid.notes)
        if predictor.grid_of is None and any(plan.window > plan.length for plan in job.plans):
            sizes = " x ".join(str(plan.window) for plan in job.plans)
            self.notes.append(f"The image is smaller than a window and was extended by reflection to {sizes} pixels.")

    def execute(self, progress: Progress | None, cancel: Callable[[], bool] | None) -> int:
        """Run all windows that are not finished; returns their number."""
        prepared = self._predictor.prepare(self._image)
        windows, beyond = self._unfinished()
        total, done = len(windows), 0
        readers = 1 if self._rows is None else self._rows.readers
        with (
            torch.inference_mode(),
            ThreadPoolExecutor(readers, thread_name_prefix="read-windows") as reading,
            Behind() as behind,
        ):
            ahead = _read_ahead(reading, lambda window: self._load(window, prepared), windows, self._depth)
            try:
                while batch := self._next_batch(ahead, windows, done):
                    if cancel is not None and cancel():
                        raise Cancelled("Prediction was stopped.")
                    values = torch.from_numpy(np.stack([a for _, a in batch]))
                    self._work([window for window, _ in batch], values, behind)
                    done += len(batch)
                    if progress is not None:
                        progress(done, total, f"window {done} of {total}")
                behind.wait()
                if beyond is not None and self._canvas is not None:
                    # Emits rows in the very blocks in which they are when that window is run too.
                    self._canvas.pass_by(beyond.position)
                self._finish_canvas()
            finally:
                reading.shutdown(wait=False, cancel_futures=True)
                self.seconds["write"] += behind.waited
        return total

    def _unfinished(self) -> tuple[Sequence[Window], Window | None]:
        """The windows to run, and the one after them; the canvas is brought to where it was before the first."""
        if self._rows is None:
            return self._job.windows, None
        before, todo, beyond = self._job.around(self._rows.first_row, self._rows.last_row)
        if todo and self._targets.labels is not None:
            for window in before:
                self._canvas_of(window).pass_by(window.position)
        return todo, beyond

    def _next_batch(
        self, ahead: Iterator[tuple[Window, npt.NDArray[np.float32]]], windows: Sequence[Window], done: int
    ) -> list[tuple[Window, npt.NDArray[np.float32]]]:
        started = time.perf_counter()
        size = self._batch
        if self._rows is not None and done < len(windows):
            row = windows[done].position[0]
            size = sum(1 for window in windows[done : done + size] if window.position[0] == row)
        batch = list(itertools.islice(ahead, size))
        self.seconds["read"] += time.perf_counter() - started
        return batch

    def tag(self) -> TagResult | None:
        """The class with the largest mean probability; None without classifier."""
        return judgement(self._predictor, torch.stack([*self._tags.values()]).sum(dim=0)) if self._tags else None

    def frames(self) -> tuple[TagResult, ...]:
        """The same of every slice of a stack; empty for a single picture."""
        if self._job.lead == 0:
            return ()
        return tuple(judgement(self._predictor, self._tags[index]) for index in sorted(self._tags))

    def _depth(self) -> int:
        return 2 * self._batch + (0 if self._rows is None else self._rows.readers)

    def _load(self, window: Window, prepared: Any) -> npt.NDArray[np.float32]:
        """A window as the network wants it: float32 (in_channels, [z,] y, x)."""
        lead = len(window.slice_index)
        slices = zip(window.slice_index, self._job.region[:lead], strict=True)
        box = [(start + i, start + i + 1) for i, (start, _) in slices]
        for plan, i in zip(self._job.plans, window.position, strict=True):
            box.append((plan.starts[i], plan.starts[i] + plan.window))
        pixels = self._reader.read(tuple(box))
        pixels = pixels.reshape(len(pixels), *self._sizes)
        values = np.ascontiguousarray(self._predictor.normalise(pixels, prepared), dtype=np.float32)
        with np.errstate(invalid="ignore"):
            finite = bool(np.isfinite(values.sum(dtype=np.float64)))
        if not finite:
            raise ReadError(
                f"Image '{self._image.name}' holds values that are not numbers near {_place(box)}: repair or crop it."
            )
        return values

    def _work(self, windows: Sequence[Window], values: torch.Tensor, behind: Behind) -> None:
        """Forward one batch and have it blended in; in smaller parts from then on when memory runs out."""
        start = 0
        while start < len(windows):
            part = slice(start, start + self._batch)
            started = time.perf_counter()
            outputs = self._forward(values[part])
            self.seconds["network"] += time.perf_counter() - started
            if outputs is not None:
                behind.do(self._take, windows[part], *outputs)
                start = part.stop
                continue
            behind.wait()
            if self._device.type == "cuda":
                torch.cuda.empty_cache()
            tried = len(values[part])
            self._batch = tried // 2
            self.notes.append(f"Memory ran out with {tried} windows at a time; went on with {self._batch}.")

    def _forward(self, values: torch.Tensor) -> tuple[torch.Tensor | None, torch.Tensor | None] | None:
        """The network's logits; None when memory ran out but may suffice for less."""
        try:
            with self._compute.autocast():
                return self._predictor.forward(self._compute.to(values))
        except RuntimeError as error:
            if not self._compute.is_out_of_memory(error):
                raise
            if len(values) == 1:
                sizes = " x ".join(map(str, self._sizes))
                raise ModelError(
                    f"There is not enough memory on {self._device} for one window of {sizes} pixels: close other "
                    "programs, or predict on the CPU."
                ) from error
        return None

    @torch.inference_mode()
    def _take(
        self, windows: Sequence[Window], mask_logits: torch.Tensor | None, tag_logits: torch.Tensor | None
    ) -> None:
        """Blend a batch in and write what is final; runs behind the network, one batch after the other."""
        for logits in (mask_logits, tag_logits):
            if logits is not None and not torch.isfinite(logits.sum(dtype=torch.float32)):
                raise ModelError(
                    f"The network gives values that are not numbers for image '{self._image.name}': the model is "
                    "damaged or its training diverged; train it again with a smaller learning rate."
                )
        if tag_logits is not None and self._predictor.tags:
            if self._rows is not None:
                self._rows.judged(windows, tag_logits.float().cpu().numpy())
            for window, logits in zip(windows, tag_logits.float().cpu(), strict=True):
                self._tags[window.slice_index] += window.area * functional.pad(logits, (0, 1), value=1.0)
        if self._targets.labels is not None:
            assert mask_logits is not None, "a predictor with mask classes gives mask logits"
            for window, logits in zip(windows, mask_logits, strict=True):
                self._canvas_of(window).add(window.position, logits)

    def _canvas_of(self, window: Window) -> Canvas:
        """The canvas of a window's slice; the one before is finished."""
        if self._canvas is not None and self._slice == window.slice_index:
            return self._canvas
        self._finish_canvas()
        self._slice = window.slice_index
        looked_at = self._job.looked_at
        values = [c.value for c in self._predictor.classes]
        self._canvas = Canvas(
            self._job.plans,
            self._job.maps,
            values if self._predictor.overlapping else [0, *values],
            self._targets,
            window.slice_index,
            None if looked_at is None else looked_at.plane(window.slice_index),
            self._device,
            self._predictor.overlapping,
            0 if self._rows is None else self._rows.first_row,
            None if self._rows is None else self._rows.last_row,
        )
        return self._canvas

    def _finish_canvas(self) -> None:
        if self._canvas is not None:
            self._canvas.finish()
            self._canvas = None


def judgement(predictor: Predictor, sums: torch.Tensor | npt.NDArray[np.float64]) -> TagResult:
    """The most probable tag.

    Parameters
    ----------
    sums
        (tags + 1,): logits of the tags, each times the area for which it speaks, summed, and the sum of the areas.
    """
    logits = torch.as_tensor(sums[:-1] / sums[-1])
    shares = torch.softmax(logits, dim=0).tolist()
    by_name = dict(zip(predictor.tags, shares, strict=True))
    tag = max(by_name, key=by_name.__getitem__)
    return TagResult(
        tag=tag,
        probabilities=by_name,
        calibrated=predictor.calibrated,
        graded=predictor.graded,
        sure=None if predictor.sure_from is None else by_name[tag] >= predictor.sure_from,
    )


def _read_ahead(
    reading: ThreadPoolExecutor,
    load: Callable[[Window], npt.NDArray[np.float32]],
    windows: Sequence[Window],
    depth: Callable[[], int],
) -> Iterator[tuple[Window, npt.NDArray[np.float32]]]:
    """Windows with their pixels, read in a thread while the network works on those before."""
    waiting: deque[tuple[Window, Future[npt.NDArray[np.float32]]]] = deque()
    for window in windows:
        waiting.append((window, reading.submit(load, window)))
        while len(waiting) > depth():
            first, pixels = waiting.popleft()
            yield first, pixels.result()
    for first, pixels in waiting:
        yield first, pixels.result()


def _place(box: Sequence[tuple[int, int]]) -> str:
    return ",".join(f"{start}:{stop}" for start, stop in box)
