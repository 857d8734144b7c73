"""Annotations of slide viewers beside the images they were drawn on: a file of contours per image, of the same name.

On a whole slide contours stay contours. On a picture they become labels: what no contour covers was not looked at,
unless it lies in a region that is complete.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from napari_medseg.data.contour_classes import with_classes_of
from napari_medseg.data.importing.folders import images_in
from napari_medseg.data.importing.plan import DrawnMask, Options, Plan, PlannedCase, pair, refuse, with_table
from napari_medseg.data.naming import stem_of
from napari_medseg.data.slide_contours import SlideContours
from napari_medseg.errors import DatasetError, InputNotFoundError, MedsegError
from napari_medseg.io.annotations import SUFFIXES, read_annotations
from napari_medseg.structures import NOT_LOOKED_AT, DatasetInfo, MaskClass


def plan_annotations(options: Options) -> Plan:
    """Cases of a folder of images and of files of contours, which may lie in any folder below.

    Raises
    ------
    InputNotFoundError, ReadError, DatasetError
        There is no image or no file of contours, one fits no image or cannot be read.
    """
    images = images_in(options.source, options)
    cases = pair(images, [])
    files = _files_of(cases, options)
    read: dict[str, SlideContours] = {}
    problems, left_out = [], 0
    for case_id, path in files.items():
        try:
            found = read_annotations(path)
        except MedsegError as error:
            problems.append(str(error).rstrip("."))
            continue
        read[case_id] = SlideContours(contours=found.contours)
        left_out += found.left_out
    refuse(problems)
    if left_out:
        options.say(f"{left_out} points and lines were left out.")
    if bare := len(cases) - len(files):
        options.say(f"{bare} images have no file of contours and are not labelled yet.")
    classes = with_classes_of(DatasetInfo(name=""), (c for each in read.values() for c in each.contours)).classes
    planned = [_planned(case, read.get(case.case), files.get(case.case), classes) for case in cases]
    named = {c.value: c.name for c in classes}
    return Plan(cases=with_table(planned, options), classes=named, ignore=(NOT_LOOKED_AT,))


def _files_of(cases: Sequence[PlannedCase], options: Options) -> dict[str, Path]:
    """File of contours by case; named as the image, with or without its ending."""
    folder = options.source / (options.masks or "")
    if not folder.is_dir():
        raise InputNotFoundError(f"There is no folder {folder}: check --masks.")
    names = {case.image.name.lower(): case.case for case in cases} | {
        stem_of(case.image).lower(): case.case for case in cases
    }
    found: dict[str, Path] = {}
    problems = []
    for path in sorted(folder.rglob("*")):
        suffix = next((suffix for suffix in SUFFIXES if path.name.lower().endswith(suffix)), None)
        if suffix is None or not path.is_file():
            continue
        case_id = names.get(path.name.lower().removesuffix(suffix))
        if case_id is None:
            # Whatever else lies in the folder ends so too, but a GeoJSON is meant.
            if "geojson" in suffix:
                problems.append(f"{path.name} has no image of its name; add the image or remove the file")
        elif case_id in found:
            problems.append(f"{found[case_id].name} and {path.name} both fit image '{case_id}'; keep one")
        else:
            found[case_id] = path
    refuse(problems)
    if not found:
        raise DatasetError(f"No file of contours in {folder} is named as an image: rename them, or name --masks.")
    return found


def _planned(
    case: PlannedCase, contours: SlideContours | None, path: Path | None, classes: Sequence[MaskClass]
) -> PlannedCase:
    if contours is None or path is None:
        return case
    mask = DrawnMask(name=path.name, draw=partial(_drawn, contours, classes))
    return PlannedCase(case=case.case, image=case.image, mask=mask, contours=contours, cells=case.cells)


def _drawn(contours: SlideContours, classes: Sequence[MaskClass], shape: tuple[int, ...]) -> npt.NDArray[np.uint8]:
    """The contours of a picture as labels (y, x)."""
    return contours.labels(((0, shape[-2]), (0, shape[-1])), 1, classes)
