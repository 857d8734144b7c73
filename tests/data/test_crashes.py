"""Programs that are killed, disks that are full, folders that are read-only, programs that write at the same time."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from napari_medseg.data.checking import check
from napari_medseg.data.dataset import Dataset
from napari_medseg.data.finishing import record_labels
from napari_medseg.data.repairing import repair
from napari_medseg.errors import ConflictError, WriteError
from tests.data.folders import INFO, make_cases, write_picture

# Starts a program that draws for every step that it reads, by forking, because importing takes longer than drawing.
_DRAWS = """
import os
import sys
import numpy as np
import zarr
from napari_medseg.data.dataset import Dataset
from napari_medseg.data.finishing import record_labels

def draw(step):
    data = Dataset.open(sys.argv[1])
    while True:
        name = f"c{step % 3}"
        case = data.case(name)
        store = data.label_store(case, (600, 600))
        # One stroke per step, over the border of chunks, and the step's number in binary.
        store.write_box(((500, 530), (500, 530)), np.full((30, 30), 1 + step % 2, np.uint8))
        store.write_box(((0, 1), (0, 16)), np.array([[step >> bit & 1 for bit in range(16)]], np.uint8))
        case = record_labels(data, name, store, revision=case.revision)
        data.update_case(name, revision=case.revision, note=str(step))
        print(step, flush=True)
        step += 1

for line in sys.stdin:
    child = os.fork()
    if not child:
        draw(int(line))
    print(child, flush=True)
    os.waitpid(child, 0)
    print("dead", flush=True)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="programs are killed and forked as Unix does it")
