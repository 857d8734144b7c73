"""Settings that several schemes share: frozen pydantic models, whose descriptions are tooltip, help and documentation.

A scheme's own settings class lives in the scheme's file and holds these as fields. JSON written from a config and read
again gives an equal config; unknown keys are refused with their name.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from napari_medseg.errors import ConfigError, InputNotFoundError


class Settings(BaseModel):
    """Base of all settings: frozen, no unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


#: Name of this package's own encoder, and of its own decoder, in settings.
PLAIN = "unet-plain"
#: Decoders whose number of kernels can be set; others have what their authors gave them.
DECODERS_WITH_WIDTHS = (PLAIN, "unet", "unetplusplus", "manet")

#: Marks the few settings that a form shows unfolded.
BASIC: dict[str, JsonValue] = {"basic": True}

#: Encoders that a form offers; any other of segmentation-models-pytorch can be named too.
ENCODERS: list[JsonValue] = [
    "unet-plain",
    "resnet18",
    "resnet34",
    "resnet50",
    "efficientnet-b0",
    "efficientnet-b3",
    "mobilenet_v2",
    "densenet121",
    "mit_b0",
]

#: Decoders that a form offers.
DECODERS: list[JsonValue] = ["unet-plain", "unet", "unetplusplus", "manet", "linknet", "fpn", "pspnet", "deeplabv3plus"]


def unit(name: str) -> dict[str, JsonValue]:
    """Marks a setting with the unit that a form shows behind its value."""
    return {"unit": name}


class NetworkConfig(Settings):
    """What the network is made of."""

    encoder: str = Field(
        PLAIN,
        description="'unet-plain' (the scheme's own encoder) or any encoder of segmentation-models-pytorch by name.",
        json_schema_extra={**BASIC, "suggestions": ENCODERS},
    )
    encoder_weights: str | None = Field(
        None, description="Pretrained weights of that library's encoder, e.g. 'imagenet'; downloaded on first use."
    )
    decoder: str = Field(
        PLAIN,
        description="'unet-plain' (all skips) or a decoder of segmentation-models-pytorch, e.g. 'unetplusplus'.",
        json_schema_extra={"suggestions": DECODERS},
    )
    base_width: int = Field(
        64,
        ge=4,
        le=256,
        description="Channels of the finest level; each level doubles them.",
        json_schema_extra={**BASIC, **unit("channels")},
    )
    dropout: float = Field(0.0, ge=0.0, lt=1.0, description="Dropout before the classifier's linear layer.")


class TrainingConfig(Settings):
    """How a stage is trained."""

    epochs: int = Field(60, ge=1, description="Most passes over the training cases per stage.", json_schema_extra=BASIC)
    steps_per_epoch: int | None = Field(
        None,
        ge=1,
        description="Optimiser steps that count as one epoch; empty: one pass over the cases, at least 20 steps.",
        json_schema_extra=unit("steps"),
    )
    batch_size: int = Field(
        8,
        ge=1,
        description="Patches per optimiser step, over all devices.",
        json_schema_extra={**BASIC, **unit("patches")},
    )
    learning_rate: float = Field(
        1e-3, gt=0.0, le=1.0, description="Highest learning rate (after warm-up).", json_schema_extra=BASIC
    )
    weight_decay: float = Field(1e-4, ge=0.0, le=1.0, description="Decoupled weight decay (AdamW).")
    warmup_steps: int = Field(
        20,
        ge=0,
        description="Steps over which the learning rate rises to its highest value.",
        json_schema_extra=unit("steps"),
    )
    patience: int = Field(
        15,
        ge=0,
        description="Stop a stage after this many validations without a better score; 0: never.",
        json_schema_extra=unit("validations"),
    )
    validate_every: int = Field(
        1, ge=1, description="Epochs between two validations.", json_schema_extra=unit("epochs")
    )
    gradient_clip: float = Field(5.0, ge=0.0, description="Largest norm of the gradient; 0: not limited.")
    corrected_weight: int = Field(
        1,
        ge=1,
        le=8,
        description="How often a case comes in a pass in which a person corrected a model's proposal; 1: as any other.",
        json_schema_extra=unit("times"),
    )
    checkpoint_seconds: float = Field(
        30.0, ge=0.0, description="Most seconds of work that a crash can cost.", json_schema_extra=unit("s")
    )


