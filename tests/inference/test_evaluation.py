"""The evaluate document against scikit-learn on all pixels and cases at once."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from sklearn import metrics as reference

from napari_medseg.errors import DatasetError
from napari_medseg.inference.evaluation import evaluate_cases
from napari_medseg.structures import Image, MaskClass, Prediction, TagResult, TrainingCase

CLASSES = (MaskClass(value=1, name="gland", color="#ff0000"), MaskClass(value=4, name="vessel", color="#00ff00"))
TAGS = ("benign", "malignant")


def make_cases(n: int, seed: int = 0) -> tuple[list[TrainingCase], dict[str, Prediction]]:
    """Cases of n // 2 patients, whose predictions are right about three times in four."""
    rng = np.random.default_rng(seed)
    cases, predictions = [], {}
    for i in range(n):
        truth = rng.choice(np.array([0, 1, 4, 255], np.uint8), (20, 30))
        predicted = np.where(rng.random((20, 30)) < 0.7, truth, 0).astype(np.uint8)
        tag = TAGS[i % 2]
        chance = float(np.clip(rng.normal(0.35 + 0.3 * (i % 2), 0.2), 0, 1))
        image = Image(levels=(np.zeros((20, 30), np.uint8),), axes="yx", name=f"c{i}")
        predictions[f"c{i}"] = Prediction(
            labels=predicted,
            classes=CLASSES,
            tag=TagResult(tag="benign", probabilities={"benign": 1 - chance, "malignant": chance}),
            probabilities=None,
            region=((0, 20), (0, 30)),
            seconds=0.1,
        )
        cases.append(
            TrainingCase(
                case=f"c{i}",
                group=f"p{i // 2}",
                source="a",
                split="test",
                tag=tag if i % 5 else None,
                grade=None,
                has_mask=i % 3 != 0,
                load_image=lambda image=image: image,
                load_labels=lambda truth=truth: truth,
                content_hash="0" * 16,
                image_hash="0" * 16,
            )
        )
    return cases, predictions


def test_document_equals_scikit_learn() -> None:
    cases, predictions = make_cases(20)
    steps: list[tuple[int, int, str]] = []
    document = evaluate_cases(
        lambda image: predictions[image.name],
        cases,
        classes=CLASSES,
        tags=TAGS,
        progress=lambda *step: steps.append(step),
    )
    json.dumps(document, allow_nan=False)
    used = [c for c in cases if c.has_mask or c.tag]
    assert document["n_cases"] == len(used) == steps[-1][0]
    assert document["n_groups"] == len({c.group for c in used})
    masked = [c for c in cases if c.has_mask]
    truth = np.concatenate([c.load_labels().ravel() for c in masked])
    predicted = np.concatenate([np.ravel(predictions[c.case].labels) for c in masked])
    known = truth != 255
    pooled = []
    for c in CLASSES:
        t, p = truth[known] == c.value, predicted[known] == c.value
        entry = document["segmentation"][c.name]
        pooled.append(reference.f1_score(t, p))
        assert entry["dice"] == pytest.approx(pooled[-1])
        assert entry["iou"] == pytest.approx(reference.jaccard_score(t, p))
        low, high = entry["dice_ci"]
        assert low < entry["dice"] < high
        assert entry["n_cases"] == len(masked)
    assert document["segmentation"]["mean"]["dice"] == pytest.approx(np.mean(pooled))

    tagged = [c for c in cases if c.tag]
    y = np.array([TAGS.index(c.tag) for c in tagged])
    chance = np.array([predictions[c.case].tag.probabilities["malignant"] for c in tagged])
    figures = document["classification"]
    assert figures["auc"] == pytest.approx(reference.roc_auc_score(y, chance))
    assert figures["accuracy"] == pytest.approx(reference.accuracy_score(y, chance > 0.5))
    assert figures["balanced_accuracy"] == pytest.approx(reference.balanced_accuracy_score(y, chance > 0.5))
    assert figures["macro_f1"] == pytest.approx(reference.f1_score(y, chance > 0.5, average="macro"))
    assert figures["per_class"]["malignant"]["sensitivity"] == pytest.approx(reference.recall_score(y, chance > 0.5))
    assert figures["auc_ci"][0] <= figures["auc"] <= figures["auc_ci"][1]


def test_same_seed_gives_the_same_intervals() -> None:
    cases, predictions = make_cases(12)
    first, second = (
        evaluate_cases(lambda i: predictions[i.name], cases, classes=CLASSES, tags=TAGS, seed=7) for _ in range(2)
    )
    assert first == second


def test_mean_dice_per_case_differs_from_pooled_and_leaves_absent_classes_out() -> None:
    small, large = np.zeros((20, 30), np.uint8), np.ones((20, 30), np.uint8)
    small[0, 0] = 1
    known, guesses = make_cases(3)
    cases = [
        replace(case, has_mask=True, load_labels=lambda truth=truth: truth)
        for case, truth in zip(known[1:], (small, large), strict=True)
    ]
    answers = {name: replace(guess, labels=large, tag=None) for name, guess in guesses.items()}
    entry = evaluate_cases(lambda i: answers[i.name], cases, classes=CLASSES, tags=())["segmentation"]
    assert entry["gland"]["dice"] == pytest.approx(2 * 601 / (601 + 1200))
    assert entry["gland"]["dice_per_case"] == pytest.approx((2 / 601 + 1) / 2)
    assert entry["vessel"]["dice"] is None
    assert entry["vessel"]["n_cases"] == 0
    assert entry["mean"]["dice"] == entry["gland"]["dice"]


def test_nothing_to_compare_and_unknown_tags_are_sentences() -> None:
    cases, predictions = make_cases(4)
    with pytest.raises(DatasetError, match="mask or tag"):
        evaluate_cases(lambda i: predictions[i.name], cases, classes=(), tags=())
    asked = []
    with pytest.raises(DatasetError, match="knows only benign, unsure"):
        evaluate_cases(asked.append, cases, classes=CLASSES, tags=("benign", "unsure"))
    assert asked == [], "nothing is predicted before the refusal"
