"""Autosave: what is on screen is on the disk a moment later, whichever tool changed it and whatever happens."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest
from napari.layers import Labels

from napari_medseg.data.label_store import LabelStore
from napari_medseg.structures import NOT_LOOKED_AT
from napari_medseg.widgets import autosave
from napari_medseg.widgets.autosave import Autosave

SHAPE = (700, 600)


@pytest.fixture
def quick(monkeypatch):
    """Waits that are fit for tests."""
    monkeypatch.setattr(autosave, "QUIET_SECONDS", 0.02)
    monkeypatch.setattr(autosave, "RETRY_SECONDS", (0.05, 0.2))


@pytest.fixture
def saving(qtbot, quick, tmp_path):
    """Make a layer that is saved to `tmp_path/labels/a.zarr`."""
    made = []

    def make(shape=SHAPE) -> tuple[Labels, Autosave]:
        store = LabelStore(tmp_path / "labels" / "a.zarr", shape, case="a", conflicts=tmp_path / "conflicts")
        layer = Labels(store.read(), name="a · labels")
        layer.brush_size = 30
        saver = Autosave(layer, store)
        made.append(saver)
        return layer, saver

    yield make
    for saver in made:
        saver.stop()


def on_disk(tmp_path: Path, shape=SHAPE) -> np.ndarray:
    """What a program that starts now reads."""
    return LabelStore(tmp_path / "labels" / "a.zarr", shape, case="a").read()


def paint(layer: Labels) -> None:
    with layer.block_history():
        for column in range(100, 300, 10):
            layer.paint((350, column), 1)


def erase(layer: Labels) -> None:
    paint(layer)
    layer.paint((350, 200), 0)


def fill(layer: Labels) -> None:
    layer.fill((10, 10), 2)


def polygon(layer: Labels) -> None:
    layer.paint_polygon([[20, 20], [20, 590], [680, 300]], 3)


def undo(layer: Labels) -> None:
    paint(layer)
    polygon(layer)
    layer.undo()


def redo(layer: Labels) -> None:
    undo(layer)
    layer.redo()


def set_items(layer: Labels) -> None:
    layer.data_setitem(np.nonzero(layer.data == NOT_LOOKED_AT), 0)


def replace_all(layer: Labels) -> None:
    layer.data = np.full(SHAPE, 4, np.uint8)


@pytest.mark.parametrize("change", [paint, erase, fill, polygon, undo, redo, set_items, replace_all])
def test_every_change_reaches_the_disk(change, saving, qtbot, tmp_path):
    layer, saver = saving()
    with qtbot.waitSignal(saver.saved, timeout=10_000):
        change(layer)
    assert (layer.data != NOT_LOOKED_AT).any()
    np.testing.assert_array_equal(on_disk(tmp_path), layer.data)


def test_undo_after_a_save_is_saved_too(saving, qtbot, tmp_path):
    layer, saver = saving()
    with qtbot.waitSignal(saver.saved, timeout=10_000):
        paint(layer)
    with qtbot.waitSignal(saver.saved, timeout=10_000):
        layer.undo()
    assert (on_disk(tmp_path) == NOT_LOOKED_AT).all()


def test_only_changed_chunks_are_written(saving, qtbot, tmp_path):
    layer, saver = saving()
    with qtbot.waitSignal(saver.saved, timeout=10_000):
        layer.fill((10, 10), 1)
    chunks = {p: p.stat().st_mtime_ns for p in (tmp_path / "labels" / "a.zarr" / "0" / "c").rglob("*") if p.is_file()}
    assert len(chunks) == 4
    with qtbot.waitSignal(saver.saved, timeout=10_000):
        layer.paint((600, 550), 2)
    rewritten = [p for p, time_ns in chunks.items() if p.stat().st_mtime_ns != time_ns]
    assert [p.relative_to(tmp_path / "labels" / "a.zarr" / "0" / "c").as_posix() for p in rewritten] == ["1/1"]


def test_a_volume_is_saved(saving, qtbot, tmp_path):
    layer, saver = saving((20, 128, 128))
    layer.n_edit_dimensions = 3
    with qtbot.waitSignal(saver.saved, timeout=10_000):
        layer.paint((10, 64, 64), 1)
    np.testing.assert_array_equal(on_disk(tmp_path, (20, 128, 128)), layer.data)
    assert (layer.data[5] == 1).any()


def test_nothing_is_written_before_the_first_stroke(saving, qtbot, tmp_path):
    layer, saver = saving()
    layer.refresh()
    qtbot.wait(150)
    saver.flush()
    assert not (tmp_path / "labels").exists()


def test_who_draws_on_and_on_is_saved_in_between(saving, qtbot, tmp_path, monkeypatch):
    monkeypatch.setattr(autosave, "QUIET_SECONDS", 10.0)
    monkeypatch.setattr(autosave, "MOST_SECONDS", 0.2)
    layer, saver = saving()
    with qtbot.waitSignal(saver.saved, timeout=10_000):
        layer.paint((100, 100), 1)
        qtbot.wait(120)
        layer.paint((100, 300), 1)
    assert on_disk(tmp_path)[100, 100] == 1


def test_labels_wait_in_memory_while_the_folder_cannot_be_written(saving, qtbot, tmp_path):
    layer, saver = saving()
    # A file where the folder should be fails for every user, unlike missing permissions, which root ignores.
    (tmp_path / "labels").write_text("in the way", "utf-8")
    with qtbot.waitSignal(saver.failed, timeout=10_000) as told:
        paint(layer)
    assert "case 'a' could not be saved" in told.args[0]
    assert not saver.is_saved()
    (tmp_path / "labels").unlink()
    qtbot.waitUntil(saver.is_saved, timeout=10_000)
    np.testing.assert_array_equal(on_disk(tmp_path), layer.data)


def test_flush_says_what_keeps_it_and_succeeds_later(saving, tmp_path):
    layer, saver = saving()
    (tmp_path / "labels").write_text("in the way", "utf-8")
    paint(layer)
    with pytest.raises(OSError, match="still in memory"):
        saver.flush()
    (tmp_path / "labels").unlink()
    saver.flush()
    np.testing.assert_array_equal(on_disk(tmp_path), layer.data)


def test_two_annotators_at_one_place_are_told_and_both_drawings_are_kept(saving, qtbot, tmp_path):
    layer, saver = saving()
    with qtbot.waitSignal(saver.saved, timeout=10_000):
        layer.paint((100, 100), 1)
    other = LabelStore(tmp_path / "labels" / "a.zarr", SHAPE, case="a")
    other.read()
    other.write_box(((0, 50), (0, 50)), np.full((50, 50), 2, np.uint8))
    with qtbot.waitSignal(saver.failed, timeout=10_000) as told:
        layer.paint((200, 200), 3)
    assert "changed by another program" in told.args[0]
    assert on_disk(tmp_path)[10, 10] == 2
    (kept,) = (tmp_path / "conflicts").glob("a.*.zarr")
    assert LabelStore(kept, SHAPE, case="a").read()[200, 200] == 3


def test_labels_of_another_shape_are_refused_in_a_sentence(saving, qtbot, tmp_path):
    layer, saver = saving()
    with qtbot.waitSignal(saver.failed, timeout=10_000) as told:
        layer.data = np.zeros((10, 10), np.uint8)
    assert "do not fit its image" in told.args[0]
    assert not (tmp_path / "labels").exists()


CHILD = """
import sys
import numpy as np
from pathlib import Path
from napari.layers import Labels
from qtpy.QtCore import QCoreApplication, QTimer
from napari_medseg.data.label_store import LabelStore
from napari_medseg.widgets import autosave

