"""What of a slide is finished: lines that are appended while it is predicted, and read when that goes on later."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_medseg.errors import WriteError
from napari_medseg.inference.job import Window

#: Strip of the slide, row and column of a window.
Place = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Judgement:
    """Tag logits (tag,) of a window, and the pixels of the slide for which they speak."""

    area: int
    logits: npt.NDArray[np.float32]


class Journal:
    """One line of JSON per event; a line that a killed program left half is dropped with the next that is written.

    Parameters
    ----------
    path
        The file; it need not exist.

    Raises
    ------
    WriteError
        It cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        #: Finished rows per strip, and what was said of windows.
        self.rows: dict[int, int] = {}
        self.judgements: dict[Place, Judgement] = {}
        text = path.read_bytes() if path.exists() else b""
        #: Bytes of whole lines, where half a line follows them; reading alone changes nothing.
        self._whole: int | None = None
        for line in text.splitlines(keepends=True):
            if line.endswith(b"\n"):
                self._take(json.loads(line))
            else:
                self._whole = len(text) - len(line)

    def _take(self, entry: dict[str, Any]) -> None:
        strip = entry["strip"]
        if "rows" in entry:
            self.rows[strip] = entry["rows"]
        for row, column, area, *logits in entry.get("judged", ()):
            self.judgements[strip, row, column] = Judgement(area, np.array(logits, np.float32))

    def include(self, other: Journal) -> None:
        """Know what another journal says of windows too; nothing is written."""
        self.judgements |= other.judgements

    def wrote(self, strip: int, rows: int) -> None:
        """The first rows of a strip are written."""
        self._add({"strip": strip, "rows": rows})

    def judged(self, strip: int, windows: Sequence[Window], logits: npt.NDArray[np.float32]) -> None:
        """What the classifier said of windows (window, tag)."""
        told = zip(windows, logits.tolist(), strict=True)  # shortest decimals that give the same float32 again
        self._add({"strip": strip, "judged": [[*w.position, w.area, *values] for w, values in told]})

    def _add(self, entry: dict[str, Any]) -> None:
        self._take(entry)
        try:
            with self._path.open("ab", buffering=0) as file:
                if self._whole is not None:
                    file.truncate(self._whole)
                    self._whole = None
                file.write((json.dumps(entry, separators=(",", ":")) + "\n").encode("ascii"))
        except OSError as error:
            raise WriteError(f"{self._path} could not be written ({error.strerror}): free space there.") from error
