"""Contours and tile tags go along with their case: renamed, merged, removed."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from napari_medseg.annotation.contour_drawing import ContourDrawing, Look
from napari_medseg.data.contour_classes import rename_class_of_contours, with_classes_of
from napari_medseg.data.contour_sheet import MOST_CONTOURS, ContourSheet
from napari_medseg.data.dataset import Dataset
from napari_medseg.data.dataset_file import mask_classes, tag_classes
from napari_medseg.data.merging import merge_datasets
from napari_medseg.data.slide_contours import SlideContours, contours_path
from napari_medseg.data.slide_drawings import slide_drawings
from napari_medseg.data.tile_tags import TileTag, read_tile_tags, tags_path, write_tile_tags
from napari_medseg.io.contour_file import Contour, Part
from napari_medseg.structures import DatasetInfo

SQUARE = Part(outer=np.array([(0, 0), (0, 9), (9, 9), (9, 0)], np.float64))


def contour(*names: str, color: str = "#0a0b0c", **facts) -> Contour:
    return Contour(parts=(SQUARE,), class_names=names, color=color, **facts)


def dataset_of(folder: Path) -> Dataset:
    info = DatasetInfo(name=folder.name, classes=mask_classes(["Tumor"]), tags=tag_classes(["benign"]))
    dataset = Dataset.create(folder, info)
    dataset.add_image(np.zeros((20, 20, 3), np.uint8), f"a of {folder.name}")
    case = dataset.cases[0].case
    SlideContours(contours=(contour("Tumor"), contour("Tumor", "Positive"), contour("Other"))).write(
        contours_path(dataset.labels_folder, case)
    )
    write_tile_tags(tags_path(dataset.labels_folder, case), [TileTag(((0, 9), (0, 9)), "benign")])
    return dataset


def test_new_names_of_classes_and_tags_reach_contours_and_tiles(tmp_path: Path) -> None:
    dataset = dataset_of(tmp_path / "one")
    case = dataset.cases[0].case
    rename_class_of_contours(dataset.labels_folder, "Tumor", "Carcinoma")
    found = SlideContours.read(contours_path(dataset.labels_folder, case))
    assert [c.class_name for c in found.contours] == ["Carcinoma", "Carcinoma: Positive", "Other"]
    dataset.rename_tag("benign", "harmless")
    assert [tile.tag for tile in read_tile_tags(tags_path(dataset.labels_folder, case))] == ["harmless"]


def test_merged_data_sets_keep_them_and_a_removed_case_takes_them_along(tmp_path: Path) -> None:
    parts = [dataset_of(tmp_path / name) for name in ("one", "two")]
    merged = merge_datasets([part.path for part in parts], tmp_path / "both")
    for case in merged.cases:
        drawn = slide_drawings(merged.labels_folder, case.case)
        assert len(drawn) == 2
        assert len(SlideContours.read(drawn[0]).contours) == 3
    gone, left = merged.cases
    merged.remove_case(gone.case, revision=gone.revision)
    assert slide_drawings(merged.labels_folder, gone.case) == ()
    assert len(slide_drawings(merged.labels_folder, left.case)) == 2
    assert len(list((merged.path / "history" / "trash").glob("*a of*"))) >= 2


def test_classes_of_a_file_are_added_once_and_qupaths_own_names_are_none() -> None:
    info = DatasetInfo(name="a", classes=mask_classes(["Tumor"]))
    contours = [
        contour("Tumor"),
        contour("Tumor", "Positive"),
        contour("Ignore*"),
        contour("Region*"),
        contour(),
        contour("Stroma", color="#010203"),
        contour("Stroma", color="#040506"),
        contour("Fat", color="#ffffff"),
    ]
    found = with_classes_of(info, contours)
    assert [(c.value, c.name) for c in found.classes] == [(1, "Tumor"), (2, "Stroma"), (3, "Fat")]
    assert found.classes[1].color == "#010203"
    assert found.classes[2].color != "#ffffff"
    assert with_classes_of(found, contours) == found


def test_a_sheet_keeps_the_order_of_the_file_whatever_is_drawn(tmp_path: Path) -> None:
    cell = {"properties": {"objectType": "cell", "measurements": {"Area": 1.5}}}
    point = {"type": "Feature", "geometry": {"type": "Point", "coordinates": [1, 2]}, "properties": {}}
    names = ["big", "c1", "c2", "small", "c3"]
    contours = tuple(contour(name, **(cell if name[0] == "c" else {})) for name in names)
    sheet = ContourSheet.of(SlideContours(contours=contours, others=((2, point),)))
    assert [c.class_name for c in sheet.drawn] == ["big", "small"]
    assert [c.class_name for c in sheet.found.contours] == ["c1", "c2", "c3"]
    drawing = ContourDrawing(SlideContours(contours=sheet.drawn), lambda: None)
    drawing.draw(SQUARE.outer + 20, "new", Look("new", "#000000"))
    drawing.remove({sheet.drawn[1].id})
    sheet.with_class_renamed("c2", "cell").write(tmp_path / "a.geojson", drawing.present.contours)
    found = SlideContours.read(tmp_path / "a.geojson")
    assert [c.class_name for c in found.contours] == ["big", "c1", "cell", "c3", "new"]
    assert found.contours[1].properties == cell["properties"]
    assert found.others == ((2, point),)


def test_so_many_contours_that_drawing_stalls_are_only_shown_but_for_the_last() -> None:
    contours = tuple(contour(str(i)) for i in range(MOST_CONTOURS + 10))
    sheet = ContourSheet.of(SlideContours(contours=contours))
    assert [c.class_name for c in sheet.drawn] == [str(i) for i in range(10, MOST_CONTOURS + 10)]
    more, drawn = sheet.with_more([contours[0], contour("x")])
    assert [c.class_name for c in drawn] == ["0", "x"]
    assert len({c.id for c in (*more.drawn, *more.found.contours)}) == MOST_CONTOURS + 12


def test_contours_of_another_file_lie_above_what_is_drawn_by_then(tmp_path: Path) -> None:
    sheet = ContourSheet.of(SlideContours(contours=(contour("first"),)))
    drawn = (*sheet.drawn, contour("by hand"))
    sheet, more = sheet.with_more([contour("cells", properties={"objectType": "cell"}), contour("last")], drawn)
    sheet.write(tmp_path / "a.geojson", (*drawn, *more, contour("later")))
    found = SlideContours.read(tmp_path / "a.geojson").contours
    assert [c.class_name for c in found] == ["first", "by hand", "cells", "last", "later"]
