"""Where the scan is in the frames of DDTI: the methods of `find_scan_region` against boxes and outlines drawn by hand.

    python benchmarks/scan_region.py DDTI [--boxes benchmarks/scan_region_boxes.csv]

DDTI is a folder with `images/*.jpg` and `xml/*.xml`. The boxes (48 frames drawn at random with seed 2024) were marked
on the pictures, with a ruler, before any method was run; `answer` is where the class is written under the scan.

- text gone: no line of three or more letters lies in the box that was found. A letter is a bright part 5 to 16 pixels
  high with bare background all around, found by none of the means that the methods use.
- cut: more than 5 % of the box drawn by hand lies outside the box that was found; loose: the other way round.
- nodules cut: an outline of the XML reaches more than 2 pixels out of the box that was found.
"""

from __future__ import annotations

import argparse
import csv
import re
import statistics
import time
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from scipy import ndimage

from napari_medseg.data.rows import parse_region
from napari_medseg.data.scan_region import METHODS, find_scan_region
from napari_medseg.io import read
from napari_medseg.structures import Box

BRIGHT, BARE = 150, 40
HEIGHTS, WIDTHS = (5, 16), (2, 18)
SHARE = 0.05
SLACK = 2


def letters(grey: np.ndarray) -> list[tuple[int, int]]:
    """Middles (y, x) of bright parts as large as a letter with bare background all around."""
    parts, _ = ndimage.label(grey > BRIGHT, np.ones((3, 3)))
    found = []
    for number, (rows, columns) in enumerate(ndimage.find_objects(parts), 1):
        height, width = rows.stop - rows.start, columns.stop - columns.start
        if not (HEIGHTS[0] <= height <= HEIGHTS[1] and WIDTHS[0] <= width <= WIDTHS[1]):
            continue
        outer = (slice(max(rows.start - 3, 0), rows.stop + 3), slice(max(columns.start - 3, 0), columns.stop + 3))
        own = ndimage.binary_dilation(parts[outer] == number, iterations=2)
        others = ndimage.binary_dilation((parts[outer] != number) & (parts[outer] > 0), iterations=2)
        if grey[outer][~own & ~others].max(initial=0) < BARE:
            found.append(((rows.start + rows.stop) // 2, (columns.start + columns.stop) // 2))
    return found


def has_line(places: list[tuple[int, int]]) -> bool:
    """Whether three letters stand beside each other."""
    return any(sum(abs(y - row) <= 5 and abs(x - column) <= 30 for y, x in places) >= 3 for row, column in places)


def outlines(path: Path, image: str) -> Iterator[np.ndarray]:
    """Outlines (point, (y, x)) that a case's XML gives for one of its images."""
    for mark in ET.fromstring(path.read_text("utf-8", "replace")).iter("mark"):
        if (mark.findtext("image") or "").strip() != image or not (mark.findtext("svg") or "").strip():
            continue
        # Some files end in the middle of an outline, so that they are no JSON; the points up to there are read.
        for shape in (mark.findtext("svg") or "").split('"points"')[1:]:
            points = re.findall(r'"x":\s*(\d+),\s*"y":\s*(\d+)', shape)
            yield np.array([(int(y), int(x)) for x, y in points], float).reshape(-1, 2)


def area(box: Box) -> int:
    """Pixels of a box."""
    return max(box[0][1] - box[0][0], 0) * max(box[1][1] - box[1][0], 0)


def common(a: Box, b: Box) -> int:
    """Pixels that two boxes share."""
    return area(tuple((max(p[0], q[0]), min(p[1], q[1])) for p, q in zip(a, b, strict=True)))


def is_cut(points: np.ndarray, box: Box) -> bool:
    """Whether an outline reaches out of a box."""
    low, high = (np.array([span[end] for span in box], float) for end in (0, 1))
    return bool(((points < low - SLACK) | (points > high + SLACK)).any())


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--boxes", type=Path, default=Path(__file__).with_name("scan_region_boxes.csv"))
    parser.add_argument("--list", action="store_true", help="name the frames that count against a method")
    arguments = parser.parse_args()
    drawn = {row["image"]: row for row in csv.DictReader(arguments.boxes.open(newline=""))}
    files = sorted((arguments.data / "images").glob("*.jpg"))
    faults = {method: {key: [] for key in ("text", "answer", "cut", "loose", "nodules")} for method in METHODS}
    overlaps: dict[str, list[float]] = {method: [] for method in METHODS}
    seconds: dict[str, list[float]] = {method: [] for method in METHODS}
    counts = {"text": 0, "answer": 0, "nodules": 0}
    for file in files:
        image = read(file, kind="ultrasound")
        places = letters(np.asarray(image.data).max(axis=-1))
        case, _, number = file.stem.partition("_")
        shapes = list(outlines(arguments.data / "xml" / f"{case}.xml", number))
        truth = drawn.get(file.name)
        counts["text"] += has_line(places)
        counts["nodules"] += len(shapes)
        counts["answer"] += bool(truth and truth["answer"])
        for method in METHODS:
            start = time.perf_counter()
            box = find_scan_region(image, method).box
            seconds[method].append(time.perf_counter() - start)
            bad = faults[method]
            inside = [(y, x) for y, x in places if box[0][0] <= y < box[0][1] and box[1][0] <= x < box[1][1]]
            bad["text"] += [file.stem] * has_line(inside)
            bad["nodules"] += [file.stem] * sum(is_cut(points, box) for points in shapes)
            if truth is None:
                continue
            hand: Box = tuple((int(truth[f"{axis}0"]), int(truth[f"{axis}1"])) for axis in "yx")
            answer = parse_region(truth["answer"])
            shared = common(hand, box)
            overlaps[method].append(shared / (area(hand) + area(box) - shared))
            bad["answer"] += [file.stem] * bool(answer and common(answer, box))
            bad["cut"] += [file.stem] * (shared < (1 - SHARE) * area(hand))
            bad["loose"] += [file.stem] * (shared < (1 - SHARE) * area(box))
    hands = len(drawn)
    print(f"{len(files)} frames, {counts['text']} with lines of text, {counts['nodules']} outlines, {hands} boxes\n")
    print("| method | text gone | answers gone | scan cut | loose | overlap, median (least) | nodules cut | ms |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    for method in METHODS:
        bad = {key: len(names) for key, names in faults[method].items()}
        gone = f"{counts['text'] - bad['text']}/{counts['text']}"
        answers = f"{counts['answer'] - bad['answer']}/{counts['answer']}"
        overlap = f"{statistics.median(overlaps[method]):.3f} ({min(overlaps[method]):.3f})"
        spent = f"{1000 * statistics.median(seconds[method]):.0f}"
        cells = [gone, answers, f"{bad['cut']}/{hands}", f"{bad['loose']}/{hands}", overlap]
        print(f"| {method} | {' | '.join(cells)} | {bad['nodules']}/{counts['nodules']} | {spent} |")
        if arguments.list:
            print(faults[method])


if __name__ == "__main__":
    main()
