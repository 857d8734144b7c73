"""Boxes of the scan that people gave for a machine: ``forms/_devices.json``, written like ``region``, by device key.

A machine draws its frame at the same place in all its pictures of one size, so that one correction serves them all.
The key is `napari_medseg.data.scan_region.device_key`.
"""

from __future__ import annotations

import json
from pathlib import Path

from napari_medseg.data.forms import FOLDER, LOCK
from napari_medseg.data.locking import FileLock
from napari_medseg.data.rows import format_region, parse_region
from napari_medseg.data.scan_region import device_key
from napari_medseg.errors import DatasetError, WriteError
from napari_medseg.io.atomic import write_text
from napari_medseg.structures import Box, Image

_NAME = "_devices.json"


def device_regions(dataset: Path) -> dict[str, Box]:
    """The boxes ((y0, y1), (x0, x1)) of a data set folder by device key; empty where nobody gave one.

    Raises
    ------
    DatasetError
        The file was edited into something else.
    """
    path = _path(dataset)
    try:
        known = json.loads(path.read_text("utf-8-sig"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise DatasetError(f"{path} cannot be read as JSON ({error}): mend the file, or remove it.") from None
    if not isinstance(known, dict):
        raise DatasetError(f"{path} holds no JSON object: mend the file, or remove it.")
    return {str(key): _box(path, str(text)) for key, text in known.items()}


def device_region_of(dataset: Path, image: Image) -> Box | None:
    """The box that somebody gave for the machine of an image; None where nobody did or the machine is not known.

    Raises
    ------
    DatasetError
        As `device_regions`; and where the box does not lie in the image.
    """
    key = device_key(image)
    box = None if key is None else device_regions(dataset).get(key)
    if box is not None and any(stop > n for (_, stop), n in zip(box, image.spatial_shape[-2:], strict=True)):
        raise DatasetError(
            f"{_path(dataset)}: the box {format_region(box)} of '{key}' does not lie in its pictures: correct it."
        )
    return box


def remember_device_region(dataset: Path, key: str, box: Box | None) -> None:
    """Keep a box for a machine, or forget it (None); the boxes of other machines stay.

    Raises
    ------
    DatasetError, WriteError, LockedError
        The file there cannot be read, or the folder cannot be written now; nothing was changed.
    """
    path = _path(dataset)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WriteError(f"{path.parent} could not be made ({error.strerror}): check the folder.") from error
    with FileLock(path.parent / LOCK):
        known = device_regions(dataset)
        changed = {name: kept for name, kept in known.items() if name != key} | ({} if box is None else {key: box})
        if changed == known:
            return
        texts = {name: format_region(kept) for name, kept in sorted(changed.items())}
        write_text(path, json.dumps(texts, indent=2, ensure_ascii=False) + "\n")


def _path(dataset: Path) -> Path:
    return dataset / FOLDER / _NAME


def _box(path: Path, text: str) -> Box:
    try:
        box = parse_region(text)
    except DatasetError as error:
        raise DatasetError(f"{path}: {error}") from None
    if box is None or len(box) != 2:
        raise DatasetError(f"{path}: region '{text}' is not understood: write y0:y1,x0:x1 in pixels.")
    return box
