"""Where a prediction came from, kept beside its label file, and whether that still holds.

``<name>-trace.json`` names the input by its file name and content, the model by its identity
(`napari_medseg.io.model_file.identity`), and holds settings, answer, versions and the content of the label file. No
folder and nobody's name is in it, so that results can be handed on with their origin.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from napari_medseg.api.prediction_item import Request
from napari_medseg.data.history import now
from napari_medseg.data.label_files import bands, file_hash, file_signature
from napari_medseg.data.naming import stem_of
from napari_medseg.data.table import read_table
from napari_medseg.errors import InputNotFoundError, ReadError
from napari_medseg.io import read_labels
from napari_medseg.io.atomic import write_text
from napari_medseg.io.model_file import identity, package_versions, read_model
from napari_medseg.training.events import Report

_FORMAT = 1
#: Inputs of more bytes are told apart by their size and by pieces of them: a slide takes a minute to read.
_MOST_BYTES = 2 * 2**30
_PIECES, _PIECE_BYTES = 256, 2**20


def trace_path(labels: Path) -> Path:
    """Where the trace of a label file lies."""
    return labels.with_name(f"{stem_of(labels)}-trace.json")


def content_hash(path: Path) -> str:
    """Hash of a file or folder; of a very large one by size and pieces, which its beginning says."""
    files = file_signature(path)
    if sum(size for _, size, _ in files) <= _MOST_BYTES:
        return file_hash(path)
    digest = hashlib.blake2b(digest_size=16)
    for name, size, _ in files:
        digest.update(f"{os.path.relpath(name, path)}\0{size}\0".encode())
        with open(name, "rb") as file:
            for start in sorted({max(0, size - _PIECE_BYTES) * n // (_PIECES - 1) for n in range(_PIECES)}):
                file.seek(start)
                digest.update(file.read(_PIECE_BYTES))
    return f"pieces-{digest.hexdigest()}"


class Tracer:
    """A report of events that also writes the trace of every label file when its image is finished.

    Parameters
    ----------
    request
        What is made of the images.
    wanted
        Device, precision and threads that were asked for.
    report
        Receives all events.

    Raises
    ------
    MedsegError
        A model cannot be read.
    """

    def __init__(self, request: Request, wanted: Mapping[str, Any], report: Report) -> None:
        self._report = report
        self._facts = {
            "model": _model_facts(request.model),
            "region_model": None if request.region_model is None else _model_facts(request.region_model),
            "settings": {
                "region": None if isinstance(request.region, Path) else request.region_text,
                "region_file": content_hash(request.region) if isinstance(request.region, Path) else None,
                "probabilities": request.probabilities,
                "repair_order": request.repair_order,
                "label_format": request.label_format,
                "tissue": request.tissue if isinstance(request.tissue, str) else content_hash(request.tissue),
                "kind": request.kind,
                "series": request.series,
                **wanted,
            },
        }

    def __call__(self, event: str, /, **values: Any) -> None:
        """Pass an event on; at the end of an image write its trace first."""
        if event == "item_ended" and values["row"].get("labels") and not values["row"]["error"]:
            self._write(Path(values["input"]), values["row"])
        self._report(event, **values)

    def _write(self, source: Path, row: Mapping[str, Any]) -> None:
        labels = Path(row["labels"])
        answer = {key: value for key, value in row.items() if key not in ("input", "labels", "seconds", "error")}
        document = {
            "format": _FORMAT,
            "made": now(),
            "input": {"name": source.name, "content": content_hash(source)},
            **self._facts,
            "answer": answer,
            "labels": {"name": labels.name, "content": content_hash(labels)},
            "versions": package_versions(),
        }
        write_text(trace_path(labels), json.dumps(document, indent=2, default=str))


def _model_facts(path: Path) -> dict[str, str]:
    return {"name": path.name, "identity": identity(*read_model(path))}


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was checked.

    Parameters
    ----------
    what
        ``"labels"``, ``"input"``, ``"model"``, ``"versions"`` or ``"again"``.
    holds
        None where it could not be checked.
    text
        What was found, for people.
    """

    what: str
    holds: bool | None
    text: str


def verify(
    labels: str | os.PathLike[str],
    *,
    source: str | os.PathLike[str] | None = None,
    model: str | os.PathLike[str] | None = None,
    again: bool = False,
    device: str | None = None,
) -> list[Finding]:
    """Whether a predicted label file is what its trace says: unchanged, of this input, by this model.

    Parameters
    ----------
    labels
        A label file of `napari_medseg.api.predict_files`.
    source
        The image; found in ``predictions.csv`` beside the labels when None.
    model
        The model file or its run folder; nothing is said of the model when None.
    again
        Also predict once more and compare every pixel; needs `model`, and the input where it lay.
    device
        For `again`; that of the trace when None.

    Raises
    ------
    InputNotFoundError, ReadError
        There is no label file or no trace, or the trace is damaged.
    """
    path = Path(labels)
    trace = _read_trace(path)
    given = Path(source) if source is not None else _source_of(path)
    findings = [
        _compared("labels", path, trace["labels"], "The labels are as they were predicted.", "were changed since"),
        _of_input(given, trace["input"]),
        _of_model(model, trace["model"]),
        _of_versions(trace["versions"]),
    ]
    if again:
        findings.append(_again(path, trace, given, model, device))
    return findings


