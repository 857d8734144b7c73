"""Jobs: real child processes and threads, and what their panels hear."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path

import pytest
from qtpy.QtWidgets import QWidget

from napari_medseg.errors import Cancelled, ReadError
from napari_medseg.widgets.jobs import ChildJob, Job, ThreadJob, explain_exit

HEAD = """
import json, os, signal, sys, time
def say(**values): print(json.dumps(values), flush=True)
"""


class Listener:
    """Everything a job said, in order."""

    def __init__(self, job: Job) -> None:
        self.events: list[dict] = []
        self.faults: list[tuple[str, str]] = []
        self.outcomes: list[str] = []
        if isinstance(job, ChildJob):
            job.reported.connect(self.events.append)
        job.failed.connect(lambda text, details: self.faults.append((text, details)))
        job.finished.connect(self.outcomes.append)

    @property
    def kinds(self) -> list[str]:
        return [event["event"] for event in self.events]


@pytest.fixture
def child(tmp_path: Path):
    """Make a job that runs a small program."""

    def make(body: str) -> tuple[ChildJob, Listener]:
        script = tmp_path / "program.py"
        script.write_text(HEAD + body, "utf-8")
        job = ChildJob([], program=(sys.executable, "-u", str(script)))
        return job, Listener(job)

    yield make
    for job in list(Job.running):
        job.end()


def finish(qtbot, job: Job, timeout: int = 20_000) -> None:
    with qtbot.waitSignal(job.finished, timeout=timeout):
        job.start()


def test_events_arrive_in_order_and_the_job_is_done(qtbot, child):
    job, heard = child("for i in range(200): say(event='step', step=i)\nsay(event='done', result={'model': 'm'})")
    finish(qtbot, job)
    assert [event["step"] for event in heard.events[:-1]] == list(range(200))
    assert heard.events[-1] == {"event": "done", "result": {"model": "m"}}
    assert heard.outcomes == ["done"]
    assert heard.faults == []
    assert job not in Job.running


def test_program_gets_its_arguments_and_the_request_for_events(qtbot, tmp_path):
    script = tmp_path / "program.py"
    script.write_text(HEAD + "say(event='step', argv=sys.argv[1:])", "utf-8")
    job = ChildJob(["train", "a b", "ü"], program=(sys.executable, "-X", "utf8", str(script)))
    heard = Listener(job)
    finish(qtbot, job)
    assert heard.events[0]["argv"] == ["train", "a b", "ü", "--events", "json"]


def test_lines_may_come_in_pieces_and_without_an_end(qtbot, child):
    job, heard = child("""
for piece in ('{"event": "st', 'ep", "text": "gr', '\\u00fc\\u00dfe"}\\n{"event"', ': "done"}'):
    os.write(1, piece.encode()); time.sleep(0.05)
""")
    finish(qtbot, job)
    assert heard.events == [{"event": "step", "text": "grüße"}, {"event": "done"}]


def test_lines_that_are_no_events_are_kept_as_details(qtbot, child):
    job, heard = child("""
print("CUDA says hello"); print("[1, 2]"); print('{"no": "event"}'); os.write(1, b"\\xff\\xfe\\n")
say(event="step"); print("last words", file=sys.stderr); sys.exit(3)
""")
    finish(qtbot, job)
    assert heard.kinds == ["step"]
    assert heard.outcomes == ["failed"]
    text, details = heard.faults[0]
    assert "code 3" in text
    for words in ("CUDA says hello", "[1, 2]", '{"no": "event"}', "last words"):
        assert words in details


def test_the_sentence_of_a_failed_event_is_what_people_read(qtbot, child):
    job, heard = child("""
print("noise", file=sys.stderr)
say(event="failed", text="No case has a tag: tag some.", details=""); sys.exit(1)
""")
    finish(qtbot, job)
    assert heard.faults == [("No case has a tag: tag some.", "noise")]
    assert heard.outcomes == ["failed"]


def test_a_chatty_standard_error_blocks_nothing_and_only_its_end_is_kept(qtbot, child):
    job, heard = child("""
