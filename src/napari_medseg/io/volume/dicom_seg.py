"""DICOM segmentations (SEG) as label volumes, whoever wrote them; nothing of the patient leaves this file.

Frames of a SEG are planes of segments, and planes without any voxel are usually left out. They are put back where their
places say. The grid is that of the planes there are: `regrid.onto_grid` brings it onto the image's.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_medseg.errors import ReadError
from napari_medseg.io.lazy import LazyArray
from napari_medseg.io.oct.dicom import quiet
from napari_medseg.io.volume.nifti import CLASSES_KEY
from napari_medseg.io.volume.space import Affine, from_slices
from napari_medseg.io.volume.volume import volume_image
from napari_medseg.structures import NOT_LOOKED_AT, Image, MaskClass

if TYPE_CHECKING:
    from pydicom import Dataset

#: Segmentation Storage, and Label Map Segmentation Storage.
SEG_CLASSES = ("1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7")
#: How a segment's description names the value that its label had.
VALUE_TEXT = "label value {}"
_VALUE = re.compile(r"^label value (\d{1,3})$")
#: Planes lie on a grid within this share of its step.
_ON_GRID = 0.05
_GREY = "#9e9e9e"


def is_seg_name(path: Path) -> bool:
    """Whether a name asks for DICOM SEG: ``.dcm``."""
    return path.suffix.lower() == ".dcm"


@dataclass(frozen=True, slots=True)
class _Planes:
    """Where the frames lie: the index of each frame's plane, how many planes there are, and the affine."""

    indices: list[int]
    count: int
    affine: Affine


def read_seg(path: Path) -> Image:
    """Read a SEG file as a label image with classes.

    Parameters
    ----------
    path
        The file; binary, fractional (from half of the highest value on) or label map.

    Returns
    -------
    uint8 image of axes ``"zyx"`` or ``"yx"`` in millimetres; a segment's value is the one that it was exported
    with, else its number. Where segments overlap the later one is shown, and a warning says so

    Raises
    ------
    ReadError
        It is damaged, lies in no place, or holds more segments than labels have values.
    """
    from pydicom import dcmread

    try:
        with quiet():
            dataset = dcmread(path)
            frames = np.asarray(dataset.pixel_array)
            planes = _planes_of(dataset)
            segments = {int(item.SegmentNumber): item for item in dataset.SegmentSequence}
    except Exception:
        # Parsers of damaged files raise whatever they like, and their words may quote a name.
        raise ReadError(
            f"{path} is a DICOM segmentation that is damaged or lies in no place: export it again from its source."
        ) from None
    if planes is None:
        raise ReadError(f"{path} is a DICOM segmentation with uneven planes: export it as NIfTI on the image's grid.")
    classes = _classes(path, segments)
    frames = frames.reshape(-1, *frames.shape[-2:])
    labels, told = _labels(dataset, frames, planes, {number: c.value for number, c in classes.items()})
    lazy = LazyArray(labels.shape, labels.dtype, labels.__getitem__, source=str(path))
    text = json.dumps([asdict(c) for c in classes.values()])
    return volume_image(path, lazy, planes.affine, warnings=told, metadata={CLASSES_KEY: text})


