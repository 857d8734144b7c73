"""Nobody's data leaves a file, and damaged files raise nothing but sentences."""

from __future__ import annotations

import logging
import struct
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from napari_medseg.errors import MedsegError
from napari_medseg.hooks import image_layers
from napari_medseg.io import describe, read

from .writers import SECRETS, write_e2e, write_opt, write_vol, write_xml

_PIXELS = np.random.default_rng(2).integers(0, 255, (2, 12, 10), dtype=np.uint8)
_ROWS = np.full((2, 1, 10), 4, np.float32)


def _mat(path: Path) -> Path:
    scipy.io.savemat(
        path, {"images": np.moveaxis(_PIXELS, 0, -1), "layerMaps": np.ones((2, 10, 3)), "PatientName": "Mustermann"}
    )
    return path


_WRITERS: dict[str, Callable[[Path], Path]] = {
    "vol": lambda folder: write_vol(folder / "a.vol", _PIXELS / np.float32(255), _ROWS),
    "xml": lambda folder: write_xml(folder, _PIXELS, {"ILM": _ROWS[:, 0]}),
    "e2e": lambda folder: write_e2e(
        folder / "a.e2e", [{"bscans": _PIXELS.astype(np.uint16) * 250, "layers": {0: _ROWS[:, 0]}}]
    ),
    "dicom": lambda folder: write_opt(folder / "a.dcm", _PIXELS),
    "mat": lambda folder: _mat(folder / "a.mat"),
}


#: What replaces bytes of a file: one byte, or a number that a header can hold and that cannot be true.
_SPOILED = st.one_of(
    st.binary(min_size=1, max_size=1),
    st.sampled_from([struct.pack("<i", n) for n in (0, -1, 2**31 - 1, -(2**31))]),
    st.sampled_from([struct.pack(f"<{t}", x) for t in "fd" for x in (np.nan, np.inf, -1.0, 1e-30, 1e30)]),
    st.sampled_from([struct.pack("<d", 1e300), b"", b"<", b"&", b"-", b"e99", b"0"]),
)


@pytest.fixture(scope="module", params=_WRITERS)
def scan(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _WRITERS[request.param](tmp_path_factory.mktemp(request.param))


def test_the_secrets_are_in_the_files(scan: Path) -> None:
    assert any(secret.encode() in scan.read_bytes() for secret in SECRETS)


def test_nobodys_data_reaches_images_layers_or_logs(scan: Path, caplog: pytest.LogCaptureFixture) -> None:
    with warnings.catch_warnings(record=True) as told, caplog.at_level(logging.DEBUG):
        warnings.simplefilter("always")
        image = read(scan)
        everything = [repr(image), repr(describe(scan)), repr(image_layers(image)), caplog.text]
    everything += [str(one.message) for one in told]
    for secret in SECRETS:
        assert not any(secret in text for text in everything), secret


def test_errors_do_not_quote_the_header(scan: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    whole = scan.read_bytes()
    with caplog.at_level(logging.DEBUG):
        for at in np.linspace(10, len(whole) - 1, 40).astype(int):
            sentence = _sentence(tmp_path, scan, whole[:at])
            assert not any(secret in sentence for secret in SECRETS)
    assert not any(secret in caplog.text for secret in SECRETS)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_damage_anywhere_is_a_sentence_or_an_image(scan: Path, tmp_path: Path, data: st.DataObject) -> None:
    whole = bytearray(scan.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        # Headers first: most pixels may be anything.
        reach = data.draw(st.sampled_from([120, 1000, len(whole)]))
        at, spoiled = data.draw(st.integers(0, min(reach, len(whole)) - 1)), data.draw(_SPOILED)
        whole[at : at + len(spoiled)] = spoiled
    cut = data.draw(st.sampled_from([len(whole), len(whole), len(whole) // 2]))
    _sentence(tmp_path, scan, bytes(whole[:cut]))


def _sentence(folder: Path, scan: Path, content: bytes) -> str:
    """What reading spoiled content says; empty where it can be read (beside the pictures that an export needs)."""
    place = (scan.parent if scan.suffix == ".xml" else folder) / f"spoiled{scan.suffix}"
    place.write_bytes(content)
    try:
        # Nor may numpy complain about what a spoiled header says.
        with warnings.catch_warnings():
            warnings.simplefilter("error", RuntimeWarning)
            image: Any = read(place)
            np.asarray(image.data[...])
            image_layers(image)
    except MedsegError as error:
        return str(error)
    finally:
        place.unlink()
    return ""
