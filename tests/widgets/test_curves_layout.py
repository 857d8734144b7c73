"""Nine layers fit a low window: surfaces to edit, areas to paint, and the button that ends it."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt

from napari_medseg.data.dataset import Dataset
from napari_medseg.data.layers import with_layers
from napari_medseg.structures import DatasetInfo
from napari_medseg.widgets.session import session_of
from napari_medseg.widgets.workspace import Workspace

pytestmark = pytest.mark.viewer

LAYERS = ["background", "RNFL", "GCL", "IPL", "INL", "OPL", "ONL", "EZ", "RPE", "choroid", "background"]


@pytest.fixture
def desk(make_napari_viewer, qtbot, tmp_path):
    info = with_layers(DatasetInfo(name="nine", kind="oct"), LAYERS, ["optic disc"])
    dataset = Dataset.create(tmp_path / "data", info)
    dataset.add_image(np.zeros((64, 96), np.uint8), "flat")
    viewer = make_napari_viewer(show=True)
    viewer.window.resize(1366, 768)
    workspace = Workspace(viewer)
    viewer.window.add_dock_widget(workspace, area="right")
    session = session_of(viewer)
    session.open_dataset(dataset.path)
    session.open_case("flat")
    workspace.show_panel("Annotate")
    panel = workspace.panel("Annotate")
    qtbot.waitUntil(panel.done.isVisible, timeout=10_000)
    return panel, session


def is_inside(widget, panel) -> bool:
    """Whether all of a widget lies in the panel and is not covered by what scrolls."""
    top = widget.mapTo(panel, QPoint(0, 0)).y()
    return widget.isVisible() and not widget.visibleRegion().isEmpty() and top + widget.height() <= panel.height()


def test_all_surfaces_show_while_they_are_edited_and_areas_alone_are_listed_to_paint(desk, qtbot):
    panel, _ = desk
    qtbot.mouseClick(panel.curves.edit, Qt.MouseButton.LeftButton)
    surfaces, classes = panel.curves.surfaces, panel.classes
    qtbot.waitUntil(lambda: surfaces.verticalScrollBar().maximum() == 0, timeout=5000)
    assert surfaces.rowCount() == len(LAYERS) - 1
    shown = [c.name for row, c in enumerate(classes.classes.classes) if not classes.isRowHidden(row)]
    assert shown == ["optic disc"]
    assert is_inside(panel.done, panel)
    assert is_inside(panel.curves.suggest, panel)

    qtbot.mouseClick(panel.curves.edit, Qt.MouseButton.LeftButton)
    assert not any(classes.isRowHidden(row) for row in range(len(classes.classes.classes)))
    qtbot.waitUntil(lambda: surfaces.height() < 6 * surfaces.rowHeight(0), timeout=5000)
    assert is_inside(panel.done, panel)


def test_choosing_the_last_surface_shows_it_in_the_short_list(desk, qtbot):
    panel, session = desk
    session.open.curves.choose(9)
    surfaces = panel.curves.surfaces
    qtbot.waitUntil(lambda: surfaces.currentRow() == 9, timeout=5000)
    area = surfaces.visualItemRect(surfaces.item(9, 1))
    assert surfaces.viewport().rect().contains(area)
