"""The scan's region on made-up frames whose scan is known, and on cines, headers and odd pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont
from pydicom.data import get_testdata_file
from scipy import ndimage

from napari_medseg.data.device_regions import device_region_of, device_regions, remember_device_region
from napari_medseg.data.scan_region import METHODS, device_key, find_scan_region
from napari_medseg.errors import DatasetError
from napari_medseg.io import read
from napari_medseg.structures import Box, Image, UltrasoundScan

ROWS, COLUMNS = 360, 560
#: Pixels by which a side may be off: a letter's seam, and the blur of a border.
CLOSE = 8


def speckle(mask: np.ndarray, level: float, seed: int) -> np.ndarray:
    """Grey tissue in a mask, brighter at the top, with a dark hole in it, (y, x) uint8."""
    rng = np.random.default_rng(seed)
    rows, columns = np.indices(mask.shape)
    inside = np.argwhere(mask)
    middle = inside.mean(axis=0)
    # Grains of speckle are larger than pixels.
    grains = ndimage.gaussian_filter(rng.gamma(0.8, 1.25, mask.shape), 1.0)
    tissue = level * (1.2 - 0.7 * rows / mask.shape[0]) * grains
    hole = (rows - middle[0]) ** 2 + (columns - middle[1]) ** 2 < 30**2
    tissue[hole] *= 0.1
    return np.where(mask, np.clip(tissue, 3, 255), 0).astype(np.uint8)


def linear(box: Box) -> np.ndarray:
    """The mask of a linear probe's picture."""
    mask = np.zeros((ROWS, COLUMNS), bool)
    mask[slice(*box[0]), slice(*box[1])] = True
    return mask


def fan(apex: tuple[int, int], near: int, far: int, degrees: float) -> np.ndarray:
    """The mask of a curved probe's picture: between two arcs around a point."""
    rows, columns = np.indices((ROWS, COLUMNS))
    down, across = rows - apex[0], columns - apex[1]
    radius = np.hypot(down, across)
    angle = np.degrees(np.abs(np.arctan2(across, np.maximum(down, 1e-6))))
    return (radius >= near) & (radius <= far) & (angle <= degrees) & (down > 0)


def box_of(mask: np.ndarray) -> Box:
    """The smallest box around a mask."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return (int(rows[0]), int(rows[-1]) + 1), (int(columns[0]), int(columns[-1]) + 1)


def with_text(frame: np.ndarray, places: list[tuple[int, int, str]], value: int = 255) -> np.ndarray:
    """The frame with words at (y, x)."""
    picture = Pillow.fromarray(frame)
    drawing = ImageDraw.Draw(picture)
    for y, x, words in places:
        drawing.text((x, y), words, fill=value, font=ImageFont.load_default(size=13))
    return np.array(picture)


def off(found: Box, expected: Box) -> int:
    """The largest distance between two boxes' sides."""
    return max(abs(a - b) for one, other in zip(found, expected, strict=True) for a, b in zip(one, other, strict=True))


def as_image(frame: np.ndarray) -> Image:
    return Image(levels=(frame,), axes="yx" if frame.ndim == 2 else "yxc", rgb=frame.ndim == 3, kind="ultrasound")


places = st.tuples(st.integers(20, 60), st.integers(40, 150), st.integers(180, 240), st.integers(250, 360))


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(place=places, level=st.floats(25, 120), seed=st.integers(0, 1000))
def test_a_linear_scan_is_found_without_text_and_bars(place, level, seed):
    top, left, height, width = place
    box: Box = ((top, top + height), (left, left + width))
    frame = speckle(linear(box), level, seed)
    frame[100:200, 8:18] = np.linspace(255, 0, 100)[:, None]
    below = top + height + 12
    words = [(below, left + 10, "LEFT"), (below, left + 120, "TIRADS 4C-5"), (20, COLUMNS - 45, "P100")]
    found = find_scan_region(as_image(with_text(frame, words)))
    assert found.source == "low threshold"
    assert off(found.box, box) <= CLOSE
    assert found.box[0][1] <= below + 2


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    column=st.integers(230, 330),
    near=st.integers(20, 60),
    far=st.integers(220, 270),
    degrees=st.floats(25, 45),
    level=st.floats(30, 110),
)
def test_a_fan_is_found_with_hardly_anything_lost(column, near, far, degrees, level):
    mask = fan((30, column), near, far, degrees)
    frame = with_text(speckle(mask, level, 1), [(5, 5, "Acme 12:30"), (30, 5, "C5-1"), (335, 240, "RIGHT LOBE")])
    (y0, y1), (x0, x1) = find_scan_region(as_image(frame)).box
    assert mask[y0:y1, x0:x1].sum() >= 0.95 * mask.sum()
    expected = box_of(mask)
    assert y0 >= expected[0][0] - CLOSE
    assert y1 <= expected[0][1] + CLOSE
    assert x0 >= expected[1][0] - CLOSE
    assert x1 <= expected[1][1] + CLOSE


