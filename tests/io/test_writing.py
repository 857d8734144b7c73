"""What is written is read again unchanged; what cannot be written leaves the old file alone."""

from __future__ import annotations

import json
import os
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_medseg.errors import ReadError, WriteError
from napari_medseg.io import read, read_labels, write_image, write_labels
from napari_medseg.io.lazy import Block, LazyArray
from napari_medseg.io.oct.normalizing import as_oct
from napari_medseg.structures import Image, MaskClass

_UNITS = ("nanometer", "micrometer", "millimeter", "centimeter")
_SPACING = st.floats(1e-6, 1e6, allow_nan=False, allow_infinity=False)
_FEW = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
_CLASSES = st.lists(
    st.builds(
        MaskClass,
        value=st.integers(1, 254),
        name=st.text(st.characters(codec="utf-8", categories=["L", "N", "P", "S", "Zs"]), min_size=1),
        color=st.from_regex(r"#[0-9a-f]{6}", fullmatch=True),
    ),
    unique_by=lambda c: c.value,
    max_size=4,
).map(tuple)


@st.composite
def _images(draw: st.DrawFn) -> Image:
    axes = draw(st.sampled_from(["yx", "yxc", "zyx", "cyx", "zyxc", "tyx", "tzcyx"]))
    rgb = axes.endswith("c")
    lengths = {"y": st.integers(1, 40), "x": st.integers(1, 40)}
    shape = tuple(3 if a == "c" and rgb else draw(lengths.get(a, st.integers(2, 4))) for a in axes)
    dtype = draw(st.sampled_from(["u1", "u2"] if rgb else ["u1", "u2", "i2", "u4", "f4", "f8"]))
    spatial = axes.replace("c", "")
    known = draw(st.booleans())
    channels = (
        ("red", "green", "blue") if rgb else tuple(f"n{i}" for i in range(shape[axes.index("c")] if "c" in axes else 0))
    )
    return Image(
        levels=(draw(hnp.arrays(dtype, shape, elements=hnp.from_dtype(np.dtype(dtype), allow_nan=False))),),
        axes=axes,
        spacing=tuple(draw(_SPACING) for _ in spatial) if known else None,
        units=tuple("second" if a == "t" else draw(st.sampled_from(_UNITS)) for a in spatial) if known else None,
        kind=draw(st.sampled_from(["image", "slide", "oct", "ct"])),
        channels=channels,
        rgb=rgb,
    )


@pytest.mark.parametrize("ending", ["zarr", "tif"])
@_FEW
@given(image=_images())
def test_images_come_back_as_they_were(tmp_path: Path, ending: str, image: Image) -> None:
    again = read(write_image(tmp_path / f"a.{ending}", image))
    # The reader gives all OCT images in millimetres, as grey B-scans.
    image = as_oct(image) if image.kind == "oct" else image
    order = [again.axes.index(axis) for axis in image.axes]
    pixels = np.asarray(again.data).transpose(order)
    assert (pixels.shape, pixels.dtype, again.rgb, again.kind) == (image.shape, image.dtype, image.rgb, image.kind)
    np.testing.assert_array_equal(pixels, image.data)
    assert (again.spacing, again.units) == (image.spacing, image.units)
    assert again.channels == image.channels


@pytest.mark.parametrize("ending", ["zarr", "tif"])
@_FEW
@given(
    labels=hnp.arrays(st.sampled_from(["u1", "u2", "i4"]), hnp.array_shapes(min_dims=2, max_dims=3, min_side=2)),
    classes=_CLASSES,
    spacing=st.tuples(_SPACING, _SPACING, _SPACING) | st.none(),
    unit=st.sampled_from(_UNITS),
)
def test_labels_come_back_as_they_were(
    tmp_path: Path, ending: str, labels: Any, classes: tuple[MaskClass, ...], spacing: Any, unit: str
) -> None:
    distances = None if spacing is None else spacing[: labels.ndim]
    units = None if spacing is None else (unit,) * labels.ndim
    path = write_labels(tmp_path / f"a.{ending}", labels, classes=classes, spacing=distances, units=units)
    again = read_labels(path)
    np.testing.assert_array_equal(again.labels, labels)
    assert np.asarray(again.labels).dtype == labels.dtype
    assert (again.classes, again.spacing, again.units) == (classes, distances, units)
    assert again.axes == ("yx" if labels.ndim == 2 else "zyx")


def test_a_pyramid_follows_the_specification(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (1301, 1100, 3)).astype(np.uint8)
    units = ("micrometer", "micrometer")
    image = Image(levels=(pixels,), axes="yxc", spacing=(0.5, 0.25), units=units, rgb=True, channels=("r", "g", "b"))
    group = zarr.open_group(write_image(tmp_path / "a.zarr", image), mode="r")
    ome = group.attrs["ome"]
    multiscale = ome["multiscales"][0]
    assert ome["version"] == "0.5"
    assert [axis["name"] for axis in multiscale["axes"]] == ["c", "y", "x"]
    assert [axis["type"] for axis in multiscale["axes"]] == ["channel", "space", "space"]
    assert multiscale["datasets"][1]["coordinateTransformations"] == [
        {"type": "scale", "scale": [1.0, 1.0, 0.5]},
        {"type": "translation", "translation": [0.0, 0.25, 0.125]},
    ]
    levels = [group[entry["path"]] for entry in multiscale["datasets"]]
    assert [level.shape for level in levels] == [(3, 1301, 1100), (3, 651, 550), (3, 326, 275)]
    assert levels[0].metadata.dimension_names == ("c", "y", "x")
    mean = pixels[:1300, :1100].reshape(650, 2, 550, 2, 3).astype(float).mean((1, 3))
    np.testing.assert_array_equal(levels[1][:, :650], np.moveaxis(np.round(mean), -1, 0))


