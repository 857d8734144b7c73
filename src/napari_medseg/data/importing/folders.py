"""A folder of images, a folder of masks, and perhaps a table."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

from napari_medseg.data.importing.plan import (
    IMAGE_FOLDERS,
    MASK_FOLDERS,
    Options,
    Plan,
    home_of,
    is_mask_name,
    pair,
    with_table,
)
from napari_medseg.errors import InputNotFoundError, ReadError
from napari_medseg.io import image_files
from napari_medseg.io.folder import natural_key

#: Folders inside folders that are looked into: patient, visit, eye and one more.
_DEPTH = 4


def plan_folders(options: Options) -> Plan:
    """Cases of a folder of images, a folder of masks (which may be the same one) and a table.

    Images that lie in sub-folders alone are of one group per sub-folder, where no column says otherwise.

    Raises
    ------
    InputNotFoundError, ReadError, DatasetError
        A folder is missing or holds no image, or names do not match.
    """
    images, masks = images_and_masks(options.source, options)
    top = _image_folder(options.source, options)
    cases = [replace(case, cells=_group_cell(case.image, top, options)) for case in pair(images, masks)]
    if options.masks and not masks:
        options.say(f"No mask was found in {options.masks}: name the folder of the masks with --masks.")
    if found := {group for case in cases if (group := case.cells.get("group"))}:
        options.say(f"The images lie in sub-folders, each a group of its own: {_listed(sorted(found))}.")
    if apart := _left_out(top, {*images, *masks}, options):
        options.say(
            f"Images in sub-folders beside other images were left out ({_listed(apart)}): import such a folder by "
            "itself with --images, and bring both together with 'dataset merge'."
        )
    return Plan(cases=with_table(cases, options))


def images_and_masks(folder: Path, options: Options) -> tuple[list[Path], list[Path]]:
    """Image files and mask files of a folder with the options' sub-folders, or the usual ones.

    Where both are the same folder, files whose name ends like a mask's are masks. Where a folder holds no image but
    folders that do, those are taken.

    Raises
    ------
    InputNotFoundError, ReadError
        A sub-folder that was named does not exist, or there is no image.
    """
    image_folder = _image_folder(folder, options)
    mask_folder = _sub_folder(folder, options.masks, MASK_FOLDERS)
    if mask_folder is not None and mask_folder != image_folder:
        return _files_in(image_folder, leaving=mask_folder), _files_in(mask_folder)
    files = _files_in(image_folder)
    if mask_folder is None and image_folder != folder:
        return files, []
    masks = {file for file in files if is_mask_name(file) or home_of(file)[1] in MASK_FOLDERS}
    return [file for file in files if file not in masks], [file for file in files if file in masks]


def images_in(folder: Path, options: Options) -> list[Path]:
    """Image files of a folder with the options' sub-folder, or the usual one.

    Raises
    ------
    InputNotFoundError, ReadError
        The sub-folder that was named does not exist, or there is no image.
    """
    return _files_in(_image_folder(folder, options))


def _image_folder(folder: Path, options: Options) -> Path:
    return _sub_folder(folder, options.images, IMAGE_FOLDERS) or folder


def _files_in(folder: Path, *, leaving: Path | None = None, depth: int = _DEPTH) -> list[Path]:
    """Images in a folder; where no file is one, also those of its sub-folders.

    Raises
    ------
    ReadError
        There is none anywhere.
    """
    nothing: ReadError | None = None
    try:
        found = image_files(folder)
    except ReadError as error:
        found, nothing = [], error
    if depth > 0 and all(path.is_dir() and path != folder for path in found):
        for inner in _folders_in(folder):
            if inner != leaving and inner not in found:
                found += _found_in(inner, depth - 1)
    if nothing is not None and not found:
        raise nothing
    return found


def _found_in(folder: Path, depth: int = _DEPTH) -> list[Path]:
    """As `_files_in`, but none where there is no image."""
    try:
        return _files_in(folder, depth=depth)
    except ReadError:
        return []


def _folders_in(folder: Path) -> list[Path]:
    if not os.access(folder, os.R_OK | os.X_OK):
        return []
    shown = [path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")]
    return sorted(shown, key=lambda path: natural_key(path.name))


def _group_cell(image: Path, top: Path, options: Options) -> dict[str, str]:
    """The group of an image in a sub-folder: that folder's name, unless a column tells groups."""
    inside = image.relative_to(top).parts[:-1] if image.is_relative_to(top) else ()
    return {"group": inside[0]} if inside and not options.columns.get("group") else {}


def _left_out(top: Path, taken: Collection[Path], options: Options) -> list[str]:
    """Names of sub-folders of images that no case comes from, although images lie beside them."""
    if not any(path.parent == top for path in taken):
        return []
    known = {*taken} | {path.parent for path in taken}
    masks = _sub_folder(options.source, options.masks, MASK_FOLDERS)
    return [path.name for path in _folders_in(top) if path not in known and path != masks and _found_in(path)]


def _listed(names: Sequence[str], most: int = 4) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def _sub_folder(folder: Path, named: str | None, usual: Sequence[str]) -> Path | None:
    if named is not None:
        path = folder / named
        if not path.is_dir():
            raise InputNotFoundError(f"Folder {path} does not exist: check its name.")
        return path
    return next((folder / name for name in usual if (folder / name).is_dir()), None)
