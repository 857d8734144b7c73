"""Classes of a data set and the names of classes in files of contours."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from napari_medseg.data.dataset_file import next_class_color
from napari_medseg.data.slide_contours import SlideContours
from napari_medseg.errors import DatasetError
from napari_medseg.io.contour_file import Contour
from napari_medseg.structures import DatasetInfo, MaskClass

#: QuPath's names of classes that say nothing of tissue end so: ``Region*``, ``Ignore*``.
_SPECIAL = "*"
_MOST_CLASSES = 254
_WHITE = "#ffffff"


def with_classes_of(info: DatasetInfo, contours: Iterable[Contour]) -> DatasetInfo:
    """A description with the classes of contours that it lacks, in their colours.

    Names that end with ``*`` are QuPath's own and no classes; a derived class ("Tumor: Positive") counts as the one it
    derives from where that is there.

    Raises
    ------
    DatasetError
        There would be too many classes.
    """
    known = {c.name for c in info.classes}
    for contour in contours:
        name = contour.class_name
        base = name.split(": ")[0]
        if not name or name in known or base in known or name.endswith(_SPECIAL):
            continue
        value = max((c.value for c in info.classes), default=0) + 1
        if value > _MOST_CLASSES:
            raise DatasetError(f"Contours of more than {_MOST_CLASSES} classes cannot be taken in: unite some first.")
        # White is what files give that do not say a colour.
        color = contour.color if contour.color != _WHITE else next_class_color(info)
        info = replace(info, classes=(*info.classes, MaskClass(value=value, name=name, color=color)))
        known.add(name)
    return info


def rename_class_of_contours(labels_folder: Path, old: str, new: str) -> None:
    """Give the contours of a class on all slides its new name, and those of classes that derive from it.

    Raises
    ------
    ReadError, WriteError
        A file cannot be read or written; those before it are done.
    """
    for path in sorted(labels_folder.glob("*.geojson")):
        found = SlideContours.read(path)
        changed = tuple(renamed(contour, old, new) for contour in found.contours)
        if any(now is not before for now, before in zip(changed, found.contours, strict=True)):
            replace(found, contours=changed).write(path)


def renamed(contour: Contour, old: str, new: str) -> Contour:
    """A contour with the new name of its class; itself where it is of another one."""
    if contour.class_name == old:
        return replace(contour, class_names=(new,))
    if contour.class_names[:1] == (old,):
        return replace(contour, class_names=(new, *contour.class_names[1:]))
    return contour
