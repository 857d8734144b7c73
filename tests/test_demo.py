"""The demo: its picture and its result, in a real window and as people start it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Picture

from napari_medseg.api import bundled_model, load_model, predict
from napari_medseg.demo import annotate, sample_of
from napari_medseg.schemes import SCHEMES
from napari_medseg.structures import MaskClass, Prediction, TagResult

GLAND = MaskClass(value=1, name="gland", color="#0072b2")
VESSEL = MaskClass(value=2, name="vessel", color="#d55e00")


def start(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "napari_medseg", "demo", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
    )


def prediction(**fields: Any) -> Prediction:
    tag = TagResult(tag="malignant", probabilities={"benign": 0.25, "malignant": 0.75})
    values = {
        "labels": None,
        "classes": (),
        "tag": tag,
        "probabilities": None,
        "region": ((0, 40), (0, 60)),
        "seconds": 0.1,
    }
    return Prediction(**{**values, **fields})


@pytest.mark.viewer
def test_result_is_shown_with_names_and_probability(make_napari_viewer: Callable[[], Any]) -> None:
    viewer = make_napari_viewer()
    labels = np.zeros((40, 60), np.uint8)
    labels[5:25, 5:25], labels[30:32, 40:44] = 1, 1
    annotate(viewer, prediction(labels=labels, classes=(GLAND, VESSEL)))
    names = viewer.layers["class names"]
    assert list(names.features["name"]) == ["gland"]  # no vessel was found
    np.testing.assert_allclose(names.data, [[14.5, 14.5]], atol=1)
    assert "malignant  0.75 (not calibrated)" in viewer.canvas.overlays.text.text
    assert "gland  17.0% of the area" in viewer.canvas.overlays.text.text


@pytest.mark.viewer
def test_tag_alone_is_shown(make_napari_viewer: Callable[[], Any]) -> None:
    viewer = make_napari_viewer()
    tag = TagResult(tag="benign", probabilities={"benign": 0.9, "malignant": 0.1}, calibrated=True)
    annotate(viewer, prediction(tag=tag))
    assert viewer.canvas.overlays.text.text == "benign  0.90"
    assert len(viewer.layers) == 0


@pytest.mark.viewer
def test_demo_writes_its_picture_and_ends(tmp_path: Path) -> None:
    picture = tmp_path / "new folder" / "demo.png"
    done = start("pathology", "--screenshot", str(picture), "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["tag"] == "malignant"
    assert document["probabilities"]["malignant"] > 0.5
    assert 0.2 < document["classes"]["gland"] < 0.9
    pixels = np.asarray(Picture.open(picture))
    assert min(pixels.shape[:2]) > 640
    assert pixels.std() > 20  # a canvas that was never drawn is black


@pytest.mark.slow
@pytest.mark.viewer
@pytest.mark.parametrize("scheme", [key for key in SCHEMES if key != "pathology"])
def test_every_scheme_has_a_demo(tmp_path: Path, scheme: str) -> None:
    picture = tmp_path / "demo.png"
    done = start(scheme, "--screenshot", str(picture), "--json")
    assert done.returncode == 0, done.stderr
    assert np.asarray(Picture.open(picture)).std() > 20


@pytest.mark.parametrize("scheme", SCHEMES)
def test_bundled_models_know_their_samples(scheme: str) -> None:
    model = load_model(bundled_model(scheme), device="cpu", precision="fp32", threads=1)
    assert model.card.scheme == scheme
    sample = sample_of(scheme)
    found = predict(model, sample.image, region=sample.box)
    if scheme == "pathology":
        assert found.tag is not None
        assert found.tag.tag == "malignant"
    if scheme == "thyroid":
        assert found.tag is not None
        assert found.tag.tag == "papillary carcinoma"
    if scheme == "fibrosis":
        assert found.tag is not None
        assert found.tag.tag == "fibrous"
    if scheme in ("oct", "boosting"):
        truth = truth_of(scheme)
        labels = np.asarray(found.labels)
        values = {c.value for c in found.classes} & set(np.unique(truth).tolist())
        dice = [2 * ((labels == v) & (truth == v)).sum() / ((labels == v).sum() + (truth == v).sum()) for v in values]
        assert len(dice) > 3
        assert np.mean(dice) > 0.6


def truth_of(scheme: str) -> np.ndarray:
    """Labels of a sample, as its generator drew them."""
    from napari_medseg.data.synthetic_ct import abdomen
    from napari_medseg.data.synthetic_oct import bscan
    from napari_medseg.demo import SAMPLE_SEED

    shape = sample_of(scheme).image.shape
    if scheme == "oct":
        return bscan(*shape, seed=SAMPLE_SEED, fluid=True)[1]
    return abdomen(*shape, seed=SAMPLE_SEED, grade=1)[1]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other systems always have a display")
def test_no_display_is_a_sentence(tmp_path: Path) -> None:
    done = start("--screenshot", str(tmp_path / "x.png"), DISPLAY="", WAYLAND_DISPLAY="", QT_QPA_PLATFORM="")
    assert done.returncode == 1
    assert "xvfb-run" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_unknown_scheme_is_a_sentence() -> None:
    done = start("astrology")
    assert done.returncode == 1
    assert "astrology" in done.stderr
    assert "Traceback" not in done.stderr
