"""What came out of a training: the scores, the model file, and the way on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QAbstractItemView,
    QFrame,
    QHeaderView,
    QLabel,
    QPushButton,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from napari_medseg.widgets.look import SentenceLabel

_ABBREVIATIONS = {"auc": "AUC", "dice": "Dice", "iou": "IoU"}


class ResultCard(QFrame):
    """Scores of a finished run; `use` hands its model on."""

    use = Signal(Path)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.model: Path | None = None
        self._head = SentenceLabel()
        self._table = figures_table()
        self._path = QLabel()
        self._path.setWordWrap(True)
        self._path.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self._use = QPushButton("Use it")
        self._use.setObjectName("use_model")
        self._use.setToolTip("Choose this model in the Predict panel")
        self._use.clicked.connect(self._on_use)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 4, 0, 0)
        for widget in (self._head, self._table, self._path, self._use):
            layout.addWidget(widget)
        self.setVisible(False)

    def show_result(self, summary: Mapping[str, Any]) -> None:
        """Show a run's ``summary.json``."""
        self.model = Path(summary["model"])
        scores = {name: value for name, value in summary.get("scores", {}).items() if value is not None}
        self._head.say("ok", "Trained. Scores on the validation cases:" if scores else "Trained, without validation.")
        fill_figures(self._table, scores)
        # Zero-width blanks let a long path wrap.
        self._path.setText(str(self.model).replace("/", "/\u200b"))
        self._path.setToolTip(str(self.model))
        self.setVisible(True)

    def figures(self) -> dict[str, str]:
        """What the table shows."""
        return table_texts(self._table)

    def _on_use(self) -> None:
        if self.model is not None:
            self.use.emit(self.model)


def figures_table() -> QTableWidget:
    """An empty table of names and numbers, as high as its rows."""
    table = QTableWidget(0, 2)
    table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
    table.setSelectionMode(QAbstractItemView.SelectionMode.NoSelection)
    table.setFocusPolicy(Qt.FocusPolicy.NoFocus)
    table.setShowGrid(False)
    for header in (table.horizontalHeader(), table.verticalHeader()):
        if header is not None:
            header.setVisible(False)
    header = table.horizontalHeader()
    if header is not None:
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        header.setSectionResizeMode(1, QHeaderView.ResizeMode.ResizeToContents)
    return table


def fill_figures(table: QTableWidget, figures: Mapping[str, float]) -> None:
    """Show figures by name, with three decimals."""
    table.setRowCount(len(figures))
    for row, (name, value) in enumerate(figures.items()):
        table.setItem(row, 0, QTableWidgetItem(figure_name(name)))
        number = QTableWidgetItem(f"{value:.3f}")
        number.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        table.setItem(row, 1, number)
        table.setRowHeight(row, 22)
    table.setFixedHeight(22 * len(figures) + 4)
    table.setVisible(bool(figures))


def figure_name(key: str) -> str:
    """The name of a score as people read it; the letter of a stage stands before it.

    Examples
    --------
    >>> figure_name("b_dice_gland"), figure_name("a_auc"), figure_name("balanced_accuracy")
    ('B Dice gland', 'A AUC', 'balanced accuracy')
    """
    words = [_ABBREVIATIONS.get(word, word) for word in key.replace("_", " ").split()]
    return " ".join(word.upper() if len(word) == 1 and place == 0 else word for place, word in enumerate(words))


def table_texts(table: QTableWidget) -> dict[str, str]:
    """Name and number of every row, as shown."""
    texts = {}
    for row in range(table.rowCount()):
        name, number = table.item(row, 0), table.item(row, 1)
        if name is not None and number is not None:
            texts[name.text()] = number.text()
    return texts
