"""Every fault of a data set in one go, each with its row and its mend."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from napari_medseg.data.cases_table import TABLE_NAME, line_of
from napari_medseg.data.dataset import Dataset
from napari_medseg.data.label_files import LabelFacts, label_facts, open_labels, shape_text
from napari_medseg.data.layer_order import Votes, layer_values, layer_votes, order_fault
from napari_medseg.data.lost_changes import lost_changes
from napari_medseg.data.repairing import repair, unnamed_labels
from napari_medseg.data.rows import case_of_row, looks_mangled, row_problems
from napari_medseg.data.scan_columns import scan_cell
from napari_medseg.data.slide_checking import slide_facts
from napari_medseg.data.splitting import SPLIT_ORDER, group_of
from napari_medseg.data.tags import effective_tag, implied_tags
from napari_medseg.errors import MedsegError
from napari_medseg.io.plausibility import implausible_spacing
from napari_medseg.structures import BACKGROUND, NOT_LOOKED_AT, Case, DatasetInfo, Fault, Image, Progress

#: Faults of one table of surfaces that are listed one by one; a file that is wrong throughout has one per column.
_MOST_FAULTS = 50
_REPAIR = "Run 'napari-medseg dataset check --repair'."


def check(dataset: Dataset, *, repair_first: bool = False, progress: Progress | None = None) -> list[Fault]:
    """All faults of a data set; the table on disk counts, not the one in memory.

    Parameters
    ----------
    repair_first
        Mend what a crash left before looking (`napari_medseg.data.repairing.repair`).
    progress
        Called with (done, total, text) for every case.

    Returns
    -------
    faults in the order of the table; those of severity ``"error"`` keep cases from being used.
    """
    if repair_first:
        repair(dataset.path)
    dataset.reload()
    faults = [*_row_faults(dataset), *_repeated(dataset), *_divided_groups(dataset), *_crash_faults(dataset)]
    faults += _nobodys_boundaries(dataset)
    tags: list[str] = []
    masks = 0
    votes: dict[str, Votes] = {}
    doubts: dict[str, list[str]] = {}
    rows = _rows(dataset)
    for number, case in enumerate(dataset.cases):
        if progress is not None:
            progress(number, len(dataset.cases), f"Checking {case.case}")
        where = _where(line_of(rows[case.case]), case.case)
        facts, label_faults = _label_faults(dataset, case, where)
        faults += label_faults
        told = row_problems(dataset.table, rows[case.case], dataset.info)
        found = _image_faults(dataset, case, where, facts, doubts)
        faults += [fault for fault in found if not _repeats(fault, told)]
        faults += _tag_faults(dataset, case, where, facts)
        if facts is not None and dataset.info.surfaces:
            votes[where] = _votes_of(dataset, case)
        if case.status in ("done", "reviewed"):
            masks += facts is not None and facts.is_looked_at
            tags.append(effective_tag(case, sorted(facts.values) if facts else None, dataset.info))
    faults += [*_spacing_faults(doubts), *_order_faults(dataset.info, votes)]
    return [*faults, *_overall(dataset, tags, masks)]


def _row_faults(dataset: Dataset) -> Iterator[Fault]:
    table = dataset.table
    for name, count in Counter(column.strip().lower() for column in table.columns).items():
        if name and count > 1:
            text = f"The column '{name}' stands there {count} times; only the first is read."
            yield Fault(text=text, where=TABLE_NAME, mend="Rename or remove the others.", severity="warning")
    for row in range(len(table.rows)):
        case = case_of_row(table, row)
        where = _where(line_of(row), case.case)
        for problem in row_problems(table, row, dataset.info):
            text, _, mend = problem.partition(": ")
            yield Fault(text=f"{text[0].upper()}{text[1:]}.", where=where, mend=f"{mend[:1].upper()}{mend[1:]}")
        if looks_mangled(case.case, case.image):
            text = f"The id '{case.case}' looks as if a spreadsheet had changed it."
            yield Fault(text=text, where=where, mend="Format the column as text and correct it.", severity="warning")


def _repeated(dataset: Dataset) -> Iterator[Fault]:
    table = dataset.table
    ids: dict[str, int] = {}
    folded: dict[str, str] = {}
    images: dict[tuple[str, str, str], int] = {}
    for row in range(len(table.rows)):
        case = case_of_row(table, row)
        if not case.case:
            continue
        where = _where(line_of(row), case.case)
        first = ids.setdefault(case.case, row)
        if first != row:
            yield Fault(
                text=f"The id is that of row {line_of(first)} too; only that one is used.",
                where=where,
                mend="Give it another one.",
            )
            continue
        twin = folded.setdefault(case.case.lower(), case.case)
        if twin != case.case:
            text = f"The id differs from '{twin}' by capitals alone."
            yield Fault(text=text, where=where, mend="Rename one if they are the same.", severity="warning")
        image = (os.path.normcase(dataset.image_path(case)).lower(), case.region, scan_cell(case, "series"))
        first = images.setdefault(image, row)
        if first != row and case.image:
            text = f"Image and region are those of row {line_of(first)}."
            yield Fault(text=text, where=where, mend="Remove one, or give both one group.", severity="warning")


def _divided_groups(dataset: Dataset) -> Iterator[Fault]:
    sides: dict[str, dict[str, str]] = {}
    for case in dataset.cases:
        if case.split:
            sides.setdefault(group_of(case), {}).setdefault(case.split, case.case)
    for group, by_split in sides.items():
        if len(by_split) > 1:
            parts = " and ".join(f"{split} ('{by_split[split]}')" for split in SPLIT_ORDER if split in by_split)
            text = f"The group '{group.partition(':')[2]}' is in {parts}."
            yield Fault(text=text, where=TABLE_NAME, mend="Give all its cases one split, or empty their cells.")


def _crash_faults(dataset: Dataset) -> Iterator[Fault]:
    rows = _rows(dataset)
    for case_id, lost in lost_changes(dataset.table, dataset.history.read()).items():
        cells = ", ".join(sorted(lost.after)) or "its revision"
        text = f"The history has later changes ({cells}): a crash, or an old copy of the table was saved over it."
        yield Fault(text=text, where=_where(line_of(rows[case_id]), case_id), mend=_REPAIR)
    for name, case_id in unnamed_labels(dataset.path, dataset.table).items():
        text = f"No row names this label image of case '{case_id}'."
        yield Fault(text=text, where=f"labels/{name}", mend=_REPAIR, severity="warning")


def _label_faults(dataset: Dataset, case: Case, where: str) -> tuple[LabelFacts | None, list[Fault]]:
    found = slide_facts(dataset, case, where)
    if found is None:
        try:
            path = dataset.current_label_path(case)
            if path is None:
                return None, []
            found = label_facts(path), []
        except MedsegError as error:
            return None, [Fault(text=str(error), where=where, mend=_REPAIR)]
    facts, faults = found
    declared = {BACKGROUND, NOT_LOOKED_AT, *(c.value for c in dataset.info.classes)}
    undeclared = sorted(facts.values - declared) if facts is not None else []
    if undeclared:
        path = dataset.current_label_path(case)
        values = ", ".join(map(str, undeclared[:5]))
        text = f"Labels {path.name if path else ''} hold {values}, which is no class of the data set."
        faults.append(Fault(text=text, where=where, mend="Declare the class in dataset.json, or draw over it."))
    return facts, faults


def _image_faults(
    dataset: Dataset, case: Case, where: str, facts: LabelFacts | None, doubts: dict[str, list[str]]
) -> Iterator[Fault]:
    """Faults of the image, its boundaries and its labels' size; places of spacing that cannot be true in `doubts`."""
    if not case.image:
        return
    try:
        image = dataset.read_image(case)
    except MedsegError as error:
        yield Fault(text=str(error), where=where)
        return
    for doubt in implausible_spacing(image).values():
        doubts.setdefault(doubt, []).append(where)
    yield from _boundary_faults(dataset, case, where, image)
    if facts is not None and facts.shape != image.spatial_shape:
        sizes = f"{shape_text(facts.shape)} pixels but the image {shape_text(image.spatial_shape)}"
        yield Fault(text=f"The labels have {sizes}.", where=where, mend="Replace one of them, or correct 'region'.")


