"""PNG, JPEG and BMP: files that are decoded as a whole."""

from __future__ import annotations

import math
import threading
from functools import partial
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import numpy.typing as npt
from PIL import BmpImagePlugin, JpegImagePlugin, PngImagePlugin
from PIL.Image import Image as Picture
from PIL.Image import Transpose

from napari_medseg.errors import ReadError
from napari_medseg.io.colors import flatten_alpha
from napari_medseg.io.format import Format, choose_series
from napari_medseg.io.lazy import Block, LazyArray
from napari_medseg.structures import Image

PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
JPEG_MAGIC = b"\xff\xd8\xff"
#: Sizes of the header that follows a BMP's first 14 bytes, per version of the format.
_BMP_HEADERS = {12, 16, 40, 52, 56, 64, 108, 124}
#: Whole-file formats above this would need the memory of a workstation; slides come as tiled files.
LARGEST_PIXELS = 2**30
#: No file of these formats can hold more pixels per byte: deflate reaches 1032:1, JPEG about 1000:1.
_LARGEST_RATIO = 2100
_EXIF_ORIENTATION = 0x0112
#: How pixels must be turned, per EXIF orientation (1: not at all).
_TURNS = {
    2: Transpose.FLIP_LEFT_RIGHT,
    3: Transpose.ROTATE_180,
    4: Transpose.FLIP_TOP_BOTTOM,
    5: Transpose.TRANSPOSE,
    6: Transpose.ROTATE_270,
    7: Transpose.TRANSVERSE,
    8: Transpose.ROTATE_90,
}


def _recognises(path: Path, head: bytes) -> bool:
    if head.startswith((PNG_MAGIC, JPEG_MAGIC)):
        return True
    return head.startswith(b"BM") and int.from_bytes(head[14:18], "little") in _BMP_HEADERS


def _open(path: Path) -> Picture:
    """The picture, its header read.

    The plugins are called directly: `PIL.Image.open` would try every format it knows, and refuses honest pictures of
    more than 179 million pixels; `_check_promise` below knows the size of the file and can judge better.
    """
    with path.open("rb") as file:
        magic = file.read(8)
    if magic == PNG_MAGIC:
        return PngImagePlugin.PngImageFile(path)
    if magic.startswith(JPEG_MAGIC):
        return JpegImagePlugin.JpegImageFile(path)
    return BmpImagePlugin.BmpImageFile(path)


def _check_promise(path: Path, picture: Picture) -> None:
    pixels = math.prod(picture.size)
    if pixels > LARGEST_PIXELS:
        raise ReadError(
            f"{path} says it is {picture.width} × {picture.height} pixels, more than a file of this format can be read "
            "with: convert it to a tiled TIFF or OME-Zarr first."
        )
    if pixels > path.stat().st_size * _LARGEST_RATIO:
        raise ReadError(
            f"{path} says it is {picture.width} × {picture.height} pixels but is only {path.stat().st_size} bytes "
            "long: it is damaged, or made to fill the memory."
        )


def _orientation(picture: Picture) -> int:
    # A PNG's EXIF block may stand behind the pixels, where Pillow would decode all of them to find it.
    if isinstance(picture, PngImagePlugin.PngImageFile) and "exif" not in picture.info:
        return 1
    value = picture.getexif().get(_EXIF_ORIENTATION, 1)
    return value if value in _TURNS else 1


def _png_format(path: Path) -> tuple[int, int] | None:
    """Bit depth and colour type (0 grey, 2 RGB, 3 palette, 4 grey and alpha, 6 RGBA) of a PNG; None for others."""
    with path.open("rb") as file:
        head = file.read(26)
    return (head[24], head[25]) if head.startswith(PNG_MAGIC) else None


def _is_deep_color_png(path: Path) -> bool:
    """Whether it is a PNG of 16 bits and several channels, which Pillow would cut down to 8 bits."""
    return _png_format(path) in ((16, 2), (16, 4), (16, 6))


def _stored_type(picture: Picture, path: Path, *, indices: bool) -> tuple[np.dtype[Any], bool]:
    """Type of a value as it is given out, and whether there is one value per pixel."""
    if picture.mode.startswith("I") or _png_format(path) == (16, 4):
        return np.dtype(np.uint16), True
    grey = picture.mode in ("1", "L", "LA") or (indices and picture.mode == "P")
    return np.dtype(np.uint16 if _is_deep_color_png(path) else np.uint8), grey


