"""What is wrong with the labels of a whole slide."""

from __future__ import annotations

from napari_medseg.data.dataset import Dataset
from napari_medseg.data.label_files import LabelFacts
from napari_medseg.data.slide_cases import slide_image
from napari_medseg.data.slide_labels import SlideLabels
from napari_medseg.errors import MedsegError
from napari_medseg.structures import NOT_LOOKED_AT, Case, Fault


def slide_facts(dataset: Dataset, case: Case, where: str) -> tuple[LabelFacts | None, list[Fault]] | None:
    """What the labels of a slide hold, and what is wrong with them; None for other cases and unreadable images.

    Not looked at is always among the values: nothing that is drawn speaks for the slide as a whole.
    """
    try:
        image = slide_image(dataset, case)
    except MedsegError:
        return None  # whoever reads the image next says so
    if image is None:
        return None
    rows, columns = image.spatial_shape
    try:
        labels = SlideLabels.open(dataset, case, (rows, columns))
        kinds = labels.kinds()
    except MedsegError as error:
        return None, [Fault(text=str(error), where=where)]
    unknown = sorted(set(kinds.tile_tags) - {tag.name for tag in dataset.info.tags})
    faults = []
    if unknown:
        text = f"Tiles are tagged '{unknown[0]}', which is no tag of the data set."
        faults.append(Fault(text=text, where=where, mend="Add the tag, or tag these tiles anew.", severity="warning"))
    if not kinds.has_mask:
        return None, faults
    values = kinds.values | {NOT_LOOKED_AT}
    return LabelFacts(shape=image.spatial_shape, values=values, pixel_hash=labels.content_hash()), faults
