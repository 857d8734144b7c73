"""Scheme `pathology` on whole slides: every kind of label alone, together, and beside ordinary pictures."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image as Picture

from napari_medseg.data.training_set import training_set
from napari_medseg.data.whole_slides import SlideTile, WholeSlide
from napari_medseg.errors import DatasetError
from napari_medseg.schemes import SCHEMES, build_config, find_scheme
from napari_medseg.structures import NO_TAG
from tests.data.slides import TAGS, make_slides
from tests.schemes.test_pathology import run_without_training

torch = pytest.importorskip("torch")

AT_HALF = ["input_size=64", "slides.mpp=0.5", "slides.tiles_per_pass=8", "slides.validation_tiles=6"]


@pytest.fixture(scope="module")
def compute():
    from napari_medseg.models.compute import choose_compute

    return choose_compute("cpu", "fp32", 1)


def slide_set(folder, *kinds):
    """Two slides of different patients to train on, one to validate with."""
    dataset = make_slides(folder, 3, kinds=kinds)
    for case, split in zip(dataset.cases, ("train", "train", "val"), strict=True):
        dataset.update_case(case.case, revision=case.revision, split=split)
    return dataset


@pytest.mark.parametrize(
    ("kinds", "expected"),
    [
        (("paint",), ["b_segmenter"]),
        (("contours",), ["b_segmenter"]),
        (("tiles",), ["a_classifier"]),
        (("paint", "contours", "tiles"), ["a_classifier", "b_segmenter", "c_classifier"]),
    ],
    ids=["paint", "contours", "tile tags", "all"],
)
def test_every_kind_of_label_trains_what_it_can(tmp_path, compute, kinds, expected):
    data = training_set(slide_set(tmp_path, *kinds))
    assert all(isinstance(case, WholeSlide) for case in data.cases)
    config = build_config(find_scheme("pathology"), assignments=AT_HALF)
    assert not [f for f in find_scheme("pathology").check(config, data) if f.severity == "error"]
    stages, _, _, trained = run_without_training(data, compute, AT_HALF)
    assert [stage.name for stage in stages] == expected
    for stage in stages:
        images, labels, tags = stage.source.draw(range(4), 0)
        assert images.shape == (4, 3, 64, 64)
        is_segmenter = stage.name == "b_segmenter"
        assert ((labels != 255).any() if is_segmenter else (labels == 255).all()) == np.True_
        assert (tags == NO_TAG).all() == is_segmenter
        assert stage.scorer is not None
        assert stage.readers > 1
    assert trained.preprocessing["resolution"]["spacing"] == (0.5, 0.5)


def test_slides_and_pictures_are_drawn_from_together(tmp_path, compute):
    dataset = slide_set(tmp_path, "contours", "tiles")
    rng = np.random.default_rng(0)
    for number in range(6):
        path = tmp_path / f"picture{number}.png"
        Picture.fromarray(rng.integers(0, 256, (80, 90, 3), np.uint8)).save(path)
        tag = TAGS[number % 3]
        dataset.add_case(path, group=f"p{number}", tag=tag, status="done", split="train" if number < 4 else "val")
    data = training_set(dataset)
    assert sum(isinstance(case, WholeSlide) for case in data.cases) == 3
    (a, b, _), _, _, _ = run_without_training(data, compute, AT_HALF)
    # Four pictures, and of two slides up to eight tiles of each tag.
    weights = [unit.weight for unit in a.source._units]
    assert len(a.source) == 4 + sum(weights)
    assert max(weights) == 8
    assert len(b.source) == 16
    assert {case.startswith("picture") for case in a.scorer.cases} == {True, False}


def test_steps_of_an_epoch_count_the_patches_of_slides(tmp_path, compute):
    data = training_set(slide_set(tmp_path, "contours"))
    wanted = [*AT_HALF, "slides.tiles_per_pass=60"]
    (stage,), _, _, _ = run_without_training(data, compute, wanted)
    # Two slides of 60 patches in batches of four.
    assert stage.training.steps_per_epoch == 30


def test_brightness_is_that_of_tissue_not_of_glass(tmp_path, compute):
    data = training_set(slide_set(tmp_path, "contours"))
    _, _, _, trained = run_without_training(data, compute, AT_HALF)
    mean = trained.preprocessing["intensity"]["mean"]
    assert max(mean) < 0.87
    assert mean[1] < 0.7


def test_what_is_drawn_on_a_slide_is_part_of_the_identity(tmp_path, compute):
    dataset = slide_set(tmp_path, "contours", "tiles")
    before, _, _, _ = run_without_training(training_set(dataset), compute, AT_HALF)
    from napari_medseg.data.tile_tags import read_tile_tags, tags_path, write_tile_tags

    path = tags_path(dataset.labels_folder, "slide0")
    write_tile_tags(path, read_tile_tags(path)[1:])
    after, _, _, _ = run_without_training(training_set(dataset), compute, AT_HALF)
    assert before[0].fingerprint["train"] != after[0].fingerprint["train"]
    assert before[0].fingerprint["validation"] == after[0].fingerprint["validation"]


def test_normalised_stains_are_part_of_the_model_and_of_its_prediction(tmp_path, compute):
    from napari_medseg.schemes.pathology_parts import PathologyParts

    data = training_set(slide_set(tmp_path, "contours", "tiles"))
    config = build_config(find_scheme("pathology"), assignments=[*AT_HALF, "slides.stain_normalisation=macenko"])
    parts = PathologyParts.fit(config, data, 0, compute)
    told = parts.trained({}, {}).preprocessing["intensity"]
    assert told["stain_normalisation"]["method"] == "macenko"
    slide = data.of_split("val")[0].load_image()
    predictor = parts.predictor()
    pixels = slide.region(((512, 576), (512, 576)))
    prepared = predictor.prepare(slide)
    plain = replace(parts, intensity=parts.intensity.intensity).predictor()
    assert not np.allclose(predictor.normalise(pixels, prepared), plain.normalise(pixels, plain.prepare(slide)))
    # A tile for validation is shown with the stains of its slide.
    from napari_medseg.inference.slide_tiles import predictor_for

    tile = parts.slides.judged_masks()[0]
    assert isinstance(tile, SlideTile)
    assert predictor_for(predictor, tile).prepare(tile.load_image()) is prepared


def test_other_schemes_say_that_slides_are_not_theirs(tmp_path, compute):
    from napari_medseg.api.training import train_cases

    data = training_set(slide_set(tmp_path, "contours"))
    scheme = SCHEMES["fibrosis"]
    with pytest.raises(DatasetError, match=r"3 finished cases are whole slides .* which this scheme cannot train from"):
        train_cases(scheme, scheme.config_type(), data, tmp_path / "run", device="cpu")
