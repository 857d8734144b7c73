"""Stains against pictures that were mixed from known ones."""

from __future__ import annotations

import numpy as np
import pytest

from napari_medseg.data.intensity import Intensity
from napari_medseg.data.stains import (
    REFERENCE,
    StainIntensity,
    find_stains,
    normaliser_from_json,
    stain_matrix,
    with_stains,
)
from napari_medseg.data.synthetic_slide import write_slide
from napari_medseg.io import read
from napari_medseg.structures import Image

PLAIN = Intensity(channels=3, mean=(0.5, 0.5, 0.5), std=(0.2, 0.2, 0.2))
#: Haematoxylin and eosin of another laboratory.
OTHER = np.array([(0.65, 0.70, 0.29), (0.10, 0.95, 0.30)])


def mixture(stains, seed: int = 0, strength: float = 1.0, n: int = 20000) -> np.ndarray:
    """Colours (3, n) from 0 to 1 of random amounts of two stains, pure ones of both among them."""
    rng = np.random.default_rng(seed)
    kinds = np.array([(1.0, 1.0), (1.0, 0.02), (0.02, 1.0)])[rng.integers(3, size=n)]
    amounts = strength * rng.gamma(2.0, 0.5, (2, n)) * kinds.T
    vectors = np.array(stains) / np.linalg.norm(stains, axis=1, keepdims=True)
    return np.exp(-(vectors.T @ amounts)).astype(np.float32)


def angle(a, b) -> float:
    return float(np.degrees(np.arccos(np.clip(a @ b / np.linalg.norm(a) / np.linalg.norm(b), -1, 1))))


@pytest.mark.parametrize("stains", [REFERENCE, OTHER])
def test_the_stains_of_a_mixture_are_found(stains):
    found, strengths = find_stains(mixture(stains))
    assert angle(found[:, 0], np.array(stains[0])) < 6
    assert angle(found[:, 1], np.array(stains[1])) < 6
    assert (strengths > 0.5).all()


def test_two_laboratories_look_alike_afterwards():
    one, other = mixture(REFERENCE), mixture(OTHER, strength=0.6)
    before = np.abs(one - other).mean()
    first, second = (with_stains(colours, stain_matrix(colours)) for colours in (one, other))
    assert np.abs(first - second).mean() < before / 4


def test_what_has_the_reference_stains_already_hardly_changes():
    colours = mixture(REFERENCE)
    again = with_stains(colours, stain_matrix(colours))
    twice = with_stains(again, stain_matrix(again))
    assert np.abs(twice - again).mean() < 0.02


@pytest.mark.parametrize(
    "pixels",
    [
        np.full((3, 5000), 0.95, np.float32),
        np.full((3, 5000), 0.3, np.float32),
        np.zeros((3, 10), np.float32),
        np.zeros((3, 5000), np.float32),
    ],
    ids=["glass", "one colour", "too few", "black"],
)
def test_pictures_without_two_stains_are_left_as_they_are(pixels):
    assert stain_matrix(pixels) is None


def test_a_tile_is_mapped_as_its_slide_and_the_slide_is_looked_at_once(tmp_path, monkeypatch):
    write_slide(tmp_path / "a.svs", (1024, 1536), seed=0)
    slide = read(tmp_path / "a.svs")
    normaliser = StainIntensity(intensity=PLAIN)
    prepared = normaliser.prepare(slide)
    assert prepared.matrix is not None
    monkeypatch.setattr("napari_medseg.data.stains.find_tissue", lambda image: pytest.fail("looked at again"))
    assert normaliser.prepare(slide) is prepared
    pixels = slide.region(((300, 364), (300, 364)))
    whole = normaliser.normalise(pixels, prepared)
    np.testing.assert_array_equal(normaliser.normalise(pixels[:, 10:20], prepared), whole[:, 10:20])
    assert not np.array_equal(whole, PLAIN.normalise(pixels, PLAIN.prepare(slide)))


def test_grey_pictures_keep_their_numbers():
    grey = Image(levels=(np.arange(4096, dtype=np.uint8).reshape(64, 64),), axes="yx")
    normaliser = StainIntensity(intensity=Intensity(channels=1, mean=(0.5,), std=(0.2,)))
    pixels = grey.region()
    found = normaliser.normalise(pixels, normaliser.prepare(grey))
    np.testing.assert_array_equal(found, normaliser.intensity.normalise(pixels, normaliser.intensity.prepare(grey)))


def test_a_model_file_tells_all_of_it():
    normaliser = StainIntensity(intensity=PLAIN)
    assert normaliser_from_json(normaliser.to_json()) == normaliser
    assert normaliser_from_json(PLAIN.to_json()) == PLAIN
    values = normaliser.to_json()
    values["stain_normalisation"]["method"] = "of the future"
    with pytest.raises(ValueError, match="of the future"):
        normaliser_from_json(values)
