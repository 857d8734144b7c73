"""Tags that masks imply (`DatasetInfo.implies`), and how much each weighs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence

import numpy as np
import numpy.typing as npt

from napari_medseg.data.dataset_file import EMPTY
from napari_medseg.structures import BACKGROUND, NOT_LOOKED_AT, Case, DatasetInfo


def effective_tag(case: Case, labels: npt.ArrayLike | None, info: DatasetInfo) -> str:
    """The tag that a case trains with: the given one, else the one its mask implies, else ``""``.

    Parameters
    ----------
    labels
        Labels of the case, or just the values that occur in them; None when there are none.
    """
    if case.tag or labels is None:
        return case.tag
    implied = implied_tags({int(value) for value in np.unique(np.asarray(labels))}, info)
    return implied.pop() if len(implied) == 1 else ""


def implied_tags(values: Collection[int], info: DatasetInfo) -> set[str]:
    """All tags that a mask implies; more than one is a contradiction.

    Parameters
    ----------
    values
        The values that occur in the mask. While a 255 is among them nothing is implied: what nobody has looked at
        may hold anything.
    """
    if NOT_LOOKED_AT in values or not values:
        return set()
    if set(values) == {BACKGROUND}:
        return {info.implies[EMPTY]} if EMPTY in info.implies else set()
    return {info.implies[c.name] for c in info.classes if c.value in values and c.name in info.implies}


def balanced_weights(tags: Sequence[str], names: Sequence[str]) -> list[float]:
    """Weights of tags by which all count the same, whose mean over the given cases is 1.

    Parameters
    ----------
    tags
        That of every case; each name occurs.
    names
        Tags in the order of the weights.

    Examples
    --------
    >>> balanced_weights(["a", "a", "a", "b"], ["a", "b"])
    [0.6666666666666666, 2.0]
    """
    counts = Counter(tags)
    return [len(tags) / (len(names) * counts[name]) for name in names]
