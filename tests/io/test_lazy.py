"""`LazyArray` is indexed like the numpy array that it stands for."""

from __future__ import annotations

import pickle
from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_medseg.errors import ReadError
from napari_medseg.io.lazy import Block, LazyArray, with_axes, with_colors, wrapped

_ARRAY = np.arange(4 * 5 * 3).reshape(4, 5, 3)


def _load(block: Block) -> Any:
    assert all(
        part.step is None and 0 <= part.start < part.stop <= n for part, n in zip(block, _ARRAY.shape, strict=True)
    )
    return _ARRAY[block]


def _lazy() -> LazyArray:
    return LazyArray(_ARRAY.shape, _ARRAY.dtype, _load, source="array")


@given(hnp.basic_indices(_ARRAY.shape, allow_newaxis=False))
def test_every_basic_index_gives_what_numpy_gives(index: Any) -> None:
    np.testing.assert_array_equal(_lazy()[index], _ARRAY[index])


@given(st.permutations("yxc"), hnp.basic_indices((3, 4, 5), allow_newaxis=False))
def test_reordered_axes_are_a_transposition(order: list[str], index: Any) -> None:
    expected = _ARRAY.transpose(["yxc".index(axis) for axis in order])
    lazy = with_axes(_lazy(), "yxc", "".join(order))
    assert lazy.shape == expected.shape
    np.testing.assert_array_equal(lazy[...], expected)
    if expected.shape == (3, 4, 5):
        np.testing.assert_array_equal(lazy[index], expected[index])


def test_axes_of_length_one_are_dropped() -> None:
    lazy = with_axes(wrapped(_ARRAY[np.newaxis, :, np.newaxis], "array"), "tyzxc", "cyx")
    np.testing.assert_array_equal(lazy[1:, ::2, -1], np.moveaxis(_ARRAY, 2, 0)[1:, ::2, -1])


@given(hnp.basic_indices((4, 5, 2), allow_newaxis=False))
def test_colours_are_converted_before_channels_are_chosen(index: Any) -> None:
    two = with_colors(_lazy(), lambda p: p[..., :2] + p[..., 2:], dtype=_ARRAY.dtype, channels_in=3, channels_out=2)
    np.testing.assert_array_equal(two[index], (_ARRAY[..., :2] + _ARRAY[..., 2:])[index])
    grey = with_colors(_lazy(), lambda p: p.sum(-1), dtype=_ARRAY.dtype, channels_in=3, channels_out=None)
    np.testing.assert_array_equal(grey[1:, 2], _ARRAY.sum(-1)[1:, 2])


def test_numpy_takes_one_channel_without_loading() -> None:
    loaded = []

    def load(block: Block) -> Any:
        loaded.append(block)
        return _ARRAY[block]

    channel = np.take(LazyArray(_ARRAY.shape, _ARRAY.dtype, load, source="array"), 1, axis=2)  # type: ignore[call-overload]
    assert not loaded
    np.testing.assert_array_equal(channel[2:], _ARRAY[2:, :, 1])
    assert loaded[0][2] == slice(1, 2)


def test_other_byte_orders_become_native() -> None:
    big = _ARRAY.astype(">i4")
    lazy = wrapped(big, "array")
    assert lazy.dtype.isnative
    np.testing.assert_array_equal(lazy[0], big[0])


@pytest.mark.parametrize("key", [4, (0, 5), (0, 0, 0, 0)])
def test_indices_outside_are_refused(key: Any) -> None:
    with pytest.raises(IndexError):
        _lazy()[key]


def test_failing_decoders_become_one_sentence() -> None:
    def broken(block: Block) -> Any:
        raise RuntimeError("tile 3 is broken\nand more")

    with pytest.raises(ReadError, match=r"slide\.svs cannot be read \(tile 3 is broken\)") as caught:
        LazyArray((4, 4), np.uint8, broken, source="slide.svs")[0]
    assert "\n" not in str(caught.value)


def test_a_decoder_that_returns_another_size_is_caught() -> None:
    with pytest.raises(ReadError, match="another number of pixels"):
        LazyArray((4, 4), np.uint8, lambda block: np.zeros((2, 2)), source="a.jpg")[...]


def test_it_can_be_sent_to_another_process() -> None:
    lazy = LazyArray((4, 5, 3), _ARRAY.dtype, partial(_load), source="array")
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(lazy))[1], _ARRAY[1])
