"""What a file format has to offer: to be recognised, and to be read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from napari_medseg.errors import ReadError
from napari_medseg.structures import Image

#: Bytes of a file's beginning that are shown to `Format.recognises`.
HEAD_BYTES = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """One way of storing images.

    Parameters
    ----------
    name
        For people, with article: "a TIFF file".
    recognises
        Called with the path and the file's first `HEAD_BYTES` bytes (none for a folder); cheap, looks at content, not
        at the name.
    read
        Called with the path and the wanted series (None: the main one). Returns a lazy `Image`; what it raises is
        turned into a `ReadError` by `reading.read`.
    is_lazy
        Whether images stay unread until asked for even where they are small: decoding takes long, and `read` has
        proved the files whole.
    apart
        Reads a picture that the file keeps apart (`Image.metadata["apart"]` names them), such as a slide's label.
    """

    name: str
    recognises: Callable[[Path, bytes], bool]
    read: Callable[[Path, int | None], Image]
    is_lazy: bool = False
    apart: Callable[[Path, str], Image] | None = None


def choose_series(path: Path | str, wanted: int | None, names: tuple[str, ...]) -> int:
    """The wanted series, 0 when none was asked for.

    Raises
    ------
    ReadError
        The file does not have that many.
    """
    if wanted is None:
        return 0
    if not 0 <= wanted < len(names):
        shown = "1 image (number 0)" if len(names) == 1 else f"{len(names)} images (numbers 0 to {len(names) - 1})"
        raise ReadError(f"{path} holds {shown}, not a number {wanted}: choose another series.")
    return wanted
