"""Data sets of pictures as COCO: one JSON and the pictures beside it.

Source: https://cocodataset.org/#format-data. COCO describes objects: each piece of a class becomes one, as polygon
along the edges of its pixels, or as runs where it has holes, which polygons of COCO cannot have.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_medseg.annotation.outlines import outlines
from napari_medseg.data.dataset import Dataset
from napari_medseg.data.label_files import open_labels
from napari_medseg.data.making import made_at_once, refuse_full_folder
from napari_medseg.data.naming import file_name
from napari_medseg.errors import ConfigError
from napari_medseg.io.atomic import write_text
from napari_medseg.io.pictures import write_png
from napari_medseg.io.slide.facts import is_slide
from napari_medseg.structures import NOT_LOOKED_AT, Case, Image, MaskClass, Progress

ANNOTATIONS = "annotations.json"
_PICTURES = "images"
#: Files that every program opens are copied as they are.
_COPIED = (".png", ".jpg", ".jpeg")
Mask = npt.NDArray[np.bool_]


def export_coco(
    dataset: Dataset, cases: Sequence[Case], out: Path, *, progress: Progress | None = None
) -> tuple[list[Path], list[str]]:
    """Write ``annotations.json`` and ``images/``; tag, group and split of a case stand beside its image.

    Parameters
    ----------
    cases
        Finished cases with labels.
    out
        New or empty folder.

    Returns
    -------
    the annotation file, and sentences for people.

    Raises
    ------
    ConfigError
        A case is a stack or a whole slide.
    WriteError
        The folder cannot be written, or a picture has pixels that PNG does not hold.
    """
    refuse_full_folder(out)
    classes = dataset.info.classes
    images: list[dict[str, Any]] = []
    objects: list[dict[str, Any]] = []
    unseen = 0
    with made_at_once(out) as folder:
        (folder / _PICTURES).mkdir()
        for number, case in enumerate(cases, start=1):
            if progress is not None:
                progress(number - 1, len(cases), case.case)
            image, path = dataset.read_image(case), dataset.current_label_path(case)
            assert path is not None, "only cases with labels are exported"
            if len(image.spatial_shape) != 2 or is_slide(image):
                raise ConfigError(f"Case '{case.case}' is no flat picture, which COCO is for: choose nifti or zarr.")
            height, width = image.spatial_shape
            facts = {"tag": case.tag, "group": case.group, "split": case.split}
            images.append(
                {"id": number, "file_name": _picture(folder, image, case), "width": width, "height": height}
                | {key: value for key, value in facts.items() if value}
            )
            labels = np.asarray(open_labels(path)[...])
            unseen += bool((labels == NOT_LOOKED_AT).any())
            for one in _objects(labels, classes):
                objects.append({"id": len(objects) + 1, "image_id": number, **one})
        categories = [{"id": c.value, "name": c.name, "supercategory": ""} for c in classes]
        document = {"info": {"description": dataset.info.name}, "images": images, "annotations": objects}
        write_text(folder / ANNOTATIONS, json.dumps(document | {"categories": categories}))
    notes = [f"{unseen} cases have places that nobody looked at: COCO calls them background."] if unseen else []
    return [out / ANNOTATIONS], notes


def _picture(folder: Path, image: Image, case: Case) -> str:
    """Name of a picture's file, which is copied or written."""
    source = image.path
    if source is not None and not case.region and source.suffix.lower() in _COPIED:
        inside = f"{_PICTURES}/{file_name(case.case)}{source.suffix}"
        shutil.copyfile(source, folder / inside)
        return inside
    inside = f"{_PICTURES}/{file_name(case.case)}.png"
    pixels = image.region()
    write_png(folder / inside, np.moveaxis(pixels, 0, -1) if image.rgb else pixels[0])
    return inside


def _objects(labels: npt.NDArray[np.uint8], classes: Sequence[MaskClass]) -> Iterator[dict[str, Any]]:
    """Every piece (pixels joined by sides) of every class, as COCO's annotation without ids."""
    for mask_class in classes:
        pieces, _ = ndimage.label(labels == mask_class.value)
        for value, place in enumerate(ndimage.find_objects(pieces), start=1):
            rows, columns = place
            mask: Mask = pieces[place] == value
            yield {
                "category_id": mask_class.value,
                "segmentation": _segmentation(mask, (rows.start, columns.start), labels.shape),
                "area": int(mask.sum()),
                "bbox": [columns.start, rows.start, mask.shape[1], mask.shape[0]],
                "iscrowd": 0,
            }


def _segmentation(mask: Mask, corner: tuple[int, int], shape: tuple[int, ...]) -> Any:
    """A piece as polygon [x, y, x, y, ...], or as runs down the columns where it has holes."""
    (outline,) = outlines(mask)
    if not outline.holes:
        return [(outline.outer + corner)[:, ::-1].ravel().tolist()]
    whole = np.zeros(shape, bool)
    whole[corner[0] : corner[0] + mask.shape[0], corner[1] : corner[1] + mask.shape[1]] = mask
    flat = whole.ravel(order="F")
    changes = np.flatnonzero(np.diff(flat, prepend=False))
    counts = np.diff(np.concatenate([[0], changes, [flat.size]]))
    return {"size": list(shape), "counts": counts.tolist()}
