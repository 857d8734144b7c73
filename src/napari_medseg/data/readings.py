"""Several readers of one data set: each one's labels, tags and forms in a folder of their own.

``raters/<name>/`` is laid out like the data set: a table ``cases.csv``, ``labels/``, ``boundaries/``, ``forms/``,
``history/``. Description, images and runs are those of the data set, and what the rows say of an image (path, region,
group, source and how it is scanned) follows its table. Labels of the data set itself are the first reading, until a
consensus took their place (column ``consensus``).

The column ``readers`` of the data set's table asks people to read a case: names with ``;`` between them. Who was asked
for some cases is shown those alone; who was asked for none may read all.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from napari_medseg.data import naming
from napari_medseg.data.cases_table import TABLE_NAME, read_cases, write_cases
from napari_medseg.data.dataset import Dataset
from napari_medseg.data.dataset_file import read_info
from napari_medseg.data.history import Change, author_name, now
from napari_medseg.data.rows import COLUMNS, case_of_row
from napari_medseg.data.table import Table
from napari_medseg.errors import DatasetError, WriteError
from napari_medseg.structures import Case, DatasetInfo

FOLDER = "raters"
#: Column of the data set's table: who is asked to read the case.
READERS = "readers"
#: Column of the data set's table: whose readings the labels were made of, and how.
CONSENSUS = "consensus"
#: Reader of labels that name no author.
FIRST_READER = "first reader"

#: What a row says of the image and not of the reading.
_IMAGE_COLUMNS = ("image", "region", "group", "source", "series", "spacing", "laterality")
_FINISHED = ("done", "reviewed")


class Reading(Dataset):
    """One reader's part of a data set; `open_reading` makes it.

    It is used like a data set: cases are opened, drawn and marked done, in the reader's own files.
    """

    _known: frozenset[str] = frozenset()

    @property
    def home(self) -> Path:
        """The data set that is read."""
        return self.path.parents[1]

    @property
    def reader(self) -> str:
        """Who reads."""
        return self.path.name

    @property
    def cases(self) -> tuple[Case, ...]:
        """The reader's cases; a case that was taken out of the data set is none."""
        return tuple(case for case in super().cases if case.case in self._known)

    def reload(self) -> None:
        """Read the reader's table again, and what changed in the data set."""
        super().reload()
        self.follow_home()

    def follow_home(self) -> None:
        """Take cases over that are new in the data set, and what its table says of images.

        Raises
        ------
        DatasetError, WriteError, LockedError
            One of the tables cannot be read, or this one not written.
        """
        home = read_cases(self.home)
        self._known = frozenset(name.strip() for name in home.column("case"))
        if _followed(self._rows.table, home, self.reader)[1] == []:
            return
        with self._rows.lock() as lock:
            table, changed = _followed(self._rows.read(lock), home, self.reader)
            if changed:
                self._rows.write(lock, table, [self._change_of(table, row, what) for row, what in changed])

    def adopt(self, case_id: str) -> Case:
        """Take a case over that this reader was not asked for; as `follow_home`."""
        with self._rows.lock() as lock:
            table = self._rows.read(lock)
            home = read_cases(self.home)
            table, changed = _followed(table, home, self.reader, further=case_id)
            if changed:
                self._rows.write(lock, table, [self._change_of(table, row, what) for row, what in changed])
        return self.case(case_id)

    def set_info(self, info: DatasetInfo) -> None:
        """Change the description of the data set; as `Dataset.set_info`."""
        home = Dataset.open(self.home, author=self.author)
        home.set_info(info)
        self._info = home.info

    def add_case(
        self, image_path: str | os.PathLike[str], *, case: str | None = None, group: str = "", **fields: Any
    ) -> Case:
        """Add a case to the data set, and so to this reading; as `Dataset.add_case`."""
        home = Dataset.open(self.home, author=self.author)
        added = home.add_case(image_path, case=case, group=group, **fields)
        self.reload()
        return self.case(added.case)

    def rename_tag(self, old: str, new: str) -> NoReturn:
        """Refused: the name is that of all readers (`rename_tag`)."""
        self._refuse("A tag is renamed")

    def follow_renamed_tag(self, old: str, new: str) -> None:
        """Give the reader's rows the new name of a tag; raises `WriteError` or `LockedError`."""
        with self._rows.lock() as lock:
            self._rows.read(lock)
            self.rename_tag_cells(lock, old, new)

    def remove_case(self, case_id: str, *, revision: int) -> NoReturn:
        """Refused: the case is that of all readers."""
        self._refuse("A case is removed")

    def split(self, *_: object, **__: object) -> NoReturn:
        """Refused: splits are those of the data set."""
        self._refuse("A split is drawn")

    def _refuse(self, what: str) -> NoReturn:
        raise DatasetError(f"{what} for all readers alike, in {self.home}: open the data set itself first.")

    def _change_of(self, table: Table, row: int, what: str) -> Change:
        case = case_of_row(table, row)
        after = {name: table.cell(row, name) for name in ("case", *_IMAGE_COLUMNS) if table.cell(row, name)}
        return self.history.change(case.case, what, after=after, revision=case.revision)


