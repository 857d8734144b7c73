"""From a data set to what a scheme may train and judge with."""

from __future__ import annotations

import hashlib
import json
from functools import partial

import numpy as np

from napari_medseg.data.cases_table import TABLE_NAME, line_of
from napari_medseg.data.dataset import Dataset
from napari_medseg.data.label_files import LabelFacts, file_hash, label_facts
from napari_medseg.data.rows import row_problems
from napari_medseg.data.splitting import draw_split
from napari_medseg.data.tags import effective_tag
from napari_medseg.errors import DatasetError
from napari_medseg.structures import BACKGROUND, NOT_LOOKED_AT, Case, Split, TrainingCase, TrainingSet


def training_set(dataset: Dataset, *, include_drafts: bool = False, seed: int = 0) -> TrainingSet:
    """The finished cases of a data set, with splits drawn and tags implied.

    Cases that say nothing (no tag, no grade, nothing looked at) are left out.

    Parameters
    ----------
    include_drafts
        Use drafts too, a model's accepted proposals among them.
    seed
        For cases without a split; see `napari_medseg.data.splitting.draw_split`.

    Raises
    ------
    DatasetError, InputNotFoundError, ReadError
        A case that would be used has a faulty row, a missing file, or labels that the data set does not declare;
        'dataset check' lists all faults.
    """
    statuses = {"done", "reviewed", "draft"} if include_drafts else {"done", "reviewed"}
    used = tuple(case for case in dataset.cases if case.status in statuses)
    _refuse_faulty_rows(dataset, {case.case for case in used})
    # Cases that are not finished yet keep their group's side, so they take part in the draw.
    splits = draw_split(dataset.cases, seed=seed)
    cases = (_training_case(dataset, case, splits[case.case]) for case in used)
    return TrainingSet(info=dataset.info, cases=tuple(case for case in cases if _says_something(case)))


def _training_case(dataset: Dataset, case: Case, split: Split) -> TrainingCase:
    path = dataset.current_label_path(case)
    facts = label_facts(path) if path is not None else None
    if facts is not None:
        _refuse_undeclared(dataset, case, facts)
    values = np.array(sorted(facts.values)) if facts is not None else None
    tag = effective_tag(case, values, dataset.info)
    return TrainingCase(
        case=case.case,
        group=case.group or case.case,
        source=case.source,
        split=split,
        tag=tag or None,
        grade=dataset.info.grades.index(case.grade) if case.grade else None,
        has_mask=facts is not None and facts.is_looked_at,
        load_image=partial(dataset.read_image, case),
        load_labels=partial(dataset.read_labels, case),
        content_hash=_content_hash(dataset, case, split, tag, facts),
    )


def _content_hash(dataset: Dataset, case: Case, split: Split, tag: str, facts: LabelFacts | None) -> str:
    image = dataset.image_path(case)
    if not image.exists():
        raise DatasetError(f"Case '{case.case}': image {image} does not exist: correct the column 'image'.")
    parts = [file_hash(image), case.region, facts.pixel_hash if facts else "", tag, case.grade, split]
    return hashlib.blake2b(json.dumps(parts).encode(), digest_size=16).hexdigest()


def _says_something(case: TrainingCase) -> bool:
    return case.has_mask or case.tag is not None or case.grade is not None


def _refuse_faulty_rows(dataset: Dataset, used: set[str]) -> None:
    for row in range(len(dataset.table.rows)):
        name = dataset.table.cell(row, "case").strip()
        problems = row_problems(dataset.table, row, dataset.info) if name in used else []
        if problems:
            raise DatasetError(f"Row {line_of(row)} of {dataset.path / TABLE_NAME} (case '{name}'): {problems[0]}")


def _refuse_undeclared(dataset: Dataset, case: Case, facts: LabelFacts) -> None:
    declared = {BACKGROUND, NOT_LOOKED_AT, *(c.value for c in dataset.info.classes)}
    undeclared = sorted(facts.values - declared)
    if undeclared:
        raise DatasetError(
            f"Case '{case.case}': its labels hold the value {undeclared[0]}, which is no class of the data set: "
            "declare the class in dataset.json or draw over it."
        )
