"""Contours of a slide in whatever file another program wrote them: QuPath's GeoJSON, ASAP's or ImageScope's XML."""

from __future__ import annotations

from pathlib import Path

from napari_medseg.errors import InputNotFoundError, ReadError
from napari_medseg.io.annotation_xml import Annotations, read_annotation_xml
from napari_medseg.io.contour_file import read_contours

#: Endings of such files.
SUFFIXES = (".geojson", ".geojson.gz", ".json", ".xml", ".zip")
#: As file dialogs want it.
FILE_FILTER = "Annotations (*.geojson *.geojson.gz *.json *.zip *.xml)"


def read_annotations(path: Path) -> Annotations:
    """Read contours; what the file is, is told from what is in it.

    Raises
    ------
    InputNotFoundError
        There is no such file.
    ReadError
        It is none of these, or damaged.
    """
    try:
        with path.open("rb") as file:
            head = file.read(256)
    except FileNotFoundError:
        raise InputNotFoundError(f"{path} does not exist: check the path.") from None
    except OSError as error:
        raise ReadError(f"{path} cannot be read ({error.strerror}): choose a file of annotations.") from error
    # UTF-16 has a zero beside every letter.
    if head.lstrip(b"\xef\xbb\xbf\xff\xfe \t\r\n\0").startswith(b"<"):
        return read_annotation_xml(path)
    found = read_contours(path)
    return Annotations(contours=found.contours, left_out=len(found.others))
