"""Masks of the scan in one ultrasound frame or over the frames of a cine; `scan_region` makes boxes of them.

Frames are float32 (y, x), 0..255. Sizes of letters, gaps and bars are those of a frame whose longer side is about 560
pixels and grow with larger ones.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from napari_medseg.data.regions import bounding_box, largest_part

Mask = npt.NDArray[np.bool_]
Frame = npt.NDArray[np.float32]

#: Grey values above the background from which a smoothed pixel belongs to something, about 1 % of 255.
_LOW = 2.5
#: Letters and marks stand out from what is around them by this, within this many pixels of bare background.
_STROKE, _NEAR = 60.0, 4
#: Standard deviation over time from which a pixel shows something that moves.
_MOVING = 2.0
#: The longer side of a frame in which letters have strokes of 1 to 2 pixels.
_USUAL_SIDE = 560
#: Gaps up to twice this are closed, attached parts thinner than this share of the shorter side are cut off.
_GAP, _THIN = 5, 0.03
#: Bars of a machine stand this far above the background, and their pixels differ by less than the other.
_BAR, _STEP = 8.0, 2.0
#: Share of a bar that is flat, the rest being letters, and its length as a share of the frame.
_MOSTLY, _LONG = 0.5, 0.25
#: Rise over three lines, as a share of the longest line, by which a scan begins behind a bridge.
_STEEP = 0.35
#: Lines at a side of a scan that marks may leave ragged.
_RAGGED = 6
#: Sides in which less than a share of the part shows, up to a share of its height or width.
_BARE, _DEEPEST = 0.06, 0.1
_SEAM, _SEAM_DEPTH = 0.3, 0.02
#: Widest rim, in pixels, by which the background is judged.
_RIM = 3


def otsu_mask(frame: Frame) -> Mask:
    """The largest bright part (8 neighbours) after Otsu's threshold and a closing, as the scheme has it."""
    from scipy import ndimage
    from skimage.filters import threshold_otsu

    bright = frame > threshold_otsu(frame)  # type: ignore[no-untyped-call]  # scikit-image has no types
    side = np.ones((_GAP, _GAP), bool)
    padded = np.pad(bright, _GAP)
    closed = ndimage.binary_closing(padded, side)[_GAP:-_GAP, _GAP:-_GAP]
    parts, count = ndimage.label(closed, np.ones((3, 3)))
    if not count:
        return np.zeros(frame.shape, bool)
    return np.asarray(parts == 1 + int(np.bincount(parts.reshape(-1))[1:].argmax()))


def background_of(frame: Frame) -> tuple[int, float]:
    """The most frequent grey value along the rim (within 2), and the share of the rim that has it."""
    rim = np.concatenate(
        [frame[:_RIM].ravel(), frame[-_RIM:].ravel(), frame[:, :_RIM].ravel(), frame[:, -_RIM:].ravel()]
    )
    counts = np.bincount(np.clip(np.rint(rim), 0, 255).astype(np.intp), minlength=256)
    around = np.convolve(counts, np.ones(5), "same")
    value = int(around.argmax())
    return value, float(around[value] / rim.size)


def above_background_mask(frame: Frame) -> Mask:
    """The largest part that stands out from the background, without letters, marks, lines and bars.

    1. What differs from the background by thin strokes with bare background beside them is taken for text, with a
       seam for the ringing that JPEG leaves around it; wide places without any speckle are taken for bars.
    2. Of the rest, what lies above a low threshold after smoothing, without crumbs, with gaps closed and holes filled.
    3. What is attached by less than 3 % of the frame is cut off, and the largest part kept.
    4. Lines at its sides in which next to nothing shows are given up: the smoothing's seam, and bridges to text.
    """
    from scipy import ndimage

    value, _ = background_of(frame)
    height = np.abs(frame - np.float32(value))
    unit = max(1, round(max(frame.shape) / _USUAL_SIDE))
    bars = _bar_mask(height, unit)
    foreign = _grown(_text_mask(height, unit), 6 * unit + 3) | bars
    smooth = _averaged(np.where(foreign, np.float32(0), height), ~foreign, 2 * unit + 3)
    part = largest_part(_joined((smooth > _LOW) & ~bars, unit, without=bars))
    if not part.any():
        return part
    shown = ndimage.binary_opening((height > _LOW) & ~foreign) & part
    part = _without_bare_sides(part, shown, _BARE, _DEEPEST)
    return _without_bridges(_without_bare_sides(part, shown, _SEAM, _SEAM_DEPTH))


def moving_mask(frames: npt.NDArray[np.float32]) -> Mask:
    """The largest part that changes over the frames (t, y, x): text and bars stand still.

    Standard deviation over time above 2, gaps closed, holes filled, what is attached by thin lines cut off.
    """
    unit = max(1, round(max(frames.shape[1:]) / _USUAL_SIDE))
    moves = frames.std(axis=0) > _MOVING
    return largest_part(_joined(moves, unit, without=np.zeros_like(moves)))


