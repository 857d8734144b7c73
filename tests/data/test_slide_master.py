from __future__ import annotations

import json
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_medseg.data.slide_master import SlideMaster, is_slide_master
from napari_medseg.errors import ConflictError, DatasetError, InputNotFoundError, ReadError
from napari_medseg.io import read_labels
from napari_medseg.structures import Box
from tests.data.folders import INFO, write_mask

#: Writes one value after the other over four chunks that touch, for ever, and says so.
_PAINTER = """
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
import numpy as np
from napari_medseg.data.slide_master import SlideMaster
master = SlideMaster.open(sys.argv[1])
print("painting", flush=True)
for value in range(10**6):
    master.write(((300, 900), (300, 900)), np.full((600, 600), value % 200, np.uint8))
"""


def make_master(
    folder: Path, shape: tuple[int, int] = (5000, 7001), downsample: int = 4, **more: object
) -> SlideMaster:
    return SlideMaster(folder / "a.zarr", shape, downsample, case="a", classes=INFO.classes, **more)  # type: ignore[arg-type]


def level(master: SlideMaster, number: int) -> np.ndarray:
    """A level as a program that starts now reads it."""
    return np.asarray(zarr.open_array(master.path / str(number), mode="r")[...])


def assert_levels_follow(master: SlideMaster) -> None:
    """Every coarser level holds every second row and column of the one before."""
    finer = level(master, 0)
    for number in range(1, len(master.level_shapes)):
        finer = finer[::2, ::2]
        np.testing.assert_array_equal(level(master, number), finer)
    assert max(finer.shape) <= 512


@st.composite
def boxes(draw: st.DrawFn, shape: tuple[int, ...]) -> Box:
    starts = [draw(st.integers(0, n - 1)) for n in shape]
    return tuple((start, draw(st.integers(start + 1, n))) for start, n in zip(starts, shape, strict=True))


