"""Make docs/images/review.png and reviewed.png: three readings of generated glands, and a case that is locked.

xvfb-run -a -s "-screen 0 1400x900x24" python tools/review_picture.py docs/images
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import napari
from qtpy.QtWidgets import QApplication

from napari_medseg.data.dataset import Dataset
from napari_medseg.data.dataset_file import mask_classes, tag_classes
from napari_medseg.data.finishing import mark_done, record_labels
from napari_medseg.data.synthetic import tissue
from napari_medseg.structures import DatasetInfo
from napari_medseg.widgets.fold import Fold
from napari_medseg.widgets.session import session_of
from napari_medseg.widgets.workspace import Workspace

#: Pixels of a side, and cases.
SIZE, CASES = 384, 4


def main(folder: Path) -> None:
    """Draw the window into files."""
    path = Path(tempfile.mkdtemp()) / "glands"
    make_readings(path)
    viewer = napari.Viewer()
    viewer.window.resize(1366, 768)
    workspace = Workspace(viewer)
    viewer.window.add_dock_widget(workspace, area="right", name="napari-medseg")
    session = session_of(viewer)
    session.open_dataset(path)
    session.open_case("case1")
    workspace.show_panel("Review")
    panel = workspace.panel("Review")
    panel.compare.start()
    wait(lambda: panel.compare.compared is not None)
    panel.agreement.compare.click()
    wait(lambda: panel.agreement.table.rowCount() > 0)
    for fold in panel.findChildren(Fold):
        fold.set_open("Agreement" in fold.button.text())
    panel.compare.step(1)
    rest()
    viewer.screenshot(str(folder / "review.png"), canvas_only=False, flash=False)
    panel.done.click()
    session.open_case("case1")
    rest()
    viewer.screenshot(str(folder / "reviewed.png"), canvas_only=False, flash=False)
    viewer.close()


def make_readings(path: Path) -> None:
    """A data set read by Anna, and by two made-up readers."""
    info = DatasetInfo(name="glands", classes=mask_classes(["gland"]), tags=tag_classes(["benign", "malignant"]))
    dataset = Dataset.create(path, info, author="anna")
    for i in range(CASES):
        rgb, labels = tissue(size=SIZE, seed=i, malignant=bool(i % 2))
        case = dataset.add_image(rgb, f"case{i}", group=f"patient {i}")
        store = dataset.label_store(case, labels.shape)
        store.write_box(((0, SIZE), (0, SIZE)), labels)
        case = record_labels(dataset, case.case, store, revision=case.revision)
        mark_done(dataset, case.case, store, revision=case.revision, tag="malignant" if i % 2 else "benign")
    script = Path(__file__).with_name("simulate_readers.py")
    subprocess.run([sys.executable, str(script), str(path), "ben=2:0.02", "cora=4:0.1"], check=True)


def wait(until, seconds: float = 60) -> None:
    """Let the window work until something is so."""
    end = time.monotonic() + seconds
    while callable(until) and not until() and time.monotonic() < end:
        QApplication.processEvents()
        time.sleep(0.02)


def rest(seconds: float = 1.5) -> None:
    """Let the window work for a while."""
    wait(lambda: False, seconds)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
