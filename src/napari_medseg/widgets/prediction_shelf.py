"""Predictions of cases that are not on screen: taken out of the viewer, put back when their case is opened again."""

from __future__ import annotations

from collections.abc import Sequence

import napari
from napari.layers import Layer

from napari_medseg.widgets.result_rows import Result


class PredictionShelf:
    """Keeps the layers of other cases, so that they neither lie over the case on screen nor widen its view.

    Parameters
    ----------
    viewer
        Whose layers are taken out and put back. Layers that a person removed stay removed.
    """

    def __init__(self, viewer: napari.Viewer) -> None:
        self._viewer = viewer
        self._kept: dict[str, list[Layer]] = {}

    def follow(self, case: str, results: Sequence[Result], waiting: Sequence[Result]) -> None:
        """Show what was predicted of a case and still waits for a person, and take away what belongs to other cases.

        Parameters
        ----------
        case
            The case on screen; empty for none.
        results
            All results. Those of images that are no case stay where they are.
        waiting
            Those of them that can still be accepted.
        """
        active, layers = self._viewer.layers.selection.active, self._viewer.layers
        taken = False
        for result in (result for result in results if result.case):
            if result.case != case:
                taken = self._take(result) or taken
            elif result in waiting and result.layers:
                layers.extend(self._kept.pop(result.key, []))
                result.layers[0].visible = True
        if active is not None and active in layers:
            # napari selects what was put in last.
            layers.selection.active = active
        if taken and case:
            # The view was fitted while they were still there.
            self._viewer.reset_view()

    def forget(self, result: Result) -> None:
        """Remove the layers of a result for good."""
        self._take(result)
        self._kept.pop(result.key, None)

    def _take(self, result: Result) -> bool:
        """Take the layers of a result out of the viewer; whether there were any."""
        present = [layer for layer in result.layers if layer in self._viewer.layers]
        for layer in present:
            layer.visible = layer is not result.layers[0] and layer.visible
            self._viewer.layers.remove(layer)
        if present:
            self._kept[result.key] = present
        return bool(present)
