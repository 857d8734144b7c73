"""How far the retina of one B-scan lies above or below that of another one of the same eye, column by column.

B-scans that are files of their own may lie far apart or be tilted against each other, further than curves are looked
for around the ones they come from. Depth profiles of blocks of columns are compared by normalized cross-correlation;
the offsets of all blocks together are the cheapest path through what that costs, so that one block without contrast (a
shadow, the optic disc) follows its neighbours.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter

from napari_medseg.annotation.strips import Floats, recorded
from napari_medseg.annotation.surfaces import Rows
from napari_medseg.annotation.tracing import cheapest_path

#: Rows and columns that are averaged to one value.
_BLOCK = (4, 16)
#: Blurring of these values, in blocks along depth and width.
_BLUR = (1.0, 0.7)
#: Largest change of the offset from block to block, in blocks of rows, and what it costs, squared.
_MAX_JUMP, _STIFFNESS = 8, 0.02
#: Largest offset, as a share of the height.
_FURTHEST = 0.75
#: Cost of an offset of the whole height, so that pictures without contrast have none.
_TIE = 0.01


def depth_offset(first: npt.NDArray[np.generic], second: npt.NDArray[np.generic]) -> Rows:
    """Whole rows by which the layers of a second B-scan lie below those of a first.

    Parameters
    ----------
    first, second
        (y, x) of one shape and any intensity.

    Returns
    -------
    float32 (x,)

    Examples
    --------
    >>> picture = np.exp(-((np.arange(96)[:, None] - 30) ** 2) / 20) * np.ones(64)
    >>> depth_offset(picture, np.roll(picture, 12, axis=0))[[0, 32, 63]].tolist()
    [12.0, 12.0, 12.0]
    """
    height, width = first.shape
    size = min(_BLOCK[0], height), min(_BLOCK[1], width)
    own, other = (_profiles(recorded(picture), size) for picture in (first, second))
    depth = len(own)
    furthest = int(_FURTHEST * depth)
    # Twice the length, so that what leaves the picture at one edge does not come in at the other.
    spectrum = np.fft.rfft(other, 2 * depth, axis=0) * np.conj(np.fft.rfft(own, 2 * depth, axis=0))
    match = np.fft.irfft(spectrum, 2 * depth, axis=0) / depth  # (offset, block); negative offsets at the end
    offsets = np.arange(-furthest, furthest + 1)
    cost = _TIE * np.abs(offsets)[:, None] / depth - match[offsets]
    path = cheapest_path(np.ascontiguousarray(cost.T, np.float32), _MAX_JUMP, _STIFFNESS)
    middles = (np.arange(len(path)) + 0.5) * size[1]
    found = np.interp(np.arange(width), middles, offsets[path] * size[0])
    return np.asarray(np.round(found), np.float32)


def moved_by(picture: npt.NDArray[np.generic], offset: Rows) -> npt.NDArray[np.generic]:
    """A B-scan (y, x) with its columns moved down by whole rows (x,); the edges go on beyond the picture."""
    rows = np.arange(len(picture))[:, None] - offset.astype(np.intp)
    return np.take_along_axis(picture, np.clip(rows, 0, len(picture) - 1), axis=0)


def _profiles(picture: Floats, size: tuple[int, int]) -> npt.NDArray[np.float64]:
    """Depth profiles (y, x) of blocks of columns, with mean 0 and deviation 1."""
    height, width = (side // step for side, step in zip(picture.shape, size, strict=True))
    cut = picture[: height * size[0], : width * size[1]]
    blocks = gaussian_filter(cut.reshape(height, size[0], width, size[1]).mean(axis=(1, 3), dtype=np.float64), _BLUR)
    profiles: npt.NDArray[np.float64] = (blocks - blocks.mean(axis=0)) / (blocks.std(axis=0) + 1e-6)
    return profiles
