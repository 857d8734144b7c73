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

from napari_medseg.demo import SAMPLE_SIZE, annotate
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
    assert "gland  17% of the area" in viewer.canvas.overlays.text.text


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
    assert min(pixels.shape[:2]) > SAMPLE_SIZE
    assert pixels.std() > 20  # a canvas that was never drawn is black


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
