"""One file holds one model: the weights, and what a person and a program must know to use them.

The file is a safetensors file (https://github.com/huggingface/safetensors): 8 bytes little-endian length, that many
bytes of JSON naming every tensor, then the tensors' bytes. The JSON's ``__metadata__`` has the one key `METADATA_KEY`,
whose value is a `ModelCard` as JSON. Reading runs no code from the file: nothing is unpickled, and the network is built
from a scheme's name and settings.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import struct
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
from pydantic import BeforeValidator, Field, StringConstraints, ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from napari_medseg.config import Settings, describe_fault
from napari_medseg.errors import InputNotFoundError, ModelError, WriteError
from napari_medseg.io.atomic import replacing
from napari_medseg.structures import MaskClass, Split, Surface

METADATA_KEY = "napari-medseg"
FORMAT_VERSION = 1
#: Longest header that is read; 25,000 tensors take about 3 MB.
MAX_HEADER_BYTES = 64 * 2**20

#: numpy names of the types that a model file may hold, by their name in the header.
DTYPES = {"BOOL": "bool", "U8": "uint8", "I32": "int32", "I64": "int64", "F16": "float16", "F32": "float32"}

_UNSAFE = {
    b"PK\x03\x04": "a zip archive (as torch.save writes), which can run code when it is loaded",
    b"\x80\x02": "a Python pickle, which can run code when it is loaded",
    b"\x80\x03": "a Python pickle, which can run code when it is loaded",
    b"\x80\x04": "a Python pickle, which can run code when it is loaded",
    b"\x80\x05": "a Python pickle, which can run code when it is loaded",
    b"\x89HDF": "an HDF5 file",
    b"\x1f\x8b": "a gzip archive",
}


def _finite_or_none(value: Any) -> Any:
    """JSON has no NaN and no infinity: a score that was never computed is None."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def package_versions() -> dict[str, str]:
    """Versions of the packages that shape a model, by name; imports none of them."""
    names = ("napari-medseg", "numpy", "torch", "segmentation-models-pytorch")
    return {name: _version(name) for name in names}


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


Score = Annotated[float | None, BeforeValidator(_finite_or_none)]
ContentHash = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{16,128}$")]


class Expects(Settings):
    """What an input image must look like."""

    axes: str = Field(description="Axes of one input, e.g. 'yx' or 'zyx'; channels are counted apart.")
    channels: int = Field(ge=1, description="Number of channels.")
    spacing: tuple[float, ...] | None = Field(
        None, description="Distance between working pixels per axis; None: the network works on pixels as they are."
    )
    units: tuple[str, ...] | None = Field(None, description="Unit of the spacing per axis.")


class StageSummary(Settings):
    """How one stage of the training ended."""

    name: str = Field(description="The stage's key.")
    epochs: int = Field(ge=0, description="Epochs trained.")
    best_score: Score = Field(None, description="Best validation score; None without validation.")
    seconds: float = Field(ge=0.0, description="Wall time.")
    reused: bool = Field(False, description="Taken from an earlier run instead of trained.")


class TrainingSummary(Settings):
    """What the model learned from. Hashes tell cases and groups apart without naming them."""

    cases: dict[Split, dict[str, int]] = Field(
        default_factory=dict, description="Number of cases per split and kind of label ('tag', 'mask', 'both')."
    )
    groups: dict[Split, int] = Field(default_factory=dict, description="Number of groups per split.")
    hashes: dict[Split, tuple[ContentHash, ...]] = Field(
        default_factory=dict, description="Content hash of every case per split, so that none is evaluated by mistake."
    )
    salt: str = Field("", description="Random key of the group hashes; empty in files made before there were any.")
    group_hashes: dict[Split, tuple[ContentHash, ...]] = Field(
        default_factory=dict, description="Keyed hash of every group (patient, slide, eye) per split (`hash_group`)."
    )
    stages: tuple[StageSummary, ...] = Field((), description="The stages in order.")
    scores: dict[str, Score] = Field(default_factory=dict, description="Final validation figures.")
    candidates: tuple[dict[str, Any], ...] = Field((), description="What was compared, where there were several.")
    seed: int = Field(0, description="Seed of the run.")

    def split_of_group(self, group: str) -> Split | None:
        """On which side a group stood in training; None for one that training did not see."""
        hashed = hash_group(group, self.salt)
        return next((split for split, hashes in self.group_hashes.items() if hashed in hashes), None)


