"""Labels out of several readings of a case, what is disputed about it, and how reliable the readers are."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

from napari_medseg.annotation.consensus import Dispute, disagreement_of, disputes_of, majority_of
from napari_medseg.annotation.staple import staple
from napari_medseg.annotation.surfaces import area_pixels, in_order, labels_of_surfaces, pile_of, surfaces_of_labels
from napari_medseg.annotation.votes import Labels, votes_of
from napari_medseg.api.agreement import surface_rows
from napari_medseg.data.adjudicating import take_consensus
from napari_medseg.data.dataset import Dataset
from napari_medseg.data.readings import CONSENSUS, CaseReading, all_readings, finished_readings, whole_dataset
from napari_medseg.errors import AnnotationError, DatasetError
from napari_medseg.structures import Case, DatasetInfo, Progress

Method = Literal["majority", "staple"]
METHODS: tuple[Method, ...] = ("majority", "staple")
#: Connected disputed pixels below which a place is not worth a look: outlines by two hands always differ a little.
SMALLEST_DISPUTE = 9


@dataclass(frozen=True, slots=True, kw_only=True)
class Consensus:
    """What several readings of a case come to.

    Parameters
    ----------
    case, method, readers
        What it was made of.
    labels
        uint8 ([z,] y, x); 255 where the readings leave it open; None where at most one reader drew.
    disagreement
        float32 of the same shape: share of the pairs of readers that disagree.
    disputes
        Places to look at, the largest first.
    tag
        What most readers say; empty where they do not.
    surfaces
        Rows (bscan, surfaces, x) (OCT).
    reliability
        STAPLE's sensitivity by reader and class name; empty for the majority.
    """

    case: str
    method: Method
    readers: tuple[str, ...]
    labels: Labels | None = None
    disagreement: npt.NDArray[np.float32] | None = None
    disputes: tuple[Dispute, ...] = ()
    tag: str = ""
    surfaces: npt.NDArray[np.float32] | None = None
    reliability: dict[str, dict[str, float]] = field(default_factory=dict)


def consensus(readings: Sequence[CaseReading], info: DatasetInfo, method: Method = "majority") -> Consensus:
    """Bring the readings of a case together.

    With surfaces (OCT) the majority is the median row of each surface, and labels are drawn from surfaces, so that
    layers stay in order; areas are voted on pixel by pixel.

    Parameters
    ----------
    readings
        As `finished_readings` gives them, at least two.
    method
        ``"majority"`` or ``"staple"``.

    Raises
    ------
    AnnotationError
        There are fewer than two, or their labels have different shapes.
    InputNotFoundError, ReadError
        Labels are missing or damaged.
    """
    if len(readings) < 2:
        raise AnnotationError("A consensus takes two finished readings of the case: ask another reader first.")
    names = tuple(reading.reader for reading in readings)
    tag = _most_said([reading.case.tag for reading in readings])
    drawn = [(reading, labels) for reading in readings if (labels := reading.labels()) is not None]
    if len(drawn) < 2:
        return Consensus(case=readings[0].case.case, method=method, readers=names, tag=tag)
    votes = votes_of([labels for _, labels in drawn])
    reliability: dict[str, dict[str, float]] = {}
    if method == "staple":
        found = staple([labels for _, labels in drawn])
        labels = found.labels()
        class_of = {c.value: c.name for c in info.classes}
        reliability = {
            reading.reader: {
                class_of[value]: float(found.confusion[r, v, v])
                for v, value in enumerate(found.values)
                if value in class_of
            }
            for r, (reading, _) in enumerate(drawn)
        }
    else:
        labels = majority_of(votes)
    surfaces = None
    if info.surfaces:
        surfaces, labels = _layered(drawn, labels, info, method)
    disagreement = disagreement_of(votes)
    return Consensus(
        case=readings[0].case.case,
        method=method,
        readers=names,
        labels=labels,
        disagreement=disagreement,
        disputes=disputes_of(disagreement, smallest=SMALLEST_DISPUTE),
        tag=tag,
        surfaces=surfaces,
        reliability=reliability,
    )


def case_consensus(dataset: Dataset, case_id: str, method: Method = "majority") -> Consensus:
    """`consensus` of the finished readings of a case; raises as that."""
    places = all_readings(dataset)
    return consensus(finished_readings(places, case_id), places[0].info, method)


def adjudicate(dataset: Dataset, case_id: str, found: Consensus) -> Case:
    """Make a consensus the draft of its case; the first reading is kept in ``raters/``.

    Raises
    ------
    DatasetError
        Nothing was drawn by two readers, or as `take_consensus`.
    ReviewedError, ConflictError, WriteError, LockedError
        As `take_consensus`.
    """
    home = whole_dataset(dataset)
    case = home.case(case_id)
    if found.labels is None:
        raise DatasetError(f"No two readers drew in '{case_id}': give the tag on which they agree by hand.")
    return take_consensus(
        home,
        case_id,
        found.labels,
        how=found.method,
        readers=found.readers,
        revision=case.revision,
        tag=found.tag,
        surfaces=found.surfaces,
    )


def adjudicate_all(
    data: str | os.PathLike[str],
    method: Method = "majority",
    cases: Sequence[str] = (),
    *,
    progress: Progress | None = None,
) -> Iterator[Consensus]:
    """Make drafts of all cases that two readers finished and that have no consensus yet.

    Parameters
    ----------
    cases
        These alone, whether they have a consensus or not; empty: all.

    Yields
    ------
    what was made, case by case

    Raises
    ------
    DatasetError, ReadError, WriteError, LockedError
        As `consensus` and `adjudicate`.
    """
    places = all_readings(Dataset.open(data))
    home = places[0]
    chosen = [home.case(case_id) for case_id in cases] or [
        case for case in home.cases if not case.extra.get(CONSENSUS, "").strip() and case.status != "reviewed"
    ]
    for number, case in enumerate(chosen):
        if progress is not None:
            progress(number, len(chosen), f"Bringing {case.case} together")
        readings = finished_readings(places, case.case)
        if len(readings) < 2:
            continue
        found = consensus(readings, home.info, method)
        if found.labels is not None:
            adjudicate(home, case.case, found)
            yield found


def _layered(
    drawn: Sequence[tuple[CaseReading, Labels]], labels: Labels, info: DatasetInfo, method: Method
) -> tuple[npt.NDArray[np.float32], Labels]:
    """Surfaces (bscan, surfaces, x) of the readings together, and labels drawn from them."""
    pile = pile_of(info)
    bscans = labels if labels.ndim == 3 else labels[np.newaxis]
    if method == "staple":
        rows = np.stack([surfaces_of_labels(bscan, pile) for bscan in bscans])
    else:
        said = np.stack([surface_rows(reading, each, info) for reading, each in drawn])
        known = np.isfinite(said).sum(axis=0) * 2 >= len(said)
        rows = np.where(known, np.nanmedian(np.where(known, said, 0.0), axis=0), np.nan).astype(np.float32)
        rows = np.stack([in_order(bscan) for bscan in rows])
    layered = np.stack([labels_of_surfaces(row, bscans.shape[1], pile) for row in rows])
    merged = np.where(area_pixels(bscans, pile), bscans, layered).astype(np.uint8)
    return rows, merged.reshape(labels.shape)


def _most_said(tags: Sequence[str]) -> str:
    """The tag that more than half of those gave who gave one; empty where there is none."""
    given = Counter(tag for tag in tags if tag)
    if not given:
        return ""
    tag, count = given.most_common(1)[0]
    return tag if 2 * count > given.total() else ""