def _spacing_faults(doubts: Mapping[str, Sequence[str]]) -> Iterator[Fault]:
    """One fault per sentence, however many cases it is true of."""
    for doubt, places in doubts.items():
        where = places[0] + (f" and {len(places) - 1} more" if len(places) > 1 else "")
        mend = "Correct it in the column 'spacing', or in the image's file."
        yield Fault(text=doubt, where=where, mend=mend, severity="warning")


def _boundary_faults(dataset: Dataset, case: Case, where: str, image: Image) -> Iterator[Fault]:
    store = dataset.boundary_store(case)
    try:
        found = store.faults(image.spatial_shape)
        boundaries = store.read(image.spatial_shape) if not found else None
    except MedsegError as error:
        yield Fault(text=str(error), where=where)
        return
    for fault in found[:_MOST_FAULTS]:
        line = "" if fault.line is None else f" line {fault.line}"
        text = f"boundaries/{store.path.name}{line}: {fault.text}."
        yield Fault(text=text, where=where, mend=f"{fault.mend[0].upper()}{fault.mend[1:]}.")
    if len(found) > _MOST_FAULTS:
        text = f"boundaries/{store.path.name} has {len(found) - _MOST_FAULTS} more faults."
        yield Fault(text=text, where=where, mend="Correct those above first, or import the file anew.")
    if boundaries is not None and boundaries.crossings:
        columns = f"{boundaries.crossings} column{'s'[: boundaries.crossings != 1]}"
        text = f"The boundaries cross in {columns}; there the upper one counts."
        mend = "Open the case and save it, or correct the file in 'boundaries'."
        yield Fault(text=text, where=where, mend=mend, severity="warning")


