"""Work that has to be done in the window's thread, in steps so short that the window goes on."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from qtpy.QtCore import QTimer, Signal

from napari_medseg.widgets.jobs import Job, explain_error


class StepJob(Job):
    """Runs a generator, one step at a time whenever the window has nothing else to do.

    Parameters
    ----------
    steps
        Yields (done, total, text) before every step; what it returns goes to `result`.
    """

    progress = Signal(int, int, str)
    result = Signal(object)

    def __init__(self, steps: Generator[tuple[int, int, str], None, Any]) -> None:
        super().__init__()
        self._steps = steps
        self._timer = QTimer(self)
        self._timer.timeout.connect(self._step)

    def start(self) -> None:
        """Begin with the next turn of the window's loop."""
        super().start()
        self._timer.start(0)

    def cancel(self) -> None:
        """Stop before the next step; what was done stays."""
        self._cancelled = True

    def end(self) -> None:
        """Stop now."""
        if self.outcome is None:
            self._close("cancelled")

    def _step(self) -> None:
        if self._cancelled:
            self._close("cancelled")
            return
        try:
            self.progress.emit(*next(self._steps))
        except StopIteration as end:
            self._timer.stop()
            self.result.emit(end.value)
            self._close("done")
        except Exception as error:
            self._timer.stop()
            self.failed.emit(*explain_error(error))
            self._close("failed")

    def _close(self, outcome: str) -> None:
        self._timer.stop()
        self._steps.close()
        self._finish(outcome)
