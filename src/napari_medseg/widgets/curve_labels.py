"""Curves and the labels of a case stand for each other: each is drawn from the other where that one changed."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from napari.layers import Labels

from napari_medseg.annotation.acts import Change, Changes
from napari_medseg.annotation.curves import Curves
from napari_medseg.annotation.predicted_surfaces import surfaces_of_prediction
from napari_medseg.annotation.surfaces import Rows, paint_surfaces
from napari_medseg.structures import BACKGROUND, NOT_LOOKED_AT

Pixels = npt.NDArray[np.uint8]


class CurveLabels:
    """The labels that curves are drawn into and taken from.

    Parameters
    ----------
    layer
        uint8 labels ([bscan,] y, x).
    curves
        What is drawn between the layers.
    pile
        Label values of the layers from top to bottom.
    predicted
        Whether a model drew the labels, asked whenever curves are taken from them.
    """

    def __init__(self, layer: Labels, curves: Curves, pile: tuple[int, ...], predicted: Callable[[], bool]) -> None:
        self._layer = layer
        self._curves = curves
        self._pile = pile
        self._predicted = predicted
        #: The labels that the curves know of.
        self._seen = np.array(layer.data, np.uint8)
        self._matched: set[int] = set()
        self._waiting: set[int] = set()
        self._with_layers = {b for b in range(curves.shape[0]) if self._has_layers(b)}

    def drawn_bscans(self) -> list[int]:
        """B-scans that hold curves or layers, in order."""
        return sorted(self._with_layers | (set(self._curves.drawn_bscans()) - self._waiting))

    def changed_bscans(self) -> list[int]:
        """B-scans whose labels somebody else changed; none while the layer holds labels of another shape."""
        if self._layer.data.shape != self._seen.shape:
            return []
        return [b for b in range(self._curves.shape[0]) if not np.array_equal(self._now(b), self._known(b))]

    def surfaces_in(self, prediction: Pixels) -> Rows:
        """Surfaces (surfaces, x) of predicted labels (y, x) of a B-scan, in the data set's values."""
        return surfaces_of_prediction(prediction, self._pile)

    def match(self, bscan: int) -> None:
        """Let the curves of a B-scan stand for its labels, once; where both agree, nothing changes."""
        self._waiting.discard(bscan)
        if bscan in self._matched:
            return
        self._matched.add(bscan)
        if bscan in self._with_layers or bscan in self._curves.drawn_bscans():
            labels = self._known(bscan)
            columns = self._contradicted(bscan, labels)
            self._take(bscan, labels, columns, remember=False)

    def match_later(self, bscan: int) -> None:
        """Let `match_next` do so: a volume that changed as a whole takes a while."""
        self.learn(bscan)
        self._matched.discard(bscan)
        self._waiting.add(bscan)

    def match_next(self) -> bool:
        """Match a B-scan that waits for it; whether there was one."""
        if not self._waiting:
            return False
        self.match(min(self._waiting))
        return True

    def follow(self, bscan: int) -> bool:
        """Let the curves of a B-scan follow what was painted there; whether they made an act of it."""
        self.match(bscan)
        labels = self._now(bscan)
        columns = (labels != self._known(bscan)).any(axis=0) & self._contradicted(bscan, labels)
        changes = self._take(bscan, labels, columns)
        self.learn(bscan)
        return bool(changes)

    def draw(self, change: Change) -> bool:
        """Draw the layers between changed curves, as an entry of the layer's history.

        Returns
        -------
        False where pixels of locked classes stayed: the curves do not stand for the labels now.
        """
        bscan, labels = change.bscan, self._now(change.bscan)
        rows = self._curves.rows(bscan)
        painted = paint_surfaces(labels, rows, self._pile, columns=change.columns, before=change.before)
        y, x = np.nonzero(painted != labels)
        if y.size:
            place = (y, x) if self._layer.ndim == 2 else (np.full_like(y, bscan), y, x)
            self._layer.data_setitem(place, painted[y, x])
        self._matched.add(bscan)
        self.learn(bscan)
        return np.array_equal(self._now(bscan), painted)

    def learn(self, bscan: int) -> None:
        """The curves stand for the labels of a B-scan as they are now."""
        self._known(bscan)[...] = self._now(bscan)
        (self._with_layers.add if self._has_layers(bscan) else self._with_layers.discard)(bscan)

    def _take(self, bscan: int, labels: Pixels, columns: npt.NDArray[np.bool_], *, remember: bool = True) -> Changes:
        """Take the curves of some columns (x,) from labels (y, x)."""
        return self._curves.set_from_labels(
            bscan, labels, self._pile, columns=columns, predicted=self._predicted(), remember=remember
        )

    def _contradicted(self, bscan: int, labels: Pixels) -> npt.NDArray[np.bool_]:
        """Columns (x,) in which labels (y, x) are not what the curves would draw, or hold layers without curves.

        What agrees stays as it is: labels alone do not tell a surface with nothing drawn on one side of it.
        """
        rows = self._curves.rows(bscan)
        differ = (paint_surfaces(labels, rows, self._pile) != labels).any(axis=0)
        return np.asarray(differ | np.isnan(rows).all(axis=0))

    def _now(self, bscan: int) -> Pixels:
        data: Pixels = self._layer.data
        return data if self._layer.ndim == 2 else data[bscan]

    def _known(self, bscan: int) -> Pixels:
        known: Pixels = self._seen if self._layer.ndim == 2 else self._seen[bscan]
        return known

    def _has_layers(self, bscan: int) -> bool:
        is_layer = np.zeros(256, bool)
        is_layer[[value for value in self._pile if value not in (BACKGROUND, NOT_LOOKED_AT)]] = True
        return bool(is_layer[self._now(bscan)].any())
