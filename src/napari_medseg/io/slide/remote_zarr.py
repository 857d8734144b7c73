"""OME-Zarr behind a web address (HTTP, S3, Google's and Azure's stores), read chunk by chunk as it is looked at."""

from __future__ import annotations

import hashlib
import importlib
import json
import os
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import zarr

from napari_medseg.errors import ReadError
from napari_medseg.io.address import PACKAGES, address_of
from napari_medseg.io.format import Format
from napari_medseg.io.lazy import Block, LazyArray
from napari_medseg.io.ome_zarr import read_node
from napari_medseg.io.slide.cache import TILES, assemble, new_owner
from napari_medseg.io.slide.threads import in_threads
from napari_medseg.structures import Image

EXTRA = "remote"
#: Key of `Image.metadata` under which the address is kept: an image from the web has no path.
ADDRESS = "address"
_Pixels = npt.NDArray[Any]


def read_remote(path: Path, series: int | None) -> Image:
    """Read an OME-Zarr folder behind an address; chunks that were looked at are kept in the cache of all slides.

    Parameters
    ----------
    path
        The address, as path.
    series
        Which image, None for the first.

    Raises
    ------
    ReadError
        A package is not installed, nothing answers, nothing is there, or it is no OME-Zarr.
    """
    address = address_of(path)
    if address is None:
        raise ReadError(f"{path} is no web address: let it begin with {', '.join(f'{name}://' for name in PACKAGES)}.")
    scheme = address.partition(":")[0]
    try:
        importlib.import_module(PACKAGES[scheme])
    except ImportError:
        raise ReadError(
            f"Addresses that begin with {scheme}:// need the optional package {PACKAGES[scheme]}: run "
            f"'pip install \"napari-medseg[{EXTRA}]\" {PACKAGES[scheme]}' and try again."
        ) from None
    node = _opened(address, _options(address))
    image = read_node(address, node, series)
    levels = tuple(_cached(level, image.axes, address) for level in image.levels)
    return replace(image, levels=levels, metadata={**image.metadata, ADDRESS: address})


def address_hash(address: str) -> str:
    """Tells apart what lies behind addresses, by the address and the metadata there: pixels would be too many.

    Raises
    ------
    ReadError
        As `read_remote`.
    """
    node = _opened(address, _options(address))
    return hashlib.blake2b(json.dumps([address, dict(node.attrs)]).encode(), digest_size=16).hexdigest()


def _options(address: str) -> dict[str, Any]:
    """What the client of a store is told."""
    scheme = address.partition(":")[0]
    return {"anon": True} if scheme in ("s3", "gs") and not _has_credentials(scheme) else {}


def _has_credentials(scheme: str) -> bool:
    names = {"s3": ("AWS_ACCESS_KEY_ID", "AWS_PROFILE"), "gs": ("GOOGLE_APPLICATION_CREDENTIALS",)}[scheme]
    return any(name in os.environ for name in names)


def _opened(address: str, options: dict[str, Any]) -> zarr.Group | zarr.Array[Any]:
    try:
        store = zarr.storage.FsspecStore.from_url(address, storage_options=options, read_only=True)
        return zarr.open(store, mode="r")
    except FileNotFoundError:
        raise ReadError(f"There is no OME-Zarr at {address}: check the address, which ends in a folder.") from None
    except Exception as error:
        # Clients raise whatever they like; their words may quote the key that was used.
        raise ReadError(
            f"{address} cannot be opened ({type(error).__name__}): check the address, the network and whether the "
            "store may be read without signing in."
        ) from None


def _cached(level: Any, axes: str, address: str) -> Any:
    """The level with its chunks in the cache: fetching one again costs far more than decoding it."""
    if axes not in ("yx", "yxc"):
        return level
    load = _Chunks(level).load
    return LazyArray(level.shape, level.dtype, load, source=address, chunks=level.chunks)


class _Chunks:
    def __init__(self, level: LazyArray) -> None:
        self._level = level
        self._owner = new_owner()

    def __del__(self) -> None:
        TILES.forget(self._owner)

    def __reduce__(self) -> tuple[Any, ...]:
        return _Chunks, (self._level,)

    def load(self, block: Block) -> _Pixels:
        """Pixels of a block, from the chunks that it touches, which are fetched at the same time."""
        chunks = self._level.chunks[:2]
        return assemble(block, (chunks[0], chunks[1]), self._level.dtype, partial(in_threads, self._chunk))

    def _chunk(self, at: tuple[int, int]) -> _Pixels:
        return TILES.get((self._owner, at), partial(self._fetched, at))

    def _fetched(self, at: tuple[int, int]) -> _Pixels:
        key = tuple(slice(i * n, (i + 1) * n) for i, n in zip(at, self._level.chunks[:2], strict=True))
        return np.asarray(self._level[key])


def _recognises(path: Path, head: bytes) -> bool:
    return address_of(path) is not None


FORMAT = Format(name="an OME-Zarr folder", recognises=_recognises, read=read_remote, is_lazy=True)
