"""What is known about an image, in words."""

from __future__ import annotations

from napari_medseg.io.slide.facts import OBJECTIVE
from napari_medseg.io.units import PIXEL
from napari_medseg.structures import Image, OctScan

_SHORT_UNITS = {
    "micrometer": "µm",
    "millimeter": "mm",
    "nanometer": "nm",
    "centimeter": "cm",
    "second": "s",
    "millisecond": "ms",
}


def facts_of(image: Image) -> dict[str, str]:
    """Lines for people, by their heading; what does not apply is left out.

    Examples
    --------
    >>> import numpy as np
    >>> picture = Image(levels=(np.zeros((522, 775, 3), np.uint8),), axes="yxc", rgb=True)
    >>> facts_of(picture)
    {'Kind': 'image, colour, uint8', 'Size': '775 × 522 pixels', 'Spacing': 'not in the file'}
    """
    colors = "colour" if image.rgb else f"{image.num_channels} channels" if image.num_channels > 1 else "grey"
    facts = {"Kind": f"{image.kind}, {colors}, {image.dtype}", "Size": _size(image), "Spacing": spacing_text(image)}
    if image.kind in ("ct", "mr") and len(image.series_names) == 1 and image.series_names[0]:
        # Where there are several, the list to choose from says it.
        facts["Series"] = image.series_names[0]
    if image.oct is not None:
        eye = {"R": "right eye", "L": "left eye"}.get(image.oct.laterality, "")
        parts = (image.oct.pattern, eye, image.oct.device, _surfaces(image.oct))
        facts |= {"Scan": ", ".join(part for part in parts if part)} if any(parts) else {}
    if image.ultrasound is not None:
        told = (image.ultrasound.device, "colour Doppler" if image.ultrasound.color_doppler else "")
        facts |= {"Scan": ", ".join(part for part in told if part)} if any(told) else {}
    if image.channels and not image.rgb:
        facts["Channels"] = ", ".join(image.channels)
    if OBJECTIVE in image.metadata:
        facts["Objective"] = f"{image.metadata[OBJECTIVE]:g}×"
    if len(image.levels) > 1:
        widths = (str(level.shape[image.axes.index("x")]) for level in image.levels)
        facts["Levels"] = f"{len(image.levels)}, {', '.join(widths)} pixels wide"
    elif image.kind == "slide":
        facts["Levels"] = "1; coarser ones are made for the view"
    return facts


def _surfaces(scan: OctScan) -> str:
    count = len(scan.surfaces)
    return f"{count} surface{'s'[: count != 1]} of the device" if count else ""


def spacing_text(image: Image) -> str:
    """Distance between pixels, e.g. ``0.5 × 0.5 µm`` (x first)."""
    if image.spacing is None or image.units is None:
        return "not in the file"
    if set(image.units[-2:]) == {PIXEL} and "t" in image.axes:
        # Only time is known.
        time = f"{image.spacing[0]:.4g} {_SHORT_UNITS.get(image.units[0], image.units[0])}"
        return f"not in the file; {time} between frames"
    units = [_SHORT_UNITS.get(unit, unit) for unit in image.units]
    if len(set(units)) == 1:
        return f"{' × '.join(f'{step:.4g}' for step in reversed(image.spacing))} {units[0]}"
    steps = zip(reversed(image.spacing), reversed(units), strict=True)
    return " × ".join(f"{step:.4g} {unit}" for step, unit in steps)


def _size(image: Image) -> str:
    shape = dict(zip(image.spatial_axes, image.spatial_shape, strict=True))
    parts = [f"{shape['x']} × {shape['y']} pixels"]
    if "z" in shape:
        parts.append(f"{shape['z']} slices")
    if "t" in shape:
        parts.append(f"{shape['t']} {'frames' if image.kind == 'ultrasound' else 'times'}")
    return ", ".join(parts)
