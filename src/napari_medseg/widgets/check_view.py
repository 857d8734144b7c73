"""The finding of a data check, on screen."""

from __future__ import annotations

import html

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLabel, QVBoxLayout, QWidget

from napari_medseg.structures import Fault
from napari_medseg.widgets.data_check import SPLITS, DataCheck
from napari_medseg.widgets.fold import Fold
from napari_medseg.widgets.look import SentenceLabel, sign

#: Faults that are shown; more would push the rest of the panel away.
MOST_FAULTS = 30


class CheckView(QWidget):
    """One line that says whether training can start; counts and faults below it."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._head = SentenceLabel()
        self._counts, self._faults = Fold("Cases"), Fold("Faults", opened=True)
        self._table, self._feeds, self._list = QLabel(), QLabel(), QLabel()
        for label in (self._table, self._feeds, self._list):
            label.setTextFormat(Qt.TextFormat.RichText)
            label.setWordWrap(True)
            label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self._counts.content.addWidget(self._table)
        self._counts.content.addWidget(self._feeds)
        self._faults.content.addWidget(self._list)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        for widget in (self._head, self._faults, self._counts):
            layout.addWidget(widget)
        self.show_waiting("")

    @property
    def words(self) -> str:
        """The line at the top."""
        return self._head.words

    def show_waiting(self, text: str) -> None:
        """Say that the check is under way, or nothing."""
        self._head.say("waiting", text)
        self._counts.setVisible(False)
        self._faults.setVisible(False)

    def show_check(self, found: DataCheck) -> None:
        """Show what was found."""
        errors = sum(fault.severity == "error" for fault in found.faults)
        if errors:
            self._head.say("error", f"{errors} fault{'s' if errors > 1 else ''} to mend first: {found.sentence()}.")
        else:
            self._head.say("ok", f"Ready: {found.sentence()}.")
        self._faults.set_title("Faults" if errors else "Remarks")
        self._faults.setVisible(bool(found.faults))
        self._list.setText(_fault_list(found.faults))
        self._counts.setVisible(bool(found.counts))
        self._table.setText(_count_table(found))
        self._feeds.setText(_feed_list(found))


def _count_table(found: DataCheck) -> str:
    head = "".join(f'<th align="right">&nbsp;&nbsp;{split}</th>' for split in SPLITS)
    rows = "".join(
        f"<tr><td>{'&nbsp;&nbsp;' if ' ' in name and name != 'empty masks' else ''}{html.escape(name)}</td>"
        + "".join(f'<td align="right">{counts[split]}</td>' for split in SPLITS)
        + "</tr>"
        for name, counts in found.counts.items()
    )
    return f'<table width="100%"><tr><th></th>{head}</tr>{rows}</table>'


def _feed_list(found: DataCheck) -> str:
    lines = [
        f"{sign('waiting' if why else 'ok')} {html.escape(title)}{f': {html.escape(why)}' if why else ''}"
        for title, why in found.feeds.items()
    ]
    return "Can train:<br>" + "<br>".join(lines) if lines else ""


def _fault_list(faults: tuple[Fault, ...]) -> str:
    lines = [f"<p>{sign(fault.severity)} {html.escape(str(fault))}</p>" for fault in faults[:MOST_FAULTS]]
    if len(faults) > MOST_FAULTS:
        lines.append(f"<p>… and {len(faults) - MOST_FAULTS} more: 'napari-medseg dataset check' lists all.</p>")
    return "".join(lines)
