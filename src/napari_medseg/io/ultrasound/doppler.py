"""Whether flow is painted in colours over a grey frame."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

#: Channels that differ by more than this, of 255, make a colour that the eye takes for one.
_COLORED = 40
#: Darker pixels of a tinted picture look grey.
_BRIGHT = 60
#: Flow covers more than a logo, a cursor or a line of text, ...
_LEAST_SHARE = 0.003
#: ... and less of what is bright than the tint of a whole picture.
_TINTED = 0.7


def has_color_doppler(frame: npt.NDArray[Any]) -> bool:
    """Whether a part of a frame is coloured as flow is.

    Parameters
    ----------
    frame
        (y, x, 3) of red, green, blue, 0..255; grey frames (y, x) have no flow.

    A frame that is tinted as a whole, as some machines show grey ones, is none of flow.

    Examples
    --------
    >>> frame = np.full((50, 50, 3), 120, np.uint8)
    >>> has_color_doppler(frame)
    False
    >>> frame[10:20, 10:20] = (220, 40, 0)
    >>> has_color_doppler(frame)
    True
    """
    if frame.ndim != 3 or frame.shape[-1] != 3 or frame.dtype != np.uint8:
        return False
    high = frame.max(axis=-1)
    colored = high - frame.min(axis=-1) > _COLORED
    bright = int(np.count_nonzero(high > _BRIGHT))
    # Letters and lines are thin; the middle of a coloured place is coloured all around.
    inner = colored[1:-1, 1:-1] & colored[:-2, 1:-1] & colored[2:, 1:-1] & colored[1:-1, :-2] & colored[1:-1, 2:]
    is_painted = inner.size > 0 and float(inner.mean()) > _LEAST_SHARE
    return is_painted and int(np.count_nonzero(colored)) < _TINTED * bright
