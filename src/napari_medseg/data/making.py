"""Make a data set's folder in one step: whoever looks sees either nothing or all of it."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from napari_medseg.errors import DatasetError, MedsegError
from napari_medseg.io.atomic import not_written


def refuse_full_folder(out: Path) -> None:
    """Refuse a folder that holds something; raises `DatasetError`."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DatasetError(f"{out} already holds something: choose a new or an empty folder.")


@contextmanager
def made_at_once(out: Path) -> Iterator[Path]:
    """A folder beside `out` to write into, renamed to `out` at the end; removed when the block fails.

    Parameters
    ----------
    out
        A folder that does not exist, or is empty.

    Raises
    ------
    WriteError
        It cannot be written.
    """
    partial = out.with_name(f".{out.name}.{uuid.uuid4().hex[:8]}.partial")
    try:
        partial.mkdir(parents=True)
        yield partial
        if out.exists():
            out.rmdir()
        os.replace(partial, out)
    except OSError as error:
        if isinstance(error, MedsegError):
            raise
        raise not_written(out, error) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