def open_reading(folder: str | os.PathLike[str], reader: str) -> Reading:
    """The reading of a person; begun when it is opened for the first time.

    Parameters
    ----------
    folder
        The data set.
    reader
        Name of the reader, which becomes a folder's name.

    Raises
    ------
    InputNotFoundError, DatasetError
        There is no such data set, or the name cannot be a folder's.
    WriteError, LockedError
        The folder cannot be written.
    """
    home, name = Path(folder).absolute(), reader.strip()
    info = read_info(home)
    if not name or naming.file_name(name) != name:
        raise DatasetError(f"'{reader}' cannot be the name of a reader: use letters, digits, '-', '_' and blanks.")
    path = home / FOLDER / name
    if not (path / TABLE_NAME).exists():
        try:
            (path / "labels").mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise WriteError(f"{path} could not be made ({error.strerror}): check the folder.") from error
        write_cases(path, Table(columns=COLUMNS))
    reading = Reading(path, info, read_cases(path), name)
    reading.follow_home()
    return reading


def reader_names(folder: str | os.PathLike[str]) -> tuple[str, ...]:
    """Readers that began a reading of their own, in the order of the alphabet."""
    return tuple(sorted(path.parent.name for path in (Path(folder) / FOLDER).glob(f"*/{TABLE_NAME}")))


def whole_dataset(dataset: Dataset) -> Dataset:
    """The data set itself, also for one of its readings."""
    return Dataset.open(dataset.home, author=dataset.author) if isinstance(dataset, Reading) else dataset


def rename_tag(dataset: Dataset, old: str, new: str) -> None:
    """Give a tag another name, for all readers; raises as `Dataset.rename_tag`."""
    dataset.rename_tag(old, new)
    for name in reader_names(dataset.path):
        open_reading(dataset.path, name).follow_renamed_tag(old, new)


def ask_reader(dataset: Dataset, reader: str, case_ids: Collection[str]) -> int:
    """Ask a person to read cases; how many were not asked for before.

    Raises
    ------
    ConflictError, DatasetError, WriteError, LockedError
        As `Dataset.update_case`.
    """
    if not reader.strip() or ";" in reader:
        raise DatasetError(f"'{reader}' cannot be the name of a reader: leave out ';'.")
    asked = 0
    for case_id in case_ids:
        case = dataset.case(case_id)
        names = _asked(case.extra.get(READERS, ""))
        if reader.strip() not in names:
            cell = ";".join([*names, reader.strip()])
            dataset.update_case(case_id, revision=case.revision, extra={READERS: cell})
            asked += 1
    return asked


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseReading:
    """A finished reading of a case.

    Parameters
    ----------
    reader
        Who read.
    dataset
        Where it lies: the data set itself, or a `Reading`.
    case
        Its row there.
    """

    reader: str
    dataset: Dataset
    case: Case

    def labels(self) -> npt.NDArray[np.uint8] | None:
        """The labels, uint8 ([z,] y, x), 255 where the reader did not look; None where nothing was drawn.

        Raises
        ------
        InputNotFoundError, ReadError
            As `Dataset.read_labels`.
        """
        return self.dataset.read_labels(self.case)


