"""Whether distances between pixels can be true for a kind of image; units that were mixed up are off by a thousand."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from napari_medseg.io.units import millimeters
from napari_medseg.structures import Image, Kind

#: Units people mix up, by what the value has to be multiplied with.
_MIXED_UP = ((1e-3, "µm taken for mm"), (1e3, "mm taken for µm"), (0.1, "mm taken for cm"), (10.0, "cm taken for mm"))


@dataclass(frozen=True, slots=True)
class _Range:
    """What is plausible along one axis, in millimetres: of one pixel, or of the whole picture (`is_extent`)."""

    axis: str
    lowest: float
    highest: float
    is_extent: bool = False


#: Wide enough for odd devices, crops and pictures that were made smaller; a wrong unit is far outside all the same.
_RANGES: Mapping[Kind, tuple[_Range, ...]] = {
    "oct": (_Range("y", 0.001, 0.02), _Range("x", 0.1, 30, is_extent=True), _Range("z", 0, 30, is_extent=True)),
    **dict.fromkeys(("ct", "mr"), tuple(_Range(axis, 0.1, 10) for axis in "zyx")),
    "ultrasound": tuple(_Range(axis, 0.01, 2) for axis in "yx"),
}
_KIND_NAMES: Mapping[Kind, str] = {"oct": "OCT", "ct": "CT", "mr": "MR", "ultrasound": "ultrasound"}
_AXIS_NAMES = {"oct": {"y": "depth", "x": "width", "z": "distance between B-scans"}}


def implausible_spacing(image: Image) -> dict[str, str]:
    """A sentence per axis whose spacing cannot be true for the kind of image; none for spacing that is not known."""
    if image.spacing is None or image.units is None:
        return {}
    factors = [millimeters(unit) for unit in image.units]
    steps = [None if f is None else step * f for step, f in zip(image.spacing, factors, strict=True)]
    return implausible_steps(image.kind, image.spatial_axes, image.spatial_shape, steps)


def implausible_steps(kind: Kind, axes: str, shape: Sequence[int], steps: Sequence[float | None]) -> dict[str, str]:
    """A sentence about every axis whose spacing cannot be true, with the value and what to do.

    Parameters
    ----------
    kind
        Sort of image; pictures and slides may have any spacing.
    axes, shape
        Axes in space and time, and pixels along each.
    steps
        Millimetres per pixel along each; None where not known.

    Examples
    --------
    >>> print(implausible_steps("oct", "yx", (496, 768), (3.87, 0.0115))["y"])
    Depth is 3.87 mm per pixel, but OCT has 0.001 to 0.02 mm: it looks like µm taken for mm, so 0.00387 mm may be meant.
    >>> implausible_steps("oct", "yx", (496, 768), (0.00387, 0.0115))
    {}
    """
    return dict(_sentences(kind, dict(zip(axes, zip(shape, steps, strict=True), strict=True))))


def _sentences(kind: Kind, known: Mapping[str, tuple[int, float | None]]) -> Iterator[tuple[str, str]]:
    for allowed in _RANGES.get(kind, ()):
        count, step = known.get(allowed.axis, (0, None))
        if step is None or _fits(allowed, step, count):
            continue
        name = _AXIS_NAMES.get(kind, {}).get(allowed.axis, f"spacing along {allowed.axis}")
        what = f"{step:.6g} mm per pixel"
        if allowed.is_extent:
            what += f", {step * count:.4g} mm in all"
        limits = (
            f"{allowed.lowest:g} to {allowed.highest:g} mm" if allowed.lowest else f"at most {allowed.highest:g} mm"
        )
        meant = [(factor, mix) for factor, mix in _MIXED_UP if _fits(allowed, step * factor, count)]
        mend = "correct it before anything is measured"
        if meant:
            mend = f"it looks like {meant[0][1]}, so {step * meant[0][0]:.6g} mm may be meant"
        yield allowed.axis, f"{name[0].upper()}{name[1:]} is {what}, but {_KIND_NAMES[kind]} has {limits}: {mend}."


def _fits(allowed: _Range, step: float, count: int) -> bool:
    size = step * count if allowed.is_extent else step
    return allowed.lowest <= size <= allowed.highest
