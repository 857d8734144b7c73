"""From slides to what a network trains and is judged on: patches drawn from all over them, and tiles cut out of them.

For masks a slide gives patches around what was drawn, every class it holds equally often however little of the slide it
covers, and patches anywhere that somebody looked at. For tags it gives the tiles that people tagged; the cells that
were looked at altogether and whose classes imply a tag; or, where there are neither, all its tissue with the slide's
own tag.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from napari_medseg.data.patches import Loaded, index_of_values
from napari_medseg.data.resampling import WindowReader, choose_level, working_shape
from napari_medseg.data.slide_labels import working_box
from napari_medseg.data.slide_places import DrawnPlaces, Places, find_drawn, on_tissue, tissue_cells
from napari_medseg.data.tags import implied_tags
from napari_medseg.data.whole_slides import SlideTile, WholeSlide, tile_of
from napari_medseg.structures import Box, DatasetInfo, Image

Labels = npt.NDArray[np.uint8]
#: Upper left and lower right corners of tiles, (n, 4) as y0, y1, x0, x1 in level-0 pixels.
Tiles = npt.NDArray[np.int64]

#: Windows along each side of a tagged tile that is larger than a network's input.
_MOST_WINDOWS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How slides are drawn from.

    Parameters
    ----------
    window
        Side of the network's square input, in working pixels.
    scale_of
        Working pixels per level-0 pixel, per axis.
    info
        What the data set says of its classes and of the tags that they imply.
    tiles_per_pass
        Patches of one slide in a pass over the cases, per kind of label and tag.
    validation_tiles
        Tiles of a slide that validation looks at, per kind of label.
    seed
        Of the choice of these.
    """

    window: int
    scale_of: Callable[[Image], tuple[float, ...]]
    info: DatasetInfo
    tiles_per_pass: int
    validation_tiles: int
    seed: int


@dataclass(frozen=True)
class SampledSlide:
    """A slide with what its pixels are resampled to, and where its labels lie.

    Parameters
    ----------
    case
        The slide.
    sampling
        How it is drawn from.
    """

    case: WholeSlide
    sampling: Sampling

    @cached_property
    def image(self) -> Image:
        """Its image, read piece by piece."""
        return self.case.load_image()

    @cached_property
    def working(self) -> tuple[int, ...]:
        """Rows and columns of the slide at the network's resolution."""
        return working_shape(self.image, self.sampling.scale_of(self.image))

    @cached_property
    def drawn(self) -> DrawnPlaces:
        """What was looked at."""
        return find_drawn(self.case.labels, self.image.spatial_shape, self.working, self.sampling.window)

    @cached_property
    def looked_at(self) -> Places:
        """Some places that were looked at, on tissue where there is any: slides are predicted on tissue alone."""
        return on_tissue(self.drawn.looked_at, self.case.load_tissue(), self.working)

    @cached_property
    def tagged(self) -> dict[str, Tiles]:
        """Tiles by tag, from the strongest kind of label that there is of each tile."""
        found = defaultdict(list)
        for tile in self.case.labels.tile_tags:
            found[tile.tag].append([end for side in tile.box for end in side])
        for corner, values in self._implying():
            implied = implied_tags(values, self.sampling.info)
            if len(implied) == 1:
                found[implied.pop()].append(self.cell(corner))
        if not found and self.case.tag is not None:
            cells = tissue_cells(self.case.load_tissue(), self.working, self.sampling.window)
            found[self.case.tag] = [self.cell(corner) for corner in cells]
        return {tag: np.array(tiles, np.int64).reshape(-1, 4) for tag, tiles in sorted(found.items()) if tiles}

    def _implying(self) -> Iterator[tuple[Places, frozenset[int]]]:
        """Corners of cells that were looked at, with their values; none where no value implies a tag."""
        if self.sampling.info.implies and self.case.has_mask:
            yield from zip(self.drawn.cells, self.drawn.values, strict=True)

    def cell(self, corner: Places) -> list[int]:
        """A cell of the working grid in level-0 pixels: y0, y1, x0, x1."""
        ends = []
        for start, n, size in zip(corner, self.working, self.image.spatial_shape, strict=True):
            span = min(self.sampling.window, n)
            low = min(max(0, int(start)), n - span)
            ends += [round(low * size / n), min(size, round((low + span) * size / n))]
        return ends

    def labels_at(self, box: Box) -> Labels:
        """Label values of a box of the working grid, uint8 of exactly the box's sides."""
        return self.case.labels.read(*working_box(box, self.image.spatial_shape, self.working))

    def reader(self) -> WindowReader:
        """Reads windows at the network's resolution."""
        return WindowReader(self.image, self.working, choose_level(self.image, self.working))


