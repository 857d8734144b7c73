"""OME-Zarr, written by hand with zarr from the specification's words, and read by us."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import zarr

from napari_medseg.errors import ReadError
from napari_medseg.io import read, read_labels

Pixels = npt.NDArray[Any]


def _axis(name: str, unit: str | None = None) -> dict[str, str]:
    entry = {"name": name, "type": {"c": "channel", "t": "time"}.get(name, "space")}
    return entry | ({"unit": unit} if unit else {})


def _write(
    path: Path,
    levels: list[Pixels],
    axes: list[dict[str, str]],
    scale: list[float],
    version: str,
    **extra: Any,
) -> None:
    """A multiscale group of version 0.4 (zarr 2, bare keys) or 0.5 (zarr 3, under ``ome``)."""
    group = zarr.open_group(path, mode="w", zarr_format=2 if version == "0.4" else 3)
    datasets = []
    for i, level in enumerate(levels):
        array = group.create_array(
            f"s{i}", shape=level.shape, dtype=level.dtype, chunks=tuple(min(n, 64) for n in level.shape)
        )
        array[...] = level
        factors = [s * (2**i if a["name"] in "yx" else 1) for s, a in zip(scale, axes, strict=True)]
        datasets.append({"path": f"s{i}", "coordinateTransformations": [{"type": "scale", "scale": factors}]})
    multiscale = {"version": version, "name": "test", "axes": axes, "datasets": datasets}
    if version == "0.4":
        group.attrs.update({"multiscales": [multiscale], **extra})
    else:
        group.attrs["ome"] = {"version": version, "multiscales": [multiscale], **extra}


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_levels_axes_and_distances(tmp_path: Path, version: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 999, (5, 70, 90)).astype(np.uint16)
    axes = [_axis("z", "millimeter"), _axis("y", "micrometer"), _axis("x", "micrometer")]
    _write(tmp_path / "a.zarr", [pixels, pixels[:, ::2, ::2]], axes, [1.5, 0.5, 0.25], version)
    image = read(tmp_path / "a.zarr")
    assert (image.axes, image.kind, image.rgb, len(image.levels)) == ("zyx", "image", False, 2)
    assert image.spacing == (1.5, 0.5, 0.25)
    assert image.units == ("millimeter", "micrometer", "micrometer")
    np.testing.assert_array_equal(image.data[...], pixels)
    np.testing.assert_array_equal(image.levels[1][2, 3:9], pixels[:, ::2, ::2][2, 3:9])


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_rgb_channels_move_to_the_end(tmp_path: Path, version: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (1, 3, 1, 70, 90)).astype(np.uint8)
    colors = [{"color": color, "label": color} for color in ("FF0000", "00FF00", "0000FF")]
    axes = [_axis(a) for a in "tczyx"]
    _write(tmp_path / "a.zarr", [pixels], axes, [1.0] * 5, version, omero={"channels": colors})
    image = read(tmp_path / "a.zarr")
    assert (image.axes, image.rgb, image.spacing, image.warnings) == ("yxc", True, None, ())
    np.testing.assert_array_equal(image.data, np.moveaxis(pixels[0, :, 0], 0, -1))


def test_fluorescence_channels_keep_their_names(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (3, 70, 90)).astype(np.uint8)
    channels = [{"color": "0000FF", "label": "DAPI"}, {"color": "00FF00", "label": "CD8"}, {"label": "CD3"}]
    axes = [_axis("c"), _axis("y", "micrometer"), _axis("x", "micrometer")]
    _write(tmp_path / "a.zarr", [pixels], axes, [1.0, 0.5, 0.5], "0.5", omero={"channels": channels})
    image = read(tmp_path / "a.zarr")
    assert (image.axes, image.rgb, image.channels) == ("cyx", False, ("DAPI", "CD8", "CD3"))
    np.testing.assert_array_equal(image.region(((3, 9), (4, 8))), pixels[:, 3:9, 4:8])


def test_scale_of_the_whole_multiscale_multiplies(tmp_path: Path) -> None:
    axes = [_axis("y", "micrometer"), _axis("x", "micrometer")]
    _write(tmp_path / "a.zarr", [np.zeros((8, 9), np.uint8)], axes, [2.0, 3.0], "0.4")
    group = zarr.open_group(tmp_path / "a.zarr", mode="r+")
    multiscale = dict(group.attrs["multiscales"][0])
    multiscale["coordinateTransformations"] = [{"type": "scale", "scale": [0.5, 0.5]}]
    group.attrs["multiscales"] = [multiscale]
    assert read(tmp_path / "a.zarr").spacing == (1.0, 1.5)


def test_images_of_a_bioformats_conversion_are_series(tmp_path: Path) -> None:
    root = zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=2)
    root.attrs["bioformats2raw.layout"] = 3
    for name in ("0", "1", "10"):
        pixels = np.full((8, 9), int(name), np.uint8)
        _write(tmp_path / "a.zarr" / name, [pixels], [_axis("y"), _axis("x")], [1.0, 1.0], "0.4")
    image = read(tmp_path / "a.zarr", series=2)
    assert image.series_names == ("0", "1", "10")
    assert np.all(np.asarray(image.data) == 10)


def test_labels_of_another_program_are_read_with_their_classes(tmp_path: Path) -> None:
    labels = np.random.default_rng(0).integers(0, 3, (40, 50)).astype(np.int32)
    described = {
        "colors": [{"label-value": 1, "rgba": [255, 0, 0, 128]}, {"label-value": 2, "rgba": [0, 0, 255, 255]}],
        "properties": [{"label-value": 1, "class": "gland"}],
    }
    axes = [_axis("y", "micrometer"), _axis("x", "micrometer")]
    _write(tmp_path / "a.zarr", [labels], axes, [0.5, 0.5], "0.4", **{"image-label": described})
    found = read_labels(tmp_path / "a.zarr")
    np.testing.assert_array_equal(found.labels, labels)
    assert [(c.value, c.name, c.color) for c in found.classes] == [(1, "gland", "#ff0000"), (2, "class 2", "#0000ff")]
    assert (found.axes, found.spacing) == ("yx", (0.5, 0.5))


def test_a_bare_array_is_an_image_too(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 9, (4, 8, 9)).astype(np.float32)
    zarr.save_array(tmp_path / "a.zarr", pixels)
    image = read(tmp_path / "a.zarr")
    assert image.axes == "zyx"
    np.testing.assert_array_equal(image.data, pixels)


def _break_json(path: Path) -> None:
    (path / "zarr.json").write_text((path / "zarr.json").read_text()[:40])


def _remove_level(path: Path) -> None:
    document = json.loads((path / "zarr.json").read_text())
    document["attributes"]["ome"]["multiscales"][0]["datasets"][0]["path"] = "gone"
    (path / "zarr.json").write_text(json.dumps(document))


def _rename_axis(path: Path) -> None:
    document = json.loads((path / "zarr.json").read_text())
    document["attributes"]["ome"]["multiscales"][0]["axes"][0]["name"] = "wavelength"
    (path / "zarr.json").write_text(json.dumps(document))


def _no_datasets(path: Path) -> None:
    document = json.loads((path / "zarr.json").read_text())
    del document["attributes"]["ome"]["multiscales"][0]["datasets"]
    (path / "zarr.json").write_text(json.dumps(document))


def _cut_chunk(path: Path) -> None:
    chunk = next(p for p in (path / "s0").rglob("*") if p.is_file() and p.name != "zarr.json")
    chunk.write_bytes(chunk.read_bytes()[: chunk.stat().st_size // 2])


@pytest.mark.parametrize("spoil", [_break_json, _remove_level, _rename_axis, _no_datasets, _cut_chunk])
def test_broken_folders_are_refused_in_a_sentence(tmp_path: Path, spoil: Any) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (70, 90)).astype(np.uint8)
    _write(tmp_path / "a.zarr", [pixels], [_axis("y"), _axis("x")], [1.0, 1.0], "0.5")
    spoil(tmp_path / "a.zarr")
    with pytest.raises(ReadError, match=r"a\.zarr") as caught:
        read(tmp_path / "a.zarr")
    assert "\n" not in str(caught.value)


def test_groups_without_an_image_are_refused(tmp_path: Path) -> None:
    zarr.open_group(tmp_path / "a.zarr", mode="w")
    with pytest.raises(ReadError, match="without OME image metadata"):
        read(tmp_path / "a.zarr")
    zarr.open_group(tmp_path / "b.zarr", mode="w").attrs["ome"] = {"plate": {}}
    with pytest.raises(ReadError, match="plate"):
        read(tmp_path / "b.zarr")


def test_a_promise_of_petabytes_costs_nothing_to_open(tmp_path: Path) -> None:
    group = zarr.open_group(tmp_path / "a.zarr", mode="w")
    group.create_array("0", shape=(2**32, 2**32), dtype="u1", chunks=(512, 512))
    axes = [_axis("y"), _axis("x")]
    group.attrs["ome"] = {"version": "0.5", "multiscales": [{"axes": axes, "datasets": [{"path": "0"}]}]}
    image = read(tmp_path / "a.zarr")
    assert image.shape == (2**32, 2**32)
    assert not np.any(image.data[2**31 : 2**31 + 4, :4])
    group.create_array("1", shape=(2**32, 2**32), dtype="u1", chunks=(2**32, 2**32))
    group.attrs["ome"] = {"version": "0.5", "multiscales": [{"axes": axes, "datasets": [{"path": "1"}]}]}
    with pytest.raises(ReadError, match="too large"):
        read(tmp_path / "a.zarr")
