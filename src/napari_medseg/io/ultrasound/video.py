"""Cines saved as AVI, MP4 or MOV, through the optional package PyAV (bindings of FFmpeg, 35 MB)."""

from __future__ import annotations

import statistics
import threading
from collections.abc import Iterator
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_medseg.errors import ReadError
from napari_medseg.io.format import Format, choose_series
from napari_medseg.io.lazy import Block, LazyArray
from napari_medseg.io.oct.scan import check_size
from napari_medseg.io.ultrasound.cine import cine_image
from napari_medseg.structures import Image, UltrasoundScan

EXTRA = "video"
#: Brands of the same container that hold pictures, not videos.
_PICTURES = (b"heic", b"heix", b"mif1", b"avif", b"jp2 ")
_KEPT_FRAMES = 64
#: Frames further ahead than this are sought, nearer ones reached by decoding.
_FAR = 60


def _recognises(path: Path, head: bytes) -> bool:
    is_avi = head[:4] == b"RIFF" and head[8:12] == b"AVI "
    return is_avi or (head[4:8] == b"ftyp" and head[8:12] not in _PICTURES)


class VideoLoader:
    """Decodes frames in the order of time and keeps the last ones; (t, y, x) or (t, y, x, rgb).

    Parameters
    ----------
    path
        The file.
    times
        When each frame is shown, increasing, in the stream's own unit; None where the file does not say: frames are
        then counted from the start.
    layout
        PyAV's name for what is handed out: ``"gray"`` or ``"rgb24"``.
    """

    def __init__(self, path: Path, times: tuple[int, ...] | None, layout: str) -> None:
        self._path, self._times, self._layout = path, times, layout
        self._numbers = None if times is None else {time: number for number, time in enumerate(times)}
        self._lock = threading.Lock()
        self._decoded: Iterator[tuple[int, Any]] = iter(())
        self._next: int | None = None
        self._frame = lru_cache(maxsize=_KEPT_FRAMES)(self._decode)

    def __reduce__(self) -> tuple[Any, ...]:
        return VideoLoader, (self._path, self._times, self._layout)

    def __call__(self, block: Block) -> npt.NDArray[Any]:
        """Pixels of a block."""
        with self._lock:
            return np.stack([self._frame(index)[block[1:]] for index in range(block[0].start, block[0].stop)])

    def _decode(self, index: int) -> npt.NDArray[Any]:
        if self._next is None or index < self._next or index > self._next + _FAR:
            self._decoded = self._from(index)
        for number, frame in self._decoded:
            self._next = number + 1
            if number == index:
                pixels: npt.NDArray[Any] = frame.to_ndarray(format=self._layout)
                return pixels
        self._next = None
        raise _damaged(self._path)

    def _from(self, index: int) -> Iterator[tuple[int, Any]]:
        """Numbers and frames, from the last one before `index` that stands for itself."""
        with _av().open(str(self._path)) as container:
            stream = container.streams.video[0]
            if self._times is None or self._numbers is None:
                yield from enumerate(container.decode(stream))
                return
            container.seek(self._times[index], stream=stream)
            for frame in container.decode(stream):
                if frame.pts in self._numbers:
                    yield self._numbers[frame.pts], frame


def read_video(path: Path, series: int | None) -> Image:
    """Read a video as a cine.

    Parameters
    ----------
    path
        The file.
    series
        0 or None: the first video stream counts; sound is left out.

    Returns
    -------
    image of axes ``"tyxc"``, or ``"tyx"`` where the video is stored as grey; frames are decoded when asked for

    Raises
    ------
    ReadError
        The extra ``video`` is not installed; the file is damaged or has no pictures.
    """
    choose_series(path, series, ("",))
    av = _av()
    try:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            size, rate = (int(stream.height), int(stream.width)), stream.average_rate
            is_grey = str(stream.codec_context.pix_fmt or "").startswith("gray")
            unit = stream.time_base
            packets = [packet.pts for packet in container.demux(stream) if packet.size]
    except (av.FFmpegError, IndexError, MemoryError):
        raise _damaged(path) from None
    check_size(path, len(packets), *size)
    times = _usable(packets)
    frame_ms = 1000.0 / float(rate) if rate else None
    if times is not None and len(times) > 1 and unit:
        frame_ms = statistics.median(later - earlier for earlier, later in pairwise(times)) * float(unit) * 1000
    tail = () if is_grey else (3,)
    load = VideoLoader(path, times, "gray" if is_grey else "rgb24")
    frames = LazyArray((len(packets), *size, *tail), np.uint8, load, source=str(path), chunks=(1, *size, *tail))
    return cine_image(path, frames, UltrasoundScan(frame_ms=frame_ms), None, [])


def _usable(packets: list[int | None]) -> tuple[int, ...] | None:
    times = sorted(time for time in packets if time is not None)
    return tuple(times) if len(set(times)) == len(packets) else None


def _av() -> ModuleType:
    try:
        import av
    except ImportError:
        raise ReadError(
            f"Videos need the extra '{EXTRA}': pip install \"napari-medseg[{EXTRA}]\", or export the cine as DICOM or "
            "its frames as pictures."
        ) from None
    return av


def _damaged(path: Path) -> ReadError:
    return ReadError(f"{path} is a video that is damaged, cut short or without pictures: export the cine again.")


FORMAT = Format(name="a video", recognises=_recognises, read=read_video)
