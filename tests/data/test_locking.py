from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from napari_medseg.data.locking import FileLock, process_start
from napari_medseg.errors import LockedError

_COUNT = """
import sys
from pathlib import Path
from napari_medseg.data.locking import FileLock
folder = Path(sys.argv[1])
for _ in range(int(sys.argv[2])):
    with FileLock(folder / "lock"):
        number = int((folder / "number").read_text())
        (folder / "number").write_text(str(number + 1))
"""


def test_processes_that_count_under_the_lock_lose_no_step(tmp_path: Path) -> None:
    (tmp_path / "number").write_text("0")
    counters = [subprocess.Popen([sys.executable, "-c", _COUNT, str(tmp_path), "100"]) for _ in range(3)]
    assert [counter.wait(60) for counter in counters] == [0, 0, 0]
    assert (tmp_path / "number").read_text() == "300"
    assert not (tmp_path / "lock").exists()


def test_a_held_lock_makes_others_wait_and_then_give_up_in_a_sentence(tmp_path: Path) -> None:
    with FileLock(tmp_path / "lock"), pytest.raises(LockedError, match=rf"process {os.getpid()} on .*try again"):
        FileLock(tmp_path / "lock", timeout=0.1).__enter__()
    with FileLock(tmp_path / "lock", timeout=0.1) as lock:
        assert lock.is_held()


def test_threads_of_one_process_exclude_each_other(tmp_path: Path) -> None:
    inside: list[int] = []
    most: list[int] = []

    def work(number: int) -> None:
        for _ in range(10):
            with FileLock(tmp_path / "lock"):
                inside.append(number)
                most.append(len(inside))
                inside.remove(number)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] * 40


@pytest.mark.parametrize("started", ["gone", "other"])
def test_the_lock_of_a_dead_process_is_taken_over(tmp_path: Path, started: str) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    # A process id that was given to another program since counts as dead too: its start time differs.
    pid = dead.pid if started == "gone" else os.getpid()
    _write_lock(tmp_path / "lock", socket.gethostname(), pid)
    with FileLock(tmp_path / "lock", timeout=1) as lock:
        assert lock.is_held()


def test_a_silent_holder_on_another_machine_is_outwaited(tmp_path: Path) -> None:
    _write_lock(tmp_path / "lock", "elsewhere", 1)
    with pytest.raises(LockedError, match="elsewhere"):
        FileLock(tmp_path / "lock", timeout=0.2, stale=5).__enter__()
    with FileLock(tmp_path / "lock", timeout=5, stale=0.2) as lock:
        assert lock.is_held()


def test_a_living_holder_on_another_machine_keeps_its_lock_whatever_its_clock_says(tmp_path: Path) -> None:
    _write_lock(tmp_path / "lock", "elsewhere", 1)
    stop = threading.Event()

    def beat() -> None:
        time = 2_000_000_000.0
        while not stop.wait(0.05):
            # Its clock runs backwards from the future.
            time -= 3600
            os.utime(tmp_path / "lock", (time, time))

    thread = threading.Thread(target=beat)
    thread.start()
    try:
        with pytest.raises(LockedError):
            FileLock(tmp_path / "lock", timeout=1.5, stale=0.5).__enter__()
    finally:
        stop.set()
        thread.join()


def test_a_lock_that_was_never_filled_in_is_outwaited(tmp_path: Path) -> None:
    (tmp_path / "lock").write_bytes(b"")
    with FileLock(tmp_path / "lock", timeout=5, stale=0.2) as lock:
        assert lock.is_held()


def test_a_holder_that_was_taken_for_dead_notices_before_it_writes(tmp_path: Path) -> None:
    with FileLock(tmp_path / "lock") as lock:
        lock.beat()
        _write_lock(tmp_path / "lock", "elsewhere", 1)
        with pytest.raises(LockedError, match="stalled"):
            lock.beat()
    assert (tmp_path / "lock").exists(), "the other holder's lock must stay"


def test_a_process_has_one_start_time() -> None:
    assert process_start(os.getpid()) == process_start(os.getpid()) is not None
    assert process_start(2**22 + 1) is None


def _write_lock(path: Path, host: str, pid: int) -> None:
    path.write_text(json.dumps({"host": host, "pid": pid, "started": "0", "token": "another", "time": 0}))
