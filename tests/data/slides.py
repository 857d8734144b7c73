"""Small made-up slides with all kinds of labels, as cases of a data set."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from napari_medseg.data.dataset import Dataset
from napari_medseg.data.dataset_file import tag_classes
from napari_medseg.data.naming import file_name
from napari_medseg.data.slide_contours import REGION, SlideContours, contours_path
from napari_medseg.data.slide_master import SlideMaster
from napari_medseg.data.synthetic_slide import CLASSES, SyntheticSlide, write_slide
from napari_medseg.data.tile_tags import TileTag, tags_path, write_tile_tags
from napari_medseg.io.contour_file import Contour, Part
from napari_medseg.structures import Box, DatasetInfo

SHAPE = (2048, 3072)
TAGS = ("stroma", "tumour", "necrosis")


def make_slides(folder: Path, count: int = 1, *, kinds: tuple[str, ...] = ("paint", "contours", "tiles")) -> Dataset:
    """A data set of slides, labelled from what is known of them; each of a patient of its own."""
    info = DatasetInfo(name="slides", kind="slide", classes=CLASSES, tags=tag_classes(TAGS))
    dataset = Dataset.create(folder / "data", info)
    for number in range(count):
        path = folder / f"slide{number}.svs"
        slide = write_slide(path, SHAPE, seed=number)
        case = dataset.add_case(path, case=f"slide{number}", group=f"patient{number}", status="done")
        if "paint" in kinds:
            paint(dataset, case.case, slide)
        if "contours" in kinds:
            outline(dataset, case.case, slide)
        if "tiles" in kinds:
            tag_tiles(dataset, case.case, slide)
    return dataset


def islands(slide: SyntheticSlide) -> list[Box]:
    """Boxes of the cells that hold tissue, in level-0 pixels."""
    return [
        tuple((int(k) * slide.cell, min((int(k) + 1) * slide.cell, n)) for k, n in zip(cell, slide.shape, strict=True))
        for cell in np.argwhere(slide.kinds)
    ]


def paint(dataset: Dataset, case: str, slide: SyntheticSlide, downsample: int = 2) -> Box:
    """Paint the truth of the first island; returns its box."""
    master = SlideMaster.create(
        dataset.labels_folder / f"{file_name(case)}.zarr", slide.shape, downsample, case=case, classes=CLASSES
    )
    box = islands(slide)[0]
    coarse = tuple((start // downsample, stop // downsample) for start, stop in box)
    master.write(coarse, slide.truth(coarse, downsample))
    dataset.update_case(case, revision=dataset.case(case).revision, label=master.path.name)
    return box


def outline(dataset: Dataset, case: str, slide: SyntheticSlide) -> Box:
    """Draw a complete region over the second island, and a square of every class inside it; returns the region."""
    box = islands(slide)[1]
    truth = slide.truth(box)
    contours = [contour(REGION, box)]
    for mask_class in CLASSES:
        contours += [contour(mask_class.name, square) for square in pure_squares(truth, mask_class.value, box, 32)[:6]]
    SlideContours(contours=tuple(contours)).write(contours_path(dataset.labels_folder, case))
    return box


def tag_tiles(dataset: Dataset, case: str, slide: SyntheticSlide, side: int = 48) -> None:
    """Tag tiles that are of one kind, as many of each as there are, up to 12."""
    tiles = []
    for value, tag in enumerate(TAGS):
        for box in islands(slide):
            centre = tuple((start + slide.cell // 4, stop - slide.cell // 4) for start, stop in box)
            tiles += [TileTag(square, tag) for square in pure_squares(slide.truth(centre), value, centre, side)[:6]]
    write_tile_tags(tags_path(dataset.labels_folder, case), tiles)


def pure_squares(truth: np.ndarray, value: int, box: Box, side: int) -> list[Box]:
    """Squares of a grid over a box in which the truth has one value."""
    squares = []
    for y in range(0, truth.shape[0] - side + 1, side):
        for x in range(0, truth.shape[1] - side + 1, side):
            if (truth[y : y + side, x : x + side] == value).all():
                top, left = box[0][0] + y, box[1][0] + x
                squares.append(((top, top + side), (left, left + side)))
    return squares


def contour(name: str, box: Box) -> Contour:
    """A rectangle of a class."""
    (y0, y1), (x0, x1) = box
    corners = np.array([(y0, x0), (y0, x1), (y1, x1), (y1, x0)], float)
    return Contour(parts=(Part(outer=corners),), class_names=(name,), color="#123456")