def test_label_pyramids_hold_no_value_that_was_not_drawn(tmp_path: Path) -> None:
    labels = np.zeros((1200, 1300), np.uint8)
    labels[100:900, 200:700] = 200
    write_labels(tmp_path / "a.zarr", labels, classes=[MaskClass(value=200, name="gland", color="#123456")])
    image = read(tmp_path / "a.zarr")
    assert len(image.levels) == 3
    np.testing.assert_array_equal(image.levels[1][...], labels[::2, ::2])
    assert set(np.unique(image.levels[2][...])) == {0, 200}
    described = zarr.open_group(tmp_path / "a.zarr", mode="r").attrs["ome"]["image-label"]
    assert described["colors"] == [{"label-value": 200, "rgba": [18, 52, 86, 255]}]
    assert described["properties"] == [{"label-value": 200, "name": "gland"}]


@pytest.mark.parametrize("ending", ["zarr", "tif"])
def test_large_arrays_are_written_in_bounded_memory(tmp_path: Path, ending: str) -> None:
    shape = (12_000, 12_000)
    labels = LazyArray(shape, np.uint8, _stripes, source="stripes")
    tracemalloc.start()
    try:
        write_labels(tmp_path / f"a.{ending}", labels)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 90 * 2**20
    again = read_labels(tmp_path / f"a.{ending}")
    assert again.labels.shape == shape
    for y, x in ((0, 0), (6001, 5003), (11_900, 11_900)):
        block = (slice(y, y + 99), slice(x, x + 99))
        np.testing.assert_array_equal(again.labels[block], _stripes(block))


def _stripes(block: Block) -> Any:
    rows = (np.arange(block[0].start, block[0].stop) // 7 % 3).astype(np.uint8)
    return np.repeat(rows[:, None], block[1].stop - block[1].start, axis=1)


@pytest.mark.parametrize("ending", ["zarr", "tif"])
def test_a_failure_half_way_leaves_the_old_file(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"a.{ending}"
    old = np.ones((30, 40), np.uint8)
    write_labels(path, old)

    def failing(block: Block) -> Any:
        raise OSError("gone")

    with pytest.raises(ReadError, match="gone"):
        write_labels(path, LazyArray((30, 40), np.uint8, failing, source="remote"))
    np.testing.assert_array_equal(read_labels(path).labels, old)
    assert os.listdir(tmp_path) == [path.name]


def test_an_older_pyramid_is_replaced_as_a_whole(tmp_path: Path) -> None:
    write_labels(tmp_path / "a.zarr", np.ones((1200, 1300), np.uint8))
    write_labels(tmp_path / "a.zarr", np.zeros((30, 40), np.uint8))
    assert os.listdir(tmp_path) == ["a.zarr"]
    assert [level.shape for level in read(tmp_path / "a.zarr").levels] == [(30, 40)]


def test_folders_of_other_things_are_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "a.zarr").mkdir()
    (tmp_path / "a.zarr" / "thesis.doc").write_text("ten years")
    with pytest.raises(WriteError, match="choose another name"):
        write_labels(tmp_path / "a.zarr", np.zeros((3, 4), np.uint8))
    assert (tmp_path / "a.zarr" / "thesis.doc").read_text() == "ten years"


def test_names_and_types_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(WriteError, match=r"\.zarr or \.tif"):
        write_labels(tmp_path / "a.docx", np.zeros((3, 4), np.uint8))
    with pytest.raises(WriteError, match="whole numbers"):
        write_labels(tmp_path / "a.tif", np.zeros((3, 4), np.float32))
    (tmp_path / "file").write_text("")
    with pytest.raises(WriteError, match="could not be written"):
        write_labels(tmp_path / "file" / "a.tif", np.zeros((3, 4), np.uint8))


def test_labels_in_whole_floats_are_read_and_fractions_refused(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.array([[0.0, 2.0]], np.float32))
    np.testing.assert_array_equal(read_labels(tmp_path / "a.tif").labels, [[0, 2]])
    tifffile.imwrite(tmp_path / "b.tif", np.array([[0.0, 2.5]], np.float32))
    with pytest.raises(ReadError, match="fractions"):
        read_labels(tmp_path / "b.tif")


def test_classes_edited_by_another_program_do_not_cost_the_labels(tmp_path: Path) -> None:
    labels = np.eye(9, dtype=np.uint8)
    path = write_labels(tmp_path / "a.tif", labels, classes=[MaskClass(value=1, name="gland", color="#ff0000")])
    data = path.read_bytes()
    assert json.dumps("gland").replace('"', "").encode() in data
    path.write_bytes(data.replace(b"gland", b'gl"nd'))
    found = read_labels(path)
    np.testing.assert_array_equal(found.labels, labels)
    assert found.classes == ()
