"""TIFF of many makes, written by tifffile directly and compared with what went in."""

from __future__ import annotations

import multiprocessing
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import tifffile

from napari_medseg.errors import ReadError
from napari_medseg.io import read, read_labels
from napari_medseg.structures import Image


def _noise(*shape: int, dtype: npt.DTypeLike = np.uint8) -> npt.NDArray[Any]:
    rng = np.random.default_rng(len(shape))
    if np.dtype(dtype).kind == "f":
        return rng.random(shape).astype(dtype)
    return rng.integers(0, np.iinfo(dtype).max, shape, dtype=dtype, endpoint=True)


@pytest.mark.parametrize("dtype", ["u1", ">u2", "i2", "u4", "f4", "f8", "f2"])
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_types_are_kept_in_native_byte_order(tmp_path: Path, dtype: str, compression: str | None) -> None:
    pixels = _noise(31, 33, dtype=np.dtype(dtype).newbyteorder("="))
    order = ">" if dtype.startswith(">") else "<"
    tifffile.imwrite(tmp_path / "a.tif", pixels, byteorder=order, compression=compression)
    image = read(tmp_path / "a.tif")
    assert image.axes == "yx"
    assert image.dtype.isnative
    np.testing.assert_array_equal(image.data, pixels)


@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_rgb_is_last_whatever_the_planar_configuration(tmp_path: Path, planar: str, dtype: Any) -> None:
    pixels = _noise(20, 30, 3, dtype=dtype)
    stored = pixels if planar == "contig" else np.moveaxis(pixels, -1, 0)
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="rgb", planarconfig=planar, metadata=None)
    image = read(tmp_path / "a.tif")
    assert (image.axes, image.rgb, image.dtype) == ("yxc", True, dtype)
    np.testing.assert_array_equal(image.data, pixels)


@pytest.mark.parametrize(
    ("shape", "axes"),
    [((4, 9, 8), "zyx"), ((4, 9, 8, 3), "zyxc"), ((1, 9, 8), "yx"), ((1, 1), "yx"), ((4, 1, 1), "zyx")],
)
def test_pages_become_a_stack(tmp_path: Path, shape: tuple[int, ...], axes: str) -> None:
    pixels = _noise(*shape)
    photometric = "rgb" if axes.endswith("c") else "minisblack"
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        for page in pixels if pixels.ndim > 2 else [pixels]:
            writer.write(page, photometric=photometric, metadata=None)
    image = read(tmp_path / "a.tif")
    assert image.axes == axes
    np.testing.assert_array_equal(image.data, pixels.reshape(image.shape))


def test_ome_channels_units_and_all_axes(tmp_path: Path) -> None:
    pixels = _noise(2, 3, 4, 9, 8, dtype=np.uint16)
    metadata = {
        "axes": "TZCYX",
        "PhysicalSizeX": 0.5,
        "PhysicalSizeY": 0.25,
        "PhysicalSizeZ": 2.0,
        "PhysicalSizeZUnit": "mm",
        "TimeIncrement": 3.0,
        "Channel": {"Name": list("abcd")},
    }
    tifffile.imwrite(tmp_path / "a.tif", pixels, ome=True, metadata=metadata)
    image = read(tmp_path / "a.tif")
    assert (image.axes, image.channels) == ("tzcyx", tuple("abcd"))
    assert image.spacing == (3.0, 2.0, 0.25, 0.5)
    assert image.units == ("second", "millimeter", "micrometer", "micrometer")
    np.testing.assert_array_equal(image.data, pixels)
    np.testing.assert_array_equal(image.region(((0, 1), (1, 2), (2, 5), (3, 8)))[:, 0, 0], pixels[0, 1, :, 2:5, 3:8])


def test_imagej_units(tmp_path: Path) -> None:
    metadata = {"axes": "ZYX", "unit": "um", "spacing": 3.5}
    tifffile.imwrite(tmp_path / "a.tif", _noise(3, 9, 8), imagej=True, resolution=(4, 2), metadata=metadata)
    image = read(tmp_path / "a.tif")
    assert image.spacing == (3.5, 0.5, 0.25)
    assert image.units == ("micrometer",) * 3


@pytest.mark.parametrize(
    ("resolution", "unit", "spacing"),
    [
        ((20000, 10000), "CENTIMETER", (1.0, 0.5)),
        ((50800, 50800), "INCH", (0.5, 0.5)),
        ((300, 300), "INCH", None),
        ((118.11, 118.11), "CENTIMETER", None),
        ((72, 72), "INCH", None),
        ((1, 1), "INCH", None),
        ((20000, 20000), "NONE", None),
    ],
)
def test_resolution_tags_count_only_where_they_can_be_a_measurement(
    tmp_path: Path, resolution: tuple[float, float], unit: str, spacing: tuple[float, float] | None
) -> None:
    tifffile.imwrite(tmp_path / "a.tif", _noise(9, 8), resolution=resolution, resolutionunit=unit, metadata=None)
    image = read(tmp_path / "a.tif")
    assert image.spacing == (None if spacing is None else pytest.approx(spacing))
    assert (image.units is None) == (spacing is None)


