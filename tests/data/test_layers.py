from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Picture

from napari_medseg.annotation.surfaces import pile_of, surfaces_of_labels
from napari_medseg.data.dataset_file import mask_classes
from napari_medseg.data.importing import import_dataset
from napari_medseg.data.layers import layer_names, surfaces_of_layers, with_structure_colors
from napari_medseg.data.retina import STRUCTURES
from napari_medseg.errors import DatasetError

CLASSES = mask_classes(["RNFL", "GCL+IPL", "INL", "fluid"])


def test_layers_become_surfaces_and_back() -> None:
    layers = ["background", "RNFL", "GCL+IPL", "INL"]
    surfaces = surfaces_of_layers(layers, CLASSES)
    assert [s.name for s in surfaces] == ["ILM", "RNFL/GCL+IPL", "GCL+IPL/INL"]
    assert layer_names(surfaces) == layers
    assert surfaces_of_layers([], CLASSES) == ()


@pytest.mark.parametrize(
    ("layers", "sentence"),
    [
        (["RNFL", "GCL"], "Layer 'GCL' is no class .* has GCL\\+IPL, INL, RNFL, fluid"),
        (["RNFL", "", "INL"], "without a name stands beside 'RNFL'"),
        (["RNFL", "background", "INL"], "The background lies between 'RNFL' and 'INL'"),
        (["RNFL", "INL", "RNFL"], "'RNFL' is listed twice"),
        (["RNFL"], "'RNFL' alone has no boundary"),
    ],
)
def test_what_is_no_pile_is_refused_in_a_sentence(layers: list[str], sentence: str) -> None:
    with pytest.raises(DatasetError, match=sentence):
        surfaces_of_layers(layers, CLASSES)


def test_structures_have_their_colours_and_no_other_class_has_one_of_those() -> None:
    colored = {c.name: c.color for c in with_structure_colors(CLASSES)}
    assert colored["RNFL"] == STRUCTURES["RNFL"]
    assert colored["GCL+IPL"] == STRUCTURES["GCL"]
    assert len(set(colored.values())) == len(CLASSES)


def test_an_imported_scan_has_surfaces_without_further_work(tmp_path: Path) -> None:
    # Rows 0-2 vitreous, 3-5 RNFL, 6-8 GCL and IPL (told apart here), 9-11 INL.
    mask = np.repeat(np.array([0] * 3 + [1] * 3 + [2, 3, 3] + [4] * 3, np.uint8)[:, None], 8, axis=1)
    for folder, pixels in (("images", np.zeros_like(mask)), ("masks", mask)):
        (tmp_path / "s" / folder).mkdir(parents=True)
        Picture.fromarray(pixels).save(tmp_path / "s" / folder / "a.png")
    dataset = import_dataset(
        tmp_path / "s",
        tmp_path / "out",
        kind="oct",
        classes={1: "RNFL", 2: "GCL+IPL", 3: "GCL+IPL", 4: "INL"},
        layers=["background", "RNFL", "GCL+IPL", "INL"],
        source_value="Spectralis",
    )
    labels = dataset.read_labels(dataset.cases[0])
    assert labels is not None
    rows = surfaces_of_labels(labels, pile_of(dataset.info))
    np.testing.assert_array_equal(rows, np.repeat(np.array([[2.5], [5.5], [8.5]], np.float32), 8, axis=1))
    assert dataset.cases[0].source == "Spectralis"
    with pytest.raises(DatasetError, match="either a column or one name"):
        import_dataset(tmp_path / "s", tmp_path / "x", source_value="a", source_column="b")
