"""Take the picture of an evaluation's page for the documentation, on generated images with a bundled model.

pip install PyQt6-WebEngine
xvfb-run -a -s "-screen 0 1300x1800x24" python tools/evaluation_picture.py [--out docs/images/evaluation_page.png]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from PyQt6.QtCore import QTimer, QUrl
from PyQt6.QtWebEngineWidgets import QWebEngineView
from PyQt6.QtWidgets import QApplication

from napari_medseg import api
from napari_medseg.data.dataset import Dataset
from napari_medseg.data.synthetic import make_dataset

#: Of the window, in pixels, and how long the page may take to be laid out.
SIZE, SETTLED_MS = (1200, 1560), 2000


def main() -> None:
    """Evaluate, show, save."""
    parser = argparse.ArgumentParser(description="Take the picture of an evaluation's page.")
    parser.add_argument("--out", type=Path, default=Path("docs/images/evaluation_page.png"))
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        data, page = Path(folder) / "glands", Path(folder) / "page.html"
        make_dataset(data, n=40, size=256, seed=77)
        Dataset.open(data).split((0.2, 0.2, 0.6), 0)
        api.evaluate(api.bundled_model("pathology"), data, page=page, device="cpu")
        app = QApplication([*sys.argv, "--no-sandbox", "--disable-gpu"])
        view = QWebEngineView()
        view.resize(*SIZE)
        view.load(QUrl.fromLocalFile(str(page)))
        view.show()
        view.loadFinished.connect(lambda ok: QTimer.singleShot(SETTLED_MS, lambda: _save(app, view, arguments.out)))
        app.exec()


def _save(app: QApplication, view: QWebEngineView, out: Path) -> None:
    view.grab().save(str(out))
    app.quit()


if __name__ == "__main__":
    main()
