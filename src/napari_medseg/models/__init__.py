"""Networks, one per file; torch is imported only when one of them is asked for."""

from __future__ import annotations

from importlib import import_module
from typing import Any

_HOMES = {
    "Compute": "compute",
    "choose_compute": "compute",
    "build_classifier": "building",
    "build_encoder": "building",
    "build_segmenter": "building",
    "load_weights": "building",
    "guard_torch_import": "guard",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return list(__all__)
