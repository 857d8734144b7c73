"""A batch of predictions goes on, whatever is wrong with one image of it."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile

from napari_medseg import api
from napari_medseg.api import prediction_item
from napari_medseg.api.prediction import as_image
from napari_medseg.io import write_image

pytest.importorskip("torch")


def test_a_defect_costs_one_image_and_warnings_of_the_reader_are_passed_on(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        tifffile.imwrite(tmp_path / f"{name}.tif", rng.integers(0, 255, (64, 64, 3), dtype=np.uint8), photometric="rgb")
    broken = rng.random((64, 64)).astype(np.float32)
    broken[3, 4] = np.nan
    tifffile.imwrite(tmp_path / "nan.tif", broken)
    whole = prediction_item.read

    def read(path, **options):
        if path.name == "a.tif":
            raise ZeroDivisionError("a defect")
        return whole(path, **options)

    monkeypatch.setattr(prediction_item, "read", read)
    said = []
    rows = api.predict_files(
        api.bundled_model("pathology"),
        [tmp_path / "a.tif", tmp_path / "b.tif", tmp_path / "nan.tif"],
        tmp_path / "out",
        device="cpu",
        precision="fp32",
        report=lambda event, **values: said.append(values.get("text", "")),
    )
    assert rows[0]["error"] == "Unexpected ZeroDivisionError: a defect"
    assert [row["error"] for row in rows[1:]] == ["", ""]
    assert any("1 of its values are not numbers" in text for text in said)


def test_an_ome_zarr_is_one_image_and_not_a_folder_of_them(tmp_path):
    picture = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    path = write_image(tmp_path / "picture.zarr", as_image(picture))
    (row,) = api.predict_files(api.bundled_model("pathology"), [path], tmp_path / "out", device="cpu", precision="fp32")
    assert row["input"] == str(path)
    assert row["labels"] == str(tmp_path / "out" / "picture.tif")


def test_no_result_overwrites_another(tmp_path):
    pixels = np.zeros((40, 40, 3), np.uint8)
    for name in ("one/a.tif", "two/a.tif", "one/a-2.tif", "three/A.tif"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        tifffile.imwrite(tmp_path / name, pixels, photometric="rgb")
    inputs = [tmp_path / name for name in ("one/a.tif", "two/a.tif", "one/a-2.tif", "three/A.tif")]
    rows = api.predict_files(api.bundled_model("pathology"), inputs, tmp_path / "out", device="cpu", precision="fp32")
    assert len({row["labels"].casefold() for row in rows}) == len(inputs)
