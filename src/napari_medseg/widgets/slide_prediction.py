"""Prediction of a slide on screen: another program writes it, the window shows it while it grows.

Results lie in a folder of their own per model, slide and part, so that Run goes on where it was stopped, and a part
that is predicted does not replace the whole.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import napari
from napari.layers import Image as ImageLayer
from qtpy.QtCore import Signal

from napari_medseg.api.prediction import model_name
from napari_medseg.data.naming import stem_of
from napari_medseg.data.rows import format_region
from napari_medseg.structures import Box, MaskClass
from napari_medseg.widgets.batch import Batch, BatchJob
from napari_medseg.widgets.growing_prediction import GrowingPrediction
from napari_medseg.widgets.jobs import PROGRAM
from napari_medseg.widgets.result_rows import Result, tag_of_row
from napari_medseg.widgets.slide_layers import add_slide_contours, add_slide_maps
from napari_medseg.widgets.slide_on_screen import SlideOnScreen


class SlideJob(BatchJob):
    """Predicts one slide; `shown` tells its `Result`, with the layers that show it.

    Parameters
    ----------
    viewer, layer
        Where the slide is shown, and by which layer.
    slide
        Its file.
    model, classes
        Model file, and what it draws.
    out
        Folder of the results, from `results_folder`.
    region
        Box of level-0 pixels; None for all tissue.
    case
        Of the data set that is open; empty for none.
    probabilities, contours
        Whether to show these as well.
    program
        As of `BatchJob`.
    """

    shown = Signal(object)

    def __init__(
        self,
        viewer: napari.Viewer,
        layer: ImageLayer,
        slide: SlideOnScreen,
        model: Path,
        classes: Sequence[MaskClass],
        out: Path,
        *,
        region: Box | None = None,
        case: str = "",
        probabilities: bool = False,
        contours: bool = False,
        program: Sequence[str] = PROGRAM,
    ) -> None:
        text = "" if region is None else format_region(region)
        series = str(slide.series) if slide.series else ""
        options = ["--kind", slide.kind] if slide.kind == "slide" else []
        # Counts where the file itself does not tell: a data set, or a person, may know.
        options += ["--spacing", slide.spacing] if slide.spacing else []
        options += ["--probabilities"] if probabilities else []
        batch = Batch(text, (slide.path,), series, on_whole=True)
        super().__init__(model, [batch], out, options=options, program=program)
        self._viewer, self._layer, self._region, self._case = viewer, layer, region, case
        self._model_path, self._model, self._classes = model, model_name(model), classes
        self._probabilities, self._contours = probabilities, contours
        self._notes: list[str] = []
        labels = out / f"{stem_of(slide.path)}.zarr"
        self._growing = GrowingPrediction(viewer, layer, labels, classes, self._model) if classes else None
        self.predicted.connect(self._on_predicted)
        self.warned.connect(self._notes.append)
        self.finished.connect(self._stop_looking)

    def _on_predicted(self, cells: Mapping[str, Any]) -> None:
        """Show what is finished."""
        labels = Path(cells["labels"]) if cells["labels"] else None
        layers, facts = [], []
        chosen = self._viewer.layers.selection.active
        if labels is not None and self._growing is not None:
            grown = self._growing.finish(labels)
            layers += [] if grown is None else [grown]
            if self._probabilities:
                layers += add_slide_maps(self._viewer, labels, self._classes, model=self._model, beside=self._layer)
            if self._contours:
                added, told = add_slide_contours(self._viewer, labels, model=self._model, beside=self._layer)
                layers += added
                facts.append(told)
        if chosen in self._viewer.layers:
            # A person may be drawing: napari selects what was added last.
            self._viewer.layers.selection.active = chosen
        self.shown.emit(
            Result(
                title=self._layer.name,
                model=self._model,
                classes=self._classes,
                tag=tag_of_row(cells),
                layers=layers,
                beside=self._layer,
                labels=labels,
                region=self._region,
                case=self._case,
                model_path=self._model_path,
                facts=facts,
                notes=() if cells["error"] else tuple(self._notes),
                error=cells["error"],
            )
        )

    def _stop_looking(self, outcome: str) -> None:
        if self._growing is not None:
            self._growing.stop()


def results_folder(dataset: Path | None, slide: Path, case: str, model: Path, region: Box | None) -> Path:
    """Where the results of a slide are kept: in the data set, else beside the slide.

    Examples
    --------
    >>> folder = results_folder(Path("data"), Path("a.svs"), "a", Path("run/model.safetensors"), ((0, 9), (4, 8)))
    >>> folder.as_posix()
    'data/predictions/run/a/0-9,4-8'
    """
    whose = stem_of(slide) if dataset is None or not case else case
    parent = slide.parent if dataset is None or not case else dataset
    folder = parent / "predictions" / model_name(model) / whose
    return folder if region is None else folder / format_region(region).replace(":", "-")
