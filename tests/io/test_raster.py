"""PNG, JPEG and BMP, compared with Pillow and imagecodecs, which wrote them."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import imagecodecs
import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image as Picture
from PIL import ImageOps

from napari_medseg.errors import ReadError
from napari_medseg.io import read, read_labels


def _noise(*shape: int, dtype: npt.DTypeLike = np.uint8) -> npt.NDArray[np.generic]:
    rng = np.random.default_rng(sum(shape))
    return rng.integers(0, np.iinfo(dtype).max, shape, dtype=dtype, endpoint=True)


@pytest.mark.parametrize("ending", ["png", "bmp"])
@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 3), (1, 1), (1, 1, 3)])
def test_pixels_are_those_that_were_saved(tmp_path: Path, ending: str, shape: tuple[int, ...]) -> None:
    pixels = _noise(*shape)
    Picture.fromarray(pixels).save(tmp_path / f"a.{ending}")
    image = read(tmp_path / f"a.{ending}")
    np.testing.assert_array_equal(image.data, pixels)
    assert (image.axes, image.rgb) == (("yxc", True) if len(shape) == 3 else ("yx", False))
    assert image.spacing is None
    assert image.dtype == np.uint8


def test_the_name_does_not_matter(tmp_path: Path) -> None:
    pixels = _noise(4, 6, 3)
    Picture.fromarray(pixels).save(tmp_path / "a.png")
    (tmp_path / "a.png").rename(tmp_path / "a.tif")
    np.testing.assert_array_equal(read(tmp_path / "a.tif").data, pixels)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("ending", ["jpg", "png"])
def test_exif_rotation_is_applied(tmp_path: Path, orientation: int, ending: str) -> None:
    picture = Picture.fromarray(_noise(16, 24, 3))
    exif = picture.getexif()
    exif[0x0112] = orientation
    picture.save(tmp_path / f"a.{ending}", exif=exif)
    with Picture.open(tmp_path / f"a.{ending}") as saved:
        expected = np.asarray(ImageOps.exif_transpose(saved))
    image = read(tmp_path / f"a.{ending}")
    np.testing.assert_array_equal(image.data, expected)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_rotation_is_applied_to_16_bits(tmp_path: Path, orientation: int) -> None:
    deep = _noise(5, 7, 3, dtype=np.uint16)
    exif = Picture.Exif()
    exif[0x0112] = orientation
    png = imagecodecs.png_encode(deep)
    data = exif.tobytes().removeprefix(b"Exif\0\0")
    chunk = struct.pack(">I", len(data)) + b"eXIf" + data + struct.pack(">I", zlib.crc32(b"eXIf" + data))
    (tmp_path / "a.png").write_bytes(png[:33] + chunk + png[33:])
    upright = Picture.new("L", (7, 5))
    upright.putdata(range(35))
    with_exif = upright.getexif()
    with_exif[0x0112] = orientation
    order = np.asarray(ImageOps.exif_transpose(upright))
    np.testing.assert_array_equal(read(tmp_path / "a.png").data, deep.reshape(35, 3)[order])


@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 3)])
def test_16_bits_are_kept(tmp_path: Path, shape: tuple[int, ...]) -> None:
    pixels = _noise(*shape, dtype=np.uint16)
    (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(pixels))
    image = read(tmp_path / "a.png")
    assert image.dtype == np.uint16
    np.testing.assert_array_equal(image.data, pixels)


@pytest.mark.parametrize("channels", [2, 4])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_transparency_is_laid_on_white(tmp_path: Path, channels: int, dtype: npt.DTypeLike) -> None:
    pixels = _noise(5, 7, channels, dtype=dtype)
    pixels[0, 0, -1] = 0
    pixels[1, 1, -1] = np.iinfo(dtype).max
    (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(pixels))
    image = read(tmp_path / "a.png")
    shown = np.asarray(image.data)
    assert image.axes == ("yx" if channels == 2 else "yxc")
    assert (shown[0, 0] == np.iinfo(dtype).max).all()
    np.testing.assert_array_equal(np.atleast_1d(shown[1, 1]), pixels[1, 1, :-1])
    assert any("transparent" in warning for warning in image.warnings)


@pytest.mark.parametrize("mode", ["P", "1", "CMYK"])
def test_other_colour_modes_are_converted_as_pillow_does(tmp_path: Path, mode: str) -> None:
    name = "a.jpg" if mode == "CMYK" else "a.png"
    Picture.fromarray(_noise(16, 16, 3)).convert(mode).save(tmp_path / name)
    with Picture.open(tmp_path / name) as saved:
        expected = np.asarray(saved.convert("L" if mode == "1" else "RGB"))
    np.testing.assert_array_equal(read(tmp_path / name).data, expected)


def test_labels_in_a_palette_picture_are_its_indices(tmp_path: Path) -> None:
    labels = _noise(9, 8) % 4
    picture = Picture.fromarray(labels.astype(np.uint8), mode="L").convert("P")
    picture.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0, 9, 9, 9])
    picture.putdata(labels.ravel().tolist())
    picture.save(tmp_path / "mask.png", transparency=0)
    np.testing.assert_array_equal(read_labels(tmp_path / "mask.png").labels, labels)


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_labels_of_few_bits_are_small_numbers(tmp_path: Path, bits: int) -> None:
    labels = (_noise(3, 8) % 2**bits).astype(np.uint8)
    raw = b"".join(b"\0" + _packed(row, bits) for row in labels)
    header = struct.pack(">IIBBBBB", 8, 3, bits, 0, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(raw)), (b"IEND", b"")]
    body = b"".join(struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in chunks)
    (tmp_path / "mask.png").write_bytes(b"\x89PNG\r\n\x1a\n" + body)
    np.testing.assert_array_equal(read_labels(tmp_path / "mask.png").labels, labels)


def _packed(row: npt.NDArray[np.uint8], bits: int) -> bytes:
    text = "".join(f"{value:0{bits}b}" for value in row)
    return bytes(int(text[i : i + 8].ljust(8, "0"), 2) for i in range(0, len(text), 8))


def test_masks_saved_in_grey_rgb_are_read_and_coloured_ones_refused(tmp_path: Path) -> None:
    labels = _noise(5, 6)
    Picture.fromarray(np.stack([labels] * 3, axis=-1)).save(tmp_path / "grey.png")
    np.testing.assert_array_equal(read_labels(tmp_path / "grey.png").labels, labels)
    Picture.fromarray(_noise(5, 6, 3)).save(tmp_path / "color.png")
    with pytest.raises(ReadError, match="colours, not labels"):
        read_labels(tmp_path / "color.png")
    Picture.fromarray(labels).save(tmp_path / "mask.jpg")
    with pytest.raises(ReadError, match="JPEG"):
        read_labels(tmp_path / "mask.jpg")


@pytest.mark.parametrize(("width", "height"), [(60_000, 60_000), (30_000, 30_000)])
def test_a_picture_that_promises_too_much_is_refused_by_its_header(tmp_path: Path, width: int, height: int) -> None:
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(bytes(1000))), (b"IEND", b"")]
    body = b"".join(struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in chunks)
    (tmp_path / "bomb.png").write_bytes(b"\x89PNG\r\n\x1a\n" + body)
    with pytest.raises(ReadError, match=f"{width} × {height}"):
        read(tmp_path / "bomb.png")


def test_more_pixels_than_pillow_allows_are_opened_without_decoding(tmp_path: Path) -> None:
    """Twenty thousand pixels square are an honest slide export; only their pixels cost memory."""
    row = b"\0" * 20_001
    packer = zlib.compressobj(1)
    data = b"".join(packer.compress(row) for _ in range(20_000)) + packer.flush()
    header = struct.pack(">IIBBBBB", 20_000, 20_000, 8, 0, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", data), (b"IEND", b"")]
    body = b"".join(struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in chunks)
    (tmp_path / "large.png").write_bytes(b"\x89PNG\r\n\x1a\n" + body)
    image = read(tmp_path / "large.png")
    assert image.shape == (20_000, 20_000)
    assert not isinstance(image.data, np.ndarray)
