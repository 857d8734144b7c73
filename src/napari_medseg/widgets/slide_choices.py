"""What matters when a slide is opened: how fine, which part of it, and the pictures that may name a patient."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from qtpy.QtWidgets import QCheckBox, QComboBox, QFormLayout, QLineEdit, QWidget

from napari_medseg.data.cropping import crop
from napari_medseg.data.rows import parse_region
from napari_medseg.errors import ConfigError, DatasetError
from napari_medseg.io import read_apart
from napari_medseg.io.slide.facts import APART, OBJECTIVE, ORIGIN
from napari_medseg.structures import Image
from napari_medseg.widgets._layers import image_kwargs

#: Kept apart too, but it shows nothing that the slide does not.
_HARMLESS = ("thumbnail",)
#: Pictures of the glass are shown this high beside a slide of height 1, with this gap.
_HEIGHT, _GAP = 0.25, 0.02


class SlideChoices(QWidget):
    """Asks which level and which part of a slide to load; nothing has to be answered."""

    def __init__(self) -> None:
        super().__init__()
        form = QFormLayout(self)
        form.setContentsMargins(0, 0, 0, 0)
        self.level = QComboBox()
        self.level.setObjectName("slide_level")
        self.level.setToolTip("Coarser levels are always loaded with it")
        self.part = QLineEdit()
        self.part.setObjectName("slide_part")
        self.part.setPlaceholderText("whole slide, or y0:y1,x0:x1 in pixels")
        self.apart = QCheckBox()
        self.apart.setObjectName("slide_apart")
        form.addRow("Finest level", self.level)
        form.addRow("Part", self.part)
        form.addRow(self.apart)
        self.ask(None)

    def ask(self, image: Image | None) -> None:
        """Offer the levels of a slide, all of it, and no pictures of the glass; nothing for other images."""
        is_slide = image is not None and image.kind == "slide"
        self.setVisible(is_slide)
        self.level.clear()
        self.part.clear()
        self.apart.setChecked(False)
        if image is None or not is_slide:
            return
        for number in range(len(image.levels)):
            self.level.addItem(_level_text(image, number), number)
        names = _pictures(image)
        self.apart.setVisible(bool(names))
        self.apart.setText(f"Show {' and '.join(names)}: may show a patient's name")

    def chosen(self, image: Image) -> Image:
        """The chosen part of a slide from the chosen level on, which knows its place on the slide; others as they are.

        Raises
        ------
        ConfigError
            What was typed is no part of the slide.
        """
        if image.kind != "slide":
            return image
        if text := self.part.text().strip():
            image = _part(image, text)
        return from_level(image, self.level.currentData() or 0)

    def pictures(self, image: Image) -> list[tuple[Any, dict[str, Any]]]:
        """Pixels and layer arguments of label and macro, beside the slide; none unless they were asked for."""
        if image.kind != "slide" or not self.apart.isChecked() or image.path is None:
            return []
        place = image_kwargs(image)
        step = place.get("scale", (1.0, 1.0))
        high, gap = (share * image.spatial_shape[0] * step[0] for share in (_HEIGHT, _GAP))
        shown, left = [], -gap
        for name in _pictures(image):
            picture = read_apart(image.path, name)
            size = high / picture.spatial_shape[0]
            left -= picture.spatial_shape[1] * size
            keywords = image_kwargs(picture) | {"scale": (size, size), "translate": (0.0, left)}
            keywords |= {"units": place["units"]} if "units" in place else {}
            shown.append((np.asarray(picture.data), keywords))
            left -= gap
        return shown


def from_level(image: Image, level: int) -> Image:
    """An image without the levels that are finer than `level`, in the same place."""
    if level == 0:
        return image
    steps = [fine / coarse for fine, coarse in zip(image.spatial_shape, image.level_shape(level), strict=True)]
    spacing = None if image.spacing is None else tuple(s * f for s, f in zip(image.spacing, steps, strict=True))
    origin = [place / step for place, step in zip(image.metadata.get(ORIGIN, (0, 0)), steps, strict=True)]
    metadata = {**image.metadata, ORIGIN: tuple(origin)}
    return replace(image, levels=image.levels[level:], spacing=spacing, metadata=metadata)


def _part(image: Image, text: str) -> Image:
    try:
        box = parse_region(text)
    except DatasetError:
        box = None
    if box is None or len(box) != 2:
        raise ConfigError(f"'{text}' is no part of a slide: type it as y0:y1,x0:x1, such as 0:4000,0:6000.")
    shown = tuple((start, min(stop, n)) for (start, stop), n in zip(box, image.spatial_shape, strict=True))
    if any(start >= stop for start, stop in shown):
        size = " × ".join(map(str, image.spatial_shape))
        raise ConfigError(f"'{text}' lies outside this slide of {size} pixels (y × x): choose a part inside it.")
    return replace(crop(image, shown), metadata={**image.metadata, ORIGIN: tuple(start for start, _ in shown)})


def _pictures(image: Image) -> list[str]:
    return [name for name in image.metadata.get(APART, ()) if name not in _HARMLESS]


def _level_text(image: Image, number: int) -> str:
    height, width = image.level_shape(number)
    text = f"{number}: {width} × {height} pixels"
    factor = image.spatial_shape[1] / width
    if image.spacing is not None:
        text += f", {image.spacing[-1] * factor:.3g} µm"
    power = image.metadata.get(OBJECTIVE)
    return text + (f", {power / factor:.3g}×" if power else "")
