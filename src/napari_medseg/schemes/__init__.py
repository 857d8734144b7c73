"""The training schemes, by key. A further scheme is one file here and one line in `SCHEMES`."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

from napari_medseg.config import parse_settings, set_value
from napari_medseg.errors import ConfigError
from napari_medseg.schemes.base import Scheme, SchemeConfig
from napari_medseg.schemes.boosting import BoostingScheme
from napari_medseg.schemes.fibrosis import FibrosisScheme
from napari_medseg.schemes.oct import OctScheme
from napari_medseg.schemes.pathology import PathologyScheme
from napari_medseg.schemes.thyroid import ThyroidScheme

SCHEMES: Mapping[str, Scheme] = {
    scheme.key: scheme
    for scheme in (PathologyScheme(), OctScheme(), BoostingScheme(), FibrosisScheme(), ThyroidScheme())
}

__all__ = ["SCHEMES", "Scheme", "SchemeConfig", "build_config", "find_scheme"]


def find_scheme(key: str) -> Scheme:
    """The scheme of a key.

    Raises
    ------
    ConfigError
        There is none; the sentence lists those there are.

    Examples
    --------
    >>> find_scheme("pathology").key
    'pathology'
    """
    try:
        return SCHEMES[key]
    except KeyError:
        close = difflib.get_close_matches(key, SCHEMES, n=1)
        hint = f"did you mean '{close[0]}'?" if close else f"choose one of: {', '.join(SCHEMES)}."
        raise ConfigError(f"There is no scheme '{key}': {hint}") from None


def build_config(
    scheme: Scheme,
    *,
    values: Mapping[str, Any] | None = None,
    profile: str | None = None,
    assignments: Sequence[str] = (),
) -> SchemeConfig:
    """A scheme's settings: defaults, then a profile, then given values, then single ``key=value`` assignments.

    Raises
    ------
    ConfigError
        Unknown profile, unknown key, or a value outside its range.

    Examples
    --------
    >>> config = build_config(find_scheme("pathology"), profile="cpu", assignments=["training.epochs=3"])
    >>> config.training.epochs
    3
    """
    merged: dict[str, Any] = {"scheme": scheme.key}
    if profile is not None:
        if profile not in scheme.profiles:
            known = ", ".join(scheme.profiles) or "none"
            raise ConfigError(f"Scheme '{scheme.key}' has no profile '{profile}'; it has: {known}.")
        _merge(merged, scheme.profiles[profile])
    if values is not None:
        _merge(merged, values)
    for assignment in assignments:
        set_value(merged, assignment)
    return parse_settings(scheme.config_type, merged)


def _merge(target: dict[str, Any], values: Mapping[str, Any]) -> None:
    for key, value in values.items():
        if isinstance(value, Mapping):
            child = target.setdefault(key, {})
            if isinstance(child, dict):
                _merge(child, value)
                continue
        target[key] = value
