"""Labels as NIfTI, lying where the image lies that they belong to."""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_medseg.errors import WriteError
from napari_medseg.io.atomic import replacing
from napari_medseg.io.units import millimeters
from napari_medseg.io.volume.nifti import EXTENSION_KEY, RAS_TO_LPS
from napari_medseg.io.volume.space import Affine, is_usable
from napari_medseg.structures import ArrayLike, MaskClass

if TYPE_CHECKING:
    from nibabel.nifti1 import Nifti1Image

_ENDINGS = (".nii", ".nii.gz")
_MILLIMETERS = "mm"
#: NIfTI's codes: coordinates of the scanner, and of nothing in particular.
_SCANNER, _ALIGNED = 1, 2


def is_nifti_name(path: Path) -> bool:
    """Whether a name asks for NIfTI: ``.nii`` or ``.nii.gz``."""
    return path.name.lower().endswith(_ENDINGS)


def write_nifti(
    path: Path,
    labels: ArrayLike,
    *,
    affine: Affine | None = None,
    spacing: Sequence[float] | None = None,
    units: Sequence[str] | None = None,
    classes: Sequence[MaskClass] = (),
    orientation: str = "",
) -> Path:
    """Write labels so that every voxel lies where the image's does, in any program.

    Parameters
    ----------
    path
        ``name.nii`` or ``name.nii.gz``.
    labels
        Integer (z, y, x) or (y, x); stored as (x, y, z), as NIfTI has it. Values stay as they are, "not looked at"
        (255) among them.
    affine
        As `structures.Image.affine`.
    spacing, units
        Used where there is no affine: voxels then begin at 0 and count towards head, back and left.
    classes
        Names and colours, kept as a comment in the header that other programs skip.
    orientation
        Where the stored axes are to point, such as ``"RAS"``: that of the file the labels belong to, for programs that
        compare voxel by voxel. Empty: as they are, towards left, back and head. Where voxels lie is the same.

    Raises
    ------
    WriteError
        The disk is full or read-only, or labels have more than three axes or a type that NIfTI has no name for.
    """
    from nibabel.nifti1 import Nifti1Extension, Nifti1Image
    from nibabel.orientations import axcodes2ornt, io_orientation, ornt_transform

    voxels = np.asarray(labels[...])
    if voxels.ndim not in (2, 3):
        raise WriteError(f"{path.name}: NIfTI labels have two or three axes, not {voxels.ndim}.")
    if voxels.dtype in (np.int64, np.uint64):
        # Many readers refuse 64 bits; no label image holds as many classes.
        voxels = voxels.astype(np.int32)
    is_placed = affine is not None and is_usable(affine)
    placed = affine if affine is not None and is_placed else _straight(voxels.ndim, spacing, units)
    image = Nifti1Image(voxels.reshape((1,) * (3 - voxels.ndim) + voxels.shape).transpose(2, 1, 0), _to_ras(placed))
    if orientation and is_placed:
        image = image.as_reoriented(ornt_transform(io_orientation(image.affine), axcodes2ornt(orientation)))
    code = _SCANNER if is_placed else _ALIGNED
    image.header.set_xyzt_units(_MILLIMETERS)
    image.set_sform(image.affine, code=code)
    # A quaternion holds no shear: stacks of a tilted gantry would lie elsewhere for readers that prefer it.
    image.set_qform(image.affine, code=code if _is_orthogonal(placed) else 0)
    if classes:
        comment = json.dumps({EXTENSION_KEY: [asdict(c) for c in classes]})
        image.header.extensions.append(Nifti1Extension("comment", comment.encode()))
    _save(path, image)
    return path


def _save(path: Path, image: Nifti1Image) -> None:
    """Write an image in one step."""
    data = image.to_bytes()
    if path.name.lower().endswith(".gz"):
        # No time in the header: the same labels give the same file.
        data = gzip.compress(data, compresslevel=6, mtime=0)
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def _straight(ndim: int, spacing: Sequence[float] | None, units: Sequence[str] | None) -> Affine:
    """Spacing as an affine; pixels where it is not known."""
    steps = [1.0] * 3
    if spacing is not None and units is not None:
        known = [step * (millimeters(unit) or 1.0) for step, unit in zip(spacing, units, strict=True)]
        steps[3 - min(ndim, len(known)) :] = known[-ndim:]
    return np.diag([*steps, 1.0])


def _to_ras(affine: Affine) -> Affine:
    """From (z, y, x) to LPS in the order (z, y, x), to (x, y, z) to RAS."""
    turned = affine[[2, 1, 0, 3]][:, [2, 1, 0, 3]]
    return np.asarray(RAS_TO_LPS @ turned, np.float64)


def _is_orthogonal(affine: Affine) -> bool:
    directions = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    return bool(np.allclose(directions.T @ directions, np.eye(3), atol=1e-5))
