"""Ultrasound that is no DICOM: pictures, stacks, videos; and flow in colours."""

from __future__ import annotations

import builtins
import pickle
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image as Pillow

from napari_medseg.errors import ReadError
from napari_medseg.io import read
from napari_medseg.io.ultrasound.doppler import has_color_doppler

ROWS, COLUMNS = 48, 64


def speckle(seed: int = 0) -> np.ndarray:
    """A grey frame (y, x)."""
    return np.random.default_rng(seed).integers(10, 120, (ROWS, COLUMNS), np.uint8)


def test_a_picture_turned_by_its_camera_stands_upright(tmp_path):
    grey = speckle()
    turned = Pillow.Exif()
    turned[0x0112] = 6
    Pillow.fromarray(np.rot90(grey)).save(tmp_path / "a.png", exif=turned)
    image = read(tmp_path / "a.png", kind="ultrasound")
    assert image.kind == "ultrasound"
    assert image.ultrasound is not None
    np.testing.assert_array_equal(image.data, grey)


def test_transparency_and_16_bits(tmp_path):
    colors = np.dstack([speckle(), speckle(), speckle(), np.full((ROWS, COLUMNS), 255, np.uint8)])
    Pillow.fromarray(colors).save(tmp_path / "a.png")
    assert read(tmp_path / "a.png", kind="ultrasound").shape == (ROWS, COLUMNS, 3)
    deep = speckle().astype(np.uint16) * 257
    Pillow.fromarray(deep).save(tmp_path / "b.png")
    np.testing.assert_array_equal(read(tmp_path / "b.png", kind="ultrasound").data, deep)


def test_a_stack_without_distances_is_a_cine(tmp_path):
    stack = np.stack([speckle(seed) for seed in range(4)])
    tifffile.imwrite(tmp_path / "a.tif", stack, metadata={"axes": "ZYX"}, ome=True)
    assert read(tmp_path / "a.tif").axes == "zyx"
    assert read(tmp_path / "a.tif", kind="ultrasound").axes == "tyx"


@pytest.mark.parametrize(
    ("paint", "flows"),
    [
        pytest.param(lambda frame: frame, False, id="grey"),
        pytest.param(lambda frame: (frame * (1.0, 0.75, 0.4)).astype(np.uint8), False, id="tinted as a whole"),
        pytest.param(lambda frame: _painted(frame, slice(20, 30), slice(20, 32)), True, id="flow"),
        pytest.param(lambda frame: _painted(frame, slice(0, ROWS), slice(30, 31)), False, id="a coloured line"),
        pytest.param(lambda frame: _painted(frame, slice(2, 5), slice(2, 5)), False, id="a small logo"),
        pytest.param(lambda frame: frame.astype(np.uint16), False, id="16 bits"),
    ],
)
def test_flow_is_told_from_tints_lines_and_logos(paint, flows):
    frame = np.repeat(speckle()[..., np.newaxis], 3, axis=-1) + np.uint8(80)
    assert has_color_doppler(paint(frame)) is flows


def _painted(frame: np.ndarray, rows: slice, columns: slice) -> np.ndarray:
    frame[rows, columns] = (220, 30, 10)
    return frame


def test_flow_in_a_picture_is_reported(tmp_path):
    frame = np.repeat(speckle()[..., np.newaxis], 3, axis=-1)
    Pillow.fromarray(_painted(frame, slice(20, 30), slice(20, 32))).save(tmp_path / "a.png")
    image = read(tmp_path / "a.png", kind="ultrasound")
    assert image.ultrasound is not None
    assert image.ultrasound.color_doppler
    assert any("Doppler" in warning for warning in image.warnings)
    assert read(tmp_path / "a.png").warnings == ()


def write_video(path: Path, frames: np.ndarray, *, codec: str, rate: int = 25, pixels: str = "yuv420p") -> Path:
    """Frames (t, y, x) as a video."""
    av = pytest.importorskip("av")
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate)
        stream.height, stream.width = frames.shape[1:]
        stream.pix_fmt = pixels
        stream.gop_size = 12
        for frame in frames:
            shown = av.VideoFrame.from_ndarray(np.repeat(frame[..., np.newaxis], 3, axis=-1), format="rgb24")
            container.mux(stream.encode(shown))
        container.mux(stream.encode())
    return path


def steps(count: int) -> np.ndarray:
    """Flat frames (t, y, x), each brighter than the one before, so that lossy codecs keep them apart."""
    return np.stack([np.full((ROWS, COLUMNS), 20 + index * 200 // count, np.uint8) for index in range(count)])


VIDEOS = [("a.avi", "mjpeg", "yuvj420p"), ("a.avi", "mpeg4", "yuv420p"), ("a.mp4", "mpeg4", "yuv420p")]


@pytest.mark.parametrize(("name", "codec", "pixels"), VIDEOS)
def test_videos_open_as_cines(tmp_path, name, codec, pixels):
    frames = steps(40)
    image = read(write_video(tmp_path / name, frames, codec=codec, pixels=pixels))
    assert (image.kind, image.axes, image.shape) == ("ultrasound", "tyxc", (40, ROWS, COLUMNS, 3))
    assert image.ultrasound is not None
    assert image.ultrasound.frame_ms == pytest.approx(40.0)
    assert image.units == ("millisecond", "pixel", "pixel")
    means = np.asarray(image.data).mean(axis=(1, 2, 3))
    np.testing.assert_allclose(means, frames.mean(axis=(1, 2)), atol=6)


@pytest.mark.parametrize(("name", "codec", "pixels"), VIDEOS)
def test_frames_come_in_any_order(tmp_path, monkeypatch, name, codec, pixels):
    monkeypatch.setattr("napari_medseg.io.reading.EAGER_BYTES", 100)
    count = 150
    path = write_video(tmp_path / name, steps(count), codec=codec, pixels=pixels)
    whole = np.asarray(read(path).data[...])
    lazy = pickle.loads(pickle.dumps(read(path).data))
    for index in (140, 3, 4, 90, 89, 0, 149):
        np.testing.assert_array_equal(lazy[index], whole[index])


def test_a_cut_video_is_refused_in_a_sentence(tmp_path):
    path = write_video(tmp_path / "a.mp4", steps(10), codec="mpeg4")
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(ReadError, match="video that is damaged"):
        read(path)


def test_without_the_extra_a_sentence_names_it(tmp_path, monkeypatch):
    path = write_video(tmp_path / "a.avi", steps(3), codec="mjpeg", pixels="yuvj420p")
    original = builtins.__import__

    def refuse(name, *args, **kwargs):
        if name == "av":
            raise ImportError(name)
        return original(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(ReadError, match=r"napari-medseg\[video\]"):
        read(path)
