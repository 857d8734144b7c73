"""The prediction of a slide becomes a draft of its painting, piece by piece, where nobody has said anything."""

from __future__ import annotations

import itertools
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import zarr
from napari.layers import Image as ImageLayer

from napari_medseg.data.dataset import reviewed_text
from napari_medseg.data.finishing import record_labels
from napari_medseg.data.slide_cases import OpenedSlide
from napari_medseg.data.slide_labels import SlideLabels
from napari_medseg.data.slide_master import SlideMaster
from napari_medseg.data.slide_window import usual_downsample
from napari_medseg.errors import DatasetError, ReviewedError
from napari_medseg.structures import NOT_LOOKED_AT, Box, DatasetInfo, MaskClass
from napari_medseg.widgets.accepting import to_own_values
from napari_medseg.widgets.regions import drawn_shapes
from napari_medseg.widgets.result_rows import Result
from napari_medseg.widgets.session import Session
from napari_medseg.widgets.slide_case import SlideCase
from napari_medseg.widgets.slide_on_screen import drawn_box
from napari_medseg.widgets.step_job import StepJob
from napari_medseg.widgets.taking_over import case_of_result, slide_of_result

#: Rows and columns of the painting that are taken over at a time, in about a tenth of a second.
_SIDE = 1024

Labels = npt.NDArray[np.uint8]


def slide_acceptance(session: Session, result: Result) -> tuple[str, StepJob] | None:
    """The case of a result of a whole slide, and the job that takes it over; None for other results.

    A shape that is drawn over the slide says which part is meant.

    Raises
    ------
    MedsegError
        No data set is open, or the slide cannot be read.
    """
    slide = slide_of_result(session, result)
    if slide is None or result.labels is None:
        return None
    case, region, shapes = case_of_result(session, result), result.region, drawn_shapes(session.viewer)
    if shapes is not None and isinstance(result.beside, ImageLayer) and result.beside in session.viewer.layers:
        region = drawn_box(shapes, result.beside)
    known: dict[str, Any] = {"model": result.model, "labels": result.labels, "classes": result.classes}
    tag = result.tag.tag if result.tag is not None else ""
    return case, StepJob(accept_slide(session, case, slide, region=region, tag=tag, **known))


def accept_slide(
    session: Session,
    case_id: str,
    slide: OpenedSlide,
    *,
    model: str,
    labels: Path,
    region: Box | None,
    classes: Sequence[MaskClass],
    tag: str = "",
) -> Generator[tuple[int, int, str], None, int]:
    """Take over what a model drew on a slide, as a draft, in steps.

    What a person painted, drew as a contour or marked complete stays. In the window that is being painted the change
    can be undone.

    Parameters
    ----------
    slide
        The case's slide, opened.
    labels
        OME-Zarr labels of the whole slide.
    region
        Box of level-0 pixels; None for all that was predicted.
    model, classes, tag
        As in `napari_medseg.widgets.accepting.accept`.

    Yields
    ------
    pieces done, pieces, text; between two of them the person may go on painting

    Returns
    -------
    number of pixels of the painting that were taken over

    Raises
    ------
    ReviewedError
        The case is reviewed.
    DatasetError
        The data set has not the model's classes, or the labels are of another slide.
    MedsegError
        It cannot be saved now.
    """
    dataset = session.dataset
    assert dataset is not None
    case = dataset.case(case_id)
    if case.status == "reviewed":
        raise ReviewedError(reviewed_text(case))
    levels = _levels(labels, slide.image.spatial_shape)
    opened = _opened(session, case_id)
    if opened is None:
        master = dataset.slide_master(case, slide.image, usual_downsample(slide.image))
    else:
        opened.autosave.flush()
        master = opened.store
    taken, pieces = 0, list(_pieces(master, region, levels))
    for number, box in enumerate(pieces):
        yield number, len(pieces), "Taking over"
        own = _own_values(_read(levels, master, box), classes, dataset.info)
        opened = _opened(session, case_id)
        present = master.read(box) if opened is None else opened.read(box)
        change = (own != NOT_LOOKED_AT) & (present == NOT_LOOKED_AT) & ~_is_known(slide.labels, master, box)
        if not change.any():
            continue
        if opened is None:
            master.write(box, np.where(change, own, present))
        else:
            opened.write(box, np.where(change, own, present))
        taken += int(change.sum())
    if opened is not None:
        opened.autosave.flush()
    _note(session, case_id, master, taken, model, tag)
    return taken


