"""A page of HTML that holds everything in itself: text, tables, drawings and pictures; no script, no network."""

from __future__ import annotations

import base64
import html
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

#: Colours that people with colour blindness can tell apart (Okabe and Ito 2008).
PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8c6d00", "#444444")

_STYLE = """
:root { color-scheme: light dark; --ink: #1d1f21; --faint: #62686e; --paper: #ffffff; --line: #d7dbdf;
  --tint: #f2f5f7; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e8ea; --faint: #9aa2a9; --paper: #191b1d; --line: #3a3f44; --tint: #24282b; }
}
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 72rem;
  margin: 2rem auto; padding: 0 1.5rem; }
h1 { font-size: 1.7rem; margin-bottom: .2rem; } h2 { font-size: 1.25rem; margin: 2.2rem 0 .6rem; }
p.faint, figcaption, td.faint { color: var(--faint); }
table { border-collapse: collapse; margin: .6rem 0; font-variant-numeric: tabular-nums; display: block;
  overflow-x: auto; font-size: .9rem; }
th, td { text-align: right; padding: .25rem .7rem; border-bottom: 1px solid var(--line); white-space: nowrap; }
th:first-child, td:first-child { text-align: left; } thead th { background: var(--tint); }
figure { display: inline-block; margin: .6rem 1.4rem .6rem 0; vertical-align: top; max-width: 100%; }
figcaption { font-size: .88rem; max-width: 24rem; } figure img { image-rendering: auto; max-width: 100%; }
svg text { fill: var(--ink); font: 12px system-ui, sans-serif; } svg .rule { stroke: var(--line); }
pre { background: var(--tint); padding: .8rem; overflow-x: auto; font-size: .85rem; }
dt { font-weight: 600; margin-top: .4rem; } dd { margin: 0 0 0 1.2rem; }
"""


@dataclass(slots=True)
class Page:
    """Parts are added from top to bottom; everything is escaped.

    Parameters
    ----------
    title
        Of the page, and its first heading.
    """

    title: str
    _parts: list[str] = field(default_factory=list)

    def heading(self, text: str) -> None:
        """A heading of a section."""
        self._parts.append(f"<h2>{html.escape(text)}</h2>")

    def text(self, text: str, *, faint: bool = False) -> None:
        """A paragraph."""
        mark = ' class="faint"' if faint else ""
        self._parts.append(f"<p{mark}>{html.escape(text)}</p>")

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
        """A table whose first column holds names."""
        head = "".join(f"<th>{html.escape(column)}</th>" for column in columns)
        body = "".join("<tr>" + "".join(f"<td>{html.escape(str(c))}</td>" for c in row) + "</tr>\n" for row in rows)
        self._parts.append(f"<table><thead><tr>{head}</tr></thead><tbody>\n{body}</tbody></table>")

    def drawing(self, svg: str, caption: str) -> None:
        """A drawing of this module with what it shows."""
        self._parts.append(f"<figure>{svg}<figcaption>{html.escape(caption)}</figcaption></figure>")

    def picture(self, pixels: npt.NDArray[np.uint8], caption: str) -> None:
        """A picture, uint8 (y, x, 3), with what it shows."""
        import imagecodecs

        data = base64.b64encode(imagecodecs.png_encode(np.ascontiguousarray(pixels))).decode()
        alt = html.escape(caption, quote=True)
        image = f'<img alt="{alt}" width="{pixels.shape[1]}" src="data:image/png;base64,{data}">'
        self._parts.append(f"<figure>{image}<figcaption>{html.escape(caption)}</figcaption></figure>")

    def terms(self, terms: Iterable[tuple[str, str]]) -> None:
        """Words with what they mean."""
        listed = "".join(f"<dt>{html.escape(word)}</dt><dd>{html.escape(text)}</dd>" for word, text in terms)
        self._parts.append(f"<dl>{listed}</dl>")

    def code(self, text: str) -> None:
        """Text as it is."""
        self._parts.append(f"<pre>{html.escape(text)}</pre>")

    def html(self) -> str:
        """The whole page."""
        title = html.escape(self.title)
        body = "\n".join(self._parts)
        return (
            f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
            f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head>\n'
            f"<body><h1>{title}</h1>\n{body}\n</body></html>\n"
        )


