"""What cannot all be true of a data set: tags against drawings, and near-duplicates that are labelled differently.

Which drawing excludes which tag is the data set's to say: a class that implies a tag (`DatasetInfo.implies`) excludes
the other tags, and a tag that a class implies demands something drawn wherever all was looked at.

A person may say that a contradiction is none ("right as it is"). That is kept in the history, and counts until the tag,
the grade or the labels of the case change.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from napari_medseg.data.dataset import Dataset
from napari_medseg.data.dataset_file import EMPTY
from napari_medseg.data.label_files import LabelFacts, label_facts
from napari_medseg.data.near_duplicates import THRESHOLD, similar_thumbnails
from napari_medseg.data.similar_cases import KINDS, image_thumbnail
from napari_medseg.errors import MedsegError
from napari_medseg.structures import BACKGROUND, NOT_LOOKED_AT, Case, DatasetInfo, Progress

Kind = Literal["drawn", "empty", "divided", "duplicates", "model tag", "model labels", "two opinions"]

#: What a history line says whose contradiction is none.
CONFIRMED = "confirmed"
#: What the kinds are called.
KIND_NAMES: dict[Kind, str] = {
    "drawn": "drawn against tag",
    "empty": "nothing drawn",
    "divided": "drawn classes against each other",
    "duplicates": "alike, but labelled differently",
    "model tag": "model against tag",
    "model labels": "model against labels",
    "two opinions": "classifier against segmenter",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Contradiction:
    """What cannot be true together in a case.

    Parameters
    ----------
    text
        One sentence that names both sides.
    other
        The other case of a pair; empty where there is none.
    strength
        How sure it is that something is wrong, 0..1; what the labels themselves say is 1.
    state
        Of the tags, grades and labels of the case and its twin: changes when they do.
    key
        Tells it from others; changes with `state`.
    """

    case: str
    kind: Kind
    text: str
    other: str = ""
    strength: float = 1.0
    state: str = ""
    key: str = ""


def contradictions(
    dataset: Dataset, *, cases: Collection[str] | None = None, progress: Progress | None = None
) -> list[Contradiction]:
    """What the tags, grades and labels of a data set contradict; those that somebody confirmed are left out.

    Parameters
    ----------
    cases
        Only these, without looking for near-duplicates, which takes all images; None: all.
    progress
        Called with (done, total, text).

    Raises
    ------
    Cancelled
        `progress` asked to stop.
    """
    facts = {case.case: facts_of(dataset, case) for case in dataset.cases if cases is None or case.case in cases}
    found = [each for case in dataset.cases if case.case in facts for each in _of_case(case, facts[case.case], dataset)]
    if cases is None:
        found += _of_duplicates(dataset, facts, progress)
    settled = confirmed_keys(dataset)
    return [each for each in found if each.key not in settled]


def confirm(dataset: Dataset, contradiction: Contradiction) -> None:
    """Note that a contradiction is none: all is right as it is; raises `WriteError`."""
    after = {"contradiction": contradiction.kind, "key": contradiction.key}
    dataset.history.write(dataset.history.change(contradiction.case, CONFIRMED, after=after))


def confirmed_keys(dataset: Dataset) -> frozenset[str]:
    """Keys of all contradictions that somebody confirmed."""
    return frozenset(change.after.get("key", "") for change in dataset.history.read() if change.what == CONFIRMED)


def facts_of(dataset: Dataset, case: Case) -> LabelFacts | None:
    """What a case's labels hold; None where there are none, or they cannot be read, which a check tells."""
    path = dataset.current_label_path(case)
    if path is None or not path.exists():
        return None
    try:
        return label_facts(path)
    except MedsegError:
        return None


def state_of(*cases: tuple[Case, LabelFacts | None]) -> str:
    """What the labels of cases are, as a hash."""
    return _hash([[case.case, case.tag, case.grade, facts.pixel_hash if facts else ""] for case, facts in cases])


def key_of(kind: Kind, state: str, detail: str = "") -> str:
    """What tells whether a contradiction is still the one that somebody confirmed; `detail` parts several of a kind."""
    return _hash([kind, state, detail])


def _hash(parts: list[Any]) -> str:
    return hashlib.blake2b(json.dumps(parts).encode(), digest_size=12).hexdigest()


