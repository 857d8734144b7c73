"""The store of decoded tiles: bounded, shared by threads, never deadlocked."""

from __future__ import annotations

import gc
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_medseg.io.slide.cache import TileCache, assemble


def tile(size: int, value: int = 0) -> np.ndarray:
    return np.full(size, value, np.uint8)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(1, 60)), max_size=60))
def test_it_never_holds_more_than_its_limit_and_gives_what_was_loaded(wanted):
    cache = TileCache(100)
    sizes: dict[int, int] = {}
    for key, size in wanted:
        size = sizes.setdefault(key, size)
        assert (cache.get(key, lambda k=key, s=size: tile(s, k)) == np.full(size, key)).all()
        assert cache.nbytes <= 100


def test_what_was_used_last_is_kept():
    cache = TileCache(20)
    for key in "ab":
        cache.get(key, lambda: tile(10))
    cache.get("a", lambda: pytest.fail("it is kept"))
    cache.get("c", lambda: tile(10))
    cache.get("a", lambda: pytest.fail("it is kept"))
    assert (cache.get("b", lambda: tile(10, 5)) == 5).all()


def test_a_tile_larger_than_the_limit_is_handed_out():
    cache = TileCache(5)
    assert cache.get("a", lambda: tile(10)).size == 10
    assert cache.nbytes == 0


def test_threads_that_want_one_tile_decode_it_once():
    cache, started, loads = TileCache(100), threading.Barrier(4), []

    def load():
        loads.append(1)
        return tile(3, 9)

    def ask(_):
        started.wait()
        return cache.get("a", load).sum()

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(ask, range(4))) == [27] * 4
    assert len(loads) == 1


def test_a_failed_tile_is_tried_again():
    cache = TileCache(100)
    with pytest.raises(ValueError, match="broken"):
        cache.get("a", lambda: (_ for _ in ()).throw(ValueError("broken")))
    assert cache.get("a", lambda: tile(2)).size == 2


def test_tiles_are_read_only():
    with pytest.raises(ValueError, match="read-only"):
        TileCache(100).get("a", lambda: tile(2))[0] = 1


@pytest.mark.timeout(60)
def test_an_owner_collected_at_any_moment_takes_its_tiles_along_and_blocks_nothing():
    """Python's collector may run while the cache holds its own lock."""
    cache = TileCache(10_000)

    class Owner:
        def __init__(self, number):
            self.number, self.myself = number, self

        def __del__(self):
            cache.forget(self.number)

    threshold = gc.get_threshold()
    gc.set_threshold(1)
    try:
        for number in range(300):
            owner = Owner(number)
            cache.get((number, 0), lambda: tile(1))
    finally:
        gc.set_threshold(*threshold)
    del owner
    gc.collect()
    cache.get("last", lambda: tile(1))
    assert cache.nbytes == 1


@given(
    st.tuples(st.integers(1, 50), st.integers(1, 50)),
    st.tuples(st.integers(1, 20), st.integers(1, 20)),
    st.data(),
)
def test_blocks_are_put_together_from_tiles(shape, chunks, data):
    pixels = np.arange(shape[0] * shape[1] * 3).reshape(*shape, 3)
    starts = [data.draw(st.integers(0, n - 1)) for n in pixels.shape]
    block = tuple(slice(a, data.draw(st.integers(a + 1, n))) for a, n in zip(starts, pixels.shape, strict=True))

    def tiles(wanted):
        (h, w) = chunks
        return [pixels[i * h : (i + 1) * h, j * w : (j + 1) * w] for i, j in wanted]

    assert (assemble(block, chunks, pixels.dtype, tiles) == pixels[block]).all()
