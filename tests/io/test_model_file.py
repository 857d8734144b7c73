"""A model file comes back as it was written; anything else is refused in a sentence and nothing in it is run."""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pydantic import ValidationError
from safetensors.numpy import save_file

from napari_medseg.errors import InputNotFoundError, ModelError, WriteError
from napari_medseg.io.model_file import (
    DTYPES,
    FORMAT_VERSION,
    METADATA_KEY,
    Expects,
    ModelCard,
    StageSummary,
    TrainingSummary,
    identity,
    read_card,
    read_model,
    write_model,
)
from napari_medseg.structures import MaskClass


def make_card(**changes: object) -> ModelCard:
    values = {
        "scheme": "pathology",
        "config": {"scheme": "pathology", "training": {"epochs": 3, "learning_rate": 1e-4}},
        "classes": (MaskClass(value=1, name="gland", color="#ff0000"),),
        "tags": ("benign", "malignant"),
        "preprocessing": {"mean": [0.1, 0.2, 0.3]},
        "expects": Expects(axes="yx", channels=3, spacing=(0.5, 0.5), units=("micrometer", "micrometer")),
        "training": TrainingSummary(
            cases={"train": {"mask": 3, "tag": 8}},
            hashes={"train": ("0123456789abcdef",)},
            stages=(StageSummary(name="a_classifier", epochs=3, best_score=float("nan"), seconds=1.5),),
            scores={"dice": 0.75, "auc": float("inf")},
            seed=4,
        ),
        "note": "für Versuche",
    }
    return ModelCard(**values | changes)


TENSORS = {"a.weight": np.arange(12, dtype=np.float32).reshape(3, 4), "a.count": np.array(7)}


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model.safetensors"
    write_model(path, TENSORS, make_card())
    return path


any_array = st.sampled_from(sorted(DTYPES.values())).flatmap(
    lambda name: hnp.arrays(name, hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4))
)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tensors=st.dictionaries(st.text("abc.0", min_size=1), any_array, max_size=4), fortran=st.booleans())
def test_tensors_come_back_bit_by_bit(tmp_path: Path, tensors: dict[str, np.ndarray], fortran: bool) -> None:
    written = {name: np.asfortranarray(t) if fortran and t.ndim else t for name, t in tensors.items()}
    write_model(tmp_path / "m.safetensors", written, make_card())
    card, back = read_model(tmp_path / "m.safetensors")
    assert back.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert back[name].dtype == tensor.dtype
        assert back[name].shape == tensor.shape
        assert back[name].tobytes() == np.ascontiguousarray(tensor).tobytes()
    assert identity(card, back) == identity(make_card(), tensors)


def test_card_comes_back_and_undefined_scores_are_none(model: Path) -> None:
    card = read_card(model)
    assert card == make_card() == read_model(model)[0]
    assert card.training.stages[0].best_score is None
    assert card.training.scores == {"dice": 0.75, "auc": None}
    assert card.versions["numpy"] == np.__version__


def test_identity_follows_what_the_model_computes() -> None:
    same = identity(make_card(), TENSORS)
    assert same == identity(make_card(note="other", licence="CC0", versions={}), TENSORS)
    moved = TENSORS | {"a.weight": TENSORS["a.weight"].reshape(4, 3)}
    renamed = {"b.weight": TENSORS["a.weight"], "a.count": TENSORS["a.count"]}
    others = [
        identity(make_card(config={}), TENSORS),
        identity(make_card(tags=("malignant", "benign")), TENSORS),
        identity(make_card(), TENSORS | {"a.count": np.array(8)}),
        identity(make_card(), moved),
        identity(make_card(), renamed),
    ]
    assert len({same, *others}) == 6


def test_there_is_no_room_for_patients() -> None:
    marked = {"value": 1, "name": "a", "color": "#000000", "patient": 1}
    with pytest.raises(ValidationError):
        make_card(patient="Doe")
    with pytest.raises(ValidationError):
        TrainingSummary(cases={}, names=["Doe"])
    with pytest.raises(ValidationError):
        TrainingSummary(hashes={"train": ("Doe^John",)})
    with pytest.raises(ValidationError):
        ModelCard.model_validate(make_card().model_dump() | {"classes": [marked]})