def _joined(mask: Mask, unit: int, *, without: Mask) -> Mask:
    """Without crumbs, with gaps closed, holes filled and thin attachments cut off; `without` is left out."""
    solid = _filled(_opened(mask, 2 * unit + 1), 2 * _GAP * unit + 1) & ~without
    side = 2 * round(_THIN * min(mask.shape)) + 1
    # What tapers off, as the tips of a fan do, is given back.
    return solid & _grown(_opened(solid, side), side)


def _bar_mask(height: Frame, unit: int) -> Mask:
    """Bars and buttons: wide places above the background without any speckle, and the letters on them."""
    from scipy import ndimage

    steps = ndimage.maximum_filter(height, 3) - ndimage.minimum_filter(height, 3)
    flat = _opened((steps < _STEP) & (height > _BAR), 6 * unit + 3)
    if not flat.any():
        return flat
    # Letters of a title and the seams around them.
    parts, count = ndimage.label(_filled(flat, 30 * unit + 1))
    share = ndimage.mean(flat, parts, np.arange(count + 1))
    spans = [
        max((s.stop - s.start) / n for s, n in zip(box, flat.shape, strict=True)) for box in ndimage.find_objects(parts)
    ]
    is_bar = (share > _MOSTLY) & (np.array([0.0, *spans]) > _LONG)
    return np.asarray(is_bar[parts])


def _without_bare_sides(part: Mask, shown: Mask, least: float, deepest: float) -> Mask:
    """Without lines at the sides in which less than a share `least` of the part shows.

    Parameters
    ----------
    deepest
        Of the part's height or width, what is given up at most at a side.
    """
    kept = part.copy()
    box = bounding_box(part)
    if box is None:
        return kept
    for axis, (start, stop) in enumerate(box):
        counts = np.maximum(part.sum(axis=1 - axis)[start:stop], 1)
        is_bare = shown.sum(axis=1 - axis)[start:stop] < least * counts
        most = max(1, round(deepest * (stop - start)))
        before, after = (int(np.argmin(np.append(bare[:most], False))) for bare in (is_bare, is_bare[::-1]))
        lines = np.moveaxis(kept, axis, 0)
        lines[: start + before] = False
        lines[stop - after :] = False
    return kept


def _without_bridges(part: Mask) -> Mask:
    """Without lines at the sides from which the part widens at a step, as where a bar hangs on; fans widen slowly."""
    kept = part.copy()
    box = bounding_box(part)
    if box is None:
        return kept
    for axis, (start, stop) in enumerate(box):
        counts = part.sum(axis=1 - axis)[start:stop] / part.sum(axis=1 - axis).max()
        most = round(_DEEPEST * (stop - start))
        before, after = (_step_in(line, most) for line in (counts, counts[::-1]))
        lines = np.moveaxis(kept, axis, 0)
        lines[: start + before] = False
        lines[stop - after :] = False
    return kept


def _step_in(counts: npt.NDArray[np.float64], most: int) -> int:
    """Lines before the largest step among the first `most`; 0 where none is steep enough or it comes at once."""
    rises = counts[3 : most + 3] - counts[:most]
    at = int(rises.argmax()) if rises.size else 0
    return at + 2 if at >= _RAGGED and rises[at] > _STEEP else 0


def _text_mask(height: Frame, unit: int) -> Mask:
    """Thin strokes high above the background that is near them."""
    from scipy import ndimage

    wide = 2 * unit + 3
    broad = ndimage.maximum_filter(ndimage.minimum_filter(height, wide), wide)
    # Single dark grains between bright ones are no background.
    bare = _grown(_opened(height <= _NEAR, 2 * unit + 1), wide + 4 * unit)
    return np.asarray((height - broad > _STROKE) & bare)


def _averaged(height: Frame, counts: Mask, side: int) -> Frame:
    """Mean over squares of those pixels that count."""
    from scipy import ndimage

    share = ndimage.uniform_filter(counts.astype(np.float32), side)
    return np.asarray(ndimage.uniform_filter(height, side) / np.maximum(share, np.float32(0.3)))


def _filled(mask: Mask, side: int) -> Mask:
    """Closed by squares and without holes; outside the frame lies nothing."""
    from scipy import ndimage

    padded = _shrunk(_grown(np.pad(mask, side), side), side)
    return np.asarray(ndimage.binary_fill_holes(padded[side:-side, side:-side]))


def _opened(mask: Mask, side: int) -> Mask:
    return _grown(_shrunk(mask, side), side)


def _grown(mask: Mask, side: int) -> Mask:
    from scipy import ndimage

    return np.asarray(ndimage.maximum_filter(mask, side))


def _shrunk(mask: Mask, side: int) -> Mask:
    from scipy import ndimage

    return np.asarray(ndimage.minimum_filter(mask, side))
