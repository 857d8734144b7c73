"""Web addresses where a file or folder may be named."""

from __future__ import annotations

import os
import re
from pathlib import Path

#: Which package reads which kind of address.
PACKAGES = {"http": "aiohttp", "https": "aiohttp", "s3": "s3fs", "gs": "gcsfs", "az": "adlfs", "abfs": "adlfs"}
#: Windows writes a slash or two of an address the other way round, and `pathlib` drops one.
_ADDRESS = re.compile(r"^([a-z][a-z0-9]+):[/\\]{1,2}(?=[^/\\])")


def address_of(path: str | os.PathLike[str]) -> str | None:
    """The address that a text or path holds, with the slashes that paths lose; None where it names a file or folder.

    >>> address_of("https://example.org/a.zarr"), address_of("slides/a.zarr"), address_of("C:/a.zarr")
    ('https://example.org/a.zarr', None, None)
    """
    text = os.fspath(path)
    found = _ADDRESS.match(text)
    if found is None or found[1] not in PACKAGES:
        return None
    return f"{found[1]}://{text[found.end() :]}".replace("\\", "/")


def may_be_there(path: Path) -> bool:
    """Whether a file or folder is there; an address shows only when it is read, so it may always be."""
    return address_of(path) is not None or path.exists()
