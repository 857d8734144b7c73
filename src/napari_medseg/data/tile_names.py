"""Names of tiles of a slide, from which case and place can be told again."""

from __future__ import annotations

import re

from napari_medseg.structures import Box

_PLACE = re.compile(r"(.+) (\d+):(\d+),(\d+):(\d+)", re.DOTALL)


def tile_name(case: str, box: Box) -> str:
    """The name of a tile, with its place in level-0 pixels of its slide.

    >>> tile_name("slide 7", ((0, 256), (512, 768)))
    'slide 7 0:256,512:768'
    """
    return f"{case} {','.join(f'{start}:{stop}' for start, stop in box)}"


def parse_tile_name(name: str) -> tuple[str, Box | None]:
    """Case and place of a tile; a name that is none is a case as a whole.

    >>> parse_tile_name("slide 7 0:256,512:768")
    ('slide 7', ((0, 256), (512, 768)))
    >>> parse_tile_name("slide 7")
    ('slide 7', None)
    """
    found = _PLACE.fullmatch(name)
    if found is None:
        return name, None
    y0, y1, x0, x1 = map(int, found.groups()[1:])
    return found[1], ((y0, y1), (x0, x1))
