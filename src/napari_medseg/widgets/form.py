"""A form made from any settings class.

The fields that matter (marked ``json_schema_extra={"basic": True}``) come first, wherever they are nested; the others
follow folded, one fold per group. The form shows what a scheme's settings class says and knows no scheme itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar, get_args, get_origin

from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QGridLayout, QLabel, QVBoxLayout, QWidget

from napari_medseg.config import Settings, describe_fault, parse_settings
from napari_medseg.errors import ConfigError
from napari_medseg.widgets.editors import Editor, editor_for, limits_of
from napari_medseg.widgets.fold import Fold
from napari_medseg.widgets.look import SentenceLabel

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
            Leaf(path=path, field=field, editor=editor_for(field), fault=SentenceLabel())
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
            leaf.editor.put(_at(values, leaf.path))
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
        for path, field in _leaves(settings_type):
            if get_origin(field.annotation) is Literal and len(get_args(field.annotation)) == 1:
                self._constants[path] = get_args(field.annotation)[0]
            else:
                yield path, field

    def _build(self) -> None:
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        basic = [leaf for leaf in self._leaves if _is_basic(leaf.field)]
        others = [leaf for leaf in self._leaves if not _is_basic(leaf.field)]
        layout.addLayout(_rows(basic))
        layout.addWidget(self._fault)
        if not others:
            return
        more = Fold("More settings")
        more.content.addLayout(_rows([leaf for leaf in others if len(leaf.path) == 1]))
        for group in dict.fromkeys(leaf.path[:-1] for leaf in others if len(leaf.path) > 1):
            fold = Fold(" › ".join(_words(part) for part in group))
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
            _put(values, path, constant)
        for leaf in self._leaves:
            try:
                _put(values, leaf.path, leaf.editor.get())
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
                sentences = {path: _sentence(item) for item in error.errors() if (path := self._path(item["loc"]))}
                rest = "" if sentences else describe_fault(error)
        for leaf in self._leaves:
            leaf.fault.say("error", sentences.get(leaf.path, ""))
        self._fault.say("error", rest)

    def _path(self, location: tuple[int | str, ...]) -> tuple[str, ...] | None:
        """The field that a fault's location is in; None for faults of a whole group."""
        return next((leaf.path for leaf in self._leaves if location[: len(leaf.path)] == leaf.path), None)


def _leaves(settings_type: type[Settings], prefix: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], FieldInfo]]:
    """All fields that are no group, depth first, with their paths."""
    for name, field in settings_type.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Settings):
            yield from _leaves(field.annotation, (*prefix, name))
        else:
            yield (*prefix, name), field


def _is_basic(field: FieldInfo) -> bool:
    return isinstance(field.json_schema_extra, dict) and bool(field.json_schema_extra.get("basic"))


def _rows(leaves: list[Leaf]) -> QGridLayout:
    """Name, editor and fault of some fields, one under the other."""
    grid = QGridLayout()
    grid.setContentsMargins(0, 0, 0, 0)
    grid.setVerticalSpacing(3)
    grid.setColumnStretch(1, 1)
    for row, leaf in enumerate(leaves):
        name = QLabel(leaf.field.title or _words(leaf.path[-1]))
        name.setBuddy(leaf.editor)
        name.setMinimumWidth(120)
        for widget in (name, leaf.editor):
            widget.setToolTip(_tooltip(leaf.field))
        leaf.editor.setObjectName(".".join(leaf.path))
        grid.addWidget(name, 2 * row, 0)
        grid.addWidget(leaf.editor, 2 * row, 1)
        grid.addWidget(leaf.fault, 2 * row + 1, 0, 1, 2)
    return grid


def _tooltip(field: FieldInfo) -> str:
    """Description, limits and default; wrapped by Qt because it is rich text."""
    low, high = limits_of(field)
    notes = [f"at least {low:g}" if low is not None else "", f"at most {high:g}" if high is not None else ""]
    default = field.get_default(call_default_factory=False)
    if isinstance(default, (int, float, str)):
        notes.append(f"default {default}")
    tail = ", ".join(filter(None, notes))
    return f"<p>{field.description or ''}{f' ({tail})' if tail else ''}</p>"


def _sentence(error: ErrorDetails) -> str:
    """Pydantic's words as a sentence; its word for a tuple that is too short would mislead."""
    message = "a value is missing" if error["type"] == "missing" else error["msg"].removeprefix("Value error, ")
    return f"{message[0].upper()}{message[1:]}."


def _words(name: str) -> str:
    """``learning_rate`` as ``Learning rate``."""
    return name.replace("_", " ").capitalize()


def _at(values: dict[str, Any], path: tuple[str, ...]) -> Any:
    for part in path:
        values = values[part]
    return values


def _put(values: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    for part in path[:-1]:
        values = values.setdefault(part, {})
    values[path[-1]] = value