def test_killing_at_any_moment_loses_nothing_that_was_saved(tmp_path: Path) -> None:
    dataset = make_cases(tmp_path, 3, (600, 600))
    rng = random.Random(7)
    step = 0
    command = [sys.executable, "-c", _DRAWS, str(dataset.path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as starter:
        assert starter.stdin is not None
        for _ in range(20):
            saved = _draw_until_killed(starter, step, seconds=rng.uniform(0.0, 0.3))
            repair(dataset.path)
            faults = check(dataset)
            assert [str(fault) for fault in faults if fault.severity == "error"] == []
            assert not list(dataset.path.rglob("*.partial"))
            _assert_saved(dataset, saved)
            step = saved + 1
        starter.stdin.close()


def _draw_until_killed(starter: subprocess.Popen[str], step: int, seconds: float) -> int:
    """Let a program draw from a step on, kill it some time after its first save, return the last step it reported."""
    assert starter.stdin is not None
    assert starter.stdout is not None
    starter.stdin.write(f"{step}\n")
    starter.stdin.flush()
    child = int(starter.stdout.readline())
    lines = [starter.stdout.readline()]
    time.sleep(seconds)
    os.kill(child, signal.SIGKILL)
    while (line := starter.stdout.readline()) != "dead\n":
        lines.append(line)
    return int(lines[-1])


def _assert_saved(dataset: Dataset, saved: int) -> None:
    """The last acknowledged step, and possibly the next one, is what lies on the disk."""
    for step in range(max(0, saved - 2), saved + 1):
        case = dataset.case(f"c{step % 3}")
        labels = dataset.read_labels(case)
        assert labels is not None
        found = sum(int(labels[0, bit]) << bit for bit in range(16))
        assert found in (step, step + 3)
        assert int(case.note) in (step, step + 3)
        stroke = np.unique(labels[500:530, 500:530])
        # A stroke over four chunks may be torn between them when it was not acknowledged, but is never lost.
        assert set(stroke) <= {1 + step % 2, 1 + (step + 3) % 2}
        assert case.status == "draft"


def test_a_label_that_its_row_does_not_name_yet_is_found_and_named(tmp_path: Path) -> None:
    dataset = make_cases(tmp_path, 2)
    dataset.label_store(dataset.case("c1"), (40, 30)).write_box(((0, 1), (0, 1)), np.array([[2]], np.uint8))
    opened = Dataset.open(dataset.path)
    labels = opened.read_labels(opened.case("c1"))
    assert labels is not None, "drawn work is read even before a repair"
    assert [fault.where for fault in check(opened) if "No row names" in fault.text] == ["labels/c1.zarr"]
    (said,) = repair(dataset.path)
    assert "'c1'" in said
    opened.reload()
    assert (opened.case("c1").label, opened.case("c1").status) == ("c1.zarr", "draft")
    assert repair(dataset.path) == []


def test_an_old_table_saved_over_a_new_one_is_noticed_and_undone(tmp_path: Path) -> None:
    dataset = make_cases(tmp_path, 2)
    old = (dataset.path / "cases.csv").read_bytes()
    dataset.update_case("c0", revision=1, tag="benign")
    dataset.update_case("c0", revision=2, status="done")
    (dataset.path / "cases.csv").write_bytes(old)
    fresh = Dataset.open(dataset.path)
    assert [fault.where for fault in check(fresh) if fault.severity == "error"] == ["cases.csv row 2 (case 'c0')"]
    repair(dataset.path)
    fresh.reload()
    case = fresh.case("c0")
    assert (case.tag, case.status, case.revision) == ("benign", "done", 3)
    assert not [fault for fault in check(fresh) if fault.severity == "error"]


def test_a_lost_table_is_made_again_from_the_history(tmp_path: Path) -> None:
    dataset = make_cases(tmp_path, 3)
    dataset.update_case("c1", revision=1, tag="benign")
    dataset.remove_case("c2", revision=1)
    before = dataset.cases
    (dataset.path / "cases.csv").unlink()
    repair(dataset.path)
    after = Dataset.open(dataset.path).cases
    assert [(c.case, c.image, c.tag, c.revision) for c in after] == [
        (c.case, c.image, c.tag, c.revision) for c in before
    ]


def test_labels_in_the_trash_come_back_for_a_row_that_names_them(tmp_path: Path) -> None:
    dataset = make_cases(tmp_path, 1)
    store = dataset.label_store(dataset.case("c0"), (40, 30))
    store.write_box(((0, 1), (0, 1)), np.array([[2]], np.uint8))
    record_labels(dataset, "c0", store, revision=1)
    table = (dataset.path / "cases.csv").read_bytes()
    dataset.remove_case("c0", revision=2)
    (dataset.path / "cases.csv").write_bytes(table)
    dataset.reload()
    assert any("does not exist" in fault.text for fault in check(dataset))
    repair(dataset.path)
    labels = dataset.read_labels(dataset.case("c0"))
    assert labels is not None
    assert labels[0, 0] == 2


def test_a_torn_line_of_history_hides_no_other(tmp_path: Path) -> None:
    dataset = make_cases(tmp_path, 2)
    count = len(dataset.history.read())
    (dataset.path / "history" / "elsewhere-1-abc.jsonl").write_bytes(b'{"time": "2026-01-01T00:00:00Z", "author": "x')
    assert len(dataset.history.read()) == count


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 400 kB; needs the right to mount one."""
    disk = tmp_path / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", str(disk)]
    if sys.platform != "linux" or os.geteuid() != 0 or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("a small disk can be mounted only by root on Linux")
    yield disk
    # Lazily, because zarr closes its files when it likes.
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


def test_a_full_disk_is_said_and_nothing_is_lost(small_disk: Path, tmp_path: Path) -> None:
    pictures, dataset = tmp_path / "pictures", Dataset.create(small_disk / "data", INFO)
    for name in ("c0", "c1"):
        dataset.add_case(write_picture(pictures / f"{name}.tif", (600, 600)))
    store = dataset.label_store(dataset.case("c0"), (600, 600))
    store.write_box(((0, 40), (0, 40)), np.full((40, 40), 1, np.uint8))
    case = record_labels(dataset, "c0", store, revision=1)
    table = (dataset.path / "cases.csv").read_bytes()
    filler = small_disk / "filler"
    _fill(filler)
    noise = np.random.default_rng(0).integers(0, 3, (600, 600), dtype=np.uint8)
    whole = ((0, 600), (0, 600))
    with pytest.raises(WriteError, match=r"'c0'.*No space left.*still in memory"):
        store.write_box(whole, noise)
    with pytest.raises(WriteError, match="No space left"):
        dataset.update_case("c0", revision=case.revision, note="n" * 5000)
    assert (dataset.path / "cases.csv").read_bytes() == table
    labels = Dataset.open(dataset.path).read_labels(case)
    assert labels is not None
    assert (labels[:40, :40] != 255).all()
    filler.unlink()
    store.write_box(whole, noise)
    np.testing.assert_array_equal(store.read(), noise)
    assert dataset.update_case("c0", revision=case.revision, note="n" * 5000).revision == case.revision + 1
    assert not [fault for fault in check(dataset) if fault.severity == "error"]


def _fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file:
        for size in (4096, 1):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError:
                continue


def test_a_read_only_folder_is_said_and_can_be_read(small_disk: Path) -> None:
    dataset = make_cases(small_disk, 2)
    store = dataset.label_store(dataset.case("c0"), (40, 30))
    store.write_box(((0, 1), (0, 1)), np.array([[2]], np.uint8))
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with pytest.raises(WriteError, match="Read-only file system"):
        store.write_box(((0, 1), (0, 1)), np.array([[1]], np.uint8))
    for write in (
        lambda: dataset.update_case("c0", revision=1, note="x"),
        lambda: dataset.add_case("x.png"),
        lambda: dataset.set_info(replace(INFO, name="other")),
        lambda: Dataset.create(small_disk / "new", INFO),
        lambda: repair(dataset.path),
    ):
        with pytest.raises(WriteError, match="Read-only file system"):
            write()
    opened = Dataset.open(dataset.path)
    assert opened.read_image(opened.case("c0")).shape == (40, 30)
    assert opened.read_labels(opened.case("c0")) is not None
    assert not [fault for fault in check(opened) if fault.severity == "error"]


@pytest.mark.parametrize(("refusals", "saved"), [(2, True), (100, False)])
def test_a_table_that_a_spreadsheet_holds_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refusals: int, saved: bool
) -> None:
    dataset = make_cases(tmp_path, 1)
    table = (dataset.path / "cases.csv").read_bytes()
    replace_file, refused = os.replace, []

    def held(source: str, target: str) -> None:
        # What Windows answers while another program has the file open.
        if Path(target).name == "cases.csv" and len(refused) < refusals:
            refused.append(target)
            raise PermissionError(13, "Permission denied")
        replace_file(source, target)

    monkeypatch.setattr(os, "replace", held)
    if saved:
        assert dataset.update_case("c0", revision=1, tag="benign").tag == "benign"
    else:
        with pytest.raises(WriteError, match="check who holds it"):
            dataset.update_case("c0", revision=1, tag="benign")
        assert (dataset.path / "cases.csv").read_bytes() == table
        assert repair(dataset.path) == [], "a change that was refused is not brought back"
        monkeypatch.undo()
        assert dataset.update_case("c0", revision=1, tag="malignant").revision == 2


def test_a_conflict_is_not_a_write(tmp_path: Path) -> None:
    dataset = make_cases(tmp_path, 1)
    dataset.update_case("c0", revision=1, tag="benign")
    with pytest.raises(ConflictError):
        dataset.update_case("c0", revision=1, tag="malignant")
    assert repair(dataset.path) == [], "a refused change is not brought back"
