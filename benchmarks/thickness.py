"""Thickness on real labels against a loop that counts pixel by pixel, in plain Python.

    python benchmarks/thickness.py DATA [--files N]

DATA holds `oct_duke_dme` and `oct_peripapillary_mgu`, each with a folder `masks`. Every layer, the whole retina and
every area of every column is counted twice. Prints a table: columns where both know a thickness, where both say that
it is not known, where they differ, and the mean in pixels by either way.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import numpy as np

from napari_medseg.data.dataset_file import mask_classes
from napari_medseg.data.retina import surfaces_of_pile
from napari_medseg.io import read_labels
from napari_medseg.measure.targets import Target, pile_values, targets_of
from napari_medseg.measure.thickness import bscan_thickness

#: Data set: classes by value from 1, and the pile from top to bottom.
SETS = {
    "oct_duke_dme": (
        ["RNFL", "GCL+IPL", "INL", "OPL", "ONL", "EZ", "RPE", "below RPE", "fluid"],
        ["background", "RNFL", "GCL+IPL", "INL", "OPL", "ONL", "EZ", "RPE", "below RPE"],
    ),
    "oct_peripapillary_mgu": (
        ["RNFL", "GCL", "IPL", "INL", "OPL", "ONL", "EZ", "RPE", "choroid", "optic disc"],
        ["background", "RNFL", "GCL", "IPL", "INL", "OPL", "ONL", "EZ", "RPE", "choroid", "background"],
    ),
}


def count_column(values: list[int], pile: tuple[int, ...], target: Target) -> float:
    """Thickness in one column by the definition: walk down and count; NaN where it is not known.

    A pixel of background belongs to the upper end above the first layer and to the lower end below the last one.
    """
    inner = [y for y, v in enumerate(values) if v in pile and v != 0]
    ranks: list[int | None] = []
    for y, v in enumerate(values):
        if v == 0:
            above, below = bool(inner) and y < inner[0], bool(inner) and y > inner[-1]
            top, bottom = pile[0] == 0, pile[-1] == 0
            ranks.append(0 if above and top else len(pile) - 1 if below and bottom else -9)
        else:
            ranks.append(pile.index(v) if v in pile else None)
    if target.role == "area":
        return float(values.count(target.value))
    own = [y for y, r in enumerate(ranks) if r is not None and target.first <= r <= target.last]
    if own:
        top_row, bottom_row = own[0], own[-1]
        if top_row == 0 or bottom_row == len(values) - 1:
            return math.nan
        if ranks[top_row - 1] is None or ranks[bottom_row + 1] is None:
            return math.nan
        enclosed = sum(1 for y in range(top_row, bottom_row) if ranks[y] is None)
        return float(len(own) + enclosed)
    upper = [y for y, r in enumerate(ranks) if r is not None and 0 <= r < target.first]
    lower = [y for y, r in enumerate(ranks) if r is not None and r > target.last]
    if not upper or not lower or lower[0] > upper[-1] + 1:
        return math.nan
    return 0.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--files", type=int, default=0, help="of each set; 0: all")
    args = parser.parse_args()
    print("| data | structure | columns | not known | differ | mean px | mean px, loop |")
    print("| --- | --- | ---: | ---: | ---: | ---: | ---: |")
    for name, (classes, layers) in SETS.items():
        known = mask_classes(classes)
        surfaces = surfaces_of_pile(layers)
        pile, targets = pile_values(known, surfaces), targets_of(known, surfaces)
        fast: list[np.ndarray] = []
        slow: list[np.ndarray] = []
        for path in sorted((args.data / name / "masks").iterdir())[: args.files or None]:
            labels = np.asarray(read_labels(path).labels[...]).astype(np.uint8)
            fast.append(bscan_thickness(labels, pile, targets))
            columns = labels.T.tolist()
            slow.append(np.array([[count_column(column, pile, t) for column in columns] for t in targets]))
        found, expected = np.concatenate(fast, axis=1), np.concatenate(slow, axis=1)
        for target, one, other in zip(targets, found, expected, strict=True):
            both, neither = np.isfinite(one) & np.isfinite(other), np.isnan(one) & np.isnan(other)
            differ = int((~both & ~neither).sum() + (one[both] != other[both]).sum())
            print(
                f"| {name} | {target.name} | {both.sum()} | {neither.sum()} | {differ} "
                f"| {one[both].mean():.3f} | {other[both].mean():.3f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
