"""What the readers of volumes share: voxels and an affine as an image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from napari_medseg.io.lazy import LazyArray
from napari_medseg.io.volume.space import Affine, is_oblique, is_usable, shear_degrees, spacing_of
from napari_medseg.structures import Image, Kind

MILLIMETER = "millimeter"
#: More voxels than any scan has: the header is damaged.
LARGEST_VOXELS = 2**35
#: Slices that lean less than this against each other are upright as far as anyone can measure (cosine 0.999).
_LEAN_DEGREES = 2.56


def volume_image(
    path: Path,
    voxels: LazyArray,
    affine: Affine | None,
    *,
    kind: Kind = "image",
    name: str = "",
    series: int = 0,
    series_names: tuple[str, ...] = ("",),
    warnings: Sequence[str] = (),
    metadata: Mapping[str, Any] | None = None,
) -> Image:
    """Voxels as an image in millimetres.

    Parameters
    ----------
    voxels
        (z, y, x).
    affine
        As `Image.affine`; None, zeros or no numbers: place and size are unknown.

    Returns
    -------
    image of axes ``"zyx"``; one slice becomes ``"yx"``
    """
    told = list(warnings)
    if affine is not None and not is_usable(affine):
        told.append("The file gives voxels no size or no place, so sizes are counted in pixels.")
        affine = None
    is_stack = voxels.shape[0] > 1
    if affine is not None and is_stack:
        told += _oddities(affine)
    if not is_stack:
        voxels = voxels.take(0, axis=0)
    count = len(voxels.shape)
    return Image(
        levels=(voxels,),
        axes="zyx"[-count:],
        spacing=None if affine is None else spacing_of(affine)[-count:],
        units=None if affine is None else (MILLIMETER,) * count,
        kind=kind,
        name=name or path.name,
        path=path,
        series=series,
        series_names=series_names,
        warnings=tuple(told),
        metadata=dict(metadata or {}),
        affine=affine,
    )


def _oddities(affine: Affine) -> list[str]:
    """Sentences about what the picture on the screen cannot show."""
    lean = shear_degrees(affine)
    if lean > _LEAN_DEGREES:
        spacing = spacing_of(affine)[0]
        return [
            f"Its slices lean by {lean:.1f}° against each other (gantry tilt): they are shown straight, {spacing:.4g} "
            "mm apart, so views from the side are sheared; volumes are right and the true place is kept for export."
        ]
    if is_oblique(affine):
        return ["Its slices lie oblique to the body: they are shown straight, and the true place is kept for export."]
    return []


def short_name(path: Path) -> str:
    """A volume's name without the endings of its format.

    >>> short_name(Path("a/liver.nii.gz")), short_name(Path("b/liver.1.nrrd"))
    ('liver', 'liver.1')
    """
    stem = path.name[: -len(".gz")] if path.name.lower().endswith(".gz") else path.name
    return Path(stem).stem


def as_lazy(path: Path, shape: Sequence[int], dtype: np.dtype[Any], load: Any) -> LazyArray:
    """Voxels (z, y, x) that are read slice by slice."""
    return LazyArray(tuple(shape), dtype, load, source=str(path), chunks=(1, *shape[1:]))