def _labels(
    dataset: Dataset, frames: npt.NDArray[Any], planes: _Planes, values: dict[int, int]
) -> tuple[npt.NDArray[np.uint8], list[str]]:
    """Frames in their planes, (z, y, x), and what is odd about them."""
    labels = np.zeros((planes.count, *frames.shape[1:]), np.uint8)
    kind = str(dataset.get("SegmentationType", "BINARY"))
    least = max(1, (int(dataset.get("MaximumFractionalValue", 1)) + 1) // 2) if kind == "FRACTIONAL" else 1
    overlap = 0
    for frame, plane, group in zip(frames, planes.indices, dataset.PerFrameFunctionalGroupsSequence, strict=True):
        if kind == "LABELMAP":
            for number, value in values.items():
                labels[plane][frame == number] = value
            continue
        drawn = frame >= least
        overlap += int(np.count_nonzero(labels[plane][drawn]))
        labels[plane][drawn] = values[_segment_number(dataset, group)]
    return labels, [f"Segments overlap in {overlap} voxels: the later one is shown there."] if overlap else []


def _segment_number(dataset: Dataset, group: Dataset) -> int:
    shared = dataset.SharedFunctionalGroupsSequence[0]
    items = group.get("SegmentIdentificationSequence") or shared.SegmentIdentificationSequence
    return int(items[0].ReferencedSegmentNumber)


def _classes(path: Path, segments: dict[int, Dataset]) -> dict[int, MaskClass]:
    """Classes by the number of their segment."""
    numbers = [number for number in sorted(segments) if number > 0]
    if not numbers or len(numbers) >= NOT_LOOKED_AT:
        raise ReadError(f"{path} holds {len(numbers)} segments, and labels have 1 to 254: export some of them.")
    kept = [_VALUE.match(str(segments[number].get("SegmentDescription", ""))) for number in numbers]
    values = [int(match[1]) for match in kept if match]
    is_whole = len(set(values)) == len(numbers) and all(0 < value < NOT_LOOKED_AT for value in values)
    names = [str(segments[number].get("SegmentLabel", "")) or f"segment {number}" for number in numbers]
    return {
        number: MaskClass(value=values[at] if is_whole else at + 1, name=names[at], color=_color(segments[number]))
        for at, number in enumerate(numbers)
    }


def _color(segment: Dataset) -> str:
    """The colour that the file recommends, as sRGB; DICOM scales CIELab to 16 bits (PS3.3 C.10.7.1.1)."""
    from skimage.color import lab2rgb

    lab = segment.get("RecommendedDisplayCIELabValue")
    if lab is None or len(lab) != 3:
        return _GREY
    light, *tints = (float(part) / 65535 for part in lab)
    rgb = lab2rgb(np.array([[100 * light, *(255 * tint - 128 for tint in tints)]]))[0]
    return "#{:02x}{:02x}{:02x}".format(*(round(255 * part) for part in rgb))


def _planes_of(dataset: Dataset) -> _Planes | None:
    """Where frames lie; None where planes are no even stack."""
    shared = dataset.SharedFunctionalGroupsSequence[0]
    own = dataset.PerFrameFunctionalGroupsSequence
    orientation = [float(part) for part in _item(own[0], shared, "PlaneOrientationSequence").ImageOrientationPatient]
    measures = _item(own[0], shared, "PixelMeasuresSequence")
    spacing = [float(part) for part in measures.PixelSpacing]
    places = np.array(
        [[float(p) for p in _item(group, shared, "PlanePositionSequence").ImagePositionPatient] for group in own]
    )
    normal = np.cross(orientation[:3], orientation[3:])
    depths = places @ normal
    between = measures.get("SpacingBetweenSlices")
    gap = _gap(depths, None if between is None else abs(float(between)))
    if gap is None:
        between_or_thick = between if between is not None else measures.get("SliceThickness")
        step = normal * (abs(float(between_or_thick)) if between_or_thick is not None else 1.0)
        return _Planes([0] * len(own), 1, from_slices(places[0], step, orientation, spacing))
    first, last = int(depths.argmin()), int(depths.argmax())
    exact = (depths - depths[first]) / gap
    indices = np.round(exact).astype(int)
    step = (places[last] - places[first]) / indices[last]
    if np.abs(places - places[first] - indices[:, np.newaxis] * step).max() > _ON_GRID * gap:
        return None
    affine = from_slices(places[first], step, orientation, spacing)
    return _Planes(indices.tolist(), int(indices[last]) + 1, affine)


def _gap(depths: npt.NDArray[np.float64], between: float | None) -> float | None:
    """Distance of neighbouring planes; None where there is only one.

    What the header says counts where the planes confirm it: the planes there are may all be two steps apart.
    """
    gaps = np.diff(np.unique(np.round(depths, 4)))
    if not gaps.size:
        return None
    if between:
        steps = gaps / between
        if np.all(np.abs(steps - np.round(steps)) <= _ON_GRID) and steps.min() > 0.5:
            return between
    return float(gaps.min())


def _item(group: Dataset, shared: Dataset, name: str) -> Any:
    """The item of a functional group, the frame's own before the shared one."""
    items: Sequence[Any] = group.get(name) or shared[name].value
    return items[0]
