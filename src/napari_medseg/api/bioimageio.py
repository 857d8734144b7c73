"""Packages of bioimage.io, written and checked with that project's own library."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_medseg.errors import ModelError
from napari_medseg.io.atomic import replacing
from napari_medseg.io.model_file import ModelCard

_OPSET = 18
_TEXT = """# {name}

A model of scheme `{scheme}`, trained with napari-medseg. Research use only: not a medical device.

Pixels go in as they are ({low:g} to {high:g}; other values are cut off there), probabilities come out; normalisation is
part of the network. The image must have the resolution that the network was trained at: {resolution}.

- Areas: {classes}
- Classes of the whole image: {tags}

{note}

## Validation

Validated on images of groups (patients, slides, eyes) that it was not trained on; figures of its training: {scores}
"""

Floats = npt.NDArray[np.float32]


def write_package(
    path: Path,
    graph: Path,
    card: ModelCard,
    facts: Mapping[str, Any],
    pixels: Floats,
    expected: Mapping[str, Floats],
    *,
    author: str,
    licence: str,
) -> None:
    """Write a package of model description 0.5.

    Parameters
    ----------
    graph
        The ONNX file.
    card, facts
        Of the model; see `napari_medseg.api.model_export`.
    pixels, expected
        An input and what must come out, by output.
    author, licence
        Name of who answers for the model; SPDX name of a licence.

    Raises
    ------
    ModelError
        The description does not pass the checks of bioimage.io.
    WriteError
        The file cannot be written.
    """
    from bioimageio.spec import save_bioimageio_package
    from bioimageio.spec.model.v0_5 import Author, FileDescr, ModelDescr, OnnxWeightsDescr, WeightsDescr

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        np.save(folder / "pixels.npy", pixels)
        for output, values in expected.items():
            np.save(folder / f"{output}.npy", values)
        (folder / "README.md").write_text(_text(card, facts), encoding="utf-8")
        try:
            description = ModelDescr(
                name=_allowed(f"napari-medseg {facts['scheme']} {facts['identity'][:8]}"),
                description=f"A model of scheme {facts['scheme']}, trained with napari-medseg; research use only.",
                documentation=FileDescr(source=folder / "README.md"),
                authors=[Author(name=author)],
                license=licence,
                tags=["medical", "segmentation", facts["scheme"]],
                inputs=[_input(folder, facts)],
                outputs=[_output(folder, output, facts) for output in expected],
                weights=WeightsDescr(onnx=OnnxWeightsDescr(source=graph, opset_version=_OPSET, external_data=None)),
            )
            with replacing(path) as temporary:
                save_bioimageio_package(description, output_path=temporary, allow_invalid=False)
        except ValueError as error:
            raise ModelError(
                f"bioimage.io does not accept this model ({error}): give it a licence and a name."
            ) from error


def _allowed(name: str) -> str:
    return "".join(character if character.isalnum() or character in "_+- ()" else "-" for character in name)


def _text(card: ModelCard, facts: Mapping[str, Any]) -> str:
    spacing, units = facts["spacing"], facts["units"]
    resolution = f"the images' own, reduced as '{facts['preprocessing'].get('resolution', 'not at all')}' says"
    if spacing:
        resolution = ", ".join(f"{s:g} {u}" for s, u in zip(spacing, units or (), strict=False)) + " per pixel"
    scores = ", ".join(f"{key} {value:.3f}" for key, value in card.training.scores.items() if value is not None)
    low, high = facts["range"]
    return _TEXT.format(
        name=facts["model"],
        scheme=facts["scheme"],
        low=low,
        high=high,
        resolution=resolution,
        classes=", ".join(facts["classes"].values()) or "none",
        tags=", ".join(facts["tags"]) or "none",
        note=card.note,
        scores=scores or "none",
    )


def _input(folder: Path, facts: Mapping[str, Any]) -> Any:
    from bioimageio.spec.model.v0_5 import (
        BatchAxis,
        ChannelAxis,
        FileDescr,
        InputTensorDescr,
        IntervalOrRatioDataDescr,
        ParameterizedSize,
        SpaceInputAxis,
    )

    step = facts["multiple"]
    sizes = [ParameterizedSize(min=step, step=step) if step else side for side in facts["window"]]
    axes = [
        BatchAxis(size=None if step else 1),
        ChannelAxis(channel_names=[f"channel{n}" for n in range(facts["channels"])]),
        *(SpaceInputAxis(id=axis, size=size) for axis, size in zip(facts["axes"][2:], sizes, strict=True)),
    ]
    return InputTensorDescr(
        id="pixels",
        axes=axes,
        test_tensor=FileDescr(source=folder / "pixels.npy"),
        data=IntervalOrRatioDataDescr(type="float32", range=tuple(facts["range"])),
    )


def _output(folder: Path, output: str, facts: Mapping[str, Any]) -> Any:
    from bioimageio.spec.model.v0_5 import (
        BatchAxis,
        ChannelAxis,
        FileDescr,
        IntervalOrRatioDataDescr,
        OutputTensorDescr,
        SizeReference,
        SpaceOutputAxis,
    )

    step = facts["multiple"]
    drawn = output == "probabilities"
    names = list(facts["tags"])
    axes: list[Any] = []
    if drawn:
        names = [*([] if facts["overlapping"] else ["background"]), *facts["classes"].values()]
        axes = [
            SpaceOutputAxis(id=axis, size=SizeReference(tensor_id="pixels", axis_id=axis)) for axis in facts["axes"][2:]
        ]
    names = [_identifier(name, number) for number, name in enumerate(names)]
    return OutputTensorDescr(
        id=output,
        axes=[BatchAxis(size=None if step else 1), ChannelAxis(channel_names=names), *axes],
        test_tensor=FileDescr(source=folder / f"{output}.npy"),
        data=IntervalOrRatioDataDescr(type="float32", range=(0.0, 1.0)),
    )


def _identifier(name: str, number: int) -> str:
    """A channel's name as bioimage.io wants it: letters, digits and underscores."""
    kept = "".join(character if character.isalnum() else "_" for character in name)
    return kept if kept.isidentifier() else f"class_{number}_{kept}".rstrip("_")