def _read_trace(labels: Path) -> dict[str, Any]:
    if not labels.exists():
        raise InputNotFoundError(f"There is no label file {labels}: check the path.")
    path = trace_path(labels)
    try:
        trace: dict[str, Any] = json.loads(path.read_text("utf-8"))
        known = trace["format"] <= _FORMAT and all(trace[key]["content"] for key in ("labels", "input"))
        known = known and bool(trace["model"]["identity"]) and isinstance(trace["versions"], dict)
    except FileNotFoundError:
        raise InputNotFoundError(
            f"There is no {path.name} beside {labels}: only label files that 'napari-medseg predict' wrote have one."
        ) from None
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise ReadError(f"{path} is damaged ({type(error).__name__}): predict again.") from error
    if not known:
        raise ReadError(f"{path} was written by a newer version of this program: update it.")
    return trace


def _source_of(labels: Path) -> Path | None:
    """The input that ``predictions.csv`` names for a label file."""
    path = labels.with_name("predictions.csv")
    if not path.is_file():
        return None
    table = read_table(path)
    if not (table.has("input") and table.has("labels")):
        return None
    for row, name in enumerate(table.column("labels")):
        if name and Path(name).name == labels.name:
            return Path(table.cell(row, "input"))
    return None


def _compared(what: str, path: Path, known: Mapping[str, Any], same: str, other: str) -> Finding:
    if content_hash(path) == known["content"]:
        return Finding(what=what, holds=True, text=same)
    return Finding(what=what, holds=False, text=f"{path.name} {other}: what the trace says is not about it.")


def _of_input(source: Path | None, known: Mapping[str, Any]) -> Finding:
    if source is None or not source.exists():
        where = "it was not named and predictions.csv does not tell" if source is None else f"{source} is not there"
        return Finding(what="input", holds=None, text=f"The input {known['name']} was not checked: {where}.")
    return _compared("input", source, known, f"The input is {source.name}, unchanged.", "is another image, or changed")


def _of_model(model: str | os.PathLike[str] | None, known: Mapping[str, Any]) -> Finding:
    from napari_medseg.api.prediction import model_path

    if model is None:
        return Finding(what="model", holds=None, text=f"The model {known['name']} was not checked: name it.")
    found = _model_facts(model_path(model))
    if found["identity"] == known["identity"]:
        return Finding(
            what="model", holds=True, text=f"The model is {known['name']}, identity {known['identity'][:12]}."
        )
    text = f"{found['name']} is another model ({found['identity'][:12]} instead of {known['identity'][:12]})."
    return Finding(what="model", holds=False, text=text)


def _of_versions(known: Mapping[str, str]) -> Finding:
    here = package_versions()
    other = [
        f"{name} {here.get(name)} instead of {version}" for name, version in known.items() if here.get(name) != version
    ]
    if other:
        return Finding(what="versions", holds=None, text=f"Other versions are installed now: {', '.join(other)}.")
    return Finding(what="versions", holds=True, text="The same versions are installed.")


def _again(
    labels: Path,
    trace: Mapping[str, Any],
    source: Path | None,
    model: str | os.PathLike[str] | None,
    device: str | None,
) -> Finding:
    """Predict once more with the settings of the trace."""
    from napari_medseg.api.prediction_files import predict_files

    settings = dict(trace["settings"])
    if source is None or model is None:
        return Finding(what="again", holds=None, text="Not predicted again: that needs the input and the model.")
    if settings.pop("region_file") or trace["region_model"] or settings["tissue"] not in ("auto", "none"):
        text = "Not predicted again: the region or the tissue came from another file or model."
        return Finding(what="again", holds=None, text=text)
    settings |= {"device": device} if device is not None else {}
    with tempfile.TemporaryDirectory() as folder:
        (row,) = predict_files(model, [source], folder, **settings)
        if row["error"]:
            return Finding(what="again", holds=None, text=f"Not predicted again: {row['error']}")
        old, new = read_labels(labels).labels, read_labels(row["labels"]).labels
        if tuple(old.shape) != tuple(new.shape):
            return Finding(what="again", holds=False, text="Predicted again, the labels have another size.")
        total = equal = 0
        for one, other in zip(bands(old), bands(new), strict=True):
            total += one.size
            equal += int(np.count_nonzero(one == other))
    wrong = total - equal
    text = f"{wrong} of {total} pixels differ ({100 * wrong / total:.2g} %)" if wrong else "every pixel is the same"
    return Finding(what="again", holds=not wrong, text=f"Predicted again, {text}.")
