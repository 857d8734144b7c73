"""Annotations as COCO has them: one JSON with images, categories and, per object, polygons or runs.

Source: https://cocodataset.org/#format-data; the packed runs are those of ``maskApi.c`` of the COCO API: numbers in
base 48, six bits to a character, from the third one on as differences to the number before the last.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_medseg.data.importing.plan import (
    IMAGE_FOLDERS,
    DrawnMask,
    Options,
    Plan,
    PlannedCase,
    refuse,
    with_table,
)
from napari_medseg.data.naming import stem_of
from napari_medseg.data.polygon_filling import areas_of, fill
from napari_medseg.errors import DatasetError, InputNotFoundError

_KEYS = ("images", "annotations", "categories")
#: Cells of a case that other programs, and `api.export_coco`, write beside an image.
_FACTS = ("tag", "group", "split")
#: Classes that label images can hold beside "background" and "not looked at".
_MOST_CLASSES = 254

Labels = npt.NDArray[np.uint8]
Record = Mapping[str, Any]


def plan_coco(options: Options) -> Plan:
    """Cases of a COCO file; objects become areas of their category's class, small ones above large ones.

    An image without any object is a case without labels: a file does not tell whether somebody looked at it.

    Raises
    ------
    InputNotFoundError, DatasetError
        There is no such file, it is no COCO file, or it names images that are not there.
    """
    path, document = _annotation_file(options)
    classes = _class_of(path, document["categories"])
    objects: dict[Any, list[Record]] = {}
    for annotation in document["annotations"]:
        objects.setdefault(annotation.get("image_id"), []).append(annotation)
    folders = _image_folders(path, options)
    cases, problems, boxes = [], [], 0
    for record in document["images"]:
        name = str(record.get("file_name", "")).replace("\\", "/")
        image = next((found for folder in folders if (found := folder / name).is_file()), None)
        if image is None:
            problems.append(f"image '{name}', which {path.name} names, was not found")
            continue
        drawn = [one for one in objects.get(record.get("id"), []) if one.get("segmentation")]
        boxes += len(objects.get(record.get("id"), [])) - len(drawn)
        mask = DrawnMask(
            name=f"{path.name}, image {name}", draw=partial(_drawn, f"{path.name}, image {name}", drawn, classes)
        )
        cells = {field: str(record[field]) for field in _FACTS if record.get(field)}
        cases.append(PlannedCase(case=_case_id(name), image=image, mask=mask if drawn else None, cells=cells))
    refuse(problems)
    if boxes:
        options.say(f"{boxes} objects have a box but no outline, and were left out.")
    if empty := sum(case.mask is None for case in cases):
        options.say(f"{empty} images have no object and are not labelled yet: mark those where nothing is as empty.")
    named = {value: name for name, value in zip(_names(document["categories"]), classes.values(), strict=True)}
    return Plan(cases=with_table(_unique(cases), options), classes=named)


def _annotation_file(options: Options) -> tuple[Path, Record]:
    """The file that was named as masks, or the only COCO file in the folder or its ``annotations``."""
    folder = options.source
    if options.masks:
        path = folder / options.masks
        if not path.is_file():
            raise InputNotFoundError(f"There is no COCO file {path}: check --masks.")
        candidates = [path]
    else:
        candidates = sorted([*folder.glob("*.json"), *(folder / "annotations").glob("*.json")])
    found = [(path, document) for path in candidates if (document := _coco(path)) is not None]
    if not found:
        where = candidates[0] if options.masks else folder
        raise DatasetError(
            f"{where} holds no COCO annotations (JSON with {', '.join(_KEYS)}): name the file with --masks."
        )
    if len(found) > 1:
        names = ", ".join(path.name for path, _ in found)
        raise DatasetError(f"{folder} holds several COCO files ({names}): name one with --masks.")
    return found[0]


def _coco(path: Path) -> Record | None:
    try:
        document = json.loads(path.read_bytes())
    except (OSError, ValueError):
        # Whatever else lies in the folder; that nothing was found is said.
        return None
    fits = isinstance(document, dict) and all(
        isinstance(document.get(key), list) and all(isinstance(one, dict) for one in document[key]) for key in _KEYS
    )
    return document if fits else None


def _names(categories: Sequence[Record]) -> list[str]:
    return [str(category.get("name", category.get("id"))) for category in categories]


def _class_of(path: Path, categories: Sequence[Record]) -> dict[Any, int]:
    """Label value by category id, in the file's order."""
    if len(categories) > _MOST_CLASSES:
        raise DatasetError(f"{path} has {len(categories)} categories, but labels hold at most {_MOST_CLASSES} classes.")
    return {category.get("id"): value for value, category in enumerate(categories, start=1)}


