"""Tiles of slides as images of their own: brightness and stains are those of their slides."""

from __future__ import annotations

from dataclasses import replace

from napari_medseg.data.whole_slides import SlideTile
from napari_medseg.inference.predictor import Predictor
from napari_medseg.structures import TrainingCase


def predictor_for(predictor: Predictor, case: TrainingCase) -> Predictor:
    """A predictor for the image of a case; that of a tile prepares the whole slide, as training did."""
    if not isinstance(case, SlideTile):
        return predictor
    prepare, load_whole = predictor.prepare, case.load_whole
    return replace(predictor, prepare=lambda image: prepare(load_whole()))