def test_a_title_bar_above_the_scan_is_left_out():
    box: Box = ((70, 330), (100, 460))
    frame = np.repeat(speckle(linear(box), 60, 0)[..., None], 3, axis=-1)
    frame[:50] = (30, 50, 100)
    for channel in range(3):
        frame[..., channel] = with_text(frame[..., channel], [(15, 20, "HOSPITAL 1964-08-12")])
    assert off(find_scan_region(as_image(frame)).box, box) <= CLOSE


def test_two_pictures_side_by_side_are_one_region():
    box: Box = ((10, 310), (40, 520))
    frame = speckle(linear(box), 60, 0)
    frame[:, 280] = 0
    assert off(find_scan_region(as_image(frame)).box, box) <= CLOSE


def test_a_light_frame_around_the_scan():
    box: Box = ((60, 320), (90, 470))
    mask = linear(box)
    frame = np.where(mask, speckle(mask, 70, 0), 235).astype(np.uint8)
    frame = with_text(frame, [(20, 20, "PATIENT NAME"), (330, 200, "BIRADS 4")], value=10)
    assert off(find_scan_region(as_image(frame)).box, box) <= CLOSE


@pytest.mark.parametrize("scale", [2, 3])
def test_larger_frames_have_larger_letters(scale):
    box: Box = ((20, 310), (90, 470))
    frame = with_text(speckle(linear(box), 70, 0), [(325, 150, "TIRADS 2"), (30, 490, "P100")])
    large = np.kron(frame, np.ones((scale, scale), np.uint8))
    found = find_scan_region(as_image(large))
    assert off(found.box, tuple((scale * a, scale * b) for a, b in box)) <= scale * CLOSE


def test_jpeg_leaves_the_box_where_it_is(tmp_path):
    box: Box = ((20, 310), (90, 470))
    frame = with_text(speckle(linear(box), 70, 0), [(320, 150, "TIRADS 2 (4A*)"), (30, 490, "P100")])
    Pillow.fromarray(frame).save(tmp_path / "a.jpg", quality=70)
    assert off(find_scan_region(read(tmp_path / "a.jpg", kind="ultrasound")).box, box) <= CLOSE


def test_what_moves_is_the_scan_of_a_cine():
    mask = fan((30, 280), 40, 250, 40)
    still = with_text(np.zeros((ROWS, COLUMNS), np.uint8), [(5, 5, "Acme"), (340, 200, "BIRADS 3")])
    frames = np.stack([np.maximum(speckle(mask, 60, seed), still) for seed in range(6)])
    cine = Image(levels=(frames,), axes="tyx", kind="ultrasound")
    found = find_scan_region(cine)
    assert found.source == "motion"
    assert off(found.box, box_of(mask)) <= 2 * CLOSE


def test_a_frozen_cine_is_judged_by_its_frame():
    box: Box = ((20, 310), (90, 470))
    frames = np.stack([speckle(linear(box), 60, 0)] * 5)
    found = find_scan_region(Image(levels=(frames,), axes="tyx", kind="ultrasound"))
    assert found.source == "low threshold"
    assert off(found.box, box) <= CLOSE


def test_a_scan_of_which_a_part_alone_moves_is_found_whole():
    box: Box = ((20, 310), (90, 470))
    frames = np.stack([speckle(linear(box), 60, 0)] * 6)
    for seed, frame in enumerate(frames):
        frame[100:200, 200:330] = speckle(np.ones((100, 130), bool), 60, seed)
    found = find_scan_region(Image(levels=(frames,), axes="tyx", kind="ultrasound"))
    assert found.source == "low threshold"
    assert off(found.box, box) <= CLOSE
    assert "part of the picture moves" in found.notes[0]


def test_regions_of_the_header_come_first():
    scan = UltrasoundScan(regions=(((10, 90), (20, 100)), ((30, 120), (60, 180))))
    image = Image(levels=(np.zeros((200, 300), np.uint8),), axes="yx", kind="ultrasound", ultrasound=scan)
    found = find_scan_region(image)
    assert (found.box, found.source) == (((10, 120), (20, 180)), "header")
    assert find_scan_region(image, "largest").source == "whole image"


