"""What napari gets from the manifest: readers, writers and sample data, called through npe2."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import npe2
import numpy as np
import pytest
import tifffile
from napari.components import ViewerModel
from npe2 import PluginManager, PluginManifest
from PIL import Image as Picture

from napari_medseg.io import read_labels, write_labels
from napari_medseg.structures import MaskClass

_ROOT = Path(__file__).parents[1]
_GLAND = MaskClass(value=3, name="gland", color="#0072b2")


@pytest.fixture(autouse=True)
def plugin(monkeypatch: pytest.MonkeyPatch) -> Iterator[PluginManager]:
    """A plugin manager that knows our manifest alone."""
    manager = PluginManager()
    manager.register(PluginManifest.from_file(_ROOT / "napari.yaml"))
    monkeypatch.setattr(PluginManager, "instance", classmethod(lambda cls: manager))
    return manager


def _open(path: Path) -> ViewerModel:
    viewer = ViewerModel()
    for data, keywords, kind in npe2.read([str(path)], stack=False, plugin_name="napari-medseg"):
        getattr(viewer, f"add_{kind}")(data, **keywords)
    return viewer


def test_a_slide_is_a_multiscale_layer_in_micrometres(shared_data: Path) -> None:
    (layer,) = _open(shared_data / "path_slides" / "CMU-1-Small-Region.svs").layers
    assert layer.rgb
    assert layer.scale.tolist() == [0.499, 0.499]
    assert [str(unit) for unit in layer.units] == ["micrometer", "micrometer"]
    assert layer.metadata["medseg"]["kind"] == "slide"
    (layer,) = _open(shared_data / "path_slides" / "TCGA-CR-7395-01A-01-TS1.svs").layers
    assert layer.multiscale
    assert [str(unit) for unit in layer.units] == ["pixel", "pixel"]


def test_channels_become_layers_with_their_names(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 99, (4, 2, 30, 40)).astype(np.uint16)
    metadata = {"axes": "ZCYX", "Channel": {"Name": ["a", "b"]}}
    tifffile.imwrite(tmp_path / "stack.ome.tif", pixels, ome=True, metadata=metadata)
    layers = _open(tmp_path / "stack.ome.tif").layers
    assert [layer.name for layer in layers] == ["stack · a", "stack · b"]
    np.testing.assert_array_equal(layers[1].data, pixels[:, 1])
    assert tuple(layers[1].axis_labels) == ("z", "y", "x")


def test_folders_open_as_a_stack(tmp_path: Path) -> None:
    for i in range(3):
        Picture.fromarray(np.full((6, 7), i, np.uint8)).save(tmp_path / f"{i}.png")
    (layer,) = _open(tmp_path).layers
    assert layer.data.shape == (3, 6, 7)
    assert tuple(layer.contrast_limits) == (0, 255)


def test_foreign_content_is_left_to_other_plugins(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("no picture")
    with pytest.raises(ValueError, match="refused the file"):
        npe2.read([str(tmp_path / "a.png")], stack=False, plugin_name="napari-medseg")


@pytest.mark.parametrize("ending", ["tif", "zarr"])
def test_labels_open_as_editable_labels_with_names_and_colours(tmp_path: Path, ending: str) -> None:
    labels = np.zeros((700, 600), np.uint8)
    labels[5:20, 7:30] = 3
    units = ("micrometer", "micrometer")
    path = write_labels(tmp_path / f"a.{ending}", labels, classes=[_GLAND], spacing=(0.5, 0.25), units=units)
    (layer,) = _open(path).layers
    assert type(layer).__name__ == "Labels"
    assert layer.editable
    assert dict(zip(layer.features["index"], layer.features["class"], strict=True))[3] == "gland"
    np.testing.assert_allclose(layer.get_color(3), (0, 0x72 / 255, 0xB2 / 255, 1), atol=1e-6)
    assert layer.get_color(255)[3] == 0
    layer.paint((100, 100), 3)
    assert layer.data[100, 100] == 3


@pytest.mark.parametrize("ending", ["tif", "zarr"])
def test_saved_labels_keep_distances_and_classes(tmp_path: Path, ending: str) -> None:
    labels = np.zeros((4, 30, 40), np.uint8)
    labels[1, 5:20, 7:30] = 3
    first = write_labels(
        tmp_path / f"a.{ending}", labels, classes=[_GLAND], spacing=(2.0, 0.5, 0.25), units=("millimeter",) * 3
    )
    (layer,) = _open(first).layers
    layer.data_setitem((np.array([0]), np.array([0]), np.array([0])), 3)
    written = npe2.write(str(tmp_path / f"b.{ending}"), [layer.as_layer_data_tuple()], plugin_name="napari-medseg")
    again = read_labels(written[0])
    labels[0, 0, 0] = 3
    np.testing.assert_array_equal(again.labels, labels)
    assert (again.spacing, again.units, again.classes) == ((2.0, 0.5, 0.25), ("millimeter",) * 3, (_GLAND,))


def test_a_plain_labels_layer_can_be_saved(tmp_path: Path) -> None:
    layer = ViewerModel().add_labels(np.eye(9, dtype=np.int32), scale=(2, 2))
    npe2.write(str(tmp_path / "a.tif"), [layer.as_layer_data_tuple()], plugin_name="napari-medseg")
    found = read_labels(tmp_path / "a.tif")
    np.testing.assert_array_equal(found.labels, np.eye(9))
    assert (found.spacing, found.classes) == (None, ())


def test_the_sample_is_tissue_with_its_glands(plugin: PluginManager) -> None:
    viewer = ViewerModel()
    layers: list[Any] = plugin.commands.execute("napari-medseg.sample_tissue")
    for data, keywords, kind in layers:
        getattr(viewer, f"add_{kind}")(data, **keywords)
    image, labels = viewer.layers
    assert image.rgb
    assert image.data.shape[:2] == labels.data.shape == (512, 512)
    assert list(labels.features["class"]) == ["background", "gland", "not looked at"]


def test_the_sample_of_a_bscan_has_its_layers_and_true_spacing(plugin: PluginManager) -> None:
    viewer = ViewerModel()
    layers: list[Any] = plugin.commands.execute("napari-medseg.sample_oct")
    for data, keywords, kind in layers:
        getattr(viewer, f"add_{kind}")(data, **keywords)
    image, labels = viewer.layers
    assert image.data.shape == labels.data.shape == (496, 768)
    assert {"RNFL", "RPE", "fluid"} <= set(labels.features["class"])
    assert image.metadata["medseg"]["kind"] == labels.metadata["medseg"]["kind"] == "oct"
    assert image.metadata["medseg"]["spacing"] == (0.0039, 0.0115)


def test_the_sample_of_ultrasound_is_a_frame_with_its_nodule(plugin: PluginManager) -> None:
    viewer = ViewerModel()
    layers: list[Any] = plugin.commands.execute("napari-medseg.sample_ultrasound")
    for data, keywords, kind in layers:
        getattr(viewer, f"add_{kind}")(data, **keywords)
    image, labels = viewer.layers
    assert image.data.shape == labels.data.shape == (360, 560)
    assert list(labels.features["class"]) == ["background", "nodule", "not looked at"]
    assert image.metadata["medseg"]["kind"] == "ultrasound"
