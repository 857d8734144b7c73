"""What is drawn from slides, against what was drawn and said on them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import tifffile

from napari_medseg.data.dataset import Dataset
from napari_medseg.data.intensity import Intensity
from napari_medseg.data.patches import Patches
from napari_medseg.data.slide_contours import REGION, SlideContours, contours_path
from napari_medseg.data.slide_sampling import SampledSlide, Sampling, mask_tiles, mask_units, tag_tiles, tag_units
from napari_medseg.data.synthetic_slide import CLASSES, SyntheticSlide
from napari_medseg.data.tile_tags import TileTag, tags_path, write_tile_tags
from napari_medseg.data.training_set import training_set
from napari_medseg.data.whole_slides import WholeSlide, tags_of
from napari_medseg.errors import DatasetError
from tests.data.slides import SHAPE, TAGS, contour, islands, make_slides, outline

WINDOW = 64
AS_IT_IS = Intensity(channels=3, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
TRUTH = SyntheticSlide.make(SHAPE, seed=0)


def sampled(dataset: Dataset, scale: float = 0.5, **changes) -> SampledSlide:
    """The first slide of a data set, drawn from."""
    (case, *_) = training_set(dataset, include_drafts=True).cases
    assert isinstance(case, WholeSlide)
    known = {"window": WINDOW, "scale_of": lambda image: (scale, scale), "info": dataset.info}
    known |= {"tiles_per_pass": 40, "validation_tiles": 9, "seed": 0}
    return SampledSlide(case, Sampling(**(known | changes)))


def patches(units, *, foreground_share: float = 0.5, tags=()) -> Patches:
    return Patches(
        (),
        classes=CLASSES,
        tags=tags,
        size=(WINDOW, WINDOW),
        scale_of=lambda image: (0.5, 0.5),
        intensity=AS_IT_IS,
        foreground_share=foreground_share,
        units=units,
    )


def prepare(slide: WholeSlide):
    return AS_IT_IS.prepare(slide.load_image())


@pytest.fixture(scope="module")
def everything(tmp_path_factory) -> Dataset:
    return make_slides(tmp_path_factory.mktemp("slides"))


def test_labels_belong_to_the_pixels_they_come_with(everything):
    slide = sampled(everything)
    images, labels, tags = patches(mask_units([slide], prepare)).draw(range(24), 0)
    assert set(tags) == {-1}
    # Islands of the made-up slide have classes of very different colours: what is drawn as necrosis is red.
    red = images[:, 0] - images[:, 2]
    assert red[labels == 2].mean() > red[labels == 0].mean() + 0.1
    dark = 1 - images[:, 1]
    assert dark[labels == 1].mean() > dark[labels == 0].mean() + 0.1
    assert all((one != 255).any() for one in labels)


def test_a_class_of_a_thousandth_of_the_slide_is_seen_as_often_as_others(tmp_path):
    dataset = make_slides(tmp_path, kinds=())
    box = islands(TRUTH)[0]
    (top, _), (left, _) = box
    small = ((top + 200, top + 240), (left + 200, left + 280))
    assert 40 * 80 < 0.001 * SHAPE[0] * SHAPE[1]
    drawn = [
        contour(REGION, box),
        contour("tumour", ((top, top + 150), (left, left + 500))),
        contour("necrosis", small),
    ]
    SlideContours(contours=tuple(drawn)).write(contours_path(dataset.labels_folder, "slide0"))
    _, labels, _ = patches(mask_units([sampled(dataset)], prepare), foreground_share=1.0).draw(range(60), 0)
    shares = [np.mean([(one == value).any() for one in labels]) for value in (1, 2)]
    assert min(shares) > 0.3


def test_patches_anywhere_lie_on_tissue(tmp_path):
    dataset = make_slides(tmp_path, kinds=())
    # All of the slide is complete, and nothing drawn: three quarters of it are glass.
    region = contour(REGION, ((0, SHAPE[0]), (0, SHAPE[1])))
    SlideContours(contours=(region,)).write(contours_path(dataset.labels_folder, "slide0"))
    images, labels, _ = patches(mask_units([sampled(dataset)], prepare)).draw(range(30), 0)
    assert (labels == 0).all()
    assert all((image.min(axis=0) < 0.85).any() for image in images)


def test_a_tissue_mask_that_somebody_corrected_counts(tmp_path):
    dataset = make_slides(tmp_path, kinds=())
    region = contour(REGION, ((0, SHAPE[0]), (0, SHAPE[1])))
    SlideContours(contours=(region,)).write(contours_path(dataset.labels_folder, "slide0"))
    mask = np.zeros((128, 192), np.uint8)
    mask[96:, 144:] = 1
    tifffile.imwrite(dataset.labels_folder / "slide0-tissue.tif", mask)
    places = sampled(dataset).looked_at
    assert len(places)
    assert (places >= (96 * 8, 144 * 8)).all()


def test_tagged_tiles_are_drawn_equally_often_per_tag(everything):
    slide = sampled(everything)
    units = tag_units([slide], prepare)
    counts = everything_tags(slide)
    assert {unit.tag: unit.weight for unit in units} == {tag: min(40, n) for tag, n in counts.items()}
    source = Patches(
        (), classes=(), tags=TAGS, size=(WINDOW,) * 2, scale_of=lambda i: (0.5, 0.5), intensity=AS_IT_IS,
        units=units, balanced_tags=True,
    )  # fmt: skip
    images, labels, tags = source.draw(range(len(source)), 0)
    assert (labels == 255).all()
    drawn = np.bincount(tags, minlength=3)
    assert drawn.max() - drawn.min() <= 1
    centre = images[:, :, 24:40, 24:40]
    red = (centre[:, 0] - centre[:, 2]).mean(axis=(1, 2))
    assert red[tags == TAGS.index("necrosis")].min() > red[tags == TAGS.index("tumour")].max()


def everything_tags(slide: SampledSlide) -> dict[str, int]:
    return {tag: n for tag, n in slide.case.labels.kinds().tile_tags.items() if n}


def test_cells_that_were_looked_at_altogether_imply_tags(tmp_path):
    dataset = make_slides(tmp_path, kinds=())
    case = training_set_case(dataset)
    dataset.set_info(replace(dataset.info, implies={"tumour": "tumour", "<empty>": "stroma"}))
    side = WINDOW * 2
    inside = ((3 * side, 7 * side), (2 * side, 6 * side))
    drawn = [contour(REGION, inside), contour("tumour", ((3 * side, 4 * side), (2 * side + 5, 2 * side + 50)))]
    drawn.append(contour("tumour", ((10 * side, 10 * side + 40), (0, 40))))
    SlideContours(contours=tuple(drawn)).write(contours_path(dataset.labels_folder, case))
    tagged = sampled(dataset).tagged
    # One cell holds tumour, 15 nothing; that of the contour outside of the region was not looked at altogether.
    assert {tag: len(tiles) for tag, tiles in tagged.items()} == {"stroma": 15, "tumour": 1}
    assert tagged["tumour"].tolist() == [[3 * side, 4 * side, 2 * side, 3 * side]]


def training_set_case(dataset: Dataset) -> str:
    return dataset.cases[0].case


def test_the_tag_of_a_slide_counts_for_its_tissue_where_nothing_else_is_said(tmp_path):
    dataset = make_slides(tmp_path, kinds=())
    case = dataset.case("slide0")
    dataset.update_case("slide0", revision=case.revision, tag="tumour")
    slide = sampled(dataset)
    assert list(slide.tagged) == ["tumour"]
    tissue = slide.case.load_tissue()
    for y0, y1, x0, x1 in slide.tagged["tumour"]:
        rows, columns = (
            slice(a * n // size, -(-b * n // size))
            for a, b, n, size in zip((y0, x0), (y1, x1), tissue.shape, SHAPE, strict=True)
        )
        assert tissue[rows, columns].mean() > 0.4
    outline(dataset, "slide0", TRUTH)
    write_tile_tags(tags_path(dataset.labels_folder, "slide0"), [TileTag(((0, 64), (0, 64)), "stroma")])
    again = sampled(dataset)
    assert list(again.tagged) == ["stroma"]
    assert tags_of(again.case, dataset.info) == {"stroma": 1}


def test_large_tiles_are_seen_all_over(tmp_path):
    dataset = make_slides(tmp_path, kinds=())
    tile = TileTag(((512, 1024), (1024, 1152)), "stroma")
    write_tile_tags(tags_path(dataset.labels_folder, "slide0"), [tile])
    (unit,) = tag_units([sampled(dataset)], prepare)
    centres = unit.load().places[0]
    # 256 by 64 working pixels: four windows beside each other.
    assert sorted(map(tuple, centres)) == [(256 + 32 + 64 * k, 512 + 32) for k in range(4)]


def test_the_same_seed_draws_the_same_and_validation_tiles_stay(everything):
    one, other = sampled(everything), sampled(everything)
    for units in (mask_units, tag_units):
        drawn = [patches(units([slide], prepare), tags=TAGS).draw(range(8), 3) for slide in (one, other)]
        for first, second in zip(*drawn, strict=True):
            np.testing.assert_array_equal(first, second)
    for tiles in (mask_tiles, lambda slide: tag_tiles(slide, TAGS)):
        names = [[tile.case for tile in tiles(slide)] for slide in (one, other)]
        assert names[0] == names[1]
        assert len(set(names[0])) == len(names[0]) > 2
    assert {tile.case for tile in mask_tiles(one)} != {t.case for t in mask_tiles(sampled(everything, seed=1))}


def test_validation_tiles_hold_every_class_and_their_own_labels(everything):
    slide = sampled(everything)
    tiles = mask_tiles(slide)
    assert len(tiles) <= 9
    seen = set()
    for tile in tiles:
        labels, image = tile.load_labels(), tile.load_image()
        assert labels.shape == image.spatial_shape == (2 * WINDOW, 2 * WINDOW)
        assert tile.group == "patient0"
        seen |= set(np.unique(labels))
    assert {1, 2} <= seen
    tags = [tile.tag for tile in tag_tiles(slide, TAGS)]
    assert set(tags) == set(everything_tags(slide))


def test_a_slide_is_refused_where_it_would_be_read_whole(everything):
    case = sampled(everything).case
    with pytest.raises(DatasetError, match="whole slide"):
        case.load_labels()


def test_slides_of_a_patient_stay_together_and_undeclared_paint_is_refused(tmp_path):
    dataset = make_slides(tmp_path, 3, kinds=("tiles",))
    for case in dataset.cases:
        dataset.update_case(case.case, revision=case.revision, group="one patient")
    assert len({case.split for case in training_set(dataset).cases}) == 1
    from napari_medseg.data.slide_master import SlideMaster

    master = SlideMaster.create(dataset.labels_folder / "slide1.zarr", SHAPE, 4, case="slide1")
    master.write(((0, 10), (0, 10)), np.full((10, 10), 9, np.uint8))
    with pytest.raises(DatasetError, match="value 9"):
        training_set(dataset)


def test_more_windows_than_memory_holds_are_looked_through(tmp_path, monkeypatch):
    """A large area is looked at by every second, fourth, ... pixel: places still hold their class."""
    from napari_medseg.data import slide_places

    monkeypatch.setattr(slide_places, "_MOST_PIXELS", 1 << 16)
    dataset = make_slides(tmp_path, kinds=("paint", "contours"))
    slide = sampled(dataset)
    for value, places in slide.drawn.classes.items():
        found = [slide.labels_at(((y, y + 1), (x, x + 1)))[0, 0] for y, x in places[:40].tolist()]
        assert np.mean(np.array(found) == value) > 0.85
