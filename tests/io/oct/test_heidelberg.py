"""Heidelberg's three formats: shapes, spacing and layers as an independent look at the bytes finds them."""

from __future__ import annotations

import pickle
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Picture

from napari_medseg.errors import ReadError
from napari_medseg.io import describe, image_files, read
from napari_medseg.io.oct.heidelberg import distance_between, named_layers

from .writers import MISSING, write_e2e, write_opt, write_vol, write_xml

_RNG = np.random.default_rng(0)
_REFLECTANCE = _RNG.random((3, 20, 16)).astype(np.float32)
_ROWS = np.stack([np.full((3, 16), row, np.float32) for row in (5.25, 12.5, 8.0)], axis=1)


def test_the_real_line_scan_is_what_its_bytes_say(shared_data: Path) -> None:
    path = shared_data / "formats_oct" / "Linescan_1.vol"
    image = read(path)
    raw = path.read_bytes()
    width, _, height = struct.unpack_from("<3I", raw, 12)
    step_x, _, step_y = struct.unpack_from("<3d", raw, 24)
    slo = struct.unpack_from("<2I", raw, 48)
    start = 2048 + slo[0] * slo[1]
    header_bytes = struct.unpack_from("<I", raw, start + 12)[0]
    heights = np.frombuffer(raw, "<f4", 2 * width, start + 256).reshape(2, width)
    stored = np.frombuffer(raw, "<f4", width * height, start + header_bytes).reshape(height, width)
    assert (image.axes, image.shape, image.kind) == ("yx", (496, 768), "oct")
    assert image.spacing == (step_y, step_x)
    assert image.units == ("millimeter", "millimeter")
    assert image.oct is not None
    assert (image.oct.laterality, image.oct.pattern) == ("R", "line")
    assert list(image.oct.surfaces) == ["ILM", "BM"]
    for name, stored_rows in zip(image.oct.surfaces, heights, strict=True):
        rows = image.oct.surfaces[name][0]
        np.testing.assert_array_equal(rows[stored_rows < 1e30], stored_rows[stored_rows < 1e30])
        assert np.isnan(rows[stored_rows > 1e30]).all()
    valid = stored < 1e30
    np.testing.assert_allclose(image.data[valid], 255 * stored[valid] ** 0.25, atol=0.51)
    assert image.oct.localizer is not None
    np.testing.assert_array_equal(
        image.oct.localizer.data, np.frombuffer(raw, np.uint8, 768 * 768, 2048).reshape(768, 768)
    )


@pytest.mark.parametrize(
    "kind", ["heyex_vol/test_volume.vol", "heyex_xml/test_volume", "heyex_xml/test_volume/test_dummy.xml"]
)
def test_the_same_scan_in_two_formats_agrees_with_eyepy(shared_data: Path, kind: str) -> None:
    import eyepy

    folder = shared_data / "formats_oct" / "eyepy_test_filetypes"
    truth = eyepy.import_heyex_xml(folder / "heyex_xml" / "test_volume")
    image = read(folder / kind)
    assert image.shape == (10, 40, 50)
    assert image.spacing == pytest.approx(truth.scale, rel=1e-6)
    np.testing.assert_array_equal(image.data, truth.data)
    assert image.oct is not None
    assert image.oct.positions is not None
    starts = np.array([meta["start_pos"] for meta in truth.meta["bscan_meta"]])
    np.testing.assert_allclose(image.oct.positions[:, 0, ::-1] * 0.0118, starts, atol=1e-9)
    if "xml" in kind:
        assert set(image.oct.surfaces) == set(truth.layers)
        for name, rows in image.oct.surfaces.items():
            np.testing.assert_array_equal(rows, truth.layers[name].data)


def test_a_volume_keeps_its_order_and_its_layers_are_sorted(tmp_path: Path) -> None:
    layers = _ROWS.copy()
    layers[1, 2] = MISSING
    image = read(write_vol(tmp_path / "a.vol", _REFLECTANCE, layers))
    assert (image.axes, image.shape, image.spacing) == ("zyx", (3, 20, 16), (0.12, 0.0039, 0.0115))
    assert image.oct is not None
    assert list(image.oct.surfaces) == ["ILM", "RNFL", "BM"]
    assert np.isnan(image.oct.surfaces["RNFL"][1]).all()
    assert (image.oct.surfaces["BM"] == 12.5).all()
    np.testing.assert_allclose(image.data, 255 * _REFLECTANCE**0.25, atol=0.51)


