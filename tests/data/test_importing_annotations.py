"""Data sets from images and the annotations of slide viewers beside them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Picture

from napari_medseg.data.importing import import_dataset
from napari_medseg.data.slide_contours import SlideContours, contours_path
from napari_medseg.data.synthetic_slide import write_slide
from napari_medseg.errors import DatasetError


def geojson(*areas: tuple[str, list]) -> str:
    features = [
        {
            "type": "Feature",
            "geometry": {"type": "Polygon", "coordinates": [[[x, y] for y, x in [*ring, ring[0]]]]},
            "properties": {"classification": {"name": name, "color": [200, 0, 0]}, "measurements": {"Area": 3.5}},
        }
        for name, ring in areas
    ]
    return json.dumps({"type": "FeatureCollection", "features": features})


def square(low: int, high: int) -> list:
    return [(low, low), (low, high), (high, high), (high, low)]


def asap(group: str, ring: list) -> str:
    corners = "".join(f'<Coordinate Order="{i}" X="{x}" Y="{y}"/>' for i, (y, x) in enumerate(ring))
    return (
        '<ASAP_Annotations><Annotations><Annotation Name="1" Type="Polygon" PartOfGroup="'
        + group
        + '" Color="#000000">'
        f"<Coordinates>{corners}</Coordinates></Annotation></Annotations></ASAP_Annotations>"
    )


@pytest.fixture
def source(tmp_path: Path) -> Path:
    (tmp_path / "in" / "annotations").mkdir(parents=True)
    for name in ("p.png", "q.png", "bare.png"):
        Picture.fromarray(np.full((60, 80, 3), 200, np.uint8)).save(tmp_path / "in" / name)
    return tmp_path / "in"


def test_contours_of_pictures_become_labels_and_those_of_slides_stay(tmp_path: Path, source: Path) -> None:
    write_slide(source / "s.svs", (2048, 3000), seed=1)
    region = geojson(("Region*", square(5, 50)), ("Tumor", square(10, 30)), ("Ignore*", square(40, 45)))
    (source / "annotations" / "p.geojson").write_text(region, "utf-8")
    (source / "annotations" / "q.xml").write_text(asap("Stroma", square(10, 30)), "utf-8")
    (source / "annotations" / "s.svs.geojson").write_text(geojson(("Tumor", square(100, 900))), "utf-8")
    said: list[str] = []
    dataset = import_dataset(source, tmp_path / "out", format="geojson", say=said.append)
    classes = {c.name: c.value for c in dataset.info.classes}
    assert set(classes) == {"Tumor", "Stroma"}

    expected = np.full((60, 80), 255, np.uint8)
    expected[5:50, 5:50] = 0
    expected[10:30, 10:30] = classes["Tumor"]
    expected[40:45, 40:45] = 255
    np.testing.assert_array_equal(dataset.read_labels(dataset.case("p")), expected)
    expected[:] = 255
    expected[10:30, 10:30] = classes["Stroma"]
    np.testing.assert_array_equal(dataset.read_labels(dataset.case("q")), expected)

    slide = dataset.case("s")
    assert (slide.label, slide.status, slide.origin) == ("", "done", "person")
    kept = SlideContours.read(contours_path(dataset.labels_folder, "s"))
    assert [c.class_name for c in kept.contours] == ["Tumor"]
    assert kept.contours[0].properties["measurements"] == {"Area": 3.5}
    assert kept.labels(((0, 2048), (0, 3000)), 100, dataset.info.classes)[1:9, 1:9].min() == classes["Tumor"]
    assert dataset.case("bare").status == "todo"
    assert any("1 images have no file" in text for text in said)


def test_files_that_fit_no_image_or_cannot_be_read_are_named_and_nothing_is_written(
    tmp_path: Path, source: Path
) -> None:
    (source / "p.geojson").write_text(geojson(("Tumor", square(1, 9))), "utf-8")
    (source / "other.geojson").write_text(geojson(("Tumor", square(1, 9))), "utf-8")
    with pytest.raises(DatasetError, match=r"other\.geojson has no image"):
        import_dataset(source, tmp_path / "out", format="geojson")
    (source / "other.geojson").unlink()
    (source / "annotations" / "p.xml").write_text(asap("Tumor", square(1, 9)), "utf-8")
    with pytest.raises(DatasetError, match=r"both fit image 'p'"):
        import_dataset(source, tmp_path / "out", format="asap")
    (source / "annotations" / "p.xml").unlink()
    (source / "q.xml").write_text("<Annotations>", "utf-8")
    with pytest.raises(DatasetError, match=r"q\.xml"):
        import_dataset(source, tmp_path / "out", format="imagescope")
    assert not (tmp_path / "out").exists()


def test_a_folder_without_any_such_file_is_a_sentence(tmp_path: Path, source: Path) -> None:
    with pytest.raises(DatasetError, match="No file of contours"):
        import_dataset(source, tmp_path / "out", format="geojson")
