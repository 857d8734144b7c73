"""A slide judged part by part, against its whole prediction and its whole labels."""

from __future__ import annotations

import numpy as np
import pytest

from napari_medseg.api.evaluation import figures_of, in_values_of_model
from napari_medseg.config import WindowConfig
from napari_medseg.data.synthetic_slide import CLASSES
from napari_medseg.data.training_set import training_set
from napari_medseg.inference import slide_evaluation
from napari_medseg.inference.engine import predict
from napari_medseg.inference.predictor import Predictor
from napari_medseg.metrics import class_counts, counts_to_scores
from napari_medseg.structures import MaskClass
from tests.data.slides import TAGS, make_slides

torch = pytest.importorskip("torch")


def colour_predictor(classes=CLASSES, tags=()) -> Predictor:
    """Dark is tumour, red is necrosis; the tag is that of most pixels in the middle of the window."""

    def forward(windows: torch.Tensor):
        red, green, blue = windows[:, 0], windows[:, 1], windows[:, 2]
        stroma = torch.full_like(red, 0.1)
        logits = torch.stack([stroma, 1 - 2 * green.abs() + (blue - red), 3 * (red - blue) - 0.4], dim=1) * 20
        centre = logits[:, :, 20:44, 20:44].mean(dim=(2, 3))
        return logits, centre if tags else None

    return Predictor(
        window=(64, 64),
        multiple=16,
        scale_of=lambda image: (0.5, 0.5),
        prepare=lambda image: None,
        normalise=lambda pixels, prepared: pixels.astype(np.float32) / 255,
        forward=forward,
        classes=classes,
        tags=tags,
        windows=WindowConfig(),
    )


@pytest.fixture(scope="module")
def slide(tmp_path_factory):
    (case,) = training_set(make_slides(tmp_path_factory.mktemp("slides"))).cases
    return case


def compute():
    from napari_medseg.models.compute import choose_compute

    return choose_compute("cpu", "fp32", 1)


def test_parts_together_count_as_the_whole(slide, monkeypatch):
    monkeypatch.setattr(slide_evaluation, "_BLOCK", 300)
    predictor, image = colour_predictor(), slide.load_image()
    document = figures_of(predictor, [slide], compute())
    labels = np.asarray(predict(predictor, image, mask=slide.load_tissue(), compute=compute()).labels)
    whole = np.full(image.spatial_shape, 255, np.uint8)
    # Without a region the prediction is that of the box around the tissue.
    region = predict(predictor, image, mask=slide.load_tissue(), compute=compute()).region
    whole[tuple(slice(*side) for side in region)] = labels
    truth = slide.labels.read(tuple((0, n) for n in image.spatial_shape), 1)
    dice = counts_to_scores(class_counts(truth, whole, [c.value for c in CLASSES]))["dice"]
    found = [document["segmentation"][c.name]["dice"] for c in CLASSES]
    # Windows that overlap are blended in another order at the border of two parts.
    np.testing.assert_allclose(found, dice, atol=1e-4)
    assert 0.2 < min(found)
    assert document["n_cases"] == 1


def test_tagged_tiles_count_as_cases_of_their_slide(slide):
    document = figures_of(colour_predictor(tags=TAGS), [slide], compute())
    tiles = len(slide.labels.tile_tags)
    assert document["n_cases"] == 1 + tiles
    assert document["n_groups"] == 1
    assert document["classification"]["n_cases"] == tiles
    assert document["classification"]["accuracy"] > 0.8
    assert document["per_case"][0]["case"] == "slide0"


def test_a_slide_with_a_tag_is_judged_as_a_whole(tmp_path):
    dataset = make_slides(tmp_path, kinds=())
    case = dataset.case("slide0")
    dataset.update_case("slide0", revision=case.revision, tag="stroma")
    (slide,) = training_set(dataset).cases
    document = figures_of(colour_predictor(tags=TAGS), [slide], compute())
    (row,) = document["per_case"]
    assert row["tag"] == "stroma"
    assert sum(row["probabilities"].values()) == pytest.approx(1.0)
    assert document["segmentation"] is None


def test_classes_are_those_of_their_names(slide, tmp_path):
    swapped = (MaskClass(value=5, name="necrosis", color="#000000"), MaskClass(value=1, name="other", color="#ffffff"))
    info = make_slides(tmp_path, kinds=()).info
    (case,) = in_values_of_model([slide], info, swapped, "data", lambda event, **values: None)
    box = tuple((0, n) for n in slide.load_image().spatial_shape)
    before, after = slide.labels.read(box, 4), case.labels.read(box, 4)
    assert ((after == 5) == (before == 2)).all()
    assert not (after == 1).any()
    assert ((after == 0) == (before == 0)).all()
    assert ((after == 255) == (before == 255)).all()