@pytest.mark.parametrize(("number", "pattern"), [(0, ""), (1, "line"), (2, "circle"), (5, "star"), (99, "")])
def test_scans_that_are_no_volumes_open_too(tmp_path: Path, number: int, pattern: str) -> None:
    count = 1 if number in (1, 2) else 3
    path = write_vol(
        tmp_path / "a.vol", _REFLECTANCE[:count], _ROWS[:count], pattern=number, step=(0.0, 0.0039, 0.0115)
    )
    image = read(path)
    assert image.oct is not None
    assert image.oct.pattern == pattern
    assert image.axes == ("yx" if count == 1 else "zyx")
    assert image.spacing is not None
    assert min(image.spacing) > 0
    if count == 3:
        assert image.units == ("pixel", "millimeter", "millimeter")


def test_spacing_that_is_none_is_not_made_up(tmp_path: Path) -> None:
    path = write_vol(tmp_path / "a.vol", _REFLECTANCE, _ROWS, step=(0.1, 0.0, 0.01), slo_step=0.0)
    image = read(path)
    assert (image.spacing, image.units) == (None, None)
    assert image.oct is not None
    assert image.oct.positions is None
    assert image.oct.localizer is not None
    assert image.oct.localizer.spacing is None


def test_names_of_layers_are_trusted_only_where_they_can_be_right() -> None:
    flat = np.ones((19, 1, 4), np.float32) * np.arange(19, dtype=np.float32)[:, None, None]
    assert list(named_layers(flat[:17]))[:3] == ["ILM", "BM", "RNFL"]
    assert list(named_layers(flat[:5])) == ["ILM", "BM", "RNFL", "surface 4", "surface 5"]
    assert list(named_layers(flat[1::-1])) == ["surface 1", "surface 2"]
    assert list(named_layers(flat))[17:] == ["surface 18", "surface 19"]


def test_layers_without_a_value_are_no_layers(tmp_path: Path) -> None:
    layers = np.full((3, 17, 16), MISSING, np.float32)
    layers[:, 0], layers[:, 16], layers[:, 5] = 4.0, 0.0, np.nan
    image = read(write_vol(tmp_path / "a.vol", _REFLECTANCE, layers))
    assert image.oct is not None
    assert list(image.oct.surfaces) == ["ILM"]


@pytest.mark.parametrize("share", [0.001, 0.02, 0.3, 0.6, 0.99, 0.9999])
def test_half_a_vol_is_refused(tmp_path: Path, share: float) -> None:
    path = write_vol(tmp_path / "a.vol", _REFLECTANCE, _ROWS)
    whole = path.read_bytes()
    path.write_bytes(whole[: max(int(len(whole) * share), 20)])
    with pytest.raises(ReadError, match=r"a\.vol is cut short"):
        read(path)


def test_large_volumes_are_read_b_scan_by_b_scan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_vol(tmp_path / "a.vol", _REFLECTANCE, _ROWS)
    whole = read(path).data
    monkeypatch.setattr("napari_medseg.io.reading.EAGER_BYTES", 100)
    image = read(path)
    assert not isinstance(image.data, np.ndarray)
    np.testing.assert_array_equal(image.data[2, 3:7], whole[2, 3:7])
    assert image.data.chunks == (1, 20, 16)


def test_an_export_needs_its_pictures(tmp_path: Path) -> None:
    path = write_xml(tmp_path, (_REFLECTANCE * 255).astype(np.uint8), {"ILM": _ROWS[:, 0], "BM": _ROWS[:, 1]})
    image = read(path)
    np.testing.assert_array_equal(image.data, (_REFLECTANCE * 255).astype(np.uint8))
    assert image.spacing == pytest.approx((0.12, 0.0039, 0.0115))
    assert image.oct is not None
    assert image.oct.positions is not None
    np.testing.assert_allclose(image.oct.positions[0], [[3 / 0.25, 1 / 0.5], [3 / 0.25, 7 / 0.5]])
    Picture.fromarray(np.zeros((5, 5), np.uint8)).save(tmp_path / "B2.tif")
    with pytest.raises(ReadError, match=r"B2\.tif and B1\.tif differ"):
        read(tmp_path)
    (tmp_path / "B2.tif").unlink()
    with pytest.raises(ReadError, match=r"'B2\.tif', which is not beside it"):
        read(path)


