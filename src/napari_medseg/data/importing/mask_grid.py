"""Masks brought onto the grid of their image, when a person asks for it or nothing is lost by it."""

from __future__ import annotations

from pathlib import Path

from napari_medseg.data.importing.plan import DrawnMask
from napari_medseg.data.label_files import shape_text
from napari_medseg.errors import DatasetError
from napari_medseg.io import read_labels
from napari_medseg.io.volume.regrid import onto_grid
from napari_medseg.io.volume.space import is_same_place
from napari_medseg.structures import ArrayLike, Image


def mask_on_image(mask: Path | DrawnMask, image: Image, *, resample: bool) -> tuple[ArrayLike, str]:
    """A mask's labels on the grid of its image, and what resampling did, in a sentence (empty where nothing).

    A grid that shares its voxels with the image's is no obstacle: DICOM SEG leaves empty planes out.

    Raises
    ------
    DatasetError
        The mask lies on another grid and `resample` is not set, or does not say where it lies.
    InputNotFoundError, ReadError
        It cannot be read.
    """
    if isinstance(mask, DrawnMask):
        return mask.draw(image.spatial_shape), ""
    found = read_labels(mask)
    labels, here, there = found.labels, image.affine, found.affine
    is_same_shape = tuple(labels.shape) == image.spatial_shape
    if is_same_shape and (here is None or there is None or is_same_place(here, there, image.spatial_shape)):
        return labels, ""
    sizes = f"mask {mask} has {shape_text(tuple(labels.shape))} pixels but its image {shape_text(image.spatial_shape)}"
    if here is None or there is None:
        raise DatasetError(sizes)
    moved = onto_grid(labels, there, here, image.spatial_shape)
    if moved.is_exact and not moved.outside:
        return moved.labels, ""
    if moved.before and not moved.after:
        raise DatasetError(
            f"mask {mask} lies elsewhere in the body than its image, so nothing of it would be left: name the right "
            "mask, or, if only its header is wrong, copy the image's header"
        )
    if not resample:
        what = f"mask {mask} lies elsewhere in the body than its image" if is_same_shape else sizes
        raise DatasetError(
            f"{what}: resample it onto the image (--resample-masks; {100 * moved.changed:.2g} % of its drawn voxels "
            f"would change and {100 * moved.outside:.2g} % fall outside), or, if only its header is wrong, copy the "
            "image's header"
        )
    return moved.labels, f"{mask.name}: {moved.summary}"
