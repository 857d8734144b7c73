"""The parts of OME-XML that are used here; XML that is broken counts as saying nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

#: Beginning of the keys under which this package keeps what OME has no word for, in a map annotation.
OWN_PREFIX = "napari-medseg."


class OmeXml:
    """OME-XML of a file.

    Parameters
    ----------
    text
        The XML, None or broken where there is none to be had.
    """

    def __init__(self, text: str | None) -> None:
        try:
            self._root = ElementTree.fromstring(text) if text else None
        except ElementTree.ParseError:
            self._root = None

    def _all(self, name: str, parent: Element | None = None) -> Iterator[Element]:
        """Elements of a name, whatever the schema's year in their namespace."""
        start = self._root if parent is None else parent
        return (e for e in (start.iter() if start is not None else ()) if e.tag.rpartition("}")[2] == name)

    def _pixels(self, image: int) -> Element | None:
        found = list(self._all("Pixels"))
        return found[image] if image < len(found) else None

    def pixels_attributes(self, image: int) -> Mapping[str, str]:
        """What is said about the pixels of image number `image`."""
        pixels = self._pixels(image)
        return pixels.attrib if pixels is not None else {}

    def channel_names(self, image: int) -> list[str]:
        """Names of the channels of image number `image`; empty where a channel has none."""
        pixels = self._pixels(image)
        return [] if pixels is None else [c.attrib.get("Name", "") for c in self._all("Channel", pixels)]

    def magnification(self, image: int) -> float | None:
        """Nominal magnification of the objective of image number `image`; None where it is not said."""
        images = list(self._all("Image"))
        settings = next(self._all("ObjectiveSettings", images[image]), None) if image < len(images) else None
        if settings is None:
            return None
        found = (e for e in self._all("Objective") if e.attrib.get("ID") == settings.attrib.get("ID"))
        text = next(found, settings).attrib.get("NominalMagnification", "")
        try:
            return float(text)
        except ValueError:
            return None

    def own_facts(self) -> dict[str, str]:
        """Text by key, of the map annotations that this package wrote."""
        entries = ((e.attrib.get("K", ""), e.text or "") for e in self._all("M"))
        return {key.removeprefix(OWN_PREFIX): text for key, text in entries if key.startswith(OWN_PREFIX)}
