"""What a training will take, measured by a child process on two steps of every stage."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_medseg.schemes import SchemeConfig
from napari_medseg.training.events import duration
from napari_medseg.widgets.jobs import ChildJob
from napari_medseg.widgets.parts import button, words
from napari_medseg.widgets.run_files import SETTINGS_NAME


class EstimateRow(QWidget):
    """A button, and the answer in a line. Whoever hears `wanted` calls `measure`."""

    wanted = Signal()
    failed = Signal(str, str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._job: ChildJob | None = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        tip = "Try two steps of every stage with these settings; takes some seconds"
        self.button = button("Estimate time and memory", self.wanted.emit, tip=tip, name="estimate")
        self._answer = words()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.button)
        layout.addWidget(self._answer)
        self.forget()

    @property
    def words(self) -> str:
        """The answer; empty when there is none."""
        return self._answer.text()

    def measure(self, scheme: str, data: Path, config: SchemeConfig, *, drafts: bool) -> None:
        """Start measuring."""
        self.forget()
        self._folder = tempfile.TemporaryDirectory(prefix="medseg-")
        settings = Path(self._folder.name, SETTINGS_NAME)
        settings.write_text(json.dumps(config.model_dump(mode="json")), "utf-8")
        arguments = ["train", scheme, "--data", str(data), "--estimate", "--config", str(settings)]
        self._job = ChildJob(arguments + ["--include-drafts"] * drafts)
        self._job.end_with(self)
        self._job.reported.connect(self._on_event)
        self._job.failed.connect(self.failed)
        self._job.finished.connect(self._on_finished)
        self._show("Measuring …")
        self.button.setEnabled(False)
        self._job.start()

    def forget(self) -> None:
        """Take the answer away, and stop measuring: settings or data are others now."""
        if self._job is not None:
            self._job.end()
        self._show("")

    def _on_event(self, event: Mapping[str, Any]) -> None:
        if event["event"] == "done":
            self._show(estimate_text(event["result"]))

    def _on_finished(self, outcome: str) -> None:
        self._job = None
        self.button.setEnabled(True)
        if outcome != "done":
            self._show("")
        if self._folder is not None:
            self._folder.cleanup()

    def _show(self, text: str) -> None:
        self._answer.setText(text)
        self._answer.setVisible(bool(text))


def estimate_text(result: Mapping[str, Any]) -> str:
    """An estimate in a line.

    Examples
    --------
    >>> estimate_text({"seconds": 754.0, "memory_bytes": 3 * 2**29, "device": "cpu", "precision": "fp32"})
    'At most 12 min 34 s and 1.5 GiB of memory, on cpu (fp32).'
    """
    memory = result["memory_bytes"]
    size = f" and {memory / 2**30:.1f} GiB of memory" if memory is not None else ""
    return f"At most {duration(result['seconds'])}{size}, on {result['device']} ({result['precision']})."
