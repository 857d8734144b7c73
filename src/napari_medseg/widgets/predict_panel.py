"""The Predict panel: a model, where to run it, and what became of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import napari
from napari.layers import Layer
from qtpy.QtGui import QShowEvent
from qtpy.QtWidgets import QCheckBox, QProgressBar, QVBoxLayout, QWidget

from napari_medseg.api.prediction import model_name
from napari_medseg.data.forms import region_box_of
from napari_medseg.data.rows import format_region
from napari_medseg.data.scan_boxes import given_box
from napari_medseg.data.scan_columns import scan_cell
from napari_medseg.errors import ConfigError
from napari_medseg.schemes import SCHEMES
from napari_medseg.structures import Case, Prediction
from napari_medseg.widgets.accepting_slides import slide_acceptance
from napari_medseg.widgets.batch import BatchJob, plan_batches
from napari_medseg.widgets.class_facts import class_facts
from napari_medseg.widgets.confidence_strip import confidence_text
from napari_medseg.widgets.errors import shown_errors
from napari_medseg.widgets.jobs import Job, ThreadJob
from napari_medseg.widgets.layer_images import drawn_region, image_of_layer
from napari_medseg.widgets.lesion_facts import add_axes, attention_text, size_of, size_texts
from napari_medseg.widgets.model_card import ModelChooser
from napari_medseg.widgets.models_section import ModelsSection
from napari_medseg.widgets.notice import Notice
from napari_medseg.widgets.parts import LOADING, button, row, scrolling, words
from napari_medseg.widgets.place_chooser import ON_SCREEN, PlaceChooser
from napari_medseg.widgets.prediction_layers import add_prediction
from napari_medseg.widgets.prediction_shelf import PredictionShelf
from napari_medseg.widgets.region_section import RegionChooser
from napari_medseg.widgets.regions import drawn_shapes
from napari_medseg.widgets.reporting import ask_where_to_report, report_result
from napari_medseg.widgets.result_rows import Result, ResultRows, facts_of_row, tag_of_row
from napari_medseg.widgets.scan_box import scan_box_of
from napari_medseg.widgets.session import Session, session_of
from napari_medseg.widgets.slide_on_screen import SlideOnScreen, box_in_view, drawn_box, may_be_slide, slide_on_screen
from napari_medseg.widgets.slide_prediction import SlideJob, results_folder
from napari_medseg.widgets.taking_over import case_of_layer, take_over
from napari_medseg.widgets.view_prediction import ViewPrediction


class PredictPanel(QWidget):
    """Runs a model on the image on screen, a drawn region, the cases of the list, or a folder.

    Parameters
    ----------
    napari_viewer
        The viewer whose session and layers are used.
    session
        Another session than the viewer's own.
    """

    def __init__(self, napari_viewer: napari.Viewer, session: Session | None = None) -> None:
        super().__init__()
        self.session = session or session_of(napari_viewer)
        self.job: Job | None = None
        self.notice = Notice()
        self.models = ModelChooser()
        self.places = PlaceChooser(self.session)
        self.region = RegionChooser(self.session, lambda: self.places.layer, self.notice)
        self.results = ResultRows()
        self._views = ViewPrediction()
        self._shelf = PredictionShelf(self.session.viewer)
        self._dataset_path = None if self.session.dataset is None else self.session.dataset.path
        self._build()
        self._connect()
        # First, so that listing the others does not put one of them in its place.
        self._follow_model(self.session.model)
        self._list_models()
        self.kept = ModelsSection(self.session, self.notice)
        self._content.insertWidget(1, self.kept)

    @shown_errors
    def run(self) -> None:
        """Predict at the chosen place."""
        if self.job is not None or self.models.path is None:
            return
        if self.places.place not in ON_SCREEN:
            self._predict_files()
        elif (slide := self._slide()) is not None:
            self._predict_slide(slide)
        else:
            self._predict_view()

    def cancel(self) -> None:
        """Stop; results that are there stay."""
        if self.job is not None:
            self._cancel.setEnabled(False)
            self.job.cancel()

    def _predict_view(self) -> None:
        layer, model = self.places.layer, self.models.path
        if layer is None or model is None:
            raise ConfigError(self.places.obstacle())
        region, inside = None, None
        if self._judges_region() and self.places.place == "image":
            region = self.region.region
        if self.places.place == "region":
            shapes = drawn_shapes(self.session.viewer)
            if shapes is None:
                raise ConfigError(self.places.obstacle())
            region, inside = drawn_region(shapes, layer)
        elif self.places.place == "view":
            region = box_in_view(self.session.viewer, layer)
        work = self._views.work(
            model,
            image_of_layer(layer, self.session),
            region=region,
            inside=inside,
            probabilities=self._probabilities.isChecked(),
            repair_order=self._repair_order.isChecked(),
            region_model=self.region.finder if self._judges_region() and self.places.place == "image" else None,
            scan=scan_box_of(self.session).box_on(layer),
        )
        job = ThreadJob(work)
        job.result.connect(partial(self._on_prediction, layer, model))
        job.progress.connect(self._on_progress)
        self._start(job)

    def _slide(self) -> SlideOnScreen | None:
        """The slide that is to be predicted window by window; None for other images and models."""
        layer = self.places.layer
        if layer is None or self._judges_region() or self._has_layers():
            return None
        return slide_on_screen(layer, self.session)

    def _predict_slide(self, slide: SlideOnScreen) -> None:
        layer, model, shapes, region = self.places.layer, self.models.path, drawn_shapes(self.session.viewer), None
        if layer is None or model is None or (shapes is None and self.places.place == "region"):
            raise ConfigError(self.places.obstacle())
        if self.places.place == "view":
            region = box_in_view(self.session.viewer, layer)
        elif shapes is not None and self.places.place == "region":
            region = drawn_box(shapes, layer)
        dataset, case = self.session.dataset, case_of_layer(self.session, layer)
        job = SlideJob(
            self.session.viewer,
            layer,
            slide,
            model,
            self.models.card.classes if self.models.card is not None else (),
            results_folder(None if dataset is None else dataset.path, slide.path, case, model, region),
            region=region,
            case=case,
            probabilities=self._probabilities.isChecked(),
            contours=self._contours.isChecked(),
        )
        job.shown.connect(self.results.add)
        job.progress.connect(self._on_progress)
        self._start(job)

    def _on_prediction(self, layer: Any, path: Path, prediction: Prediction) -> None:
        model = model_name(path)
        opened, case = self.session.open, case_of_layer(self.session, layer)
        is_drawn = opened is not None and opened.case.case == case and opened.is_looked_at()
        layers = add_prediction(self.session.viewer, prediction, model=model, beside=layer, outlined=is_drawn)
        facts = [] if prediction.confidence is None else [confidence_text(prediction.confidence)]
        if prediction.tag is not None and prediction.tag.graded:
            facts += self._show_lesion(prediction, layers, model, layer)
        facts += class_facts(self.session, case, prediction.tag, prediction.frames)
        self.results.add(
            Result(
                title=layer.name,
                model=model,
                classes=prediction.classes,
                tag=prediction.tag,
                layers=layers,
                beside=layer,
                region=prediction.region,
                case=case,
                prediction=prediction,
                model_path=path,
                tag_only=prediction.marks_region,
                facts=facts,
                notes=prediction.notes,
            )
        )

    def _show_lesion(self, prediction: Prediction, layers: list[Layer], model: str, beside: Any) -> list[str]:
        """Add the diameters of a graded lesion to its layers, and say how large it is and what decided its grade."""
        viewer, size = self.session.viewer, size_of(prediction, beside)
        if size is not None and size.axes is not None:
            layers.append(add_axes(viewer, size.axes, prediction, model=model, beside=beside))
            viewer.layers.selection.active = layers[0]
        flat = len(prediction.region) == 2
        texts = size_texts(size, prediction.region[0][0], flat=flat)
        return [*texts, *filter(None, [attention_text(prediction)])]

    def _predict_files(self) -> None:
        model = self.models.path
        assert model is not None
        name, now = model_name(model), datetime.now().strftime("%Y-%m-%d %H%M%S")
        cases: dict[tuple[str, ...], str] = {}
        options = ["--repair-order"] if self._has_layers() and self._repair_order.isChecked() else []
        if self._judges_region() and self.region.finder is not None:
            options += ["--region-model", str(self.region.finder)]
        if self.places.place == "cases":
            dataset = self.session.dataset
            assert dataset is not None
            chosen = self.places.cases()
            items = [(dataset.image_path(case), self._region_of(case), scan_cell(case, "series")) for case in chosen]
            cases = {(str(path), *rest): case.case for (path, *rest), case in zip(items, chosen, strict=True)}
            options += ["--kind", dataset.info.kind] if dataset.info.kind != "image" else []
            # Slides go on where an earlier run was stopped; a picture is done in a moment.
            kept = "cases" if dataset.info.kind == "slide" else now
            out = dataset.path / "predictions" / f"{name} {kept}"
        else:
            folder = self.places.folder
            items = [(folder, "", "")]
            out = folder.with_name(f"{folder.name} predictions") / f"{name} {now}"
        job = BatchJob(model, plan_batches(items), out, options=options)
        job.predicted.connect(partial(self._on_row, cases, name))
        job.progress.connect(self._on_progress)
        self._start(job)
        self._state.setText(f"Into {out}")

    def _region_of(self, case: Case) -> str:
        """What of a case's image is predicted: its own region, or the box that is kept with the case."""
        dataset = self.session.dataset
        by_box = self._judges_region() and self.region.around == "box"
        if dataset is None or case.region or not (by_box or self._judges_scan()):
            return case.region
        box = region_box_of(dataset.path, case.case) if by_box else given_box(dataset, case.case)
        return "" if box is None else format_region(box)

    def _on_row(self, cases: Mapping[tuple[str, ...], str], model: str, cells: Mapping[str, Any]) -> None:
        case = cases.get((cells["input"], cells["region"], cells["series"]), "")
        card, tag = self.models.card, tag_of_row(cells)
        self.results.add(
            Result(
                title=case or Path(cells["input"]).name,
                model=model,
                classes=card.classes if card is not None else (),
                tag=tag,
                labels=Path(cells["labels"]) if cells["labels"] else None,
                case=case,
                tag_only="sure" in cells,
                facts=[*facts_of_row(cells), *class_facts(self.session, case, tag)],
                error=cells["error"],
            )
        )
        self._accept_all.setVisible(len(self.results.waiting()) > 1)

    @shown_errors
    def _accept(self, result: Result) -> None:
        if self._accept_slide(result):
            return
        case, taken = take_over(self.session, result)
        self._show_accepted(result, case, taken)

    def _show_accepted(self, result: Result, case: str, taken: int) -> None:
        shown = self.results.row_of(result)
        if not taken and not result.tag_only and (result.layers or result.labels):
            # The prediction stays on screen beside what a person drew, to compare the two.
            shown.set_kept(_kept_text(case))
        else:
            shown.set_accepted(self._accepted_text(result, case, taken))
            for layer in result.layers:
                layer.visible = False
        self._accept_all.setVisible(len(self.results.waiting()) > 1)

    def _accepted_text(self, result: Result, case: str, taken: int) -> str:
        """What became of a result that was accepted."""
        if taken:
            return f"Draft of {case}: {taken:,} pixels taken over."
        row = None if self.session.dataset is None else self.session.dataset.case(case)
        if result.tag is not None and not result.tag.graded and row is not None and row.tag != result.tag.tag:
            return f"{case} keeps its tag '{row.tag}'." if row.tag else f"The data set has no tag '{result.tag.tag}'."
        return f"Draft of {case}: the tag taken over."

    def _accept_slide(self, result: Result, then: Callable[[str], None] | None = None) -> bool:
        """Take over what was drawn on a slide, in steps; False where the result is none of a slide.

        Parameters
        ----------
        then
            Called with the case when that is done.
        """
        found = slide_acceptance(self.session, result)
        if found is None or self.job is not None:
            return found is not None
        case, job = found

        def go_on(outcome: str) -> None:
            if outcome == "done" and then is not None:
                then(case)

        job.result.connect(lambda taken: self._show_accepted(result, case, taken))
        job.progress.connect(self._on_progress)
        self._start(job)
        job.finished.connect(go_on)
        return True

    @shown_errors
    def _correct(self, result: Result) -> None:
        if self._accept_slide(result, self._open_to_correct):
            return
        case, taken = take_over(self.session, result)
        self._show_accepted(result, case, taken)
        self._open_to_correct(case)
        if not taken and not result.tag_only and (result.layers or result.labels):
            self.session.tell(
                _kept_text(case, by_curves=self.session.open is not None and self.session.open.edits_curves)
            )

    def _open_to_correct(self, case: str) -> None:
        self.session.open_case(case)
        if self.session.labels is not None and self.session.open is not None:
            self.session.viewer.layers.selection.active = self.session.labels
            # Layers are corrected by their curves, where the data set has surfaces.
            self.session.open.edit_curves(True)
        self.session.show_panel("Annotate")

    @shown_errors
    def _discard(self, result: Result) -> None:
        self._shelf.forget(result)
        self.results.remove(result)
        self._accept_all.setVisible(len(self.results.waiting()) > 1)

    @shown_errors
    def _report(self, result: Result) -> None:
        path = ask_where_to_report(self, self.session, result)
        if path is not None and result.model_path is not None:
            self.notice.show_info(f"Saved {report_result(self.session, result, result.model_path, path)}.")

    @shown_errors
    def _accept_waiting(self) -> None:
        for result in self.results.waiting():
            if result.case and self._accept_slide(result, lambda _: self._accept_waiting()):
                return  # the others follow
            if result.case:
                case, taken = take_over(self.session, result)
                self._show_accepted(result, case, taken)

    def _start(self, job: Job) -> None:
        self.job = job
        job.end_with(self)
        job.failed.connect(self.notice.show_error)
        job.finished.connect(self._on_finished)
        self._bar.setRange(0, 0)
        self._state.setText(LOADING)
        self._refresh()
        job.start()

    def _on_progress(self, done: int, total: int, text: str) -> None:
        self._bar.setRange(0, total)
        self._bar.setValue(done)
        self._state.setText(text)

    def _on_finished(self, outcome: str) -> None:
        self.job = None
        self._state.setText("Stopped." if outcome == "cancelled" else "")
        self._refresh()

    def _refresh(self) -> None:
        judges = self._judges_region()
        obstacle = self.places.obstacle()
        if judges and not obstacle and self.places.place == "image":
            obstacle = self.region.obstacle()
        busy = self.job is not None
        self._run.setEnabled(not busy and not obstacle and self.models.card is not None)
        self._run.setVisible(not busy)
        self._cancel.setVisible(busy)
        self._cancel.setEnabled(busy)
        self._bar.setVisible(busy)
        on_screen = self.places.place in ON_SCREEN
        self._probabilities.setVisible(on_screen)
        self._contours.setVisible(on_screen and may_be_slide(self.places.layer))
        self._repair_order.setVisible(self._has_layers())
        self.region.setVisible(judges and self.places.place != "region")
        if not busy and obstacle:
            self._state.setText(obstacle)
        elif not busy and self._state.text() != "Stopped.":
            self._state.setText("")

    def _has_layers(self) -> bool:
        return self.models.card is not None and bool(self.models.card.surfaces)

    def _judges_region(self) -> bool:
        """Whether the model judges one region, that has to be pointed out."""
        card = self.models.card
        return card is not None and card.scheme in SCHEMES and SCHEMES[card.scheme].judges_region

    def _judges_scan(self) -> bool:
        """Whether the cases are of ultrasound and the model, which draws nothing, tells the class of their scan."""
        card, dataset = self.models.card, self.session.dataset
        return card is not None and not card.classes and dataset is not None and dataset.info.kind == "ultrasound"

    def showEvent(self, event: QShowEvent | None) -> None:
        """List models that were trained while the panel was hidden (Qt's hook)."""
        super().showEvent(event)
        self._list_models()

    def _follow_case(self, case: Case | None) -> None:
        """Show what was predicted of the case on screen, and put aside what belongs to another one."""
        on_screen = "" if case is None else case.case
        self._shelf.follow(on_screen, self.results.results, self.results.waiting())

    def _follow_dataset(self) -> None:
        """Let go of what was predicted of cases of another data set: ids may be the same, the images are not."""
        dataset = self.session.dataset
        path = None if dataset is None else dataset.path
        if path != self._dataset_path:
            for result in [result for result in self.results.results if result.case]:
                self._shelf.forget(result)
                self.results.remove(result)
            self._accept_all.setVisible(False)
        self._dataset_path = path
        self._list_models()

    def _list_models(self) -> None:
        dataset = self.session.dataset
        self.models.list_models(dataset.home / "runs" if dataset is not None else None)
        self.region.list_finders(self.models.drawing_models())

    def _follow_model(self, path: Path | None) -> None:
        if path is not None and path != self.models.path:
            self.models.choose(path)

    def _build(self) -> None:
        self._probabilities = QCheckBox("Add probability layers")
        self._probabilities.setObjectName("probabilities")
        self._repair_order = QCheckBox("Repair the order of layers")
        self._repair_order.setObjectName("repair_order")
        self._repair_order.setChecked(True)
        self._repair_order.setToolTip("Change the fewest pixels so that no layer lies above an upper one.")
        self._contours = QCheckBox("Show contours")
        self._contours.setObjectName("contours")
        self._contours.setToolTip("They are always written as GeoJSON, for QuPath.")
        self._state, self._bar = words(), QProgressBar()
        self._bar.setTextVisible(False)
        self._accept_all = button("Accept all", self._accept_waiting, tip="Put all into the data set as drafts")
        self._accept_all.setVisible(False)
        inner = QWidget()
        self._content = content = QVBoxLayout(inner)
        content.setContentsMargins(10, 8, 10, 8)
        options = (self._probabilities, self._contours, self._repair_order)
        for widget in (self.models, self.places, self.region, *options, self._accept_all, self.results):
            content.addWidget(widget)
        content.addStretch(1)
        self._run = button("Run", self.run, tip="Predict; the result is always a new layer", name="run", primary=True)
        self._cancel = button("Cancel", self.cancel, name="cancel")
        bar = QVBoxLayout()
        bar.setContentsMargins(10, 2, 10, 10)
        for shown in (self.notice, self._state, self._bar):
            bar.addWidget(shown)
        bar.addLayout(row(self._cancel, self._run, stretch=self._run))
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(scrolling(inner), 1)
        layout.addLayout(bar)

    def _connect(self) -> None:
        self.models.chosen.connect(self._on_model_chosen)
        self.places.changed.connect(self.region.buttons.follow)
        self.places.changed.connect(self._refresh)
        self.region.changed.connect(self._refresh)
        self.results.accept.connect(self._accept)
        self.results.correct.connect(self._correct)
        self.results.discard.connect(self._discard)
        self.results.report.connect(self._report)
        self.session.model_changed.connect(self._follow_model)
        self.session.dataset_changed.connect(self._follow_dataset)
        self.session.case_changed.connect(self._follow_case)

    def _on_model_chosen(self, path: Path | None) -> None:
        self.session.set_model(path)
        self._refresh()


def _kept_text(case: str, *, by_curves: bool = False) -> str:
    """Why nothing of a result was taken over, and how a person gets a part of it all the same."""
    kept = f"Nothing was taken over: every pixel of {case} has been looked at, and stays."
    return f"{kept} To take a part, erase it (Shift+drag along a curve), then press Suggest." if by_curves else kept
