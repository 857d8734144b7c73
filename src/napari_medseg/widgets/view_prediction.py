"""Prediction of what is on screen, in a thread of the window's process."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from napari_medseg.structures import NOT_LOOKED_AT, Box, Image, Prediction, Progress

if TYPE_CHECKING:
    from napari_medseg.api import LoadedModel


class ViewPrediction:
    """Makes the work of a `ThreadJob`; keeps the last model loaded, so that the next image starts at once."""

    def __init__(self) -> None:
        self._loaded: tuple[Path, float, LoadedModel] | None = None

    def work(
        self,
        model: Path,
        image: Image,
        *,
        region: Box | None,
        inside: npt.NDArray[np.bool_] | None,
        probabilities: bool,
        repair_order: bool = False,
        region_model: Path | None = None,
        scan: Box | None = None,
    ) -> Callable[[Progress], Prediction]:
        """What the thread shall do.

        Parameters
        ----------
        model
            Model file.
        image, region
            What to predict; None for all of the image.
        inside
            bool, the region's rows and columns: labels elsewhere are 255, not looked at.
        probabilities
            Whether to return them as well.
        repair_order
            Whether to put layers in order, for models with surfaces.
        region_model
            Model that finds the region; None: `region` counts.
        scan
            Rows and columns of an ultrasound case's scan region, for models that judge it as a whole; None: they find
            it.
        """

        def run(progress: Progress) -> Prediction:
            from napari_medseg import api

            progress(0, 0, "Loading the model")
            loaded, asked = self._load(model), region
            if asked is None and scan is not None and loaded.predictor.marks_region:
                # The scan lies at one place in all frames of a cine.
                asked = (*((0, n) for n in image.spatial_shape[:-2]), *scan)
            prediction = api.predict(
                loaded,
                image,
                region=asked,
                region_model=region_model,
                probabilities=probabilities,
                confidence=bool(loaded.card.surfaces),
                attention=loaded.predictor.attend is not None,
                repair_order=repair_order,
                progress=progress,
            )
            if inside is not None and prediction.labels is not None:
                labels = np.asarray(prediction.labels)
                labels[..., ~inside] = NOT_LOOKED_AT
            return prediction

        return run

    def _load(self, model: Path) -> LoadedModel:
        from napari_medseg import api

        changed = model.stat().st_mtime if model.exists() else 0.0
        if self._loaded is None or self._loaded[:2] != (model, changed):
            # The old model goes first: two may not fit a device.
            self._loaded = None
            self._loaded = (model, changed, api.load_model(model))
        return self._loaded[2]
