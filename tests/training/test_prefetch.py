"""Patches that are drawn ahead are those that would have been drawn."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from napari_medseg.training.prefetch import Prefetcher


@pytest.mark.parametrize("threads", [1, 3])
def test_steps_come_in_order_each_drawn_once(threads):
    drawn = []

    def draw(step):
        drawn.append(step)
        return (np.full(2, step),)

    with Prefetcher(draw, 7, threads) as patches:
        found = [int(patches.take(step)[0][0]) for step in range(2, 7)]
    assert found == [2, 3, 4, 5, 6]
    assert sorted(drawn) == [2, 3, 4, 5, 6]


def test_several_steps_are_drawn_at_a_time():
    meeting = threading.Barrier(3, timeout=60)

    def draw(step):
        if step:
            meeting.wait()
        return ()

    # The first step is drawn alone; the three after it can only be drawn together.
    with Prefetcher(draw, 4, 3) as patches:
        for step in range(4):
            patches.take(step)


def test_what_fails_is_told_where_it_is_wanted():
    def draw(step):
        if step == 2:
            raise ValueError("step 2")
        return ()

    with Prefetcher(draw, 5, 2) as patches:
        patches.take(0)
        patches.take(1)
        with pytest.raises(ValueError, match="step 2"):
            patches.take(2)
