"""How well the readers of a data set agree: Dice of classes, kappa of tags and grades, distances of surfaces."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_medseg.annotation.surfaces import pile_of, surfaces_of_labels
from napari_medseg.annotation.votes import Labels
from napari_medseg.data.dataset import Dataset
from napari_medseg.data.readings import CaseReading, all_readings, finished_readings
from napari_medseg.errors import DatasetError, MedsegError
from napari_medseg.measure.agreement import cohen_kappa, dice_matrix, surface_distances
from napari_medseg.measure.space import space_of
from napari_medseg.structures import NOT_LOOKED_AT, DatasetInfo, Progress

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseAgreement:
    """How well the readers of one case agree.

    Parameters
    ----------
    case, readers
        Which case, and who finished it.
    dice
        (readers, readers) by class, in the order of `readers`; NaN where neither drew the class.
    disputed
        Share of the pixels that at least two looked at on which not all agree; NaN without labels.
    distances
        Mean distance of surfaces in pixels by name, (readers, readers); empty without surfaces.
    axial
        Millimetres per pixel of depth; None where not known.
    tags, grades
        What every reader gave; empty for none.
    """

    case: str
    readers: tuple[str, ...]
    dice: dict[str, Floats] = field(default_factory=dict)
    disputed: float = float("nan")
    distances: dict[str, Floats] = field(default_factory=dict)
    axial: float | None = None
    tags: tuple[str, ...] = ()
    grades: tuple[str, ...] = ()

    @property
    def mean_dice(self) -> float:
        """Mean over classes and pairs of readers; NaN where there is none."""
        off_diagonal = [matrix[np.triu_indices(len(matrix), 1)] for matrix in self.dice.values()]
        return _mean(np.concatenate([*off_diagonal, np.empty(0)]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """How well the readers of a data set agree, over the cases that at least two of them finished.

    `matrices` hold the mean over cases between each two `readers`, `counts` in how many cases both say something of it.
    Keys are ``dice/<class>``, ``surface/<name>`` (pixels), ``surface_um/<name>`` (µm), ``kappa/tag``, ``kappa/grade``,
    ``kappa_quadratic/grade`` and ``same/tag`` (share of cases with the same tag).
    """

    readers: tuple[str, ...]
    cases: tuple[CaseAgreement, ...]
    matrices: dict[str, Floats]
    counts: dict[str, npt.NDArray[np.int64]]

    def mean(self, key: str) -> float:
        """Mean of a matrix over pairs of readers, each weighted by its cases; NaN where there is none."""
        upper = np.triu_indices(len(self.readers), 1)
        values, weights = self.matrices[key][upper], self.counts[key][upper]
        known = np.isfinite(values) & (weights > 0)
        return float(np.average(values[known], weights=weights[known])) if known.any() else float("nan")

    def document(self) -> dict[str, Any]:
        """The JSON document of the command ``agreement``; what is not defined is null."""
        figures = {
            key: {"mean": _plain(self.mean(key)), "matrix": _plain(matrix), "cases": self.counts[key].tolist()}
            for key, matrix in self.matrices.items()
        }
        worst = sorted(self.cases, key=lambda case: (np.nan_to_num(case.mean_dice, nan=2.0), case.case))
        cases = [
            {
                "case": case.case,
                "readers": list(case.readers),
                "dice": _plain(case.mean_dice),
                "disputed": _plain(case.disputed),
                "tags": list(case.tags),
                "grades": list(case.grades),
            }
            for case in worst
        ]
        return {"readers": list(self.readers), "n_cases": len(self.cases), "figures": figures, "cases": cases}


def agreement(data: str | os.PathLike[str] | Dataset, *, progress: Progress | None = None) -> Agreement:
    """Compare the finished readings of a data set.

    Parameters
    ----------
    data
        The data set, or its folder.
    progress
        Called with (done, total, text) for every case.

    Raises
    ------
    DatasetError
        No case was finished by two readers, or the labels of a case have different shapes.
    InputNotFoundError, ReadError
        Labels are missing or damaged.
    """
    places = all_readings(data if isinstance(data, Dataset) else Dataset.open(data))
    compared = []
    for number, case in enumerate(places[0].cases):
        if progress is not None:
            progress(number, len(places[0].cases), f"Comparing {case.case}")
        readings = finished_readings(places, case.case)
        if len(readings) > 1:
            compared.append(case_agreement(readings, places[0].info))
    if not compared:
        raise DatasetError(
            f"No case of {places[0].path} was finished by two readers: open it as another reader (tab Cases, 'Read as "
            "another reader…') and mark cases done."
        )
    return _summary(compared, places[0].info)


def case_agreement(readings: Sequence[CaseReading], info: DatasetInfo) -> CaseAgreement:
    """Compare the readings of one case; raises as `agreement`."""
    drawn = [(number, each) for number, reading in enumerate(readings) if (each := reading.labels()) is not None]
    if len({each.shape for _, each in drawn}) > 1:
        raise DatasetError(f"The readings of '{readings[0].case.case}' have different shapes: restore its image.")
    numbers, labels = [number for number, _ in drawn], [each for _, each in drawn]
    enough = len(labels) > 1
    distances = _surfaces(readings, labels, numbers, info) if enough and info.surfaces else {}
    return CaseAgreement(
        case=readings[0].case.case,
        readers=tuple(reading.reader for reading in readings),
        dice={c.name: _spread(dice_matrix(labels, c.value), numbers, len(readings)) for c in info.classes}
        if enough
        else {},
        disputed=_disputed(labels) if enough else float("nan"),
        distances=distances,
        axial=_axial(readings[0], labels[0].ndim) if distances else None,
        tags=tuple(reading.case.tag for reading in readings),
        grades=tuple(reading.case.grade for reading in readings),
    )


def surface_rows(reading: CaseReading, labels: Labels, info: DatasetInfo) -> npt.NDArray[np.float32]:
    """Surfaces of a reading, (bscan, surfaces, x): as its file of boundaries says, else as its labels do.

    Raises
    ------
    DatasetError
        The file cannot be understood.
    """
    found = reading.dataset.boundary_store(reading.case).read(labels.shape)
    if found is not None:
        return found.rows
    bscans = labels if labels.ndim == 3 else labels[np.newaxis]
    return np.stack([surfaces_of_labels(bscan, pile_of(info)) for bscan in bscans])


def _surfaces(
    readings: Sequence[CaseReading], labels: Sequence[Labels], numbers: Sequence[int], info: DatasetInfo
) -> dict[str, Floats]:
    rows = [surface_rows(readings[number], each, info) for number, each in zip(numbers, labels, strict=True)]
    apart = np.full((len(info.surfaces), len(rows), len(rows)), np.nan)
    for i, first in enumerate(rows):
        for j, second in enumerate(rows[:i]):
            apart[:, i, j] = apart[:, j, i] = surface_distances(first, second)
    return {s.name: _spread(apart[k], numbers, len(readings)) for k, s in enumerate(info.surfaces)}


def _axial(reading: CaseReading, ndim: int) -> float | None:
    try:
        image = reading.dataset.read_image(reading.case)
    except MedsegError:
        # Labels can be compared without their image; distances are told in pixels then.
        return None
    return space_of(ndim, image.spacing, image.units).axial


def _disputed(labels: Sequence[Labels]) -> float:
    """Share of the pixels that two looked at on which not all who looked agree."""
    looked = np.sum([each != NOT_LOOKED_AT for each in labels], axis=0) > 1
    lowest = np.min([np.where(each == NOT_LOOKED_AT, 255, each) for each in labels], axis=0)
    highest = np.max([np.where(each == NOT_LOOKED_AT, 0, each) for each in labels], axis=0)
    total = int(np.count_nonzero(looked))
    return float(np.count_nonzero(looked & (lowest != highest)) / total) if total else float("nan")


def _spread(matrix: Floats, numbers: Sequence[int], count: int) -> Floats:
    """A matrix of some readers at their places among all."""
    whole = np.full((count, count), np.nan)
    whole[np.ix_(numbers, numbers)] = matrix
    return whole


def _summary(cases: Sequence[CaseAgreement], info: DatasetInfo) -> Agreement:
    readers = tuple(sorted({reader for case in cases for reader in case.readers}))
    sums: dict[str, Floats] = {}
    counts: dict[str, npt.NDArray[np.int64]] = {}

    def add(key: str, matrix: Floats, case: CaseAgreement) -> None:
        places = np.ix_(*[[readers.index(reader) for reader in case.readers]] * 2)
        empty = np.zeros((len(readers),) * 2)
        sums.setdefault(key, empty.copy())[places] += np.nan_to_num(matrix)
        counts.setdefault(key, empty.astype(np.int64))[places] += np.isfinite(matrix)

    for case in cases:
        for name, matrix in case.dice.items():
            add(f"dice/{name}", matrix, case)
        for name, matrix in case.distances.items():
            add(f"surface/{name}", matrix, case)
            if case.axial is not None:
                add(f"surface_um/{name}", matrix * case.axial * 1000, case)
    means = {key: np.where(counts[key] > 0, sums[key] / np.maximum(counts[key], 1), np.nan) for key in sums}
    tables = [_kappas(cases, readers, [tag.name for tag in info.tags], "tag")]
    tables.append(_kappas(cases, readers, info.grades, "grade"))
    for matrices, numbers in tables:
        means |= matrices
        counts |= numbers
    return Agreement(readers=readers, cases=tuple(cases), matrices=means, counts=counts)


def _kappas(
    cases: Sequence[CaseAgreement], readers: Sequence[str], names: Sequence[str], what: str
) -> tuple[dict[str, Floats], dict[str, npt.NDArray[np.int64]]]:
    """Kappa between each two readers, of the cases to which both gave something."""
    keys = [f"kappa/{what}", f"kappa_quadratic/{what}" if what == "grade" else f"same/{what}"]
    matrices = {key: np.full((len(readers),) * 2, np.nan) for key in keys}
    counts = np.zeros((len(readers),) * 2, np.int64)
    given = [dict(zip(case.readers, case.tags if what == "tag" else case.grades, strict=True)) for case in cases]
    for i, one in enumerate(readers):
        for j, other in enumerate(readers):
            pairs = [(each.get(one, ""), each.get(other, "")) for each in given]
            pairs = [(a, b) for a, b in pairs if a in names and b in names]
            counts[i, j] = len(pairs)
            if pairs and i != j:
                first, second = [a for a, _ in pairs], [b for _, b in pairs]
                matrices[keys[0]][i, j] = cohen_kappa(first, second, names, weights=None)
                matrices[keys[1]][i, j] = (
                    cohen_kappa(first, second, names, weights="quadratic")
                    if what == "grade"
                    else float(np.mean([a == b for a, b in pairs]))
                )
    if not counts[np.triu_indices(len(readers), 1)].any():
        return {}, {}
    return matrices, dict.fromkeys(keys, counts)


def _mean(values: Floats) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if known.size else float("nan")


def _plain(value: float | Floats) -> Any:
    """A number, or rows of numbers, with None for NaN."""
    if isinstance(value, np.ndarray):
        return [_plain(each) for each in value] if value.ndim > 1 else [_plain(float(each)) for each in value]
    return round(value, 6) if np.isfinite(value) else None
