"""Made-up B-scans: their labels are layers in order, their data set can be trained with."""

from __future__ import annotations

import numpy as np
import pytest

from napari_medseg.annotation.order import count_violations
from napari_medseg.annotation.surfaces import labels_of_surfaces, pile_of
from napari_medseg.data.checking import check
from napari_medseg.data.dataset import Dataset
from napari_medseg.data.synthetic_oct import CLASSES, FLUID, SURFACES, bscan, make_oct_dataset, surface_rows, volume
from napari_medseg.structures import DatasetInfo

PILE = pile_of(DatasetInfo(name="", classes=CLASSES, surfaces=SURFACES))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("size", [(64, 48), (96, 128), (256, 256)])
def test_labels_are_the_layers_between_the_surfaces(size: tuple[int, int], seed: int) -> None:
    _, labels = bscan(*size, seed=seed)
    rows = surface_rows(1, *size, seed)[0].astype(np.float32)
    np.testing.assert_array_equal(labels, labels_of_surfaces(rows, size[0], PILE))
    assert count_violations(labels, PILE) == 0
    assert set(np.unique(labels).tolist()) == {0, *PILE}


def test_layers_differ_in_brightness_as_their_surfaces_say() -> None:
    image, labels = bscan(seed=3)
    mean = {value: image[labels == value].mean() for value in PILE}
    for surface, above, below in zip(SURFACES, PILE[:-1], PILE[1:], strict=True):
        if surface.edge == "dark-to-bright":
            assert mean[below] > mean[above] + 20
        if surface.edge == "bright-to-dark" and surface.name != "BM":
            assert mean[below] < mean[above] - 20


def test_the_retina_is_thinner_in_the_middle_of_a_volume() -> None:
    _, labels = volume(9, 96, 64, seed=2)
    thickness = (labels > 0).sum(axis=1)
    assert thickness[4, 24:40].min() < 0.8 * thickness[0].mean()


def test_fluid_lies_over_the_outer_nuclear_layer_alone() -> None:
    dry, wet = bscan(seed=5)[1], bscan(seed=5, fluid=True)[1]
    assert (wet == FLUID.value).sum() > 50
    assert set(dry[wet == FLUID.value].tolist()) == {5}
    np.testing.assert_array_equal(dry[wet != FLUID.value], wet[wet != FLUID.value])


def test_equal_seeds_give_equal_pictures_and_others_do_not() -> None:
    np.testing.assert_array_equal(bscan(64, 64, seed=1)[0], bscan(64, 64, seed=1)[0])
    assert (bscan(64, 64, seed=1)[0] != bscan(64, 64, seed=2)[0]).any()


def test_too_small_pictures_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 32"):
        bscan(16, 64)


def test_the_data_set_is_sound_and_knows_spacing_source_and_side(tmp_path) -> None:
    make_oct_dataset(tmp_path / "oct", n=8)
    dataset = Dataset.open(tmp_path / "oct")
    assert [fault for fault in check(dataset) if fault.severity == "error"] == []
    assert {case.source for case in dataset.cases} == {"device A", "device B"}
    assert len({case.group for case in dataset.cases}) == 4
    image = dataset.read_image(dataset.cases[0])
    assert (image.kind, image.spatial_shape, image.spacing) == ("oct", (96, 128), (0.0039, 0.0115))
    assert image.oct is not None
    assert image.oct.laterality == "R"
    assert dataset.read_labels(dataset.cases[2]).max() == FLUID.value
