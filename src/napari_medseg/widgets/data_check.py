"""What a data set can train: its cases counted by split and label, and every fault with its mend. No Qt in here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from napari_medseg.data.checking import check
from napari_medseg.data.dataset import Dataset
from napari_medseg.data.label_files import label_facts
from napari_medseg.data.similar_cases import divided_duplicates, divided_fault
from napari_medseg.data.training_set import training_set
from napari_medseg.data.whole_slides import WholeSlide
from napari_medseg.errors import MedsegError
from napari_medseg.schemes import SCHEMES, Scheme, SchemeConfig
from napari_medseg.schemes.checks import unsuited_slides
from napari_medseg.structures import BACKGROUND, NOT_LOOKED_AT, Fault, Progress, Split, TrainingCase, TrainingSet

SPLITS: tuple[Split, ...] = get_args(Split)


@dataclass(frozen=True, slots=True, kw_only=True)
class DataCheck:
    """What was found in a data set.

    Parameters
    ----------
    counts
        Rows in the order to show them (``"cases"``, ``"groups"``, ``"tag benign"``, ``"contours"``, ...), each with
        its number per split.
    feeds
        Per scheme's title: empty when it can be trained, else what keeps it from being trained.
    faults
        Everything wrong with the data set or with this training on it, worst first.
    """

    counts: Mapping[str, Mapping[Split, int]]
    feeds: Mapping[str, str]
    faults: tuple[Fault, ...]

    @property
    def can_train(self) -> bool:
        """Whether no fault keeps the training from starting."""
        return not any(fault.severity == "error" for fault in self.faults)

    def total(self, row: str) -> int:
        """A count over all splits; 0 for a row that is not there."""
        return sum(self.counts.get(row, {}).values())

    def sentence(self) -> str:
        """The whole finding in a line, e.g. ``90 tags, 12 contours, 3 empty masks in 100 cases``."""
        kinds = {"tags": "tag", "tagged tiles": "tagged tile", "contours": "contour", "empty masks": "empty mask"}
        kinds |= {"grades": "grade"}
        parts = [f"{n} {word}{'' if n == 1 else 's'}" for row, word in kinds.items() if (n := self.total(row))]
        cases = self.total("cases")
        return f"{', '.join(parts) or 'no labels'} in {cases} finished case{'' if cases == 1 else 's'}"


def check_data(
    folder: Path,
    scheme: Scheme,
    config: SchemeConfig,
    *,
    include_drafts: bool,
    progress: Progress,
) -> DataCheck:
    """Read a data set as training will, count it, and ask every scheme whether it could be trained.

    Raises
    ------
    MedsegError
        The folder is no data set.
    Cancelled
        `progress` asked to stop.
    """
    progress(0, 0, "reading the table")
    dataset = Dataset.open(folder)
    faults = check(dataset, progress=progress)
    try:
        data = training_set(dataset, include_drafts=include_drafts)
    except MedsegError as error:
        # The table is so wrong that nothing can be drawn from it; its faults say what to mend.
        faults = faults or [Fault(text=str(error), where=str(folder))]
        return DataCheck(counts={}, feeds={}, faults=tuple(faults))
    found = unsuited_slides(scheme, data) or scheme.check(config, data)
    faults += [fault for fault in found if fault not in faults]
    faults += divided_fault(data, divided_duplicates(data, progress)) if data.info.kind == "ultrasound" else []
    return DataCheck(
        counts=count_cases(dataset, data, progress),
        feeds={other.title: _obstacle(other, data, config) for other in SCHEMES.values()},
        faults=tuple(sorted(faults, key=lambda fault: fault.severity != "error")),
    )


def _obstacle(scheme: Scheme, data: TrainingSet, config: SchemeConfig) -> str:
    """What keeps a scheme, with its defaults where `config` is another's, from being trained; empty for nothing."""
    own = config if isinstance(config, scheme.config_type) else scheme.config_type()
    faults = unsuited_slides(scheme, data) or scheme.check(own, data)
    return " ".join(fault.text for fault in faults if fault.severity == "error")


def count_cases(dataset: Dataset, data: TrainingSet, progress: Progress) -> dict[str, dict[Split, int]]:
    """Cases per split by what is known of them; labels that were never looked into are read."""
    rows: dict[str, Counter[Split]] = {name: Counter() for name in _row_names(data)}
    for index, case in enumerate(data.cases):
        progress(index, len(data.cases), case.case)
        for row in _rows_of(case, dataset):
            rows[row][case.split] += 1
        if isinstance(case, WholeSlide):
            rows["tagged tiles"][case.split] += len(case.labels.tile_tags)
    for split in SPLITS:
        rows["groups"][split] = len({case.group for case in data.of_split(split)})
    return {
        row: {split: counts[split] for split in SPLITS}
        for row, counts in rows.items()
        if counts.total() or row in ("cases", "groups")
    }


def _row_names(data: TrainingSet) -> list[str]:
    tags = [f"tag {tag.name}" for tag in data.info.tags]
    classes = [f"class {mask_class.name}" for mask_class in data.info.classes]
    grades = [f"grade {grade}" for grade in data.info.grades]
    return [
        "cases",
        "groups",
        "slides",
        "tags",
        *tags,
        "tagged tiles",
        "contours",
        *classes,
        "empty masks",
        "grades",
        *grades,
    ]


def _rows_of(case: TrainingCase, dataset: Dataset) -> list[str]:
    """Names of the rows that count a case."""
    rows = ["cases"]
    if case.tag is not None:
        rows += ["tags", f"tag {case.tag}"]
    if case.grade is not None:
        rows += ["grades", f"grade {dataset.info.grades[case.grade]}"]
    if isinstance(case, WholeSlide):
        return (
            [*rows, "slides", *_mask_rows(case.labels.kinds().values, dataset)] if case.has_mask else [*rows, "slides"]
        )
    path = dataset.current_label_path(dataset.case(case.case)) if case.has_mask else None
    return rows if path is None else [*rows, *_mask_rows(label_facts(path).values, dataset)]


def _mask_rows(values: frozenset[int], dataset: Dataset) -> list[str]:
    """Names of the rows that count a mask of these values."""
    found = values - {BACKGROUND, NOT_LOOKED_AT}
    return [
        "contours" if found else "empty masks",
        *(f"class {c.name}" for c in dataset.info.classes if c.value in found),
    ]
