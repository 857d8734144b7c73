"""A sheet with a picture at the left and words and bars at the right, drawn with Pillow."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from PIL import Image as Pillow

Picture = npt.NDArray[np.uint8]

_WIDTH, _LEAST_HEIGHT, _MARGIN = 1320, 620, 28
#: Longest sides of the picture.
_PICTURE = (760, 900)
_TITLE, _HEADING, _TEXT, _LINE = 28, 22, 18, 25
_PAPER, _INK, _FAINT, _BAR, _TRACK = "#ffffff", "#202020", "#6a6a6a", "#3b82c4", "#e4e4e4"
_BAR_WIDTH = 160


class Sheet:
    """Words are added from top to bottom beside the picture; the sheet grows with them.

    Parameters
    ----------
    picture
        uint8 (y, x, 3).
    title
        Above both.
    """

    def __init__(self, picture: Picture, title: str) -> None:
        from PIL import Image, ImageDraw

        self._shown = _fitted(picture)
        height = max(_LEAST_HEIGHT, self._shown.height + 3 * _MARGIN + _TITLE)
        self._paper = Image.new("RGB", (_WIDTH, height), _PAPER)
        self._draw = ImageDraw.Draw(self._paper)
        self._left = 2 * _MARGIN + _PICTURE[0]
        self._top = 2 * _MARGIN + _TITLE
        self._paper.paste(self._shown, (_MARGIN, self._top))
        self._draw.text((_MARGIN, _MARGIN), self._cut(title, _MARGIN, _TITLE), fill=_INK, font_size=_TITLE)

    def heading(self, text: str) -> None:
        """A line in larger letters."""
        self._top += _LINE // 2
        self._write(text, _INK, _HEADING)

    def text(self, text: str, *, faint: bool = False) -> None:
        """A sentence, on as many lines as it needs."""
        self._write(text, _FAINT if faint else _INK, _TEXT)

    def bar(self, name: str, share: float) -> None:
        """A share, 0..1, as a bar with its name and number."""
        self._grow(_LINE + 4)
        top, left = self._top + 4, self._left
        self._draw.rectangle((left, top, left + _BAR_WIDTH, top + 14), fill=_TRACK)
        if share > 0:
            self._draw.rectangle((left, top, left + round(_BAR_WIDTH * min(share, 1.0)), top + 14), fill=_BAR)
        text = f"{share:.2f}  {name}"
        self._draw.text(
            (left + _BAR_WIDTH + 12, self._top),
            self._cut(text, left + _BAR_WIDTH + 12, _TEXT),
            fill=_INK,
            font_size=_TEXT,
        )
        self._top += _LINE + 2

    def foot(self, sentences: list[str]) -> None:
        """What stands at the end, faint."""
        self._top += _LINE // 2
        for sentence in sentences:
            self._write(sentence, _FAINT, _TEXT - 2)

    def pixels(self) -> Picture:
        """The sheet, uint8 (y, x, 3)."""
        return np.array(self._paper, np.uint8)

    def _write(self, text: str, color: str, size: int) -> None:
        line = round(size * 1.4)
        for part in self._wrapped(text, size):
            self._grow(line)
            self._draw.text((self._left, self._top), part, fill=color, font_size=size)
            self._top += line

    def _wrapped(self, text: str, size: int) -> list[str]:
        room = _WIDTH - _MARGIN - self._left
        lines = [""]
        for word in text.split():
            longer = f"{lines[-1]} {word}".strip()
            if self._draw.textlength(longer, font_size=size) <= room or not lines[-1]:
                lines[-1] = longer
            else:
                lines.append(word)
        return lines

    def _cut(self, text: str, left: int, size: int) -> str:
        """A text that ends with dots where it would leave the sheet."""
        while text and self._draw.textlength(text, font_size=size) > _WIDTH - _MARGIN - left:
            text = text.removesuffix("…")[:-1] + "…"
        return text

    def _grow(self, wanted: int) -> None:
        """Make the sheet longer where the next line would not fit."""
        from PIL import Image, ImageDraw

        bottom = self._top + wanted + _MARGIN
        if bottom > self._paper.height:
            longer = Image.new("RGB", (_WIDTH, bottom), _PAPER)
            longer.paste(self._paper)
            self._paper, self._draw = longer, ImageDraw.Draw(longer)


def _fitted(picture: Picture) -> Pillow.Image:
    """A picture as large as there is room for, its shape kept."""
    from PIL import Image

    height, width = picture.shape[:2]
    factor = min(_PICTURE[0] / width, _PICTURE[1] / height)
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    return Image.fromarray(picture).resize(size, Image.Resampling.BICUBIC)
