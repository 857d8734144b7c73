"""Curves that are not drawn yet, from what is known: a prediction, the scanner's own layers, the nearest B-scan.

Where each B-scan is a case of its own, the nearest one is that of the same group.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from napari.layers import Labels

from napari_medseg.annotation.surfaces import Rows
from napari_medseg.data.device_surfaces import match_surfaces
from napari_medseg.errors import AnnotationError
from napari_medseg.hooks import layer_classes
from napari_medseg.structures import Case
from napari_medseg.widgets.accepting import to_own_values
from napari_medseg.widgets.curve_carrying import bscans_of_group, draw_from

if TYPE_CHECKING:
    from napari_medseg.widgets.session import Session


def suggest(session: Session) -> str:
    """Draw what is missing in the B-scan on screen; what a person drew stays.

    Returns
    -------
    where it came from, for people.

    Raises
    ------
    AnnotationError
        Nothing is known that curves could come from, or nothing is missing.
    """
    opened = session.open
    if opened is None or opened.curves is None:
        raise AnnotationError("No case with surfaces is open: open one in the tab Cases.")
    case = opened.curves
    bscan, own = case.bscan, case.rows
    if np.isfinite(own).all():
        raise AnnotationError("Every surface is drawn in all of this B-scan: there is nothing to suggest.")
    of_device, match = _of_device(session, bscan)
    for source, rows in (("the model's prediction", _predicted(session, bscan)), (match, of_device)):
        if rows is None or not np.isfinite(rows[np.isnan(own)]).any():
            continue
        together = np.where(np.isnan(own), rows, own)
        case.do(case.curves.set_rows, bscan, together, pinned=case.curves.pinned(bscan))
        opened.edit_curves(True)
        return f"Missing curves were taken from {source}."
    others = [other for other in case.drawn_bscans() if other != bscan]
    if others:
        nearest = min(others, key=lambda other: abs(other - bscan))
        case.carry_over(nearest, bscan)
        opened.edit_curves(True)
        return f"Missing curves were taken from B-scan {nearest + 1}."
    for mate in _nearest_mates(session) if len(opened.labels.data.shape) == 2 else []:
        if draw_from(session, mate):
            opened.edit_curves(True)
            return f"Missing curves were taken from {mate.case}, which is of the same group."
    raise AnnotationError(
        "There is nothing to suggest curves from: click along each surface, or run a model in the tab Predict."
    )


def _nearest_mates(session: Session) -> list[Case]:
    """The other cases of the group of the one on screen, the nearest in the order of files first."""
    assert session.dataset is not None
    assert session.case is not None
    mates = bscans_of_group(session.dataset, session.case)
    here = [mate.case for mate in mates].index(session.case.case)
    order = sorted(range(len(mates)), key=lambda place: abs(place - here))
    return [mates[place] for place in order if place != here]


def _predicted(session: Session, bscan: int) -> Rows | None:
    """Surfaces of the uppermost prediction for the case on screen."""
    opened = session.open
    assert opened is not None
    assert opened.curves is not None
    assert session.dataset is not None
    for layer in reversed(session.viewer.layers):
        fits = isinstance(layer, Labels) and layer.data.shape == opened.labels.data.shape
        if fits and "prediction" in layer.metadata and layer.name.startswith(opened.case.case):
            data: npt.NDArray[np.uint8] = np.asarray(layer.data if layer.ndim == 2 else layer.data[bscan], np.uint8)
            classes = layer_classes({"features": layer.features, "colormap": layer.colormap})
            return opened.curves.surfaces_in(to_own_values(data, classes, session.dataset.info))
    return None


def _of_device(session: Session, bscan: int) -> tuple[Rows | None, str]:
    """Surfaces that the scanner stored with the image, and in words which of them stand for the data set's."""
    opened = session.open
    assert opened is not None
    assert opened.curves is not None
    stored: Mapping[str, Rows] = opened.image_layers[0].metadata.get("medseg", {}).get("surfaces", {})
    surfaces = opened.curves.surfaces
    match = match_surfaces(surfaces, [*stored])
    if not match.names:
        return None, ""
    rows: Rows = np.full((len(surfaces), opened.labels.data.shape[-1]), np.nan, np.float32)
    for index, surface in enumerate(surfaces):
        if surface.name in match.names:
            found = np.asarray(stored[match.names[surface.name]], np.float32)
            rows[index] = found.reshape(-1, rows.shape[1])[bscan]
    return rows, f"the scanner's layers ({match.text})"
