"""What happened to a data set: one append-only file per writer, one JSON line per change.

A change is written here before it is made in the table, so that a crash, or a spreadsheet that saves an old copy of
the table over a new one, can be undone: a line whose ``revision`` is higher than its row's is a change that the table
lost. A change that was refused (``conflict``) or failed (``withdrawn``) says so in ``what``.
"""

from __future__ import annotations

import functools
import getpass
import json
import os
import re
import socket
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from napari_medseg.errors import WriteError


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One line of history.

    Parameters
    ----------
    time
        UTC, ISO 8601 with microseconds: lines of several writers are put in order by it.
    author
        Who.
    case
        Id of the case; empty for changes of the data set itself.
    what
        ``add``, ``update``, ``remove``, ``conflict``, ``withdrawn``, ``info`` or ``labels``.
    before, after
        Changed cells by column, from what to what.
    origin
        ``person`` or ``model:<name>``.
    revision
        The row's revision after the change; 0 where no row changed.
    """

    time: str
    author: str
    case: str
    what: str
    before: Mapping[str, str] = field(default_factory=dict)
    after: Mapping[str, str] = field(default_factory=dict)
    origin: str = "person"
    revision: int = 0


class History:
    """The folder ``history`` of a data set.

    Parameters
    ----------
    folder
        Where the files lie; made when the first line is written.
    author
        Name that goes into every line of this writer.
    """

    def __init__(self, folder: Path, author: str) -> None:
        self.folder = folder
        self.author = author

    @property
    def path(self) -> Path:
        """The file of the process that asks."""
        return self.folder / f"{writer_name(os.getpid())}.jsonl"

    def change(
        self,
        case: str,
        what: str,
        *,
        before: Mapping[str, str] | None = None,
        after: Mapping[str, str] | None = None,
        origin: str = "person",
        revision: int = 0,
    ) -> Change:
        """A change of now by this author, not yet written."""
        return Change(
            time=now(microseconds=True),
            author=self.author,
            case=case,
            what=what,
            before=before or {},
            after=after or {},
            origin=origin,
            revision=revision,
        )

    def write(self, *changes: Change) -> None:
        """Append lines and flush them to the disk together.

        Raises
        ------
        WriteError
            The disk is full or the folder is read-only; no line was written.
        """
        lines = []
        for change in changes:
            line = asdict(change)
            line["from"], line["to"] = line.pop("before"), line.pop("after")
            lines.append(json.dumps(line, ensure_ascii=True) + "\n")
        try:
            _append(self.path, "".join(lines).encode())
        except OSError as error:
            what = f"case '{changes[0].case}'" if len(changes) == 1 else f"{len(changes)} cases"
            raise WriteError(
                f"The change of {what} could not be saved in {self.folder} ({error.strerror or error}): free space or "
                "make the folder writable, then try again; nothing was changed."
            ) from error

    def read(self) -> list[Change]:
        """All lines of all writers, oldest first; a line that a crash tore is left out."""
        changes = []
        for path in sorted(self.folder.glob("*.jsonl")):
            for line in path.read_bytes().splitlines():
                change = _parse(line)
                if change is not None:
                    changes.append(change)
        return sorted(changes, key=lambda change: change.time)


@functools.cache
def writer_name(pid: int) -> str:
    """A name that no other process, here or on another machine, has."""
    host = re.sub(r"[^A-Za-z0-9-]", "-", socket.gethostname())[:32] or "host"
    return f"{host}-{pid}-{uuid.uuid4().hex[:6]}"


def author_name() -> str:
    """The user's login name; ``"unknown"`` where the system has none (containers)."""
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):
        return "unknown"


def now(*, microseconds: bool = False) -> str:
    """The time in UTC, e.g. ``2026-11-05T12:03:41Z``."""
    return datetime.now(UTC).isoformat(timespec="microseconds" if microseconds else "seconds").replace("+00:00", "Z")


def _append(path: Path, line: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        size = file.tell()
        try:
            file.write(line)
            file.flush()
        except OSError:
            # A full disk may take half a line; what follows must not be glued to it.
            file.truncate(size)
            raise
        os.fsync(file.fileno())


def _parse(line: bytes) -> Change | None:
    try:
        values = json.loads(line)
        return Change(
            time=str(values["time"]),
            author=str(values["author"]),
            case=str(values["case"]),
            what=str(values["what"]),
            before=dict(values["from"]),
            after=dict(values["to"]),
            origin=str(values["origin"]),
            revision=int(values["revision"]),
        )
    except (ValueError, KeyError, TypeError):
        return None
