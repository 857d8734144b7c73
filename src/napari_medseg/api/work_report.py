"""What annotating a data set cost and what became of a model's proposals, from its history."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from napari_medseg.data.dataset import Dataset
from napari_medseg.data.readings import all_readings
from napari_medseg.data.work_log import WorkRecord, work_records

#: Shorter work on a case says nothing of speed: somebody pressed "done" on what was there.
_LEAST_SECONDS = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishedCase:
    """A case that was marked done, with all the work since it was begun or last finished.

    `pairs` are pixels by class proposed and class now, where they differ.
    """

    case: str
    author: str
    time: str
    origin: str
    kind: str
    seconds: float
    objects: int
    pixels: int
    proposed: int
    pairs: dict[tuple[str, str], int] = field(default_factory=dict)

    @property
    def is_corrected(self) -> bool:
        """Whether it began from a model's proposal."""
        return self.origin.startswith("model:")


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    """How quick a kind of work was.

    `seconds` in all, `median_seconds` per case, `objects_per_minute` of drawn or corrected parts.
    """

    cases: int = 0
    seconds: float = 0.0
    median_seconds: float | None = None
    objects: int = 0

    @property
    def objects_per_minute(self) -> float | None:
        """Parts per minute; None without work."""
        return 60 * self.objects / self.seconds if self.seconds else None


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkReport:
    """What annotating cost.

    Parameters
    ----------
    finished
        Cases in the order in which they were marked done; one that was done again comes again.
    drawn, corrected, tagged
        Speed of cases drawn from nothing, corrected from a proposal, and finished by a tag alone.
    edits
        Pixels of proposals by class proposed and class now, where they differ.
    proposed
        Pixels that the corrected proposals had filled.
    people
        By name: cases finished and seconds.
    status
        Cases by status.
    reviewed
        Cases by the name of their reviewer.
    """

    finished: tuple[FinishedCase, ...]
    drawn: Speed
    corrected: Speed
    tagged: Speed
    edits: dict[tuple[str, str], int]
    proposed: int
    people: dict[str, Speed]
    status: dict[str, int]
    reviewed: dict[str, int]

    @property
    def gain(self) -> float | None:
        """Annotations per second with proposals, against drawing from nothing; None until there is both.

        The measure of R. Miao et al., "Quick Annotator: an open-source digital pathology based rapid image annotation
        tool", The Journal of Pathology: Clinical Research 7 (2021).
        """
        with_model, without = self.corrected.objects_per_minute, self.drawn.objects_per_minute
        return with_model / without if with_model and without else None

    def document(self) -> dict[str, Any]:
        """The JSON document of the command ``history``."""
        changed = sum(self.edits.values())
        return {
            "status": self.status,
            "reviewed": self.reviewed,
            "people": {name: _speed(speed) for name, speed in self.people.items()},
            "drawn": _speed(self.drawn),
            "corrected": _speed(self.corrected),
            "tagged": _speed(self.tagged),
            "gain": None if self.gain is None else round(self.gain, 3),
            "proposed_pixels": self.proposed,
            "changed_pixels": changed,
            "edits": [
                {"proposed": before, "now": now, "pixels": count}
                for (before, now), count in sorted(self.edits.items(), key=lambda item: -item[1])
            ],
            "cases": [
                {
                    "case": case.case,
                    "author": case.author,
                    "time": case.time,
                    "origin": case.origin,
                    "kind": case.kind,
                    "minutes": round(case.seconds / 60, 3),
                    "objects": case.objects,
                    "pixels": case.pixels,
                    "changed": sum(case.pairs.values()),
                }
                for case in self.finished
            ],
        }


def work_report(data: str | os.PathLike[str] | Dataset) -> WorkReport:
    """Read the history of a data set and of its readings.

    Raises
    ------
    InputNotFoundError, DatasetError
        There is no such data set.
    """
    dataset = data if isinstance(data, Dataset) else Dataset.open(data)
    finished = [case for place in all_readings(dataset) for case in finished_cases(work_records(place))]
    finished.sort(key=lambda case: case.time)
    timed = [case for case in finished if case.seconds >= _LEAST_SECONDS]
    drawn = [case for case in timed if case.kind == "labels" and not case.is_corrected]
    corrected = [case for case in timed if case.kind == "labels" and case.is_corrected]
    edits: Counter[tuple[str, str]] = Counter()
    for case in finished:
        edits.update(case.pairs)
    people: defaultdict[str, list[FinishedCase]] = defaultdict(list)
    for case in finished:
        people[case.author].append(case)
    reviewed = Counter(case.extra.get("reviewer", "") for case in dataset.cases if case.status == "reviewed")
    return WorkReport(
        finished=tuple(finished),
        drawn=_speed_of(drawn),
        corrected=_speed_of(corrected),
        tagged=_speed_of([case for case in timed if case.kind == "tag"]),
        edits=dict(edits),
        proposed=sum(case.proposed for case in finished),
        people={name: _speed_of(cases) for name, cases in sorted(people.items())},
        status=dict(Counter(case.status for case in dataset.cases)),
        reviewed=dict(reviewed),
    )


def finished_cases(records: Sequence[WorkRecord]) -> list[FinishedCase]:
    """Cases that were marked done, each with the seconds of all visits since it was last finished."""
    waiting: defaultdict[str, float] = defaultdict(float)
    found = []
    for record in records:
        waiting[record.case] += record.seconds
        if record.finished is None:
            continue
        outcome = record.finished
        found.append(
            FinishedCase(
                case=record.case,
                author=record.author,
                time=record.time,
                origin=record.origin,
                kind=outcome.kind,
                seconds=waiting.pop(record.case),
                objects=outcome.objects,
                pixels=outcome.pixels,
                proposed=outcome.proposed,
                pairs=dict(outcome.pairs),
            )
        )
    return found


def _speed_of(cases: Sequence[FinishedCase]) -> Speed:
    if not cases:
        return Speed()
    return Speed(
        cases=len(cases),
        seconds=sum(case.seconds for case in cases),
        median_seconds=median(case.seconds for case in cases),
        objects=sum(case.objects for case in cases),
    )


def _speed(speed: Speed) -> dict[str, Any]:
    rate = speed.objects_per_minute
    return {
        "cases": speed.cases,
        "minutes": round(speed.seconds / 60, 3),
        "median_minutes": None if speed.median_seconds is None else round(speed.median_seconds / 60, 3),
        "objects": speed.objects,
        "objects_per_second": None if rate is None else round(rate / 60, 5),
    }
