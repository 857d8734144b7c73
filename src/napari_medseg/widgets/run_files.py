"""The runs of a data set on disk: names for new ones, and those that were interrupted."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari_medseg.errors import ConfigError
from napari_medseg.io.atomic import write_text
from napari_medseg.schemes import SCHEMES
from napari_medseg.training.stage import STOP_NAME

#: Settings as the panel wrote them, for the child to read.
SETTINGS_NAME = "settings.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedRun:
    """A run as it was started."""

    path: Path
    scheme: str
    seed: int
    config: dict[str, Any]


def free_name(runs: Path, scheme: str) -> str:
    """A name for a new run of a scheme, e.g. ``pathology-3``."""
    taken = {path.name for path in runs.glob(f"{scheme}-*")}
    number = next(n for n in range(1, len(taken) + 2) if f"{scheme}-{n}" not in taken)
    return f"{scheme}-{number}"


def check_name(runs: Path, name: str) -> None:
    """Refuse a run name that cannot be a folder's, or is one already.

    Raises
    ------
    ConfigError
        In a sentence.
    """
    if not re.fullmatch(r"\w[\w .+-]*", name) or name.endswith((".", " ")):
        raise ConfigError(f"'{name}' cannot be the name of a run: use letters, digits, blanks, '-', '_' and '.'.")
    if (runs / name).exists():
        raise ConfigError(f"There is a run '{name}' already: choose another name, or resume it.")


def ask_to_stop(run: Path, stage: str) -> None:
    """End one stage of a run that is under way; the run goes on with the next.

    Raises
    ------
    WriteError
        The run's folder cannot be written.
    """
    write_text(run / "stages" / stage / STOP_NAME, "")


def interrupted_runs(runs: Path) -> list[RecordedRun]:
    """Runs that can be resumed, the latest first; a run whose record cannot be read is none."""
    found = []
    for record in sorted(runs.glob("*/run.json"), key=lambda path: path.stat().st_mtime, reverse=True):
        if not (record.parent / "summary.json").exists():
            run = read_run(record.parent)
            if run is not None:
                found.append(run)
    return found


def read_run(folder: Path) -> RecordedRun | None:
    """How a run was started; None where its record is missing or cannot be read."""
    try:
        values = json.loads((folder / "run.json").read_text("utf-8"))
        run = RecordedRun(path=folder, scheme=values["scheme"], seed=int(values["seed"]), config=dict(values["config"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return run if run.scheme in SCHEMES else None
