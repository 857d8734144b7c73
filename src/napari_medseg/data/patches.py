"""Training patches: which case comes when, where it is cut, and what is known of it.

Everything is a pure function of the position in the endless sequence and the seed, so that a resumed run draws what an
unbroken one would, and several processes can share one sequence.
"""

from __future__ import annotations

import math
import threading
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from napari_medseg.data.intensity import Normaliser
from napari_medseg.data.resampling import WindowReader, choose_level, working_shape
from napari_medseg.errors import DatasetError
from napari_medseg.structures import NO_TAG, NOT_LOOKED_AT, Box, Image, MaskClass, TrainingCase

Labels = npt.NDArray[np.uint8]

#: Pixels remembered per class and case, to centre patches on.
_REMEMBERED_PIXELS = 4096
_ORDER, _CROP = 0, 1


class LabelWindows(Protocol):
    """Labels that are read window by window."""

    def __getitem__(self, spans: tuple[slice, ...], /) -> Labels:
        """Class indices of a part of the working grid."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """A case at the working resolution.

    `pixels` is the whole resampled image, or a reader of it where there was no room to keep it. `places` holds up to
    `_REMEMBERED_PIXELS` positions (n, axes) per class index, `looked_at` the same of pixels that somebody looked at;
    None where that is all of them, or none. `foreground_share` replaces that of the other cases where it is given.
    """

    pixels: npt.NDArray[Any] | WindowReader
    shape: tuple[int, ...]
    prepared: Any
    labels: Labels | LabelWindows | None
    places: dict[int, npt.NDArray[np.int64]]
    looked_at: npt.NDArray[np.int64] | None
    foreground_share: float | None = None


class PatchUnit(Protocol):
    """Something larger than a case's image that patches are drawn from several times in a pass: a slide."""

    @property
    def tag(self) -> str | None:
        """That of every patch; None where it is not known."""

    @property
    def weight(self) -> int:
        """Patches in a pass."""

    def load(self) -> Loaded:
        """What patches are cut from; always the same."""


