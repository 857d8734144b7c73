"""How many clicks the boundaries of an OCT B-scan take: an annotator that is simulated on real, labelled B-scans.

The annotator draws one boundary after the other, from top to bottom: first both ends of each piece, then a click where
the curve is furthest from the truth, until it is nowhere more than 2 px off, or until 40 clicks do not help. The
truth is the data set's own masks; these have stripes of one or two columns, so each boundary is median-filtered over 9
columns first. Under fluid a boundary is drawn but not judged; at the optic disc it stops.

    python benchmarks/oct_annotator.py DATA [--scans N] [--seed N] [--tolerance PX] [--only oct_duke_dme] [--boundaries]
        [--predictions FOLDER]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import imageio.v3 as iio
import numpy as np
from scipy.ndimage import gaussian_filter1d, median_filter

from napari_medseg.annotation.curves import Curves
from napari_medseg.annotation.surfaces import surfaces_of_labels
from napari_medseg.annotation.tracing import runs
from napari_medseg.data.retina import surfaces_of_pile
from napari_medseg.errors import AnnotationError

DUKE = ("background", "RNFL", "GCL+IPL", "INL", "OPL", "ONL", "EZ", "RPE", "choroid")
MGU = ("background", "RNFL", "GCL", "IPL", "INL", "OPL", "ONL", "EZ", "RPE", "choroid", "background")
#: Layers from top to bottom, their values, and the value of the area at which boundaries stop.
SETS = {
    "oct_duke_dme": (DUKE, tuple(range(9)), None),
    "oct_peripapillary_mgu": (MGU, (*range(10), 0), 10),
}
SHORTEST = 12  # columns: shorter pieces are noise of the masks
MOST_CLICKS = 40
GOAL_MS, GOAL_ANCHORS = 50.0, 6.0


@dataclass
class Tally:
    """What was counted."""

    clicks: list[list[int]] = field(default_factory=list)  # per B-scan, per boundary
    errors: list[np.ndarray] = field(default_factory=list)
    milliseconds: list[float] = field(default_factory=list)
    names: list[str] = field(default_factory=list)

    def row(self, name: str, way: str) -> str:
        clicks = np.concatenate([np.asarray(c) for c in self.clicks])
        per_scan = np.array([sum(c) / len(c) for c in self.clicks])
        errors, ms = np.concatenate(self.errors), self.milliseconds or [np.nan]
        met = 100 * np.mean(per_scan <= GOAL_ANCHORS)
        return (
            f"| {name} | {way} | {len(self.clicks)} | {clicks.mean():.1f} | {clicks.max()} | {per_scan.max():.1f} | "
            f"{met:.0f} % | {errors.mean():.2f} | {np.percentile(errors, 95):.2f} | {np.median(ms):.0f} | "
            f"{np.percentile(ms, 95):.0f} |"
        )


HEAD = (
    "| data | way | B-scans | clicks per boundary | most | most per B-scan (mean of its boundaries) | B-scans with "
    "at most 6 per boundary | error, px | 95 % | ms per click | 95 % |\n|" + " --- |" * 11
)


@dataclass
class Scan:
    """One B-scan with its true surfaces."""

    name: str
    picture: np.ndarray  # (y, x)
    truth: np.ndarray  # (surface, x)
    stops: np.ndarray  # bool (x,): columns that boundaries do not cross


def read_scans(folder: Path, count: int, seed: int) -> Iterator[tuple[Scan, Scan | None]]:
    """A sample of all subjects, each B-scan with the one before it of the same subject."""
    _, values, disc = SETS[folder.name]
    by_subject: dict[str, list[Path]] = {}
    for path in sorted((folder / "images").iterdir()):
        by_subject.setdefault(path.stem.rpartition("_")[0], []).append(path)
    rng = np.random.default_rng(seed)
    turns = [[(p, paths[i - 1] if i else None) for i, p in enumerate(paths)] for paths in by_subject.values()]
    for pairs in turns:
        rng.shuffle(pairs)
    order = [pairs[turn] for turn in range(max(map(len, turns))) for pairs in turns if turn < len(pairs)]
    for path, previous in order[:count]:
        yield tuple(None if p is None else read_scan(p, folder, values, disc) for p in (path, previous))


def read_scan(path: Path, folder: Path, values: tuple[int, ...], disc: int | None) -> Scan:
    mask = iio.imread(next((folder / "masks").glob(path.stem + ".*")))
    picture = iio.imread(path)
    picture = picture if picture.ndim == 2 else picture[..., 0]
    rows = surfaces_of_labels(mask, values)
    rows[(rows < 0) | (rows > len(mask) - 1)] = np.nan  # outside the picture
    stops = np.zeros(mask.shape[1], bool) if disc is None else (mask == disc).any(axis=0)
    rows[:, stops] = np.nan
    for s in range(len(rows)):
        for start, stop in list(runs(rows[s])):
            part = rows[s, start:stop]
            rows[s, start:stop] = np.nan if stop - start < SHORTEST else median_filter(part, 9, mode="nearest")
    return Scan(path.stem, picture, rows, stops)


def pieces(truth: np.ndarray, stops: np.ndarray) -> Iterator[tuple[int, int]]:
    """First and last column of each piece of a boundary; only stops divide it."""
    known = np.flatnonzero(np.isfinite(truth))
    if len(known):
        cuts = [i for i in range(1, len(known)) if stops[known[i - 1] : known[i]].any()]
        for part in np.split(known, cuts):
            if len(part) >= SHORTEST:
                yield int(part[0]), int(part[-1])


def distance(rows: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """How far a curve (x,) visibly runs from the truth, in pixels across the boundary; 0 where it is not judged.

    Steep boundaries are far off along the depth when they are a fraction of a pixel off along the width. Excursions of
    up to 4 columns are no wider than the stripes of the masks and are let pass.
    """
    off = np.zeros(len(truth))
    for start, stop in runs(truth):
        part = truth[start:stop]
        slope = np.gradient(gaussian_filter1d(part, 3.0, mode="nearest"))
        across = np.nan_to_num(np.abs(rows[start:stop] - part), nan=99.0) / np.hypot(1, slope)
        off[start:stop] = median_filter(across, 9, mode="nearest")
    return off


class Annotator:
    """Clicks on one B-scan and counts."""

    def __init__(
        self, curves: Curves, bscan: int, scan: Scan, *, straight: bool, tolerance: float, tally: Tally
    ) -> None:
        self.curves, self.bscan, self.scan, self.straight, self.tally = curves, bscan, scan, straight, tally
        self.tolerance = tolerance
        self.judged = np.full(scan.truth.shape, np.nan)

    def annotate(self) -> None:
        self.tally.clicks.append(
            [self.draw(s) for s in range(len(self.scan.truth)) if np.isfinite(self.scan.truth[s]).any()]
        )
        errors = np.abs(self.curves.rows(self.bscan) - self.judged)
        self.tally.errors.append(errors[np.isfinite(errors)])

    def draw(self, surface: int) -> int:
        truth = self.scan.truth[surface]
        clicks = 0
        for first, last in pieces(truth, self.scan.stops):
            self.judged[surface, first : last + 1] = truth[first : last + 1]
            there = self.curves.rows(self.bscan)[surface]
            for x in (first, last):
                if np.isnan(there[x]):
                    clicks += self.click(surface, x)
            clicks += self.correct(surface, first, last)
            if first != last and np.isfinite(self.curves.rows(self.bscan)[surface][last]):
                self.curves.stop(self.bscan, surface, last)
        return clicks

    def correct(self, surface: int, first: int, last: int) -> int:
        truth, clicks, given_up = self.scan.truth[surface], 0, np.zeros(self.scan.truth.shape[1], bool)
        while clicks < MOST_CLICKS:
            error = distance(self.curves.rows(self.bscan)[surface], truth)
            error[:first], error[last + 1 :], error[given_up] = 0, 0, 0
            x = int(error.argmax())
            if error[x] <= self.tolerance:
                return clicks
            clicks += self.click(surface, x)
            given_up[x] = True
        return clicks

    def click(self, surface: int, x: int) -> int:
        start = time.perf_counter()
        try:
            self.curves.add_anchor(self.bscan, surface, x, float(self.scan.truth[surface, x]), straight=self.straight)
        except AnnotationError:
            return 0
        self.tally.milliseconds.append(1000 * (time.perf_counter() - start))
        return 1


def follow_on(scan: Scan, previous: Scan, surfaces: list, tolerance: float, tally: Tally) -> None:
    """Annotate the second of two B-scans after its curves were carried over from the first."""
    height = max(len(scan.picture), len(previous.picture))
    width = min(scan.picture.shape[1], previous.picture.shape[1])
    scan, previous = (Scan(s.name, s.picture[:, :width], s.truth[:, :width], s.stops[:width]) for s in (scan, previous))
    curves = Curves(surfaces, (2, height, width), [previous.picture, scan.picture].__getitem__)
    filled = np.full(previous.truth.shape, np.nan, np.float32)
    for s, truth in enumerate(previous.truth):
        for first, last in pieces(truth, previous.stops):
            known = np.flatnonzero(np.isfinite(truth))
            filled[s, first : last + 1] = np.interp(np.arange(first, last + 1), known, truth[known])
    curves.set_rows(0, filled, remember=False)
    curves.carry_on(0, 1)
    for surface in range(len(surfaces)):
        rows = curves.rows(1)[surface]
        spans = list(pieces(scan.truth[surface], scan.stops))
        outside = np.ones(width, bool)
        for first, last in spans:
            outside[first : last + 1] = False
        for start, stop in runs(np.where(outside & np.isfinite(rows), 0, np.nan)):
            curves.erase(1, surface, start, stop)
    Annotator(curves, 1, scan, straight=False, tolerance=tolerance, tally=tally).annotate()


def predicted_labels(folder: Path | None, scan: Scan) -> np.ndarray | None:
    path = None if folder is None else folder / f"{scan.name}.tif"
    return iio.imread(path) if path is not None and path.exists() else None


def correct_a_model(
    scan: Scan, surfaces: list, values: tuple[int, ...], labels: np.ndarray, tolerance: float, tally: Tally
) -> None:
    """Annotate a B-scan whose curves are a model's labels (y, x), as they are after a prediction in the window."""
    curves = Curves(surfaces, (1, *scan.picture.shape), lambda _: scan.picture)
    predicted = surfaces_of_labels(labels, values)
    predicted[(predicted < 0) | (predicted > len(labels) - 1)] = np.nan
    curves.set_rows(0, predicted, remember=False)
    Annotator(curves, 0, scan, straight=False, tolerance=tolerance, tally=tally).annotate()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--scans", type=int, default=37, help="B-scans per data set")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--tolerance", type=float, default=2.0, help="pixels that a curve may be off")
    parser.add_argument("--only", choices=sorted(SETS))
    parser.add_argument(
        "--predictions", type=Path, help="label files of `predict`: B-scans that have one are corrected"
    )
    parser.add_argument("--boundaries", action="store_true", help="also print the clicks of each boundary")
    args = parser.parse_args()
    print(HEAD)
    for name in [args.only] if args.only else sorted(SETS):
        surfaces = surfaces_of_pile(SETS[name][0])
        ways = {
            "along edges": Tally(),
            "smooth through the clicks": Tally(),
            "carried on": Tally(),
            "from a model": Tally(),
        }
        for scan, previous in read_scans(args.data / name, args.scans, args.seed):
            for way in ("along edges", "smooth through the clicks"):
                curves = Curves(surfaces, (1, *scan.picture.shape), lambda _, picture=scan.picture: picture)
                Annotator(
                    curves, 0, scan, straight=way != "along edges", tolerance=args.tolerance, tally=ways[way]
                ).annotate()
            if previous is not None:
                follow_on(scan, previous, surfaces, args.tolerance, ways["carried on"])
            labels = predicted_labels(args.predictions, scan)
            if labels is not None:
                correct_a_model(scan, surfaces, SETS[name][1], labels, args.tolerance, ways["from a model"])
        ways = {way: tally for way, tally in ways.items() if tally.clicks}
        for way, tally in ways.items():
            print(tally.row(name, way), flush=True)
        if args.boundaries:
            for s, surface in enumerate(surfaces):
                counts = {w: np.mean([c[s] for c in t.clicks if len(c) > s]) for w, t in ways.items()}
                print(f"  {surface.name:24}" + "".join(f"{w}: {c:5.1f}   " for w, c in counts.items()))


if __name__ == "__main__":
    main()
