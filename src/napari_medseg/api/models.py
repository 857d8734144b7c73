"""The models of a data set as functions: which there are, which one is in use, promotion and going back."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

from napari_medseg.api.prediction import model_name, model_path
from napari_medseg.data import models_in_use
from napari_medseg.data.dataset_file import read_info
from napari_medseg.errors import MedsegError
from napari_medseg.io.model_file import read_card


def promote_model(
    data: str | os.PathLike[str], model: str | os.PathLike[str], *, reason: str = ""
) -> models_in_use.Promotion:
    """Put a model in use: the data set keeps a copy of it, and the panels and `next_cases` start from it.

    Parameters
    ----------
    model
        Model file or run folder.
    reason
        Why, for the list of promotions, e.g. the sentence of `compare`.

    Raises
    ------
    MedsegError
        The folder is no data set, the file is no model, or the data set cannot be written.
    """
    folder, path = _folder(data), model_path(model)
    return models_in_use.promote(folder, path, name=model_name(path), reason=reason)


def roll_back_model(data: str | os.PathLike[str]) -> models_in_use.Promotion:
    """Go back to the model that the one in use followed.

    Raises
    ------
    MedsegError
        There is none before it, or the data set cannot be written.
    """
    return models_in_use.roll_back(_folder(data))


def list_models(data: str | os.PathLike[str]) -> dict[str, Any]:
    """The finished runs of a data set and the models that it kept.

    Returns
    -------
    ``models`` [``name, path, scheme, in_use, training_cases, scores, fault``], runs first, the latest first; a kept
    copy of a run that is still there is listed once; ``promotions`` [`Promotion` as a dictionary], oldest first
    """
    folder = _folder(data)
    in_use = models_in_use.model_in_use(folder)
    runs = sorted((folder / "runs").glob("*/model.safetensors"), key=lambda path: -path.stat().st_mtime)
    promotions = models_in_use.promotions(folder)
    kept = {folder / models_in_use.FOLDER / made.file: made.name for made in promotions}
    # A copy's name ends in the hash that its content had: it may have been calibrated since.
    names = {path: models_in_use.kept_name(path, model_name(path)) for path in runs}
    used = None if in_use is None else in_use.name
    copies = [path for path in kept if path.is_file() and path.name not in names.values()]
    return {
        "models": [
            _entry(path, kept.get(path) or model_name(path), in_use=names.get(path, path.name) == used)
            for path in (*runs, *copies)
        ],
        "promotions": [asdict(made) for made in promotions],
    }


def _folder(data: str | os.PathLike[str]) -> Path:
    folder = Path(data).absolute()
    read_info(folder)
    return folder


def _entry(path: Path, name: str, *, in_use: bool) -> dict[str, Any]:
    entry: dict[str, Any] = {"name": name, "path": str(path), "in_use": in_use, "fault": ""}
    try:
        card = read_card(path)
    except MedsegError as error:
        return entry | {"scheme": "", "training_cases": None, "scores": {}, "fault": str(error)}
    return entry | {
        "scheme": card.scheme,
        "training_cases": card.training.cases.get("train", {}).get("cases"),
        "scores": {key: value for key, value in card.training.scores.items() if value is not None},
    }
