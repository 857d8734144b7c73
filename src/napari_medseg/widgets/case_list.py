"""The list of cases: rows are drawn when they come into view, so that thousands are as quick as ten."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from qtpy.QtCore import QAbstractListModel, QModelIndex, QRect, QSize, QSortFilterProxyModel, Qt
from qtpy.QtGui import QColor, QPainter, QPalette, QPen
from qtpy.QtWidgets import QListView, QStyle, QStyledItemDelegate, QStyleOptionViewItem, QWidget

from napari_medseg.structures import Case, TagClass
from napari_medseg.widgets.queue import Queue
from napari_medseg.widgets.thumbnails import ThumbnailLoader

#: Colour and sign of each status; signs differ, so that nothing depends on telling colours apart.
STATUS_COLORS = {"todo": "#858585", "draft": "#b07d1c", "done": "#1b8f62", "reviewed": "#3b82c4"}
STATUS_SIGNS = {"todo": "○", "draft": "◐", "done": "●", "reviewed": "✔"}

CASE_ROLE = int(Qt.ItemDataRole.UserRole) + 1
_HEIGHT = 52
_PICTURE = 44


def status_text(status: str) -> str:
    """A status as people read it."""
    return "to do" if status == "todo" else status


class CaseListModel(QAbstractListModel):
    """Cases as a Qt model; `CASE_ROLE` gives the `Case`."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._cases: list[Case] = []
        self._rows: dict[str, int] = {}

    def set_cases(self, cases: Sequence[Case]) -> None:
        """Show these cases; a list of the same ids only repaints the rows that differ."""
        if [case.case for case in cases] == [case.case for case in self._cases]:
            changed = [row for row, (old, new) in enumerate(zip(self._cases, cases, strict=True)) if old != new]
            self._cases = list(cases)
            for row in changed:
                self.dataChanged.emit(self.index(row), self.index(row))
            return
        self.beginResetModel()
        self._cases = list(cases)
        self._rows = {case.case: row for row, case in enumerate(cases)}
        self.endResetModel()

    def row_of(self, case_id: str) -> int | None:
        """The row of a case; None when it is not in the list."""
        return self._rows.get(case_id)

    def repaint_case(self, case_id: str) -> None:
        """Draw the row of a case anew."""
        row = self._rows.get(case_id)
        if row is not None:
            self.dataChanged.emit(self.index(row), self.index(row), [Qt.ItemDataRole.DecorationRole])

    def rowCount(self, parent: QModelIndex = QModelIndex()) -> int:  # noqa: B008 - Qt's own default
        """Number of cases."""
        return 0 if parent.isValid() else len(self._cases)

    def data(self, index: QModelIndex, role: int = int(Qt.ItemDataRole.DisplayRole)) -> Any:
        """Id, tooltip or the case itself."""
        if not index.isValid():
            return None
        case = self._cases[index.row()]
        if role == CASE_ROLE:
            return case
        if role == Qt.ItemDataRole.DisplayRole:
            return case.case
        if role == Qt.ItemDataRole.AccessibleTextRole:
            return ", ".join(filter(None, (case.case, status_text(case.status), case.tag)))
        if role == Qt.ItemDataRole.ToolTipRole:
            return "\n".join(filter(None, (case.case, case.image, case.group and f"group {case.group}", case.note)))
        return None


