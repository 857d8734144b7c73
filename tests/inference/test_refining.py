"""Strokes that spread: by hand-made features whose answer is known, and by a real network."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from napari_medseg import api
from napari_medseg.data.synthetic import tissue
from napari_medseg.data.synthetic_ct import abdomen
from napari_medseg.errors import ConfigError, ModelError
from napari_medseg.inference.local_view import LocalView, LocalViews
from napari_medseg.inference.refining import spread
from napari_medseg.structures import BACKGROUND, NOT_LOOKED_AT, Image, MaskClass

SIZE = (80, 100)


def scene():
    """An object that the network missed: its features differ from those around it. Another like it lies further off."""
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    missed = (y - 40) ** 2 + (x - 30) ** 2 < 12**2
    other = (y - 40) ** 2 + (x - 75) ** 2 < 12**2
    rng = np.random.default_rng(0)
    features = rng.normal(0, 0.2, (4, *SIZE)).astype(np.float32)
    features[:, missed | other] += 2
    probabilities = np.stack([np.full(SIZE, 0.8), np.full(SIZE, 0.2)]).astype(np.float32)
    view = LocalView(box=((0, SIZE[0]), (0, SIZE[1])), probabilities=probabilities, features=features)
    return view, missed, other


def dab(row, column, radius=3):
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    return (y - row) ** 2 + (x - column) ** 2 <= radius**2


NONE = np.zeros(SIZE, bool)


def test_a_dab_takes_the_object_and_neither_its_surroundings_nor_one_that_looks_alike():
    view, missed, other = scene()
    found = spread(view, np.zeros(SIZE, np.intp), dab(40, 30), 1, kept=NONE)
    assert 2 * (found & missed).sum() / (found.sum() + missed.sum()) > 0.95
    assert not (found & other).any()


@given(st.integers(4, 75), st.integers(4, 95), st.integers(0, 3), st.sampled_from([0, 1]))
@settings(max_examples=25, deadline=None)
def test_whatever_is_drawn_is_drawn_and_nothing_far_off_changes(row, column, radius, channel):
    view, _, _ = scene()
    stroke = dab(row, column, radius)
    present = np.zeros(SIZE, np.intp)
    found = spread(view, present, stroke, channel, kept=NONE)
    assert found[stroke].all()
    assert ndimage.distance_transform_edt(~stroke)[found].max() <= np.hypot(26, 26)
    assert ndimage.label(found)[1] == 1


def test_what_is_kept_stays_also_inside_the_object():
    view, _, _ = scene()
    kept = NONE.copy()
    kept[:, 36:] = True
    found = spread(view, np.zeros(SIZE, np.intp), dab(40, 30), 1, kept=kept)
    assert not (found & kept).any()
    assert found.sum() > dab(40, 30).sum()


@pytest.fixture(scope="module")
def corrected():
    """A picture, its truth, the demo model's labels, and a part of them damaged."""
    picture, truth = tissue(size=256, seed=3)
    model = api.load_model(api.bundled_model("pathology"), device="cpu", precision="fp32", threads=1)
    labels = np.asarray(api.predict(model, picture).labels)
    return model, api.as_image(picture), truth, labels


def wrong_dab(truth, labels):
    """A dab in the middle of the largest mistake: its box, the mask in it, and the value that is right there."""
    depth = ndimage.distance_transform_edt(np.pad((truth != labels) & (truth != NOT_LOOKED_AT), 1))[1:-1, 1:-1]
    row, column = np.unravel_index(depth.argmax(), depth.shape)
    box = ((row, row + 1), (column, column + 1))
    return tuple((int(a), int(b)) for a, b in box), np.ones((1, 1), bool), int(truth[row, column])


def test_clicks_on_mistakes_of_a_real_network_mend_more_than_they_touch(corrected):
    model, image, truth, labels = corrected
    corrector = api.StrokeCorrector(model, image, model.card.classes)
    present, clicks = labels.copy(), 6
    for _ in range(clicks):
        box, stroke, value = wrong_dab(truth, present)
        corrector.correct(present, box, stroke, value).apply(present)
    before, after = (np.count_nonzero(truth != each) for each in (labels, present))
    assert after < before - 10 * clicks


def test_labels_are_not_touched_and_protected_classes_stay(corrected):
    model, image, truth, labels = corrected
    corrector = api.StrokeCorrector(model, image, model.card.classes)
    box, stroke, value = wrong_dab(truth, labels)
    before = labels.copy()
    change = corrector.correct(labels, box, stroke, value, protected=[int(labels[box[0][0], box[1][0]])])
    np.testing.assert_array_equal(labels, before)
    assert change.count == 0


