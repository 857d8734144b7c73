"""From a result on screen to a case of the data set."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from napari.layers import Image as ImageLayer
from napari.layers import Labels

from napari_medseg.data.label_files import open_labels
from napari_medseg.data.scan_columns import parse_series, scan_cell
from napari_medseg.data.slide_cases import OpenedSlide, open_slide
from napari_medseg.errors import DatasetError
from napari_medseg.widgets.accepting import accept
from napari_medseg.widgets.adding import add_layers
from napari_medseg.widgets.result_rows import Result
from napari_medseg.widgets.session import Session


def take_over(session: Session, result: Result) -> tuple[str, int]:
    """Put a result into the data set as a draft; an image that is no case yet becomes one.

    Returns
    -------
    the case's id, and the number of pixels that were taken over.

    Raises
    ------
    MedsegError
        As `accepting.accept`, or the image cannot be added.
    """
    case = case_of_result(session, result)
    taken = accept(
        session,
        case,
        model=result.model,
        labels=None if result.tag_only else _pixels(result),
        region=result.region,
        classes=() if result.tag_only else result.classes,
        tag=result.tag.tag if result.tag is not None and not result.tag.graded else "",
        grade=result.tag.tag if result.tag is not None and result.tag.graded else "",
    )
    return case, taken


def case_of_result(session: Session, result: Result) -> str:
    """The case that a result is of; an image that is no case yet becomes one.

    Raises
    ------
    MedsegError
        No data set is open, or the image cannot be added.
    """
    if session.dataset is None:
        raise DatasetError("No data set is open: open or make one in the tab Cases, then accept.")
    case = result.case or case_of_layer(session, result.beside)
    if not case:
        assert isinstance(result.beside, ImageLayer)
        add_layers(session.dataset, [result.beside])
        session.cases_changed.emit()
        case = case_of_layer(session, result.beside)
    return case


def slide_of_result(session: Session, result: Result) -> OpenedSlide | None:
    """The slide of a result that is one of a whole slide: its labels are taken over in steps."""
    if session.dataset is None or result.labels is None or result.labels.suffix != ".zarr" or result.tag_only:
        return None
    case = case_of_result(session, result)
    return open_slide(session.dataset, session.dataset.case(case))


def case_of_layer(session: Session, layer: object) -> str:
    """The case of the open data set that a layer shows all of; empty when there is none."""
    dataset = session.dataset
    if dataset is None or not isinstance(layer, ImageLayer):
        return ""
    if session.open is not None and layer in session.open.image_layers:
        return session.open.case.case
    known = {case.case for case in dataset.cases}
    if layer.metadata.get("case") in known:
        return str(layer.metadata["case"])
    path = layer.metadata.get("path") or layer.source.path
    # A file may hold several series, e.g. both eyes.
    whole = {
        (str(dataset.image_path(case).resolve()), parse_series(scan_cell(case, "series")) or 0): case.case
        for case in dataset.cases
        if not case.region
    }
    return whole.get((str(path), int(layer.metadata.get("series") or 0)), "")


def _pixels(result: Result) -> npt.NDArray[np.uint8] | None:
    """The labels as they are now: a person may have painted on the prediction's layer."""
    if result.layers and isinstance(result.layers[0], Labels):
        return np.asarray(result.layers[0].data, np.uint8)
    return None if result.labels is None else np.asarray(open_labels(result.labels)[...], np.uint8)
