"""A large slide of one level that is dropped on the window: its overview is computed in a thread before it is shown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import napari
from napari.utils import cancelable_progress
from napari.utils.notifications import show_warning
from qtpy.QtCore import QThread

from napari_medseg.io.slide.virtual import has_slow_overview, prepare_overview
from napari_medseg.structures import Image, Progress
from napari_medseg.widgets.jobs import ThreadJob


def show_later(image: Image, layers: Callable[[Image], Sequence[Any]]) -> bool:
    """Begin to prepare an image that napari could only draw after minutes; it is added to the viewer when it is ready.

    Parameters
    ----------
    image
        From `napari_medseg.io.slide.virtual.with_virtual_levels`.
    layers
        Makes the layers of it, as napari's readers return them.

    Returns
    -------
    False, with nothing begun, for images that are drawn at once, and where no window is waiting (scripts).
    """
    viewer, thread = napari.current_viewer(), QThread.currentThread()
    if not has_slow_overview(image) or viewer is None or thread is None or thread.loopLevel() == 0:
        return False

    def prepare(report: Progress) -> Image:
        prepare_overview(image, report)
        return image

    def show(ready: Image) -> None:
        for data, keywords, layer_type in layers(ready):
            getattr(viewer, f"add_{layer_type}")(data, **keywords)
        viewer.reset_view()

    job = ThreadJob(prepare)
    bar = cancelable_progress(total=1, desc=f"Overview of {image.name}", cancel_callback=job.cancel)

    def advance(done: int, total: int, _: str) -> None:
        bar.total = total
        bar.update(done - bar.n)

    job.progress.connect(advance)
    job.result.connect(show)
    job.failed.connect(lambda text, _: show_warning(text))
    job.finished.connect(lambda _: bar.close())
    job.end_with(viewer.window._qt_window)
    job.start()
    return True