def unresolved(dataset: Dataset, asked: Sequence[Contradiction]) -> list[Contradiction]:
    """Those of some contradictions that what is on disk does not resolve.

    What tag and drawing of one case say is looked at anew. What a twin or a model contradicted counts as resolved once
    the tag, the grade or the labels of the case, or its twin's, are others than they were.
    """
    present = {case.case: case for case in dataset.cases}
    known = [each for each in asked if {each.case, each.other or each.case} <= present.keys()]
    now = {(each.case, each.kind) for each in contradictions(dataset, cases={each.case for each in known})}
    still = []
    for each in known:
        names = (each.case, each.other) if each.other else (each.case,)
        state = state_of(*((present[name], facts_of(dataset, present[name])) for name in names))
        alone = each.kind in ("drawn", "empty", "divided")
        if (each.case, each.kind) in now if alone else each.state == state:
            still.append(each)
    return still


def _of_case(case: Case, facts: LabelFacts | None, dataset: Dataset) -> Iterator[Contradiction]:
    """Tag against drawing, in one case."""
    if facts is None:
        return
    info = dataset.info
    drawn = [c.name for c in info.classes if c.value in facts.values]
    implied = {name: info.implies[name] for name in drawn if name in info.implies}
    if len(set(implied.values())) > 1:
        named = " and ".join(f"{name} ({tag})" for name, tag in implied.items())
        yield _made(case, facts, "divided", f"{named} are drawn in one image, which imply different tags.")
    for name, tag in implied.items():
        if case.tag and case.tag != tag:
            yield _made(case, facts, "drawn", f"The tag is '{case.tag}', but {name} is drawn, which implies '{tag}'.")
            break
    looked_at = NOT_LOOKED_AT not in facts.values and case.status in ("done", "reviewed")
    if looked_at and facts.values == {BACKGROUND} and case.tag and case.tag in _demanding(info):
        missing = " or ".join(name for name, tag in info.implies.items() if tag == case.tag and name != EMPTY)
        text = f"The tag is '{case.tag}' and all was looked at, but nothing is drawn ({missing} would imply it)."
        yield _made(case, facts, "empty", text)


def _demanding(info: DatasetInfo) -> set[str]:
    """Tags that a class implies, and an empty mask does not."""
    empty = info.implies.get(EMPTY)
    return {tag for name, tag in info.implies.items() if name != EMPTY and tag != empty}


def _made(case: Case, facts: LabelFacts | None, kind: Kind, text: str) -> Contradiction:
    state = state_of((case, facts))
    return Contradiction(case=case.case, kind=kind, text=text, state=state, key=key_of(kind, state))


def _of_duplicates(
    dataset: Dataset, facts: dict[str, LabelFacts | None], progress: Progress | None
) -> Iterator[Contradiction]:
    """Pairs of nearly the same image, in whatever groups, whose tags, grades or drawn classes differ."""
    if dataset.info.kind not in KINDS:
        return
    labelled = [case for case in dataset.cases if case.tag or case.grade or facts.get(case.case) is not None]
    thumbnails, known = [], []
    for number, case in enumerate(labelled):
        if progress is not None:
            progress(number, len(labelled), f"Comparing {case.case}")
        try:
            small = image_thumbnail(dataset.read_image(case))
        except MedsegError:
            # A check of the data set names what cannot be read.
            continue
        if small is not None:
            thumbnails.append(small)
            known.append(case)
    for i, j, likeness in similar_thumbnails(thumbnails, THRESHOLD):
        first, second = known[i], known[j]
        difference = _difference(first, second, facts, dataset.info)
        if difference:
            text = f"Its image is nearly that of '{second.case}' (correlation {likeness:.3f}), but {difference}."
            state = state_of((first, facts.get(first.case)), (second, facts.get(second.case)))
            yield Contradiction(
                case=first.case,
                kind="duplicates",
                text=text,
                other=second.case,
                strength=likeness,
                state=state,
                key=key_of("duplicates", state),
            )


def _difference(first: Case, second: Case, facts: dict[str, LabelFacts | None], info: DatasetInfo) -> str:
    """What is labelled differently, as the end of a sentence; empty where nothing is."""
    for name, mine, theirs in (("tag", first.tag, second.tag), ("grade", first.grade, second.grade)):
        if mine and theirs and mine != theirs:
            return f"the {name} is '{mine}' here and '{theirs}' there"
    both = [facts.get(case.case) for case in (first, second)]
    if any(each is None or NOT_LOOKED_AT in each.values for each in both):
        return ""
    return _missing_class([each.values for each in both if each is not None], info)


def _missing_class(values: Sequence[frozenset[int]], info: DatasetInfo) -> str:
    for mask_class in info.classes:
        here, there = (mask_class.value in each for each in values)
        if here != there:
            return f"{mask_class.name} is drawn only {'here' if here else 'there'}"
    return ""