def bars(values: Sequence[tuple[str, float | None, Sequence[float] | None]]) -> str:
    """Horizontal bars from 0 to 1 with intervals.

    Parameters
    ----------
    values
        Name, value and interval of each; no bar for None.
    """
    left, width, row = 150, 300, 24
    parts = [
        _rule(left + share * width, 0, left + share * width, row * len(values)) for share in (0, 0.25, 0.5, 0.75, 1)
    ]
    for number, (name, value, interval) in enumerate(values):
        middle = row * number + row / 2
        parts.append(_text(left - 8, middle + 4, name, "end"))
        if value is None:
            parts.append(_text(left + 4, middle + 4, "not defined"))
            continue
        color = PALETTE[number % len(PALETTE)]
        size = max(0.0, min(1.0, value)) * width
        parts.append(f'<rect x="{left}" y="{middle - 7:.1f}" width="{size:.1f}" height="14" fill="{color}"/>')
        if interval:
            low, high = (left + max(0.0, min(1.0, end)) * width for end in interval)
            parts.append(f'<path d="M{low:.1f} {middle:.1f}H{high:.1f}" stroke="currentColor" stroke-width="2"/>')
        parts.append(_text(left + width + 8, middle + 4, f"{value:.3f}"))
    parts += [_text(left + share * width, row * len(values) + 16, f"{share:g}", "middle") for share in (0, 0.5, 1)]
    return _svg(left + width + 60, row * len(values) + 22, parts)


def curves(lines: Sequence[tuple[str, Sequence[float], Sequence[float]]], x_title: str, y_title: str) -> str:
    """Lines in the unit square, with the diagonal.

    Parameters
    ----------
    lines
        Name, x and y of each.
    """
    left, top, side = 46, 8, 240
    parts = [_rule(left, top + side, left + side, top), _frame(left, top, side)]
    for share in (0, 0.5, 1):
        parts.append(_text(left + share * side, top + side + 16, f"{share:g}", "middle"))
        parts.append(_text(left - 6, top + side - share * side + 4, f"{share:g}", "end"))
    for number, (name, xs, ys) in enumerate(lines):
        color = PALETTE[number % len(PALETTE)]
        points = " ".join(f"{left + x * side:.1f},{top + side - y * side:.1f}" for x, y in zip(xs, ys, strict=True))
        parts.append(f'<polyline points="{points}" fill="none" stroke="{color}" stroke-width="2"/>')
        parts += [
            f'<circle cx="{point.split(",")[0]}" cy="{point.split(",")[1]}" r="2.5" fill="{color}"/>'
            for point in (points.split() if len(xs) <= 12 else ())
        ]
        label = top + 16 + 16 * number
        parts.append(f'<rect x="{left + side + 12}" y="{label - 9}" width="10" height="10" fill="{color}"/>')
        parts.append(_text(left + side + 28, label, name))
    parts.append(_text(left + side / 2, top + side + 34, x_title, "middle"))
    turned = f"rotate(-90 12 {top + side / 2})"
    parts.append(
        f'<text x="12" y="{top + side / 2}" text-anchor="middle" transform="{turned}">{html.escape(y_title)}</text>'
    )
    return _svg(left + side + 170, top + side + 42, parts)


def strips(values: Sequence[tuple[str, Sequence[float]]]) -> str:
    """Single values from 0 to 1 as dots, a row per name, with their median as a line."""
    left, width, row = 150, 300, 34
    height = row * len(values)
    parts = [_rule(left + share * width, 0, left + share * width, height) for share in (0, 0.25, 0.5, 0.75, 1)]
    for number, (name, numbers) in enumerate(values):
        middle, color = row * number + row / 2, PALETTE[number % len(PALETTE)]
        parts.append(_text(left - 8, middle + 4, name, "end"))
        for index, value in enumerate(numbers):
            # Spread by a fixed sequence, so that equal values do not hide each other.
            shift = ((index * 0.618034) % 1 - 0.5) * row * 0.6
            parts.append(
                f'<circle cx="{left + value * width:.1f}" cy="{middle + shift:.1f}" r="3" fill="{color}" opacity=".6"/>'
            )
        if len(numbers):
            at = left + float(np.median(numbers)) * width
            parts.append(
                f'<path d="M{at:.1f} {middle - 12:.1f}V{middle + 12:.1f}" stroke="currentColor" stroke-width="2"/>'
            )
    parts += [_text(left + share * width, height + 16, f"{share:g}", "middle") for share in (0, 0.5, 1)]
    return _svg(left + width + 20, height + 22, parts)


def _svg(width: float, height: float, parts: Sequence[str]) -> str:
    size = f'width="{width:g}" height="{height:g}" viewBox="0 0 {width:g} {height:g}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" role="img" {size}>{"".join(parts)}</svg>'


def _text(x: float, y: float, text: str, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{html.escape(text)}</text>'


def _rule(x0: float, y0: float, x1: float, y1: float) -> str:
    return f'<path class="rule" d="M{x0:.1f} {y0:.1f}L{x1:.1f} {y1:.1f}"/>'


def _frame(left: float, top: float, side: float) -> str:
    return f'<rect class="rule" x="{left}" y="{top}" width="{side}" height="{side}" fill="none"/>'
