"""All that people drew and said on one whole slide, as training and evaluation ask for it: box by box.

Beside each other there may be a painting (`napari_medseg.data.slide_master`), contours (`slide_contours`), tags of
tiles (`tile_tags`) and a tissue mask that somebody corrected. A painted pixel counts before a contour, a contour before
the complete region that it lies in; whatever none of them covers, nobody has looked at.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from napari_medseg.data.dataset import Dataset
from napari_medseg.data.label_files import file_hash
from napari_medseg.data.naming import file_name
from napari_medseg.data.painting import Painting, open_painting
from napari_medseg.data.slide_contours import SlideContours, contours_path
from napari_medseg.data.tile_tags import TileTag, read_tile_tags, tags_path
from napari_medseg.structures import BACKGROUND, NOT_LOOKED_AT, Box, Case, MaskClass

Labels = npt.NDArray[np.uint8]

#: Endings, after the case's name, of a tissue mask that counts before the one that is found.
_TISSUE_ENDINGS = ("-tissue.zarr", "-tissue.tif", "-tissue.tiff", "-tissue.png")


@dataclass(frozen=True, slots=True, kw_only=True)
class SlideKinds:
    """What there is on a slide.

    Parameters
    ----------
    painted
        Whether any pixel was painted or erased.
    contours
        Number of contours that say something.
    regions
        Number of those that mark a complete region.
    tile_tags
        Number of tiles per tag.
    values
        Label values that painting and contours hold, 0 among them where anything was found empty; never 255.
    """

    painted: bool
    contours: int
    regions: int
    tile_tags: Mapping[str, int]
    values: frozenset[int]

    @property
    def has_mask(self) -> bool:
        """Whether any pixel was looked at."""
        return bool(self.values)


@dataclass(frozen=True, kw_only=True)
class SlideLabels:
    """Labels, tags and tissue mask of one slide; read only.

    Parameters
    ----------
    case
        The case's id.
    classes
        Classes of the data set.
    painting
        None where nobody painted.
    contours
        Empty where nobody drew any.
    tile_tags
        In the order of their file.
    tissue_path
        A mask that somebody corrected; None: the tissue is to be found.
    files
        What this was read from, for `content_hash`.
    translation
        256 values that are read instead of 0 to 255; empty: as they are.
    """

    case: str
    classes: tuple[MaskClass, ...]
    painting: Painting | None
    contours: SlideContours
    tile_tags: tuple[TileTag, ...]
    tissue_path: Path | None
    files: tuple[Path, ...]
    translation: tuple[int, ...] = ()

    @classmethod
    def open(cls, dataset: Dataset, case: Case, slide_shape: tuple[int, int]) -> SlideLabels:
        """What lies in the data set's folder of a case that is a whole slide.

        Raises
        ------
        DatasetError, ReadError, InputNotFoundError
            A file cannot be understood, or the row names labels that are missing or of another shape.
        """
        folder = dataset.labels_folder
        drawn, tagged = contours_path(folder, case.case), tags_path(folder, case.case)
        painted = dataset.current_label_path(case)
        tissue = next((p for end in _TISSUE_ENDINGS if (p := folder / f"{file_name(case.case)}{end}").exists()), None)
        return cls(
            case=case.case,
            classes=dataset.info.classes,
            painting=None if painted is None else open_painting(painted, case.case, slide_shape),
            contours=SlideContours.read(drawn),
            tile_tags=read_tile_tags(tagged),
            tissue_path=tissue,
            files=tuple(p for p in (painted, drawn, tagged, tissue) if p is not None and p.exists()),
        )

    def read(self, box: Box, downsample: float) -> Labels:
        """Labels of a part of the slide.

        Parameters
        ----------
        box
            ``((y0, y1), (x0, x1))`` in level-0 pixels, inside the slide.
        downsample
            Level-0 pixels per pixel of the result, above 0; it need not be whole.

        Returns
        -------
        uint8 (y, x) of the box's sides divided by `downsample`, rounded, at least 1; each pixel is that of its centre.
        """
        shape = tuple(max(1, round((stop - start) / downsample)) for start, stop in box)
        labels = self.contours.filled(box, max(downsample, 1.0), self._spoken)
        if labels.shape != shape:
            # Finer than the slide itself: pixels are repeated.
            rows, columns = (
                ((np.arange(n) + 0.5) * have / n).astype(np.int64) for n, have in zip(shape, labels.shape, strict=True)
            )
            labels = labels[np.ix_(rows, columns)]
        if self.painting is not None:
            painted = self.painting.read(box, shape)
            np.copyto(labels, painted, where=painted != NOT_LOOKED_AT)
        return np.asarray(self.translation, np.uint8)[labels] if self.translation else labels

    @cached_property
    def _spoken(self) -> npt.NDArray[np.int16]:
        """What every contour says, found once: there may be 100,000."""
        return self.contours.class_values(self.classes)

    @cached_property
    def _kinds(self) -> SlideKinds:
        spoken = self._spoken
        values = {int(v) for v in spoken} - {-1, NOT_LOOKED_AT}
        painted = self.painting.values() if self.painting is not None else frozenset[int]()
        return SlideKinds(
            painted=bool(painted),
            contours=int(((spoken >= 0) & (spoken != NOT_LOOKED_AT)).sum()),
            regions=int((spoken == BACKGROUND).sum()),
            tile_tags=Counter(tile.tag for tile in self.tile_tags),
            values=frozenset(values) | painted,
        )

    def kinds(self) -> SlideKinds:
        """What there is; painted chunks are read once."""
        return self._kinds

    def drawn_boxes(self) -> npt.NDArray[np.float64]:
        """Boxes outside of which every pixel is 255: float64 (n, 4) of y0, y1, x0, x1 in level-0 pixels."""
        boxes = self.contours.boxes()[(self._spoken >= 0) & (self._spoken != NOT_LOOKED_AT)]
        if self.painting is None:
            return np.asarray(boxes)
        return np.concatenate([boxes, self.painting.boxes()])

    def content_hash(self) -> str:
        """Changes when anything of it does."""
        digest = hashlib.blake2b(digest_size=16)
        for path in self.files:
            digest.update(f"{path.name}\0{file_hash(path)}\0".encode())
        return digest.hexdigest()

    def translated(self, value_of: Labels) -> SlideLabels:
        """The same labels in other values, uint8 (256,) by value; classes stay as they are called here."""
        return replace(self, translation=tuple(int(value) for value in value_of))


def working_box(box: Box, slide_shape: tuple[int, ...], working: tuple[int, ...]) -> tuple[Box, float]:
    """What to ask `SlideLabels.read` for, to get the labels of a box of a coarser grid over the same slide.

    Parameters
    ----------
    box
        In pixels of the grid.
    slide_shape, working
        Rows and columns of level 0 and of the grid.

    Returns
    -------
    box in level-0 pixels, off by at most half of one; level-0 pixels per pixel of the grid.
    """
    steps = [n / w for n, w in zip(slide_shape, working, strict=True)]
    downsample = math.sqrt(steps[0] * steps[1])
    found = []
    for (start, stop), step, n in zip(box, steps, slide_shape, strict=True):
        low = min(round(start * step), n - 1)
        found.append((low, low + max(1, round((stop - start) * downsample))))
    return tuple(found), downsample
