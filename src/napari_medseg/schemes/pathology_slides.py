"""What scheme `pathology` trains from whole slides, beside the pictures of a data set."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from napari_medseg.data.intensity import Intensity, fit_intensity
from napari_medseg.data.slide_places import tissue_pixels
from napari_medseg.data.slide_sampling import (
    MaskUnit,
    SampledSlide,
    Sampling,
    TagUnit,
    mask_tiles,
    mask_units,
    tag_tiles,
    tag_units,
)
from napari_medseg.data.stains import StainIntensity
from napari_medseg.data.whole_slides import SlideTile, WholeSlide, slides_of, tile_of
from napari_medseg.structures import Image, TrainingSet

if TYPE_CHECKING:
    from napari_medseg.data.intensity import Normaliser
    from napari_medseg.data.resolution import WorkingResolution
    from napari_medseg.schemes.pathology import PathologyConfig

#: Tagged tiles of a slide that tell how much a window should see.
_SHOWN_TILES = 16


def shown_tiles(slides: Sequence[WholeSlide]) -> list[Image]:
    """Some tagged tiles of every slide, as images whose pixels are not read."""
    shown = []
    for slide in slides:
        tiles = slide.labels.tile_tags
        shown += [
            tile_of(slide, tile.box, tile.tag).load_image() for tile in tiles[:: max(1, len(tiles) // _SHOWN_TILES)]
        ]
    return shown


def tissue_image(slide: WholeSlide) -> Image:
    """Pixels of a slide's tissue, as an image of one row: brightness is taken from these, not from the glass."""
    image = slide.load_image()
    pixels = tissue_pixels(image, slide.load_tissue())
    return Image(levels=(np.ascontiguousarray(pixels.T[np.newaxis]),), axes="yxc", rgb=image.rgb, name=image.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class SlideParts:
    """The slides of a training set, ready to be drawn from.

    Parameters
    ----------
    train, validation
        Slides of both splits.
    """

    train: tuple[SampledSlide, ...] = ()
    validation: tuple[SampledSlide, ...] = ()

    @property
    def tags(self) -> frozenset[str]:
        """Tags of the tiles to train with."""
        return frozenset(tag for slide in self.train for tag in slide.tagged)

    @property
    def masked(self) -> tuple[WholeSlide, ...]:
        """Training slides on which anything was looked at."""
        return tuple(slide.case for slide in self.train if slide.case.has_mask)

    def tag_units(self, normaliser: Normaliser, tags: Sequence[str]) -> tuple[TagUnit, ...]:
        """Tiles to train a classifier of these tags with."""
        return tuple(unit for unit in tag_units(self.train, _prepare(normaliser)) if unit.tag in tags)

    def mask_units(self, normaliser: Normaliser) -> tuple[MaskUnit, ...]:
        """Patches to train a segmenter with."""
        return mask_units(self.train, _prepare(normaliser))

    def judged_tags(self, tags: Sequence[str]) -> tuple[SlideTile, ...]:
        """Tiles of validation slides with these tags."""
        return tuple(tile for slide in self.validation for tile in tag_tiles(slide, tags))

    def judged_masks(self) -> tuple[SlideTile, ...]:
        """Tiles of validation slides with what was drawn there."""
        return tuple(tile for slide in self.validation for tile in mask_tiles(slide))


def sampled_slides(config: PathologyConfig, data: TrainingSet, resolution: WorkingResolution, seed: int) -> SlideParts:
    """The slides of a training set, drawn from as the settings say."""
    sampling = Sampling(
        window=config.input_size,
        scale_of=resolution.scale_of,
        info=data.info,
        tiles_per_pass=config.slides.tiles_per_pass,
        validation_tiles=config.slides.validation_tiles,
        seed=seed,
    )
    return SlideParts(
        train=tuple(SampledSlide(case, sampling) for case in slides_of(data.of_split("train"))),
        validation=tuple(SampledSlide(case, sampling) for case in slides_of(data.of_split("val"))),
    )


def fit_normaliser(
    config: PathologyConfig, images: Sequence[Image], slides: Sequence[WholeSlide]
) -> Intensity | StainIntensity:
    """The way to network input; of slides the tissue alone counts."""
    shown = [*images, *(tissue_image(slide) for slide in slides)]
    if config.slides.stain_normalisation == "none":
        return fit_intensity(shown)
    # Stains are found on whole images, brightness on what they become.
    looking = StainIntensity(intensity=fit_intensity(shown))
    found = [looking.prepare(image) for image in (*images, *(slide.load_image() for slide in slides))]
    normalised = [looking.shown(*pair) for pair in zip(shown, found, strict=True)]
    return replace(looking, intensity=fit_intensity(normalised))


def _prepare(normaliser: Normaliser) -> Callable[[WholeSlide], object]:
    return lambda slide: normaliser.prepare(slide.load_image())
