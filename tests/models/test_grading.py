"""Probabilities of ordered grades, and where they come from."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from napari_medseg.models.grading import attention_of_grade, grade_log_probabilities

logits = arrays(np.float32, st.tuples(st.integers(1, 4), st.integers(1, 5)), elements=st.floats(-30, 30, width=32))


@settings(max_examples=40, deadline=None)
@given(steps=logits, temperature=st.floats(0.2, 5))
def test_probabilities_sum_to_one_and_follow_the_steps(steps, temperature):
    shares = grade_log_probabilities(torch.from_numpy(steps), temperature).exp().numpy()
    assert shares.shape == (len(steps), steps.shape[1] + 1)
    assert np.isfinite(shares).all()
    np.testing.assert_allclose(shares.sum(axis=1), 1, atol=1e-5)
    above = np.minimum.accumulate(1 / (1 + np.exp(-steps.astype(float) / temperature)), axis=1)
    np.testing.assert_allclose(shares[:, ::-1].cumsum(axis=1)[:, ::-1][:, 1:], above, atol=1e-4)


def test_two_grades_are_a_sigmoid():
    shares = grade_log_probabilities(torch.tensor([[0.7], [-2.0]])).exp()
    torch.testing.assert_close(shares[:, 1], torch.sigmoid(torch.tensor([0.7, -2.0])))


class LeftHalf(torch.nn.Module):
    """Maps are the image itself at several sizes; the grade is the brightness of its left half, and sure of itself."""

    def encoder(self, images):
        maps = [images, images * 1.0]
        for _ in range(3):
            maps.append(torch.nn.functional.avg_pool2d(maps[-1], 2))
        return maps

    def head(self, deepest):
        return 1000 * (deepest[..., : deepest.shape[-1] // 2].mean((1, 2, 3))[:, None] - 0.5)


def test_attention_lies_where_the_grade_comes_from():
    images = torch.rand(2, 1, 16, 16) + 1  # bright: the upper grade
    with torch.inference_mode():
        found = attention_of_grade(LeftHalf(), temperature=1.0)(images)
    assert tuple(found.shape) == (2, 16, 16)
    assert float(found.amax()) == 1
    assert float(found.amin()) >= 0
    assert float(found[..., :6].mean()) > 10 * float(found[..., 10:].mean())