def test_a_stack_with_unknown_slice_distance_has_no_spacing(tmp_path: Path) -> None:
    metadata = {"axes": "ZYX", "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5}
    tifffile.imwrite(tmp_path / "a.tif", _noise(3, 9, 8), ome=True, metadata=metadata)
    assert read(tmp_path / "a.tif").spacing is None


def test_palette_colours_and_indices(tmp_path: Path) -> None:
    indices = _noise(9, 8)
    palette = _noise(3, 256, dtype=np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", indices, photometric="palette", colormap=palette)
    image = read(tmp_path / "a.tif")
    assert image.rgb
    np.testing.assert_array_equal(image.data, np.moveaxis(palette[:, indices] >> 8, 0, -1))
    np.testing.assert_array_equal(read_labels(tmp_path / "a.tif").labels, indices)


def test_bilevel_and_white_is_zero(tmp_path: Path) -> None:
    mask = _noise(9, 8) > 127
    tifffile.imwrite(tmp_path / "b.tif", mask, photometric="minisblack")
    np.testing.assert_array_equal(read(tmp_path / "b.tif").data, np.where(mask, 255, 0))
    np.testing.assert_array_equal(read_labels(tmp_path / "b.tif").labels, mask.astype(np.uint8))
    grey = _noise(9, 8, dtype=np.uint16)
    tifffile.imwrite(tmp_path / "w.tif", grey, photometric="miniswhite")
    np.testing.assert_array_equal(read(tmp_path / "w.tif").data, 65535 - grey)


@pytest.mark.parametrize("kind", ["unassalpha", "assocalpha", "unspecified"])
def test_alpha(tmp_path: Path, kind: str) -> None:
    pixels = _noise(9, 8, 4)
    pixels[0, 0, 3], pixels[1, 1, 3] = 255, 0
    pixels[1, 1, :3] = 0 if kind == "assocalpha" else 77
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="rgb", extrasamples=[kind])
    shown = np.asarray(read(tmp_path / "a.tif").data)
    assert shown.shape == (9, 8, 3)
    np.testing.assert_array_equal(shown[0, 0], pixels[0, 0, :3])
    assert (shown[1, 1] == (77 if kind == "unspecified" else 255)).all()
    assert read(tmp_path / "a.tif").warnings


def test_cmyk(tmp_path: Path) -> None:
    inks = np.zeros((2, 2, 4), np.uint8)
    inks[0, 1], inks[1, 0], inks[1, 1] = (0, 0, 0, 255), (255, 0, 0, 0), (0, 51, 0, 51)
    tifffile.imwrite(tmp_path / "a.tif", inks, photometric="separated")
    expected = [[[255, 255, 255], [0, 0, 0]], [[0, 255, 255], [204, 163, 204]]]
    np.testing.assert_array_equal(read(tmp_path / "a.tif").data, expected)


def test_many_samples_are_channels_not_colours(tmp_path: Path) -> None:
    pixels = _noise(9, 8, 5)
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="minisblack", planarconfig="contig", metadata=None)
    image = read(tmp_path / "a.tif")
    assert (image.axes, image.rgb, len(image.channels)) == ("yxc", False, 5)
    np.testing.assert_array_equal(image.data, pixels)


def test_unusual_colours_and_numbers_are_refused_in_a_sentence(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "lab.tif", _noise(9, 8, 3), photometric="cielab")
    with pytest.raises(ReadError, match="CIELAB"):
        read(tmp_path / "lab.tif")
    tifffile.imwrite(tmp_path / "complex.tif", _noise(9, 8, dtype="f4").astype(np.complex64))
    with pytest.raises(ReadError, match="no pixel"):
        read(tmp_path / "complex.tif")


def _write_pyramid(path: Path, pixels: npt.NDArray[Any], *, subifds: bool) -> None:
    options = {"tile": (32, 32), "compression": "zlib", "photometric": "rgb"}
    with tifffile.TiffWriter(path, ome=subifds) as writer:
        writer.write(pixels, subifds=2 if subifds else 0, metadata={"axes": "YXS"} if subifds else None, **options)
        for step in (2, 4):
            writer.write(pixels[::step, ::step], subfiletype=1, metadata=None, **options)


@pytest.mark.parametrize("subifds", [True, False])
def test_pyramids_are_lazy_levels_of_a_slide(tmp_path: Path, subifds: bool) -> None:
    pixels = _noise(256, 320, 3)
    _write_pyramid(tmp_path / "a.tif", pixels, subifds=subifds)
    image = read(tmp_path / "a.tif")
    assert (image.kind, image.rgb, len(image.levels)) == ("slide", True, 3)
    assert not isinstance(image.data, np.ndarray)
    for level, step in enumerate((1, 2, 4)):
        np.testing.assert_array_equal(image.levels[level][5:40, 7:50], pixels[::step, ::step][5:40, 7:50])


