"""Cohorts: several programs write what one would, whoever of them is killed."""

from __future__ import annotations

import contextlib
import csv
import functools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import psutil
import pytest
import tifffile

from napari_medseg import api
from napari_medseg.api.processes import share_compute
from napari_medseg.api.slide_work import SlideWork
from napari_medseg.cli import main
from napari_medseg.data.synthetic_slide import write_slide
from napari_medseg.errors import ConfigError, LockedError

pytest.importorskip("torch")

WAIT = 400
FIXED = {"device": "cpu", "precision": "fp32", "threads": 1}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two slides of which one is larger, a picture, and a file that is no image."""
    folder = tmp_path_factory.mktemp("cohort")
    write_slide(folder / "large.svs", (1900, 1200), seed=3, share=0.6, mpp=0.5)
    write_slide(folder / "small.svs", (900, 1100), seed=1, share=0.5, mpp=0.5)
    picture = np.random.default_rng(0).integers(0, 255, (90, 120, 3), dtype=np.uint8)
    tifffile.imwrite(folder / "picture.tif", picture, photometric="rgb")
    (folder / "torn.svs").write_bytes((folder / "small.svs").read_bytes()[:9000])
    return folder


@pytest.fixture(scope="module")
def once(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What one process makes of them."""
    out = tmp_path_factory.mktemp("once")
    api.predict_files(api.bundled_model("pathology"), [folder], out, probabilities=True, **FIXED)
    return out


def files_of(out: Path, prefix: str = "") -> dict[str, bytes]:
    """What a prediction wrote, apart from what tells of times, and TIFF, which numbers each file anew."""
    files = {str(path.relative_to(out)): path for path in sorted(out.rglob("*")) if path.is_file()}
    timed = ("predictions.csv", "picture.tif", "-trace.json")
    return {
        name: path.read_bytes() for name, path in files.items() if name.startswith(prefix) and not name.endswith(timed)
    }


def rows_of(out: Path) -> list[dict[str, str]]:
    """The table without times and folders."""
    with (out / "predictions.csv").open(encoding="utf-8", newline="") as file:
        return [{**row, "seconds": "", "labels": Path(row["labels"]).name} for row in csv.DictReader(file)]


def command(out: Path, *words: object) -> list[str]:
    start = [sys.executable, "-m", "napari_medseg", "predict", str(api.bundled_model("pathology"))]
    fixed = ["--device", "cpu", "--precision", "fp32", "--threads", "1", "--probabilities"]
    return [*start, *map(str, words), "--out", str(out), *fixed]


def in_thread(inputs: list[Path], out: Path, **options: object) -> Future:
    """Begin a prediction, to do something to it meanwhile."""
    model = api.bundled_model("pathology")
    pool = ThreadPoolExecutor(1)
    future = pool.submit(api.predict_files, model, inputs, out, probabilities=True, **options)
    pool.shutdown(wait=False)
    return future


def wait_until(condition: Callable[[], bool]) -> None:
    limit = time.monotonic() + WAIT
    while not condition():
        assert time.monotonic() < limit
        time.sleep(0.01)


def workers_under_way(partial: Path) -> list[int]:
    """Processes that hold a band of a slide whose first windows are in its journal."""
    begun = [path.stem.removeprefix("journal-") for path in partial.glob("journal*.jsonl") if path.stat().st_size]
    numbers = ["0" if number == "journal" else number for number in begun]
    return [holder for number in numbers if (holder := holder_of(partial / f"band-{number}.lock"))]


def holder_of(lock: Path) -> int:
    try:
        text = lock.read_text()
    except OSError:
        return 0
    return int(text.partition('"pid":')[2].partition(",")[0] or 0)


@pytest.mark.skipif(sys.platform == "win32", reason="kills as POSIX does")
def test_workers_of_which_one_is_killed_make_what_one_process_makes(folder: Path, once: Path, tmp_path: Path) -> None:
    said: list[tuple[str, dict]] = []
    done = in_thread(
        [folder], tmp_path, workers=2, report=lambda event, **values: said.append((event, values)), **FIXED
    )
    wait_until(lambda: bool(workers_under_way(tmp_path / "large.partial")))
    os.kill(workers_under_way(tmp_path / "large.partial")[0], signal.SIGKILL)
    rows = done.result(timeout=WAIT)
    assert files_of(tmp_path) == files_of(once)
    assert rows_of(tmp_path) == rows_of(once)
    of_picture = [np.asarray(api.read(out / "picture.tif").data) for out in (tmp_path, once)]
    np.testing.assert_array_equal(*of_picture)
    assert [Path(row["input"]).name for row in rows] == sorted(path.name for path in folder.iterdir())
    assert [bool(row["error"]) for row in rows] == [False, False, False, True]
    warnings = [values["text"] for event, values in said if event == "warning"]
    assert any("The worker process ended (signal SIGKILL); another one goes on with it." in text for text in warnings)
    assert warnings[-1] == "1 of 4 inputs were not predicted (torn.svs): the table says why."
    assert {values["index"] for event, values in said if event == "item_ended"} == {0, 1, 2, 3}
    told = [values for event, values in said if event == "progress"]
    assert told[-1]["of"] == 4
    assert "% of all" in told[-1]["text"]