def test_every_truncation_is_refused(model: Path) -> None:
    whole = model.read_bytes()
    for size in [0, 1, 7, 8, 9, 20, len(whole) // 2, len(whole) - 1]:
        model.write_bytes(whole[:size])
        for read in (read_card, read_model):
            with pytest.raises(ModelError, match=r"cut short|empty|not a model file|damaged"):
                read(model)


@settings(deadline=None, max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_damaged_bytes_never_end_in_another_error(model: Path, data: st.DataObject) -> None:
    whole = bytearray(model.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    broken = model.with_name("broken.safetensors")
    broken.write_bytes(bytes(whole))
    with contextlib.suppress(ModelError):  # a changed byte of a weight is a model still
        read_model(broken)


def write_raw(path: Path, header: object, data: bytes = b"") -> Path:
    text = json.dumps(header).encode() if not isinstance(header, bytes) else header
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return path


class Bomb:
    """Creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("protocol", range(6))
def test_pickles_are_named_and_never_run(tmp_path: Path, protocol: int) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(pickle.dumps(Bomb(tmp_path / "ran"), protocol))
    with pytest.raises(ModelError, match="pickle" if protocol >= 2 else "not a model file"):
        read_model(path)
    assert not (tmp_path / "ran").exists()


def test_torch_files_are_named(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(Bomb(tmp_path / "ran")))
    with pytest.raises(ModelError, match=r"torch\.save"):
        read_card(path)
    assert not (tmp_path / "ran").exists()


def test_foreign_weights_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    for metadata in (None, {"format": "pt"}):
        save_file({"w": np.zeros(3, np.float32)}, path, metadata=metadata)
        with pytest.raises(ModelError, match="another program"):
            read_card(path)


def test_later_versions_are_refused_even_with_unknown_fields(tmp_path: Path) -> None:
    card = make_card().model_dump(mode="json") | {"format_version": FORMAT_VERSION + 1, "novelty": 1}
    path = write_raw(tmp_path / "m.safetensors", {"__metadata__": {METADATA_KEY: json.dumps(card)}})
    with pytest.raises(ModelError, match=f"format {FORMAT_VERSION + 1}.*update"):
        read_card(path)


@pytest.mark.parametrize(
    "card",
    ["", "{", "[]", "null", "7", "{}", '{"format_version": 1}', '{"format_version": "x"}', "[" * 100_000],
)
def test_cards_that_are_no_cards_are_refused(tmp_path: Path, card: str) -> None:
    path = write_raw(tmp_path / "m.safetensors", {"__metadata__": {METADATA_KEY: card}})
    with pytest.raises(ModelError, match="card"):
        read_card(path)


@pytest.mark.parametrize(
    "header",
    [
        b"{",
        b"{}}",
        b"{\xff}",
        b'{"a":' * 100_000,
        {"__metadata__": 7},
        {"__metadata__": {METADATA_KEY: 7}},
        {"w": 7},
        {"w": {"dtype": "F32"}},
        {"w": {"dtype": "F32", "shape": [1], "data_offsets": []}},
        {"w": {"dtype": "F32", "shape": [1], "data_offsets": [0, None]}},
        {"w": {"dtype": ["F32"], "shape": [1], "data_offsets": [0, 0]}},
    ],
)
def test_headers_that_are_no_headers_are_refused(tmp_path: Path, header: object) -> None:
    with pytest.raises(ModelError):
        read_card(write_raw(tmp_path / "m.safetensors", header))


def test_absurd_header_lengths_are_refused_without_reading_them(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    for length in (2**63, 2**40, 10**9):
        path.write_bytes(struct.pack("<Q", length) + b"{" + b" " * 100)
        with pytest.raises(ModelError, match=r"not a model file|cut short"):
            read_card(path)


def entry(dtype: str, *offsets: int, shape: tuple[int, ...] = (2,)) -> dict[str, object]:
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


@pytest.mark.parametrize(
    "tensors",
    [
        {"a": entry("F32", 0, 8), "b": entry("F32", 4, 12)},
        {"a": entry("F32", 4, 12)},
        {"a": entry("F32", 0, 8, shape=(3,))},
        {"a": entry("F32", -8, 0)},
    ],
    ids=["overlap", "gap", "wrong shape", "negative"],
)
def test_tensors_that_do_not_fit_together_are_refused(tmp_path: Path, tensors: dict[str, object]) -> None:
    metadata = {"__metadata__": {METADATA_KEY: make_card().model_dump_json()}}
    path = write_raw(tmp_path / "m.safetensors", metadata | tensors, bytes(12))
    with pytest.raises(ModelError, match="damaged"):
        read_model(path)


def test_unknown_types_are_refused_when_reading_and_writing(tmp_path: Path) -> None:
    metadata = {"__metadata__": {METADATA_KEY: make_card().model_dump_json()}}
    path = write_raw(tmp_path / "m.safetensors", metadata | {"a": entry("F8_E4M3", 0, 2)}, bytes(2))
    with pytest.raises(ModelError, match="type F8_E4M3"):
        read_card(path)
    for dtype in ("complex64", "object", "U3"):
        with pytest.raises(ModelError, match="type"):
            write_model(tmp_path / "new.safetensors", {"w": np.zeros(2, dtype)}, make_card())
    assert not (tmp_path / "new.safetensors").exists()


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(InputNotFoundError, match="does not exist"):
        read_card(tmp_path / "none.safetensors")
    with pytest.raises(ModelError, match="cannot be read"):
        read_card(tmp_path)


def test_failed_write_keeps_the_old_file_and_leaves_nothing_behind(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = model.read_bytes()

    def full_disk(*args: object, **kwargs: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("napari_medseg.io.model_file.save_file", full_disk)
    with pytest.raises(WriteError, match="No space left"):
        write_model(model, {"w": np.zeros(3, np.float32)}, make_card())
    assert model.read_bytes() == before
    assert list(model.parent.iterdir()) == [model]


def test_reading_a_model_imports_no_torch(model: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from napari_medseg.io.model_file import read_model; "
        f"read_model(Path({str(model)!r})); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