@dataclass(frozen=True, slots=True, kw_only=True)
class MaskUnit:
    """Patches of a slide with what was drawn in them, a `napari_medseg.data.patches.PatchUnit`.

    Parameters
    ----------
    slide
        The slide.
    prepare
        Makes what the normaliser is handed, of the slide.
    """

    slide: SampledSlide
    prepare: Callable[[WholeSlide], object]

    @property
    def tag(self) -> None:
        """None: patches of a mask have no tag."""
        return None

    @property
    def weight(self) -> int:
        """Patches in a pass."""
        return self.slide.sampling.tiles_per_pass * self.slide.case.repeats

    def load(self) -> Loaded:
        """Places by class index, and labels that are read window by window."""
        slide, classes = self.slide, self.slide.sampling.info.classes
        index_of_value = index_of_values(classes)
        return Loaded(
            pixels=slide.reader(),
            shape=slide.working,
            prepared=self.prepare(slide.case),
            labels=_LabelWindows(slide, index_of_value),
            places={int(index_of_value[value]): places for value, places in slide.drawn.classes.items()},
            looked_at=slide.looked_at,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class TagUnit:
    """The tiles of a slide that have one tag, a `napari_medseg.data.patches.PatchUnit`.

    Parameters
    ----------
    slide, prepare
        As for `MaskUnit`.
    tag
        The tag of all of them.
    """

    slide: SampledSlide
    prepare: Callable[[WholeSlide], object]
    tag: str

    @property
    def weight(self) -> int:
        """Patches in a pass: each tile once, up to a limit."""
        return min(self.slide.sampling.tiles_per_pass, len(self.slide.tagged[self.tag])) * self.slide.case.repeats

    def load(self) -> Loaded:
        """Centres of windows that lie on the tiles."""
        return Loaded(
            pixels=self.slide.reader(),
            shape=self.slide.working,
            prepared=self.prepare(self.slide.case),
            labels=None,
            places={0: _window_centres(self.slide, self.slide.tagged[self.tag])},
            looked_at=None,
            foreground_share=1.0,
        )


def mask_units(slides: Sequence[SampledSlide], prepare: Callable[[WholeSlide], object]) -> tuple[MaskUnit, ...]:
    """The slides on which anything was looked at."""
    return tuple(MaskUnit(slide=slide, prepare=prepare) for slide in slides if slide.case.has_mask)


def tag_units(slides: Sequence[SampledSlide], prepare: Callable[[WholeSlide], object]) -> tuple[TagUnit, ...]:
    """A unit for each slide and tag."""
    return tuple(TagUnit(slide=slide, prepare=prepare, tag=tag) for slide in slides for tag in slide.tagged)


def mask_tiles(slide: SampledSlide) -> tuple[SlideTile, ...]:
    """Tiles for validation, the same ones every time: around each class in turn, and where anybody looked."""
    if not slide.case.has_mask:
        return ()
    rng = _rng(slide)
    kinds = [*(slide.drawn.classes[value] for value in sorted(slide.drawn.classes)), slide.looked_at]
    orders = [rng.permutation(len(places)) for places in kinds]
    # A class in turn, until there are enough or every place of all was had.
    chosen = [
        kinds[k][order[i]] for i in range(max(map(len, orders))) for k, order in enumerate(orders) if i < len(order)
    ]
    tiles = np.array([slide.cell(place - slide.sampling.window // 2) for place in chosen]).reshape(-1, 4)
    return tuple(tile_of(slide.case, box, None) for box in _distinct(tiles, slide.sampling.validation_tiles))


def tag_tiles(slide: SampledSlide, tags: Sequence[str]) -> tuple[SlideTile, ...]:
    """Tagged tiles for validation, the same ones every time, each tag as often as there are tiles of it."""
    rng = _rng(slide)
    known = {tag: tiles for tag, tiles in slide.tagged.items() if tag in tags}
    least = [slide.sampling.window * n / w for n, w in zip(slide.image.spatial_shape, slide.working, strict=True)]
    share = -(-slide.sampling.validation_tiles // max(1, len(known)))
    return tuple(
        tile_of(slide.case, _box(ends), tag, least)
        for tag, tiles in known.items()
        for ends in rng.permutation(tiles)[:share]
    )


class _LabelWindows:
    """Class indices of a slide, window by window."""

    def __init__(self, slide: SampledSlide, index_of_value: Labels) -> None:
        self._slide, self._index_of_value = slide, index_of_value

    def __getitem__(self, spans: tuple[slice, ...]) -> Labels:
        return self._index_of_value[self._slide.labels_at(tuple((span.start, span.stop) for span in spans))]


def _window_centres(slide: SampledSlide, tiles: Tiles) -> Places:
    """Centres of windows in working pixels: one on each tile, several evenly on those that are larger."""
    centres: list[tuple[float, float]] = []
    scale = [w / n for w, n in zip(slide.working, slide.image.spatial_shape, strict=True)]
    for y0, y1, x0, x1 in tiles * np.repeat(scale, 2):
        rows, columns = (_along(start, stop, slide.sampling.window) for start, stop in ((y0, y1), (x0, x1)))
        centres += [(y, x) for y in rows for x in columns]
    return np.array(centres, np.int64)


def _along(start: float, stop: float, window: int) -> list[float]:
    """Centres along one side of a tile."""
    count = min(_MOST_WINDOWS, max(1, round((stop - start) / window)))
    if count == 1:
        return [(start + stop) / 2]
    return list(np.linspace(start + window / 2, stop - window / 2, count))


def _distinct(tiles: Tiles, most: int) -> Iterator[Box]:
    """Up to `most` tiles whose middles lie in no earlier one."""
    middles: list[npt.NDArray[np.float64]] = []
    for ends in tiles:
        middle = np.array([ends[:2].mean(), ends[2:].mean()])
        reach = np.array([ends[1] - ends[0], ends[3] - ends[2]]) / 2
        if len(middles) < most and not any((np.abs(middle - other) < reach).all() for other in middles):
            middles.append(middle)
            yield _box(ends)


def _box(ends: npt.NDArray[np.int64]) -> Box:
    y0, y1, x0, x1 = (int(end) for end in ends)
    return (y0, y1), (x0, x1)


def _rng(slide: SampledSlide) -> np.random.Generator:
    name = hashlib.blake2b(slide.case.case.encode(), digest_size=8).digest()
    return np.random.default_rng((slide.sampling.seed, int.from_bytes(name)))
