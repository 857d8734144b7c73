"""Locked classes: no stroke changes them, and undo and redo know nothing else."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from napari.layers import Labels

from napari_medseg.widgets.locks import ClassLocks

SIDE = 64


def start() -> np.ndarray:
    """A bar of class 1 and a bar of class 2 on pixels that nobody looked at."""
    data = np.full((SIDE, SIDE), 255, np.uint8)
    data[20:30], data[:, 40:50] = 1, 2
    return data


def stroke(layer: Labels, places, value: int) -> None:
    with layer.block_history():
        for place in places:
            layer.paint(place, value)


TOOLS = {
    "brush": lambda layer: stroke(layer, [(25, 10), (25, 30), (25, 50)], 3),
    "eraser": lambda layer: stroke(layer, [(25, 10), (25, 45)], 0),
    "polygon": lambda layer: layer.paint_polygon([[10, 10], [10, 60], [40, 60], [40, 10]], 3),
    "fill": lambda layer: layer.fill((25, 5), 3),
    "program": lambda layer: layer.data_setitem(np.nonzero(layer.data), 0),
}


@pytest.mark.parametrize("tool", TOOLS)
def test_no_tool_changes_a_locked_class_and_undo_is_exact(tool):
    before = start()
    layer = Labels(before.copy())
    layer.brush_size = 12
    told: list[bool] = []
    locks = ClassLocks(layer, lambda: told.append(True))
    locks.locked = frozenset({1})
    unlocked = Labels(before.copy())
    unlocked.brush_size = 12
    TOOLS[tool](unlocked)

    TOOLS[tool](layer)

    expected = np.where(before == 1, before, unlocked.data)
    np.testing.assert_array_equal(layer.data, expected)
    assert told
    if (expected != before).any():
        layer.undo()
        np.testing.assert_array_equal(layer.data, before)
        layer.redo()
        np.testing.assert_array_equal(layer.data, expected)


def test_a_stroke_of_which_nothing_remains_leaves_no_empty_step_to_undo():
    layer = Labels(start())
    locks = ClassLocks(layer, lambda: None)
    locks.locked = frozenset({1})
    layer.paint((50, 10), 3)
    after_first = layer.data.copy()
    layer.fill((25, 5), 3)
    np.testing.assert_array_equal(layer.data, after_first)
    layer.undo()
    np.testing.assert_array_equal(layer.data, start())


def test_without_locks_the_layer_is_napari_s_own_again():
    layer = Labels(start())
    locks = ClassLocks(layer, lambda: None)
    locks.locked = frozenset({1, 2})
    locks.stop()
    layer.data_setitem(np.nonzero(layer.data), 0)
    assert not layer.data.any()


strokes = st.tuples(
    st.lists(st.tuples(st.integers(0, SIDE - 1), st.integers(0, SIDE - 1)), min_size=1, max_size=4),
    st.integers(0, 4),
    st.integers(1, 25),
    st.frozensets(st.integers(0, 4), max_size=3),
)


@settings(max_examples=40, deadline=None)
@given(st.lists(strokes, min_size=1, max_size=6))
def test_locked_pixels_never_change_and_history_is_exact(sequence):
    layer = Labels(start())
    locks = ClassLocks(layer, lambda: None)
    seen = [layer.data.copy()]
    for places, value, size, locked in sequence:
        locks.locked = locked
        layer.brush_size = size
        held = np.isin(layer.data, list(locked))
        before = layer.data.copy()
        stroke(layer, places, value)
        np.testing.assert_array_equal(layer.data[held], before[held])
        if (layer.data != before).any():
            seen.append(layer.data.copy())
    for earlier in reversed(seen[:-1]):
        layer.undo()
        np.testing.assert_array_equal(layer.data, earlier)
    for later in seen[1:]:
        layer.redo()
        np.testing.assert_array_equal(layer.data, later)


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_a_box_is_replaced_but_for_locked_classes_and_undo_is_exact(data):
    seed = data.draw(st.integers(0, 2**16))
    shape = (5, 9, 7)
    rng = np.random.default_rng(seed)
    before = rng.choice(np.array([0, 1, 2, 255], np.uint8), shape)
    box = tuple((a, data.draw(st.integers(a, n))) for n in shape for a in [data.draw(st.integers(0, n))])
    part = tuple(slice(*side) for side in box)
    values = np.where(rng.random(before[part].shape) < 0.4, rng.integers(0, 3, before[part].shape), before[part])
    layer = Labels(before.copy())
    told: list[bool] = []
    locks = ClassLocks(layer, lambda: told.append(True))
    locks.locked = frozenset(data.draw(st.sets(st.sampled_from([1, 2]))))
    expected = before.copy()
    kept = np.isin(before[part], list(locks.locked))
    expected[part][~kept] = values[~kept]

    count = locks.set_box(box, values.astype(np.uint8))

    np.testing.assert_array_equal(layer.data, expected)
    assert count == (expected != before).sum()
    assert bool(told) == (values[kept] != before[part][kept]).any()
    layer.undo()
    np.testing.assert_array_equal(layer.data, before)
    layer.redo()
    np.testing.assert_array_equal(layer.data, expected)
