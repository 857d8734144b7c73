"""A data set: a folder with a description, a table of cases, label images and history, that people can read.

Every change of the table is made under a lock on the table as it is on disk at that moment, touches only the cells
that were changed, and is written to the history first. See ``locking.py``, ``table.py`` and ``history.py``.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_medseg.data import naming
from napari_medseg.data.boundaries import BoundaryStore
from napari_medseg.data.cases_table import TABLE_NAME, CaseTable, read_cases, row_of, write_cases
from napari_medseg.data.cropping import crop
from napari_medseg.data.dataset_file import check_info, info_document, read_info, with_tag_renamed, write_info
from napari_medseg.data.history import History, author_name, now
from napari_medseg.data.label_files import Signature, file_signature, label_facts, open_labels
from napari_medseg.data.label_folder import LabelFolder
from napari_medseg.data.label_store import LabelStore
from napari_medseg.data.locking import FileLock
from napari_medseg.data.rows import COLUMNS, case_of_row, checked_cells, parse_region
from napari_medseg.data.scan_columns import completed, parse_series, scan_cell
from napari_medseg.data.slide_drawings import slide_drawings
from napari_medseg.data.slide_master import SlideMaster
from napari_medseg.data.splitting import FRACTIONS, split_by_group
from napari_medseg.data.table import Table
from napari_medseg.data.tile_tags import rename_tag_of_tiles
from napari_medseg.errors import ConflictError, DatasetError, InputNotFoundError, ReviewedError, WriteError
from napari_medseg.io.address import may_be_there
from napari_medseg.structures import Case, DatasetInfo, Image

#: Cells that a person fills while looking at an image; changing one of them notes who did.
_ANNOTATION = {"tag", "grade", "label", "status", "difficulty", "note"}
#: Cells that stay as they are once a case is reviewed, until it gets another status.
_REVIEWED = {"tag", "grade", "label", "origin"}


class Dataset:
    """A data set folder; make one with `create`, open one with `open`.

    The object holds the table as it was when last read or written; `reload` reads it again. Its methods may be called
    from several threads and its folder may be used by several programs at a time.

    Examples
    --------
    >>> import tempfile
    >>> from napari_medseg.data.dataset_file import mask_classes, tag_classes
    >>> info = DatasetInfo(name="demo", classes=mask_classes(["gland"]), tags=tag_classes(["benign", "malignant"]))
    >>> data = Dataset.create(tempfile.mkdtemp() + "/demo", info)
    >>> case = data.add_case("slides/a12.png", group="patient 7")
    >>> data.update_case(case.case, revision=case.revision, tag="benign", status="done").revision
    2
    """

    def __init__(self, path: Path, info: DatasetInfo, table: Table, author: str) -> None:
        self.path = path
        self.author = author
        self.history = History(path / "history", author)
        self._info = info
        self._labels = LabelFolder(path / "labels")
        self._rows = CaseTable(path, self.history, table)
        #: Cases that were reviewed in the table of this signature, and what to say of them.
        self._reviewed_at: tuple[Signature, Mapping[str, str]] = ((), {})

    @classmethod
    def create(cls, path: str | os.PathLike[str], info: DatasetInfo, *, author: str | None = None) -> Dataset:
        """Make an empty data set in a new or empty folder.

        Raises
        ------
        DatasetError
            The folder holds something already, or the description contradicts itself.
        WriteError
            The folder cannot be written.
        """
        folder = Path(path).absolute()
        check_info(info)
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise DatasetError(f"{folder} already holds something: choose a new or an empty folder.")
        table = Table(columns=COLUMNS)
        write_cases(folder, table)
        try:
            (folder / "labels").mkdir()
        except OSError as error:
            raise WriteError(f"{folder / 'labels'} could not be made ({error.strerror}): check the folder.") from error
        write_info(folder, info)
        return cls(folder, info, table, author or author_name())

    @classmethod
    def open(cls, path: str | os.PathLike[str], *, author: str | None = None) -> Dataset:
        """Open a data set; rows that cannot be understood do not keep the others from being used.

        Raises
        ------
        InputNotFoundError, DatasetError
            The folder is missing or is no data set, or its table has no columns ``case`` and ``image``.
        """
        folder = Path(path).absolute()
        return cls(folder, read_info(folder), read_cases(folder), author or author_name())

    @property
    def home(self) -> Path:
        """The folder with ``dataset.json``, images and runs: this one, or the data set that it is a reading of."""
        return self.path

    @property
    def info(self) -> DatasetInfo:
        """What ``dataset.json`` says."""
        return self._info

    @property
    def table(self) -> Table:
        """The table as last read, with rows that cannot be understood."""
        return self._rows.table

    @property
    def cases(self) -> tuple[Case, ...]:
        """Cases in the order of the table; of rows with one id the first, rows without id left out."""
        return self._rows.cases

    @property
    def labels_folder(self) -> Path:
        """Where label images lie."""
        return self._labels.path

    def reload(self) -> None:
        """Read description and table again."""
        self._info = read_info(self.home)
        self._rows.read()

    def case(self, case_id: str) -> Case:
        """A case by its id; raises `DatasetError` when there is none."""
        return self._rows.case(case_id)

    def is_stale(self) -> bool:
        """Whether another program saved the table since it was last read or written here."""
        return self._rows.is_stale()

    def find(self, case_id: str) -> Case | None:
        """A case by its id; None when there is none."""
        return self._rows.find(case_id)

    def set_info(self, info: DatasetInfo) -> None:
        """Rename, recolour or add classes, tags and grades.

        Raises
        ------
        DatasetError
            A class value that is drawn, or a tag or grade that is given, would vanish.
        WriteError, LockedError
            The description cannot be written.
        """
        check_info(info)
        with self._rows.lock() as lock:
            self._rows.read(lock)
            self._refuse_losing(info)
            before = read_info(self.path)
            texts = [json.dumps(info_document(i), ensure_ascii=False) for i in (before, info)]
            self.history.write(self.history.change("", "info", before={"info": texts[0]}, after={"info": texts[1]}))
            write_info(self.path, info)
            self._info = info

    def rename_tag(self, old: str, new: str) -> None:
        """Give a tag another name, in the description and in every case that has it.

        Raises
        ------
        DatasetError
            There is no such tag, or the new name is taken or cannot be one.
        WriteError, LockedError
            The data set cannot be written; what was not yet renamed keeps the old name, and both are declared.
        """
        with self._rows.lock() as lock:
            self._rows.read(lock)
            info = read_info(self.path)
            if old not in {tag.name for tag in info.tags}:
                raise DatasetError(f"{self.path} has no tag '{old}': reload the data set.")
            renamed = with_tag_renamed(info, old, new)
            check_info(renamed)
            # Both names are declared until no row has the old one, so that a crash leaves nothing undeclared.
            added = tuple(tag for tag in renamed.tags if tag.name == new)
            write_info(self.path, replace(info, tags=(*info.tags, *added)))
            self.rename_tag_cells(lock, old, new)
            write_info(self.path, renamed)
            self._info = renamed

    def rename_tag_cells(self, lock: FileLock, old: str, new: str) -> None:
        """Give the rows, and tiles, that have a tag another one, under the table's lock; raises as `rename_tag`."""
        rename_tag_of_tiles(self.labels_folder, old, new)
        table, changes = self._rows.table, []
        for row, cell in enumerate(table.column("tag")):
            if cell.strip() == old:
                case = case_of_row(table, row)
                revision, before, after = case.revision + 1, {"tag": old}, {"tag": new}
                changes.append(self.history.change(case.case, "update", before=before, after=after, revision=revision))
                table = table.with_cells(row, {**after, "revision": str(revision), "updated": now()})
        if changes:
            self._rows.write(lock, table, changes)

    def add_case(
        self, image_path: str | os.PathLike[str], *, case: str | None = None, group: str = "", **fields: Any
    ) -> Case:
        """Add a row for an image file, which stays where it is.

        Parameters
        ----------
        image_path
            The image; kept relative to the data set when it lies in or near it.
        case
            Id; made from the file's name when None.
        group
            Patient, slide or eye: what a split keeps together.
        fields
            Further fields of `Case`.

        Raises
        ------
        DatasetError
            The id is taken or a value is not allowed.
        WriteError, LockedError
            The table cannot be written.
        """
        cells = {"status": "todo", **checked_cells({**fields, "group": group}, self.info)}
        cells["image"] = naming.image_cell(Path(image_path), self.home)
        with self._rows.lock() as lock:
            table = self._rows.read(lock)
            taken = {name.strip() for name in table.column("case")}
            if case is not None and (case in taken or not case.strip()):
                raise DatasetError(f"The case id '{case}' is taken or empty: choose another one.")
            cells["case"] = (case or naming.unique_id(Path(image_path), taken)).strip()
            cells |= {"revision": "1", "updated": now()}
            added = self.history.change(cells["case"], "add", after=cells, revision=1)
            self._rows.write(lock, table.with_row(cells), [added])
        return self.case(cells["case"])

    def add_image(self, image: Image | npt.NDArray[Any], name: str, *, group: str = "", **fields: Any) -> Case:
        """Save an image that is only in memory into the folder ``images`` and add it as a case.

        Parameters
        ----------
        image
            An image, or an array (y, x), (z, y, x) or uint8 (y, x, 3).
        name
            Becomes the file's name and the case's id.

        Raises
        ------
        DatasetError, WriteError, LockedError
            As `add_case`.
        """
        from napari_medseg.io import write_image

        if not isinstance(image, Image):
            image = naming.image_of_array(image, name)
        many = image.data.dtype.itemsize * int(np.prod(image.shape)) > naming.LARGE_BYTES or len(image.levels) > 1
        path = naming.free_path(self.home / "images", name, ".zarr" if many else ".tif")
        path.parent.mkdir(parents=True, exist_ok=True)
        return self.add_case(write_image(path, image), group=group, **fields)

    def update_case(self, case_id: str, *, revision: int, **fields: Any) -> Case:
        """Change some cells of a case.

        Parameters
        ----------
        revision
            The revision of the case that the change was made on.
        fields
            Changed fields of `Case`; ``extra`` holds further columns.

        Returns
        -------
        the case as it is now; its revision is one higher when anything changed.

        Raises
        ------
        ConflictError
            Somebody changed the row since: their version stays in the table, this one is kept in the history. The
            object then holds their version.
        ReviewedError
            The case is reviewed: give it another status first, or together with the change.
        DatasetError, WriteError, LockedError
            The case or a value is unknown, or the table cannot be written; nothing was changed.
        """
        wanted = checked_cells(fields, self.info)
        with self._rows.lock() as lock:
            table = self._rows.read(lock)
            row = row_of(table, case_id)
            current = case_of_row(table, row)
            cells = {name: text for name, text in wanted.items() if table.cell(row, name).strip() != text}
            if cells and _ANNOTATION & cells.keys() and "author" not in wanted:
                cells["author"] = self.author
            before = {name: table.cell(row, name) for name in cells}
            if cells and current.revision != revision:
                self.history.write(self.history.change(case_id, "conflict", before=before, after=cells))
                raise ConflictError(_conflict_text(current))
            if current.status == "reviewed" and "status" not in cells and _REVIEWED & cells.keys():
                raise ReviewedError(reviewed_text(current))
            if cells:
                change = self.history.change(
                    case_id,
                    "update",
                    before=before,
                    after=cells,
                    origin=cells.get("origin") or current.origin or "person",
                    revision=revision + 1,
                )
                bookkeeping = {"revision": str(revision + 1), "updated": now()}
                self._rows.write(lock, table.with_cells(row, {**cells, **bookkeeping}), [change])
        return self.case(case_id)

    def remove_case(self, case_id: str, *, revision: int) -> None:
        """Take a row out of the table; its labels and boundaries move to ``history/trash``; the image stays.

        Raises
        ------
        ConflictError, DatasetError, WriteError, LockedError
            As `update_case`.
        """
        with self._rows.lock() as lock:
            table = self._rows.read(lock)
            row = row_of(table, case_id)
            case = case_of_row(table, row)
            if case.revision != revision:
                raise ConflictError(_conflict_text(case))
            before = {name: table.cell(row, name) for name in table.columns}
            drawn = [*self._labels.of(case), *slide_drawings(self.labels_folder, case.case)]
            drawn += [path for path in [self.boundary_store(case).path] if path.exists()]
            removed = self.history.change(case_id, "remove", before=before, revision=revision)
            self._rows.write(lock, table.without_row(row), [removed])
            trash = self.path / "history" / "trash"
            trash.mkdir(parents=True, exist_ok=True)
            for path in drawn:
                shutil.move(path, trash / f"{now(microseconds=True).replace(':', '')}-{path.name}")

    def split(self, fractions: Sequence[float] = FRACTIONS, seed: int = 0, *, redraw: bool = False) -> dict[str, str]:
        """Draw train, val and test by group and write them into the table.

        Parameters
        ----------
        fractions
            Shares of train, val and test.
        redraw
            Draw cases that have a split anew as well.

        Returns
        -------
        split by case id.

        Raises
        ------
        DatasetError, WriteError, LockedError
            A group stands on two sides already, or the table cannot be written.
        """
        with self._rows.lock() as lock:
            table = self._rows.read(lock)
            drawn = split_by_group(self.cases, fractions, seed, redraw=redraw)
            rows = {name.strip(): row for row, name in reversed(list(enumerate(table.column("case"))))}
            changes = []
            for case in (c for c in self.cases if c.split != drawn[c.case]):
                before, after = {"split": case.split}, {"split": str(drawn[case.case])}
                revision = case.revision + 1
                changes.append(self.history.change(case.case, "update", before=before, after=after, revision=revision))
                cells = {**after, "revision": str(revision), "updated": now()}
                table = table.with_cells(rows[case.case], cells)
            if changes:
                self._rows.write(lock, table, changes)
        return {case_id: str(split) for case_id, split in drawn.items()}

    def image_path(self, case: Case) -> Path:
        """Where the image of a case lies (it may be missing); a web address as path, as `read` takes it."""
        return naming.resolve(case.image, self.home)

    def read_image(self, case: Case) -> Image:
        """The image of a case, cut to its region; pixels are read when asked for.

        The columns ``series``, ``spacing`` and ``laterality`` count where the table has them, the latter two where the
        file does not say (`napari_medseg.data.scan_columns`).

        Raises
        ------
        InputNotFoundError, ReadError, DatasetError
            The image is missing or cannot be read, or the region lies outside it.
        """
        from napari_medseg.io import read

        path = self.image_path(case)
        if not may_be_there(path):
            raise InputNotFoundError(f"Case '{case.case}': image {path} does not exist: correct the column 'image'.")
        kind = None if self.info.kind == "image" else self.info.kind
        try:
            series = parse_series(scan_cell(case, "series"))
            image = completed(read(path, kind=kind, series=series), case)
            region = parse_region(case.region)
            return image if region is None else crop(image, region)
        except DatasetError as error:
            raise DatasetError(f"Case '{case.case}': {error}") from None

    def current_label_path(self, case: Case) -> Path | None:
        """The label image to read for a case, or None; see `LabelFolder.current`."""
        return self._labels.current(case)

    def read_labels(self, case: Case) -> npt.NDArray[np.uint8] | None:
        """Labels of a case, uint8 ``([z,] y, x)`` with 255 where nobody looked; None when there are none.

        Raises
        ------
        InputNotFoundError, ReadError
            The label image is missing or damaged.
        """
        path = self.current_label_path(case)
        return None if path is None else np.array(open_labels(path)[...])

    def boundary_store(self, case: Case) -> BoundaryStore:
        """The surfaces of a case, row by column, beside its labels (OCT); the file need not exist."""
        path = self.path / "boundaries" / f"{naming.file_name(case.case)}.csv"
        return BoundaryStore(path, [surface.name for surface in self.info.surfaces])

    def label_store(
        self,
        case: Case,
        shape: Sequence[int],
        *,
        spacing: Sequence[float] | None = None,
        units: Sequence[str] | None = None,
    ) -> LabelStore:
        """The working form of a case's labels, for drawing.

        Save with `LabelStore.write_box`, then tell the table with `finishing.record_labels`: label first, then row.

        Parameters
        ----------
        shape
            Of the case's image without channels, ``([z,] y, x)``.

        Raises
        ------
        DatasetError
            The labels have another shape than the image.
        """
        working, imported = self._labels.to_draw(case)
        region = parse_region(case.region)
        return LabelStore(
            working,
            shape,
            case=case.case,
            classes=self.info.classes,
            imported=imported,
            spacing=spacing,
            units=units,
            offset=None if region is None else [start for start, _ in region],
            conflicts=self.path / "history" / "labels",
            closed=partial(self._closed_by_review, case.case),
        )

    def slide_master(self, case: Case, image: Image, downsample: int) -> SlideMaster:
        """The painting of a case that is a whole slide; save to it as to a `label_store`.

        Parameters
        ----------
        image
            The slide.
        downsample
            Level-0 pixels per pixel of a new painting. One that is on disk, or that begins from an imported label
            image, has its own.

        Raises
        ------
        DatasetError
            The labels are not those of a slide of this size.
        """
        working, imported = self._labels.to_draw(case)
        source = working if (working / "zarr.json").exists() else imported
        if source is not None:
            downsample = max(1, round(image.spatial_shape[0] / open_labels(source).shape[0]))
        return SlideMaster(
            working,
            image.spatial_shape,
            downsample,
            case=case.case,
            classes=self.info.classes,
            imported=imported,
            spacing=image.spacing,
            units=image.units,
            conflicts=self.path / "history" / "labels",
            closed=partial(self._closed_by_review, case.case),
        )

    def _closed_by_review(self, case_id: str) -> str:
        """Why the labels of a case cannot be changed, as the table on disk says now; empty where they can."""
        path = self.path / TABLE_NAME
        signature = file_signature(path) if path.exists() else ()
        if signature != self._reviewed_at[0]:
            table = read_cases(self.path)
            cases = [case_of_row(table, row) for row, s in enumerate(table.column("status")) if s.strip() == "reviewed"]
            self._reviewed_at = (signature, {case.case: reviewed_text(case) for case in cases})
        return self._reviewed_at[1].get(case_id, "")

    def _refuse_losing(self, info: DatasetInfo) -> None:
        tags, grades = {tag.name for tag in info.tags}, set(info.grades)
        for case in self.cases:
            if case.tag and case.tag not in tags:
                raise DatasetError(f"Tag '{case.tag}' is given to case '{case.case}': change it there first.")
            if case.grade and case.grade not in grades:
                raise DatasetError(f"Grade '{case.grade}' is given to case '{case.case}': change it there first.")
        kept = {c.value for c in info.classes}
        lost = {c.value: c.name for c in self.info.classes if c.value not in kept}
        for case in self.cases if lost else ():
            path = self.current_label_path(case)
            drawn = label_facts(path).values & lost.keys() if path is not None and path.exists() else set()
            if drawn:
                name = lost[min(drawn)]
                raise DatasetError(f"Class '{name}' is drawn in case '{case.case}': draw it over there first.")


def reviewed_text(case: Case) -> str:
    """What is said to somebody who would change a reviewed case."""
    who = case.extra.get("reviewer", "").strip() or "somebody"
    when = case.extra.get("reviewed", "").strip()
    return (
        f"Case '{case.case}' was reviewed by {who}{f' at {when}' if when else ''} and stays as it is: unlock it in the "
        "tab Review first."
    )


def _conflict_text(current: Case) -> str:
    who, when = current.author or "somebody", current.updated or "an unknown time"
    return (
        f"Case '{current.case}' was changed by {who} at {when} while you worked on it: that version stays in the "
        "table, yours is kept in the history; look at it and save again."
    )