for i in range(20000): print("line", i, "x" * 50, file=sys.stderr)
sys.exit(1)
""")
    finish(qtbot, job)
    details = heard.faults[0][1]
    assert "line 19999 " in details
    assert "line 10 " not in details


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX systems")
@pytest.mark.parametrize(("name", "words"), [("SIGKILL", "memory ran out"), ("SIGSEGV", "crashed (signal SIGSEGV)")])
def test_a_crash_is_a_sentence(qtbot, child, name, words):
    job, heard = child(f"say(event='step'); os.kill(os.getpid(), signal.{name}); time.sleep(30)")
    finish(qtbot, job)
    assert heard.kinds == ["step"]
    assert words in heard.faults[0][0]
    assert heard.outcomes == ["failed"]


def test_exit_without_a_name_is_explained_by_its_number():
    assert "code 3221225477" in explain_exit(3221225477, crashed=True)


def test_a_program_that_is_not_there_is_a_sentence(qtbot, tmp_path):
    job = ChildJob(["train"], program=(str(tmp_path / "missing"),))
    heard = Listener(job)
    finish(qtbot, job)
    assert "could not be started" in heard.faults[0][0]
    assert heard.outcomes == ["failed"]


def test_cancel_ends_the_child_at_once(qtbot, child):
    job, heard = child("say(event='step'); time.sleep(60)")
    with qtbot.waitSignal(job.reported, timeout=20_000):
        job.start()
    pid = job.pid
    with qtbot.waitSignal(job.finished, timeout=2_000):
        job.cancel()
    assert heard.outcomes == ["cancelled"]
    assert heard.faults == []
    assert not alive(pid)


@pytest.mark.skipif(os.name != "posix", reason="Windows has no signal to ignore")
def test_a_child_that_ignores_the_request_is_killed(qtbot, child):
    job, heard = child("signal.signal(signal.SIGTERM, signal.SIG_IGN); say(event='step'); time.sleep(60)")
    with qtbot.waitSignal(job.reported, timeout=20_000):
        job.start()
    pid = job.pid
    with qtbot.waitSignal(job.finished, timeout=10_000):
        job.cancel()
        job.cancel()
    assert heard.outcomes == ["cancelled"]
    assert not alive(pid)


def test_an_interrupted_child_counts_as_cancelled(qtbot, child):
    job, heard = child("sys.exit(130)")
    finish(qtbot, job)
    assert heard.outcomes == ["cancelled"]


def test_a_destroyed_panel_takes_its_child_along(qtbot, child):
    job, _ = child("say(event='step'); time.sleep(60)")
    owner = QWidget()
    job.end_with(owner)
    with qtbot.waitSignal(job.reported, timeout=20_000):
        job.start()
    pid = job.pid
    with qtbot.waitSignal(job.finished, timeout=5_000):
        owner.deleteLater()
    assert not alive(pid)


@pytest.mark.skipif(os.name != "posix", reason="kills a process group leader")
def test_a_killed_window_takes_its_child_along(tmp_path):
    """The parent dies by SIGKILL, without a chance to clean up; the child notices the end of its standard input."""
    inner = tmp_path / "inner.py"
    inner.write_text(
        "import os, time\nfrom napari_medseg.training.events import EventPipe\n"
        "pipe = EventPipe()\npipe('started', pid=os.getpid())\ntime.sleep(60)\n",
        "utf-8",
    )
    outer = tmp_path / "outer.py"
    outer.write_text(
        f"""
import sys
from qtpy.QtCore import QCoreApplication
from napari_medseg.widgets.jobs import ChildJob
app = QCoreApplication([])
job = ChildJob([], program=(sys.executable, "-u", {str(inner)!r}))
job.reported.connect(lambda event: print(event["pid"], flush=True))
job.start()
app.exec()
""",
        "utf-8",
    )
    window = subprocess.Popen([sys.executable, str(outer)], stdout=subprocess.PIPE, text=True)
    assert window.stdout is not None
    pid = int(window.stdout.readline())
    window.send_signal(signal.SIGKILL)
    window.wait()
    window.stdout.close()
    deadline = time.monotonic() + 20
    while alive(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not alive(pid)


def alive(pid: int) -> bool:
    """Whether a process runs (a zombie does not)."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def test_thread_gives_its_result_in_the_window_thread(qtbot):
    def work(progress):
        progress(0, 2, "first")
        progress(2, 2, "last")
        return threading.get_ident()

    job, results = ThreadJob(work), []
    job.result.connect(lambda ident: results.append((ident, threading.get_ident())))
    with qtbot.waitSignals([job.progress, job.finished]):
        job.start()
    worker, receiver = results[0]
    assert worker != receiver == threading.get_ident()
    assert job.outcome == "done"


def test_thread_error_of_a_person_is_its_sentence_alone(qtbot):
    def work(progress):
        raise ReadError("slide.svs is cut off: copy it again.")

    job = ThreadJob(work)
    heard = Listener(job)
    finish(qtbot, job)
    assert heard.faults == [("slide.svs is cut off: copy it again.", "")]
    assert heard.outcomes == ["failed"]


def test_thread_defect_carries_its_traceback(qtbot):
    def work(progress):
        return 1 / 0

    job = ThreadJob(work)
    heard = Listener(job)
    finish(qtbot, job)
    text, details = heard.faults[0]
    assert "ZeroDivisionError" in text
    assert "return 1 / 0" in details


def test_thread_stops_at_its_next_report_when_cancelled(qtbot):
    stopped, working = threading.Event(), threading.Event()

    def work(progress):
        try:
            while True:
                progress(1, 10, "")
                working.set()
                time.sleep(0.005)
        except Cancelled:
            stopped.set()
            raise

    job = ThreadJob(work)
    heard = Listener(job)
    job.start()
    assert working.wait(5)
    with qtbot.waitSignal(job.finished, timeout=5_000):
        job.cancel()
    assert stopped.is_set()
    assert heard.outcomes == ["cancelled"]
    assert heard.faults == []


@pytest.mark.filterwarnings("always")
def test_warnings_of_a_thread_reach_napari(qtbot):
    from napari.utils.notifications import notification_manager

    def work(progress):
        warnings.warn("the scan has no spacing", UserWarning, stacklevel=1)

    with notification_manager:
        finish(qtbot, ThreadJob(work))
        assert any("the scan has no spacing" in record.message for record in notification_manager.records)