def _votes_of(dataset: Dataset, case: Case) -> Votes:
    """Which layers lie above which in a case whose labels could be read."""
    path = dataset.current_label_path(case)
    values = layer_values(dataset.info)
    return layer_votes(np.empty((0, 0)) if path is None else open_labels(path), values)


def _order_faults(info: DatasetInfo, votes: Mapping[str, Votes]) -> Iterator[Fault]:
    """Labels that show layers in another order than declared: once where all do, else the cases that do."""
    if votes and (fault := order_fault(np.sum(list(votes.values()), axis=0), info)):
        text = f"In the labels {fault}."
        yield Fault(text=text, where="dataset.json", mend="Declare the surfaces in this order: import the set again.")
        return
    for where, own in votes.items():
        if fault := order_fault(own, info):
            text = f"In its labels {fault.partition(', so')[0]}, against the order of the data set's layers."
            mend = "Correct the drawing, or turn the image over if the scan is upside down."
            yield Fault(text=text, where=where, mend=mend, severity="warning")


def _nobodys_boundaries(dataset: Dataset) -> Iterator[Fault]:
    named = {dataset.boundary_store(case).path.name for case in dataset.cases}
    for path in sorted((dataset.path / "boundaries").glob("*.csv")):
        if path.name not in named:
            text = "No case of the table has these boundaries."
            mend = "Correct the file's name, or move the file away."
            yield Fault(text=text, where=f"boundaries/{path.name}", mend=mend, severity="warning")


def _tag_faults(dataset: Dataset, case: Case, where: str, facts: LabelFacts | None) -> Iterator[Fault]:
    implied = implied_tags(facts.values, dataset.info) if facts is not None else set()
    if len(implied) > 1:
        text = f"The drawn classes imply different tags ({', '.join(sorted(implied))}); none is used."
        yield Fault(text=text, where=where, mend="Give the tag, or correct the drawing.", severity="warning")
    elif case.tag and implied and case.tag not in implied:
        text = f"The tag is '{case.tag}' but the mask implies '{implied.pop()}'; the given one is used."
        yield Fault(text=text, where=where, mend="Correct the tag or the drawing.", severity="warning")
    finished = case.status in ("done", "reviewed")
    if finished and not (case.tag or case.grade or implied or (facts is not None and facts.is_looked_at)):
        text = f"The case is {case.status} but has no tag, no grade and nothing drawn."
        yield Fault(text=text, where=where, mend="Label it or set its status to todo.", severity="warning")


def _overall(dataset: Dataset, tags: Sequence[str], masks: int) -> Iterator[Fault]:
    """What keeps most schemes from learning; tags and masks of finished cases."""
    groups = {group_of(case) for case in dataset.cases if case.status in ("done", "reviewed")}
    given = {tag for tag in tags if tag}
    if not tags:
        yield _warn("No case is done yet.", "Label some cases and mark them done.")
        return
    if dataset.info.classes and not masks:
        yield _warn("No finished case has a mask, so nothing can learn to draw.", "Draw in some cases.")
    if len(given) == 1 and len(dataset.info.tags) > 1:
        only = next(iter(given))
        yield _warn(f"All finished cases have the tag '{only}', so nothing can learn to tell.", "Tag other cases too.")
    if len(groups) < len(SPLIT_ORDER):
        text = f"The finished cases come from {len(groups)} group{'s'[: len(groups) != 1]}: too few for a split."
        yield _warn(text, "Label cases of at least three groups, or empty 'group' where cases are independent.")


def _warn(text: str, mend: str) -> Fault:
    return Fault(text=text, where=TABLE_NAME, mend=mend, severity="warning")


def _repeats(fault: Fault, told: Sequence[str]) -> bool:
    """Whether reading the image failed for what the row's own fault said already."""
    return any(problem in fault.text for problem in told)


def _rows(dataset: Dataset) -> dict[str, int]:
    """Index of the row that counts by case id."""
    rows: dict[str, int] = {}
    for row, name in enumerate(dataset.table.column("case")):
        rows.setdefault(name.strip(), row)
    return rows


def _where(line: int, case_id: str) -> str:
    return f"{TABLE_NAME} row {line} (case '{case_id}')" if case_id else f"{TABLE_NAME} row {line}"