def test_a_later_stroke_leaves_what_an_earlier_one_drew(corrected):
    model, image, _, labels = corrected
    corrector = api.StrokeCorrector(model, image, model.card.classes)
    present = labels.copy()
    box, stroke = ((100, 104), (100, 104)), np.ones((4, 4), bool)
    first = 1 - int(labels[100, 100] == 1)
    corrector.correct(present, box, stroke, first).apply(present)
    beside = ((100, 104), (106, 110))
    corrector.correct(present, beside, stroke, 1 - first).apply(present)
    assert (present[100:104, 100:104] == first).all()
    assert (present[100:104, 106:110] == 1 - first).all()


def test_classes_that_the_model_does_not_know_are_refused_as_strokes_and_kept_as_labels(corrected):
    model, image, _, labels = corrected
    extra = MaskClass(value=7, name="something else", color="#ffffff")
    corrector = api.StrokeCorrector(model, image, (*model.card.classes, extra))
    box, stroke = ((50, 60), (50, 60)), np.ones((10, 10), bool)
    with pytest.raises(ConfigError, match="painted"):
        corrector.correct(labels, box, stroke, 7)
    theirs = np.full_like(labels, 7)
    change = corrector.correct(theirs, box, stroke, 1)
    assert change.count == 100
    with pytest.raises(ConfigError, match="none of which"):
        api.StrokeCorrector(model, image, (extra,))
    with pytest.raises(ConfigError, match="empty"):
        corrector.correct(labels, box, ~stroke, 1)


def test_strokes_may_begin_where_nobody_has_looked(corrected):
    model, image, _, labels = corrected
    corrector = api.StrokeCorrector(model, image, model.card.classes)
    unseen = np.full_like(labels, NOT_LOOKED_AT)
    y, x = np.argwhere(labels == 1)[len(np.argwhere(labels == 1)) // 2]
    change = corrector.correct(unseen, ((y, y + 1), (x, x + 1)), np.ones((1, 1), bool), 1)
    assert change.count > 1
    assert set(change.values[change.mask].tolist()) == {1}


def test_a_view_shows_what_the_engine_predicts(corrected):
    """The engine's own blended probabilities are the reference."""
    model, image, _, _ = corrected
    views = LocalViews(model.predictor, image, model.compute)
    view = views.around(((120, 130), (120, 130)))
    whole = np.asarray(api.predict(model, image, probabilities=True).probabilities, np.float32)
    part = whole[(slice(None), *(slice(*side) for side in view.box))]
    assert (view.probabilities.argmax(axis=0) == part.argmax(axis=0)).mean() > 0.97
    np.testing.assert_allclose(view.probabilities.sum(axis=0), 1, atol=1e-4)
    assert view.features.shape[1:] == view.probabilities.shape[1:]
    assert views.around(((121, 129), (121, 129))) is view


@pytest.mark.parametrize("scheme", ["oct", "boosting"])
def test_other_schemes_have_views_of_one_slice(scheme):
    model = api.load_model(api.bundled_model(scheme), device="cpu", precision="fp32", threads=1)
    if scheme == "oct":
        shape, axes = (3, 200, 300), "zyx"
        pixels = np.random.default_rng(0).integers(0, 255, shape).astype(np.uint8)
    else:
        pixels, axes = abdomen(20, 96, 120, seed=2)[0], "zyx"
        shape = pixels.shape
    image = Image(levels=(pixels,), axes=axes, name="stack", kind=scheme if scheme == "oct" else "ct")
    corrector = api.StrokeCorrector(model, image, model.card.classes)
    labels = np.full(shape, BACKGROUND, np.uint8)
    value = model.card.classes[0].value
    box = ((1, 2), (50, 55), (60, 70))
    change = corrector.correct(labels, box, np.ones((1, 5, 10), bool), value)
    assert change.box[0] == (1, 2)
    change.apply(labels)
    assert (labels[1, 50:55, 60:70] == value).all()
    assert (labels[[0, 2]] == BACKGROUND).all()


def test_models_that_judge_regions_are_refused():
    model = api.load_model(api.bundled_model("thyroid"), device="cpu", precision="fp32", threads=1)
    image = Image(levels=(np.zeros((64, 64), np.uint8),), axes="yx", name="scan")
    with pytest.raises(ModelError, match="cannot spread strokes"):
        LocalViews(model.predictor, image, model.compute)
