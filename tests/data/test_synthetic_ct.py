"""Made-up CT: organs have the Hounsfield units and the places that their names promise."""

from __future__ import annotations

import numpy as np
import pytest

from napari_medseg.data.synthetic_ct import CLASSES, EXTENT, abdomen, spacing_of_size

SIZE = (24, 96, 120)


@pytest.mark.parametrize("seed", range(3))
def test_every_organ_is_there_with_its_own_brightness(seed: int) -> None:
    units, labels = abdomen(*SIZE, seed=seed)
    assert units.dtype == np.int16
    assert set(np.unique(labels).tolist()) == {0, *(c.value for c in CLASSES)}
    mean = {c.name: units[labels == c.value].mean() for c in CLASSES}
    assert mean["tumour"] < mean["pancreas"] < mean["kidney"]
    assert 80 < mean["liver"] < 120
    assert units[0, 0, 0] < -900


def test_the_liver_is_on_the_right_side_and_kidneys_are_at_the_back() -> None:
    _, labels = abdomen(*SIZE, seed=1)
    middles = {c.name: np.argwhere(labels == c.value).mean(axis=0) / SIZE for c in CLASSES}
    assert middles["liver"][2] < 0.45  # the patient's right is at the left of the picture
    assert middles["kidney"][1] > 0.55
    assert middles["liver"][0] > middles["kidney"][0]


def test_equal_seeds_give_equal_abdomens_of_the_same_extent_at_any_size() -> None:
    for one, other in zip(abdomen(*SIZE, seed=5), abdomen(*SIZE, seed=5), strict=True):
        np.testing.assert_array_equal(one, other)
    assert not np.array_equal(abdomen(*SIZE, seed=5)[0], abdomen(*SIZE, seed=6)[0])
    shares = [np.count_nonzero(abdomen(*size, seed=5)[1] == 1) / np.prod(size) for size in (SIZE, (36, 120, 150))]
    assert shares[0] == pytest.approx(shares[1], rel=0.05)
    np.testing.assert_allclose(np.multiply(spacing_of_size(*SIZE), SIZE), EXTENT)
