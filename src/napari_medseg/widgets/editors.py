"""Editors for single settings: one small widget per kind of value, chosen by the field's type.

Every editor takes and gives plain JSON values (`put`, `get`) and says `changed`. What `put` was given comes back from
`get` exactly, so that a form never changes a setting that nobody touched.
"""

from __future__ import annotations

import json
import re
import types
from collections.abc import Sequence
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo
from qtpy.QtCore import QSize, Qt, Signal
from qtpy.QtGui import QWheelEvent
from qtpy.QtWidgets import QCheckBox, QComboBox, QHBoxLayout, QLineEdit, QWidget

from napari_medseg.widgets.number_edit import NumberEdit


class Editor(QWidget):
    """Base of all editors: holds one inner widget, which takes the focus."""

    changed = Signal()
    #: Whether it needs the whole width of a form, below its name.
    is_wide = False

    def __init__(self, *inner: QWidget) -> None:
        super().__init__()
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        for widget in inner:
            layout.addWidget(widget)
        self.setFocusProxy(inner[0])

    def get(self) -> Any:
        """The plain value.

        Raises
        ------
        ValueError
            What is typed is no such value; the message says so without a full stop.
        """
        raise NotImplementedError

    def put(self, value: Any) -> None:
        """Show a plain value."""
        raise NotImplementedError


class CheckEditor(Editor):
    """Yes or no."""

    def __init__(self) -> None:
        self._box = QCheckBox()
        super().__init__(self._box)
        self._box.toggled.connect(self.changed)

    def get(self) -> bool:
        """Whether the box is checked."""
        return self._box.isChecked()

    def put(self, value: Any) -> None:
        """Check the box or not."""
        self._box.setChecked(bool(value))


#: Pixels that a combo box can do with.
_NARROW = 110


