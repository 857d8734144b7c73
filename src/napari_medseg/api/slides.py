"""Prediction of whole slides into a folder: labels of all levels, tables, contours; it can be stopped and go on."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from napari_medseg.api.prediction import LoadedModel
from napari_medseg.api.slide_work import BandResult, SlideOptions, SlideResult, SlideWork
from napari_medseg.errors import InputNotFoundError
from napari_medseg.io.slide.facts import is_slide
from napari_medseg.structures import Image, Progress
from napari_medseg.training.events import duration

__all__ = ["SlideOptions", "SlideResult", "is_slide", "parse_tissue", "predict_slide", "suits_slides"]


def suits_slides(model: LoadedModel) -> bool:
    """Whether a model works window by window on flat pictures."""
    predictor = model.predictor
    return len(predictor.window) == 2 and predictor.focus is None and not model.card.surfaces


def parse_tissue(text: str) -> Literal["auto", "none"] | Path:
    """What a person says of the tissue: ``auto``, ``none`` or a label file.

    Raises
    ------
    InputNotFoundError
        There is no such file.
    """
    if text == "auto" or text == "none":
        return "auto" if text == "auto" else "none"
    path = Path(text)
    if not path.exists():
        raise InputNotFoundError(f"There is no tissue mask {path}: name a label image, or write auto or none.")
    return path


def predict_slide(
    model: LoadedModel,
    image: Image,
    folder: str | os.PathLike[str],
    *,
    name: str | None = None,
    options: SlideOptions | None = None,
    progress: Progress | None = None,
    cancel: Callable[[], bool] | None = None,
) -> SlideResult:
    """Predict a slide into a folder, in memory that does not grow with the slide.

    While it runs, everything lies in ``<name>.partial``; when that is there at the start, and was begun with the same
    model, slide and options, its finished rows are not computed again. A result that was finished so is left as it is.

    Parameters
    ----------
    model
        For which `suits_slides` holds.
    image
        From `read`; of two spatial axes.
    folder, name
        Results are ``<name>.zarr`` (labels), ``<name>-tiles.csv``, ``<name>.geojson`` and, where wanted or known,
        ``<name>-probabilities.zarr`` and ``<name>-tags.zarr``. Default: the image's name.
    options
        Default: all tissue, labels, tables and contours.
    progress
        Called with (windows done, windows, text with the time left); may raise `Cancelled`.
    cancel
        Asked before every batch.

    Raises
    ------
    MedsegError
        The model or the slide cannot be used, or the folder not be written.
    Cancelled
        As asked; the next call with the same arguments goes on.
    """
    work = SlideWork(model, image, Path(folder) / (name or image.name), options or SlideOptions())
    if work.finished is not None:
        return work.finished
    told = None if progress is None else _with_time_left(progress)
    counts = work.windows
    done: list[BandResult] = []
    for band in range(len(work.bands)):
        before = sum(counts[:band])

        def report(now: int, of: int, text: str, before: int = before) -> None:
            if told is not None:
                told(before + now, sum(counts), text)

        done.append(work.run(band, progress=report, cancel=cancel))
    return work.finish(done)


def _with_time_left(progress: Progress) -> Progress:
    """Progress whose text tells the time left, by the pace since the first call."""
    began: list[tuple[float, int]] = []

    def report(done: int, total: int, text: str) -> None:
        now = time.monotonic()
        if not began:
            began.append((now, done))
        (start, first) = began[0]
        left = f", {duration((now - start) / (done - first) * (total - done))} left" if done > first else ""
        progress(done, total, f"windows{left}")

    return report
