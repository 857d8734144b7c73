"""A disk that is full while somebody draws: told in a sentence, nothing lost, saved when there is space again."""

from __future__ import annotations

import subprocess

import numpy as np
import pytest
from qtpy.QtCore import Qt

from napari_medseg.structures import NOT_LOOKED_AT
from napari_medseg.widgets import autosave
from napari_medseg.widgets.annotate_panel import AnnotatePanel
from napari_medseg.widgets.session import session_of

from .helpers import drag, labels_on_disk, make_dataset, press, row_in_another_process

STROKE = [(250, column) for column in range(100, 500, 20)]


@pytest.fixture
def small_disk(tmp_path):
    """A folder on a disk of its own with 4 MB; needs the right to mount."""
    folder = tmp_path / "small disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)], check=False, capture_output=True
    )
    if mounted.returncode:
        pytest.skip("a small disk can be mounted by the administrator of Linux alone")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(folder):
    """Take all space that is left; deleting the file gives it back."""
    ballast = folder / "ballast"
    with pytest.raises(OSError, match="No space left"):
        ballast.write_bytes(bytes(8 * 2**20))
    return ballast


@pytest.mark.viewer
def test_drawing_goes_on_while_the_disk_is_full(small_disk, make_napari_viewer, qtbot, monkeypatch):
    monkeypatch.setattr(autosave, "QUIET_SECONDS", 0.05)
    monkeypatch.setattr(autosave, "RETRY_SECONDS", (0.1, 0.5))
    data = small_disk / "data"
    make_dataset(data)
    viewer = make_napari_viewer(show=True)
    viewer.window.resize(1200, 800)
    panel = AnnotatePanel(viewer)
    viewer.window.add_dock_widget(panel, area="right")
    session = session_of(viewer)
    session.open_dataset(data)
    session.open_case("case0")
    session.open.choose_class(1)
    drag(qtbot, viewer, STROKE)
    qtbot.waitUntil(lambda: session.open.autosave.is_saved() and session.case.label != "", timeout=15_000)
    first = np.array(session.labels.data)
    ballast = fill(small_disk)

    session.open.choose_class(2)
    drag(qtbot, viewer, [(row + 60, column) for row, column in STROKE])
    qtbot.waitUntil(lambda: "case 'case0' could not be saved" in panel.notice.words, timeout=10_000)
    assert "not saved" in panel.saved.words
    press(qtbot, viewer, Qt.Key.Key_Return, Qt.KeyboardModifier.ControlModifier)
    assert session.case.case == "case0", "a case that cannot be saved is not left"
    drawn = np.array(session.labels.data)
    assert (drawn == 2).any()
    stored = labels_on_disk(data, "case0")
    # A chunk is as it was or as it is now; nothing between, and nothing of the first stroke is gone.
    assert ((stored == first) | (stored == drawn)).all()
    assert (stored[first == 1] == 1).all()
    assert row_in_another_process(data, "case0")["status"] == "draft"

    ballast.unlink()
    qtbot.waitUntil(session.open.autosave.is_saved, timeout=10_000)
    qtbot.waitUntil(lambda: "saved" in panel.saved.words and "not saved" not in panel.saved.words, timeout=5000)
    press(qtbot, viewer, Qt.Key.Key_Return, Qt.KeyboardModifier.ControlModifier)
    assert session.case.case == "case1"
    np.testing.assert_array_equal(labels_on_disk(data, "case0"), np.where(drawn == NOT_LOOKED_AT, 0, drawn))
    assert row_in_another_process(data, "case0")["status"] == "done"
    leftovers = [path.name for path in data.rglob("*") if path.name.endswith((".tmp", ".old", ".partial", ".lock"))]
    assert leftovers == []