def all_readings(dataset: Dataset) -> tuple[Dataset, ...]:
    """The data set itself, then the readings of others; raises as `open_reading`."""
    home = whole_dataset(dataset)
    return (home, *(open_reading(home.path, name) for name in reader_names(home.path)))


def finished_readings(places: Sequence[Dataset], case_id: str) -> tuple[CaseReading, ...]:
    """Readings of a case that are done, the first one first.

    Parameters
    ----------
    places
        As `all_readings` gives them.
    """
    return tuple(_finished(places, case_id))


def _finished(places: Sequence[Dataset], case_id: str) -> Iterator[CaseReading]:
    home, *others = places
    case = home.case(case_id)
    second = [
        CaseReading(reader=place.path.name, dataset=place, case=own)
        for place in others
        if (own := place.find(case_id)) is not None and own.status in _FINISHED
    ]
    if case.status in _FINISHED and not case.extra.get(CONSENSUS, "").strip():
        reader = case.author or FIRST_READER
        # Who reads the own work again gets another name.
        again = reader in {reading.reader for reading in second}
        yield CaseReading(reader=f"{reader} first" if again else reader, dataset=home, case=case)
    yield from second


def refuse_early_look(dataset: Dataset, case_id: str) -> None:
    """Keep a blind reading blind: other readings of a case are shown when the own one is done.

    Raises
    ------
    DatasetError
        The reader is not done with the case.
    """
    if not dataset.info.blind:
        return
    case = dataset.case(case_id)
    is_reading = isinstance(dataset, Reading) or (case.status == "draft" and not case.extra.get(CONSENSUS, "").strip())
    if is_reading and case.status not in _FINISHED:
        raise DatasetError(
            f"Other readings of '{case_id}' are hidden until yours is done: mark it done first (a blind second read)."
        )


def _followed(table: Table, home: Table, reader: str, *, further: str = "") -> tuple[Table, list[tuple[int, str]]]:
    """A reader's table with what the data set's says, and the rows that were added or changed.

    `further` is a case to add whoever was asked for it.
    """
    rows = {name.strip(): row for row, name in reversed(list(enumerate(table.column("case"))))}
    asked = [row for row, names in enumerate(home.column(READERS)) if reader in _asked(names)]
    wanted = set(asked or range(len(home.rows)))
    columns = [name for name in _IMAGE_COLUMNS if home.has(name)]
    changed: list[tuple[int, str]] = []
    added: list[tuple[str, ...]] = []
    table = table.with_columns(columns)
    for source, name in enumerate(home.column("case")):
        case_id, cells = name.strip(), {column: home.cell(source, column).strip() for column in columns}
        row = rows.get(case_id)
        if row is not None:
            if any(table.cell(row, column).strip() != text for column, text in cells.items()):
                revision = case_of_row(table, row).revision + 1
                table = table.with_cells(row, {**cells, "revision": str(revision), "updated": now()})
                changed.append((row, "update"))
        elif case_id and (source in wanted or case_id == further):
            rows[case_id] = len(table.rows) + len(added)
            changed.append((rows[case_id], "add"))
            new = {**cells, "case": case_id, "status": "todo", "revision": "1", "updated": now()}
            added.append(tuple(new.get(column.strip().lower(), "") for column in table.columns))
    return table.with_rows(added), changed


def _asked(cell: str) -> list[str]:
    return [name.strip() for name in cell.split(";") if name.strip()]


def default_reader() -> str:
    """The name that is proposed to a new reader."""
    return naming.file_name(author_name())
