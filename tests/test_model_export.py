"""Exported networks, run by ONNX Runtime and read by the library of bioimage.io."""

from __future__ import annotations

import json
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
spec = pytest.importorskip("bioimageio.spec")

from napari_medseg.api import bundled_model, load_model, model_export, predict  # noqa: E402 - skips come first
from napari_medseg.api.model_export import export_model  # noqa: E402 - skips come first
from napari_medseg.cli import main  # noqa: E402 - skips come first
from napari_medseg.errors import ConfigError, ModelError  # noqa: E402 - skips come first
from napari_medseg.io.model_file import read_model  # noqa: E402 - skips come first
from napari_medseg.schemes import SCHEMES  # noqa: E402 - skips come first

PERSON = {"author": "Ada", "licence": "CC-BY-4.0"}

# torch's exporter of traced graphs says itself that it will go.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")


def run(path: Path | bytes, pixels: np.ndarray) -> dict[str, np.ndarray]:
    content = path if isinstance(path, bytes) else path.read_bytes()
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, {"pixels": pixels}), strict=True))


def test_a_graph_gives_what_the_program_gives(tmp_path: Path) -> None:
    model = load_model(bundled_model("pathology"), device="cpu", precision="fp32")
    export_model(model.path, tmp_path / "net.onnx")
    # One window of the network, which works on half the resolution; a ramp is the same at any, and hardly resampled.
    ramp = np.linspace(60, 220, 256).astype(np.uint8)
    pixels = np.stack(
        [np.tile(ramp, (256, 1)), np.full((256, 256), 90, np.uint8), np.tile(ramp[::-1], (256, 1))], axis=-1
    )
    expected = predict(model, pixels, probabilities=True)
    halved = pixels.astype(np.float32).reshape(128, 2, 128, 2, 3).mean(axis=(1, 3))
    found = run(tmp_path / "net.onnx", halved.transpose(2, 0, 1)[np.newaxis])
    assert expected.probabilities is not None
    shares = np.asarray(expected.probabilities, np.float32).reshape(2, 128, 2, 128, 2).mean(axis=(2, 4))
    # What the program says is brought back to the picture's own size, which smooths it.
    difference = np.abs(found["probabilities"][0] - shares)
    assert difference.mean() < 0.01
    assert difference.max() < 0.15
    assert expected.tag is not None
    np.testing.assert_allclose(found["tag_probabilities"][0], list(expected.tag.probabilities.values()), atol=0.01)


@pytest.mark.parametrize("scheme", sorted(SCHEMES))
def test_a_package_passes_the_checks_of_bioimage_io_and_repeats_its_own_example(scheme: str, tmp_path: Path) -> None:
    written = export_model(bundled_model(scheme), tmp_path / "net.zip", **PERSON)
    description = spec.load_description_and_validate_format_only(tmp_path / "net.zip")
    assert description.status in ("valid-format", "passed"), description.format()
    model = spec.load_description(tmp_path / "net.zip")
    with zipfile.ZipFile(tmp_path / "net.zip") as archive:
        pixels = np.load(archive.open(str(model.inputs[0].test_tensor.source)))
        found = run(archive.read(str(model.weights.onnx.source)), pixels)
        for output in model.outputs:
            expected = np.load(archive.open(str(output.test_tensor.source)))
            np.testing.assert_allclose(found[str(output.id)], expected, atol=model_export.TOLERANCE)
    card = load_model(bundled_model(scheme), device="cpu").card
    assert written.facts["tags"] == list(card.tags)
    assert [a.name for a in model.authors] == ["Ada"]


def test_the_graph_itself_tells_what_it_needs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export-model", str(bundled_model("boosting")), str(tmp_path / "net.onnx"), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["difference"] < 1e-4
    (kept,) = (p.value for p in onnx.load(tmp_path / "net.onnx").metadata_props if p.key == "napari-medseg")
    facts = json.loads(kept)
    assert facts["range"] == [-100.0, 240.0]
    assert facts["spacing"] == list(load_model(bundled_model("boosting"), device="cpu").card.expects.spacing)
    assert list(facts["classes"].values()) == ["liver", "pancreas", "tumour", "kidney"]


def test_a_graph_that_says_something_else_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_export, "TOLERANCE", -1.0)
    with pytest.raises(ModelError, match="nothing was written"):
        export_model(bundled_model("thyroid"), tmp_path / "net.onnx")
    assert list(tmp_path.iterdir()) == []


def test_what_is_missing_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"\.onnx or \.zip"):
        export_model(bundled_model("oct"), tmp_path / "net.pt")
    with pytest.raises(ConfigError, match="--licence"):
        export_model(bundled_model("oct"), tmp_path / "net.zip")
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"napari-medseg\[onnx\]"):
        export_model(bundled_model("oct"), tmp_path / "net.onnx")


def test_a_model_that_looks_at_every_scan_by_itself_is_refused(tmp_path: Path) -> None:
    card, _ = read_model(bundled_model("boosting"))
    own = {**card.preprocessing["intensity"], "truncate": "quantiles"}
    preprocessing = {**card.preprocessing, "intensity": own}
    with pytest.raises(ConfigError, match="truncate=window"):
        model_export._intensity(card.model_copy(update={"preprocessing": preprocessing}))