@settings(max_examples=12, deadline=None)
@given(shape=st.sampled_from([(4099, 2600), (1, 9000), (700, 700)]), downsample=st.integers(1, 5), data=st.data())
def test_boxes_written_in_any_order_read_like_an_array_in_all_levels(
    tmp_path_factory: pytest.TempPathFactory, shape: tuple[int, int], downsample: int, data: st.DataObject
) -> None:
    master = make_master(tmp_path_factory.mktemp("master"), shape, downsample)
    assert master.shape == tuple(-(-n // downsample) for n in shape)
    truth = np.full(master.shape, 255, np.uint8)
    for value in data.draw(st.lists(st.integers(0, 255), min_size=1, max_size=3)):
        box = data.draw(boxes(master.shape))
        part = tuple(slice(*side) for side in box)
        truth[part] = value
        master.write(box, np.ascontiguousarray(truth[part]))
    np.testing.assert_array_equal(master.read(), truth)
    again = SlideMaster.open(master.path)
    box = data.draw(boxes(master.shape))
    np.testing.assert_array_equal(again.read(box), truth[tuple(slice(*side) for side in box)])
    assert_levels_follow(again)
    held = {(r // 512, c // 512) for r, c in np.argwhere(truth != 255)}
    assert {(r // 512, c // 512) for (r, _), (c, _) in again.painted()} == held


def test_a_master_of_a_huge_slide_takes_no_room_where_nobody_painted(tmp_path: Path) -> None:
    master = make_master(tmp_path, (80_000, 100_000))
    assert not any(tmp_path.iterdir())
    box = ((15_000, 15_010), (20_000, 20_300))
    assert (master.read(box) == 255).all()
    master.write(box, np.ones((10, 300), np.uint8))
    assert master.painted() == [((14848, 15360), (19968, 20480))]
    assert sum(file.stat().st_size for file in master.path.rglob("*") if file.is_file()) < 20_000
    master.write(box, np.full((10, 300), 255, np.uint8))
    assert master.painted() == []


def test_it_tells_where_it_lies_and_what_its_values_mean(tmp_path: Path) -> None:
    master = SlideMaster.create(
        tmp_path / "a.zarr",
        (2001, 3000),
        4,
        case="a",
        classes=INFO.classes,
        spacing=(0.25, 0.25),
        units=("micrometer", "micrometer"),
    )
    found = read_labels(master.path)
    assert (found.spacing, found.units) == ((1.0, 1.0), ("micrometer", "micrometer"))
    assert [c.name for c in found.classes] == [c.name for c in INFO.classes]
    ome = json.loads((master.path / "zarr.json").read_text())["attributes"]["ome"]
    transforms = [each["coordinateTransformations"] for each in ome["multiscales"][0]["datasets"]]
    # The middle of pixel 0 is the middle of four level-0 pixels of 0.25 µm.
    assert transforms[0] == [
        {"type": "scale", "scale": [1.0, 1.0]},
        {"type": "translation", "translation": [0.375, 0.375]},
    ]
    assert [each[0]["scale"][0] for each in transforms] == [1.0, 2.0]
    assert is_slide_master(master.path)
    again = SlideMaster.open(master.path)
    assert (again.slide_shape, again.downsample, again.case, again.shape) == ((2001, 3000), 4, "a", (501, 750))


def test_what_is_no_master_is_refused_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputNotFoundError, match=r"There is no painting .*a\.zarr"):
        SlideMaster.open(tmp_path / "a.zarr")
    zarr.open_group(tmp_path / "b.zarr", mode="w", zarr_format=3)
    with pytest.raises(ReadError, match=r"b\.zarr is not the painting of a whole slide"):
        SlideMaster.open(tmp_path / "b.zarr")


def test_boxes_that_are_written_together_read_as_if_one_by_one(tmp_path: Path) -> None:
    master, truth = make_master(tmp_path, (3000, 2700), 1), np.full((3000, 2700), 255, np.uint8)
    with master.together():
        for value, box in enumerate([((0, 700), (0, 700)), ((2900, 3000), (2600, 2700)), ((600, 800), (1, 2))]):
            part = tuple(slice(*side) for side in box)
            truth[part] = value
            master.write(box, np.ascontiguousarray(truth[part]))
    np.testing.assert_array_equal(SlideMaster.open(master.path).read(), truth)
    assert_levels_follow(master)
    # The lock is free again.
    make_master(tmp_path, (3000, 2700), 1).write(((0, 1), (0, 1)), np.array([[9]], np.uint8))


def test_threads_that_write_one_master_leave_all_of_both(tmp_path: Path) -> None:
    master = SlideMaster.create(tmp_path / "a.zarr", (2000, 2000), 1, case="a")

    def paint(left: int) -> None:
        for top in range(0, 2000, 400):
            with master.together():
                for column in (left, left + 400):
                    master.write(
                        ((top, top + 400), (column, column + 400)), np.full((400, 400), 1 + left // 800, np.uint8)
                    )

    with ThreadPoolExecutor(2) as threads:
        for done in [threads.submit(paint, left) for left in (0, 800)]:
            done.result()
    painted = SlideMaster.open(master.path).read()
    assert (painted[:, :800] == 1).all()
    assert (painted[:, 800:1600] == 2).all()
    assert_levels_follow(master)


def test_a_painter_that_is_killed_leaves_whole_chunks(tmp_path: Path) -> None:
    master = SlideMaster.create(tmp_path / "a.zarr", (5000, 7001), 4, case="a")
    for moment in (0.02, 0.045, 0.07):
        painter = subprocess.Popen(
            [sys.executable, "-c", _PAINTER, str(master.path)], stdout=subprocess.PIPE, text=True
        )
        assert painter.stdout is not None
        assert painter.stdout.readline() == "painting\n"
        try:
            painter.wait(moment)
        except subprocess.TimeoutExpired:
            painter.send_signal(signal.SIGKILL)
        painter.wait()
        painter.stdout.close()
        opened = SlideMaster.open(master.path)
        painted = opened.read(((300, 900), (300, 900)))
        for rows in (slice(0, 212), slice(212, 600)):
            for columns in (slice(0, 212), slice(212, 600)):
                assert len(np.unique(painted[rows, columns])) == 1
        opened.mend()
        assert_levels_follow(opened)
    assert not (master.path / "pending.txt").exists()


def test_coarser_pixels_that_a_full_disk_left_out_follow_with_the_next_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    master = SlideMaster.create(tmp_path / "a.zarr", (5000, 7001), 4, case="a")

    def no_room(group: object, box: Box) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(master, "_halve", no_room)
        with pytest.raises(Exception, match="No space left on device"):
            master.write(((0, 700), (0, 700)), np.ones((700, 700), np.uint8))
    master.write(((1000, 1001), (1000, 1001)), np.ones((1, 1), np.uint8))
    assert_levels_follow(master)
    assert (level(master, 1)[:350, :350] == 1).all()


def test_an_imported_image_is_taken_over_by_the_first_stroke(tmp_path: Path) -> None:
    truth = np.random.default_rng(0).integers(0, 3, (1250, 1751), dtype=np.uint8)
    imported = write_mask(tmp_path / "a.tif", truth)
    master = make_master(tmp_path, (5000, 7001), 4, imported=imported)
    np.testing.assert_array_equal(master.read(((5, 9), (1000, 1004))), truth[5:9, 1000:1004])
    assert not master.exists
    master.write(((5, 6), (7, 8)), np.array([[9]], np.uint8))
    truth[5, 7] = 9
    np.testing.assert_array_equal(SlideMaster.open(master.path).read(), truth)
    assert_levels_follow(master)
    with pytest.raises(DatasetError, match="1250 x 1751 pixels but its image is 2500 x 3501"):
        make_master(tmp_path / "b", (5000, 7001), 2, imported=imported)


def test_two_painters_of_one_chunk_lose_nothing(tmp_path: Path) -> None:
    mine, other = make_master(tmp_path), make_master(tmp_path)
    box = ((0, 100), (0, 100))
    for master in (mine, other):
        master.read(box)
    mine.write(box, np.ones((100, 100), np.uint8))
    other.read(box)
    other.write(box, np.full((100, 100), 2, np.uint8))
    with pytest.raises(ConflictError, match=r"yours is kept in .*conflicts"):
        mine.write(box, np.full((100, 100), 3, np.uint8))
    assert (make_master(tmp_path).read(box) == 2).all()
    assert_levels_follow(mine)
    (kept,) = (tmp_path / "conflicts").iterdir()
    assert (np.asarray(zarr.open_array(kept / "0", mode="r")[:100, :100]) == 3).all()
