"""A thread behind the main one: in order, one call at a time, and no error is lost."""

from __future__ import annotations

import threading

import pytest

from napari_medseg.inference.behind import Behind


def test_calls_are_done_in_order_by_one_other_thread() -> None:
    done: list[int] = []
    threads: set[int] = set()

    def note(number: int) -> None:
        done.append(number)
        threads.add(threading.get_ident())

    with Behind() as behind:
        for number in range(50):
            behind.do(note, number)
    assert done == list(range(50))
    assert len(threads) == 1
    assert threading.get_ident() not in threads


def test_at_most_one_call_is_under_way() -> None:
    begun, may_end = threading.Event(), threading.Event()

    def slow() -> None:
        begun.set()
        assert may_end.wait(60)

    order: list[str] = []
    with Behind() as behind:
        behind.do(slow)
        assert begun.wait(60)
        second = threading.Thread(target=lambda: (behind.do(order.append, "done"), order.append("handed over")))
        second.start()
        second.join(0.05)
        assert order == []
        may_end.set()
        second.join(60)
    assert sorted(order) == ["done", "handed over"]


def test_an_error_is_raised_at_the_next_call_and_nothing_more_is_done() -> None:
    done: list[int] = []

    def fail() -> None:
        raise OSError("the disk is full")

    with Behind() as behind:
        behind.do(fail)
        with pytest.raises(OSError, match="full"):
            behind.do(done.append, 1)
        behind.wait()
    assert done == []
