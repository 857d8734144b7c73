"""Take the pictures of docs/loop.md: python tools/loop_picture.py FOLDER [--device cpu]

Makes a synthetic data set, trains two small models on it and shows what the window says of them. Run it under a virtual
screen of at least 1400 x 900 pixels where there is none.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import napari
from qtpy.QtWidgets import QApplication

from napari_medseg import api
from napari_medseg.data.dataset import Dataset
from napari_medseg.data.synthetic import make_dataset
from napari_medseg.widgets.workspace import Workspace

_SETTINGS = ("network.base_width=8", "input_size=96", "training.steps_per_epoch=20")


def make(folder: Path, device: str) -> None:
    """A data set with cases to do and two runs, the first of which is in use."""
    dataset = make_dataset(folder, n=60, size=128, seed=0)
    for name, epochs in (("first", 1), ("second", 5)):
        settings = [*_SETTINGS, f"training.epochs={epochs}"]
        run = folder / "runs" / name
        api.train("pathology", folder, run, assignments=settings, seed=1, device=device, precision="fp32")
    api.promote_model(folder, folder / "runs" / "first")
    for case in dataset.cases[-8:]:
        changes = {"status": "todo", "split": "", "tag": "", "group": f"patient {case.case[-3:]}"}
        dataset.update_case(case.case, revision=case.revision, **changes)
    # Glands imply nothing in truth; here they do, so that there is something to resolve.
    dataset.set_info(replace(dataset.info, implies={"gland": "malignant"}))


def wait(until: Callable[[], bool], seconds: float = 600.0) -> None:
    """Let the window live until something is true."""
    application, end = QApplication.instance(), time.monotonic() + seconds
    while application is not None and time.monotonic() < end and not until():
        application.processEvents()
        time.sleep(0.02)


def pause(seconds: float) -> None:
    """Let the window live for a while."""
    end = time.monotonic() + seconds
    wait(lambda: time.monotonic() > end)


def take(folder: Path, out: Path) -> None:
    """Open the window and take the pictures."""
    viewer = napari.Viewer(show=True)
    viewer.window.resize(1366, 768)
    workspace = Workspace(viewer)
    viewer.window.add_dock_widget(workspace, area="right", name="napari-medseg")
    workspace.session.set_dataset(Dataset.open(folder))
    queue = workspace.panel("Cases").queue
    workspace.session.open_case(workspace.session.dataset.cases[0].case)
    queue.fold.set_open(True)

    def shoot(name: str) -> None:
        pause(1.0)
        viewer.window.screenshot(str(out / name), flash=False, canvas_only=False)

    queue.strategy.setCurrentIndex(queue.strategy.findData("entropy"))
    for kind, name in (("next", "loop-next"), ("contradictions", "loop-contradictions"), ("quality", "loop-worst")):
        queue.kind.setCurrentIndex(queue.kind.findData(kind))
        queue.look()
        wait(lambda: queue.job is None)
        shoot(f"{name}.png")
    workspace.show_panel("Train")
    card = workspace.panel("Train").comparison
    card.begin(folder, folder / "runs" / "second" / "model.safetensors")
    wait(lambda: card.job is None)
    shoot("loop-compare.png")
    workspace.show_panel("Predict")
    workspace.panel("Predict").kept.fold.set_open(True)
    pause(5.0)
    shoot("loop-models.png")
    viewer.close()


def main() -> None:
    """Make the data set and the pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="folder for the pictures, e.g. docs/images")
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        make(Path(folder) / "glands", args.device)
        take(Path(folder) / "glands", args.out)


if __name__ == "__main__":
    main()
