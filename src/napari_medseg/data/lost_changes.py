"""Changes that the history has and the table has not: what a crash, or an old copy saved by a spreadsheet, undid.

Two things tell of a lost change. Its revision is higher than its row's: the row went back. Or a later change of the row
has no higher revision: the row had gone back and was then changed from there. What a lost change had set counts as
lost only where no later change set the same cell.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from napari_medseg.data.history import Change
from napari_medseg.data.rows import case_of_row
from napari_medseg.data.table import Table
from napari_medseg.structures import Case

#: Above every revision.
_NONE = 2**63


@dataclass(frozen=True, slots=True, kw_only=True)
class Lost:
    """What a row lost.

    Parameters
    ----------
    row
        Index in the table.
    before, after
        Cells as they are, and as the history says.
    revision
        Of the last lost change.
    time
        When that was.
    """

    row: int
    before: Mapping[str, str]
    after: Mapping[str, str]
    revision: int
    time: str


def lost_changes(table: Table, changes: Sequence[Change]) -> dict[str, Lost]:
    """What every row lost, by case.

    Parameters
    ----------
    changes
        Of the whole history, oldest first.
    """
    withdrawn = {_identity(change) for change in changes if change.what == "withdrawn"}
    by_case: defaultdict[str, list[Change]] = defaultdict(list)
    for change in changes:
        if change.what == "add":
            # Whatever was there before under this id was removed.
            by_case[change.case] = []
        elif change.what == "update" and _identity(change) not in withdrawn:
            by_case[change.case].append(change)
    rows = {name.strip(): row for row, name in reversed(list(enumerate(table.column("case"))))}
    found = {}
    for case_id, updates in by_case.items():
        row = rows.get(case_id)
        if row is not None and (lost := _lost_of_row(table, row, updates)) is not None:
            found[case_id] = lost
    return found


def restored(table: Table, lost: Mapping[str, Lost]) -> Table:
    """The table with what its rows lost."""
    for each in lost.values():
        present = case_of_row(table, each.row).revision
        # A row that was changed on is a new version of both.
        revision = each.revision if each.revision > present else present + 1
        table = table.with_cells(each.row, {**each.after, "revision": str(revision), "updated": each.time})
    return table


def went_back(known: Mapping[str, Case], found: Mapping[str, Case]) -> bool:
    """Whether cases of a table just read are older than those known before, or of the same age but other ones."""
    for case_id, case in found.items():
        before = known.get(case_id)
        if before is None or before is case:
            continue
        if case.revision < before.revision or (case.revision == before.revision and case != before):
            return True
    return False


def _lost_of_row(table: Table, row: int, updates: Sequence[Change]) -> Lost | None:
    present = case_of_row(table, row).revision
    # Lowest revision among the changes after each one.
    lowest_after = [_NONE] * (len(updates) + 1)
    for place in reversed(range(len(updates))):
        lowest_after[place] = min(lowest_after[place + 1], updates[place].revision)
    last_setter: dict[str, int] = {}
    for place, change in enumerate(updates):
        last_setter.update(dict.fromkeys(change.after, place))
    cells: dict[str, str] = {}
    latest: Change | None = None
    for place, change in enumerate(updates):
        if change.revision <= present and lowest_after[place + 1] > change.revision:
            continue
        mine = {name: text for name, text in change.after.items() if last_setter[name] == place}
        missing = {name: text for name, text in mine.items() if table.cell(row, name).strip() != text.strip()}
        if missing or change.revision > present:
            cells |= missing
            latest = change
    if latest is None:
        return None
    before = {name: table.cell(row, name) for name in cells}
    return Lost(row=row, before=before, after=cells, revision=latest.revision, time=latest.time)


def _identity(change: Change) -> tuple[str, int, frozenset[tuple[str, str]]]:
    return change.case, change.revision, frozenset(change.after.items())
