"""What several schemes say about the cases they are given."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from napari_medseg.structures import Fault, TrainingCase


def unknown_validation_tags(trained: Collection[str | None], validation: Sequence[TrainingCase]) -> list[Fault]:
    """An error where validation cases have a tag that no training case has."""
    unknown = {case.tag for case in validation if case.tag is not None} - set(trained)
    if not unknown:
        return []
    names = ", ".join(sorted(str(tag) for tag in unknown))
    return [
        Fault(
            text=f"Validation cases are tagged {names}, which no training case is.",
            mend="Move a group of that tag to the training split, or tag more training cases.",
        )
    ]
