"""Made-up slides: repeatable, of any size, readable by every reader, and true to what they say lies where."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_medseg.data.synthetic_slide import CLASSES, SyntheticSlide, write_slide
from napari_medseg.data.tissue import find_tissue
from napari_medseg.io import read

SHAPE = (2200, 3100)
SLIDE = SyntheticSlide.make(SHAPE, seed=3)


def test_files_have_the_levels_and_the_facts_that_readers_tell(tmp_path: Path) -> None:
    write_slide(tmp_path / "slide.svs", SHAPE, mpp=0.5)
    write_slide(tmp_path / "slide.tif", SHAPE, mpp=0.5, levels=1)
    aperio, plain = read(tmp_path / "slide.svs"), read(tmp_path / "slide.tif")
    assert [level.shape for level in aperio.levels] == [(*SHAPE, 3), (550, 775, 3)]
    assert (aperio.kind, aperio.metadata["objective_power"]) == ("slide", 20)
    assert len(plain.levels) == 1
    for image in (aperio, plain):
        assert (image.shape, image.rgb) == ((*SHAPE, 3), True)
        assert image.spacing == pytest.approx((0.5, 0.5))
        assert image.units == ("micrometer", "micrometer")


def test_equal_seeds_write_equal_files(tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        write_slide(tmp_path / name, SHAPE, seed=seed)
    first, again, other = ((tmp_path / name).read_bytes() for name in "abc")
    assert first == again
    assert first != other


@pytest.mark.parametrize("level", [0, 1])
def test_colours_tell_the_truth_at_every_level(tmp_path: Path, level: int) -> None:
    """Classes found by colour, with thresholds of their own, are those that the slide tells."""
    slide = write_slide(tmp_path / "slide.tif", SHAPE, seed=3)
    pixels = np.asarray(read(tmp_path / "slide.tif").levels[level][:], np.float32)
    step = 8 // 4**level
    rows, columns = (n // step for n in pixels.shape[:2])
    red, green, blue = pixels[: rows * step, : columns * step].reshape(rows, step, columns, step, 3).mean((1, 3)).T
    found = np.where(green > 150, 0, np.where(red - blue > 40, 2, 1)).T
    truth = slide.truth(None, 8)[:rows, :columns]
    assert {1, 2} <= set(np.unique(truth)) <= {0, *(c.value for c in CLASSES)}
    assert (found == truth).mean() > 0.97


def test_tissue_is_found_where_it_was_put(tmp_path: Path) -> None:
    slide = write_slide(tmp_path / "slide.tif", (4096, 4096), seed=1, share=0.2)
    found = find_tissue(read(tmp_path / "slide.tif"))
    assert 0.15 < found.share < 0.35
    truth = slide.truth(None, 4096 // len(found.mask)) > 0
    assert found.mask[: len(truth), : truth.shape[1]][truth].mean() > 0.98


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_any_part_of_the_truth_is_that_of_the_whole(data: st.DataObject) -> None:
    downsample = data.draw(st.sampled_from([1, 3, 4, 10, 32]))
    box = []
    for n in SHAPE:
        end = -(-n // downsample)
        start = data.draw(st.integers(0, end - 1))
        box.append((start, data.draw(st.integers(start, end))))
    finest = SLIDE.truth()
    middles = [
        np.minimum(np.arange(*span) * downsample + downsample // 2, n - 1) for span, n in zip(box, SHAPE, strict=True)
    ]
    np.testing.assert_array_equal(SLIDE.truth(tuple(box), downsample), finest[np.ix_(*middles)])


@pytest.mark.parametrize("shape", [(512, 512), (513, 5000)])
def test_small_slides_show_some_of_each_island_that_has_room(tmp_path: Path, shape: tuple[int, int]) -> None:
    slide = write_slide(tmp_path / "slide.tif", shape, share=0.0)
    assert read(tmp_path / "slide.tif").spatial_shape == shape
    assert slide.truth().any()


def test_too_small_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least 512"):
        write_slide(tmp_path / "slide.tif", (400, 900))