@pytest.mark.skipif(sys.platform == "win32", reason="interrupts as POSIX does")
def test_interrupted_it_leaves_no_process_and_one_process_finishes_the_bands(
    folder: Path, once: Path, tmp_path: Path
) -> None:
    started = command(tmp_path, folder / "large.svs", "--workers", "2")
    pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
    # Programs started in the background of a shell would not hear of an interrupt.
    hearing = functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    child = subprocess.Popen(started, start_new_session=True, preexec_fn=hearing, **pipes)
    wait_until(lambda: bool(workers_under_way(tmp_path / "large.partial")))
    below = psutil.Process(child.pid).children(recursive=True)
    # Held for a moment, so that a fast machine does not finish first.
    for process in below:
        process.suspend()
    os.killpg(child.pid, signal.SIGINT)
    time.sleep(0.5)
    for process in below:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.resume()
    _, words = child.communicate(timeout=WAIT)
    assert child.returncode == 130
    assert words.splitlines()[-1] == "Interrupted; the work so far is kept."
    assert "Traceback" not in words
    psutil.wait_procs(below, timeout=WAIT)
    assert not any(process.is_running() for process in below)
    assert not (tmp_path / "large.zarr").exists()
    api.predict_files(api.bundled_model("pathology"), [folder / "large.svs"], tmp_path, probabilities=True, **FIXED)
    assert files_of(tmp_path) == files_of(once, "large")


@pytest.fixture
def cluster() -> Iterator[str]:
    """The address of a scheduler with two workers."""
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=2, processes=True, dashboard_address=None, silence_logs=50
    ) as started:
        yield started.scheduler_address


@pytest.mark.skipif(sys.platform == "win32", reason="kills as POSIX does")
def test_a_worker_of_a_cluster_that_is_killed_loses_nothing(
    folder: Path, once: Path, tmp_path: Path, cluster: str
) -> None:
    done = in_thread([folder / "large.svs"], tmp_path, scheduler=cluster, **FIXED)
    wait_until(lambda: bool(workers_under_way(tmp_path / "large.partial")))
    os.kill(workers_under_way(tmp_path / "large.partial")[0], signal.SIGKILL)
    (row,) = done.result(timeout=WAIT)
    assert row["error"] == ""
    assert files_of(tmp_path) == files_of(once, "large")


def test_a_scheduler_that_does_not_answer_is_told(folder: Path, tmp_path: Path, monkeypatch) -> None:
    def ask(address: str) -> None:
        api.predict_files(
            api.bundled_model("pathology"), [folder / "picture.tif"], tmp_path, scheduler=address, threads=1
        )

    with pytest.raises(ConfigError, match="No dask scheduler answers at nowhere://x"):
        ask("nowhere://x")
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ConfigError, match=r"napari-medseg\[cluster\]"):
        ask("tcp://127.0.0.1:1")


def test_a_band_has_one_writer(folder: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("napari_medseg.api.slide_work.STALE_SECONDS", -2)
    model = api.load_model(api.bundled_model("pathology"), **FIXED)
    image = api.read(folder / "large.svs")
    work = SlideWork(model, image, tmp_path / "large", api.SlideOptions(), parts=2)
    assert len(work.bands) == 2

    def meanwhile(done: int, of: int, text: str) -> None:
        with pytest.raises(LockedError, match="is being written by process"):
            SlideWork(model, image, tmp_path / "large", api.SlideOptions(), parts=5).run(0)
        with pytest.raises(LockedError, match="is being written by process"):
            SlideWork(model, image, tmp_path / "large", api.SlideOptions(tissue="none"))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        work.run(0, progress=meanwhile)
    assert SlideWork(model, image, tmp_path / "large", api.SlideOptions()).bands == work.bands


@pytest.mark.parametrize("words", [["--workers", "0"], ["--workers", "two"], ["--workers", "2", "--scheduler", "x"]])
def test_numbers_and_ways_that_cannot_be_are_wrong_usage(folder: Path, tmp_path: Path, words: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["predict", "model", str(folder), "--out", str(tmp_path), *words])
    assert ended.value.code == 2


def test_devices_are_shared_out(monkeypatch) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "some device")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert share_compute(2)[1] == ["0", "1", "2"]
    assert share_compute(2, device="cuda:1")[1] == [], "all were told to use this one"
    assert share_compute(2, device="cpu")[1] == []
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,GPU-7,9")
    assert share_compute(2)[1] == ["4", "GPU-7", "9"]
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert share_compute(2)[1] == []
