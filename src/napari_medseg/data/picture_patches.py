"""Training patches that are whole pictures, brought to the network's input size; of a stack, one of its frames."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from napari_medseg.data.cropping import crop
from napari_medseg.data.intensity import Intensity
from napari_medseg.data.resampling import WindowReader, choose_level
from napari_medseg.errors import DatasetError
from napari_medseg.structures import NOT_LOOKED_AT, Image, TrainingCase

_ORDER, _FRAME = 0, 1


class PicturePatches:
    """Whole pictures of training cases, a `training.stage.PatchSource` without masks.

    Parameters
    ----------
    cases
        Training cases; at least one. Images have two spatial axes, or a leading one of frames, of which one is drawn.
    targets
        Index of the tag of every case.
    image_of
        Reads a case's picture, cut to what the network shall see.
    size
        Of the network's input, (y, x).
    intensity
        Maps pixels to network input.
    cache_bytes
        Most memory for resampled pictures; those that find no room, and stacks, are read again each time.
    """

    def __init__(
        self,
        cases: Sequence[TrainingCase],
        targets: Sequence[int],
        image_of: Callable[[TrainingCase], Image],
        *,
        size: tuple[int, int],
        intensity: Intensity,
        cache_bytes: int = 2 << 30,
    ) -> None:
        if not cases:
            raise DatasetError("There is no case to train on: tag a case of the training split and mark it as done.")
        self._cases, self._targets, self._image_of = tuple(cases), tuple(targets), image_of
        self._members = np.repeat(np.arange(len(self._cases)), [case.repeats for case in self._cases])
        self._size, self._intensity, self._room = size, intensity, cache_bytes
        self._kept: dict[int, npt.NDArray[np.float32]] = {}

    def __len__(self) -> int:
        """Patches of one pass: one of every case, or as many as it comes."""
        return len(self._members)

    def draw(
        self, positions: Sequence[int], seed: int
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
        """Pictures at positions of the endless sequence, in a new random order on every pass.

        Returns
        -------
        images (b, c, y, x) float32, labels (b, y, x) uint8 of 255, tags (b,) int64

        Raises
        ------
        DatasetError
            A case's image is no picture and no stack of them.
        """
        images = np.empty((len(positions), self._intensity.channels, *self._size), np.float32)
        tags = np.empty(len(positions), np.int64)
        for row, position in enumerate(positions):
            round_number, place = divmod(position, len(self._members))
            number = int(np.random.default_rng((seed, _ORDER, round_number)).permutation(self._members)[place])
            images[row] = self._picture(number, np.random.default_rng((seed, _FRAME, position)))
            tags[row] = self._targets[number]
        return images, np.full((len(positions), *self._size), NOT_LOOKED_AT, np.uint8), tags

    def _picture(self, number: int, rng: np.random.Generator) -> npt.NDArray[np.float32]:
        """Network input (c, y, x)."""
        if number in self._kept:
            return self._kept[number]
        case = self._cases[number]
        image = self._image_of(case)
        check_picture(case, image)
        if len(image.spatial_shape) == 3:
            frame = int(rng.integers(image.spatial_shape[0]))
            return self._resampled(crop(image, ((frame, frame + 1), *((0, n) for n in image.spatial_shape[1:]))))
        pixels = self._resampled(image)
        if pixels.nbytes <= self._room:
            self._room -= pixels.nbytes
            self._kept[number] = pixels
        return pixels

    def _resampled(self, image: Image) -> npt.NDArray[np.float32]:
        """As the engine brings a picture to one window."""
        shape = (*image.spatial_shape[:-2], *self._size)
        pixels = WindowReader(image, shape, choose_level(image, shape)).read(tuple((0, n) for n in shape))
        pixels = pixels.reshape(len(pixels), *self._size)
        return self._intensity.normalise(pixels, self._intensity.prepare(image))


def check_picture(case: TrainingCase, image: Image) -> None:
    """Raise `DatasetError` where an image is neither a picture nor a stack of pictures."""
    if len(image.spatial_axes) not in (2, 3):
        raise DatasetError(
            f"Case '{case.case}' has the axes '{image.spatial_axes}', but this network takes pictures: remove the case."
        )