def test_several_images_are_series(tmp_path: Path) -> None:
    first, second = _noise(9, 8), _noise(5, 6)
    with tifffile.TiffWriter(tmp_path / "a.tif", ome=True) as writer:
        writer.write(first, metadata={"axes": "YX", "Name": "first", "PhysicalSizeX": 1, "PhysicalSizeY": 1})
        writer.write(second, metadata={"axes": "YX", "Name": "second", "PhysicalSizeX": 2, "PhysicalSizeY": 2})
    image = read(tmp_path / "a.tif", series=1)
    assert (image.series, image.series_names, image.spacing) == (1, ("first", "second"), (2.0, 2.0))
    np.testing.assert_array_equal(image.data, second)
    with pytest.raises(ReadError, match="2 images"):
        read(tmp_path / "a.tif", series=2)


def test_labels_of_slides_are_never_offered(shared_data: Path) -> None:
    image = read(shared_data / "path_slides" / "CMU-1-Small-Region.svs")
    assert image.series_names == ("Baseline",)
    assert (image.shape, image.kind, image.rgb) == ((2967, 2220, 3), "slide", True)
    assert image.spacing == (0.499, 0.499)
    assert image.units == ("micrometer", "micrometer")
    with tifffile.TiffFile(image.path) as tif:
        expected = tif.pages[0].asarray()[1000:1100, 500:700]
    np.testing.assert_array_equal(image.data[1000:1100, 500:700], expected)


def test_jpeg_2000_slide_without_pixel_size(shared_data: Path) -> None:
    image = read(shared_data / "path_slides" / "TCGA-CR-7395-01A-01-TS1.svs")
    assert [level.shape for level in image.levels] == [(3567, 4443, 3), (1783, 2221, 3)]
    assert image.spacing is None
    coarse = image.levels[1][200:300, 200:300].astype(float)
    fine = image.levels[0][400:600, 400:600].reshape(100, 2, 100, 2, 3).mean((1, 3))
    assert np.abs(coarse - fine).mean() < 8


def test_a_generic_slide_with_a_printers_resolution_has_no_spacing(shared_data: Path) -> None:
    image = read(shared_data / "path_slides" / "boxes.tiff")
    assert [level.shape[0] for level in image.levels] == [250, 125, 62, 31]
    assert image.spacing is None


def test_opening_a_large_file_reads_no_pixels(tmp_path: Path) -> None:
    """A sparse file of 12 gigabytes opens, and any corner of it can be read."""
    path = tmp_path / "large.tif"
    blank = tifffile.memmap(path, shape=(60_000, 70_000, 3), dtype=np.uint8, photometric="rgb", bigtiff=True)
    blank[-1, -1] = 7
    blank.flush()
    del blank
    assert path.stat().st_blocks * 512 < 2**20
    image = read(path)
    assert image.shape == (60_000, 70_000, 3)
    assert (image.data[-2:, -2:, 0] == [[0, 0], [0, 7]]).all()


def test_a_stack_with_missing_tail_is_refused_at_once(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, _noise(40, 64, 64), compression="zlib")
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ReadError):
        read(path)


def test_damaged_tiles_are_a_sentence_when_they_are_looked_at(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    _write_pyramid(path, _noise(256, 320, 3), subifds=False)
    with tifffile.TiffFile(path) as tif:
        offset, count = tif.pages[0].dataoffsets[0], tif.pages[0].databytecounts[0]
    damaged = bytearray(path.read_bytes())
    damaged[offset : offset + count] = bytes(count)
    path.write_bytes(damaged)
    image = read(path)
    with pytest.raises(ReadError, match=r"a\.tif"):
        image.data[0, 0]
    assert image.data[200, 200].shape == (3,)


def test_broken_ome_xml_is_no_reason_to_refuse_the_pixels(tmp_path: Path) -> None:
    pixels = _noise(9, 8)
    xml = '<?xml version="1.0"?><OME><Image><Pixels SizeX="8" </OME>'
    tifffile.imwrite(tmp_path / "a.tif", pixels, description=xml, metadata=None)
    image = read(tmp_path / "a.tif")
    np.testing.assert_array_equal(image.data, pixels)
    assert image.spacing is None


def _corner_sum(image: Image) -> int:
    return int(image.data[:50, :50].sum())


def test_a_lazy_image_can_be_used_in_other_processes(tmp_path: Path) -> None:
    _write_pyramid(tmp_path / "a.tif", _noise(256, 320, 3), subifds=False)
    image = read(tmp_path / "a.tif")
    expected = _corner_sum(image)
    assert _corner_sum(pickle.loads(pickle.dumps(image))) == expected
    with multiprocessing.get_context("fork").Pool(2) as pool:
        assert pool.map(_corner_sum, [image] * 4) == [expected] * 4
