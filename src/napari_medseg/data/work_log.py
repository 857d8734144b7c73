"""What annotating cost, and what people changed of a model's proposals: lines of the history, read as records.

A visit to a case in which something was changed leaves a line ``work`` with the seconds of active work; the one that
marks the case done also says what there is now, and what became of the proposal that was accepted before. A proposal
is kept in ``history/proposals/<case>.tif`` as it was right after it was accepted, 255 where it proposed nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_medseg.data.dataset import Dataset
from napari_medseg.data.history import Change
from napari_medseg.data.label_files import open_labels
from napari_medseg.data.naming import file_name
from napari_medseg.io import write_labels
from napari_medseg.structures import BACKGROUND, NOT_LOOKED_AT, DatasetInfo

WORK = "work"
#: How background and what nobody looked at are named in pairs.
BACKGROUND_NAME, OPEN_NAME = "background", "not looked at"

Labels = npt.NDArray[np.uint8]
Pairs = Mapping[tuple[str, str], int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What there is when a case is marked done.

    Parameters
    ----------
    kind
        ``"labels"``, or ``"tag"`` for a case without labels.
    objects, pixels
        Connected parts of classes (through faces), and their pixels.
    proposed
        Pixels that an accepted proposal had filled; 0 where there was none.
    pairs
        Pixels by class in the proposal and class now, where they differ.
    """

    kind: Literal["labels", "tag"] = "tag"
    objects: int = 0
    pixels: int = 0
    proposed: int = 0
    pairs: Pairs = field(default_factory=dict)

    @property
    def changed(self) -> int:
        """Pixels of the proposal that were corrected."""
        return sum(self.pairs.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkRecord:
    """A visit to a case.

    Parameters
    ----------
    time
        Its end, UTC.
    origin
        ``person``, or ``model:<name>`` where a proposal was corrected.
    seconds
        Of active work; pauses do not count.
    finished
        What there was when the case was marked done in this visit; None where it was not.
    """

    case: str
    author: str
    time: str
    origin: str
    seconds: float
    finished: Outcome | None = None


def log_work(
    dataset: Dataset, case_id: str, seconds: float, *, origin: str = "person", finished: Outcome | None = None
) -> None:
    """Append a visit to the history; raises `WriteError`."""
    after = {"seconds": f"{seconds:.1f}"}
    if finished is not None:
        named = {f"{before} > {now}": count for (before, now), count in finished.pairs.items()}
        figures = {name: str(getattr(finished, name)) for name in ("kind", "objects", "pixels", "proposed", "changed")}
        after |= {**figures, "pairs": json.dumps(named, ensure_ascii=False)}
    dataset.history.write(dataset.history.change(case_id, WORK, after=after, origin=origin or "person"))


def work_records(dataset: Dataset) -> tuple[WorkRecord, ...]:
    """All visits that the history tells of, oldest first; lines that cannot be understood are left out."""
    found = (_record_of(change) for change in dataset.history.read() if change.what == WORK)
    return tuple(record for record in found if record is not None)


def corrected_cases(dataset: Dataset) -> frozenset[str]:
    """Cases in which somebody changed a model's proposal before marking them done."""
    finished = ((record.case, record.finished) for record in work_records(dataset))
    return frozenset(case for case, outcome in finished if outcome is not None and outcome.changed)


def outcome_of(dataset: Dataset, case_id: str, labels: Labels | None) -> Outcome:
    """What there is in a case that is done.

    Parameters
    ----------
    labels
        uint8 ([z,] y, x); None for a case without labels.

    Raises
    ------
    ReadError
        The kept proposal is damaged.
    """
    if labels is None or (labels == NOT_LOOKED_AT).all():
        return Outcome()
    objects, pixels = _count_objects(labels)
    path = proposal_path(dataset, case_id)
    if not path.exists():
        return Outcome(kind="labels", objects=objects, pixels=pixels)
    proposal = np.asarray(open_labels(path)[...])
    if proposal.shape != labels.shape:
        # The image was replaced since.
        return Outcome(kind="labels", objects=objects, pixels=pixels)
    was_proposed = proposal != NOT_LOOKED_AT
    differs = was_proposed & (proposal != labels)
    pairs = _pairs(proposal[differs], labels[differs], dataset.info)
    proposed = int(np.count_nonzero(was_proposed))
    return Outcome(kind="labels", objects=objects, pixels=pixels, proposed=proposed, pairs=pairs)


def keep_proposal(dataset: Dataset, case_id: str, proposal: Labels) -> None:
    """Keep what a model proposed and a person accepted, 255 where it proposed nothing.

    An earlier proposal stays where the new one proposes nothing.

    Raises
    ------
    WriteError
        It cannot be written.
    """
    path = proposal_path(dataset, case_id)
    if path.exists():
        earlier = np.asarray(open_labels(path)[...])
        if earlier.shape == proposal.shape:
            proposal = np.where(proposal == NOT_LOOKED_AT, earlier, proposal)
    write_labels(path, proposal, classes=dataset.info.classes)


def proposal_path(dataset: Dataset, case_id: str) -> Path:
    """Where the accepted proposal of a case is kept; there may be none."""
    return dataset.path / "history" / "proposals" / f"{file_name(case_id)}.tif"


def total_seconds(records: Iterable[WorkRecord]) -> dict[str, float]:
    """Seconds of work by case."""
    seconds: dict[str, float] = {}
    for record in records:
        seconds[record.case] = seconds.get(record.case, 0.0) + record.seconds
    return seconds


def _count_objects(labels: Labels) -> tuple[int, int]:
    """Connected parts of all classes together, and their pixels."""
    objects = pixels = 0
    # The places of value v stand at v - 1.
    for value, place in enumerate(ndimage.find_objects(labels), start=1):
        if place is not None and value != NOT_LOOKED_AT:
            mask = labels[place] == value
            objects += int(ndimage.label(mask)[1])
            pixels += int(np.count_nonzero(mask))
    return objects, pixels


def _pairs(before: Labels, after: Labels, info: DatasetInfo) -> dict[tuple[str, str], int]:
    names = {BACKGROUND: BACKGROUND_NAME, NOT_LOOKED_AT: OPEN_NAME, **{c.value: c.name for c in info.classes}}
    counts = np.bincount(before.astype(np.uint16) << 8 | after, minlength=0)
    return {
        (names.get(code >> 8, str(code >> 8)), names.get(code & 255, str(code & 255))): int(counts[code])
        for code in np.flatnonzero(counts).tolist()
    }


def _record_of(change: Change) -> WorkRecord | None:
    try:
        return WorkRecord(
            case=change.case,
            author=change.author,
            time=change.time,
            origin=change.origin,
            seconds=float(change.after["seconds"]),
            finished=_outcome_of(change.after) if "kind" in change.after else None,
        )
    except (KeyError, ValueError):
        return None


def _outcome_of(after: Mapping[str, str]) -> Outcome:
    pairs = {}
    for named, count in json.loads(after["pairs"]).items():
        before, _, now = named.partition(" > ")
        pairs[before, now] = int(count)
    return Outcome(
        kind="labels" if after["kind"] == "labels" else "tag",
        objects=int(after["objects"]),
        pixels=int(after["pixels"]),
        proposed=int(after["proposed"]),
        pairs=pairs,
    )
