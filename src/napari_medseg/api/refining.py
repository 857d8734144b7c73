"""Correct a model's result by strokes: each changes what the network finds alike nearby."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
import numpy.typing as npt

from napari_medseg.annotation.change import LabelChange, Mask, changed, slices_of
from napari_medseg.api.prediction import LoadedModel
from napari_medseg.errors import ConfigError
from napari_medseg.structures import BACKGROUND, NOT_LOOKED_AT, Box, Image, MaskClass


class StrokeCorrector:
    """Spreads strokes over one image.

    Parameters
    ----------
    model
        A model that draws, window by window.
    image
        The image that is labelled.
    classes
        What the labels' values mean; matched with the model's classes by name.

    Raises
    ------
    ModelError
        The model cannot correct by strokes, or not this image.
    ConfigError
        None of the classes is one of the model's.

    Examples
    --------
    >>> from napari_medseg import api
    >>> from napari_medseg.data.synthetic import tissue
    >>> picture, truth = tissue(size=256, seed=1)
    >>> model = api.load_model(api.bundled_model("pathology"))
    >>> labels = api.predict(model, picture).labels
    >>> corrector = api.StrokeCorrector(model, api.as_image(picture), model.card.classes)
    >>> stroke = np.ones((9, 9), bool)
    >>> change = corrector.correct(labels, ((100, 109), (90, 99)), stroke, 1)
    >>> bool((change.values[change.mask] == 1).all())
    True
    """

    def __init__(self, model: LoadedModel, image: Image, classes: Sequence[MaskClass]) -> None:
        from napari_medseg.inference.local_view import LocalViews

        self._views = LocalViews(model.predictor, image, model.compute)
        channels = {c.name: channel for channel, c in enumerate(model.predictor.classes, start=1)}
        #: Channel of each label value; -1: nobody looked, -2: none of the model's.
        self._channel = np.full(256, -2, np.intp)
        self._channel[BACKGROUND], self._channel[NOT_LOOKED_AT] = 0, -1
        for c in classes:
            self._channel[c.value] = channels.get(c.name, -2)
        if not (self._channel > 0).any():
            names = ", ".join(f"'{name}'" for name in channels)
            raise ConfigError(f"The model draws {names}, none of which is a class here: choose another model.")
        #: What strokes drew, by slice: uint8 (y, x), 255 elsewhere.
        self._drawn: dict[tuple[int, ...], npt.NDArray[np.uint8]] = {}

    def correct(
        self,
        labels: npt.NDArray[np.uint8],
        box: Box,
        stroke: Mask,
        value: int,
        *,
        protected: Collection[int] = (),
    ) -> LabelChange:
        """What a stroke changes: itself, and what looks alike to the network nearby.

        Earlier strokes stay where they are still drawn.

        Parameters
        ----------
        labels
            uint8 ([z,] y, x) as they are, with the stroke or without it; not changed.
        box, stroke
            Where was drawn: a box of one slice, and bool of its shape.
        value
            The class that was drawn, or background.
        protected
            Values that no pixel loses.

        Raises
        ------
        ConfigError
            The class is not one of the model's, or the stroke is empty.
        ModelError
            The network gives values that are not numbers.
        """
        from napari_medseg.inference.refining import spread

        channel = int(self._channel[value])
        if channel < 0:
            raise ConfigError("The model does not draw this class: it can be painted, but not corrected by strokes.")
        if not stroke.any():
            raise ConfigError("The stroke is empty: draw over what is wrong.")
        view = self._views.around(box)
        plane = labels[slices_of(view.box)].reshape(view.probabilities.shape[1:])
        marks = np.zeros(labels.shape[-2:], bool)
        marks[slices_of(box[-2:])] = stroke.reshape(stroke.shape[-2:])
        marks = marks[slices_of(view.box[-2:])]
        drawn = self._drawn_in(box[:-2], labels.shape[-2:])[slices_of(view.box[-2:])]
        present = self._channel[plane]
        kept = (present == -2) | ((drawn == plane) & (drawn != NOT_LOOKED_AT))
        wanted = spread(view, present, marks, channel, kept=kept, scale=self._views.scale)
        drawn[marks] = value
        after = np.where(wanted, np.uint8(value), plane).reshape([b - a for a, b in view.box])
        return changed(labels, view.box, after, "Corrected", protected)

    def _drawn_in(self, place: Box, shape: tuple[int, ...]) -> npt.NDArray[np.uint8]:
        key = tuple(start for start, _ in place)
        return self._drawn.setdefault(key, np.full(shape, NOT_LOOKED_AT, np.uint8))
