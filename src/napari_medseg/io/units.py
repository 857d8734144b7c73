"""Names of units: however a file spells them, one word each."""

from __future__ import annotations

from collections.abc import Sequence

#: Unit of an axis along which the file knows no physical distance.
PIXEL = "pixel"

_SPELLINGS = {
    "nanometer": ("nm", "nanometers", "nanometre", "nanometres"),
    "micrometer": ("um", "µm", "μm", "\\u00b5m", "micron", "microns", "micrometers", "micrometre", "micrometres"),
    "millimeter": ("mm", "millimeters", "millimetre", "millimetres"),
    "centimeter": ("cm", "centimeters", "centimetre", "centimetres"),
    "meter": ("m", "meters", "metre", "metres"),
    "inch": ("in", "inches", '"'),
    "angstrom": ("å", "ångström", "angstroms"),
    "second": ("s", "sec", "seconds"),
    "millisecond": ("ms", "msec", "milliseconds"),
    "minute": ("min", "minutes"),
}
_MILLIMETERS = {
    "angstrom": 1e-7,
    "nanometer": 1e-6,
    "micrometer": 1e-3,
    "millimeter": 1.0,
    "centimeter": 10.0,
    "inch": 25.4,
    "meter": 1000.0,
}
_NAMES = {spelling: name for name, spellings in _SPELLINGS.items() for spelling in (name, *spellings)}


def unit_name(spelling: object) -> str | None:
    """The unit's one name; None for what is not a unit of length or time ("pixel", empty, unknown).

    >>> unit_name("µm"), unit_name("Micron"), unit_name("pixel")
    ('micrometer', 'micrometer', None)
    """
    return _NAMES.get(str(spelling).strip().lower()) if spelling is not None else None


def micrometres(spacing: Sequence[float] | None, units: Sequence[str] | None) -> tuple[float, ...] | None:
    """A spacing in micrometres; None where it is not known, or no length.

    >>> micrometres((0.5, 0.25), ("millimeter", "micrometer"))
    (500.0, 0.25)
    """
    lengths = [millimeters(unit) for unit in units or ()]
    if spacing is None or not lengths or None in lengths:
        return None
    return tuple(step * 1000.0 * (length or 0.0) for step, length in zip(spacing, lengths, strict=True))


def millimeters(unit: str) -> float | None:
    """How many millimetres a unit is; None for what is no unit of length.

    >>> millimeters("micrometer"), millimeters("second")
    (0.001, None)
    """
    return _MILLIMETERS.get(unit)
