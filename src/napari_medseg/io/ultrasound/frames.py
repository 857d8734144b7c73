"""Pixels of DICOM ultrasound frames, whatever colours they are stored in, frame by frame when asked for."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_medseg.errors import ReadError
from napari_medseg.io.lazy import Block
from napari_medseg.io.oct.dicom import quiet
from napari_medseg.io.volume.dicom_pixels import codec_frame

if TYPE_CHECKING:
    from pydicom import Dataset

Pixels = npt.NDArray[Any]

#: Decoded frames that are kept: a cine that is played is seen several times.
_KEPT_FRAMES = 64
#: Colour spaces that decoders of single frames leave as they are.
_LUMINANCE = ("YBR_FULL", "YBR_FULL_422")


class FrameLoader:
    """Decodes the frames that a block touches, and keeps the last ones; (t, y, x) or (t, y, x, rgb)."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._frame = lru_cache(maxsize=_KEPT_FRAMES)(self._decode)
        self._header: Dataset | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        return FrameLoader, (self._path,)

    def __call__(self, block: Block) -> Pixels:
        """Pixels of a block."""
        return np.stack([self._frame(index)[block[1:]] for index in range(block[0].start, block[0].stop)])

    def _decode(self, index: int) -> Pixels:
        from pydicom import dcmread

        try:
            with quiet():
                if self._header is None:
                    self._header = dcmread(self._path, stop_before_pixels=True)
                return _shown(_stored(self._path, self._header, index), self._header)
        except ReadError:
            raise
        except Exception:
            # Decoders raise whatever they like, and their words may quote the header.
            raise ReadError(
                f"{self._path} holds pixels that cannot be decoded (frame {index + 1}): it is damaged or cut short, "
                "copy it again from its source."
            ) from None


def _stored(path: Path, header: Dataset, index: int) -> Pixels:
    """A frame as pydicom decodes it (YBR as RGB), else as the codecs of imagecodecs do."""
    from pydicom.pixels.processing import convert_color_space
    from pydicom.pixels.utils import pixel_array

    try:
        return np.asarray(pixel_array(path, index=index))
    except Exception:
        # What pydicom has no plugin for, and damaged frames, which the next decoder names as such.
        pixels = codec_frame(path, index, int(header.get("NumberOfFrames") or 1))
    photometric = str(header.PhotometricInterpretation)
    return convert_color_space(pixels, photometric, "RGB") if photometric in _LUMINANCE else pixels


def _shown(stored: Pixels, header: Dataset) -> Pixels:
    """Stored numbers as grey values (bright is bright) or colours."""
    photometric = str(header.PhotometricInterpretation)
    if photometric == "PALETTE COLOR":
        return _colored(stored, header)
    if photometric == "MONOCHROME1" and stored.dtype.kind == "u":
        return np.asarray((1 << int(header.BitsStored)) - 1 - stored)
    return stored


def _colored(stored: Pixels, header: Dataset) -> Pixels:
    """Colours of palette indices, 8 bits each."""
    from pydicom.pixels.processing import apply_color_lut

    colors = np.asarray(apply_color_lut(stored, header))[..., :3]
    if colors.dtype == np.uint8:
        return colors
    # Some machines write 8 bits into tables of 16.
    tables = [header.get(f"{color}PaletteColorLookupTableData") or b"" for color in ("Red", "Green", "Blue")]
    is_deep = any(np.frombuffer(table, "<u2").max(initial=0) > 255 for table in tables) or not any(tables)
    return (colors >> 8 if is_deep else colors).astype(np.uint8)
