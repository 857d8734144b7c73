"""Fields of settings classes: where they are, what they are called, and what is said about them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, get_args, get_origin

from pydantic.fields import FieldInfo

from napari_medseg.config import Settings
from napari_medseg.widgets.editors import limits_of

#: Where a field is, from the outermost group inwards.
Path = tuple[str, ...]


def leaves_of(settings_type: type[Settings], prefix: Path = ()) -> Iterator[tuple[Path, FieldInfo]]:
    """All fields that are no group, depth first, with their paths."""
    for name, field in settings_type.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Settings):
            yield from leaves_of(field.annotation, (*prefix, name))
        else:
            yield (*prefix, name), field


def is_constant(field: FieldInfo) -> bool:
    """Whether a field has a single possible value."""
    return get_origin(field.annotation) is Literal and len(get_args(field.annotation)) == 1


def constant_of(field: FieldInfo) -> Any:
    """The one value of a field that has no other."""
    return get_args(field.annotation)[0]


def name_of(path: Path, field: FieldInfo) -> str:
    """What a field is called: its title, or ``learning_rate`` as ``Learning rate``."""
    return field.title or words_of(path[-1])


def words_of(name: str) -> str:
    """``learning_rate`` as ``Learning rate``."""
    return name.replace("_", " ").capitalize()


def note_of(field: FieldInfo, key: str) -> Any:
    """What a field's ``json_schema_extra`` says under a key (``basic``, ``unit``, ...); None for nothing."""
    return field.json_schema_extra.get(key) if isinstance(field.json_schema_extra, dict) else None


def tooltip_of(field: FieldInfo) -> str:
    """Description, limits, unit and default; wrapped by Qt because it is rich text."""
    low, high = limits_of(field)
    notes = [f"at least {low:g}" if low is not None else "", f"at most {high:g}" if high is not None else ""]
    default = field.get_default(call_default_factory=False)
    if isinstance(default, (int, float, str)):
        notes.append(f"default {default}")
    tail = ", ".join(filter(None, notes))
    return f"<p>{field.description or ''}{f' ({tail})' if tail else ''}</p>"


def value_at(values: dict[str, Any], path: Path) -> Any:
    """The plain value of a field."""
    for part in path:
        values = values[part]
    return values


def put_at(values: dict[str, Any], path: Path, value: Any) -> None:
    """Set the plain value of a field, making the groups on the way."""
    for part in path[:-1]:
        values = values.setdefault(part, {})
    values[path[-1]] = value