def test_two_exports_in_a_folder_are_not_guessed_between(tmp_path: Path) -> None:
    path = write_xml(tmp_path, (_REFLECTANCE * 255).astype(np.uint8), {})
    (tmp_path / "second.xml").write_bytes(path.read_bytes())
    with pytest.raises(ReadError, match="2 XML exports"):
        read(tmp_path)
    assert read(path).shape == (3, 20, 16)


def test_every_series_of_an_e2e_is_offered(tmp_path: Path) -> None:
    stored = _RNG.integers(0, 64000, (3, 20, 16), dtype=np.uint16)
    layers = {0: _ROWS[:, 0], 1: _ROWS[:, 1]}
    volumes = [
        {"bscans": stored, "layers": layers, "reversed": True},
        {"bscans": stored[:1], "pattern": 2, "side": b"L"},
        {"bscans": stored, "pattern": 5},
    ]
    path = write_e2e(tmp_path / "a.e2e", volumes)
    names = describe(path)["series"]
    assert names == ["1: raster R, 3 B-scans", "2: circle L, 1 B-scan", "3: star R, 3 B-scans"]
    first, circle, star = (read(path, series=number) for number in range(3))
    assert first.oct is not None
    assert circle.oct is not None
    assert (first.shape, circle.shape, star.shape) == ((3, 20, 16), (20, 16), (3, 20, 16))
    assert (circle.oct.laterality, circle.oct.pattern, circle.series) == ("L", "circle", 1)
    np.testing.assert_array_equal(first.oct.surfaces["BM"], _ROWS[:, 1])
    np.testing.assert_array_equal(first.data, star.data)
    assert first.spacing is None
    # 10 degrees of 289.6 micrometres over 16 pixels; half a degree between B-scans.
    assert first.metadata["suggested_spacing"] == pytest.approx((0.1448, 0.0039, 0.181))
    assert any("0.0039 mm per pixel along the depth" in warning for warning in first.warnings)
    with pytest.raises(ReadError, match="not a number 3"):
        read(path, series=3)


def test_pixels_of_an_e2e_are_what_eyepy_decodes(tmp_path: Path) -> None:
    from eyepy.io.he.e2e_reader import HeE2eReader

    stored = _RNG.integers(0, 64000, (2, 20, 16), dtype=np.uint16)
    path = write_e2e(tmp_path / "a.e2e", [{"bscans": stored}])
    with HeE2eReader(path) as reader:
        truth = np.stack([one.get_bscan() for one in reader.series[0].slices.values()])
    shown = np.where((truth >= 0) & (truth <= 1), truth, 0) ** 0.25 * 255
    np.testing.assert_allclose(read(path).data, shown, atol=0.51)


def test_distances_between_b_scans() -> None:
    starts = np.array([[0.0, 0.3 * i] for i in range(4)])
    ends = starts + np.array([6.0, 0.0])
    assert distance_between(starts, ends) == pytest.approx(0.3)
    turn = np.array([[0.8, 0.6], [-0.6, 0.8]])
    assert distance_between(starts @ turn, ends @ turn) == pytest.approx(0.3)
    assert distance_between(starts[:1], ends[:1]) is None
    assert distance_between(starts, ends + np.array([[0, 0], [0, 0], [0, 3], [0, 0]])) is None
    assert distance_between(starts * [[1], [1], [1], [2]], ends * [[1], [1], [1], [2]]) is None


def test_exports_in_a_folder_are_images_of_it(tmp_path: Path) -> None:
    for name in ("eye2", "eye10"):
        write_xml(tmp_path / name, (_REFLECTANCE * 255).astype(np.uint8), {})
    (tmp_path / "notes").mkdir()
    assert [path.name for path in image_files(tmp_path)] == ["eye2", "eye10"]


def test_readers_can_be_sent_to_other_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("napari_medseg.io.reading.EAGER_BYTES", 10)
    pixels = (_REFLECTANCE * 255).astype(np.uint8)
    files = [
        write_vol(tmp_path / "a.vol", _REFLECTANCE, _ROWS),
        write_xml(tmp_path / "xml", pixels, {}),
        write_opt(tmp_path / "a.dcm", pixels),
    ]
    for path in files:
        image = read(path)
        again = pickle.loads(pickle.dumps(image))
        np.testing.assert_array_equal(again.data[1:], image.data[1:])
