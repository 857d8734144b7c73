"""Pictures as training patches: what is drawn, in which order, and from which frame."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from napari_medseg.data.cropping import crop
from napari_medseg.data.intensity import Intensity
from napari_medseg.data.picture_patches import PicturePatches
from napari_medseg.errors import DatasetError
from napari_medseg.structures import Image
from tests.factories import spot_case

GREY = Intensity(channels=1, mean=(0.0,), std=(1.0,))


def constant(value, shape=(40, 60)):
    return Image(levels=(np.full(shape, value, np.uint8),), axes="tyx"[-len(shape) :], name=str(value))


def patches(images, **options):
    cases = [spot_case(i) for i in range(len(images))]
    by_case = dict(zip((case.case for case in cases), images, strict=True))
    return PicturePatches(
        cases, list(range(len(images))), lambda case: by_case[case.case], size=(32, 32), intensity=GREY, **options
    )


def test_every_pass_holds_every_case_once_with_its_tag():
    source = patches([constant(20 * i) for i in range(7)])
    orders = []
    for number in range(3):
        images, labels, tags = source.draw(range(7 * number, 7 * number + 7), seed=4)
        assert images.shape == (7, 1, 32, 32)
        assert (labels == 255).all()
        assert labels.shape == (7, 32, 32)
        assert sorted(tags) == list(range(7))
        np.testing.assert_allclose(images[:, 0, 5, 5], tags * 20 / 255, rtol=1e-6)
        orders.append(tuple(tags))
    assert len(set(orders)) > 1


def test_a_position_gives_the_same_patch_however_it_is_asked_for():
    rng = np.random.default_rng(0)
    images = [Image(levels=(rng.integers(0, 255, (6, 40, 50), np.uint8),), axes="tyx", name="c") for _ in range(3)]
    whole = patches(images).draw(range(9), seed=1)
    for position in (8, 2, 5):
        alone = patches(images, cache_bytes=0).draw([position], seed=1)
        for one, other in zip(alone, whole, strict=True):
            np.testing.assert_array_equal(one[0], other[position])


def test_frames_of_a_cine_are_drawn_at_random_and_whole():
    frames = Image(levels=(np.arange(10, dtype=np.uint8)[:, None, None] * np.ones((1, 8, 8), np.uint8),), axes="tyx")
    images, _, _ = patches([frames]).draw(range(60), seed=0)
    values = np.rint(images * 255)
    assert (values == values[:, :, :1, :1]).all()
    assert set(values[:, 0, 0, 0]) == set(range(10))


def test_patches_are_what_the_engine_shows_the_network():
    import torch

    from napari_medseg.config import WindowConfig
    from napari_medseg.inference.engine import predict
    from napari_medseg.inference.predictor import Predictor

    rng = np.random.default_rng(1)
    image = Image(levels=(rng.integers(0, 255, (57, 83, 3), np.uint8),), axes="yxc", rgb=True, name="frame")
    box = ((3, 50), (10, 71))
    seen = []

    def forward(windows):
        seen.append(windows.numpy().copy())
        return None, torch.zeros(len(windows), 2)

    predictor = Predictor(
        window=(32, 32),
        multiple=1,
        scale_of=lambda part: (32 / part.spatial_shape[0], 32 / part.spatial_shape[1]),
        prepare=GREY.prepare,
        normalise=GREY.normalise,
        forward=forward,
        classes=(),
        tags=("a", "b"),
        windows=WindowConfig(),
        focus=lambda image, given: box,
    )
    predict(predictor, image)
    drawn, _, _ = patches([crop(image, box)]).draw([0], seed=0)
    np.testing.assert_array_equal(drawn, seen[0])


def test_what_is_no_picture_is_refused():
    with pytest.raises(DatasetError, match="no case to train on"):
        PicturePatches([], [], lambda case: case.load_image(), size=(32, 32), intensity=GREY)
    series = Image(levels=(np.zeros((2, 3, 8, 8), np.uint8),), axes="tzyx", name="4d")
    with pytest.raises(DatasetError, match=r"case000.*'tzyx'"):
        patches([series]).draw([0], seed=0)


def test_a_case_that_counts_for_several_comes_that_often_in_every_pass():
    cases = [replace(spot_case(i), repeats=1 + i) for i in range(3)]
    source = PicturePatches(cases, [0, 1, 2], lambda _: constant(20), size=(32, 32), intensity=GREY)
    assert len(source) == 6
    assert sorted(source.draw(range(6, 12), seed=4)[2]) == [0, 1, 1, 2, 2, 2]
