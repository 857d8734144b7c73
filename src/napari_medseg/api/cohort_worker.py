"""What a program that takes part in a cohort does with a task."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from napari_medseg.api.cohort import Answer, Task
from napari_medseg.api.prediction_item import ItemPredictor, Request, as_progress, slide_row, told_in
from napari_medseg.api.slide_work import SlideWork
from napari_medseg.errors import Cancelled
from napari_medseg.structures import Image

if TYPE_CHECKING:
    from napari_medseg.models.compute import Compute


class CohortWorker:
    """Does tasks one after the other; the model is loaded with the first one.

    Parameters
    ----------
    request
        What is made of every image.
    compute
        How networks are run.
    """

    def __init__(self, request: Request, compute: Compute) -> None:
        self._request, self._compute = request, compute
        self._loaded: ItemPredictor | None = None
        #: The slide of the last task: its next band is often done here too.
        self._slide: tuple[int, Image, SlideWork] | None = None

    def do(self, task: Task, progress: Callable[[int, int], None], stopped: Callable[[], bool]) -> Answer:
        """Do a task.

        Parameters
        ----------
        progress
            Called with windows done and windows.
        stopped
            Asked at every progress.

        Raises
        ------
        Cancelled
            As `stopped` said.
        """
        warnings: list[str] = []

        def report(event: str, /, **values: Any) -> None:
            if stopped():
                raise Cancelled("Prediction was stopped.")
            if event == "warning":
                warnings.append(values["text"])
            elif event == "progress":
                progress(values["done"], values["of"])

        if self._loaded is None:
            self._loaded = ItemPredictor(self._request, self._compute)
        predictor, file = self._loaded, task.item.file
        answer, row = None, predictor.empty_row(file)
        with told_in(row, file, report):
            if task.stage == "band":
                _, work = self._work(task)
                answer = Answer(band=work.run(task.band, progress=as_progress(report), cancel=stopped))
            elif task.stage == "finish":
                image, work = self._work(task)
                row |= slide_row(image, work.finished or work.finish(task.done), report)
            elif task.parts > 1 and predictor.goes_as_slide(predictor.read(file)):
                _, work = self._work(task)
                answer = Answer(bands=tuple(work.windows)) if len(work.bands) > 1 else None
        if answer is None and task.stage == "begin" and not row["error"]:
            row = predictor.predict(file, task.item.name, report)
        if answer is not None and not row["error"]:
            return Answer(bands=answer.bands, band=answer.band, warnings=tuple(warnings))
        return Answer(row=row, warnings=tuple(warnings))

    def _work(self, task: Task) -> tuple[Image, SlideWork]:
        """The slide of a task, begun or gone on with."""
        if self._slide is None or self._slide[0] != task.item.index:
            assert self._loaded is not None
            image = self._loaded.read(task.item.file)
            options = self._loaded.slide_options(image, lambda done, total, text: None)
            place = self._request.out / task.item.name
            work = SlideWork(self._loaded.model, image, place, options, task.parts)
            self._slide = (task.item.index, image, work)
        return self._slide[1:]
