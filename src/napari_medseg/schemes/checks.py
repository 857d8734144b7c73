"""What several schemes say about the cases they are given."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from napari_medseg.data.whole_slides import WholeSlide
from napari_medseg.structures import Fault, TrainingSet

if TYPE_CHECKING:
    from napari_medseg.schemes.base import Scheme


def unsuited_slides(scheme: Scheme, data: TrainingSet) -> list[Fault]:
    """An error where a scheme that sees whole images is given whole slides."""
    slides = [case for case in data.cases if isinstance(case, WholeSlide)]
    if scheme.takes_slides or not slides:
        return []
    return [
        Fault(
            text=f"{len(slides)} finished case{'s are whole slides' if len(slides) > 1 else ' is a whole slide'} (the "
            f"first is '{slides[0].case}'), which this scheme cannot train from.",
            mend="Train with scheme 'pathology', or give such cases a region.",
        )
    ]


def unknown_validation_tags(trained: Collection[str | None], validation: Collection[str | None]) -> list[Fault]:
    """An error where validation cases have a tag that no training case has; None stands for a case without one."""
    unknown = set(validation) - {None} - set(trained)
    if not unknown:
        return []
    names = ", ".join(sorted(str(tag) for tag in unknown))
    return [
        Fault(
            text=f"Validation cases are tagged {names}, which no training case is.",
            mend="Move a group of that tag to the training split, or tag more training cases.",
        )
    ]