def _image_folders(path: Path, options: Options) -> list[Path]:
    if options.images:
        return [options.source / options.images]
    bases = [path.parent, options.source]
    inside = [child for base in bases for child in sorted(base.iterdir()) if child.is_dir()]
    known = [child for child in inside if child.name.lower() in IMAGE_FOLDERS]
    return [*bases, *known, *(child for child in inside if child not in known)]


def _case_id(name: str) -> str:
    return stem_of(Path(name))


def _unique(cases: Sequence[PlannedCase]) -> list[PlannedCase]:
    taken: dict[str, Path] = {}
    problems = []
    for case in cases:
        if (first := taken.setdefault(case.case, case.image)) is not case.image:
            problems.append(f"images {first} and {case.image} share a name; rename one")
    refuse(problems)
    return list(cases)


def _drawn(name: str, objects: Sequence[Record], classes: Mapping[Any, int], shape: tuple[int, ...]) -> Labels:
    """The objects of an image as labels (y, x)."""
    labels = np.zeros(shape, np.uint8)
    for one in sorted(objects, key=lambda one: -float(one.get("area") or 0)):
        value = classes.get(one.get("category_id"))
        try:
            if value is None:
                raise ValueError(f"category {one.get('category_id')} is not in the file")
            _draw(labels, one["segmentation"], value)
        except (ValueError, TypeError, LookupError) as error:
            raise DatasetError(
                f"{name}: object {one.get('id')} cannot be drawn ({error}): correct it or leave it out"
            ) from error
    return labels


def _draw(labels: Labels, outline: Any, value: int) -> None:
    if isinstance(outline, Mapping):
        labels[_runs(outline, labels.shape)] = value
        return
    rings = [np.asarray(ring, np.float64).reshape(-1, 2)[:, ::-1] for ring in outline]
    if any(len(ring) < 3 or not np.isfinite(ring).all() for ring in rings):
        raise ValueError("a polygon of fewer than three corners")
    # Polygons of an object are parts of it: each is filled for itself, so that an overlap is no hole.
    areas = areas_of([[ring] for ring in rings])
    chosen = np.arange(len(rings))
    fill(labels, areas, chosen, np.full(len(rings), value, np.uint8), np.zeros(2), np.ones(2))


def _runs(outline: Mapping[str, Any], shape: tuple[int, ...]) -> npt.NDArray[np.bool_]:
    """A mask (y, x) from its runs, which go down the columns and begin with background."""
    size = tuple(int(n) for n in outline["size"])
    if size != shape:
        raise ValueError(f"its mask has {size[0]} x {size[1]} pixels, the image {shape[0]} x {shape[1]}")
    counts = outline["counts"]
    lengths = np.asarray(_unpacked(counts) if isinstance(counts, str) else counts, np.int64)
    if lengths.ndim != 1 or (lengths < 0).any() or lengths.sum() != size[0] * size[1]:
        raise ValueError("its runs do not fill the image")
    inside = np.repeat(np.arange(len(lengths)) % 2 == 1, lengths)
    return np.ascontiguousarray(inside.reshape(size[::-1]).T)


def _unpacked(text: str) -> list[int]:
    """Lengths of runs from COCO's packed text.

    >>> _unpacked("52203")
    [5, 2, 2, 2, 5]
    """
    lengths: list[int] = []
    number = shift = 0
    for character in text:
        code = ord(character) - 48
        if not 0 <= code < 64:
            raise ValueError("its packed runs hold a character that has no meaning")
        number |= (code & 31) << shift
        shift += 5
        if code & 32:
            continue
        if code & 16:
            number -= 1 << shift
        lengths.append(number + (lengths[-2] if len(lengths) > 2 else 0))
        number = shift = 0
    return lengths
