"""Synthetic tissue: repeatable, labelled where the glands are, and of two kinds that differ."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage
from skimage.measure import label, regionprops
from skimage.segmentation import clear_border

from napari_medseg.data.dataset import Dataset
from napari_medseg.data.synthetic import make_dataset, tissue
from napari_medseg.errors import DatasetError


@pytest.mark.parametrize("malignant", [False, True])
@pytest.mark.parametrize("size", [32, 97, 256])
def test_shapes_types_and_values(size: int, malignant: bool) -> None:
    rgb, labels = tissue(size, seed=3, malignant=malignant)
    assert rgb.shape == (size, size, 3)
    assert labels.shape == (size, size)
    assert rgb.dtype == labels.dtype == np.uint8
    assert set(np.unique(labels)) <= {0, 1}


def test_equal_seeds_give_equal_pictures_and_others_differ() -> None:
    first, again, other = tissue(128, seed=5)[0], tissue(128, seed=5)[0], tissue(128, seed=6)[0]
    np.testing.assert_array_equal(first, again)
    assert (first != other).mean() > 0.5


def test_labels_are_where_nuclei_and_lumina_are() -> None:
    """Brightest (lumen) and darkest (nuclei) pixels lie inside glands far more often than chance."""
    rgb, labels = tissue(384, seed=1)
    grey = rgb.mean(-1)
    lumen = grey > np.percentile(grey, 97)
    nuclei = ndimage.gaussian_filter(grey, 2) < np.percentile(ndimage.gaussian_filter(grey, 2), 3)
    inside = labels == 1
    assert inside[lumen].mean() > 0.9
    assert inside[nuclei].mean() > 1.5 * inside.mean()


def test_malignant_glands_are_rougher() -> None:
    """Solidity, the area over that of the convex hull, of whole glands."""

    def solidity(malignant: bool) -> float:
        glands = [
            region.solidity
            for seed in range(6)
            for region in regionprops(label(clear_border(tissue(256, seed=seed, malignant=malignant)[1])))
        ]
        return float(np.mean(glands))

    assert solidity(False) > 0.92
    assert solidity(True) < solidity(False) - 0.03


def test_mean_brightness_does_not_tell_the_kinds_apart() -> None:
    """No threshold on it is right for more than nine of ten pictures."""
    brightness = {
        kind: np.array([tissue(128, seed=seed, malignant=kind)[0].mean() for seed in range(20)])
        for kind in (False, True)
    }
    right = [
        (brightness[False] > threshold).mean() / 2 + (brightness[True] <= threshold).mean() / 2
        for threshold in np.concatenate(list(brightness.values()))
    ]
    assert max(right) < 0.9


def test_too_small_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 32 pixels, got 8"):
        tissue(8)


def test_data_set_can_be_opened_and_read(tmp_path: Path) -> None:
    make_dataset(tmp_path / "data", n=10, size=48, seed=2)
    data = Dataset.open(tmp_path / "data")
    assert len(data.cases) == 10
    assert {case.status for case in data.cases} == {"done"}
    for case in data.cases:
        labels = data.read_labels(case)
        image = data.read_image(case)
        assert image.spatial_shape == (48, 48)
        if case.label:
            assert labels is not None
            assert labels.shape == (48, 48)


def test_data_set_has_every_kind_of_case(tmp_path: Path) -> None:
    cases = make_dataset(tmp_path / "data", n=10, size=32).cases
    for split in ("train", "val", "test"):
        assert {case.tag for case in cases if case.split == split} == {"benign", "malignant"}
    assert {bool(case.label) for case in cases if case.split == "train"} == {True, False}
    assert all(case.label for case in cases if case.split != "train")
    splits_of_group = {case.group: {c.split for c in cases if c.group == case.group} for case in cases}
    assert all(len(splits) == 1 for splits in splits_of_group.values())


def test_data_set_keeps_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(DatasetError):
        make_dataset(tmp_path, n=2, size=32)
    assert (tmp_path / "mine.txt").read_text() == "mine"
    with pytest.raises(ValueError, match="at least 2 cases"):
        make_dataset(tmp_path / "new", n=1)
