"""Training patches that hold one whole region of interest each, brought to the network's input size."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from napari_medseg.data.cropping import crop
from napari_medseg.data.intensity import Intensity
from napari_medseg.data.patches import Labels, check_label_shape
from napari_medseg.data.regions import RegionRule, jittered, steps_of
from napari_medseg.data.resampling import WindowReader, choose_level
from napari_medseg.errors import DatasetError
from napari_medseg.structures import NO_TAG, NOT_LOOKED_AT, Box, Image, TrainingCase

_ORDER, _JITTER = 0, 1
#: Pixels by which rounding can move the sides of a region.
_ROUNDING = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Jitter:
    """How far boxes of training cases are moved and resized; see `napari_medseg.data.regions.jittered`."""

    shift: float
    size: float


@dataclass(frozen=True, slots=True)
class _Loaded:
    """What a case can be cut from: a part of its image that holds every jittered region, and the labels of that part.

    `shape`, `steps` and `tight` are those of the whole image, `first` is the part's first pixel in it. Without `tight`
    the part is the whole image, which is always cut out as it is.
    """

    image: Image
    labels: Labels | None
    tight: Box | None
    shape: tuple[int, ...]
    steps: tuple[float, ...] | None
    first: tuple[int, ...]


class RegionPatches:
    """Regions of interest of training cases, a `training.stage.PatchSource`; the tag of a patch is its grade.

    Parameters
    ----------
    cases
        Training cases; at least one.
    boxes
        Tight box by case id; a case without one is seen whole.
    index_of_value
        Label of the network per label value, uint8 (256,); None: masks are not read, and every label is 255.
    size
        Of the network's input, ([z,] y, x).
    rule, jitter
        What is cut out.
    intensity
        Maps an image to network input; called with the part that is cut out.
    cache_bytes
        Most memory for parts of images; cases that find no room are read again each time.
    """

    def __init__(
        self,
        cases: Sequence[TrainingCase],
        boxes: Mapping[str, Box],
        *,
        index_of_value: Labels | None,
        size: tuple[int, ...],
        rule: RegionRule,
        jitter: Jitter,
        intensity: Intensity,
        cache_bytes: int = 2 << 30,
    ) -> None:
        if not cases:
            raise DatasetError("There is no case to cut regions from: finish a case of the training split.")
        self._cases, self._boxes = tuple(cases), boxes
        self._index_of_value = index_of_value
        self._size, self._rule, self._jitter, self._intensity = size, rule, jitter, intensity
        self._members = np.repeat(np.arange(len(self._cases)), [case.repeats for case in self._cases])
        self._room = cache_bytes
        self._kept: dict[int, _Loaded] = {}

    def __len__(self) -> int:
        """Patches of one pass: one of every case, or as many as it comes."""
        return len(self._members)

    def draw(
        self, positions: Sequence[int], seed: int
    ) -> tuple[npt.NDArray[np.float32], Labels, npt.NDArray[np.int64]]:
        """Regions at positions of the endless sequence, in a new random order on every pass.

        Returns
        -------
        images (b, c, [z,] y, x) float32, labels (b, [z,] y, x) uint8, grades (b,) int64

        Raises
        ------
        DatasetError
            A case's image has other dimensions than the network, or its labels have another shape than its image.
        """
        images = np.empty((len(positions), self._intensity.channels, *self._size), np.float32)
        labels = np.full((len(positions), *self._size), NOT_LOOKED_AT, np.uint8)
        grades = np.empty(len(positions), np.int64)
        for row, position in enumerate(positions):
            round_number, place = divmod(position, len(self._members))
            number = int(np.random.default_rng((seed, _ORDER, round_number)).permutation(self._members)[place])
            loaded = self._load(number)
            box = self._choose_box(loaded, np.random.default_rng((seed, _JITTER, position)))
            images[row] = region_pixels(crop(loaded.image, box), self._size, self._intensity)
            if loaded.labels is not None:
                labels[row] = _nearest(loaded.labels[tuple(slice(*side) for side in box)], self._size)
            grade = self._cases[number].grade
            grades[row] = NO_TAG if grade is None else grade
        return images, labels, grades

    def _choose_box(self, loaded: _Loaded, rng: np.random.Generator) -> Box:
        """A region in pixels of the part."""
        if loaded.tight is None:
            return tuple((0, n) for n in loaded.shape)
        tight = jittered(loaded.tight, loaded.shape, rng, shift=self._jitter.shift, size=self._jitter.size)
        box = self._rule.around(tight, loaded.shape, loaded.steps)
        return tuple((start - low, stop - low) for (start, stop), low in zip(box, loaded.first, strict=True))

    def _load(self, number: int) -> _Loaded:
        if number in self._kept:
            return self._kept[number]
        case = self._cases[number]
        image = case.load_image()
        check_dimensions(case, image, len(self._size))
        labels = self._load_labels(case, image)
        tight = self._boxes.get(case.case)
        part = tuple((0, n) for n in image.spatial_shape)
        if tight is not None:
            part = self._reach(tight, image)
        if labels is not None:
            labels = labels[tuple(slice(*side) for side in part)].copy()
        held = crop(image, part)
        needed = math.prod(held.shape) * held.dtype.itemsize + (0 if labels is None else labels.nbytes)
        first = tuple(start for start, _ in part)
        if needed > self._room:
            return _Loaded(held, labels, tight, image.spatial_shape, steps_of(image), first)
        self._room -= needed
        self._kept[number] = _Loaded(in_memory(held), labels, tight, image.spatial_shape, steps_of(image), first)
        return self._kept[number]

    def _reach(self, tight: Box, image: Image) -> Box:
        """What the region of any jittered box lies in."""
        shape = image.spatial_shape
        more = [
            math.ceil((stop - start) * (self._jitter.shift + self._jitter.size / 2)) + _ROUNDING
            for start, stop in tight
        ]
        # Its middle is that of the box, be it beyond the image's end.
        widest = tuple((start - extra, stop + extra) for (start, stop), extra in zip(tight, more, strict=True))
        around = self._rule.around(widest, shape, steps_of(image))
        return tuple(
            (max(0, start - _ROUNDING), min(n, stop + _ROUNDING))
            for (start, stop), n in zip(around, shape, strict=True)
        )

    def _load_labels(self, case: TrainingCase, image: Image) -> Labels | None:
        """Class indices; None where nobody looked or no mask is asked for."""
        values = case.load_labels() if self._index_of_value is not None and case.has_mask else None
        if values is None or self._index_of_value is None:
            return None
        check_label_shape(case, values, image)
        return self._index_of_value[values]


def check_dimensions(case: TrainingCase, image: Image, dims: int) -> None:
    """Raise `DatasetError` where an image has other axes than the network."""
    if len(image.spatial_axes) != dims:
        raise DatasetError(
            f"Case '{case.case}' has the axes '{image.spatial_axes}', but this network takes {dims}: set dims to "
            f"{len(image.spatial_axes)}, or remove the case."
        )


def in_memory(image: Image) -> Image:
    """The finest level of an image, read."""
    return replace(image, levels=(np.asarray(image.data[(slice(None),) * len(image.shape)]),))


def region_pixels(part: Image, size: tuple[int, ...], intensity: Intensity) -> npt.NDArray[np.float32]:
    """A part of an image as network input, float32 (c, *size): resampled whole, then normalised.

    The same steps as in prediction, where the engine takes the part as an image of one window.
    """
    pixels = WindowReader(part, size, choose_level(part, size)).read(tuple((0, n) for n in size))
    return intensity.normalise(pixels, intensity.prepare(part))


def _nearest(labels: Labels, size: tuple[int, ...]) -> Labels:
    """Labels at another size, as `napari_medseg.data.patches` brings them there."""
    for axis, (n, target) in enumerate(zip(labels.shape, size, strict=True)):
        if n != target:
            labels = labels.take(((np.arange(target) + 0.5) * n / target).astype(np.int64), axis=axis)
    return labels
