"""The part of a slide's painting that is held in memory to be painted, and where it has to lie for a view."""

from __future__ import annotations

import math
from contextlib import AbstractContextManager

import numpy.typing as npt

from napari_medseg.data.label_layout import relative
from napari_medseg.data.label_store import Labels
from napari_medseg.data.slide_master import SlideMaster
from napari_medseg.io.units import millimeters
from napari_medseg.structures import Box, Image

#: Most pixels along a side of the window. Graphics hardware takes 16384 at most; a stroke costs the less the smaller.
SIDE = 4096
#: Micrometres.
_USUAL_SIZE = 1.0
#: Least length of a painting's longer side, where the slide is not smaller itself.
_FEWEST = 1024
#: The coarsest that is offered is 2 to this power.
_MOST_POWER = 6


class SlideWindow:
    """A box of a master that is saved like a small label store of its own.

    Parameters
    ----------
    master
        The painting of the whole slide.
    box
        The part, in pixels of the master; see `window_around`.
    """

    def __init__(self, master: SlideMaster, box: Box) -> None:
        self.master = master
        self.box = box

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows and columns of the window."""
        return tuple(stop - start for start, stop in self.box)

    @property
    def chunks(self) -> tuple[int, ...]:
        """Pieces that are compared and saved: they begin where the master's do."""
        return self.master.chunks

    def read(self) -> Labels:
        """The labels of the window as they are on disk; raises `ReadError`."""
        return self.master.read(self.box)

    def write_box(self, box: Box, pixels: npt.ArrayLike) -> int:
        """Save a box of the window, counted from the window's corner; as `LabelStore.write_box`."""
        return self.master.write_box(self.on_slide(box), pixels)

    def together(self) -> AbstractContextManager[None]:
        """As `LabelStore.together`."""
        return self.master.together()

    def flush(self) -> None:
        """As `LabelStore.flush`."""
        self.master.flush()

    def on_slide(self, box: Box) -> Box:
        """A box of the window in pixels of the master."""
        return tuple((start + corner, stop + corner) for (start, stop), (corner, _) in zip(box, self.box, strict=True))

    def within(self, box: Box) -> Box | None:
        """The part of a box of the master that lies in the window, counted from its corner; None for none."""
        common = common_box(box, self.box)
        return None if common is None else relative(common, self.box)


def window_around(view: Box, shape: tuple[int, ...], step: int, side: int = SIDE) -> Box | None:
    """Where a window has to lie so that all of a view can be painted, with the view in its middle.

    Parameters
    ----------
    view
        What is looked at, inside the image.
    shape
        Rows and columns of the image.
    step
        The window begins at a multiple of this, where chunks begin.
    side
        Longest side of the window; at the image's end it may be shorter.

    Returns
    -------
    a box, or None where the view is too large for any: longer than `side` less `step`, and not all of a small image.

    Examples
    --------
    >>> window_around(((5000, 5800), (0, 1000)), (20_000, 25_000), 512)
    ((3584, 7680), (0, 4096))
    >>> window_around(((0, 20_000), (0, 25_000)), (20_000, 25_000), 512) is None
    True
    """
    box = []
    for (first, last), n in zip(view, shape, strict=True):
        earliest, latest = math.ceil((last - side) / step), first // step
        if n > side and earliest > latest:
            return None
        middle = round(((first + last) / 2 - side / 2) / step)
        # The furthest place that is needed for anything to be in reach.
        end = max(0, math.ceil((n - side) / step))
        start = min(max(min(max(middle, earliest), latest), 0), end) * step
        box.append((start, min(start + side, n)))
    return tuple(box)


def contains(outer: Box, inner: Box) -> bool:
    """Whether one box holds all of another."""
    return all(a <= c and d <= b for (a, b), (c, d) in zip(outer, inner, strict=True))


def window_in_middle(shape: tuple[int, ...], step: int) -> Box:
    """A window in the middle of an image; see `window_around`."""
    middle = tuple((n // 2, n // 2 + 1) for n in shape)
    box = window_around(middle, shape, step)
    assert box is not None  # a view of one pixel fits
    return box


def usual_downsample(image: Image) -> int:
    """At how many level-0 pixels per pixel a slide is painted where nobody says otherwise: a power of two.

    About 1 µm, as with an objective of 10×: glands are seen, and a window spans 4 mm. Where the file tells no pixel
    size, the longer side becomes about 32,768 pixels.
    """
    return downsample_near(image, _USUAL_SIZE if pixel_micrometers(image) else max(image.spatial_shape) / 2**15)


def downsample_near(image: Image, pixel_size: float) -> int:
    """The downsample that is offered for a slide and comes closest to a size of pixels.

    Parameters
    ----------
    pixel_size
        Micrometres; level-0 pixels where the file tells no pixel size.
    """
    wanted = math.log2(pixel_size / (pixel_micrometers(image) or 1.0))
    return min(offered_downsamples(image.spatial_shape), key=lambda each: abs(math.log2(each) - wanted))


def offered_downsamples(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Downsamples at which a slide can be painted: powers of two that leave something to paint on."""
    most = max(1, max(shape) // _FEWEST)
    return tuple(2**power for power in range(_MOST_POWER + 1) if 2**power <= most)


def pixel_micrometers(image: Image) -> float | None:
    """Micrometres along a level-0 pixel; None where the file does not say."""
    factor = None if image.units is None else millimeters(image.units[-1])
    return None if image.spacing is None or factor is None else image.spacing[-1] * factor * 1e3


def common_box(one: Box, other: Box) -> Box | None:
    """The part that two boxes share; None for none."""
    common = tuple((max(a, c), min(b, d)) for (a, b), (c, d) in zip(one, other, strict=True))
    return common if all(start < stop for start, stop in common) else None
