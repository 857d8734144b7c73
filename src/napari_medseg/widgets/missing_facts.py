"""Fields for what a file does not say: how far its pixels lie apart and, of OCT scans, which eye it is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from qtpy.QtWidgets import QComboBox, QFormLayout, QLineEdit, QWidget

from napari_medseg.data.scan_columns import format_spacing, with_spacing
from napari_medseg.errors import ConfigError
from napari_medseg.io.units import PIXEL, millimeters
from napari_medseg.io.volume.volume import MILLIMETER
from napari_medseg.structures import Image, OctScan
from napari_medseg.widgets.parts import row

#: Axes of B-scans as people call them, in the order of the fields, with an example in µm.
_OCT_AXES = {"y": ("Depth", "3.9"), "x": ("Width", "11.5"), "z": ("Between B-scans", "120")}


class MissingFacts(QWidget):
    """Asks for what a file does not say, and only for that; nothing has to be answered."""

    def __init__(self) -> None:
        super().__init__()
        self._form = QFormLayout(self)
        self._form.setContentsMargins(0, 0, 0, 0)
        self.spacing = QLineEdit()
        self.spacing.setObjectName("spacing")
        self.spacing.setPlaceholderText("unknown: type it, e.g. 0.5")
        self.unit = QComboBox()
        self.unit.addItem("µm", "micrometer")
        self.unit.addItem("mm", "millimeter")
        self._one = QWidget()
        self._one.setLayout(row(self.spacing, self.unit, stretch=self.spacing))
        self._form.addRow("Pixel size", self._one)
        self.between = QLineEdit()
        self.between.setObjectName("spacing_between")
        self.between.setPlaceholderText("unknown: type it in the same unit")
        self._form.addRow("Between slices", self.between)
        self.oct: dict[str, QLineEdit] = {}
        for axis, (name, example) in _OCT_AXES.items():
            edit = QLineEdit()
            edit.setObjectName(f"spacing_{axis}")
            edit.setPlaceholderText(f"unknown: type µm, e.g. {example}")
            self._form.addRow(f"{name}, µm", edit)
            self.oct[axis] = edit
        self.eye = QComboBox()
        self.eye.setObjectName("eye")
        for text, side in (("not known", ""), ("right (OD)", "R"), ("left (OS)", "L")):
            self.eye.addItem(text, side)
        self._form.addRow("Eye", self.eye)
        #: Whether there is anything to ask.
        self.is_asking = False
        self.ask(None)

    def ask(self, image: Image | None) -> None:
        """Show the fields that an image needs, empty but for what its file suggests; none without an image."""
        is_oct = image is not None and image.kind == "oct"
        missing = "" if image is None else _missing_axes(image)
        self.spacing.clear()
        self.between.clear()
        asks_size = not is_oct and {"y", "x"} <= set(missing)
        self._form.setRowVisible(self._one, asks_size)
        is_stack = image is not None and "z" in image.spatial_axes
        self._form.setRowVisible(self.between, asks_size and is_stack)
        is_body = is_stack or (image is not None and image.kind == "ultrasound")
        self.unit.setCurrentIndex(self.unit.findData("millimeter" if is_body else "micrometer"))
        suggested = {} if image is None else _suggested(image)
        for axis, edit in self.oct.items():
            self._form.setRowVisible(edit, is_oct and axis in missing)
            step = suggested.get(axis)
            edit.setText("" if step is None else f"{step * 1000:.4g}")
        self.eye.setCurrentIndex(0)
        is_eye_known = image is not None and image.oct is not None and bool(image.oct.laterality)
        self._form.setRowVisible(self.eye, is_oct and not is_eye_known)
        self.is_asking = bool(missing) or (is_oct and not is_eye_known)

    def completed(self, image: Image) -> Image:
        """An image with what was typed, where its file does not say.

        Raises
        ------
        ConfigError
            Something that was typed is no length, or only one of depth and width was.
        """
        if steps := self._steps(image):
            image = replace(with_spacing(image, steps), metadata={**image.metadata, "typed_spacing": True})
            if image.kind != "oct":
                # People go on to read the unit that they typed.
                unit = self.unit.currentData()
                factor = millimeters(unit) or 1.0
                known = zip(image.spacing or (), image.units or (), strict=True)
                typed = [(step / factor, unit) if of == MILLIMETER else (step, of) for step, of in known]
                image = replace(image, spacing=tuple(s for s, _ in typed), units=tuple(u for _, u in typed))
        side = self.eye.currentData()
        scan = image.oct or OctScan()
        if image.kind == "oct" and side and not scan.laterality:
            image = replace(image, oct=replace(scan, laterality=side))
        return image

    def columns(self, image: Image) -> dict[str, str]:
        """What was typed as cells of ``cases.csv``; raises as `completed`."""
        steps, side = self._steps(image), str(self.eye.currentData())
        cells = {"spacing": format_spacing(steps) if steps else "", "laterality": side if image.kind == "oct" else ""}
        return {name: text for name, text in cells.items() if text}

    def _steps(self, image: Image) -> Sequence[float]:
        """Millimetres per axis (`with_spacing`), none where nothing was typed."""
        if image.kind == "oct":
            return self._oct_steps(image)
        if not {"y", "x"} <= set(_missing_axes(image)):
            return ()
        step, between = _length(self.spacing.text()), _length(self.between.text())
        is_stack = "z" in image.spatial_axes
        if is_stack and (step is None) != (between is None):
            raise ConfigError("Pixel size and distance between slices belong together: type both, or leave both empty.")
        if step is None:
            return ()
        factor = millimeters(self.unit.currentData()) or 1.0
        steps = dict.fromkeys("yx", step) | ({"z": between or step} if is_stack else {})
        # Frames of a cine lie apart in time.
        return [steps[axis] * factor for axis in image.spatial_axes if axis in steps]

    def _oct_steps(self, image: Image) -> Sequence[float]:
        missing = _missing_axes(image)
        steps = dict(zip(image.spatial_axes, image.spacing or (), strict=False))
        steps = {axis: step for axis, step in steps.items() if axis not in missing}
        typed = {axis: _length(self.oct[axis].text()) for axis in missing}
        steps |= {axis: step / 1000 for axis, step in typed.items() if step is not None}
        if all(step is None for step in typed.values()):
            return ()
        if not {"y", "x"} <= steps.keys():
            raise ConfigError("Depth and width belong together: type both, or leave both empty.")
        return [steps[axis] for axis in "zyx" if axis in steps]


def _missing_axes(image: Image) -> str:
    """Axes in space along which no distance is known."""
    units = image.units or (PIXEL,) * len(image.spatial_axes)
    return "".join(axis for axis, unit in zip(image.spatial_axes, units, strict=True) if unit == PIXEL and axis != "t")


def _suggested(image: Image) -> dict[str, float | None]:
    steps = image.metadata.get("suggested_spacing", ())
    named = dict(zip(image.spatial_axes[-len(steps) :], steps, strict=True)) if steps else {}
    # Depth alone would be half an answer.
    return named if None not in (named.get("y"), named.get("x")) else {}


def _length(text: str) -> float | None:
    """A length as typed; a decimal comma is understood; None for nothing; raises `ConfigError`."""
    written = text.strip().replace(",", ".")
    if not written:
        return None
    try:
        step = float(written)
    except ValueError:
        step = math.nan
    if not (math.isfinite(step) and step > 0):
        raise ConfigError(f"Pixel size '{text.strip()}' is not a length: type a number such as 0.5, or leave it empty.")
    return step
