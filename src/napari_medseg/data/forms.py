"""What was asked about a case beside its labels: ``forms/<case>.json``, one object of answers by key.

Keys so far: ``fovea``, ``[bscan, x]`` in pixels of the case's image; ``region_box``, the region of interest around a
tumour, written like the column ``region`` (``"z0:z1,y0:y1,x0:x1"``), in pixels of the case's image; ``lines``, drawn
diameters, each ``[[z, y, x], [z, y, x]]`` (``[y, x]`` in a picture), in pixels of the case's image; ``tirads``, answers
about a thyroid nodule by category (`napari_medseg.measure.tirads`). In ultrasound, ``region_box`` is the scan region,
``"y0:y1,x0:x1"`` for all frames.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from napari_medseg.data.dataset import Dataset
from napari_medseg.data.locking import FileLock
from napari_medseg.data.naming import file_name
from napari_medseg.data.rows import parse_region
from napari_medseg.errors import DatasetError, WriteError
from napari_medseg.io.atomic import write_text
from napari_medseg.structures import Box, Segment

FOLDER = "forms"
REGION_BOX = "region_box"
LINES = "lines"
TIRADS = "tirads"
LOCK = ".lock"


def form_path(dataset: Path, case_id: str) -> Path:
    """Where the answers of a case lie; there may be none yet."""
    return dataset / FOLDER / f"{file_name(case_id)}.json"


def read_form(dataset: Path, case_id: str) -> dict[str, Any]:
    """The answers of a case; empty where nothing was asked yet.

    Raises
    ------
    DatasetError
        The file was edited into something that is no JSON object.
    """
    path = form_path(dataset, case_id)
    try:
        answers = json.loads(path.read_text("utf-8-sig"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise DatasetError(f"{path} cannot be read as JSON ({error}): mend the file, or remove it.") from None
    if not isinstance(answers, dict):
        raise DatasetError(f"{path} holds no JSON object: mend the file, or remove it.")
    return answers


def update_form(dataset: Dataset, case_id: str, answers: Mapping[str, Any]) -> None:
    """Write some answers and keep the others; None takes an answer away. The history is told first.

    Raises
    ------
    DatasetError, WriteError, LockedError
        The form there cannot be read, or the folder cannot be written now; nothing was changed.
    """
    path = form_path(dataset.path, case_id)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WriteError(f"{path.parent} could not be made ({error.strerror}): check the folder.") from error
    with FileLock(path.parent / LOCK):
        known = read_form(dataset.path, case_id)
        merged = {key: value for key, value in {**known, **answers}.items() if value is not None}
        if merged == known:
            return
        before = {key: json.dumps(known.get(key)) for key in answers}
        after = {key: json.dumps(value) for key, value in answers.items()}
        dataset.history.write(dataset.history.change(case_id, "form", before=before, after=after))
        write_text(path, json.dumps(merged, indent=2, ensure_ascii=False) + "\n")


def fovea_of(dataset: Path, case_id: str) -> tuple[float, float] | None:
    """The fovea that a person gave, (bscan, x); None where nobody did.

    Raises
    ------
    DatasetError
        The form cannot be read, or its fovea is no pair of numbers.
    """
    given = read_form(dataset, case_id).get("fovea")
    if given is None:
        return None
    try:
        bscan, column = (float(value) for value in given)
    except (TypeError, ValueError):
        path = form_path(dataset, case_id)
        raise DatasetError(f"{path}: 'fovea' is not understood: write [bscan, column], such as [24, 256].") from None
    return bscan, column


def lines_of(dataset: Path, case_id: str, *, axes: int) -> tuple[Segment, ...]:
    """The diameters that a person drew in an image with so many axes; none where nobody did.

    Raises
    ------
    DatasetError
        The form cannot be read, or its lines are none.
    """
    given = read_form(dataset, case_id).get(LINES, [])
    try:
        lines = tuple((_point(start), _point(stop)) for start, stop in given)
    except (TypeError, ValueError):
        lines = None
    if lines is None or any(len(end) != axes for line in lines for end in line):
        raise DatasetError(
            f"{form_path(dataset, case_id)}: 'lines' is not understood: write pairs of places with {axes} numbers "
            "each, such as [[4, 20, 31], [4, 25, 60]]."
        )
    return lines


def tirads_of(dataset: Path, case_id: str) -> dict[str, Any]:
    """The answers of a case's TI-RADS form; empty where nothing was answered.

    Raises
    ------
    DatasetError
        The form cannot be read, or its answers are none.
    """
    given = read_form(dataset, case_id).get(TIRADS, {})
    if not isinstance(given, dict):
        path = form_path(dataset, case_id)
        raise DatasetError(f'{path}: \'tirads\' is not understood: write answers such as {{"shape": "wider"}}.')
    return given


def _point(values: Any) -> tuple[float, ...]:
    return tuple(float(value) for value in values)


def region_box_of(dataset: Path, case_id: str) -> Box | None:
    """The region of interest that a person drew; None where nobody did.

    Raises
    ------
    DatasetError
        The form cannot be read, or its box is none.
    """
    given = read_form(dataset, case_id).get(REGION_BOX)
    if given is None:
        return None
    try:
        return parse_region(str(given))
    except DatasetError as error:
        raise DatasetError(f"{form_path(dataset, case_id)}: {error}") from None