def _note(session: Session, case_id: str, master: SlideMaster, taken: int, model: str, tag: str) -> None:
    """Tell the table."""
    dataset = session.dataset
    assert dataset is not None
    case = dataset.case(case_id)
    origin = case.origin or f"model:{model}"
    cells = {"tag": tag} if tag and not case.tag and tag in {known.name for known in dataset.info.tags} else {}
    if taken and _opened(session, case_id) is None:
        record_labels(dataset, case_id, master, revision=case.revision, origin=origin)
    if taken or cells:
        session.update_case(case_id, origin=origin, status="draft", **cells)


def _opened(session: Session, case_id: str) -> SlideCase | None:
    """The case, where it is on screen."""
    opened = session.open
    return opened if isinstance(opened, SlideCase) and opened.case.case == case_id else None


def _levels(labels: Path, shape: tuple[int, ...]) -> list[Any]:
    group = zarr.open_group(labels, mode="r", use_consolidated=False)
    levels: list[Any] = [group[name] for name in sorted((name for name, _ in group.arrays()), key=int)]
    if tuple(levels[0].shape) != shape:
        raise DatasetError(f"The labels {labels} are of another slide than the case's: predict it anew.")
    return levels


def _pieces(master: SlideMaster, region: Box | None, levels: Sequence[Any]) -> Iterator[Box]:
    """Boxes of the painting in which anything was predicted."""
    step, shape = master.downsample, master.shape
    box = [(0, n) for n in shape] if region is None else [(a // step, -(-b // step)) for a, b in region]
    # The coarsest level has every 2 ** (levels - 1)th pixel: what it misses is smaller than a cell.
    coarse, factor = np.asarray(levels[-1][...]), 2 ** (len(levels) - 1)
    sides = [
        [(max(low, at), min(high, at + _SIDE)) for at in range(low // _SIDE * _SIDE, high, _SIDE)] for low, high in box
    ]
    for piece in itertools.product(*sides):
        part = tuple(slice(a * step // factor, -(-b * step // factor) + 1) for a, b in piece)
        if (coarse[part] != NOT_LOOKED_AT).any():
            yield piece


def _read(levels: Sequence[Any], master: SlideMaster, box: Box) -> Labels:
    """Predicted labels at the middles of the painting's pixels."""
    step = master.downsample
    # The coarsest level that has the very pixels in the middle, for powers of two.
    level = min(max(step.bit_length() - 2, 0), len(levels) - 1)
    places = []
    for (start, stop), n, stored in zip(box, master.slide_shape, levels[level].shape, strict=True):
        middles = np.minimum(np.arange(start, stop) * step + step // 2, n - 1)
        places.append(np.minimum(middles >> level, stored - 1))
    part = np.asarray(levels[level][tuple(slice(int(p[0]), int(p[-1]) + 1) for p in places)])
    return np.asarray(part[np.ix_(*(p - p[0] for p in places))], np.uint8)


def _own_values(predicted: Labels, classes: Sequence[MaskClass], info: DatasetInfo) -> Labels:
    """As `to_own_values`; most pieces hold few values, which are found faster than by sorting."""
    present = np.flatnonzero(np.bincount(predicted.ravel(), minlength=256)).astype(np.uint8)
    table = np.full(256, NOT_LOOKED_AT, np.uint8)
    table[present] = to_own_values(present, classes, info)
    return table[predicted]


def _is_known(labels: SlideLabels, master: SlideMaster, box: Box) -> npt.NDArray[np.bool_]:
    """Where contours or regions that are complete say what is there."""
    step = master.downsample
    place = tuple((a * step, min(b * step, n)) for (a, b), n in zip(box, master.slide_shape, strict=True))
    known = labels.read(place, step) != NOT_LOOKED_AT
    # The last pixel of the painting may reach over the end of the slide.
    missing = [(0, b - a - n) for (a, b), n in zip(box, known.shape, strict=True)]
    return np.pad(known, missing, mode="edge")
