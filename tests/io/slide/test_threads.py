"""Work shared between threads: in order, with errors, nested, never stuck."""

from __future__ import annotations

import threading
import time

import pytest

from napari_medseg.io.slide import threads
from napari_medseg.io.slide.threads import in_threads


@pytest.fixture(autouse=True)
def four_threads(monkeypatch):
    monkeypatch.setattr(threads, "num_threads", lambda: 4)


@pytest.mark.parametrize("count", [0, 1, 3, 4, 100])
def test_results_are_in_order(count):
    assert in_threads(lambda n: n * n, range(count)) == [n * n for n in range(count)]


def test_several_threads_work():
    seen = set()

    def work(_):
        seen.add(threading.get_ident())
        time.sleep(0.01)

    in_threads(work, range(40))
    assert len(seen) > 1


@pytest.mark.timeout(60)
def test_work_may_share_its_own_work():
    def outer(n):
        return sum(in_threads(lambda m: inner(m) + n, range(8), depth=1))

    def inner(m):
        return sum(in_threads(lambda k: k + m, range(8), depth=0))

    expected = [sum(sum(k + m for k in range(8)) + n for m in range(8)) for n in range(20)]
    assert in_threads(outer, range(20), depth=1) == expected


@pytest.mark.timeout(60)
def test_an_error_ends_the_work_and_the_next_call_works():
    begun = []

    def work(n):
        begun.append(n)
        if n == 5:
            raise ValueError("five")
        time.sleep(0.002)
        return n

    with pytest.raises(ValueError, match="five"):
        in_threads(work, range(10_000))
    assert len(begun) < 10_000
    assert in_threads(lambda n: n, range(9)) == list(range(9))
