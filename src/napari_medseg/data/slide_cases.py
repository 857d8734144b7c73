"""Cases of a data set that are whole slides: how they are told from pictures, opened and hashed."""

from __future__ import annotations

import hashlib
import math
import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import NoReturn

import numpy as np
import numpy.typing as npt

from napari_medseg.data.dataset import Dataset
from napari_medseg.data.label_files import file_signature
from napari_medseg.data.slide_contours import contours_path
from napari_medseg.data.slide_labels import SlideLabels
from napari_medseg.data.slide_master import is_slide_master
from napari_medseg.data.tile_tags import tags_path
from napari_medseg.data.tissue import find_tissue
from napari_medseg.data.whole_slides import WholeSlide
from napari_medseg.errors import DatasetError
from napari_medseg.io import read_labels
from napari_medseg.io.address import address_of
from napari_medseg.io.slide.facts import is_slide
from napari_medseg.io.slide.remote_zarr import address_hash
from napari_medseg.structures import NOT_LOOKED_AT, Case, Image, Split

Mask = npt.NDArray[np.bool_]

#: Kinds of data sets whose images may be slides.
_KINDS = ("image", "slide")
#: In a data set of slides every picture is called one: only those with levels, or of more pixels, are worked on so.
_SMALL_PIXELS = 4096**2
#: A slide is told from others by its size and this much of it: files of gigabytes lie on slow disks.
_HASHED_BLOCKS, _HASHED_BYTES = 64, 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedSlide:
    """The image of a slide, whose pixels are read when asked for, and what was drawn on it."""

    image: Image
    labels: SlideLabels


def open_slide(dataset: Dataset, case: Case) -> OpenedSlide | None:
    """A case that is a whole slide, opened; None for any other case.

    Raises
    ------
    MedsegError
        The image, or what was drawn on it, cannot be read or does not fit.
    """
    image = slide_image(dataset, case)
    if image is None:
        return None
    rows, columns = image.spatial_shape
    return OpenedSlide(image=image, labels=SlideLabels.open(dataset, case, (rows, columns)))


def slide_image(dataset: Dataset, case: Case) -> Image | None:
    """The image of a case that is a whole slide, whose pixels are read when asked for; None for any other case.

    Raises
    ------
    MedsegError
        The image cannot be read.
    """
    if case.region or dataset.info.kind not in _KINDS or _is_known_as_picture(dataset.image_path(case)):
        return None
    image = dataset.read_image(case)
    if is_slide(image) and (is_large(image) or _has_slide_labels(dataset, case)):
        return image
    if not is_slide(image) and image.path is not None:
        _remember_picture(image.path)
    return None


def whole_slide(dataset: Dataset, case: Case, slide: OpenedSlide, *, split: Split, grade: int | None) -> WholeSlide:
    """A slide as training sees it.

    Parameters
    ----------
    case
        Its row; a tag of it is that of the slide as a whole.
    slide
        As `open_slide` gives it.
    split, grade
        As in `TrainingCase`.
    """
    image, labels = slide.image, slide.labels
    image_hash = _hash_of(slide_hash(dataset.image_path(case)), str(image.series))

    def refuse() -> NoReturn:
        raise DatasetError(
            f"Case '{case.case}' is a whole slide, which is only read piece by piece: give it a region in the column "
            "'region', or train with scheme 'pathology'."
        )

    return WholeSlide(
        case=case.case,
        group=case.group or case.case,
        source=case.source,
        split=split,
        tag=case.tag or None,
        grade=grade,
        has_mask=labels.kinds().has_mask,
        load_image=lambda: image,
        load_labels=refuse,
        content_hash=_hash_of(image_hash, labels.content_hash(), case.tag, case.grade, split),
        image_hash=image_hash,
        labels=labels,
        load_tissue=lru_cache(maxsize=1)(lambda: tissue_of(image, labels.tissue_path)),
    )


def tissue_of(image: Image, corrected: Path | None) -> Mask:
    """The tissue of a slide: as somebody corrected it, else as it is found.

    Raises
    ------
    DatasetError
        The corrected mask has not two axes.
    ReadError, InputNotFoundError
        The mask or the slide cannot be read.
    """
    if corrected is None:
        return find_tissue(image).mask
    labels = np.asarray(read_labels(corrected).labels)
    if labels.ndim != 2:
        raise DatasetError(f"Tissue in {corrected} has {labels.ndim} axes, a slide 2: replace it, or remove it.")
    return np.asarray((labels != 0) & (labels != NOT_LOOKED_AT))


def slide_hash(path: Path) -> str:
    """Tells the files of slides apart by their size and by blocks from all over them; addresses by their metadata."""
    if (address := address_of(path)) is not None:
        return address_hash(address)
    stat = path.stat()
    return _slide_hash(path, stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=65536)
def _slide_hash(path: Path, size: int, modified: int) -> str:
    digest = hashlib.blake2b(str(size).encode(), digest_size=16)
    if path.is_dir():
        for name, length, _ in file_signature(path):
            digest.update(f"{os.path.relpath(name, path)}\0{length}\0".encode())
        return digest.hexdigest()
    with path.open("rb") as file:
        for place in np.unique(np.linspace(0, max(0, size - _HASHED_BYTES), _HASHED_BLOCKS).astype(np.int64)):
            file.seek(int(place))
            digest.update(file.read(_HASHED_BYTES))
    return digest.hexdigest()


def _hash_of(*parts: str) -> str:
    return hashlib.blake2b("\0".join(parts).encode(), digest_size=16).hexdigest()


def is_large(image: Image) -> bool:
    """Whether a slide is worked on as one, unless it was drawn on as a picture."""
    return len(image.levels) > 1 or math.prod(image.spatial_shape) > _SMALL_PIXELS


def _has_slide_labels(dataset: Dataset, case: Case) -> bool:
    folder = dataset.labels_folder
    if contours_path(folder, case.case).exists() or tags_path(folder, case.case).exists():
        return True
    painted = dataset.current_label_path(case)
    return painted is not None and is_slide_master(painted)


#: Pictures that were opened and are no slides, with the time of their last change: opening thousands takes its time.
_PICTURES: dict[Path, int] = {}


def _remember_picture(path: Path) -> None:
    _PICTURES[path.absolute()] = path.stat().st_mtime_ns


def _is_known_as_picture(path: Path) -> bool:
    known = _PICTURES.get(path.absolute())
    return known is not None and path.exists() and path.stat().st_mtime_ns == known
