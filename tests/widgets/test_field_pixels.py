"""Pixels under labels: whole images are the reference, whatever resolution, level or part is asked for."""

from __future__ import annotations

import numpy as np
import pytest
from napari.layers import Image, Labels

from napari_medseg.widgets.field_pixels import FieldPixels


def labels_over(shape, scale=1.0, start=(0, 0)):
    place = [(s + 0.5) * 1.0 + (scale - 1) / 2 - 0.5 for s in start]
    return Labels(np.zeros(shape, np.uint8), scale=(scale, scale), translate=place)


@pytest.fixture
def colours():
    return np.random.default_rng(0).integers(0, 255, (64, 96, 3)).astype(np.uint8)


def test_a_part_at_full_resolution_is_the_picture_itself(colours):
    pixels = FieldPixels([Image(colours, rgb=True)], labels_over((64, 96)))
    np.testing.assert_array_equal(pixels.read(((5, 20), (30, 71)), 1), colours[5:20, 30:71])


def test_every_fourth_pixel_is_a_mean_of_sixteen():
    smooth = np.add.outer(np.arange(64), 2 * np.arange(96)).astype(np.float32)
    pixels = FieldPixels([Image(smooth)], labels_over((64, 96)))
    found = pixels.read(((8, 40), (16, 48)), 4)
    np.testing.assert_allclose(found, smooth[8:40, 16:48].reshape(8, 4, 8, 4).mean(axis=(1, 3)))


def test_channels_in_layers_of_their_own_are_colours(colours):
    layers = [Image(colours[..., c]) for c in range(3)]
    found = FieldPixels(layers, labels_over((64, 96))).read(((0, 8), (0, 9)), 1)
    np.testing.assert_array_equal(found, colours[:8, :9])


def test_coarse_labels_over_a_part_of_a_slide_read_the_level_that_suits(colours):
    levels = [np.repeat(np.repeat(colours, n, 0), n, 1) for n in (4, 2, 1)]
    slide = Image(levels, multiscale=True, rgb=True)
    # Pixels of four, from row 40 and column 80 of the slide on.
    found = FieldPixels([slide], labels_over((30, 40), scale=4.0, start=(40, 80))).read(((2, 20), (3, 33)), 1)
    np.testing.assert_array_equal(found, colours[12:30, 23:53])


def test_a_slice_of_a_stack():
    stack = np.random.default_rng(1).normal(size=(5, 20, 30)).astype(np.float32)
    labels = Labels(np.zeros(stack.shape, np.uint8))
    found = FieldPixels([Image(stack)], labels).read(((3, 4), (2, 12), (0, 30)), 1)
    np.testing.assert_array_equal(found, stack[3, 2:12])
