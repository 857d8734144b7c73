"""What a model says of a whole slide against what people drew on it, part by part: neither is ever held whole."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from napari_medseg.data.slide_places import touched_blocks
from napari_medseg.data.whole_slides import Mask, WholeSlide, slides_of, tile_of
from napari_medseg.inference.predictor import Predictor
from napari_medseg.metrics import class_counts
from napari_medseg.structures import NOT_LOOKED_AT, Box, Prediction, TagResult, TrainingCase

#: Rows and columns that are judged together: labels of both, and the rows that are being blended, fit into memory.
_BLOCK = 4096
#: Predicts a part of a slide (box, tissue, whether to draw).
PredictPart = Callable[..., Prediction]


def with_tagged_tiles(predictor: Predictor, cases: Sequence[TrainingCase]) -> list[TrainingCase]:
    """The cases, and after them every tagged tile of the slides as a case of its own, where the model classifies.

    A tile that is smaller than the network's window is shown with what lies around it.
    """
    found = list(cases)
    for slide in slides_of(cases) if predictor.tags else ():
        scale = predictor.scale_of(slide.load_image())
        least = [n / step for n, step in zip(predictor.window, scale, strict=True)]
        found += [tile_of(slide, tile.box, tile.tag, least) for tile in slide.labels.tile_tags]
    return found


def slide_counts(predict_part: PredictPart, slide: WholeSlide, values: Sequence[int]) -> npt.NDArray[np.int64]:
    """Pixels per class that are right, predicted and true, int64 (classes, 3), where somebody looked.

    Parameters
    ----------
    predict_part
        Called with the image, a box of it and, by name, the tissue as `mask`.
    values
        Label values of the classes.
    """
    image, tissue = slide.load_image(), slide.load_tissue()
    shape = image.spatial_shape
    counts = np.zeros((len(values), 3), np.int64)
    for block in touched_blocks(slide.labels, shape, shape, _BLOCK):
        truth = slide.labels.read(block, 1)
        box = _looked_at(truth)
        if box is None:
            continue
        part = tuple((low + start, low + stop) for (low, _), (start, stop) in zip(block, box, strict=True))
        seen = truth[tuple(slice(*side) for side in box)]
        counts += class_counts(seen, _labels(predict_part, slide, part, tissue), values)
    return counts


def slide_tag(predict_part: PredictPart, slide: WholeSlide) -> TagResult | None:
    """What a model says of a slide as a whole, from its tissue alone."""
    tissue = slide.load_tissue()
    if not tissue.any():
        return None
    return predict_part(slide.load_image(), None, mask=tissue, draw=False).tag


def _labels(predict_part: PredictPart, slide: WholeSlide, part: Box, tissue: Mask) -> npt.NDArray[np.uint8]:
    """Labels of a part; 255 where there is no tissue, as in the prediction of the slide."""
    image = slide.load_image()
    cells = tuple(
        slice(start * size // n, max(start * size // n + 1, math.ceil(stop * size / n)))
        for (start, stop), size, n in zip(part, tissue.shape, image.spatial_shape, strict=True)
    )
    if not tissue[cells].any():
        return np.full(tuple(stop - start for start, stop in part), NOT_LOOKED_AT, np.uint8)
    return np.asarray(predict_part(image, part, mask=tissue).labels)


def _looked_at(truth: npt.NDArray[np.uint8]) -> Box | None:
    """The smallest box that holds all pixels that somebody looked at; None where there is none."""
    seen = truth != NOT_LOOKED_AT
    if not seen.any():
        return None
    sides = (np.flatnonzero(seen.any(axis=1 - axis)) for axis in (0, 1))
    return tuple((int(side[0]), int(side[-1]) + 1) for side in sides)
