"""What the contours of a slide say of its pixels, at any resolution and for any part of it.

``labels/<case>.geojson`` holds contours in pixels of the finest level (`napari_medseg.io.contour_file`). A contour of a
class says that its pixels are of that class. A contour of class ``Region*``, QuPath's own word for it, says that
everything inside it was drawn: what no contour covers there is background. A contour of a class that the data set does
not have (``Ignore*``, an artefact) says that nothing is known below it. A contour without a class says nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_medseg.data.naming import file_name
from napari_medseg.data.polygon_filling import Areas, areas_of, fill
from napari_medseg.io.contour_file import Contour, ContourFile, read_contours, write_contours
from napari_medseg.structures import BACKGROUND, NOT_LOOKED_AT, MaskClass

#: ``(start, stop)`` along y and x in pixels of the finest level, whole or not.
Extent = tuple[tuple[float, float], ...]

#: QuPath's name of the class that marks a region.
REGION = "Region*"
#: Value of a contour that says nothing of its pixels.
_SILENT = -1


def contours_path(labels_folder: Path, case_id: str) -> Path:
    """Where the contours of a case lie; the file need not exist."""
    return labels_folder / f"{file_name(case_id)}.geojson"


@dataclass(frozen=True, kw_only=True)
class SlideContours:
    """All contours of a slide, in the order in which they were drawn: later ones lie on top.

    Parameters
    ----------
    contours
        Areas.
    others
        Features that are no areas, kept as they were read; see `ContourFile`.
    """

    contours: tuple[Contour, ...] = ()
    others: tuple[tuple[int, Mapping[str, Any]], ...] = ()

    @classmethod
    def read(cls, path: Path) -> SlideContours:
        """The contours of a file; a file that does not exist holds none.

        Raises
        ------
        ReadError
            It is no GeoJSON.
        """
        if not path.exists():
            return cls()
        found = read_contours(path)
        return cls(contours=found.contours, others=found.others)

    def write(self, path: Path) -> None:
        """Write all of it in one step; raises `WriteError`."""
        write_contours(path, ContourFile(contours=self.contours, others=self.others))

    def boxes(self) -> npt.NDArray[np.float64]:
        """Least y, largest y, least x, largest x of every contour, float64 (contours, 4), in pixels of level 0."""
        if not self.contours:
            return np.empty((0, 4))
        low_y, high_y, low_x, high_x = self._areas.boxes.T
        begins = np.flatnonzero(np.diff(self._owners, prepend=-1))
        least, largest = np.minimum.reduceat, np.maximum.reduceat
        return np.stack(
            [least(low_y, begins), largest(high_y, begins), least(low_x, begins), largest(high_x, begins)], axis=1
        )

    def class_values(self, classes: Sequence[MaskClass]) -> npt.NDArray[np.int16]:
        """What every contour says of its pixels, int16 (contours,).

        Returns
        -------
        the value of its class, 0 for a region that is complete, 255 for a class that is not among `classes`, -1 where
        it says nothing.
        """
        values = {c.name: c.value for c in classes}
        return np.array([_value(contour, values) for contour in self.contours], np.int16)

    def labels(self, box: Extent, downsample: float, classes: Sequence[MaskClass]) -> npt.NDArray[np.uint8]:
        """What the contours say of a part of the slide.

        Parameters
        ----------
        box
            ``((y0, y1), (x0, x1))`` in pixels of the finest level, whole or not; it may reach beyond the slide.
        downsample
            Pixels of the finest level per pixel of the result, 1 or more; it need not be whole.
        classes
            Classes of the data set, found by name; for QuPath's derived classes ("Tumor: Positive") the name that they
            derive from counts too.

        Returns
        -------
        uint8 (y, x) of the box's sides divided by `downsample`, rounded, at least 1: each pixel has the value of the
        uppermost contour that holds its centre, 0 where only a complete region does, else 255.
        """
        return self.filled(box, downsample, self.class_values(classes))

    def filled(self, box: Extent, downsample: float, values: npt.NDArray[np.int16]) -> npt.NDArray[np.uint8]:
        """`labels` with a value for each contour, as `class_values` gives them; those below 0 are left out."""
        low = np.array([start for start, _ in box], np.float64)
        sides = np.array([stop - start for start, stop in box], np.float64)
        shape = tuple(max(1, round(side / downsample)) for side in sides.tolist())
        out = np.full(shape, NOT_LOOKED_AT, np.uint8)
        values = values[self._owners]
        chosen = np.flatnonzero(self._areas.touching(box) & (values != _SILENT))
        # Regions lie below all else, whenever they were drawn.
        chosen = np.concatenate([chosen[values[chosen] == BACKGROUND], chosen[values[chosen] != BACKGROUND]])
        fill(out, self._areas, chosen, values[chosen].astype(np.uint8), low, sides / shape)
        return out

    @cached_property
    def _areas(self) -> Areas:
        """The parts of all contours."""
        return areas_of([(part.outer, *part.holes) for contour in self.contours for part in contour.parts])

    @cached_property
    def _owners(self) -> npt.NDArray[np.intp]:
        """Number of the contour that each area is a part of."""
        return np.repeat(np.arange(len(self.contours)), [len(contour.parts) for contour in self.contours])


def _value(contour: Contour, values: Mapping[str, int]) -> int:
    names = contour.class_names
    if not names:
        return _SILENT
    if contour.class_name == REGION:
        return BACKGROUND
    # QuPath writes a derived class as several names, older versions as one.
    parts = contour.class_name.split(": ")
    bases = (": ".join(parts[:count]) for count in range(len(parts), 0, -1))
    return next((values[base] for base in bases if base in values), NOT_LOOKED_AT)