def test_the_largest_bright_part_is_that_of_scikit_image():
    from skimage.filters import threshold_otsu
    from skimage.measure import label, regionprops
    from skimage.morphology import closing, footprint_rectangle

    frame = speckle(fan((30, 280), 40, 250, 40), 60, 0)
    bright = closing(np.pad(frame > threshold_otsu(frame), 5), footprint_rectangle((5, 5)))[5:-5, 5:-5]
    largest = max(regionprops(label(bright, connectivity=2)), key=lambda part: part.area)
    y0, x0, y1, x1 = largest.bbox
    found = find_scan_region(as_image(frame), "largest")
    assert (found.box, found.source) == (((y0, y1), (x0, x1)), "Otsu, largest region")


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    "pixels",
    [
        pytest.param(np.zeros((200, 300), np.uint8), id="black"),
        pytest.param(np.full((200, 300), 90, np.uint8), id="uniform"),
        pytest.param(np.full((200, 300), np.nan, np.float32), id="no numbers"),
        pytest.param(np.zeros((1, 1), np.uint8), id="one pixel"),
        pytest.param(np.zeros((3, 400), np.uint16), id="a strip"),
    ],
)
def test_pictures_without_a_scan_are_used_whole(pixels, method):
    height, width = pixels.shape
    found = find_scan_region(as_image(pixels), method)
    assert (found.box, found.source) == (((0, height), (0, width)), "whole image")
    assert bool(found.notes) == (method != "whole")


def test_a_picture_without_a_frame_around_it_is_used_whole():
    frame = speckle(np.ones((240, 320), bool), 80, 0)
    found = find_scan_region(as_image(frame))
    assert found.box == ((0, 240), (0, 320))
    assert "frame around it" in found.notes[0]


def test_deep_pictures_are_judged_as_8_bits_are():
    box: Box = ((20, 310), (90, 470))
    frame = speckle(linear(box), 70, 0)
    deep = frame.astype(np.uint16) * 100
    assert off(find_scan_region(as_image(deep)).box, find_scan_region(as_image(frame)).box) <= CLOSE


#: (y0, y1), (x0, x1) of the tissue in pydicom's real files, read from the pictures.
REAL = {
    "examples_jpeg2k": ((107, 337), (13, 623)),
    "examples_rgb_color": ((54, 169), (7, 312)),
    "examples_palette": ((67, 160), (328, 592)),
    "examples_ybr_color": ((22, 202), (79, 251)),
}


@pytest.mark.parametrize("name", REAL)
def test_real_frames(name):
    box = find_scan_region(read(get_testdata_file(f"{name}.dcm"))).box
    overlap = np.prod([max(0, min(a[1], b[1]) - max(a[0], b[0])) for a, b in zip(box, REAL[name], strict=True)])
    area, true = (np.prod([high - low for low, high in one]) for one in (box, REAL[name]))
    assert overlap / (area + true - overlap) > 0.8


def test_boxes_of_machines_are_kept_and_found_again(tmp_path):
    scan = UltrasoundScan(device="Acme Echo 7")
    image = Image(levels=(np.zeros((200, 300), np.uint8),), axes="yx", kind="ultrasound", ultrasound=scan)
    other = Image(levels=(np.zeros((100, 300), np.uint8),), axes="yx", kind="ultrasound", ultrasound=scan)
    key = device_key(image)
    assert key == "Acme Echo 7 200x300"
    assert device_region_of(tmp_path, image) is None
    remember_device_region(tmp_path, key, ((10, 150), (20, 280)))
    remember_device_region(tmp_path, "Else 1x1", ((0, 1), (0, 1)))
    assert device_region_of(tmp_path, image) == ((10, 150), (20, 280))
    assert device_region_of(tmp_path, other) is None
    remember_device_region(tmp_path, key, None)
    assert device_regions(tmp_path) == {"Else 1x1": ((0, 1), (0, 1))}


def test_machines_that_are_not_known_have_no_key():
    image = as_image(np.zeros((20, 30), np.uint8))
    assert device_key(image) is None
    assert device_region_of(Path("nowhere"), image) is None


@pytest.mark.parametrize("text", ["[]", "{", '{"Acme Echo 7 200x300": "1:2"}', '{"Acme Echo 7 200x300": "0:900,0:5"}'])
def test_a_mangled_file_of_machines_is_named(tmp_path, text):
    scan = UltrasoundScan(device="Acme Echo 7")
    image = Image(levels=(np.zeros((200, 300), np.uint8),), axes="yx", kind="ultrasound", ultrasound=scan)
    (tmp_path / "forms").mkdir()
    (tmp_path / "forms" / "_devices.json").write_text(text, "utf-8")
    with pytest.raises(DatasetError, match=r"_devices\.json"):
        device_region_of(tmp_path, image)
