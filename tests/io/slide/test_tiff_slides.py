"""Slides in TIFF files: tile reads compared with tifffile's and OpenSlide's, what is missing, what is kept apart."""

from __future__ import annotations

import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_medseg.errors import ReadError
from napari_medseg.io import describe, read, read_apart
from napari_medseg.io.slide.damage import DamagedTileWarning, damaged_tiles, placeholder
from napari_medseg.io.slide.tiff_tiles import TiffTiles, has_readable_tiles

from .writers import tissue, write_one_level, write_svs


@pytest.fixture
def slide(tmp_path: Path) -> Path:
    write_svs(tmp_path / "a.svs", tissue(1100, 1500))
    return tmp_path / "a.svs"


def test_an_aperio_slide_tells_size_spacing_and_magnification(slide: Path) -> None:
    found = describe(slide)
    assert (found["kind"], found["levels"]) == ("slide", [[1100, 1500, 3], [275, 375, 3]])
    assert (found["spacing"], found["units"]) == ([0.25, 0.25], ["micrometer"] * 2)
    assert found["magnification"] == 40
    assert found["apart"] == ["thumbnail", "label", "macro"]


@pytest.mark.parametrize("box", [(0, 1100, 0, 1500), (250, 262, 250, 770), (1099, 1100, 1499, 1500)])
def test_pixels_are_those_of_tifffile_and_openslide(slide: Path, box: tuple[int, int, int, int]) -> None:
    y0, y1, x0, x1 = box
    shown = read(slide).data[y0:y1, x0:x1]
    with tifffile.TiffFile(slide) as tif:
        np.testing.assert_array_equal(shown, tif.pages[0].asarray()[y0:y1, x0:x1])
    openslide = pytest.importorskip("openslide")
    with openslide.OpenSlide(slide) as other:
        region = np.asarray(other.read_region((x0, y0), 0, (x1 - x0, y1 - y0)).convert("RGB"))
    np.testing.assert_array_equal(shown, region)


@pytest.mark.parametrize("name", ["CMU-1-Small-Region.svs", "TCGA-CR-7395-01A-01-TS1.svs", "boxes.tiff"])
def test_real_slides_look_as_in_openslide(shared_data: Path, name: str) -> None:
    openslide = pytest.importorskip("openslide")
    path = shared_data / "path_slides" / name
    image = read(path)
    with openslide.OpenSlide(path) as other:
        assert [level.shape[1::-1] for level in image.levels] == list(other.level_dimensions)
        for number, level in enumerate(image.levels):
            whole = other.read_region((0, 0), number, other.level_dimensions[number]).convert("RGB")
            np.testing.assert_array_equal(level[...], np.asarray(whole))


@pytest.mark.parametrize("compression", ["jpeg", "zlib", "lzw", "jpeg2000", None])
def test_threads_read_what_one_reads(tmp_path: Path, compression: str | None) -> None:
    pixels = tissue(700, 900)
    write_one_level(tmp_path / "a.tif", pixels, compression=compression)
    with tifffile.TiffFile(tmp_path / "a.tif") as tif:
        expected = tif.asarray()
        assert has_readable_tiles(tif.series[0])
        tiles = TiffTiles(tmp_path / "a.tif", tif.series[0])
        rng = np.random.default_rng(0)
        corners = [(int(y), int(x)) for y, x in zip(rng.integers(0, 600, 40), rng.integers(0, 800, 40), strict=True)]

        def one(corner: tuple[int, int]) -> bool:
            y, x = corner
            block = (slice(y, y + 100), slice(x, x + 100), slice(0, 3))
            return bool((tiles[block] == expected[block]).all())

        with ThreadPoolExecutor(4) as pool:
            assert all(pool.map(one, corners))


def test_threads_may_begin_with_different_levels_of_one_slide(tmp_path: Path) -> None:
    write_svs(tmp_path / "a.svs", tissue(2600, 2600), steps=(2, 4, 8))
    with tifffile.TiffFile(tmp_path / "a.svs") as tif:
        expected = [level.asarray() for level in tif.series[0].levels]
    for _ in range(5):
        image = read(tmp_path / "a.svs")
        with ThreadPoolExecutor(4) as pool:
            found = list(pool.map(lambda level: level[...], image.levels))
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_array_equal(one, other)


def test_a_slide_travels_to_another_process(slide: Path) -> None:
    level = read(slide).levels[0]
    here = level[10:20, 10:20]
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(level))[10:20, 10:20], here)


def test_tiles_that_the_scanner_left_out_are_white(slide: Path) -> None:
    with tifffile.TiffFile(slide, mode="r+b") as tif:
        counts = list(tif.pages[0].databytecounts)
        counts[0] = 0
        tif.pages[0].tags["TileByteCounts"].overwrite(counts)
    shown = read(slide).data[0:256, 0:300]
    assert (shown[:, :256] == 255).all()
    assert (shown[:, 256:] < 255).any()


def damage(path: Path, *tiles: int) -> None:
    """Overwrite stored tiles of the finest level with zeros."""
    with tifffile.TiffFile(path) as tif:
        places = [(tif.pages[0].dataoffsets[tile], tif.pages[0].databytecounts[tile]) for tile in tiles]
    with path.open("r+b") as file:
        for offset, count in places:
            file.seek(offset)
            file.write(b"\0" * count)