class QualityLine(Settings):
    """From what a model expects of its own drawing to the Dice that people measured on validation cases."""

    slope: float = Field(ge=0.0, description="Dice per unit of the model's own expectation.")
    offset: float = Field(description="Dice where the model expects 0.")
    spread: float = Field(ge=0.0, description="Standard deviation of the error, on groups left out of the fit.")
    cases: int = Field(ge=0, description="Validation cases it was fitted to.")
    groups: int = Field(ge=0, description="Their groups.")


class FeatureSpace(Settings):
    """Where the features of the training's images lie; means and directions only, nothing of a single image."""

    mean: tuple[float, ...] = Field(description="Mean feature.")
    directions: tuple[tuple[float, ...], ...] = Field(description="Directions in which they vary most, one per row.")
    variances: tuple[float, ...] = Field(description="Variance along each direction.")
    rest: float = Field(gt=0.0, description="Variance outside of these directions.")
    limit: float = Field(ge=0.0, description="Largest distance of an image that counts as like them.")
    cases: int = Field(ge=0, description="Training cases it was found from.")


class QualityCard(Settings):
    """What is needed to expect the quality of a result before anybody has looked."""

    line: QualityLine | None = Field(None, description="For drawings; None without enough validation cases.")
    temperature: float | None = Field(None, description="For tags; None without enough validation cases.")
    space: FeatureSpace | None = Field(None, description="For images unlike the training's; None with too few cases.")


class ModelCard(Settings):
    """Everything about a model but its weights. No field can name a patient, a file or a folder."""

    format_version: int = Field(FORMAT_VERSION, ge=1, description="Version of this layout.")
    scheme: str = Field(min_length=1, description="Key of the training scheme.")
    config: dict[str, Any] = Field(description="The scheme's full settings.")
    classes: tuple[MaskClass, ...] = Field((), description="Mask classes in channel order after the background.")
    tags: tuple[str, ...] = Field((), description="Tag names in channel order.")
    surfaces: tuple[Surface, ...] = Field((), description="Surfaces between layers (OCT) from top to bottom.")
    preprocessing: dict[str, Any] = Field(default_factory=dict, description="Plain values that repeat preprocessing.")
    expects: Expects = Field(description="What an input image must look like.")
    training: TrainingSummary = Field(default_factory=TrainingSummary, description="What the model learned from.")
    versions: dict[str, str] = Field(default_factory=package_versions, description="Package versions at training.")
    licence: str = Field("", description="Licence of the weights.")
    note: str = Field("", description="Free text: intended use, limits.")
    quality: QualityCard | None = Field(None, description="Calibration of the expected quality; None: not calibrated.")


def hash_group(group: str, salt: str) -> str:
    """A group's id such that it can be recognised but not read; 32 hexadecimal digits.

    Parameters
    ----------
    group
        Id of a patient, slide or eye.
    salt
        Random text of one model, so that the hashes of two models cannot be compared. It lies in the model file: who
        guesses an id can see whether it was among them.
    """
    key = hashlib.blake2b(salt.encode(), digest_size=32).digest()
    return hashlib.blake2b(group.encode("utf-8", "surrogatepass"), key=key, digest_size=16).hexdigest()


def identity(card: ModelCard, tensors: Mapping[str, npt.NDArray[Any]]) -> str:
    """Hash of what a model computes: scheme, settings, classes, tags, preprocessing and weights.

    Notes and versions do not count.

    Returns
    -------
    64 hexadecimal digits
    """
    core = card.model_dump(mode="json", include={"scheme", "config", "classes", "tags", "preprocessing", "expects"})
    digest = hashlib.sha256(json.dumps(core, sort_keys=True).encode())
    digest.update(tensors_hash(tensors).encode())
    return digest.hexdigest()


