"""From the values of somebody's masks to the values of a data set."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_medseg.data.dataset_file import mask_classes
from napari_medseg.data.retina import BACKGROUND_WORD
from napari_medseg.structures import BACKGROUND, NOT_LOOKED_AT, MaskClass

#: Class of masks that hold 0 and one other value, when nobody named it.
DEFAULT_CLASS = "foreground"


@dataclass(frozen=True, slots=True, kw_only=True)
class ValueMap:
    """How mask values become label values.

    Parameters
    ----------
    classes
        Classes of the data set.
    targets
        Label value by mask value.
    others
        Label value of all values that `targets` does not name; None where that is an error.
    """

    classes: tuple[MaskClass, ...]
    targets: Mapping[int, int]
    others: int | None = None

    def undeclared(self, values: Collection[int]) -> list[int]:
        """Values that nobody said anything about."""
        return [] if self.others is not None else sorted(set(values) - self.targets.keys())

    def convert(self, pixels: npt.NDArray[np.integer]) -> npt.NDArray[np.uint8]:
        """Labels of a mask without undeclared values; same shape, uint8."""
        labels = np.full(pixels.shape, NOT_LOOKED_AT if self.others is None else self.others, np.uint8)
        for value, target in self.targets.items():
            labels[pixels == value] = target
        return labels


def map_values(
    classes: Mapping[int, str] | None, ignore: Sequence[int], instances: str | None, found: Collection[int]
) -> ValueMap:
    """The value map that options ask for.

    Parameters
    ----------
    classes, ignore, instances
        See `napari_medseg.data.importing.import_dataset`.
    found
        All values in all masks; decides when neither `classes` nor `instances` is given.
    """
    ignored = dict.fromkeys(ignore, NOT_LOOKED_AT)
    if instances:
        return ValueMap(classes=mask_classes([instances]), targets={0: BACKGROUND, **ignored}, others=1)
    if classes is None:
        drawn = sorted(set(found) - {0} - ignored.keys())
        classes = dict.fromkeys(drawn, DEFAULT_CLASS) if len(drawn) == 1 else {}
    # Sets that are brought together do not all draw what one of them does: such values can be called background.
    drawn_as = {value: name for value, name in classes.items() if name.casefold() != BACKGROUND_WORD}
    names = list(dict.fromkeys(drawn_as.values()))
    targets = dict.fromkeys(classes, BACKGROUND) | {value: names.index(name) + 1 for value, name in drawn_as.items()}
    return ValueMap(classes=mask_classes(names), targets={0: BACKGROUND, **ignored, **targets})


def values_in(mask: npt.NDArray[np.integer]) -> set[int]:
    """The values that occur; counted instead of sorted where they are small."""
    if mask.size and mask.dtype.kind == "u" and mask.dtype.itemsize <= 2:
        return {int(value) for value in np.flatnonzero(np.bincount(mask.reshape(-1)))}
    return {int(value) for value in np.unique(mask)}
