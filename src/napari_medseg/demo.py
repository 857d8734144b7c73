"""``napari-medseg demo``: a window with a sample, a small bundled model and its prediction in the Predict panel.

Samples and models hold no patient's data: the pictures are drawn by `data.synthetic` and its siblings, the models were
trained on such pictures by ``tools/train_demo_model.py``.
"""

from __future__ import annotations

import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_medseg.commands import Result
from napari_medseg.errors import InputNotFoundError, MedsegError
from napari_medseg.structures import Box, Image, MaskClass, Prediction

if TYPE_CHECKING:
    import napari

    from napari_medseg.widgets.predict_panel import PredictPanel

#: Of all samples; training used other seeds.
SAMPLE_SEED = 20_011
#: Size of the window in a screenshot, in pixels.
WINDOW_SIZE = (1360, 860)
#: Most seconds to wait for the prediction before a screenshot is given up.
PATIENCE_SECONDS = 300.0


@dataclass(slots=True)
class _Outcome:
    """What the worker reported."""

    prediction: Prediction | None = None
    failure: str = ""
    finished: bool = False


@dataclass(frozen=True, slots=True)
class Sample:
    """What the demo of a scheme opens.

    Parameters
    ----------
    image
        The picture or scan.
    box
        What a model that judges one region is asked about; None for the whole image.
    """

    image: Image
    box: Box | None = None


def sample_of(scheme: str) -> Sample:
    """What the demo of a scheme opens.

    Raises
    ------
    InputNotFoundError
        There is none for this scheme.

    Examples
    --------
    >>> image = sample_of("pathology").image
    >>> image.axes, image.shape
    ('yxc', (640, 640, 3))
    """
    makers = {"pathology": _tissue, "oct": _bscan, "boosting": _abdomen, "fibrosis": _tumour, "thyroid": _frame}
    if scheme not in makers:
        raise InputNotFoundError(f"There is no demo of scheme '{scheme}': choose one of {', '.join(makers)}.")
    return makers[scheme]()


def _tissue() -> Sample:
    from napari_medseg.data.synthetic import tissue

    rgb, _ = tissue(size=640, seed=SAMPLE_SEED, malignant=True)
    channels = ("red", "green", "blue")
    return Sample(Image(levels=(rgb,), axes="yxc", rgb=True, name="sample tissue", channels=channels))


def _bscan() -> Sample:
    from napari_medseg.data.synthetic_oct import SPACING, bscan

    pixels, _ = bscan(height=256, width=384, seed=SAMPLE_SEED, fluid=True)
    units = ("millimeter", "millimeter")
    return Sample(Image(levels=(pixels,), axes="yx", name="sample B-scan", spacing=SPACING, units=units, kind="oct"))


def _abdomen() -> Sample:
    return _scan()[0]


def _tumour() -> Sample:
    from napari_medseg.data.regions import mask_box
    from napari_medseg.data.synthetic_ct import TUMOUR

    sample, labels = _scan()
    return Sample(sample.image, mask_box(labels, [TUMOUR.value]))


def _scan() -> tuple[Sample, npt.NDArray[np.uint8]]:
    from napari_medseg.data.synthetic_ct import abdomen, spacing_of_size

    shape = (48, 128, 160)
    pixels, labels = abdomen(*shape, seed=SAMPLE_SEED, grade=1)
    space: dict[str, Any] = {"spacing": spacing_of_size(*shape), "units": ("millimeter",) * 3, "kind": "ct"}
    return Sample(Image(levels=(pixels,), axes="zyx", name="sample CT", **space)), labels


def _frame() -> Sample:
    from napari_medseg.data.synthetic_ultrasound import frame

    made = frame("papillary carcinoma", seed=SAMPLE_SEED)
    return Sample(Image(levels=(made.pixels,), axes="yx", name="sample ultrasound", kind="ultrasound"))


