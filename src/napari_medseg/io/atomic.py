"""Files that are whole or not there: written under another name, flushed to the disk, then renamed."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from napari_medseg.errors import WriteError

#: Seconds between two tries to take a file's place while another program holds it.
_PAUSES = (0.05, 0.1, 0.2, 0.4, 0.8)
#: File in a working folder that says what is being written there.
_IDENTITY = ".identity"


def not_written(path: Path, error: OSError) -> WriteError:
    """What to tell a person about a file or folder that could not be written, by what the system says of it.

    >>> print(not_written(Path("a/b.tif"), NotADirectoryError(errno.ENOTDIR, "Not a directory")))
    a/b.tif could not be written (Not a directory): choose a folder that exists or can be made.
    """
    mend = "free space, or check who holds it"
    if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.EEXIST, errno.EINVAL, errno.ENAMETOOLONG):
        mend = "choose a folder that exists or can be made"
    elif error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        mend = "check who holds it, or choose a folder that you may write to"
    elif error.errno == errno.EISDIR:
        mend = "it is a folder, so choose another name"
    return WriteError(f"{path} could not be written ({error.strerror or error}): {mend}.")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside `path`; when the block ends well, it takes the place of `path` in one step.

    Raises
    ------
    WriteError
        The disk is full, the folder is read-only, or another program holds the file; `path` is as it was.
    """
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
        os.close(descriptor)
        temporary = Path(name)
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        _inherit_mode(temporary, path)
        _replace_patiently(temporary, path)
        temporary = None
    except OSError as error:
        if isinstance(error, WriteError):
            raise
        raise not_written(path, error) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """A temporary folder beside `path`; when the block ends well, it takes the place of `path`.

    A folder cannot take another's place in one step: for a moment the old one has a name with ``.old`` and is whole.

    Raises
    ------
    WriteError
        The disk is full or the folder read-only; `path` is as it was.
    """
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp"))
        yield temporary
        os.chmod(temporary, _usual_mode(0o777))
        _take_place(temporary, path)
    except OSError as error:
        if isinstance(error, WriteError):
            raise
        raise not_written(path, error) from error
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def resumable_folder(path: Path, identity: str) -> Iterator[Path]:
    """A working folder beside `path` that outlives a kill; when the block ends well, it takes the place of `path`.

    Parameters
    ----------
    path
        Folder to make or replace.
    identity
        Says what is being written. A folder that an earlier run with the same identity left behind is yielded again,
        with all that is in it; one of another identity is emptied first.

    Raises
    ------
    WriteError
        The disk is full or the folder read-only; `path` is as it was, and the work so far is kept.
    """
    working = path.with_name(f".{path.name}.unfinished")
    note = working / _IDENTITY
    try:
        if not note.is_file() or note.read_text("utf-8") != identity:
            shutil.rmtree(working, ignore_errors=True)
            working.mkdir(parents=True)
            write_text(note, identity)
        yield working
        note.unlink()
        for left in working.rglob("*.partial"):
            # What a kill left of a file that was being written.
            left.unlink()
        _take_place(working, path)
    except OSError as error:
        if isinstance(error, WriteError):
            raise
        reason = error.strerror or str(error)
        raise WriteError(f"{path} could not be written ({reason}): free space and run it again to go on.") from error


def _take_place(folder: Path, path: Path) -> None:
    """Rename a folder to `path`; what was there has another name for a moment, then goes."""
    old = folder.with_suffix(".old")
    replaced = path.exists()
    if replaced:
        os.replace(path, old)
    try:
        os.replace(folder, path)
    except OSError:
        if replaced:
            os.replace(old, path)
        raise
    if replaced:
        shutil.rmtree(old)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text atomically; raises `WriteError`."""
    with replacing(path) as temporary:
        temporary.write_bytes(text.encode("utf-8"))


def _replace_patiently(source: Path, target: Path) -> None:
    """Rename; on Windows a spreadsheet or a virus scanner may hold the target for a moment."""
    for pause in _PAUSES:
        try:
            os.replace(source, target)
            return
        except PermissionError:
            time.sleep(pause)
    os.replace(source, target)


def _inherit_mode(temporary: Path, path: Path) -> None:
    """Temporary files are private (0600); the finished one gets the mode of its predecessor or the usual one."""
    try:
        mode = path.stat().st_mode & 0o777
    except FileNotFoundError:
        mode = _usual_mode(0o666)
    os.chmod(temporary, mode)


def _usual_mode(full: int) -> int:
    mask = os.umask(0)
    os.umask(mask)
    return full & ~mask
