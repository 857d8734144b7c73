"""The quick learner: features against direct filters, proposals on pictures whose truth is known."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from skimage.feature import hessian_matrix_eigvals

from napari_medseg.annotation.quick_case import Field, QuickCase
from napari_medseg.annotation.quick_features import GRID, HALO, SCALES, pixel_features
from napari_medseg.annotation.quick_learner import Examples, QuickForest, examples_in, joined
from napari_medseg.errors import AnnotationError, Cancelled
from napari_medseg.structures import NOT_LOOKED_AT

#: Features of a grey picture per scale: smoothed, gradient, two eigenvalues of the Hessian and of the structure tensor.
PER_SCALE = 6


def noise(shape, seed=0):
    return np.random.default_rng(seed).normal(100, 30, shape).astype(np.float32)


def textured(seed=0, size=160):
    """A fine and a coarse texture of the same mean brightness, and where the coarse one is."""
    rng = np.random.default_rng(seed)
    truth = np.zeros((size, size), np.uint8)
    truth[:, size // 2 :] = 1
    fine, coarse = rng.normal(0, 30, (size, size)), 150 * ndimage.gaussian_filter(rng.normal(0, 1, (size, size)), 3)
    return (128 + np.where(truth == 1, coarse, fine)).astype(np.float32), truth


def strokes(truth, thickness=6):
    """A stroke in each half."""
    drawn = np.full(truth.shape, NOT_LOOKED_AT, np.uint8)
    row, size = truth.shape[-2] // 2, truth.shape[-1]
    for column in (size // 4, 3 * size // 4):
        part = (..., slice(row - 20, row + 20), slice(column, column + thickness))
        drawn[part] = truth[part]
    return drawn


def plain(picture):
    """Reads every pixel of a picture."""
    return lambda box, step: picture[tuple(slice(*side) for side in box)].squeeze()[::step, ::step]


def test_the_finest_scale_is_what_direct_filters_give():
    picture = noise((48, 56))
    features = pixel_features(picture)
    smooth = ndimage.gaussian_filter(picture, SCALES[0][0])
    inner = (slice(3, -3), slice(3, -3))
    np.testing.assert_allclose(features[..., 0], picture)
    np.testing.assert_allclose(features[..., 1], smooth, rtol=1e-5)
    down, right = np.gradient(smooth)
    np.testing.assert_allclose(features[..., 2][inner], np.hypot(down, right)[inner], rtol=1e-3, atol=1e-3)
    hessian = [np.gradient(down, axis=0), np.gradient(down, axis=1), np.gradient(right, axis=1)]
    np.testing.assert_allclose(
        features[..., 3:5][inner], np.moveaxis(hessian_matrix_eigvals(hessian), 0, 2)[inner], atol=1e-2
    )


@pytest.mark.parametrize("place", range(1, len(SCALES)))
def test_coarse_scales_agree_with_wide_filters(place):
    picture = ndimage.gaussian_filter(noise((200, 232)), 2)
    sigma, level = SCALES[place]
    # Halving by means and linear interpolation smooth a little too.
    widened = np.sqrt(sigma**2 + (4**level - 1) / 6)
    mine = pixel_features(picture)[..., 1 + PER_SCALE * place]
    direct = ndimage.gaussian_filter(picture, widened)
    assert np.abs(mine - direct)[20:-20, 20:-20].max() < 0.15 * direct.std() + 0.05


def test_colours_are_kept_apart():
    red = np.zeros((40, 40, 3), np.uint8)
    red[:, 20:, 0] = 90
    features = pixel_features(red)
    assert features.shape == (40, 40, 3 + len(SCALES) * (PER_SCALE + 3))
    # Behind the grey ones of a scale follow its smoothed colours.
    at = 3 + PER_SCALE
    assert features[20, 39, at] > 80
    assert features[20, 39, at + 1] == 0


def test_columns_tell_what_lies_above():
    picture = np.zeros((40, 30), np.float32)
    picture[10], picture[30] = 1, 3
    above, rows = np.moveaxis(pixel_features(picture, columns=True)[..., -2:], 2, 0)
    np.testing.assert_allclose(above[[5, 15, 35], 4], [0, 0.25, 1], atol=1e-4)
    np.testing.assert_array_equal(rows[:, 7], np.arange(40))


@given(st.integers(1, 40), st.integers(1, 40))
@settings(max_examples=20, deadline=None)
def test_any_small_picture_has_features(height, width):
    features = pixel_features(noise((height, width)))
    assert features.shape[:2] == (height, width)
    assert np.isfinite(features).all()


def test_textures_that_brightness_cannot_tell_apart_are_learnt():
    picture, truth = textured()
    features = pixel_features(picture)
    found = QuickForest(examples_in(features, strokes(truth))).propose(features)
    assert (found.values == truth).mean() > 0.93
    sure = found.surer_than(0.9) != NOT_LOOKED_AT
    assert (found.values == truth)[sure].mean() > (found.values == truth)[~sure].mean()
    assert np.all((found.confidence > 0.49) & (found.confidence <= 1.0001))


def test_judging_every_fourth_pixel_first_hardly_changes_the_answer():
    """The forest asked of every pixel is the reference."""
    picture, truth = textured(seed=3, size=120)
    features = pixel_features(picture)
    forest = QuickForest(examples_in(features, strokes(truth)))
    votes = forest.votes(features.reshape(-1, features.shape[2])).reshape(*truth.shape, 2)
    every = ndimage.gaussian_filter(votes, (1.5, 1.5, 0)).argmax(axis=2)
    assert (forest.propose(features).values == every).mean() > 0.97


def test_the_same_strokes_give_the_same_proposal():
    picture, truth = textured(size=80)
    features = pixel_features(picture)
    one, other = (QuickForest(examples_in(features, strokes(truth))).propose(features) for _ in range(2))
    np.testing.assert_array_equal(one.values, other.values)


def test_the_trees_are_those_of_a_forest_of_scikit_learn():
    """Its forest of the same kind, on the same examples, is the reference: both agree on nearly every pixel."""
    from sklearn.ensemble import ExtraTreesClassifier

    picture, truth = textured(seed=7, size=100)
    features = pixel_features(picture)
    examples = examples_in(features, strokes(truth))
    theirs = ExtraTreesClassifier(48, min_samples_leaf=3, class_weight="balanced", random_state=1)
    rows = features.reshape(-1, features.shape[2])
    known = theirs.fit(examples.features, examples.values).predict_proba(rows)
    mine = QuickForest(examples).votes(rows)
    np.testing.assert_allclose(mine.sum(axis=1), 1, atol=1e-5)
    assert (mine.argmax(axis=1) == known.argmax(axis=1)).mean() > 0.95
    assert np.abs(mine - known).mean() < 0.07


def test_nothing_warns_where_there_are_no_filters_of_warnings():
    picture, truth = textured(size=64)
    features = pixel_features(picture)
    with warnings.catch_warnings(record=True) as told:
        warnings.resetwarnings()
        QuickForest(examples_in(features, strokes(truth))).propose(features)
    assert told == []


def test_a_rare_class_is_not_drowned_by_a_large_one():
    features = np.concatenate([np.zeros((50_000, 2)), np.ones((40, 2))]).astype(np.float32)
    examples = Examples(features=features, values=np.repeat([0, 7], [50_000, 40]).astype(np.uint8))
    assert np.bincount(examples.thinned(1000).values).tolist() == [500, 0, 0, 0, 0, 0, 0, 40]


def test_one_kind_of_stroke_is_refused_with_advice():
    with pytest.raises(AnnotationError, match="eraser"):
        QuickForest(Examples(features=np.zeros((5, 2), np.float32), values=np.full(5, 3, np.uint8)))
    with pytest.raises(AnnotationError, match="Nothing was drawn"):
        joined([])


def test_a_proposal_learns_from_what_is_drawn_outside_the_field():
    picture, truth = textured(seed=1, size=320)
    labels = strokes(truth)
    field = Field(box=((0, 60), (100, 220)))
    assert (labels[0:60, 100:220] == NOT_LOOKED_AT).all()
    found = QuickCase(plain(picture)).propose(field, labels)
    assert (found.values == truth[0:60, 100:220]).mean() > 0.75


def test_a_slice_is_proposed_from_another_one():
    parts = [textured(seed, size=96) for seed in (1, 2, 3)]
    volume, truth = (np.stack(each) for each in zip(*parts, strict=True))
    labels = np.full(truth.shape, NOT_LOOKED_AT, np.uint8)
    labels[0] = truth[0]
    found = QuickCase(plain(volume)).propose(Field(box=((1, 3), (0, 96), (0, 96))), labels)
    assert found.values.shape == (2, 96, 96)
    assert (found.values == truth[1:3]).mean() > 0.9


def test_what_was_learnt_helps_in_the_next_case():
    first, truth = textured(seed=4)
    case = QuickCase(plain(first))
    case.propose(Field(box=((0, 160), (0, 160))), strokes(truth))
    second, other_truth = textured(seed=5)
    unseen = np.full(second.shape, NOT_LOOKED_AT, np.uint8)
    fresh = QuickCase(plain(second))
    found = fresh.propose(Field(box=((0, 160), (0, 160))), unseen, [case.learnt])
    assert (found.values == other_truth).mean() > 0.9


def test_features_of_a_field_are_those_of_the_whole_picture():
    picture = ndimage.gaussian_filter(noise((300, 300), seed=2), 3)
    case = QuickCase(plain(picture))
    box = ((101, 180), (97, 203))
    mine = case._features_of(box, 1, picture.shape)
    whole = pixel_features(picture)[101:180, 97:203]
    assert (np.abs(mine - whole).mean(axis=(0, 1)) / whole.std(axis=(0, 1))).max() < 0.15
    assert HALO % GRID == 0


@given(
    st.tuples(st.integers(0, 50), st.integers(1, 90)),
    st.tuples(st.integers(0, 50), st.integers(1, 90)),
    st.integers(40, 4000),
)
@settings(max_examples=50, deadline=None)
def test_a_field_holds_its_box_and_is_judged_at_once(rows, columns, most):
    box = tuple((start, start + size) for start, size in (rows, columns))
    field = Field.around(box, (150, 150), most)
    for (a, b), (low, high) in zip(box, field.box, strict=True):
        assert low <= a < b <= high <= 150
        assert low % field.step == 0
    assert rows[1] * columns[1] // field.step**2 <= most


def test_a_coarse_field_is_proposed_in_full_size():
    picture, truth = textured(seed=6, size=203)
    found = QuickCase(plain(picture)).propose(Field(box=((0, 203), (0, 203)), step=2), strokes(truth))
    assert found.values.shape == found.confidence.shape == (203, 203)
    assert (found.values == truth).mean() > 0.85


def test_a_newer_stroke_can_stop_the_work():
    picture, truth = textured(size=96)

    def stopped(done, total, text):
        raise Cancelled("Stopped as asked.")

    with pytest.raises(Cancelled):
        QuickCase(plain(picture)).propose(Field(box=((0, 96), (0, 96))), strokes(truth), progress=stopped)
