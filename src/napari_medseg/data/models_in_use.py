"""The model that a data set's people work with, and which ones it followed.

The folder ``models`` of a data set holds a copy of every model that was ever in use, under a name that ends in the hash
of its content, and ``in_use.json``, which says which one it is and how it came to that. A run folder may be trained
over or deleted without taking away the model, or the one before it.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from napari_medseg.data.history import author_name, now
from napari_medseg.data.label_files import file_hash
from napari_medseg.data.locking import FileLock
from napari_medseg.data.naming import file_name
from napari_medseg.errors import DatasetError
from napari_medseg.io.atomic import replacing, write_text
from napari_medseg.io.model_file import read_card

FOLDER = "models"
FILE_NAME = "in_use.json"
FORMAT_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Promotion:
    """One change of the model in use.

    Parameters
    ----------
    time
        UTC, ISO 8601.
    author
        Who decided it.
    action
        ``promote`` or ``roll back``.
    name
        Of the model, for people.
    file
        Its copy, below ``models``.
    scheme
        What it was trained with.
    source
        Where it lay when it was promoted.
    reason
        What the comparison with the model before it said; empty where there was none.
    """

    time: str
    author: str
    action: Literal["promote", "roll back"]
    name: str
    file: str
    scheme: str
    source: str = ""
    reason: str = ""


def promotions(dataset: Path) -> tuple[Promotion, ...]:
    """All changes of a data set's model in use, oldest first.

    Raises
    ------
    DatasetError
        The file that says so is damaged, or of a later version of this program.
    """
    path = dataset / FOLDER / FILE_NAME
    if not path.is_file():
        return ()
    try:
        document = json.loads(path.read_text("utf-8"))
        version = int(document["format_version"])
        if version > FORMAT_VERSION:
            raise DatasetError(f"{path} has format {version}, but this program reads {FORMAT_VERSION}: update it.")
        return tuple(
            Promotion(**{key: entry[key] for key in _KEYS if key in entry}) for entry in document["promotions"]
        )
    except (OSError, ValueError, TypeError, KeyError) as error:
        if isinstance(error, DatasetError):
            raise
        raise DatasetError(
            f"{path} is damaged ({error}): restore it, or delete it and promote a model again."
        ) from None


def model_in_use(dataset: Path) -> Path | None:
    """The file of a data set's model in use; None before the first promotion.

    Raises
    ------
    DatasetError
        As `promotions`, or the file is gone.
    """
    made = promotions(dataset)
    if not made:
        return None
    path = dataset / FOLDER / made[-1].file
    if not path.is_file():
        raise DatasetError(f"The model in use, {path}, is gone: restore it, or promote another model.")
    return path


def model_before(dataset: Path) -> Promotion | None:
    """What `roll_back` would bring back; None where the model in use is the first one."""
    standing = _standing(promotions(dataset))
    return standing[-2] if len(standing) > 1 else None


def promote(dataset: Path, model: Path, *, name: str, reason: str = "", author: str | None = None) -> Promotion:
    """Make a model file the one in use; a copy of it is kept in the data set.

    Parameters
    ----------
    model
        A model file; one that is in use already stays so.
    name
        For people, e.g. the run's.
    reason
        What the comparison with the model before it said.

    Raises
    ------
    InputNotFoundError, ModelError
        It is no model file.
    WriteError, LockedError
        The data set cannot be written; the model in use stays what it was.
    """
    card = read_card(model)
    file = kept_name(model, name)
    made = Promotion(
        time=now(),
        author=author or author_name(),
        action="promote",
        name=name,
        file=file,
        scheme=card.scheme,
        source=str(model),
        reason=reason,
    )
    with FileLock(_lock_path(dataset)) as lock:
        before = promotions(dataset)
        if before and before[-1].file == file:
            return before[-1]
        kept = dataset / FOLDER / file
        if not kept.is_file():
            with replacing(kept) as temporary:
                shutil.copyfile(model, temporary)
        lock.beat()
        _write(dataset, (*before, made))
    return made


def kept_name(model: Path, name: str) -> str:
    """The name that the copy of a model file has."""
    return f"{file_name(name)}-{file_hash(model)[:12]}.safetensors"


def roll_back(dataset: Path, *, author: str | None = None) -> Promotion:
    """Bring back the model that the one in use followed.

    Raises
    ------
    DatasetError
        There is none before it.
    WriteError, LockedError
        As `promote`.
    """
    with FileLock(_lock_path(dataset)) as lock:
        before = promotions(dataset)
        standing = _standing(before)
        if len(standing) < 2:
            raise DatasetError(f"Data set {dataset} has no model before the one in use: promote another one instead.")
        earlier = asdict(standing[-2])
        changes = {"time": now(), "author": author or author_name(), "action": "roll back", "reason": ""}
        made = Promotion(**(earlier | changes))
        lock.beat()
        _write(dataset, (*before, made))
    return made


_KEYS = tuple(Promotion.__dataclass_fields__)


def _standing(made: Sequence[Promotion]) -> list[Promotion]:
    """The models that can be gone back to, the one in use last: rolling back takes the last one away."""
    standing: list[Promotion] = []
    for each in made:
        if each.action == "roll back" and len(standing) > 1:
            standing.pop()
        else:
            standing.append(each)
    return standing


def _lock_path(dataset: Path) -> Path:
    folder = dataset / FOLDER
    folder.mkdir(exist_ok=True)
    return folder / ".in_use.lock"


def _write(dataset: Path, made: Sequence[Promotion]) -> None:
    document: dict[str, Any] = {"format_version": FORMAT_VERSION, "promotions": [asdict(each) for each in made]}
    write_text(dataset / FOLDER / FILE_NAME, json.dumps(document, indent=2))