def test_damaged_tiles_are_a_chequerboard_told_once_and_the_others_are_read(slide: Path) -> None:
    before = read(slide).data[...]
    damage(slide, 0, 7)
    level = read(slide).data
    with pytest.warns(DamagedTileWarning, match=r"a\.svs is damaged") as told:
        shown = level[...]
    assert len(told) == 1
    for y, x in ((0, 0), (256, 256)):
        np.testing.assert_array_equal(shown[y : y + 256, x : x + 256], placeholder(256, 256))
    np.testing.assert_array_equal(shown[512:], before[512:])
    np.testing.assert_array_equal(shown[:256, 256:], before[:256, 256:])
    assert damaged_tiles(slide) == 2


def test_a_damaged_tile_at_the_border_has_the_size_of_what_is_inside(slide: Path) -> None:
    last = -(-1100 // 256) * -(-1500 // 256) - 1
    damage(slide, last)
    with pytest.warns(DamagedTileWarning):
        assert read(slide).data[1024:, 1280:].shape == (76, 220, 3)


def test_a_slide_that_is_cut_short_is_a_sentence(slide: Path) -> None:
    with tifffile.TiffFile(slide, mode="r+b") as tif:
        counts = list(tif.pages[0].databytecounts)
        counts[0] = 2**31
        tif.pages[0].tags["TileByteCounts"].overwrite(counts)
    with pytest.raises(ReadError, match="cut short"):
        read(slide).data[0:10, 0:10]


def test_a_slide_without_distance_has_none(tmp_path: Path) -> None:
    write_one_level(tmp_path / "a.tif", tissue(400, 400))
    assert describe(tmp_path / "a.tif")["spacing"] is None


@pytest.mark.parametrize("mpp", ["0.0000", "-0.25", "unknown", "nan"])
def test_a_distance_that_can_be_none_is_not_believed(tmp_path: Path, mpp: str) -> None:
    text = f"Aperio Image Library v11.2.1\r\n400x400 (256x256) JPEG/RGB Q=70|AppMag = 40|MPP = {mpp}"
    write_one_level(tmp_path / "a.svs", tissue(400, 400), description=text)
    assert read(tmp_path / "a.svs").spacing is None


def test_a_large_tiled_picture_in_colours_is_a_slide_even_without_levels(tmp_path: Path) -> None:
    for name, side, kind in (("large.tif", 7200, "slide"), ("small.tif", 600, "image")):
        blank = np.broadcast_to(np.uint8(0), (side, side, 3))
        write_one_level(tmp_path / name, blank)
        assert read(tmp_path / name).kind == kind


def test_labels_are_read_only_when_asked_for_by_name(slide: Path) -> None:
    image = read(slide)
    assert image.series_names == ("Baseline",)
    assert (np.asarray(read_apart(slide, "label").data) == 7).all()
    with pytest.raises(ReadError, match="it has thumbnail, label, macro"):
        read_apart(slide, "name")


def test_an_ome_tiff_goes_to_tifffile_and_names_its_objective(tmp_path: Path) -> None:
    from napari_medseg.io.reading import recognise

    path = tmp_path / "a.ome.tif"
    pixels = tissue(600, 700)
    options = {"photometric": "rgb", "tile": (128, 128)}
    xml = {
        "axes": "YXS",
        "PhysicalSizeX": 0.5,
        "PhysicalSizeY": 0.5,
    }
    with tifffile.TiffWriter(path, ome=True) as writer:
        writer.write(pixels, subifds=1, metadata=xml, **options)
        writer.write(pixels[::2, ::2], subfiletype=1, **options)
    text = (
        tifffile.tiffcomment(path)
        .replace(
            "<Image ",
            '<Instrument ID="Instrument:0"><Objective ID="Objective:0" '
            'NominalMagnification="20.0"/></Instrument><Image ',
            1,
        )
        .replace("<Pixels ", '<ObjectiveSettings ID="Objective:0"/><Pixels ', 1)
    )
    tifffile.tiffcomment(path, text.encode())
    assert recognise(path).name == "a TIFF file"
    found = describe(path)
    assert (found["levels"], found["magnification"], found["kind"]) == ([[600, 700, 3], [300, 350, 3]], 20, "slide")


@pytest.mark.parametrize(
    ("name", "shapes", "mpp", "power"),
    [
        ("CMU-1-Small-Region.svs", [(2967, 2220)], 0.499, 20),
        ("TCGA-CR-7395-01A-01-TS1.svs", [(3567, 4443), (1783, 2221)], None, None),
        ("openslide_small.svs", [(16, 16)], 0.499, 20),
        ("boxes.tiff", [(250, 300), (125, 150), (62, 75), (31, 37)], None, None),
    ],
)
def test_real_slides_tell_what_their_files_hold_and_nothing_else(
    shared_data: Path, name: str, shapes: list[tuple[int, int]], mpp: float | None, power: int | None
) -> None:
    found = describe(shared_data / "path_slides" / name)
    assert (found["kind"], found["levels"]) == ("slide", [[*shape, 3] for shape in shapes])
    assert found["spacing"] == (None if mpp is None else pytest.approx([mpp, mpp]))
    assert found.get("magnification") == power