class AugmentationConfig(Settings):
    """Random changes of training patches; each strength 0 turns a change off."""

    flip: bool = Field(True, description="Mirror left and right.")
    upside_down: bool = Field(True, description="Mirror top and bottom too.")
    rotate90: bool = Field(True, description="Turn by quarter turns (square patches).")
    rotate: float = Field(
        15.0, ge=0.0, le=180.0, description="Largest free rotation.", json_schema_extra=unit("degrees")
    )
    zoom: float = Field(0.15, ge=0.0, lt=0.9, description="Largest relative change of size.")
    brightness: float = Field(
        0.1,
        ge=0.0,
        le=1.0,
        description="Largest shift of intensity, in standard deviations.",
        json_schema_extra=unit("SD"),
    )
    contrast: float = Field(0.2, ge=0.0, le=1.0, description="Largest relative change of contrast.")
    color: float = Field(
        0.1,
        ge=0.0,
        le=1.0,
        description="Largest shift per channel, in standard deviations.",
        json_schema_extra=unit("SD"),
    )
    noise: float = Field(
        0.05, ge=0.0, le=1.0, description="Largest standard deviation of added noise.", json_schema_extra=unit("SD")
    )
    speckle: float = Field(
        0.0, ge=0.0, le=1.0, description="Largest standard deviation of multiplied noise, as a share of the brightness."
    )
    stain: float = Field(
        0.0,
        ge=0.0,
        le=1.0,
        description="Largest relative change of each stain (haematoxylin, eosin, third) of colour images.",
    )


class SlideConfig(Settings):
    """How whole slides are trained from."""

    mpp: float | None = Field(
        None,
        gt=0.0,
        le=100.0,
        description="Micrometres per network pixel, for images that know theirs; empty: so that the input covers most "
        "of a picture or tagged tile, and 1 where there are slides alone.",
        json_schema_extra=unit("µm"),
    )
    tiles_per_pass: int = Field(
        64,
        ge=1,
        description="Patches drawn from a slide in a pass over the cases, per kind of label and tag.",
        json_schema_extra=unit("patches"),
    )
    validation_tiles: int = Field(
        32,
        ge=1,
        description="Tiles of a validation slide that are judged, always the same ones.",
        json_schema_extra=unit("tiles"),
    )
    stain_normalisation: Literal["none", "macenko"] = Field(
        "none", description="Bring the stains of every slide and colour picture to a reference, in prediction too."
    )


class WindowConfig(Settings):
    """How large images are cut for prediction."""

    overlap: float | None = Field(
        None,
        ge=0.0,
        lt=1.0,
        description="Least overlap of neighbouring windows, as a share; empty: 64 pixels, at most a quarter.",
    )
    blend: Literal["gaussian", "constant", "crop"] = Field(
        "gaussian", description="How overlapping windows are joined: weighted, averaged, or centre parts only."
    )


S = TypeVar("S", bound=Settings)


def describe_fault(error: ValidationError) -> str:
    """One sentence from pydantic's report: the first faulty setting, its value, and what is allowed."""
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"]) or "the settings"
    if first["type"] == "extra_forbidden":
        return f"There is no setting '{where}': remove it or correct its spelling."
    return f"Setting '{where}' = {first['input']!r}: {first['msg'][0].lower()}{first['msg'][1:]}."


def parse_settings(settings_type: type[S], values: dict[str, Any]) -> S:
    """Settings from plain values.

    Raises
    ------
    ConfigError
        A key is unknown or a value is outside its range; the sentence names it.
    """
    try:
        return settings_type.model_validate(values)
    except ValidationError as error:
        raise ConfigError(describe_fault(error)) from error


def load_json(path: Path) -> dict[str, Any]:
    """The JSON object in a file.

    Raises
    ------
    InputNotFoundError, ConfigError
        The file is missing, or is not a JSON object.
    """
    try:
        values = json.loads(path.read_text("utf-8-sig"))
    except FileNotFoundError:
        raise InputNotFoundError(f"Settings file {path} does not exist: check the path.") from None
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ConfigError(f"Settings file {path} cannot be read as JSON ({error}): mend or remove it.") from None
    if not isinstance(values, dict):
        raise ConfigError(f"Settings file {path} must hold one JSON object, but holds a {type(values).__name__}.")
    return values


def set_value(values: dict[str, Any], assignment: str) -> None:
    """Apply ``key.sub=value`` to nested plain values in place; the value is JSON, or a bare string.

    Raises
    ------
    ConfigError
        The text has no ``=``, or a part of the key is not a group of settings.
    """
    key, sep, text = assignment.partition("=")
    if not sep or not key:
        raise ConfigError(f"Setting '{assignment}' has no value: write it as key=value, e.g. training.epochs=20.")
    try:
        value = json.loads(text)
    except json.JSONDecodeError:
        value = text
    *groups, last = key.split(".")
    for group in groups:
        child = values.setdefault(group, {})
        if not isinstance(child, dict):
            raise ConfigError(f"Setting '{key}': '{group}' is a single value, not a group of settings.")
        values = child
    values[last] = value
