"""Make docs/images/scan_regions.png: the scan that each method finds in the real ultrasound files that pydicom brings.

python tools/scan_regions_picture.py docs/images

What lies outside of all boxes is shown as blocks, so that nothing that was written into the files can be read.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFilter, ImageFont
from pydicom.data import get_testdata_file

from napari_medseg.data.scan_region import ScanRegionMethod, find_scan_region
from napari_medseg.io import read

FILES = {
    "examples_jpeg2k.dcm": "linear, two pictures, power Doppler",
    "examples_palette.dcm": "curved, title bar, palette",
    "examples_rgb_color.dcm": "the first, half the size",
    "examples_ybr_color.dcm": "sector, cine of 30 frames",
    "ExplVR_BigEnd.dcm": "60 x 80, damaged colours",
}
COLORS: dict[ScanRegionMethod, str] = {"robust": "#00e08a", "largest": "#ff9f1c"}
WIDTH, HEIGHT, MARGIN = 560, 420, 24
#: Side of the blocks that hide letters, as a share of the frame's height.
BLOCK = 0.05


def panel(name: str, words: str) -> Pillow.Image:
    """One file with its boxes."""
    image = read(get_testdata_file(name))
    pixels = np.asarray(image.data)
    frame = pixels[len(pixels) // 2] if "t" in image.axes else pixels
    found = {method: find_scan_region(image, method) for method in COLORS}
    picture = hidden(Pillow.fromarray(frame), [region.box for region in found.values()])
    scale = min(WIDTH / picture.width, HEIGHT / picture.height)
    shown = picture.resize((round(picture.width * scale), round(picture.height * scale)))
    drawing = ImageDraw.Draw(shown)
    for method, region in found.items():
        (y0, y1), (x0, x1) = region.box
        corners = [round(value * scale) for value in (x0, y0, x1 - 1, y1 - 1)]
        drawing.rectangle(corners, outline=COLORS[method], width=3 if method == "robust" else 2)
    made = Pillow.new("RGB", (WIDTH + 2 * MARGIN, HEIGHT + 2 * MARGIN + 44), "#202124")
    made.paste(shown, (MARGIN, MARGIN + 44))
    font = ImageFont.load_default(size=16)
    writing = ImageDraw.Draw(made)
    writing.text((MARGIN, 14), f"{name}: {words}", fill="#e8e8e8", font=font)
    for place, method in enumerate(COLORS):
        text = f"{method}: {found[method].source}"
        writing.text((MARGIN + 240 * place, 36), text, fill=COLORS[method], font=font)
    return made


def hidden(picture: Pillow.Image, boxes: list[tuple[tuple[int, int], ...]]) -> Pillow.Image:
    """The picture with all but the boxes in blocks without letters."""
    side = max(1, round(BLOCK * picture.height))
    small = picture.resize((max(1, picture.width // side), max(1, picture.height // side)), Pillow.Resampling.BOX)
    blocks = small.filter(ImageFilter.MedianFilter(3)).resize(picture.size, Pillow.Resampling.NEAREST)
    for (y0, y1), (x0, x1) in boxes:
        blocks.paste(picture.crop((x0, y0, x1, y1)), (x0, y0))
    return blocks


def main(folder: Path) -> None:
    """Two panels in a row."""
    panels = [panel(name, words) for name, words in FILES.items()]
    width, height = panels[0].size
    sheet = Pillow.new("RGB", (2 * width, height * ((len(panels) + 1) // 2)))
    for number, made in enumerate(panels):
        sheet.paste(made, (number % 2 * width, number // 2 * height))
    sheet.save(folder / "scan_regions.png", optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
