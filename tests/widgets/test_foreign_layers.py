"""Layers that were there before a case, in units that it does not have."""

from __future__ import annotations

import numpy as np
import pytest

from napari_medseg.data.dataset import Dataset
from napari_medseg.structures import Image
from napari_medseg.widgets.annotate_panel import AnnotatePanel
from napari_medseg.widgets.session import session_of

from .helpers import drag, make_dataset

MICRONS = {"scale": (0.25, 0.25), "units": ("um", "um")}


@pytest.mark.viewer
def test_a_case_in_pixels_hides_what_is_measured_and_leaves_the_rest(make_napari_viewer, tmp_path):
    viewer = make_napari_viewer()
    panel = AnnotatePanel(viewer)
    viewer.window.add_dock_widget(panel, area="right")
    make_dataset(tmp_path / "data")
    session = session_of(viewer)
    session.open_dataset(tmp_path / "data")
    measured = viewer.add_image(np.zeros((512, 512)), name="from a microscope", **MICRONS)
    plain = viewer.add_image(np.zeros((512, 512)), name="plain")
    session.open_case("case0")
    assert not measured.visible
    assert all(layer.visible for layer in (plain, *session.open.image_layers, session.labels))
    assert "'from a microscope' cannot lie over this case" in panel.notice.words
    measured.visible = True
    session.open_case("case1")
    assert not measured.visible
    session.close_case()
    measured.visible = True
    assert measured.scale.tolist() == [0.25, 0.25], "the layer itself is as it was"


@pytest.mark.viewer
def test_a_case_with_a_pixel_size_keeps_measured_layers_and_is_drawn_in_place(make_napari_viewer, qtbot, tmp_path):
    viewer = make_napari_viewer(show=True)
    dataset = make_dataset(tmp_path / "data", 1)
    pixels = np.zeros((512, 640), np.uint8)
    image = Image(levels=(pixels,), axes="yx", spacing=(0.5, 0.5), units=("micrometer", "micrometer"), name="sized")
    dataset.add_image(image, "sized")
    session = session_of(viewer)
    session.open_dataset(tmp_path / "data")
    measured = viewer.add_image(np.zeros((512, 512)), name="from a microscope", **MICRONS)
    plain = viewer.add_image(np.zeros((512, 512)), name="plain")
    session.open_case("sized")
    assert (measured.visible, plain.visible) == (True, False)
    assert session.labels.scale.tolist() == [0.5, 0.5]
    session.open.choose_class(1)
    session.labels.brush_size = 10
    # Pixel (100, 200) lies at 50, 100 µm.
    drag(qtbot, viewer, [(50, 100), (50, 110)])
    drawn = np.array(session.labels.data)
    session.close_case()
    stored = Dataset.open(tmp_path / "data")
    labels = stored.read_labels(stored.case("sized"))
    np.testing.assert_array_equal(labels, drawn)
    rows, columns = np.nonzero(labels == 1)
    assert abs(rows.mean() - 100) < 3
    assert abs(columns.mean() - 210) < 3
