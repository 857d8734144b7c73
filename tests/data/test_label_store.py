from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_medseg.data.label_layout import chunk_shape
from napari_medseg.data.label_store import LabelStore
from napari_medseg.errors import ConflictError, DatasetError
from napari_medseg.structures import Box
from tests.data.folders import INFO, write_mask


def make_store(folder: Path, shape: tuple[int, ...], **more: object) -> LabelStore:
    return LabelStore(folder / "a.zarr", shape, case="a", classes=INFO.classes, **more)  # type: ignore[arg-type]


@st.composite
def boxes(draw: st.DrawFn, shape: tuple[int, ...]) -> Box:
    sides = []
    for n in shape:
        start = draw(st.integers(0, n - 1))
        sides.append((start, draw(st.integers(start + 1, n))))
    return tuple(sides)


@settings(max_examples=15, deadline=None)
@given(shape=st.sampled_from([(700, 520), (20, 300, 270), (3, 2)]), data=st.data())
def test_boxes_written_in_any_order_read_like_an_array(
    tmp_path_factory: pytest.TempPathFactory, shape: tuple[int, ...], data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("store")
    store, truth = make_store(folder, shape), np.full(shape, 255, np.uint8)
    for value in data.draw(st.lists(st.integers(0, 255), max_size=3)):
        box = data.draw(boxes(shape))
        part = tuple(slice(*side) for side in box)
        truth[part] = value
        store.write_box(box, np.ascontiguousarray(truth[part]))
    np.testing.assert_array_equal(store.read(), truth)
    np.testing.assert_array_equal(make_store(folder, shape).read(), truth)
    box = data.draw(boxes(shape))
    np.testing.assert_array_equal(store.read_box(box), truth[tuple(slice(*side) for side in box)])


def test_nothing_is_on_disk_before_the_first_stroke(tmp_path: Path) -> None:
    store = make_store(tmp_path, (50, 40))
    assert (store.read() == 255).all()
    assert not any(tmp_path.iterdir())


def test_only_changed_chunks_are_written(tmp_path: Path) -> None:
    store = make_store(tmp_path, (1100, 1100))
    labels = store.read()
    labels[:] = 0
    whole = ((0, 1100), (0, 1100))
    assert store.write_box(whole, labels) == 9
    assert store.write_box(whole, labels) == 0
    labels[600, 600] = 1
    before = _times(tmp_path)
    assert store.write_box(whole, labels) == 1
    assert [name for name, time in _times(tmp_path).items() if before[name] != time] == ["1/1"]


def test_an_imported_image_is_converted_by_the_first_stroke_and_kept(tmp_path: Path) -> None:
    truth = np.random.default_rng(0).integers(0, 3, (600, 70), dtype=np.uint8)
    imported = write_mask(tmp_path / "a.tif", truth)
    content = imported.read_bytes()
    store = make_store(tmp_path, truth.shape, imported=imported)
    np.testing.assert_array_equal(store.read(), truth)
    assert not store.exists
    store.write_box(((5, 6), (7, 8)), np.array([[2]], np.uint8))
    truth[5, 7] = 2
    np.testing.assert_array_equal(store.read(), truth)
    assert imported.read_bytes() == content


def test_the_file_is_an_ome_zarr_label_with_names_and_colours(tmp_path: Path) -> None:
    store = make_store(tmp_path, (30, 40), spacing=(0.5, 0.25), units=("micrometer",) * 2, offset=(10, 20))
    store.write_box(((0, 1), (0, 1)), np.zeros((1, 1), np.uint8))
    ome = zarr.open_group(store.path, mode="r").attrs["ome"]
    assert ome["version"] == "0.5"
    assert ome["image-label"]["properties"] == [
        {"label-value": 1, "name": "gland"},
        {"label-value": 2, "name": "tumour"},
    ]
    assert ome["image-label"]["colors"][0] == {"label-value": 1, "rgba": [0xE6, 0x9F, 0x00, 255]}
    scale, shift = ome["multiscales"][0]["datasets"][0]["coordinateTransformations"]
    assert (scale["scale"], shift["translation"]) == ([0.5, 0.25], [5.0, 5.0])
    assert ome["multiscales"][0]["axes"][1] == {"name": "x", "type": "space", "unit": "micrometer"}


def test_not_looked_at_becomes_background_only_where_asked(tmp_path: Path) -> None:
    store = make_store(tmp_path, (40, 30))
    store.write_box(((0, 10), (0, 10)), np.full((10, 10), 2, np.uint8))
    circle = np.hypot(*np.mgrid[-10:10, -10:10]) < 8
    store.fill_not_looked_at(((5, 25), (5, 25)), circle)
    truth = np.full((40, 30), 255, np.uint8)
    truth[5:25, 5:25][circle] = 0
    truth[:10, :10] = 2
    np.testing.assert_array_equal(store.read(), truth)
    store.fill_not_looked_at()
    np.testing.assert_array_equal(store.read(), np.where(truth == 255, 0, truth))


def test_two_programs_at_the_same_place_keep_both_drawings(tmp_path: Path) -> None:
    mine = make_store(tmp_path, (600, 600), conflicts=tmp_path / "kept")
    mine.write_box(((0, 600), (0, 600)), np.zeros((600, 600), np.uint8))
    theirs = make_store(tmp_path, (600, 600))
    theirs.read()
    theirs.write_box(((0, 10), (0, 10)), np.full((10, 10), 1, np.uint8))
    with pytest.raises(ConflictError, match=r"yours is kept in .*kept"):
        mine.write_box(((5, 600), (5, 600)), np.full((595, 595), 2, np.uint8))
    labels = mine.read()
    assert (labels[:10, :10] == 1).all(), "the other program's stroke stays"
    assert (labels[512:, 512:] == 2).all(), "chunks that nobody else touched are saved"
    (kept,) = (tmp_path / "kept").glob("*.zarr")
    assert (LabelStore(kept, (600, 600), case="a").read()[5:512, 5:512] == 2).all()


def test_programs_at_different_places_do_not_meet(tmp_path: Path) -> None:
    one, two = make_store(tmp_path, (1100, 1100)), make_store(tmp_path, (1100, 1100))
    one.read(), two.read()
    one.write_box(((0, 9), (0, 9)), np.full((9, 9), 1, np.uint8))
    two.write_box(((1000, 1009), (1000, 1009)), np.full((9, 9), 2, np.uint8))
    values, counts = np.unique(one.read(), return_counts=True)
    assert dict(zip(values, counts, strict=True)) == {1: 81, 2: 81, 255: 1100 * 1100 - 162}


def test_labels_of_another_size_are_refused(tmp_path: Path) -> None:
    make_store(tmp_path, (30, 40)).write_box(((0, 1), (0, 1)), np.zeros((1, 1), np.uint8))
    with pytest.raises(DatasetError, match="30 x 40 pixels but its image is 40 x 30"):
        make_store(tmp_path, (40, 30))


@pytest.mark.parametrize(
    ("box", "pixels"),
    [
        (((0, 31), (0, 1)), np.zeros((31, 1), np.uint8)),
        (((0, 2), (0, 2)), np.zeros((2, 3), np.uint8)),
        (((0, 2), (0, 2)), np.zeros((2, 2), np.int32)),
    ],
)
def test_pixels_that_do_not_fit_the_box_are_a_programming_error(tmp_path: Path, box: Box, pixels: np.ndarray) -> None:
    with pytest.raises(ValueError, match="must be uint8"):
        make_store(tmp_path, (30, 40)).write_box(box, pixels)
    assert not any(tmp_path.iterdir())


def test_complete_regions_are_remembered_once(tmp_path: Path) -> None:
    store = make_store(tmp_path, (30, 40))
    for _ in range(2):
        store.add_complete_region(((0, 10), (5, 10)))
    store.add_complete_region(((1, 2), (3, 4)))
    assert make_store(tmp_path, (30, 40)).complete_regions == (((0, 10), (5, 10)), ((1, 2), (3, 4)))


@given(st.lists(st.integers(1, 5000), min_size=2, max_size=3).map(tuple))
def test_chunks_are_never_larger_than_the_image(shape: tuple[int, ...]) -> None:
    assert all(1 <= size <= n for size, n in zip(chunk_shape(shape), shape, strict=True))


def _times(folder: Path) -> dict[str, int]:
    root = folder / "a.zarr" / "0" / "c"
    return {str(p.relative_to(root)): p.stat().st_mtime_ns for p in root.rglob("*") if p.is_file()}
