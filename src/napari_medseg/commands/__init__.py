"""The commands of ``napari-medseg``, one module each: parse, call the api, return what to print."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What a command has to say.

    Parameters
    ----------
    document
        The JSON document that ``--json`` prints.
    text
        What is printed without ``--json``.
    exit_code
        0 done, 1 the input is at fault.
    """

    document: Mapping[str, Any] = field(default_factory=dict)
    text: str = ""
    exit_code: int = 0
