"""The painting of a whole slide: a sparse OME-Zarr label with all its levels, at a fixed resolution.

A slide is painted at a *working level*, a whole factor coarser than its file: what a person can see and draw, at a
size that a disk can hold. Chunks that nobody painted have no file, so an empty master of any slide takes a few
kilobytes. All levels lie in one folder, so that a zoomed-out view reads few pixels, and other programs open it.

Killed at any moment, it holds whole chunks of the finest level, old or new. Which coarser pixels were still to be
made from them is noted in a small file first, and made up for by the next write (or `SlideMaster.mend`).
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from napari_medseg.data.label_layout import OWN_KEY, chunk_shape, ome_attributes, own_attributes, slices
from napari_medseg.data.label_store import Labels, LabelStore, new_level
from napari_medseg.errors import InputNotFoundError, ReadError
from napari_medseg.io.halving import halved_by_choice
from napari_medseg.structures import Box, MaskClass

#: Levels are added until both sides are at most this long.
_COARSEST = 512
#: File inside the store: boxes, as ``y0 y1 x0 x1``, whose coarser pixels are still to be made.
_PENDING = "pending.txt"


class SlideMaster(LabelStore):
    """The painting of a slide on disk; nothing is written before the first `write`.

    Pixel k of the master stands for the level-0 pixels k · downsample up to (k + 1) · downsample of the slide, along
    both axes; the last ones may reach over the slide's end. Boxes are in pixels of the master.

    Parameters
    ----------
    path
        The zarr folder, ``labels/<case>.zarr``.
    slide_shape
        Rows and columns of the slide's level 0.
    downsample
        Level-0 pixels along a side of a pixel of the master.
    case, classes
        As in `LabelStore`.
    spacing, units
        Of the slide's level 0, (y, x); None where not known.
    imported, conflicts, closed
        As in `LabelStore`.

    Examples
    --------
    >>> import tempfile
    >>> master = SlideMaster.create(Path(tempfile.mkdtemp()) / "a.zarr", (80_000, 100_000), 4, case="a")
    >>> master.write(((7000, 7002), (9000, 9003)), np.ones((2, 3), np.uint8))
    >>> master.shape, master.painted()
    ((20000, 25000), [((6656, 7168), (8704, 9216))])
    """

    def __init__(
        self,
        path: Path,
        slide_shape: Sequence[int],
        downsample: int,
        *,
        case: str,
        classes: Sequence[MaskClass] = (),
        imported: Path | None = None,
        spacing: Sequence[float] | None = None,
        units: Sequence[str] | None = None,
        conflicts: Path | None = None,
        closed: Callable[[], str] = str,
    ) -> None:
        if downsample < 1 or len(slide_shape) != 2:
            raise ValueError(f"A master has 2 axes and a whole downsample from 1 on, got {slide_shape}, {downsample}.")
        self.slide_shape = (int(slide_shape[0]), int(slide_shape[1]))
        self.downsample = int(downsample)
        super().__init__(
            path,
            [math.ceil(n / downsample) for n in self.slide_shape],
            case=case,
            classes=classes,
            imported=imported,
            spacing=None if spacing is None else [step * downsample for step in spacing],
            units=units,
            conflicts=conflicts,
            closed=closed,
        )

    @classmethod
    def create(cls, path: str | os.PathLike[str], slide_shape: Sequence[int], downsample: int, **more: Any) -> Self:
        """Make an empty master on disk; what is there already stays.

        Parameters
        ----------
        path, slide_shape, downsample
            As for the class.
        more
            Its further parameters.

        Raises
        ------
        WriteError, LockedError
            The folder cannot be written.
        """
        master = cls(Path(path), slide_shape, downsample, **more)
        with master._writing():
            return master

    @classmethod
    def open(cls, path: str | os.PathLike[str], **more: Any) -> Self:
        """Open a master that exists; `more` are further parameters of the class, but for those that it tells itself.

        Raises
        ------
        InputNotFoundError, ReadError
            There is none, or what is there is no master of a slide.
        """
        place = Path(path)
        if not place.exists():
            raise InputNotFoundError(f"There is no painting {place}: restore it or paint on the slide.")
        noted = own_attributes(place)
        try:
            rows, columns = (int(n) for n in noted["slide_shape"])
            downsample, case = int(noted["downsample"]), str(noted["case"])
        except (KeyError, TypeError, ValueError) as error:
            raise ReadError(
                f"{place} is not the painting of a whole slide: it does not tell its resolution."
            ) from error
        return cls(place, (rows, columns), downsample, case=case, **more)

    @property
    def levels(self) -> tuple[Any, ...]:
        """The zarr arrays of all levels, finest first, to read from; empty before the first write."""
        if not self.exists:
            return ()
        import zarr

        group = zarr.open_group(self.path, mode="r")
        return tuple(group[str(level)] for level in range(len(self.level_shapes)))

    @property
    def level_shapes(self) -> tuple[tuple[int, int], ...]:
        """Rows and columns of all levels, finest first; each has every second row and column of the one before."""
        return tuple(_level_shapes((self.shape[0], self.shape[1])))

    def read(self, box: Box | None = None) -> Labels:
        """Labels of a box, uint8 (y, x), as a new array: 255 where nobody painted; None for the whole slide.

        Raises
        ------
        ReadError
            A chunk is damaged.
        """
        return self.read_box(box or tuple((0, n) for n in self.shape))

    def write(self, box: Box, labels: npt.ArrayLike) -> None:
        """Save the labels of a box, in all levels; raises as `write_box`."""
        self.write_box(box, labels)

    def painted(self) -> list[Box]:
        """Boxes of the chunks that hold anything but 255, from top to bottom."""
        return [
            tuple((i * size, min((i + 1) * size, n)) for i, size, n in zip(index, self.chunks, self.shape, strict=True))
            for index in sorted(self._painted_chunks())
        ]

    def mend(self) -> None:
        """Make the coarser pixels that a killed program still had to make; raises `WriteError` or `LockedError`."""
        if (self.path / _PENDING).exists():
            with self._writing():
                pass

    def _painted_chunks(self) -> Iterator[tuple[int, int]]:
        for row in _numbered(self.path / "0" / "c"):
            for column in _numbered(row):
                yield int(row.name), int(column.name)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """As for other stores; afterwards the coarser levels show what was written."""
        with super()._locked():
            # Of a killed program, or of one whose disk was full.
            self._halve_pending()
            yield
            self._halve_pending()

    def _put(self, array: Any, chunk_box: Box, chunk: Labels) -> None:
        """Replace a chunk, after a note that coarser pixels have to follow."""
        with (self.path / _PENDING).open("a", encoding="ascii") as file:
            file.write(" ".join(str(end) for side in chunk_box for end in side) + "\n")
        super()._put(array, chunk_box, chunk)

    def _halve_pending(self) -> None:
        """Make the coarser pixels of the boxes that are noted, all together: they lie beside each other."""
        note = self.path / _PENDING
        if not note.exists():
            return
        # The last line may have been cut short; its chunk was not written then.
        ends = np.array([line.split() for line in note.read_text("ascii").splitlines() if len(line.split()) == 4], int)
        if len(ends):
            first, last = ends.min(axis=0), ends.max(axis=0)
            self._halve(self._group(), ((int(first[0]), int(last[1])), (int(first[2]), int(last[3]))))
        note.unlink()

    def _halve(self, group: Any, box: Box) -> None:
        """Make all coarser pixels of a box whose chunks of the finest level are written."""
        pixels = np.asarray(group["0"][slices(box)])
        corner = [start for start, _ in box]
        for level in range(1, len(self.level_shapes)):
            # Coarser pixel k is finer pixel 2 k, so the first one inside is the next even one.
            pixels = halved_by_choice(pixels[corner[0] % 2 :, corner[1] % 2 :])
            corner = [(start + 1) // 2 for start in corner]
            if not pixels.size:
                break
            ends = [start + n for start, n in zip(corner, pixels.shape, strict=True)]
            group[str(level)][corner[0] : ends[0], corner[1] : ends[1]] = pixels

    def _make_arrays(self, group: Any) -> None:
        for level, shape in enumerate(self.level_shapes[1:], start=1):
            new_level(group, level, shape, chunk_shape(shape))
        super()._make_arrays(group)
        if self.imported is not None:
            for band in self.bands():
                self._halve(group, band)

    def _attributes(self) -> dict[str, Any]:
        # The middle of the first pixel, in pixels of the master.
        middle = (self.downsample - 1) / (2 * self.downsample)
        scale = self.spacing if self.spacing is not None else [float(self.downsample)] * 2
        levels = len(self.level_shapes)
        ome = ome_attributes(self.shape, self.classes, self.case, scale, self.units, (middle, middle), levels)
        own = super()._attributes()[OWN_KEY]
        return {"ome": ome, OWN_KEY: {**own, "downsample": self.downsample, "slide_shape": [*self.slide_shape]}}


def is_slide_master(path: Path) -> bool:
    """Whether a label image is the painting of a whole slide."""
    return "downsample" in own_attributes(path)


def _level_shapes(finest: tuple[int, int]) -> Iterator[tuple[int, int]]:
    yield finest
    while max(finest) > _COARSEST:
        finest = ((finest[0] + 1) // 2, (finest[1] + 1) // 2)
        yield finest


def _numbered(folder: Path) -> list[Path]:
    """What lies in a folder and is named by a number alone; zarr's unfinished files are not."""
    return [path for path in folder.iterdir() if path.name.isdigit()] if folder.is_dir() else []
