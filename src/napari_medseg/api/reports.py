"""One picture about one case: what a model saw, what it says, and what a person measured. For research only."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_medseg.api.report_sheet import Picture, Sheet
from napari_medseg.io.atomic import replacing
from napari_medseg.measure.lines import length_of
from napari_medseg.measure.space import Space, space_of
from napari_medseg.measure.tirads import CATEGORIES, advice, agreement, chosen_features, summary, tirads
from napari_medseg.structures import Box, Image, Prediction, Segment

_BOX_COLOR, _LINE_COLOR = (240, 228, 66), (86, 180, 233)
#: Grey of what is not shown.
_BLANK = 24
#: How strongly what decided the class is laid over the frame.
_OVERLAY = 0.5
_RESEARCH = "Research use only: not a medical device."


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What a person said of a case.

    Parameters
    ----------
    tirads
        Answers of the TI-RADS form (`napari_medseg.measure.tirads`).
    lines
        Diameters that were drawn, in pixels of the image.
    tag
        The class that a person gave; empty for none.
    """

    tirads: Mapping[str, Any] = field(default_factory=dict)
    lines: Sequence[Segment] = ()
    tag: str = ""


def write_report(
    path: str | os.PathLike[str],
    image: Image,
    prediction: Prediction,
    *,
    model: str,
    identity: str = "",
    title: str = "",
    findings: Findings | None = None,
) -> Path:
    """Write a PNG: the frame with what was judged and what decided it, probabilities, form and diameters.

    Outside of what was judged the frame is blank: machines write names there.

    Parameters
    ----------
    image
        What was predicted, of axes ``"yx"``, ``"yxc"``, ``"tyx"`` or ``"tyxc"``; of a cine the middle frame is shown.
    prediction
        Of the image; with `attention` where that shall be shown.
    model, identity
        The model's name, and its hash (`napari_medseg.io.model_file.identity`).
    title
        Of the case; the image's own name when empty.

    Returns
    -------
    where the report lies

    Raises
    ------
    WriteError
        The report cannot be written.
    """
    from PIL import Image as Pillow

    said, space = findings or Findings(), space_of(2, image.spacing, image.units)
    sheet = Sheet(_frame(image, prediction, said.lines), title or image.name)
    _write_class(sheet, prediction, said)
    _write_lines(sheet, space, said.lines)
    _write_form(sheet, prediction, space, said)
    mark = f", identity {identity[:12]}" if identity else ""
    sheet.foot([*prediction.notes, f"Model {model}{mark}.", _RESEARCH])
    target = Path(path)
    with replacing(target) as temporary:
        Pillow.fromarray(sheet.pixels()).save(temporary, format="PNG")
    return target


def _write_class(sheet: Sheet, prediction: Prediction, said: Findings) -> None:
    """The model's class and the person's."""
    tag = prediction.tag
    if tag is None:
        sheet.heading("The model gives no class.")
    else:
        sheet.heading(tag.tag + (", unsure" if tag.sure is False else ""))
        for name, probability in tag.probabilities.items():
            sheet.bar(name, probability)
        sheet.text("Calibrated probabilities." if tag.calibrated else "Not calibrated.", faint=True)
    if len(prediction.frames) > 1:
        counts = Counter(frame.tag for frame in prediction.frames).most_common()
        sheet.text("Frames by themselves: " + ", ".join(f"{name} {count}" for name, count in counts) + ".")
    if said.tag:
        sheet.text(f"Tagged by a person: {said.tag}.")


def _write_lines(sheet: Sheet, space: Space, lines: Sequence[Segment]) -> None:
    if not lines:
        return
    sheet.heading("Diameters")
    for number, line in enumerate(lines, 1):
        length = _length(line, space)
        pixels = _length(line, Space(steps=(1.0, 1.0)))
        sheet.text(f"{number}:  {pixels:.0f} pixels, no spacing" if length is None else f"{number}:  {length:.1f} mm")


