"""Bring a change of the table together with what another program saved meanwhile, row by row and cell by cell."""

from __future__ import annotations

from collections.abc import Mapping

from napari_medseg.data.table import Table

Cells = Mapping[str, str]


def merged(base: Table, ours: Table, theirs: Table) -> tuple[Table, dict[str, dict[str, str]]]:
    """Their table with what we changed.

    Parameters
    ----------
    base
        What both began from; rows are matched by the column ``case``.
    ours, theirs
        What became of it here and there.

    Returns
    -------
    the table, and by case the cells of theirs that ours replaced although they had changed them too
    """
    rows_before, rows_ours = _rows_of(base), _rows_of(ours)
    table, replaced = theirs, {}
    for case_id in rows_before.keys() - rows_ours.keys():
        row = _rows_of(table).get(case_id)
        if row is not None:
            table = table.without_row(row)
    there = _rows_of(table)
    for case_id, row in rows_ours.items():
        mine = _cells(ours, row)
        before = _cells(base, rows_before[case_id]) if case_id in rows_before else {}
        changed = {name: text for name, text in mine.items() if before.get(name, "") != text}
        if not changed:
            continue
        if case_id not in there:
            # New here, or taken out there while it was changed here: nothing is lost.
            table = table.with_row(mine)
            there[case_id] = len(table.rows) - 1
            continue
        other = _cells(table, there[case_id])
        clash = {
            name: other.get(name, "")
            for name, text in changed.items()
            if other.get(name, "") not in (before.get(name, ""), text)
        }
        if clash:
            replaced[case_id] = clash
        table = table.with_cells(there[case_id], changed)
    return table, replaced


def _rows_of(table: Table) -> dict[str, int]:
    return {name.strip(): row for row, name in reversed(list(enumerate(table.column("case")))) if name.strip()}


def _cells(table: Table, row: int) -> dict[str, str]:
    return {name: table.cell(row, name) for name in table.columns}
