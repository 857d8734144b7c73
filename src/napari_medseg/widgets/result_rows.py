"""What was predicted, row by row, with what to do about it: accept as a draft, correct, or discard."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

from napari.layers import Layer
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFrame, QPushButton, QVBoxLayout, QWidget

from napari_medseg.structures import Box, MaskClass, Prediction, TagResult
from napari_medseg.widgets.look import COLORS, SentenceLabel
from napari_medseg.widgets.parts import button, row, words


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Result:
    """One prediction that waits for a person.

    Parameters
    ----------
    title
        Case or image.
    model
        Name of the model.
    classes
        What label values mean.
    tag
        The image's class, or None.
    layers
        Layers that show it, the labels first; empty for a prediction that is only on disk.
    beside
        The image layer that was predicted; None for one that is only on disk.
    labels
        Label file on disk; None for a prediction that is in a layer.
    region
        Box of the image that was predicted; None for all of it.
    case
        Case of the data set that the image belongs to; empty when it is none.
    prediction, model_path
        What was predicted and by which file; None for one that is only on disk.
    tag_only
        Whether the labels only mark what was judged: the tag alone can be accepted.
    facts
        What is known of it, in sentences.
    notes
        Sentences about how it came about.
    error
        Why there is no prediction; empty when there is one.
    """

    title: str
    model: str
    classes: Sequence[MaskClass] = ()
    tag: TagResult | None = None
    layers: Sequence[Layer] = ()
    beside: Layer | None = None
    labels: Path | None = None
    region: Box | None = None
    case: str = ""
    prediction: Prediction | None = None
    model_path: Path | None = None
    tag_only: bool = False
    facts: Sequence[str] = ()
    notes: Sequence[str] = ()
    error: str = ""
    key: str = field(default_factory=lambda: uuid4().hex)


class ResultRow(QFrame):
    """One result on screen."""

    def __init__(self, result: Result, owner: ResultRows) -> None:
        super().__init__()
        self.result = result
        #: Whether it can still be accepted.
        self.is_waiting = not result.error
        self._owner = owner
        head = words(f"<b>{html.escape(result.title)}</b> · {html.escape(result.model)}")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 4, 0, 4)
        layout.setSpacing(2)
        layout.addWidget(head)
        if result.tag is not None:
            layout.addWidget(words(tag_text(result.tag)))
        if result.classes and result.layers and not result.tag_only:
            layout.addWidget(words(swatches(result.classes), faint=True))
        for fact in result.facts:
            layout.addWidget(words(html.escape(fact)))
        self.state = SentenceLabel()
        for note in result.notes:
            label = SentenceLabel()
            label.say("warning", note)
            layout.addWidget(label)
        layout.addWidget(self.state)
        self._buttons = QWidget()
        self._buttons.setLayout(self._make_buttons())
        layout.addWidget(self._buttons)
        if result.error:
            self.state.say("error", result.error)
            self._buttons.setVisible(False)

    def set_accepted(self, text: str) -> None:
        """Say that the result is in the data set now."""
        self.is_waiting = False
        self.state.say("ok", text)
        self._buttons.setVisible(False)

    def set_kept(self, text: str) -> None:
        """Say why nothing of the result was taken over; it can be tried again, or discarded."""
        self.state.say("warning", text)

    def _make_buttons(self) -> Any:
        owner, result = self._owner, self.result
        buttons: tuple[QPushButton, ...] = (
            button(
                "Accept", lambda: owner.accept.emit(result), tip="Put it into the data set as a draft", name="accept"
            ),
            button(
                "Correct", lambda: owner.correct.emit(result), tip="Accept it and open it for editing", name="correct"
            ),
            button("Discard", lambda: owner.discard.emit(result), tip="Remove it", name="discard"),
        )
        if result.tag_only and result.prediction is not None:
            tip = "Save frame, overlay, probabilities, form and diameters as one picture"
            buttons += (button("Report…", lambda: owner.report.emit(result), tip=tip, name="report"),)
        return row(*buttons, stretch=buttons[0])


class ResultRows(QWidget):
    """Results, the newest first. Signals say what the person wants; the panel does it."""

    accept = Signal(object)
    correct = Signal(object)
    discard = Signal(object)
    report = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._rows: dict[str, ResultRow] = {}
        self._layout = QVBoxLayout(self)
        self._layout.setContentsMargins(0, 0, 0, 0)

    @property
    def results(self) -> list[Result]:
        """All results, the newest first."""
        return [row.result for row in reversed(self._rows.values())]

    def waiting(self) -> list[Result]:
        """Results that can still be accepted, the oldest first."""
        return [row.result for row in self._rows.values() if row.is_waiting]

    def add(self, result: Result) -> ResultRow:
        """Show a result."""
        made = ResultRow(result, self)
        self._rows[result.key] = made
        self._layout.insertWidget(0, made)
        return made

    def row_of(self, result: Result) -> ResultRow:
        """The row that shows a result."""
        return self._rows[result.key]

    def remove(self, result: Result) -> None:
        """Take a result away."""
        gone = self._rows.pop(result.key)
        self._layout.removeWidget(gone)
        gone.deleteLater()


def tag_text(tag: TagResult) -> str:
    """The tag with its probability, and those of the others, as rich text with bars."""
    trust = "" if tag.calibrated else " (not calibrated)"
    doubt = ' · <span style="color:{}">▲ unsure</span>'.format(COLORS["warning"]) if tag.sure is False else ""
    lines = [f"<b>{html.escape(tag.tag)}</b> {tag.probabilities[tag.tag]:.2f}{trust}{doubt}"]
    for name, probability in tag.probabilities.items():
        bar = f'<span style="color:{COLORS["info"]}">{"█" * round(12 * probability)}</span>'
        lines.append(f"{bar} {html.escape(name)} {probability:.2f}")
    return "<br>".join(lines)


def swatches(classes: Sequence[MaskClass]) -> str:
    """Names of classes behind squares of their colours, as rich text."""
    return " ".join(f'<span style="color:{c.color}">■</span>\u00a0{html.escape(c.name)}' for c in classes)


def facts_of_row(cells: Mapping[str, Any]) -> list[str]:
    """What a row of ``predictions.csv`` says of layers (confidence, order) and of a lesion (its size)."""
    facts = []
    if cells.get("confidence") not in (None, ""):
        facts.append(f"Confidence {float(cells['confidence']):.2f} on average.")
    if cells.get("repaired"):
        facts.append(f"The order of layers was repaired in {float(cells['repaired']):.1%} of the columns.")
    if cells.get("long_axis_mm") not in (None, ""):
        amount = f"{cells['volume_mm3']} mm³" if cells.get("volume_mm3") else f"{cells.get('area_mm2', '')} mm²"
        facts.append(f"{amount}, long axis {cells['long_axis_mm']} mm, short axis {cells['short_axis_mm']} mm.")
    return facts


def tag_of_row(cells: Mapping[str, Any]) -> TagResult | None:
    """The tag of a row of ``predictions.csv``."""
    if not cells.get("class"):
        return None
    probabilities = {key[2:]: float(value) for key, value in cells.items() if key.startswith("p_") and value != ""}
    return TagResult(
        tag=str(cells["class"]),
        probabilities=probabilities,
        calibrated=cells.get("calibrated") == "yes",
        graded="calibrated" in cells and "sure" not in cells,
        sure={"yes": True, "no": False}.get(str(cells.get("sure"))),
    )
