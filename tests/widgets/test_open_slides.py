"""Slides in the Open panel: what is said, which level and part is loaded, what stays hidden."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
from qtpy.QtCore import Qt, QTimer

from napari_medseg.io.slide.virtual import VirtualLevel
from napari_medseg.widgets.open_panel import OpenPanel
from tests.io.slide.writers import tissue, write_one_level, write_svs

pytestmark = pytest.mark.viewer


@pytest.fixture
def desk(make_napari_viewer):
    viewer = make_napari_viewer()
    panel = OpenPanel(viewer)
    viewer.window.add_dock_widget(panel, area="right")
    return viewer, panel


@pytest.fixture
def slide(tmp_path):
    write_svs(tmp_path / "a.svs", tissue(2048, 3072))
    return tmp_path / "a.svs"


def look(qtbot, panel, path) -> None:
    panel.look_at([path])
    qtbot.waitUntil(lambda: panel.image is not None or bool(panel.notice.words), timeout=30_000)


def load(qtbot, viewer, panel) -> None:
    before = len(viewer.layers)
    qtbot.mouseClick(panel.load, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: len(viewer.layers) > before or bool(panel.notice.words), timeout=60_000)


def test_a_slide_is_loaded_with_its_levels_and_without_its_label(desk, qtbot, slide):
    viewer, panel = desk
    look(qtbot, panel, slide)
    assert not panel.slide.isHidden()
    levels = [panel.slide.level.itemText(i) for i in range(panel.slide.level.count())]
    assert levels == ["0: 3072 × 2048 pixels, 0.25 µm, 40×", "1: 768 × 512 pixels, 1 µm, 10×"]
    load(qtbot, viewer, panel)
    (layer,) = viewer.layers
    assert [level.shape for level in layer.data] == [(2048, 3072, 3), (512, 768, 3)]
    assert (tuple(layer.scale), str(layer.units[0])) == ((0.25, 0.25), "micrometer")


def test_a_part_from_a_coarser_level_lies_where_it_is_on_the_slide(desk, qtbot, slide):
    viewer, panel = desk
    look(qtbot, panel, slide)
    panel.slide.part.setText("400:1200, 800:5000")
    panel.slide.level.setCurrentIndex(1)
    load(qtbot, viewer, panel)
    (layer,) = viewer.layers
    assert tuple(layer.scale) == pytest.approx((1, 1))
    assert tuple(layer.translate) == pytest.approx((100, 200))
    with tifffile.TiffFile(slide) as tif:
        expected = tif.series[0].levels[1].asarray()[100:300, 200:768]
    np.testing.assert_array_equal(np.asarray(layer.data), expected)


@pytest.mark.parametrize("text", ["upper left", "5:1,0:9", "0:9", "9000:9100,0:50"])
def test_a_part_that_is_none_is_a_sentence(desk, qtbot, slide, text):
    viewer, panel = desk
    look(qtbot, panel, slide)
    panel.slide.part.setText(text)
    load(qtbot, viewer, panel)
    assert not viewer.layers
    assert text in panel.notice.words


def test_the_label_is_shown_beside_the_slide_only_when_asked_for(desk, qtbot, slide):
    viewer, panel = desk
    look(qtbot, panel, slide)
    assert "patient" in panel.slide.apart.text()
    panel.slide.apart.setChecked(True)
    load(qtbot, viewer, panel)
    assert [layer.name for layer in viewer.layers] == ["a", "a · label", "a · macro"]
    assert len({str(layer.units) for layer in viewer.layers}) == 1
    for layer in viewer.layers[1:]:
        assert layer.extent.world[1][1] < 0
    look(qtbot, panel, slide)
    assert not panel.slide.apart.isChecked()


def test_a_slide_of_one_level_gets_its_overview_in_a_thread(desk, qtbot, tmp_path):
    viewer, panel = desk
    write_one_level(tmp_path / "one.tif", np.broadcast_to(tissue(8, 8)[:1, :1], (7200, 7200, 3)))
    look(qtbot, panel, tmp_path / "one.tif")
    assert panel.spacing.isVisibleTo(panel)
    panel.spacing.setText("0.5")
    load(qtbot, viewer, panel)
    (layer,) = viewer.layers
    assert [level.shape[0] for level in layer.data] == [7200, 3600, 1800, 900]
    assert isinstance(layer.data[-1], VirtualLevel)
    assert tuple(layer.scale) == (0.5, 0.5)


def test_a_dropped_slide_of_one_level_is_shown_when_its_overview_is_there(desk, qtbot, tmp_path):
    viewer, _ = desk
    write_one_level(tmp_path / "one.tif", np.broadcast_to(tissue(8, 8)[:1, :1], (7200, 7200, 3)))
    opened = []
    # As a drop does: napari is asked while the window's own loop runs.
    QTimer.singleShot(0, lambda: opened.append(viewer.open(tmp_path / "one.tif", plugin="napari-medseg")))
    qtbot.waitUntil(lambda: opened != [], timeout=60_000)
    assert opened == [[]]
    qtbot.waitUntil(lambda: len(viewer.layers) == 1, timeout=60_000)
    overview = viewer.layers[0].data[-1]
    assert isinstance(overview, VirtualLevel)
    assert overview.planes[0]._cache.nbytes == np.prod(overview.shape)
