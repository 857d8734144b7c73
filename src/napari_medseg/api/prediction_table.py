"""``predictions.csv``: one row per image, with what a prediction says beside its label files."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from napari_medseg.api.prediction import LoadedModel
from napari_medseg.api.slides import SlideResult
from napari_medseg.data.regions import lesion_mask
from napari_medseg.errors import WriteError
from napari_medseg.io.atomic import write_text
from napari_medseg.measure.lesions import lesion_size
from napari_medseg.measure.space import space_of
from napari_medseg.structures import Image, Prediction, TagResult


def empty_row(model: LoadedModel, file: Path, region: str | None) -> dict[str, Any]:
    """The columns of a model's table, with nothing in them but the input."""
    row: dict[str, Any] = {"input": str(file), "region": region or "", "labels": "", "class": ""}
    row |= {f"p_{tag}": "" for tag in model.predictor.tags}
    if model.card.surfaces:
        row |= {"confidence": "", "repaired": ""}
    if model.predictor.focus is not None:
        row |= dict.fromkeys(("box", "calibrated", *size_columns(model)), "")
    if model.predictor.marks_region:
        row["sure"] = ""
    return row | {"seconds": 0.0, "error": ""}


def slide_cells(found: SlideResult) -> dict[str, Any]:
    """What a slide's prediction says, for the columns of `empty_row`."""
    cells = {} if found.labels is None else {"labels": str(found.labels)}
    return cells if found.tag is None else cells | _tag_cells(found.tag)


def cells_of(result: Prediction, *, graded: bool) -> dict[str, Any]:
    """What a prediction says beside its labels, for the columns of `empty_row`."""
    row: dict[str, Any] = {}
    if result.confidence is not None and not np.isnan(result.confidence).all():
        row["confidence"] = round(float(np.nanmean(result.confidence)), 4)
    if result.repaired is not None:
        row["repaired"] = round(result.repaired, 4)
    if result.tag is not None:
        row |= _tag_cells(result.tag)
        if graded:
            row["calibrated"] = "yes" if result.tag.calibrated else "no"
        if result.tag.sure is not None:
            row["sure"] = "yes" if result.tag.sure else "no"
    return row


def _tag_cells(tag: TagResult) -> dict[str, Any]:
    return {"class": tag.tag} | {f"p_{name}": round(float(p), 6) for name, p in tag.probabilities.items()}


def size_columns(model: LoadedModel) -> tuple[str, ...]:
    """Columns that tell the size of what was drawn; none for models that only mark a region."""
    if model.predictor.marks_region:
        return ()
    amount = "area_mm2" if len(model.predictor.window) == 2 else "volume_mm3"
    return (amount, "long_axis_mm", "short_axis_mm", "axis_slice")


def size_cells(model: LoadedModel, result: Prediction, image: Image) -> dict[str, Any]:
    """Size of what was drawn, for the columns of `size_columns`; empty where spacing is not known."""
    mask = lesion_mask(np.asarray(result.labels))
    size = lesion_size(mask, space_of(mask.ndim, image.spacing, image.units))
    amount, *axes = size_columns(model)
    cells: dict[str, Any] = {} if size.amount is None else {amount: round(size.amount, 3)}
    if size.axes is not None:
        first = result.region[0][0] if mask.ndim == 3 else 0
        found = (round(size.axes.long, 3), round(size.axes.short, 3), first + size.axes.slice_index)
        cells |= dict(zip(axes, found, strict=True))
    return cells


class Table:
    """``predictions.csv``, a new one, to which every row is added by one write.

    Raises
    ------
    WriteError
        The folder cannot be written, or the disk is full.
    """

    def __init__(self, path: Path, columns: Sequence[str]) -> None:
        self._path, self._columns = path, columns
        write_text(path, self._line(dict(zip(columns, columns, strict=True))))

    def add(self, row: dict[str, Any]) -> None:
        """Write one row, whole or not at all."""
        try:
            with self._path.open("ab", buffering=0) as file:
                end = file.tell()
                line = self._line(row).encode("utf-8")
                if file.write(line) < len(line):
                    # The disk filled up within the row: half of it would spoil the table.
                    file.truncate(end)
                    raise WriteError(f"{self._path} could not be written: free space there.")
                os.fsync(file.fileno())
        except OSError as error:
            if isinstance(error, WriteError):
                raise
            raise WriteError(f"{self._path} could not be written ({error.strerror}): free space there.") from error

    def sort(self, rows: Sequence[dict[str, Any]]) -> None:
        """Write all rows anew, in this order."""
        write_text(self._path, "".join(map(self._line, [dict(zip(self._columns, self._columns, strict=True)), *rows])))

    def _line(self, row: dict[str, Any]) -> str:
        text = io.StringIO()
        csv.DictWriter(text, fieldnames=list(self._columns), lineterminator="\n").writerow(row)
        return text.getvalue()