class CaseFilter(QSortFilterProxyModel):
    """Cases whose id, group, tag or note holds a text, and that have a status and a source."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._text = ""
        self._status = ""
        self._source = ""
        self._queue: Queue | None = None

    def set_queue(self, queue: Queue | None) -> None:
        """Put cases in the order of a queue, those outside of it last or not at all; None: in that of the table."""
        self._queue = queue
        self.invalidate()
        self.sort(0 if queue is not None else -1)

    def lessThan(self, left: QModelIndex, right: QModelIndex) -> bool:
        """Whether a case stands before another one in the queue."""
        ranks = self._queue.ranks if self._queue is not None else {}
        places = [(ranks.get(index.data(CASE_ROLE).case, len(ranks)), index.row()) for index in (left, right)]
        return places[0] < places[1]

    def set_text(self, text: str) -> None:
        """Keep cases that hold every word of a text, small or capital."""
        self._text = text.casefold()
        self.invalidateFilter()

    def set_status(self, status: str) -> None:
        """Keep cases of a status; all of them when empty."""
        self._status = status
        self.invalidateFilter()

    def set_source(self, source: str) -> None:
        """Keep cases of a source; all of them when empty."""
        self._source = source
        self.invalidateFilter()

    def filterAcceptsRow(self, source_row: int, source_parent: QModelIndex) -> bool:
        """Whether a row is shown."""
        model = self.sourceModel()
        if model is None:
            return False
        case: Case = model.index(source_row, 0, source_parent).data(CASE_ROLE)
        if (self._status and case.status != self._status) or (self._source and case.source != self._source):
            return False
        if self._queue is not None and self._queue.alone and case.case not in self._queue.ranks:
            return False
        words = " ".join((case.case, case.group, case.source, case.tag, case.grade, case.note)).casefold()
        return all(word in words for word in self._text.split())


class CaseDelegate(QStyledItemDelegate):
    """Draws a case: picture, id, status with sign, tag in its colour."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.thumbnails: ThumbnailLoader | None = None
        self.tag_colors: dict[str, str] = {}
        #: Why a case stands where it does, by its id; told instead of the status' name.
        self.reasons: Mapping[str, str] = {}

    def set_tags(self, tags: Sequence[TagClass]) -> None:
        """Colours of the tags."""
        self.tag_colors = {tag.name: tag.color for tag in tags}

    def sizeHint(self, option: QStyleOptionViewItem, index: QModelIndex) -> QSize:
        """All rows are equally high."""
        return QSize(120, _HEIGHT)

    def paint(self, painter: QPainter | None, option: QStyleOptionViewItem, index: QModelIndex) -> None:
        """Draw one row."""
        if painter is None:
            return
        case: Case = index.data(CASE_ROLE)
        painter.save()
        palette = option.palette
        if option.state & QStyle.StateFlag.State_Selected:
            painter.fillRect(option.rect, palette.color(QPalette.ColorRole.Highlight))
        elif option.state & QStyle.StateFlag.State_MouseOver:
            shade = QColor(palette.color(QPalette.ColorRole.Text))
            shade.setAlpha(18)
            painter.fillRect(option.rect, shade)
        inner = option.rect.adjusted(4, 4, -6, -4)
        self._draw_picture(painter, QRect(inner.left(), inner.top(), _PICTURE, _PICTURE), case, palette)
        text = inner.adjusted(_PICTURE + 8, 0, 0, 0)
        self._draw_words(painter, text, case, palette.color(QPalette.ColorRole.Text))
        painter.restore()

    def _draw_picture(self, painter: QPainter, frame: QRect, case: Case, palette: QPalette) -> None:
        picture = self.thumbnails.get(case.case) if self.thumbnails is not None else None
        if picture is None:
            faint = QColor(palette.color(QPalette.ColorRole.Text))
            faint.setAlpha(24)
            painter.fillRect(frame, faint)
            return
        scaled = picture.size().scaled(frame.size(), Qt.AspectRatioMode.KeepAspectRatio)
        place = QRect(frame.topLeft(), scaled)
        place.moveCenter(frame.center())
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        painter.drawPixmap(place, picture)

    def _draw_words(self, painter: QPainter, place: QRect, case: Case, color: QColor) -> None:
        metrics = painter.fontMetrics()
        upper = QRect(place.left(), place.top(), place.width(), place.height() // 2)
        lower = upper.translated(0, place.height() // 2)
        name_width = upper.width() - self._draw_group(painter, upper, case.group, color)
        name = metrics.elidedText(case.case, Qt.TextElideMode.ElideMiddle, name_width)
        painter.setPen(QPen(color))
        painter.drawText(upper, Qt.AlignmentFlag.AlignVCenter, name)
        painter.setPen(QPen(QColor(STATUS_COLORS[case.status])))
        sign = f"{STATUS_SIGNS[case.status]} "
        painter.drawText(lower, Qt.AlignmentFlag.AlignVCenter, sign)
        faded = QColor(color)
        faded.setAlpha(170)
        painter.setPen(QPen(faded))
        after_sign = lower.adjusted(metrics.horizontalAdvance(sign) + 2, 0, 0, 0)
        reason = self.reasons.get(case.case, "")
        told = metrics.elidedText(reason, Qt.TextElideMode.ElideRight, after_sign.width()) or status_text(case.status)
        painter.drawText(after_sign, Qt.AlignmentFlag.AlignVCenter, told)
        if case.tag and not reason:
            self._draw_tag(painter, lower, case.tag, color)

    def _draw_group(self, painter: QPainter, place: QRect, group: str, color: QColor) -> int:
        """The patient at the right, faint, in a third of the room; the width that it took."""
        if not group:
            return 0
        metrics = painter.fontMetrics()
        words = metrics.elidedText(group, Qt.TextElideMode.ElideMiddle, place.width() // 3)
        width = metrics.horizontalAdvance(words)
        faded = QColor(color)
        faded.setAlpha(130)
        painter.setPen(QPen(faded))
        painter.drawText(place, Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignRight, words)
        return width + 8

    def _draw_tag(self, painter: QPainter, place: QRect, tag: str, color: QColor) -> None:
        """The tag at the right, in a frame of its colour; the words keep the theme's colour to stay readable."""
        metrics = painter.fontMetrics()
        words = metrics.elidedText(tag, Qt.TextElideMode.ElideRight, place.width() // 2)
        width = metrics.horizontalAdvance(words) + 22
        chip = QRect(place.right() - width, place.top() + 1, width, place.height() - 2)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        tag_color = QColor(self.tag_colors.get(tag, "#858585"))
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(tag_color)
        painter.drawEllipse(QRect(chip.left(), chip.center().y() - 4, 9, 9))
        painter.setPen(QPen(color))
        painter.drawText(chip.adjusted(14, 0, 0, 0), Qt.AlignmentFlag.AlignVCenter, words)


class CaseListView(QListView):
    """A list whose rows all have one height, so that only what is seen is measured and drawn."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setUniformItemSizes(True)
        self.setMouseTracking(True)
        self.setVerticalScrollMode(QListView.ScrollMode.ScrollPerPixel)
        self.setEditTriggers(QListView.EditTrigger.NoEditTriggers)
