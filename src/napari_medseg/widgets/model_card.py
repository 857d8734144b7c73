"""Which model to predict with, and what its file says about it; only the file's header is read."""

from __future__ import annotations

import html
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFileDialog, QLabel, QVBoxLayout, QWidget

from napari_medseg.api.prediction import model_name, model_path
from napari_medseg.errors import MedsegError
from napari_medseg.io.model_file import ModelCard, read_card
from napari_medseg.schemes import SCHEMES
from napari_medseg.widgets.editors import CalmComboBox
from napari_medseg.widgets.fold import Fold
from napari_medseg.widgets.league_table import LeagueFold
from napari_medseg.widgets.look import SentenceLabel
from napari_medseg.widgets.parts import button, row, words
from napari_medseg.widgets.result_card import figure_name, figures_table, fill_figures
from napari_medseg.widgets.result_rows import swatches

RESOURCES = Path(__file__).parents[1] / "resources"
#: Scores that a card shows unfolded.
MAIN_SCORES = 3


class ModelChooser(QWidget):
    """A list of models (this data set's runs, those of the package, a file) and the card of the chosen one."""

    #: The path of the chosen model file; None when it cannot be used.
    chosen = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.path: Path | None = None
        # Whether a person chose the model; otherwise the first of the list is shown.
        self._is_picked = False
        self.card: ModelCard | None = None
        self._box = CalmComboBox()
        self._box.setObjectName("model")
        self._box.setPlaceholderText("Train a model, or choose a file")
        self._card, self._use = words(), words("Research use only: not a medical device.", faint=True)
        self._scores, self._candidates = Fold("All scores"), LeagueFold()
        self._all_scores = figures_table()
        self._scores.content.addWidget(self._all_scores)
        self._fault = SentenceLabel()
        self._browse = button("File …", self._ask, tip="Choose a model file", name="browse_model")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(row(QLabel("Model"), self._box, self._browse, stretch=self._box))
        for widget in (self._card, self._scores, self._candidates, self._use, self._fault):
            layout.addWidget(widget)
        self._box.currentIndexChanged.connect(self._on_index)
        self.list_models(None)

    @property
    def words(self) -> str:
        """What is wrong with the chosen model; empty when it can be used."""
        return self._fault.words

    def list_models(self, runs: Path | None) -> None:
        """List the finished runs of a folder, the latest first, and the package's own models.

        What a person chose stays chosen; else the first of the list is.
        """
        found = sorted(runs.glob("*/model.safetensors"), key=_age) if runs is not None else []
        models = [*found, *sorted(RESOURCES.glob("*.safetensors"))]
        picked = self.path if self._is_picked else None
        if picked is not None and picked not in models:
            models.insert(0, picked)
        self._box.blockSignals(True)
        self._box.clear()
        for path in models:
            self._box.addItem(model_name(path), path)
        self._box.setCurrentIndex(-1)
        self._box.blockSignals(False)
        self._take(picked or (models[0] if models else None))

    def drawing_models(self) -> list[Path]:
        """Listed models that draw classes in any image, and so can find a region."""
        listed = [self._box.itemData(index) for index in range(self._box.count())]
        return [path for path in listed if _finds_regions(path)]

    def choose(self, path: Path | None) -> None:
        """Choose a model file or a run folder, and show its card."""
        self._is_picked = path is not None
        self._take(path)

    def _take(self, path: Path | None) -> None:
        self.path, self.card = None, None
        self._fault.say("error", "")
        if path is not None:
            try:
                self.path = model_path(path)
                self.card = read_card(self.path)
            except MedsegError as error:
                self._fault.say("error", str(error))
        self._show(self.path)
        self.chosen.emit(self.path if self.card is not None else None)

    def _show(self, path: Path | None) -> None:
        self._card.setVisible(self.card is not None)
        self._use.setVisible(self.card is not None)
        scores = known_scores(self.card) if self.card is not None else {}
        self._scores.setVisible(len(scores) > MAIN_SCORES)
        fill_figures(self._all_scores, scores)
        self._candidates.show_entries(self.card.training.candidates if self.card is not None else ())
        if path is None:
            return
        index = self._box.index_of(path)
        self._box.blockSignals(True)
        if index < 0:
            self._box.insertItem(0, model_name(path), path)
            index = 0
        self._box.setCurrentIndex(index)
        self._box.blockSignals(False)
        if self.card is not None:
            self._card.setText(card_text(path, self.card))
            self._card.setToolTip(str(path))

    def _on_index(self, index: int) -> None:
        self.choose(self._box.itemData(index))

    def _ask(self) -> None:
        name, _ = QFileDialog.getOpenFileName(self, "Choose a model file", "", "Models (*.safetensors)")
        if name:
            self.choose(Path(name))


def _finds_regions(path: Path) -> bool:
    try:
        card = read_card(path)
    except MedsegError:
        # It is listed all the same, and says what is wrong once it is chosen.
        return False
    return bool(card.classes) and card.scheme in SCHEMES and not SCHEMES[card.scheme].judges_region


def card_text(path: Path, card: ModelCard) -> str:
    """A model's card as rich text: scheme, classes with their colours, tags, scores, training cases, date."""
    scheme = SCHEMES[card.scheme].title if card.scheme in SCHEMES else card.scheme
    lines = [f"<b>{html.escape(model_name(path))}</b> · {html.escape(scheme)}"]
    if card.classes:
        lines.append(f"draws {swatches(card.classes)}")
    if card.tags:
        is_graded = card.scheme in SCHEMES and SCHEMES[card.scheme].judges_region
        lines.append(f"{'grades' if is_graded else 'tells'} {html.escape(', '.join(card.tags))}")
    scores = main_scores(known_scores(card))
    if scores:
        lines.append(" · ".join(f"{html.escape(figure_name(name))}\u00a0{value:.3f}" for name, value in scores.items()))
    cases = card.training.cases.get("train", {}).get("cases")
    date = datetime.fromtimestamp(path.stat().st_mtime).strftime("%d %b %Y, %H:%M")
    lines.append(f"{f'{cases} training cases, ' if cases else ''}{date}")
    return "<br>".join(lines)


def known_scores(card: ModelCard) -> dict[str, float]:
    """The scores of a model that are defined."""
    return {name: value for name, value in card.training.scores.items() if value is not None}


def main_scores(scores: Mapping[str, float]) -> dict[str, float]:
    """The few scores that tell most: means over classes, else Dice, IoU and AUC, those of the last stage first.

    Examples
    --------
    >>> main_scores({"mean_iou": 0.65, "iou RNFL": 0.7, "iou GCL": 0.6, "loss": 0.3})
    {'mean_iou': 0.65}
    >>> main_scores({"a_accuracy": 0.9, "a_auc": 0.9, "b_dice gland": 0.8, "c_auc": 0.95})
    {'c_auc': 0.95, 'b_dice gland': 0.8, 'a_auc': 0.9}
    """
    means = [name for name in scores if "mean" in name]
    figures = [name for name in reversed([*scores]) if any(word in name for word in ("dice", "iou", "auc"))]
    return {name: scores[name] for name in (means or figures or [*scores])[:MAIN_SCORES]}


def _age(path: Path) -> float:
    return -path.stat().st_mtime
