"""OCT layers pixel by pixel and in millimetres: all that lie on a B-scan go together, and none mixes units."""

from __future__ import annotations

import numpy as np
import pytest
from napari.layers import Image as ImageLayer
from napari.layers import Labels, Points, Shapes

from napari_medseg.hooks import image_layers, write_layer
from napari_medseg.io import read, read_labels
from napari_medseg.structures import Image, OctScan
from napari_medseg.widgets._layers import image_kwargs, spatial_kwargs, true_space
from napari_medseg.widgets.areas import area_text
from napari_medseg.widgets.aspect import is_true_aspect, set_true_aspect, switch_aspect
from tests.io.oct.writers import write_vol

_SPACING = (0.12, 0.0039, 0.0115)


def _image(**keywords) -> Image:
    spacing = {"spacing": _SPACING, "units": ("millimeter",) * 3}
    return Image(
        levels=(np.zeros((4, 20, 30), np.uint8),), axes="zyx", kind="oct", name="scan", **{**spacing, **keywords}
    )


def _layer(image: Image) -> ImageLayer:
    return ImageLayer(image.data, **{k: v for k, v in image_kwargs(image).items() if k != "rgb"})


def _units(layer) -> list[str]:
    return [str(unit) for unit in layer.units]


def test_b_scans_are_shown_pixel_by_pixel_first_and_keep_their_spacing():
    layer = _layer(_image())
    assert tuple(layer.scale) == (1, 1, 1)
    assert true_space(layer) == (_SPACING, ("millimeter",) * 3)
    assert not is_true_aspect([layer])
    set_true_aspect([layer], True)
    assert tuple(layer.scale) == _SPACING
    assert is_true_aspect([layer])
    assert true_space(layer) == (_SPACING, ("millimeter",) * 3)


def test_what_lies_on_a_b_scan_goes_with_it():
    image = _layer(_image())
    space = spatial_kwargs(image)
    labels = Labels(np.zeros((2, 5, 6), np.uint8), **{**space, "translate": (1, 10, 3)})
    curves = Shapes([np.array([[0, 0], [5, 5]])], shape_type="path", scale=(1, 1), units=("pixel", "pixel"))
    foreign = ImageLayer(np.zeros((9, 9)), metadata={"path": "other.png"})
    slide = _layer(
        Image(levels=(np.zeros((9, 9), np.uint8),), axes="yx", spacing=(0.5, 0.5), units=("micrometer",) * 2)
    )
    everything = [image, labels, curves, foreign, slide]
    set_true_aspect(everything, True)
    assert tuple(labels.scale) == _SPACING
    np.testing.assert_allclose(labels.translate, (0.12, 0.039, 0.0345))
    assert tuple(curves.scale) == _SPACING[1:]
    assert {unit for layer in (image, labels, curves) for unit in _units(layer)} == {"millimeter"}
    assert (_units(foreign), tuple(slide.scale)) == (["pixel"] * 2, (0.5, 0.5))
    set_true_aspect(everything, False)
    np.testing.assert_allclose(labels.translate, (1, 10, 3))
    assert {unit for layer in (image, labels, curves) for unit in _units(layer)} == {"pixel"}


def test_a_scan_without_spacing_stays_in_pixels():
    layer = _layer(_image(spacing=None, units=None))
    set_true_aspect([layer], True)
    assert tuple(layer.scale) == (1, 1, 1)
    assert true_space(layer) is None


def test_areas_and_saved_labels_use_the_true_spacing(tmp_path):
    image = _layer(_image())
    labels = Labels(
        np.zeros((4, 20, 30), np.uint8), metadata={"medseg": {"spacing": _SPACING, "units": ("millimeter",) * 3}}
    )
    before = area_text(1000, labels)
    assert before == f"{1000 * np.prod(_SPACING):.3g} mm³"
    set_true_aspect([image, labels], True)
    assert area_text(1000, labels) == before
    write_layer(str(tmp_path / "a.tif"), labels.data, labels.as_layer_data_tuple()[1])
    assert read_labels(tmp_path / "a.tif").spacing == pytest.approx(_SPACING)


def test_fundus_and_b_scans_lie_beside_each_other_in_either_way(tmp_path):
    reflectance = np.random.default_rng(0).random((3, 20, 16)).astype(np.float32)
    points = np.array([[0.01, 0.02 * i, 0.08, 0.02 * i] for i in range(3)])
    slo = np.zeros((8, 10), np.uint8)
    path = write_vol(tmp_path / "a.vol", reflectance, np.full((3, 1, 16), 5, np.float32), slo=slo, points=points)
    made = image_layers(read(path))
    assert [keywords["name"] for _, keywords, _ in made][-2:] == ["a · fundus", "a · B-scans on the fundus"]
    vectors = made[-1][0]
    np.testing.assert_allclose(vectors[1, 0], (0.02 / 0.0118, 0.01 / 0.0118))
    np.testing.assert_allclose(vectors[:, 1], [[0, 0.07 / 0.0118]] * 3)
    bscans, fundus = (
        ImageLayer(data, **{k: v for k, v in kw.items() if k != "multiscale"})
        for data, kw, kind in made
        if kind == "image"
    )
    for on in (False, True):
        set_true_aspect([bscans, fundus], on)
        right_edge = 16 * bscans.scale[-1]
        assert right_edge < fundus.translate[-1] < 1.2 * right_edge
        assert _units(fundus) == _units(bscans)[-2:]
    assert tuple(fundus.scale) == pytest.approx((0.0118, 0.0118))


def test_a_circle_is_drawn_around_its_centre():
    scan = OctScan(
        pattern="circle",
        positions=np.array([[[10.0, 22.0], [10.0, 10.0]]]),
        localizer=Image(levels=(np.zeros((30, 30), np.uint8),), axes="yx"),
    )
    image = Image(levels=(np.zeros((20, 30), np.uint8),), axes="yx", kind="oct", oct=scan)
    corners, keywords, kind = image_layers(image)[-1]
    assert (kind, keywords["shape_type"]) == ("shapes", "ellipse")
    assert np.ptp(corners[0], axis=0).tolist() == [24, 24]
    assert np.mean(corners[0], axis=0).tolist() == [10, 10]


@pytest.mark.viewer
def test_the_same_b_scan_stays_on_screen(make_napari_viewer):
    viewer = make_napari_viewer()
    viewer.add_image(_image().data, **image_kwargs(_image()))
    points = viewer.add_points(np.array([[2, 3, 4]]))
    assert isinstance(points, Points)
    viewer.dims.current_step = (2, 0, 0)
    for on in (True, False, True):
        switch_aspect(viewer, on)
        assert viewer.dims.current_step[0] == 2
        assert is_true_aspect(viewer.layers) == on
        assert viewer.layers.extent.units is not None
