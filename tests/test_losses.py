"""Losses against scikit-learn and brute force, and their behaviour where little or nothing is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import log_loss

from napari_medseg.losses import (
    grade_cross_entropy,
    hybrid_tag_loss,
    mask_cross_entropy,
    mask_loss,
    sigmoid_cross_entropy,
    sigmoid_dice_loss,
    soft_dice_loss,
    tag_cross_entropy,
    tag_focal_loss,
    tag_loss,
)
from napari_medseg.structures import NO_TAG, NOT_LOOKED_AT
from napari_medseg.training.stage import Batch

CLASSES = 3


def random_case(seed: int, batch: int = 4, side: int = 6) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(batch, CLASSES, side, side, generator=generator)
    labels = torch.randint(0, CLASSES + 1, (batch, side, side), generator=generator)
    labels[labels == CLASSES] = NOT_LOOKED_AT
    return logits, labels


def brute_dice(logits: torch.Tensor, labels: torch.Tensor) -> float:
    """The definition, pixel by pixel in float64."""
    probabilities = logits.double().softmax(1).numpy()
    total = 0.0
    for p, truth in zip(probabilities, labels.numpy(), strict=True):
        known = truth != NOT_LOOKED_AT
        terms = []
        for index in range(1, CLASSES):
            true = (truth == index)[known]
            if true.any():
                said = p[index][known]
                terms.append(1 - 2 * (said * true).sum() / (said.sum() + true.sum()))
        total += float(np.mean(terms)) if terms else 0.0
    return total / len(labels)


@pytest.mark.parametrize("seed", range(3))
def test_cross_entropy_is_the_mean_log_loss_of_looked_at_pixels(seed: int) -> None:
    logits, labels = random_case(seed)
    expected = []
    for sample, truth in zip(logits.double().softmax(1), labels, strict=True):
        known = truth != NOT_LOOKED_AT
        expected.append(log_loss(truth[known], sample[:, known].T, labels=range(CLASSES)))
    assert mask_cross_entropy(logits, labels).item() == pytest.approx(np.mean(expected), rel=1e-5)


@pytest.mark.parametrize("seed", range(3))
def test_soft_dice_follows_its_definition(seed: int) -> None:
    logits, labels = random_case(seed)
    labels[0] = 0  # a sample without any class
    labels[1][labels[1] == 1] = 2  # a sample without one class
    assert soft_dice_loss(logits, labels).item() == pytest.approx(brute_dice(logits, labels), rel=1e-5)


def test_pixels_nobody_looked_at_change_nothing() -> None:
    logits, labels = random_case(0)
    changed = logits.clone()
    changed.movedim(1, -1)[labels == NOT_LOOKED_AT] = 50.0 * torch.randn(CLASSES)
    for loss in (mask_cross_entropy, soft_dice_loss):
        assert torch.equal(loss(changed, labels), loss(logits, labels))


def test_weights_multiply_the_terms_of_their_class() -> None:
    logits, labels = random_case(1)
    weights = [0.5, 2.0, 3.0]
    per_class = []
    for index in range(CLASSES):
        only = [float(i == index) for i in range(CLASSES)]
        per_class.append(mask_cross_entropy(logits, labels, only).item())
    expected = sum(weight * value for weight, value in zip(weights, per_class, strict=True))
    assert mask_cross_entropy(logits, labels, weights).item() == pytest.approx(expected, rel=1e-5)


def test_tag_cross_entropy_counts_untagged_samples_as_zero() -> None:
    logits = torch.randn(5, 2)
    tags = torch.tensor([0, 1, NO_TAG, 1, NO_TAG])
    tagged = tags != NO_TAG
    expected = log_loss(tags[tagged], logits.double().softmax(1)[tagged], labels=[0, 1]) * 3 / 5
    assert tag_cross_entropy(logits, tags).item() == pytest.approx(expected, rel=1e-5)


def test_balanced_tag_weights_let_both_classes_pull_equally() -> None:
    logits = torch.zeros(4, 2, requires_grad=True)
    tags = torch.tensor([0, 0, 0, 1])
    tag_cross_entropy(logits, tags, [4 / 6, 4 / 2]).backward()
    assert logits.grad is not None
    assert logits.grad.sum(0).abs().max() < 1e-6


@pytest.mark.parametrize("what", ["mask", "tag"])
def test_batch_without_any_label_gives_zero_and_a_gradient_of_zero(what: str) -> None:
    weights = torch.ones((), requires_grad=True)
    batch = Batch(
        images=torch.zeros(2, 1, 4, 4), labels=torch.full((2, 4, 4), NOT_LOOKED_AT), tags=torch.full((2,), NO_TAG)
    )
    logits = torch.randn(2, 3, 4, 4) if what == "mask" else torch.randn(2, 3)
    loss = (mask_loss([1, 2, 3]) if what == "mask" else tag_loss([1, 2, 3]))(logits * weights, batch)
    loss.backward()
    assert loss.item() == 0.0
    assert weights.grad is not None
    assert weights.grad.item() == 0.0


def test_a_perfect_answer_costs_nothing_and_an_opposite_one_stays_finite() -> None:
    labels = torch.zeros(1, 4, 4, dtype=torch.long)
    labels[0, :2] = 1
    right = 100.0 * torch.nn.functional.one_hot(labels, 2).movedim(-1, 1).float()
    assert mask_cross_entropy(right, labels).item() + soft_dice_loss(right, labels).item() == pytest.approx(0, abs=1e-6)
    wrong = (-right).requires_grad_()
    loss = mask_cross_entropy(wrong, labels) + soft_dice_loss(wrong, labels)
    loss.backward()
    assert wrong.grad is not None
    assert torch.isfinite(loss)
    assert torch.isfinite(wrong.grad).all()


def test_volumes_are_judged_like_images() -> None:
    logits, labels = random_case(2)
    for loss in (mask_cross_entropy, soft_dice_loss):
        assert torch.allclose(loss(logits.unsqueeze(2), labels.unsqueeze(1)), loss(logits, labels))


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 1000), cut=st.integers(1, 3))
def test_the_loss_of_a_batch_is_the_mean_of_its_parts(seed: int, cut: int) -> None:
    logits, labels = random_case(seed)
    for loss in (mask_cross_entropy, soft_dice_loss):
        parts = [loss(logits[part], labels[part]) * len(labels[part]) for part in (slice(cut), slice(cut, None))]
        assert torch.allclose(sum(parts) / len(labels), loss(logits, labels), atol=1e-6)


def brute_sigmoid_dice(logits: torch.Tensor, labels: torch.Tensor, *, nested: bool) -> float:
    """The definition with 1 pixel added to hits and misses, in float64."""
    chances = 1 / (1 + np.exp(-logits.double().numpy()))
    total = 0.0
    for chance, truth in zip(chances, labels.numpy(), strict=True):
        known = truth != NOT_LOOKED_AT
        if not known.any():
            continue
        terms = []
        for index in range(1, len(chance) + 1):
            true = ((truth >= index) if nested else (truth == index))[known]
            said = chance[index - 1][known]
            terms.append(1 - (2 * (said * true).sum() + 1) / (said.sum() + true.sum() + 1))
        total += float(np.mean(terms))
    return total / len(labels)


@pytest.mark.parametrize("nested", [False, True])
@given(seed=st.integers(0, 1000))
@settings(max_examples=25, deadline=None)
def test_dice_of_overlapping_classes_is_its_definition(nested, seed):
    logits, labels = random_case(seed)
    labels[0] = NOT_LOOKED_AT
    found = sigmoid_dice_loss(logits[:, 1:], labels, nested=nested)
    assert float(found) == pytest.approx(brute_sigmoid_dice(logits[:, 1:], labels, nested=nested), rel=1e-4)


@pytest.mark.parametrize("nested", [False, True])
def test_cross_entropy_of_overlapping_classes_is_its_definition(nested):
    logits, labels = random_case(5)
    labels[0] = NOT_LOOKED_AT
    chances = 1 / (1 + np.exp(-logits[:, 1:].double().numpy()))
    total = 0.0
    for chance, truth in zip(chances[1:], labels[1:].numpy(), strict=True):
        known = truth != NOT_LOOKED_AT
        for index in (1, 2):
            true = ((truth >= index) if nested else (truth == index))[known]
            total += log_loss(true, chance[index - 1][known], labels=[False, True]) / 2
    found = sigmoid_cross_entropy(logits[:, 1:], labels, nested=nested)
    assert float(found) == pytest.approx(total / len(labels), rel=1e-5)


def test_dice_of_overlapping_classes_has_no_gradient_where_nobody_looked():
    logits, labels = random_case(3)
    logits = logits[:, 1:].clone().requires_grad_()
    sigmoid_dice_loss(logits, labels).backward()
    unknown = (labels == NOT_LOOKED_AT).unsqueeze(1).expand_as(logits)
    assert unknown.any()
    assert not logits.grad[unknown].any()
    assert logits.grad[~unknown].any()


@pytest.mark.parametrize("gamma", [0.0, 1.0, 2.5])
@pytest.mark.parametrize("weights", [None, [0.5, 2.0, 1.0]])
def test_focal_loss_follows_its_definition(gamma, weights):
    torch.manual_seed(1)
    logits, tags = torch.randn(5, 3, dtype=torch.float64), torch.tensor([0, 2, NO_TAG, 1, 1])
    wanted = 0.0
    for row, tag in zip(logits.softmax(1).numpy(), tags.numpy(), strict=True):
        if tag != NO_TAG:
            wanted -= (1 - row[tag]) ** gamma * np.log(row[tag]) * (1 if weights is None else weights[tag])
    assert float(tag_focal_loss(logits, tags, gamma, weights)) == pytest.approx(wanted / 5, rel=1e-5)


def test_without_focus_the_hybrid_loss_is_cross_entropy_and_its_parts_add_up():
    torch.manual_seed(2)
    logits = torch.randn(4, 3)
    batch = Batch(images=logits, labels=torch.zeros(4, 1, 1), tags=torch.tensor([0, 1, 2, NO_TAG]))
    weights = [1.0, 2.0, 3.0]
    entropy = float(tag_cross_entropy(logits, batch.tags, weights))
    assert float(tag_focal_loss(logits, batch.tags, 0.0, weights)) == pytest.approx(entropy, rel=1e-5)
    focal = float(tag_focal_loss(logits, batch.tags, 2.0, weights))
    both = hybrid_tag_loss(cross_entropy=0.5, focal=3.0, gamma=2.0, class_weights=weights)
    assert float(both(logits, batch)) == pytest.approx(0.5 * entropy + 3 * focal, rel=1e-5)


def test_focal_loss_has_no_gradient_where_there_is_no_tag_and_stays_finite():
    logits = torch.tensor([[60.0, -60.0], [-60.0, 60.0], [1.0, 2.0]], requires_grad=True)
    loss = tag_focal_loss(logits, torch.tensor([0, 0, NO_TAG]))
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(logits.grad).all()
    assert not logits.grad[2].any()


def test_the_loss_of_a_grade_is_the_cross_entropy_of_its_steps():
    torch.manual_seed(0)
    logits, grades = torch.randn(6, 3), torch.tensor([0, 1, 2, 3, 3, 0])
    above = (grades[:, None] > torch.arange(3)).long()
    wanted = np.mean([log_loss(above[:, k], torch.sigmoid(logits[:, k])) for k in range(3)])
    assert float(grade_cross_entropy(logits, grades)) == pytest.approx(wanted, rel=1e-5)
    # Of two grades it is the usual one; a sample without a grade counts for nothing but the mean.
    two = grade_cross_entropy(logits[:5, :1], torch.tensor([0, 1, 1, NO_TAG, 0]))
    known = [0, 1, 2, 4]
    alone = log_loss([0, 1, 1, 0], torch.sigmoid(logits[known, 0]))
    assert float(two) == pytest.approx(alone * len(known) / 5, rel=1e-5)
    assert float(grade_cross_entropy(logits, torch.full((6,), NO_TAG))) == 0


def test_smooth_dice_asks_for_nothing_where_nothing_is():
    empty, unseen = torch.zeros(1, 4, 4, dtype=torch.int64), torch.full((1, 4, 4), NOT_LOOKED_AT)
    drawn = torch.stack([torch.full((4, 4), -9.0), torch.full((4, 4), 9.0)])[None]
    assert float(soft_dice_loss(drawn, empty)) == 0
    assert float(soft_dice_loss(drawn, empty, smooth=1.0)) > 0.9
    assert float(soft_dice_loss(-drawn, empty, smooth=1.0)) < 0.01
    assert float(soft_dice_loss(drawn, unseen, smooth=1.0)) == 0
