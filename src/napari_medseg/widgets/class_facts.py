"""What is said of the class that a model found for an ultrasound case, beside its probabilities."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from napari_medseg.data.forms import tirads_of
from napari_medseg.measure.tirads import agreement, tirads
from napari_medseg.structures import TagResult
from napari_medseg.widgets.session import Session


def class_facts(session: Session, case_id: str, tag: TagResult | None, frames: Sequence[TagResult] = ()) -> list[str]:
    """How frames of a cine differ, and how the class fits the case's TI-RADS form.

    Parameters
    ----------
    case_id
        Case of the open data set; empty for images that are none.

    Raises
    ------
    DatasetError
        The case's form cannot be read.
    """
    facts = [frames_text(frames)] if len(frames) > 1 else []
    if tag is None or tag.graded or session.dataset is None or not case_id:
        return facts
    level = tirads(tirads_of(session.dataset.path, case_id)).level
    return facts if level is None else [*facts, agreement(level, tag.tag)]


def frames_text(frames: Sequence[TagResult]) -> str:
    """How many frames of a cine have which class, and where the class changes, numbered from 0.

    Examples
    --------
    >>> frames = [TagResult(tag=name, probabilities={}) for name in "aab"]
    >>> frames_text(frames)
    '3 frames: a 2, b 1. It changes at frame 2.'
    """
    counts = ", ".join(f"{name} {count}" for name, count in Counter(frame.tag for frame in frames).most_common())
    changes = [number for number in range(1, len(frames)) if frames[number].tag != frames[number - 1].tag]
    text = f"{len(frames)} frames: {counts}."
    if not changes:
        return text
    where = str(changes[0]) if len(changes) == 1 else f"{changes[0]} first, {len(changes)} times in all"
    return f"{text} It changes at frame {where}."
