"""A form made from any settings class.

The fields that matter (marked ``json_schema_extra={"basic": True}``) come first, wherever they are nested; the others
follow folded, one fold per group. A field's ``"unit"`` stands behind its value, its ``"suggestions"`` can be chosen.
The form shows what a scheme's settings class says and knows no scheme itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QGridLayout, QLabel, QVBoxLayout, QWidget

from napari_medseg.config import Settings, describe_fault, parse_settings
from napari_medseg.errors import ConfigError
from napari_medseg.widgets.editors import Editor, editor_for
from napari_medseg.widgets.fold import Fold
from napari_medseg.widgets.look import SentenceLabel
from napari_medseg.widgets.parts import row
from napari_medseg.widgets.rows_editor import RowsEditor, rows_type
from napari_medseg.widgets.settings_fields import (
    constant_of,
    is_constant,
    leaves_of,
    name_of,
    note_of,
    put_at,
    tooltip_of,
    value_at,
    words_of,
)

S = TypeVar("S", bound=Settings)


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaf:
    """A settings field that is no group: where it is and what edits it."""

    path: tuple[str, ...]
    field: FieldInfo
    editor: Editor
    fault: SentenceLabel


class SettingsForm(QWidget, Generic[S]):
    """Edit settings; `changed` follows every edit, right or wrong.

    Parameters
    ----------
    settings_type
        Class of the settings; its defaults are shown first.
    """

    changed = Signal()

    def __init__(self, settings_type: type[S], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._type = settings_type
        self._constants: dict[tuple[str, ...], Any] = {}
        self._silent = False
        self._leaves = [
            Leaf(path=path, field=field, editor=_editor(field), fault=SentenceLabel())
            for path, field in self._edited(settings_type)
        ]
        self._fault = SentenceLabel()
        self._build()
        for leaf in self._leaves:
            leaf.editor.changed.connect(self._on_change)
        self.set_settings(settings_type())

    def settings(self) -> S:
        """The settings as edited.

        Raises
        ------
        ConfigError
            A field holds something that cannot be; the sentence names it.
        """
        return parse_settings(self._type, self._values())

    def set_settings(self, settings: S) -> None:
        """Show settings."""
        values = settings.model_dump(mode="json")
        self._silent = True
        for leaf in self._leaves:
            leaf.editor.put(value_at(values, leaf.path))
        self._silent = False
        self._on_change()

    def fault(self) -> str:
        """What keeps the form from being used, in one sentence; empty when it is fine."""
        try:
            self.settings()
        except ConfigError as error:
            return str(error)
        return ""

    def editor(self, path: str) -> Editor:
        """The editor of a field, e.g. ``"training.epochs"``."""
        return next(leaf.editor for leaf in self._leaves if ".".join(leaf.path) == path)

    def fault_at(self, path: str) -> str:
        """The sentence beside a field; empty when it is fine."""
        return next(leaf.fault.words for leaf in self._leaves if ".".join(leaf.path) == path)

    def _edited(self, settings_type: type[Settings]) -> Iterator[tuple[tuple[str, ...], FieldInfo]]:
        """Fields to edit; those with a single possible value are kept aside."""
        for path, field in leaves_of(settings_type):
            if is_constant(field):
                self._constants[path] = constant_of(field)
            else:
                yield path, field

    def _build(self) -> None:
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        basic = [leaf for leaf in self._leaves if note_of(leaf.field, "basic")]
        others = [leaf for leaf in self._leaves if not note_of(leaf.field, "basic")]
        layout.addLayout(_rows(basic))
        layout.addWidget(self._fault)
        if not others:
            return
        more = Fold("More settings")
        more.content.addLayout(_rows([leaf for leaf in others if len(leaf.path) == 1]))
        for group in dict.fromkeys(leaf.path[:-1] for leaf in others if len(leaf.path) > 1):
            fold = Fold(" › ".join(words_of(part) for part in group))
            fold.content.addLayout(_rows([leaf for leaf in others if leaf.path[:-1] == group]))
            more.content.addWidget(fold)
        layout.addWidget(more)

    def _values(self) -> dict[str, Any]:
        """Plain nested values.

        Raises
        ------
        ConfigError
            A text is no value of its field's kind.
        """
        values: dict[str, Any] = {}
        for path, constant in self._constants.items():
            put_at(values, path, constant)
        for leaf in self._leaves:
            try:
                put_at(values, leaf.path, leaf.editor.get())
            except ValueError as error:
                raise ConfigError(f"Setting '{'.'.join(leaf.path)}': {error}.") from error
        return values

    def _on_change(self) -> None:
        if not self._silent:
            self._show_faults()
            self.changed.emit()

    def _show_faults(self) -> None:
        """Put every fault beside its field, and those of no single field below the basic ones."""
        sentences: dict[tuple[str, ...], str] = {}
        for leaf in self._leaves:
            try:
                leaf.editor.get()
            except ValueError as error:
                sentences[leaf.path] = f"{error}."
        rest = ""
        if not sentences:
            try:
                self._type.model_validate(self._values())
            except ValidationError as error:
                sentences = {
                    path: _sentence(item, path) for item in error.errors() if (path := self._path(item["loc"]))
                }
                rest = "" if sentences else describe_fault(error)
        for leaf in self._leaves:
            leaf.fault.say("error", sentences.get(leaf.path, ""))
        self._fault.say("error", rest)

    def _path(self, location: tuple[int | str, ...]) -> tuple[str, ...] | None:
        """The field that a fault's location is in; None for faults of a whole group."""
        return next((leaf.path for leaf in self._leaves if location[: len(leaf.path)] == leaf.path), None)


def _editor(field: FieldInfo) -> Editor:
    item_type = rows_type(field)
    return RowsEditor(item_type) if item_type is not None else editor_for(field)


def _rows(leaves: list[Leaf]) -> QGridLayout:
    """Name, editor and fault of some fields, one under the other."""
    grid = QGridLayout()
    grid.setContentsMargins(0, 0, 0, 0)
    grid.setVerticalSpacing(3)
    grid.setColumnStretch(1, 1)
    for place, leaf in enumerate(leaves):
        name = QLabel(name_of(leaf.path, leaf.field))
        name.setBuddy(leaf.editor)
        name.setMinimumWidth(120)
        for widget in (name, leaf.editor):
            widget.setToolTip(tooltip_of(leaf.field))
        leaf.editor.setObjectName(".".join(leaf.path))
        grid.addWidget(name, 3 * place, 0)
        unit = note_of(leaf.field, "unit")
        if leaf.editor.is_wide:
            grid.addWidget(leaf.editor, 3 * place + 1, 0, 1, 2)
        elif unit:
            grid.addLayout(row(leaf.editor, QLabel(str(unit)), stretch=leaf.editor), 3 * place, 1)
        else:
            grid.addWidget(leaf.editor, 3 * place, 1)
        grid.addWidget(leaf.fault, 3 * place + 2, 0, 1, 2)
    return grid


def _sentence(error: ErrorDetails, path: tuple[str, ...]) -> str:
    """Pydantic's words as a sentence; its word for a tuple that is too short would mislead."""
    message = "a value is missing" if error["type"] == "missing" else error["msg"].removeprefix("Value error, ")
    sentence = f"{message[0].upper()}{message[1:]}."
    match error["loc"][len(path) :]:
        case (int() as index, str() as name, *_):
            return f"Row {index + 1}, {words_of(name).lower()}: {sentence}"
    return sentence
