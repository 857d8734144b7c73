"""A slide's file of contours, of which some are drawn on while the others stay as they are.

A file may hold a hundred thousand cells that a program found and ten contours of a person. Only the latter are changed;
what the former are in the file is worked out once, so that saving takes as long as the disk does.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from napari_medseg.data.contour_classes import renamed
from napari_medseg.data.slide_contours import SlideContours
from napari_medseg.io.contour_file import Contour, feature_text, write_features

#: What programs find, in QuPath's words.
_FOUND = ("detection", "cell", "tile")
#: More contours, or corners of them, than can be drawn on smoothly: those drawn last are kept to draw on.
MOST_CONTOURS, MOST_CORNERS = 1500, 150_000


@dataclass(frozen=True, kw_only=True)
class ContourSheet:
    """What a file holds, apart.

    Parameters
    ----------
    drawn
        Contours to draw on, in their order, each with an id of its own.
    found
        All others.
    places
        Place in the file of each contour of it, by id: the order in which contours lie on each other.
    others
        Features that are no areas, by the number of contours before them.
    """

    drawn: tuple[Contour, ...] = ()
    found: SlideContours = field(default_factory=SlideContours)
    places: Mapping[str, int] = field(default_factory=dict)
    others: tuple[tuple[int, Mapping[str, Any]], ...] = ()

    @classmethod
    def of(cls, contours: SlideContours) -> ContourSheet:
        """The contours of a file, apart."""
        return cls(others=contours.others).with_more(contours.contours)[0]

    def with_more(
        self, contours: Sequence[Contour], drawn_now: Sequence[Contour] = ()
    ) -> tuple[ContourSheet, tuple[Contour, ...]]:
        """The sheet with contours of another file above all that is there, and those among them to draw on.

        Parameters
        ----------
        contours
            Of the other file.
        drawn_now
            What is drawn by now, as it is not in the file yet.
        """
        places = dict(self.places)
        for contour in drawn_now:
            places.setdefault(contour.id, len(places))
        new = []
        for contour in contours:
            each = contour if contour.id not in places else replace(contour, id=str(uuid.uuid4()))
            places[each.id] = len(places)
            new.append(each)
        ours = _to_draw_on(new)
        drawn = tuple(c for i, c in enumerate(new) if i in ours)
        found = tuple(c for i, c in enumerate(new) if i not in ours)
        if found:
            merged = SlideContours(contours=(*self.found.contours, *found))
        else:
            merged = self.found
        return replace(self, drawn=(*self.drawn, *drawn), found=merged, places=places), drawn

    def with_class_renamed(self, old: str, new: str) -> ContourSheet:
        """The sheet with the new name of a class among what was found."""
        found = tuple(renamed(contour, old, new) for contour in self.found.contours)
        return replace(self, found=replace(self.found, contours=found))

    def write(self, path: Path, drawn: Sequence[Contour]) -> None:
        """Write what was found with what is drawn now; raises `WriteError`."""
        last = len(self.places)
        texts: list[tuple[float, str]] = [*self._found_texts]
        texts += [(self.places.get(contour.id, last), feature_text(contour)) for contour in drawn]
        texts += [
            (place - 0.5, json.dumps(feature, ensure_ascii=False, separators=(",", ":")))
            for place, feature in self.others
        ]
        # Runs of it are in order already; equal places, those of new contours, stay so.
        texts.sort(key=lambda placed: placed[0])
        write_features(path, (text for _, text in texts))

    @cached_property
    def _found_texts(self) -> list[tuple[float, str]]:
        return [(self.places[contour.id], feature_text(contour)) for contour in self.found.contours]


def _to_draw_on(contours: Sequence[Contour]) -> set[int]:
    """Which contours can be drawn on, by their place."""
    ours: set[int] = set()
    corners = 0
    for index in reversed(range(len(contours))):
        contour = contours[index]
        if contour.properties.get("objectType") in _FOUND:
            continue
        corners += sum(len(ring) for part in contour.parts for ring in (part.outer, *part.holes))
        if len(ours) == MOST_CONTOURS or corners > MOST_CORNERS:
            break
        ours.add(index)
    return ours
