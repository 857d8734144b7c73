"""A folder of images, a folder of masks, and perhaps a table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from napari_medseg.data.importing.plan import Options, PlannedCase, is_mask_name, pair, with_table
from napari_medseg.errors import InputNotFoundError
from napari_medseg.io import image_files

_IMAGE_FOLDERS = ("images", "image", "imgs", "img")
_MASK_FOLDERS = ("masks", "mask", "labels", "label", "annotations", "segmentations", "gt")


def plan_folders(options: Options) -> list[PlannedCase]:
    """Cases of a folder of images, a folder of masks (which may be the same one) and a table.

    Raises
    ------
    InputNotFoundError, ReadError, DatasetError
        A folder is missing or holds no image, or names do not match.
    """
    return with_table(pair(*images_and_masks(options.source, options)), options)


def images_and_masks(folder: Path, options: Options) -> tuple[list[Path], list[Path]]:
    """Image files and mask files of a folder with the options' sub-folders, or the usual ones.

    Where both are the same folder, files whose name ends like a mask's are masks.

    Raises
    ------
    InputNotFoundError, ReadError
        A sub-folder that was named does not exist, or there is no image.
    """
    image_folder = _sub_folder(folder, options.images, _IMAGE_FOLDERS) or folder
    mask_folder = _sub_folder(folder, options.masks, _MASK_FOLDERS)
    if mask_folder is not None and mask_folder != image_folder:
        return image_files(image_folder), image_files(mask_folder)
    files = image_files(image_folder)
    if mask_folder is None and image_folder != folder:
        return files, []
    return [f for f in files if not is_mask_name(f)], [f for f in files if is_mask_name(f)]


def _sub_folder(folder: Path, named: str | None, usual: Sequence[str]) -> Path | None:
    if named is not None:
        path = folder / named
        if not path.is_dir():
            raise InputNotFoundError(f"Folder {path} does not exist: check its name.")
        return path
    return next((folder / name for name in usual if (folder / name).is_dir()), None)