class _Decoded:
    """A picture that is decoded once, when its first pixel is asked for."""

    def __init__(self, path: Path, orientation: int, *, indices: bool) -> None:
        self._path = path
        self._orientation = orientation
        self._indices = indices
        self._lock = threading.Lock()
        self._pixels: npt.NDArray[Any] | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        return partial(_Decoded, indices=self._indices), (self._path, self._orientation)

    def __call__(self, block: Block) -> npt.NDArray[Any]:
        with self._lock:
            if self._pixels is None:
                self._pixels = _decode(self._path, self._orientation, indices=self._indices)
        return self._pixels[block]


def _decode(path: Path, orientation: int, *, indices: bool) -> npt.NDArray[Any]:
    """All pixels, (y, x) or (y, x, 3), turned upright."""
    with _open(path) as picture:
        if _is_deep_color_png(path):
            pixels = imagecodecs.png_decode(path.read_bytes())
            pixels = flatten_alpha(pixels) if pixels.shape[-1] in (2, 4) else pixels
            pixels = pixels[..., 0] if pixels.shape[-1] == 1 else pixels
            return _turned(pixels, orientation)
        picture.load()
        upright = picture.transpose(_TURNS[orientation]) if orientation in _TURNS else picture
        return _to_indices(upright, path) if indices else _to_colors(upright)


def _to_indices(picture: Picture, path: Path) -> npt.NDArray[Any]:
    """The numbers as stored, (y, x) or (y, x, colours)."""
    if picture.mode == "LA":
        return np.asarray(picture.getchannel("L"))
    pixels = np.asarray(picture)
    if picture.mode in ("1", "P"):
        return pixels.astype(np.uint8)
    # Pillow spreads grey values of 2 and 4 bits over 0..255; as labels they are small numbers.
    depth, color_type = _png_format(path) or (8, 0)
    return pixels // (255 // (2**depth - 1)) if color_type == 0 and depth in (2, 4) else pixels


def _turned(pixels: npt.NDArray[Any], orientation: int) -> npt.NDArray[Any]:
    """The same as Pillow's turns, for arrays (y, x[, c])."""
    if orientation >= 5:
        pixels = pixels.swapaxes(0, 1)
    flip_y, flip_x = orientation in (3, 4, 7, 8), orientation in (2, 3, 6, 7)
    return pixels[:: -1 if flip_y else 1, :: -1 if flip_x else 1]


def _to_colors(picture: Picture) -> npt.NDArray[Any]:
    """(y, x) of grey, or (y, x, 3); transparent parts become white."""
    if picture.mode.startswith("I"):
        return np.asarray(picture).astype(np.uint16)
    if picture.mode in ("1", "L", "LA"):
        if not picture.has_transparency_data:
            return np.asarray(picture.convert("L"))
        return flatten_alpha(np.asarray(picture.convert("LA")))[..., 0]
    if picture.has_transparency_data:
        return flatten_alpha(np.asarray(picture.convert("RGBA")))
    return np.asarray(picture.convert("RGB"))


def read_raster(path: Path, series: int | None, *, indices: bool = False) -> Image:
    """Read a PNG, JPEG or BMP.

    Parameters
    ----------
    path
        The file; its content counts, not its name.
    series
        0 or None: there is only one image.
    indices
        Give the numbers of palette pictures instead of their colours, as label images need it.

    Returns
    -------
    image of axes ``"yx"`` or ``"yxc"``, upright (EXIF), without transparency, 8 or 16 bits as stored.

    Raises
    ------
    ReadError
        The header promises more than the file can hold.
    """
    choose_series(path, series, ("",))
    warnings: list[str] = []
    with _open(path) as picture:
        _check_promise(path, picture)
        orientation = _orientation(picture)
        if picture.has_transparency_data and not (indices and picture.mode == "P"):
            warnings.append("Its transparent parts were laid on white.")
        if picture.mode in ("CMYK", "YCbCr", "LAB", "HSV"):
            warnings.append(f"Its {picture.mode} colours were converted to red, green, blue without a colour profile.")
        dtype, grey = _stored_type(picture, path, indices=indices)
        width, height = picture.size
    if orientation >= 5:
        width, height = height, width
    shape = (height, width) if grey else (height, width, 3)
    pixels = LazyArray(shape, dtype, _Decoded(path, orientation, indices=indices), source=str(path))
    return Image(
        levels=(pixels,),
        axes="yx" if grey else "yxc",
        name=path.stem,
        path=path,
        channels=() if grey else ("red", "green", "blue"),
        rgb=not grey,
        warnings=tuple(warnings),
    )


FORMAT = Format(name="a PNG, JPEG or BMP picture", recognises=_recognises, read=read_raster)