def run(scheme: str = "pathology", screenshot: str | None = None) -> Result:
    """Open the window, run the model through the Predict panel, show the result.

    Parameters
    ----------
    scheme
        Which scheme's model to show.
    screenshot
        File to write a picture of the window to; the window then closes by itself. None leaves it to the person.

    Raises
    ------
    InputNotFoundError
        The package has no model for the scheme.
    MedsegError
        There is no display, or the prediction failed.
    WriteError
        The screenshot cannot be written.
    """
    from napari_medseg.api.prediction import bundled_model

    model = bundled_model(scheme)
    _require_display()
    if screenshot is not None:
        # A picture is made without the user's settings, and leaves them alone.
        os.environ["NAPARI_CONFIG"] = ""
    import napari

    started = time.perf_counter()
    viewer, panel = open_window(sample_of(scheme), model)
    outcome = _predict(viewer, panel)
    if screenshot is None:
        napari.run()
    else:
        _finish(viewer, outcome, Path(screenshot))
    if outcome.failure:
        raise MedsegError(outcome.failure)
    return _report(scheme, outcome.prediction, screenshot, time.perf_counter() - started)


def open_window(sample: Sample, model: Path) -> tuple[napari.Viewer, PredictPanel]:
    """A viewer with the sample, the Workspace docked, and its Predict panel in front with the model chosen."""
    import napari

    from napari_medseg.widgets._layers import add_image
    from napari_medseg.widgets.region_box import region_box_of_session
    from napari_medseg.widgets.session import session_of

    viewer = napari.Viewer(title="napari-medseg demo", show_welcome_screen=False)
    layer = add_image(viewer, sample.image)[0]
    _, workspace = viewer.window.add_plugin_dock_widget("napari-medseg", "Workspace")
    session_of(viewer).set_model(model)
    if sample.box is not None:
        region_box_of_session(session_of(viewer)).set_box(layer, sample.box)
        viewer.dims.set_current_step(0, sum(sample.box[0]) // 2)
    workspace.show_panel("Predict")
    panel: PredictPanel = workspace.panel("Predict")
    return viewer, panel


def annotate(viewer: napari.Viewer, prediction: Prediction) -> None:
    """Write onto the canvas what was found: the classes' names, and the tag with its probability."""
    # In a volume names would show in one slice each.
    if prediction.labels is not None and len(prediction.region) == 2 and _drawn(prediction):
        active = viewer.layers.selection.active
        _name_classes(viewer, np.asarray(prediction.labels), _drawn(prediction))
        viewer.layers.selection.active = active
    overlay = viewer.canvas.overlays.text
    overlay.text, overlay.font_size, overlay.position = _describe(prediction), 14, "top_left"
    overlay.visible = True


def _name_classes(viewer: napari.Viewer, labels: npt.NDArray[np.uint8], classes: tuple[MaskClass, ...]) -> None:
    """Write each class's name in the middle of its largest area."""
    from scipy import ndimage

    places, names, colors = [], [], []
    for mask_class in classes:
        areas, count = ndimage.label(labels == mask_class.value)
        if not count:
            continue
        largest = areas == 1 + int(np.argmax(np.bincount(areas.ravel())[1:]))
        depth = ndimage.distance_transform_edt(np.pad(largest, 1))[1:-1, 1:-1]
        places.append(np.unravel_index(int(depth.argmax()), depth.shape))
        names.append(mask_class.name)
        colors.append(mask_class.color)
    text = {"string": "{name}", "size": 16, "color": "white", "anchor": "center"}
    layer = viewer.add_points(
        np.array(places, float).reshape(-1, labels.ndim),
        features={"name": names},
        text=text,
        face_color=colors or "white",
        size=1,
        opacity=1.0,
        name="class names",
    )
    layer.editable = False


def _describe(prediction: Prediction) -> str:
    """The tag with its probability, and each class with its share of the area."""
    lines = []
    if prediction.tag is not None:
        probability = prediction.tag.probabilities[prediction.tag.tag]
        trust = "" if prediction.tag.calibrated else " (not calibrated)"
        lines.append(f"{prediction.tag.tag}  {probability:.2f}{trust}")
    lines += [
        f"{name}  {share:.1%} of the {'area' if len(prediction.region) == 2 else 'volume'}"
        for name, share in _shares(prediction).items()
    ]
    return "\n".join(lines)


def _drawn(prediction: Prediction) -> tuple[MaskClass, ...]:
    """The classes that were drawn; none where labels only say which region was judged."""
    tags = prediction.tag.probabilities if prediction.tag is not None else {}
    return tuple(c for c in prediction.classes if c.name not in tags)


def _shares(prediction: Prediction) -> dict[str, float]:
    """Share of the predicted region that each class covers, by name."""
    if prediction.labels is None:
        return {}
    labels = np.asarray(prediction.labels)
    return {c.name: float((labels == c.value).mean()) for c in _drawn(prediction)}


def _require_display() -> None:
    """Qt ends the whole process where it finds no display, so this is asked before."""
    has_display = any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"))
    if sys.platform.startswith("linux") and not has_display:
        raise MedsegError(
            "The demo needs a display and there is none: start it in a desktop session, or as "
            "'xvfb-run -a napari-medseg demo --screenshot demo.png'."
        )


def _predict(viewer: napari.Viewer, panel: PredictPanel) -> _Outcome:
    """Press the panel's button; the outcome fills in while the window's event loop runs."""
    from napari_medseg.widgets.jobs import ThreadJob

    outcome = _Outcome()

    def on_result(prediction: Prediction) -> None:
        outcome.prediction = prediction
        annotate(viewer, prediction)

    def on_failed(text: str, details: str) -> None:
        outcome.failure = f"{text}\n{details}".strip()

    def on_finished(_: str) -> None:
        outcome.finished = True

    panel.run()
    job = panel.job
    if not isinstance(job, ThreadJob):
        raise MedsegError("The prediction could not be started: see the Predict panel.")
    job.result.connect(on_result)
    job.failed.connect(on_failed)
    job.finished.connect(on_finished)
    return outcome


def _finish(viewer: napari.Viewer, outcome: _Outcome, screenshot: Path) -> None:
    """Wait for the prediction, write the picture, close the window."""
    viewer.window.resize(*WINDOW_SIZE)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not outcome.finished and time.monotonic() < deadline:
        _let_pass(0.05)
    if not outcome.finished:
        outcome.failure = f"The prediction took longer than {PATIENCE_SECONDS:.0f} seconds and was given up."
    if not outcome.failure:
        viewer.reset_view()
        _let_pass(1.0)
        _save(viewer, screenshot)
    viewer.close()


def _save(viewer: napari.Viewer, path: Path) -> None:
    from PIL import Image as Picture

    from napari_medseg.io.atomic import replacing

    pixels = viewer.screenshot(canvas_only=False, flash=False)
    with replacing(path) as temporary:
        Picture.fromarray(pixels).convert("RGB").save(temporary, format="PNG")


def _let_pass(seconds: float) -> None:
    """Run the window's event loop for a while."""
    from qtpy.QtCore import QEventLoop, QTimer

    loop = QEventLoop()
    QTimer.singleShot(round(seconds * 1000), loop.quit)
    loop.exec()


def _report(scheme: str, prediction: Prediction | None, screenshot: str | None, seconds: float) -> Result:
    """What the command prints in the end."""
    document: dict[str, Any] = {"scheme": scheme, "screenshot": screenshot, "seconds": round(seconds, 1)}
    if prediction is None:  # the window was closed before the prediction was there
        return Result(document=document, text="Closed before the prediction was ready.")
    document["classes"] = _shares(prediction)
    if prediction.tag is not None:
        document |= {"tag": prediction.tag.tag, "probabilities": dict(prediction.tag.probabilities)}
    text = f"Demo '{scheme}': {_describe(prediction)}".replace("\n", ", ").replace("  ", " ")
    if screenshot is not None:
        text += f"\nScreenshot: {screenshot}"
    return Result(document=document, text=text)
