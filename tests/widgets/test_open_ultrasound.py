"""Ultrasound in the window: what the Open panel says and asks, and duplicates before a training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydicom.data import get_testdata_file
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLabel

from napari_medseg.data.dataset import Dataset
from napari_medseg.data.dataset_file import tag_classes
from napari_medseg.schemes import SCHEMES
from napari_medseg.structures import DatasetInfo
from napari_medseg.widgets.check_view import CheckView
from napari_medseg.widgets.data_check import check_data
from napari_medseg.widgets.open_panel import OpenPanel

pytestmark = pytest.mark.viewer


@pytest.fixture
def desk(make_napari_viewer):
    viewer = make_napari_viewer()
    panel = OpenPanel(viewer)
    viewer.window.add_dock_widget(panel, area="right")
    return viewer, panel


def test_a_cine_is_described_and_its_pixel_size_asked_for(desk, qtbot):
    viewer, panel = desk
    panel.look_at([Path(get_testdata_file("examples_ybr_color.dcm"))])
    qtbot.waitUntil(lambda: panel.image is not None, timeout=15_000)
    said = " ".join(label.text() for label in panel.findChildren(QLabel))
    assert "320 × 240 pixels, 30 frames" in said
    assert "not in the file; 33.33 ms between frames" in said
    assert "SonoSite, Inc. Turbo" in said
    panel.spacing.setText("0.3")
    qtbot.mouseClick(panel.load, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: len(viewer.layers) == 1, timeout=15_000)
    (layer,) = viewer.layers
    assert layer.rgb
    assert tuple(layer.scale) == pytest.approx((33.333, 0.3, 0.3))
    assert [str(unit) for unit in layer.units] == ["millisecond", "millimeter", "millimeter"]
    assert viewer.dims.axis_labels == ("t", "y", "x")


def test_a_training_is_told_of_nearly_equal_frames_by_name(qtbot, tmp_path):
    info = DatasetInfo(name="frames", kind="ultrasound", tags=tag_classes(["x", "y"]))
    dataset = Dataset.create(tmp_path / "data", info)
    same = np.random.default_rng(0).integers(0, 255, (120, 160), np.uint8)
    other = np.random.default_rng(1).integers(0, 255, (120, 160), np.uint8)
    for name, pixels, split in (("left", same, "train"), ("right", same + 0, "test"), ("far", other, "val")):
        case = dataset.add_image(pixels, name)
        dataset.update_case(case.case, revision=case.revision, tag="x", split=split, status="done")
    scheme = SCHEMES["thyroid"]
    found = check_data(
        dataset.path, scheme, scheme.config_type(), include_drafts=False, progress=lambda done, total, text: None
    )
    view = CheckView()
    qtbot.addWidget(view)
    view.show_check(found)
    shown = " ".join(label.text() for label in view.findChildren(QLabel))
    assert "&#x27;left&#x27; (train) and &#x27;right&#x27; (test)" in shown
    assert "--group-duplicates" in shown
