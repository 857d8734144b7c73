"""From a data set to what a scheme may train and judge with."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from napari_medseg.data.cases_table import TABLE_NAME, line_of
from napari_medseg.data.dataset import Dataset
from napari_medseg.data.device_regions import device_region_of, device_regions
from napari_medseg.data.forms import region_box_of
from napari_medseg.data.label_files import LabelFacts, file_hash, label_facts, shape_text
from napari_medseg.data.rows import STATUSES, format_region, row_problems
from napari_medseg.data.scan_columns import scan_cell
from napari_medseg.data.slide_cases import OpenedSlide, open_slide, whole_slide
from napari_medseg.data.splitting import draw_split, given_splits, group_of
from napari_medseg.data.tags import effective_tag
from napari_medseg.data.work_log import corrected_cases
from napari_medseg.errors import DatasetError, InputNotFoundError
from napari_medseg.io.address import may_be_there
from napari_medseg.structures import BACKGROUND, NOT_LOOKED_AT, Box, Case, Split, TrainingCase, TrainingSet


def training_set(
    dataset: Dataset,
    *,
    include_drafts: bool = False,
    seed: int = 0,
    drawn: Callable[[str], Split | None] | None = None,
) -> TrainingSet:
    """The finished cases of a data set, with splits drawn and tags implied.

    Cases that say nothing (no tag, no grade, nothing looked at) are left out.

    Parameters
    ----------
    include_drafts
        Use drafts too, a model's accepted proposals among them.
    seed
        For cases without a split; see `napari_medseg.data.splitting.draw_split`.
    drawn
        The split that an earlier draw gave a group (its id, or the case's where it has none); None where it knows none.
        Such a group is not drawn again: new cases or tags could move it.

    Raises
    ------
    DatasetError, InputNotFoundError, ReadError
        A case that would be used has a faulty row, a missing file, or labels that the data set does not declare or
        that have another size than the image; or it cannot be told which cases are meant, because two rows share an
        id or a status is none. 'dataset check' lists all faults.
    """
    statuses = {"done", "reviewed", "draft"} if include_drafts else {"done", "reviewed"}
    used = tuple(case for case in dataset.cases if case.status in statuses)
    _refuse_unclear_rows(dataset)
    _refuse_faulty_rows(dataset, {case.case for case in used})
    judged = [_judged(dataset, case) for case in used]
    telling = [(case, known) for case, known in judged if case.tag or case.grade or known.says_something]
    # Splits given to cases that are not finished yet bind the rest of their group too.
    given = given_splits(dataset.cases)
    if drawn is not None:
        earlier = {group_of(case): drawn(case.group or case.case) for case, _ in telling}
        given = {group: split for group, split in earlier.items() if split is not None} | given
    splits = draw_split([case for case, _ in telling], given, seed=seed)
    return TrainingSet(
        info=dataset.info,
        cases=tuple(_training_case(dataset, case, known, splits[case.case]) for case, known in telling),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    """What lies in the folder of a case: of a slide its image and labels, of others what their label image holds."""

    facts: LabelFacts | None = None
    slide: OpenedSlide | None = None

    @property
    def says_something(self) -> bool:
        if self.slide is not None:
            return self.slide.labels.kinds().has_mask or bool(self.slide.labels.tile_tags)
        return self.facts is not None and self.facts.is_looked_at


def _judged(dataset: Dataset, case: Case) -> tuple[Case, _Known]:
    """A case with its tag, given or implied by its label image, and what is known of it."""
    slide = open_slide(dataset, case)
    if slide is not None:
        _refuse_undeclared(dataset, case, slide.labels.kinds().values)
        return case, _Known(slide=slide)
    facts = _facts(dataset, case)
    return replace(case, tag=_tag(dataset, case, facts)), _Known(facts=facts)


def with_corrected_weight(cases: TrainingSet, dataset: Dataset, times: int) -> TrainingSet:
    """The cases, of which those to train on come several times a pass where a person corrected a model's proposal.

    Parameters
    ----------
    dataset
        Whose history tells which these are.
    times
        How often they come; 1 leaves everything as it is.
    """
    if times == 1:
        return cases
    corrected = corrected_cases(dataset)
    weighted = (
        replace(case, repeats=times, content_hash=_hash_of(case.content_hash, str(times)))
        if case.split == "train" and case.case in corrected
        else case
        for case in cases.cases
    )
    return replace(cases, cases=tuple(weighted))


def _facts(dataset: Dataset, case: Case) -> LabelFacts | None:
    path = dataset.current_label_path(case)
    facts = label_facts(path) if path is not None and (case.label or path.exists()) else None
    if facts is not None:
        _refuse_undeclared(dataset, case, facts.values)
        _refuse_other_size(dataset, case, facts)
    return facts


def _tag(dataset: Dataset, case: Case, facts: LabelFacts | None) -> str:
    return effective_tag(case, np.array(sorted(facts.values)) if facts is not None else None, dataset.info)


def _training_case(dataset: Dataset, case: Case, known: _Known, split: Split) -> TrainingCase:
    if known.slide is not None:
        grade = dataset.info.grades.index(case.grade) if case.grade else None
        return whole_slide(dataset, case, known.slide, split=split, grade=grade)
    facts = known.facts
    image_hash = _image_hash(dataset, case)
    spacing = [text] if (text := scan_cell(case, "spacing")) else []
    box = _drawn_box(dataset, case)
    extra = [*spacing, *([format_region(box)] if box is not None else [])]
    return TrainingCase(
        case=case.case,
        group=case.group or case.case,
        source=case.source,
        split=split,
        tag=case.tag or None,
        grade=dataset.info.grades.index(case.grade) if case.grade else None,
        has_mask=facts is not None and facts.is_looked_at,
        load_image=partial(dataset.read_image, case),
        load_labels=partial(dataset.read_labels, case),
        content_hash=_hash_of(image_hash, facts.pixel_hash if facts else "", case.tag, case.grade, split, *extra),
        image_hash=image_hash,
        box=box,
    )


def _drawn_box(dataset: Dataset, case: Case) -> Box | None:
    """The region of interest in the case's form, which must lie in the image; of ultrasound, else its machine's box."""
    box = region_box_of(dataset.path, case.case)
    is_ultrasound = dataset.info.kind == "ultrasound"
    if box is None and not (is_ultrasound and device_regions(dataset.path)):
        return None
    image = dataset.read_image(case)
    if box is None:
        return None if case.region else device_region_of(dataset.path, image)
    # Of a cine, one box serves all frames.
    shape = image.spatial_shape[-2:] if is_ultrasound else image.spatial_shape
    if len(box) != len(shape) or any(stop > n for (_, stop), n in zip(box, shape, strict=True)):
        raise DatasetError(
            f"Case '{case.case}': its region of interest {format_region(box)} does not lie in the image of "
            f"{shape_text(shape)} pixels: draw it anew."
        )
    return box


def _image_hash(dataset: Dataset, case: Case) -> str:
    image = dataset.image_path(case)
    if not may_be_there(image):
        raise InputNotFoundError(f"Case '{case.case}': image {image} does not exist: correct the column 'image'.")
    series = scan_cell(case, "series")
    # Without a series the hash is what it was before there were such columns.
    return _hash_of(file_hash(image), case.region, *([series] if series else []))


def _hash_of(*parts: str) -> str:
    return hashlib.blake2b(json.dumps(parts).encode(), digest_size=16).hexdigest()


def _refuse_unclear_rows(dataset: Dataset) -> None:
    """Refuse rows that would drop out unnoticed: a second row of an id, a status that nobody knows."""
    first_of: dict[str, int] = {}
    for row in range(len(dataset.table.rows)):
        name = dataset.table.cell(row, "case").strip()
        place = f"Row {line_of(row)} of {dataset.path / TABLE_NAME} (case '{name}')"
        first = first_of.setdefault(name, row)
        if name and first != row:
            raise DatasetError(f"{place}: the id is that of row {line_of(first)} too; give it another one.")
        status = dataset.table.cell(row, "status").strip()
        if status and status.lower() not in STATUSES:
            raise DatasetError(f"{place}: status '{status}' is not one of {', '.join(STATUSES)}; correct it.")


def _refuse_faulty_rows(dataset: Dataset, used: set[str]) -> None:
    for row in range(len(dataset.table.rows)):
        name = dataset.table.cell(row, "case").strip()
        problems = row_problems(dataset.table, row, dataset.info) if name in used else []
        if problems:
            raise DatasetError(f"Row {line_of(row)} of {dataset.path / TABLE_NAME} (case '{name}'): {problems[0]}")


def _refuse_undeclared(dataset: Dataset, case: Case, values: frozenset[int]) -> None:
    declared = {BACKGROUND, NOT_LOOKED_AT, *(c.value for c in dataset.info.classes)}
    undeclared = sorted(values - declared)
    if undeclared:
        raise DatasetError(
            f"Case '{case.case}': its labels hold the value {undeclared[0]}, which is no class of the data set: "
            "declare the class in dataset.json or draw over it."
        )


def _refuse_other_size(dataset: Dataset, case: Case, facts: LabelFacts) -> None:
    # Said before the start: training meets the case when it is first drawn, perhaps hours later.
    expected = dataset.read_image(case).spatial_shape
    if facts.shape != expected:
        raise DatasetError(
            f"Case '{case.case}': its labels have {shape_text(facts.shape)} pixels but its image "
            f"{shape_text(expected)}: replace one of them, or correct 'region'."
        )
