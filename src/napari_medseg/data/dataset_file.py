"""``dataset.json``: what a data set is about, read with sentences for whoever edited it by hand."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, get_args

from napari_medseg.errors import DatasetError, InputNotFoundError
from napari_medseg.io.atomic import write_text
from napari_medseg.structures import KINDS, DatasetInfo, Edge, MaskClass, Surface, TagClass

FILE_NAME = "dataset.json"
FORMAT_VERSION = 1
#: Key of `DatasetInfo.implies` for a fully looked-at mask without any class.
EMPTY = "<empty>"

#: Colours that colour-blind eyes tell apart: M. Okabe, K. Ito, "Color Universal Design" (2008), without black.
PALETTE = ("#e69f00", "#56b4e9", "#009e73", "#f0e442", "#0072b2", "#d55e00", "#cc79a7")


#: Where tags begin in the palette: a data set of few classes and tags gives no colour twice.
_FIRST_TAG = 4


def color_for(index: int) -> str:
    """A colour for the n-th class, repeating after seven."""
    return PALETTE[index % len(PALETTE)]


def tag_color(index: int) -> str:
    """A colour for the n-th tag, repeating after seven, other than that of the first classes."""
    return color_for(_FIRST_TAG + index)


def next_class_color(info: DatasetInfo) -> str:
    """A colour for one more class: one that neither a tag nor a class has, as long as there are enough."""
    return _unused(info, [color_for(len(info.classes) + i) for i in range(len(PALETTE))])


def next_tag_color(info: DatasetInfo) -> str:
    """A colour for one more tag: one that neither a tag nor a class has, as long as there are enough."""
    return _unused(info, [tag_color(len(info.tags) + i) for i in range(len(PALETTE))])


def _unused(info: DatasetInfo, colors: Sequence[str]) -> str:
    used = {c.color.casefold() for c in info.classes} | {t.color.casefold() for t in info.tags}
    return next((color for color in colors if color not in used), colors[0])


def mask_classes(names: Sequence[str]) -> tuple[MaskClass, ...]:
    """Classes with the values 1, 2, ... and default colours."""
    return tuple(MaskClass(value=i + 1, name=name, color=color_for(i)) for i, name in enumerate(names))


def tag_classes(names: Sequence[str]) -> tuple[TagClass, ...]:
    """Tags with default colours."""
    return tuple(TagClass(name=name, color=tag_color(i)) for i, name in enumerate(names))


def with_tag_renamed(info: DatasetInfo, old: str, new: str) -> DatasetInfo:
    """A description with another name for a tag, also where a mask implies it."""
    return replace(
        info,
        tags=tuple(replace(tag, name=new) if tag.name == old else tag for tag in info.tags),
        implies={source: new if tag == old else tag for source, tag in info.implies.items()},
    )


def with_class_renamed(info: DatasetInfo, old: str, new: str) -> DatasetInfo:
    """A description with another name for a mask class, also in what it implies and beside surfaces."""

    def named(name: str) -> str:
        return new if name == old else name

    return replace(
        info,
        classes=tuple(replace(c, name=named(c.name)) for c in info.classes),
        implies={named(source): tag for source, tag in info.implies.items()},
        surfaces=tuple(replace(s, above=named(s.above), below=named(s.below)) for s in info.surfaces),
    )


def write_info(folder: Path, info: DatasetInfo) -> None:
    """Check and write ``dataset.json``.

    Raises
    ------
    DatasetError, WriteError
        The description contradicts itself, or the file cannot be written.
    """
    check_info(info)
    write_text(folder / FILE_NAME, json.dumps(info_document(info), indent=2, ensure_ascii=False) + "\n")


def info_document(info: DatasetInfo) -> dict[str, Any]:
    """The content of ``dataset.json``."""
    return {
        "format": FORMAT_VERSION,
        "name": info.name,
        "kind": info.kind,
        "classes": [{"value": c.value, "name": c.name, "color": c.color} for c in info.classes],
        "tags": [{"name": t.name, "color": t.color} for t in info.tags],
        "grades": list(info.grades),
        "implies": dict(info.implies),
        **({"surfaces": [asdict(surface) for surface in info.surfaces]} if info.surfaces else {}),
        **({} if info.blind else {"blind": False}),
        **({"tile": info.tile} if info.tile else {}),
    }


def read_info(folder: Path) -> DatasetInfo:
    """Read and check ``dataset.json``.

    Raises
    ------
    InputNotFoundError
        There is no such folder.
    DatasetError
        The folder is no data set, or its description cannot be used.
    """
    path = folder / FILE_NAME
    if folder.is_file():
        raise DatasetError(f"{folder} is a file: name the data set's folder.")
    if not folder.is_dir():
        raise InputNotFoundError(f"Data set {folder} does not exist: check the path.")
    try:
        document = json.loads(path.read_text("utf-8-sig"))
    except FileNotFoundError:
        raise DatasetError(
            f"{folder} is not a data set (no {FILE_NAME}): make one with 'napari-medseg dataset new' or 'import'."
        ) from None
    except (OSError, ValueError) as error:
        raise DatasetError(f"{path} cannot be read as JSON ({error}): mend the file.") from None
    version = document.get("format") if isinstance(document, dict) else None
    if version != FORMAT_VERSION:
        raise DatasetError(
            f"{path} has format version {version!r}, but this program reads version {FORMAT_VERSION}: "
            "update napari-medseg, or correct 'format'."
        )
    try:
        info = _info_of(document)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DatasetError(f"{path} lacks something or has it in the wrong form ({error!r}): mend the file.") from None
    check_info(info, where=f"{path}: ")
    return info


def check_info(info: DatasetInfo, *, where: str = "") -> None:
    """Refuse a description that contradicts itself; raises `DatasetError`."""
    problem = (
        _duplicate("class", [c.name for c in info.classes])
        or _duplicate("class value", [c.value for c in info.classes])
        or _duplicate("tag", [t.name for t in info.tags])
        or _duplicate("grade", list(info.grades))
        or _bad_class(info)
        or _bad_implication(info)
        or _duplicate("surface", [s.name for s in info.surfaces])
        or _bad_surface(info)
    )
    if problem:
        raise DatasetError(f"{where}{problem}")


def _info_of(document: dict[str, Any]) -> DatasetInfo:
    return DatasetInfo(
        name=str(document["name"]),
        kind=document.get("kind", "image"),
        classes=tuple(
            MaskClass(value=int(c["value"]), name=str(c["name"]), color=str(c.get("color") or color_for(i)))
            for i, c in enumerate(document.get("classes", []))
        ),
        tags=tuple(
            TagClass(name=str(t["name"]), color=str(t.get("color") or tag_color(i)))
            for i, t in enumerate(document.get("tags", []))
        ),
        grades=tuple(str(grade) for grade in document.get("grades", [])),
        implies={str(k): str(v) for k, v in document.get("implies", {}).items()},
        surfaces=tuple(
            Surface(
                name=str(s["name"]),
                above=str(s.get("above") or ""),
                below=str(s.get("below") or ""),
                edge=s.get("edge", "any"),
            )
            for s in document.get("surfaces", [])
        ),
        blind=bool(document.get("blind", True)),
        tile=str(document.get("tile") or ""),
    )


def _duplicate(what: str, values: Sequence[object]) -> str:
    twice = next((value for i, value in enumerate(values) if value in values[:i]), None)
    return "" if twice is None else f"The {what} '{twice}' is declared twice: rename or remove one."


def _bad_class(info: DatasetInfo) -> str:
    if info.kind not in KINDS:
        return f"The kind '{info.kind}' is unknown: choose from {', '.join(KINDS)}."
    for value, name in ((c.value, c.name) for c in info.classes):
        if not 1 <= value <= 254:
            return f"Class '{name}' has the value {value}: values of classes lie between 1 and 254."
    colors = [(c.name, c.color) for c in info.classes] + [(t.name, t.color) for t in info.tags]
    for name, color in colors:
        if not name.strip() or name == EMPTY:
            return f"'{name}' cannot be a name: give the class another one."
        if not re.fullmatch(r"#[0-9A-Fa-f]{6}", color):
            return f"'{name}' has the colour '{color}': write it as #rrggbb."
    return ""


def _bad_implication(info: DatasetInfo) -> str:
    sources = {EMPTY, *(c.name for c in info.classes)}
    tags = {t.name for t in info.tags}
    for source, tag in info.implies.items():
        if source not in sources:
            return f"'implies' speaks of the class '{source}', which is not declared: correct its name."
        if tag not in tags:
            return f"'implies' speaks of the tag '{tag}', which is not declared: correct its name."
    return ""


def _bad_surface(info: DatasetInfo) -> str:
    """Surfaces must cut one pile of classes, in which only the background may stand twice (at its ends)."""
    known = {"", *(c.name for c in info.classes)}
    for surface in info.surfaces:
        for side in (surface.above, surface.below):
            if side not in known:
                return f"Surface '{surface.name}' speaks of the class '{side}', which is not declared: correct it."
        if not surface.name.strip():
            return f"The surface between '{surface.above}' and '{surface.below}' has no name: give it one."
        if ";" in surface.name or surface.name.strip().lower() in ("bscan", "x", "anchors"):
            return f"'{surface.name}' cannot be a surface's name, as tables of boundaries use it: choose another one."
        if surface.edge not in get_args(Edge):
            return f"Surface '{surface.name}' has the edge '{surface.edge}': choose from {', '.join(get_args(Edge))}."
    for upper, lower in itertools.pairwise(info.surfaces):
        if upper.below != lower.above:
            return (
                f"Below surface '{upper.name}' lies '{upper.below or 'background'}' but above the next one, "
                f"'{lower.name}', '{lower.above or 'background'}': list surfaces from top to bottom without gaps."
            )
    inner = [surface.above for surface in info.surfaces[1:]]
    pile = [name for name in (*(s.above for s in info.surfaces[:1]), *(s.below for s in info.surfaces)) if name]
    if "" in inner:
        return "The background lies between two surfaces: give what lies between them a class."
    return _duplicate("layer", pile)