def tensors_hash(tensors: Mapping[str, npt.NDArray[Any]]) -> str:
    """Hash of weights alone: names, types, shapes and values; 64 hexadecimal digits."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = _storable(name, tensors[name])
        digest.update(f"\0{name}\0{tensor.dtype.name}\0{tensor.shape}\0".encode())
        digest.update(tensor.tobytes())
    return digest.hexdigest()


def write_model(path: Path, tensors: Mapping[str, npt.NDArray[Any]], card: ModelCard) -> None:
    """Write a model file; a file of that name is replaced in one step or stays as it was.

    Parameters
    ----------
    path
        Target; its folder is created.
    tensors
        Weights by name, of the types of `DTYPES`.
    card
        The rest.

    Raises
    ------
    ModelError
        A tensor has a type that a model file does not hold.
    WriteError
        The disk is full, or the folder is read-only.
    """
    storable = {name: _storable(name, tensors[name]) for name in sorted(tensors)}
    with replacing(path) as temporary:
        try:
            save_file(storable, temporary, metadata={METADATA_KEY: card.model_dump_json()})
        except SafetensorError as error:
            raise WriteError(f"Model file {path} could not be written ({error}): free space there.") from error


def _storable(name: str, tensor: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """A tensor as the file stores it: C order, little-endian (0-d arrays stay 0-d)."""
    array = np.asarray(tensor)
    if array.dtype.name not in DTYPES.values():
        allowed = ", ".join(DTYPES.values())
        raise ModelError(f"Weight '{name}' has type {array.dtype}, which a model file does not hold: use {allowed}.")
    return np.asarray(array, dtype=array.dtype.newbyteorder("<"), order="C")


def read_card(path: Path) -> ModelCard:
    """The card of a model file; reads the header alone.

    Raises
    ------
    InputNotFoundError
        There is no such file.
    ModelError
        The file is truncated, not a model file, from a later version, or carries a pickle.
    """
    return _parse_card(path, _read_header(path))


def read_model(path: Path) -> tuple[ModelCard, dict[str, npt.NDArray[Any]]]:
    """The card and the weights of a model file.

    Raises
    ------
    InputNotFoundError, ModelError
        As `read_card`.
    """
    header = _read_header(path)
    card = _parse_card(path, header)
    try:
        return card, load_file(path)
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise ModelError(f"Model file {path} is damaged ({error}): copy or train it again.") from error


def _read_header(path: Path) -> dict[str, Any]:
    """The header's JSON, after checking that the file is as long as it says."""
    try:
        with open(path, "rb") as file:
            start = file.read(9)
            size = os.fstat(file.fileno()).st_size
            length = struct.unpack("<Q", start[:8])[0] if len(start) == 9 else -1
            if start[8:] != b"{" or length > MAX_HEADER_BYTES:
                raise ModelError(_describe_foreign(path, start, size))
            if 8 + length > size:
                raise ModelError(_describe_truncated(path, size, 8 + length))
            text = start[8:] + file.read(length - 1)
    except FileNotFoundError:
        raise InputNotFoundError(f"Model file {path} does not exist: check the path.") from None
    except OSError as error:
        raise ModelError(f"Model file {path} cannot be read ({error}): check the path and your rights.") from error
    try:
        header = json.loads(text)
    except (ValueError, RecursionError):
        raise ModelError(f"Model file {path} has a damaged header: copy or train it again.") from None
    _check_tensors(path, header, size - 8 - length, size)
    return dict(header)


def _describe_foreign(path: Path, start: bytes, size: int) -> str:
    if size == 0:
        return f"Model file {path} is empty: copy or train it again."
    kind = next(
        (text for magic, text in _UNSAFE.items() if start.startswith(magic)), "not a model file of this program"
    )
    return f"File {path} is {kind}: choose a .safetensors file written by 'napari-medseg train'."


def _describe_truncated(path: Path, size: int, expected: int) -> str:
    return f"Model file {path} is cut short ({size} of {expected} bytes): copy or train it again."


def _check_tensors(path: Path, header: Mapping[str, Any], room: int, size: int) -> None:
    """Refuse unknown types, and a data part shorter than the tensors; safetensors checks the rest when loading."""
    end = 0
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        try:
            dtype, end = str(entry["dtype"]), max(end, int(entry["data_offsets"][1]))
        except (TypeError, KeyError, IndexError, ValueError, OverflowError):
            raise ModelError(f"Model file {path} has a damaged header: copy or train it again.") from None
        if dtype not in DTYPES:
            raise ModelError(f"Model file {path}: weight '{name}' has type {dtype}, which this program does not read.")
    if end > room:
        raise ModelError(_describe_truncated(path, size, size - room + end))


def _parse_card(path: Path, header: Mapping[str, Any]) -> ModelCard:
    entries = header.get("__metadata__")
    text = entries.get(METADATA_KEY) if isinstance(entries, dict) else None
    if text is None:
        raise ModelError(
            f"File {path} holds weights of another program: choose a .safetensors file written by "
            "'napari-medseg train'."
        )
    try:
        values = json.loads(text)
        version = values["format_version"]
        if isinstance(version, int) and version > FORMAT_VERSION:
            raise ModelError(
                f"Model file {path} has format {version}, but this program reads up to {FORMAT_VERSION}: update it."
            )
        return ModelCard.model_validate(values)
    except ValidationError as error:
        raise ModelError(f"Model file {path} has a card that does not fit. {describe_fault(error)}") from None
    except (TypeError, ValueError, KeyError, RecursionError) as error:
        if isinstance(error, ModelError):
            raise
        raise ModelError(f"Model file {path} has a damaged card: copy or train it again.") from None