autosave.QUIET_SECONDS = 0.01
autosave.MOST_SECONDS = 0.05
app = QCoreApplication([])
folder = Path(sys.argv[1])
store = LabelStore(folder / "labels" / "a.zarr", (700, 600), case="a")
layer = Labels(store.read())
layer.brush_size = 9
saver = autosave.Autosave(layer, store)
rng = np.random.default_rng(int(sys.argv[2]))
ticks = strokes = 0

def tick():
    # Strokes come in bursts with pauses in which everything gets saved. Each has a row of its own.
    global ticks, strokes
    ticks += 1
    if ticks // 6 % 2 or strokes >= 700:
        return
    layer.data_setitem((np.full(600, strokes), np.arange(600)), 1)
    strokes += 1
    if rng.random() < 0.2:
        layer.paint((rng.integers(700), rng.integers(600)), 7)
        layer.undo()

def acknowledged(clock):
    # Whatever is on disk at this moment must be there after any crash.
    if saver.is_saved():
        np.save(folder / "pending.npy", layer.data)
        (folder / "pending.npy").replace(folder / "acknowledged.npy")
        print(strokes, flush=True)

saver.saved.connect(acknowledged)
timer = QTimer()
timer.timeout.connect(tick)
timer.start(20)
app.exec()
"""


@pytest.mark.parametrize("seed", [0, 1, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(2, 20))])
def test_a_killed_window_loses_nothing_that_was_said_to_be_saved(seed, tmp_path):
    script = tmp_path / "child.py"
    script.write_text(textwrap.dedent(CHILD), "utf-8")
    environment = {**os.environ, "QT_QPA_PLATFORM": "offscreen", "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        [sys.executable, str(script), str(tmp_path), str(seed)], stdout=subprocess.PIPE, text=True, env=environment
    ) as child:
        assert child.stdout is not None
        for _ in range(2 + seed % 5):
            said = child.stdout.readline()
            assert said, "the child ended by itself"
        # A moment that has nothing to do with what the child is doing.
        time.sleep(0.003 + 0.017 * seed)
        child.send_signal(signal.SIGKILL)
    acknowledged = np.load(tmp_path / "acknowledged.npy")
    found = on_disk(tmp_path)
    drawn = acknowledged != NOT_LOOKED_AT
    assert drawn.any()
    np.testing.assert_array_equal(found[drawn], acknowledged[drawn])