class CalmComboBox(QComboBox):
    """A combo box that lets the wheel scroll the panel, unless it has the focus."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        # Long entries must not widen a narrow panel.
        self.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.setMinimumContentsLength(8)

    def minimumSizeHint(self) -> QSize:
        """Nor must a long placeholder (Qt's hook)."""
        hint = super().minimumSizeHint()
        return QSize(min(hint.width(), _NARROW), hint.height())

    def index_of(self, data: object) -> int:
        """Row whose data equal these, -1 where none do; Qt's `findData` knows paths only as the same object."""
        return next((row for row in range(self.count()) if self.itemData(row) == data), -1)

    def wheelEvent(self, event: QWheelEvent | None) -> None:
        """Qt's hook."""
        if event is not None and not self.hasFocus():
            event.ignore()
        else:
            super().wheelEvent(event)


class ChoiceEditor(Editor):
    """One of a few values."""

    def __init__(self, choices: Sequence[Any]) -> None:
        self._box = CalmComboBox()
        super().__init__(self._box)
        self._choices = list(choices)
        self._box.addItems(["automatic" if choice is None else str(choice) for choice in choices])
        self._box.currentIndexChanged.connect(lambda _: self.changed.emit())

    def get(self) -> Any:
        """The chosen value."""
        return self._choices[self._box.currentIndex()]

    def put(self, value: Any) -> None:
        """Choose a value."""
        # Compared with their types: 1 == True, but they are different choices.
        matches = [i for i, c in enumerate(self._choices) if c == value and type(c) is type(value)]
        self._box.setCurrentIndex(matches[0])


class NumberEditor(Editor):
    """A number, or nothing where `optional`."""

    def __init__(
        self, kind: type[int] | type[float], limits: tuple[float | None, float | None], optional: bool
    ) -> None:
        self._edit = NumberEdit(kind, minimum=limits[0], maximum=limits[1], optional=optional)
        super().__init__(self._edit)
        self._edit.changed.connect(self.changed)

    def get(self) -> int | float | None:
        """The number."""
        return self._edit.number()

    def put(self, value: Any) -> None:
        """Show a number."""
        self._edit.set_number(value)


class _LineEditor(Editor):
    """Base of editors that are one line of text."""

    def __init__(self) -> None:
        self._line = QLineEdit()
        super().__init__(self._line)
        self._line.textChanged.connect(lambda _: self.changed.emit())

    def put(self, value: Any) -> None:
        """Show the value's text from its beginning."""
        self._line.setText(self._text_of(value))
        self._line.setCursorPosition(0)

    def _text_of(self, value: Any) -> str:
        raise NotImplementedError


class TextEditor(_LineEditor):
    """Words."""

    def get(self) -> str:
        """The words."""
        return self._line.text()

    def _text_of(self, value: Any) -> str:
        return str(value)


class SuggestionEditor(Editor):
    """Words, with some that can be chosen."""

    def __init__(self, suggestions: Sequence[str]) -> None:
        self._box = CalmComboBox()
        self._box.setEditable(True)
        self._box.setInsertPolicy(QComboBox.InsertPolicy.NoInsert)
        # A completer would replace what is typed by an entry that begins alike.
        self._box.setCompleter(None)
        super().__init__(self._box)
        self._box.addItems(suggestions)
        self._box.editTextChanged.connect(lambda _: self.changed.emit())

    def get(self) -> str:
        """The words."""
        return self._box.currentText()

    def put(self, value: Any) -> None:
        """Show words."""
        self._box.setEditText(str(value))
        line = self._box.lineEdit()
        assert line is not None
        line.setCursorPosition(0)


class NumbersEditor(_LineEditor):
    """A few numbers: ``448, 448`` (blanks or ``x`` between them are understood too)."""

    def __init__(self, kind: type[int] | type[float]) -> None:
        super().__init__()
        self._kind = kind

    def get(self) -> list[int | float]:
        """The numbers."""
        words = [word for word in re.split(r"[\s,;x×]+", self._line.text().strip("[]() \t")) if word]
        try:
            return [self._kind(word) for word in words]
        except ValueError:
            raise ValueError("Enter numbers separated by commas") from None

    def _text_of(self, value: Any) -> str:
        return ", ".join(repr(self._kind(number)) for number in value)


class JsonEditor(_LineEditor):
    """Anything else, as JSON in one line; text that is no JSON counts as words."""

    def get(self) -> Any:
        """The value."""
        text = self._line.text()
        try:
            return json.loads(text)
        except json.JSONDecodeError:
            return text

    def _text_of(self, value: Any) -> str:
        return json.dumps(value, ensure_ascii=False)


class OptionalEditor(Editor):
    """A box that turns another editor on; off means None."""

    def __init__(self, inner: Editor) -> None:
        self._box = QCheckBox()
        self._box.setToolTip("Set a value; otherwise none is used.")
        self._inner = inner
        super().__init__(self._box, inner)
        inner.setEnabled(False)
        layout = self.layout()
        assert isinstance(layout, QHBoxLayout)
        layout.setStretch(1, 1)
        self._box.toggled.connect(inner.setEnabled)
        self._box.toggled.connect(self.changed)
        inner.changed.connect(self.changed)

    def get(self) -> Any:
        """The inner value, or None when the box is off."""
        return self._inner.get() if self._box.isChecked() else None

    def put(self, value: Any) -> None:
        """Show a value, or turn the box off for None."""
        if value is not None:
            self._inner.put(value)
        self._box.setChecked(value is not None)


def editor_for(field: FieldInfo) -> Editor:
    """The editor that suits a settings field."""
    annotation, optional = _without_none(field.annotation)
    if get_origin(annotation) is Literal:
        return ChoiceEditor([*get_args(annotation), *([None] if optional else [])])
    if annotation is bool:
        return ChoiceEditor([True, False, None]) if optional else CheckEditor()
    if annotation in (int, float):
        return NumberEditor(annotation, limits_of(field), optional)
    suggestions = field.json_schema_extra.get("suggestions") if isinstance(field.json_schema_extra, dict) else None
    if annotation is str and isinstance(suggestions, (list, tuple)):
        inner: Editor = SuggestionEditor([str(name) for name in suggestions])
    else:
        inner = _line_editor(annotation)
    return OptionalEditor(inner) if optional else inner


def _line_editor(annotation: Any) -> Editor:
    if annotation is str:
        return TextEditor()
    if get_origin(annotation) in (tuple, list):
        kinds = {_without_none(item)[0] for item in get_args(annotation) if item is not Ellipsis}
        if kinds in ({int}, {float}):
            return NumbersEditor(kinds.pop())
    return JsonEditor()


def _without_none(annotation: Any) -> tuple[Any, bool]:
    """The type without ``Annotated`` and without None, and whether None was allowed."""
    if get_origin(annotation) is Annotated:
        return _without_none(get_args(annotation)[0])
    if get_origin(annotation) in (Union, types.UnionType):
        others = [item for item in get_args(annotation) if item is not type(None)]
        optional = len(others) < len(get_args(annotation))
        if len(others) == 1:
            return _without_none(others[0])[0], optional
        return Union[tuple(others)], optional  # noqa: UP007 - a union made at run time
    return annotation, False


def limits_of(field: FieldInfo) -> tuple[float | None, float | None]:
    """Lowest and highest value that a step may reach, from the field's constraints (None: no limit).

    An exclusive limit is itself not allowed, so steps that would reach it are stopped by nothing here but by the
    form's check; relative steps of real numbers approach it without reaching it.
    """
    low = high = None
    for constraint in field.metadata:
        low = getattr(constraint, "ge", getattr(constraint, "gt", low))
        high = getattr(constraint, "le", getattr(constraint, "lt", high))
    return low, high
