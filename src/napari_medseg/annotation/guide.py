"""What pulls a curve: the edges of each B-scan, computed once and kept for the last few."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from napari_medseg.annotation.curve import Curve
from napari_medseg.annotation.surfaces import Rows
from napari_medseg.annotation.tracing import Cost, edge_cost, follow, shift_between
from napari_medseg.structures import Edge

#: B-scans whose edges are kept.
KEPT = 4
#: How far a carried curve is looked for around the one it comes from, in rows, once the B-scans are aligned.
REACH = 6.0


class Guide:
    """Edges of the B-scans of an image.

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
        self._costs: OrderedDict[tuple[int, Edge], Cost] = OrderedDict()

    def cost(self, bscan: int, surface: int, curve: Curve) -> Cost:
        """Cost of each cut for a curve with its anchors, float32 (y + 1, x)."""
        key = (bscan, self._edges[surface])
        if key not in self._costs:
            self._costs[key] = edge_cost(np.asarray(self._bscan(bscan)), self._edges[surface])
        self._costs.move_to_end(key)
        while len(self._costs) > KEPT * 3:
            self._costs.popitem(last=False)
        return self._costs[key]

    def follow(self, bscan: int, prior: Rows, there: Rows, wanted: Sequence[int]) -> dict[int, Rows]:
        """Surfaces near those of another B-scan, by index.

        Parameters
        ----------
        prior
            Rows (surfaces, x) of the other B-scan.
        there
            Rows (surfaces, x) that the B-scan has already and that are not crossed.
        wanted
            Which surfaces to find.
        """
        known = [s for s in range(len(prior)) if np.isfinite(prior[s]).any()]
        costs = {s: self.cost(bscan, s, Curve.empty(prior.shape[1])) for s in known}
        moved = prior + shift_between(costs, prior)
        found: dict[int, Rows] = {}
        rows = there.copy()
        for s in wanted:
            low = np.fmax.reduce(rows[:s], axis=0, initial=-0.5)
            high = np.fmin.reduce(rows[s + 1 :], axis=0, initial=len(costs[s]) - 1.5)
            found[s] = rows[s] = follow(costs[s], moved[s], low=low, high=high, reach=REACH)
        return found