class Patches:
    """Random patches of training cases, a `training.stage.PatchSource`.

    Parameters
    ----------
    cases
        Training cases. Images of other dimensions than `size` are refused when they are drawn.
    classes
        Mask classes in the channel order of the network; class ``i`` of it becomes label ``i + 1``. Empty: masks are
        not read, and every label is 255.
    tags
        Tag names in the channel order of the network.
    size
        Patch size ([z,] y, x) in working pixels. Images that are smaller are reflected, with labels of 255.
    scale_of
        Working pixels per image pixel, per spatial axis.
    intensity
        Maps pixels to network input.
    foreground_share
        Share of the patches of drawn cases that are centred on a pixel of a class; each class the case holds is equally
        likely. The others lie anywhere, but contain a pixel that somebody looked at.
    balanced_tags
        Whether each tag is drawn equally often; cases without a tag then count as a tag of their own.
    cache_bytes
        Most memory for resampled images; cases that find no room are read again each time.
    units
        What comes several times in a pass, after the cases; there must be a case or a unit.
    """

    def __init__(
        self,
        cases: Sequence[TrainingCase],
        *,
        classes: Sequence[MaskClass],
        tags: Sequence[str],
        size: tuple[int, ...],
        scale_of: Callable[[Image], tuple[float, ...]],
        intensity: Normaliser,
        foreground_share: float = 0.5,
        balanced_tags: bool = False,
        cache_bytes: int = 2 << 30,
        units: Sequence[PatchUnit] = (),
    ) -> None:
        if not cases and not units:
            raise DatasetError("There is no case to cut training patches from: finish a case of the training split.")
        self._cases, self._units = tuple(cases), tuple(units)
        # The case or, counted on from these, the unit of every patch of a pass.
        repeats = [case.repeats for case in cases] + [unit.weight for unit in units]
        self._members = np.repeat(np.arange(len(repeats)), repeats)
        self._num_classes = len(classes)
        self._size = size
        self._scale_of = scale_of
        self._intensity = intensity
        self._foreground_share = foreground_share
        self._room = cache_bytes
        self._kept: dict[int, Loaded] = {}
        # Patches are drawn by several threads.
        self._loading = threading.Lock()
        known = [*(case.tag for case in cases), *(unit.tag for unit in units)]
        self._tags = [tags.index(tag) if tag in tags else NO_TAG for tag in known]
        member_tags = [self._tags[number] for number in self._members]
        self._strata = _strata(member_tags) if balanced_tags else [np.arange(len(self._members))]
        self._index_of_value = index_of_values(classes)
        self._order = lru_cache(maxsize=4)(self._make_order)

    def __len__(self) -> int:
        """Patches of one pass: one of every case, several of every unit."""
        return len(self._members)

    def draw(
        self, positions: Sequence[int], seed: int
    ) -> tuple[npt.NDArray[np.float32], Labels, npt.NDArray[np.int64]]:
        """Patches at positions of the endless sequence.

        Returns
        -------
        images (b, c, [z,] y, x) float32, labels (b, [z,] y, x) uint8, tags (b,) int64

        Raises
        ------
        DatasetError
            A case's image has other dimensions than the patches, or its labels have another shape than its image.
        """
        images = np.empty((len(positions), self._intensity.channels, *self._size), np.float32)
        labels = np.full((len(positions), *self._size), NOT_LOOKED_AT, np.uint8)
        tags = np.empty(len(positions), np.int64)
        for row, position in enumerate(positions):
            number = self.case_at(position, seed)
            loaded = self._load(number)
            images[row], labels[row] = self._cut(loaded, np.random.default_rng((seed, _CROP, position)))
            tags[row] = self._tags[number]
        return images, labels, tags

    def case_at(self, position: int, seed: int) -> int:
        """Index of the case (or unit) at a position: every pass over the cases has its own random order."""
        n = len(self._members)
        return int(self._members[self._order(position // n, seed)[position % n]])

    def _make_order(self, number: int, seed: int) -> npt.NDArray[np.int64]:
        """Order of the cases in pass `number`; with several strata each fills an equal share of the pass."""
        rng = np.random.default_rng((seed, _ORDER, number))
        if len(self._strata) == 1:
            return rng.permutation(len(self._members))
        # The shares of a pass are cut so that they sum to its length; which strata get one more varies.
        ends = (np.arange(len(self._strata) + 1) * len(self._members)) // len(self._strata)
        shares = rng.permutation(np.diff(ends))
        chosen = [_cycled(rng, stratum, share) for stratum, share in zip(self._strata, shares, strict=True)]
        return rng.permutation(np.concatenate(chosen))

    def _load(self, number: int) -> Loaded:
        with self._loading:
            if number not in self._kept:
                loaded = self._read(number)
                if number >= len(self._cases) or not isinstance(loaded.pixels, WindowReader):
                    self._kept[number] = loaded
                return loaded
            return self._kept[number]

    def _read(self, number: int) -> Loaded:
        """What patches of a case or unit are cut from; takes the room that its pixels need."""
        if number >= len(self._cases):
            return self._units[number - len(self._cases)].load()
        case = self._cases[number]
        image = case.load_image()
        if len(image.spatial_axes) != len(self._size):
            raise DatasetError(
                f"Case '{case.case}' has the axes '{image.spatial_axes}', but this training cuts patches of "
                f"{len(self._size)} dimensions: remove the case, or import its slices as images."
            )
        shape = working_shape(image, self._scale_of(image))
        reader = WindowReader(image, shape, choose_level(image, shape))
        labels = self._load_labels(case, image, shape)
        places, looked_at = _find_places(labels, self._num_classes)
        needed = math.prod(shape) * (image.num_channels * image.dtype.itemsize + (labels is not None))
        keep = needed <= self._room
        # A window of the reader holds the same pixels as the same part of the whole, so keeping changes no patch.
        pixels = reader.read(tuple((0, n) for n in shape)) if keep else reader
        if keep:
            self._room -= needed
        return Loaded(pixels, shape, self._intensity.prepare(image), labels, places, looked_at)

    def _load_labels(self, case: TrainingCase, image: Image, shape: tuple[int, ...]) -> Labels | None:
        """Class indices at the working resolution; None where nobody looked or no mask is asked for."""
        if not self._num_classes or not case.has_mask:
            return None
        values = case.load_labels()
        if values is None:
            return None
        check_label_shape(case, values, image)
        for axis, (size, target) in enumerate(zip(values.shape, shape, strict=True)):
            if size != target:
                nearest = ((np.arange(target) + 0.5) * size / target).astype(np.int64)
                values = values.take(nearest, axis=axis)
        return self._index_of_value[values]

    def _cut(self, loaded: Loaded, rng: np.random.Generator) -> tuple[npt.NDArray[np.float32], Labels]:
        """One patch: image (c, [z,] y, x) normalised, labels ([z,] y, x)."""
        box = self._choose_box(loaded, rng)
        spans = tuple(slice(*side) for side in box)
        if isinstance(loaded.pixels, WindowReader):
            pixels = loaded.pixels.read(box)
        else:
            pixels = loaded.pixels[:, *spans]
        before = [(size - (stop - start)) // 2 for size, (start, stop) in zip(self._size, box, strict=True)]
        margins = [
            (low, size - (stop - start) - low) for low, size, (start, stop) in zip(before, self._size, box, strict=True)
        ]
        if any(low or high for low, high in margins):
            pixels = np.pad(pixels, [(0, 0), *margins], mode="reflect")
        labels = np.full(self._size, NOT_LOOKED_AT, np.uint8)
        if loaded.labels is not None:
            inside = tuple(slice(low, low + stop - start) for low, (start, stop) in zip(before, box, strict=True))
            labels[inside] = loaded.labels[spans]
        return self._intensity.normalise(pixels, loaded.prepared), labels

    def _choose_box(self, loaded: Loaded, rng: np.random.Generator) -> Box:
        """Where to cut: inside the image, at most `size` long along each axis."""
        spans = np.minimum(self._size, loaded.shape)
        last = np.array(loaded.shape) - spans
        share = self._foreground_share if loaded.foreground_share is None else loaded.foreground_share
        if loaded.places and rng.random() < share:
            places = loaded.places[sorted(loaded.places)[rng.integers(len(loaded.places))]]
            starts = np.clip(places[rng.integers(len(places))] - spans // 2, 0, last)
        elif loaded.looked_at is not None:
            place = loaded.looked_at[rng.integers(len(loaded.looked_at))]
            starts = rng.integers(np.maximum(place - spans + 1, 0), np.minimum(place, last) + 1)
        else:
            starts = rng.integers(last + 1)
        return tuple((int(start), int(start + span)) for start, span in zip(starts, spans, strict=True))


def index_of_values(classes: Sequence[MaskClass]) -> Labels:
    """Label of the network per label value, uint8 (256,): 0 for the background, ``i + 1`` for class ``i``.

    Values that are no class are not known to be background either: they become 255.
    """
    index_of_value = np.full(256, NOT_LOOKED_AT, np.uint8)
    index_of_value[0] = 0
    for index, mask_class in enumerate(classes, start=1):
        index_of_value[mask_class.value] = index
    return index_of_value


def check_label_shape(case: TrainingCase, labels: Labels, image: Image) -> None:
    """Raise `DatasetError` where labels were drawn on an image of another size."""
    if labels.shape != image.spatial_shape:
        raise DatasetError(
            f"The labels of case '{case.case}' have the shape {labels.shape}, but its image {image.spatial_shape}: "
            "import labels that were drawn on this image."
        )


def _strata(tags: Sequence[int]) -> list[npt.NDArray[np.int64]]:
    """Case indices by tag."""
    by_tag: defaultdict[int, list[int]] = defaultdict(list)
    for number, tag in enumerate(tags):
        by_tag[tag].append(number)
    return [np.array(by_tag[tag]) for tag in sorted(by_tag)]


def _cycled(rng: np.random.Generator, items: npt.NDArray[np.int64], count: int) -> npt.NDArray[np.int64]:
    """`count` items in random order, each as often as any other, give or take one."""
    rounds = [rng.permutation(items) for _ in range(-(-count // len(items)))]
    return np.concatenate([np.empty(0, np.int64), *rounds])[:count]


def _find_places(
    labels: Labels | None, num_classes: int
) -> tuple[dict[int, npt.NDArray[np.int64]], npt.NDArray[np.int64] | None]:
    """Pixels per class index, and pixels that somebody looked at; None when that is all or none of them."""
    if labels is None:
        return {}, None
    counts = np.bincount(labels.ravel(), minlength=256)
    places = {index: _some_pixels(labels == index) for index in range(1, num_classes + 1) if counts[index]}
    partly = 0 < counts[NOT_LOOKED_AT] < labels.size
    return places, _some_pixels(labels != NOT_LOOKED_AT) if partly else None


def _some_pixels(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """Positions (n, axes) of up to `_REMEMBERED_PIXELS` true pixels, evenly over the mask."""
    flat = np.flatnonzero(mask)
    flat = flat[np.linspace(0, len(flat) - 1, min(len(flat), _REMEMBERED_PIXELS)).astype(np.int64)]
    return np.stack(np.unravel_index(flat, mask.shape), axis=1)
