"""How much of a slide is painted with what, counted chunk by chunk and remembered."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from napari_medseg.data.slide_master import SlideMaster
from napari_medseg.data.slide_window import SlideWindow, common_box, contains
from napari_medseg.structures import NOT_LOOKED_AT, Box

#: More chunks than this are not counted while somebody paints: at 512² pixels each, a second's work.
_MOST_CHUNKS = 1000

Counts = npt.NDArray[np.int64]


class PaintedCounts:
    """Counts the pixels of a master per value.

    Chunks are counted once; those of the window, which alone change, every time, and once more when it has left them.
    """

    def __init__(self, master: SlideMaster) -> None:
        self._master = master
        self._known: dict[Box, Counts] = {}

    def forget(self, box: Box) -> None:
        """Count the chunks that a box touches again: it was written, though not in the window."""
        self._known = {chunk: counts for chunk, counts in self._known.items() if common_box(chunk, box) is None}

    def with_window(self, window: SlideWindow, in_window: Counts) -> Counts | None:
        """Pixels of the whole slide per value, int64 (256,); None where too much is painted to count it quickly.

        Parameters
        ----------
        window
            The part that may be newer in memory than on disk.
        in_window
            Its pixels per value, int64 (256,).

        Raises
        ------
        ReadError
            A chunk is damaged.
        """
        chunks = [chunk for chunk in self._master.painted() if not contains(window.box, chunk)]
        self._known = {chunk: counts for chunk, counts in self._known.items() if not contains(window.box, chunk)}
        if len(chunks) - len(self._known) > _MOST_CHUNKS:
            return None
        counts = in_window.copy()
        for chunk in chunks:
            if chunk not in self._known:
                self._known[chunk] = np.bincount(self._master.read(chunk).ravel(), minlength=256)
            counts += self._known[chunk]
        counts[NOT_LOOKED_AT] += math.prod(self._master.shape) - counts.sum()
        return counts