def _write_form(sheet: Sheet, prediction: Prediction, space: Space, said: Findings) -> None:
    """Answers, points and level of the TI-RADS form, and how the model's class fits them."""
    if not said.tirads:
        return
    result = tirads(said.tirads)
    sheet.heading("ACR TI-RADS")
    for category in CATEGORIES:
        features = chosen_features(category, said.tirads)
        if features:
            sheet.text(f"{category.name}: {', '.join(feature.name for feature in features)}", faint=True)
    sheet.text(summary(result))
    if result.level is not None:
        lengths = [length for line in said.lines if (length := _length(line, space)) is not None]
        sheet.text(advice(result.level, max(lengths, default=None)))
        if prediction.tag is not None:
            sheet.text(f"The model: {agreement(result.level, prediction.tag.tag)}")


def _length(line: Segment, space: Space) -> float | None:
    """Of a line in one frame, in the unit of `space`."""
    start, stop = line
    return length_of((start[-2:], stop[-2:]), space)


def _frame(image: Image, prediction: Prediction, lines: Sequence[Segment]) -> Picture:
    """The frame with what decided the class, the judged box and the diameters, uint8 (y, x, 3)."""
    from PIL import Image as Pillow
    from PIL import ImageDraw

    shape = image.spatial_shape
    # Of a cine, the middle of the frames that were judged.
    middle = tuple((start + stop) // 2 for start, stop in prediction.region[:-2])
    lead = tuple((index, index + 1) for index in middle)
    pixels = image.region((*lead, *((0, n) for n in shape[-2:])))
    box = prediction.region[-2:]
    picture = _blank_outside(_shown(pixels.reshape(len(pixels), *shape[-2:])), box)
    if prediction.attention is not None:
        heat = prediction.attention[tuple(i - start for i, (start, _) in zip(middle, prediction.region, strict=False))]
        picture = _with_attention(picture, heat, box)
    drawing = Pillow.fromarray(picture)
    draw, width = ImageDraw.Draw(drawing), max(1, round(max(shape[-2:]) / 280))
    (top, bottom), (left, right) = box
    draw.rectangle((left, top, right - 1, bottom - 1), outline=_BOX_COLOR, width=width)
    for start, stop in lines:
        draw.line((start[-1], start[-2], stop[-1], stop[-2]), fill=_LINE_COLOR, width=width)
    return np.array(drawing, np.uint8)


def _shown(pixels: npt.NDArray[Any]) -> Picture:
    """Channels (c, y, x) as colours uint8 (y, x, 3); more than three, and one, as their mean in grey."""
    values = pixels[:3] if len(pixels) in (3, 4) else pixels.mean(axis=0, keepdims=True)
    if values.dtype != np.uint8:
        finite = np.nan_to_num(values.astype(np.float64))
        low, high = float(finite.min()), float(finite.max())
        # Eight bits that were averaged stay as bright as they were.
        low, high = (0.0, 255.0) if pixels.dtype == np.uint8 else (low, max(high, low + 1e-9))
        values = np.clip((finite - low) / (high - low) * 255, 0, 255).astype(np.uint8)
    return np.ascontiguousarray(np.moveaxis(np.broadcast_to(values, (3, *values.shape[1:])), 0, -1))


def _blank_outside(picture: Picture, box: Box) -> Picture:
    """A picture that shows nothing outside of a box."""
    part = tuple(slice(*side) for side in box)
    blank = np.full_like(picture, _BLANK)
    blank[part] = picture[part]
    return blank


def _with_attention(picture: Picture, attention: npt.NDArray[np.float32], box: Box) -> Picture:
    """A picture with what decided the class laid over a box of it, from black over red to yellow."""
    heat = np.clip(attention, 0, 1)[..., np.newaxis].astype(np.float64)
    color = np.concatenate([np.clip(2 * heat, 0, 1), np.clip(2 * heat - 1, 0, 1), np.zeros_like(heat)], axis=-1) * 255
    part = tuple(slice(*side) for side in box)
    share = _OVERLAY * heat
    mixed = picture.copy()
    mixed[part] = np.rint(picture[part] * (1 - share) + color * share).astype(np.uint8)
    return mixed
