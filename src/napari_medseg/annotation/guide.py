"""What pulls the curves of an image: its B-scans, prepared once and kept for the last few."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from napari_medseg.annotation.strips import PATTERN, Floats, cut_strip, recorded
from napari_medseg.annotation.surfaces import Rows
from napari_medseg.annotation.tracing import follow, movement, runs, trace
from napari_medseg.structures import Edge

#: B-scans that are kept ready.
KEPT = 4
#: How far a curve is looked for around the one it comes from, in rows: once the B-scans are aligned, and before.
REACH, FURTHEST = 8, 40


class Guide:
    """The B-scans of an image.

    Parameters
    ----------
    edges
        Which edge each surface follows.
    bscan
        Gives the pixels (y, x) of a B-scan by its index.
    """

    def __init__(self, edges: Sequence[Edge], bscan: Callable[[int], npt.NDArray[np.generic]]) -> None:
        self._edges = tuple(edges)
        self._bscan = bscan
        self._ready: OrderedDict[int, Floats] = OrderedDict()

    def trace(self, bscan: int, surface: int, anchors: Mapping[int, float], low: Rows, high: Rows) -> Rows:
        """Rows (x,) of a surface through anchors, within limits (`tracing.trace`)."""
        return trace(self._picture(bscan), anchors, self._edges[surface], low=low, high=high)

    def follow(self, bscan: int, sources: Mapping[int, Rows], there: Rows, wanted: Sequence[int]) -> dict[int, Rows]:
        """Surfaces near those of one or two other B-scans.

        Parameters
        ----------
        sources
            Rows (surfaces, x) of the other B-scans by their index. Between two, a surface is looked for where both
            have it, and nearer to the nearer one.
        there
            Rows (surfaces, x) that the B-scan has already and that are not crossed.
        wanted
            Indexes of the surfaces to find.

        Returns
        -------
        float32 (x,) by the index of the surface
        """
        distance = {source: abs(bscan - source) for source in sources}
        nearest = min(sources, key=distance.__getitem__)
        total = sum(distance.values())
        shares = {s: 1.0 if len(sources) == 1 else 1 - d / total for s, d in distance.items()}
        prior = np.sum([np.float32(shares[source]) * rows for source, rows in sources.items()], axis=0)
        known = [s for s in range(len(prior)) if np.isfinite(prior[s]).any()]
        looks = {s: self._looks(nearest, sources[nearest][s]) for s in known}
        picture = self._picture(bscan)
        moved = prior + movement([self._moving_costs(picture, prior[s], s, *looks[s]) for s in known])
        found: dict[int, Rows] = {}
        rows = there.copy()
        for s in (s for s in wanted if s in looks):
            low = np.fmax.reduce(rows[:s], axis=0, initial=np.float32(-0.5))
            high = np.fmin.reduce(rows[s + 1 :], axis=0, initial=np.float32(len(picture) - 0.5))
            rows[s] = follow(picture, moved[s], self._edges[s], *looks[s], low=low, high=high, reach=REACH)
            found[s] = rows[s].copy()
        return found

    def _looks(self, bscan: int, rows: Rows) -> tuple[Floats, float]:
        """What a curve looks like where it is known: patterns of all columns, and the usual contrast."""
        patterns = np.zeros((2 * PATTERN, len(rows)), np.float32)
        contrasts = [np.zeros(1, np.float32)]
        for start, stop in runs(rows):
            strip = cut_strip(self._picture(bscan), np.arange(start, stop), rows[start:stop], -1, 1)
            patterns[:, start:stop] = strip.patterns()
            contrasts.append(strip.contrast())
        return patterns, float(np.median(np.concatenate(contrasts)))

    def _moving_costs(self, picture: Floats, rows: Rows, surface: int, patterns: Floats, contrast: float) -> Floats:
        """Cost (distance, x) of moving a surface by -FURTHEST to FURTHEST rows."""
        costs = np.zeros((2 * FURTHEST + 1, len(rows)), np.float32)
        for start, stop in runs(rows):
            strip = cut_strip(picture, np.arange(start, stop), rows[start:stop], -FURTHEST, FURTHEST)
            costs[:, start:stop] = strip.costs(self._edges[surface], patterns[:, start:stop], contrast)
        return costs

    def prepare(self, bscan: int) -> None:
        """Read and prepare a B-scan."""
        self._picture(bscan)

    def _picture(self, bscan: int) -> Floats:
        if bscan not in self._ready:
            self._ready[bscan] = recorded(self._bscan(bscan))
        self._ready.move_to_end(bscan)
        while len(self._ready) > KEPT:
            self._ready.popitem(last=False)
        return self._ready[bscan]
