"""Trained networks for other programs: ONNX, and packages of bioimage.io (deepImageJ, ilastik, QuPath, BiaPy).

Normalisation and the step to probabilities are part of the exported graph: pixel values go in, probabilities come out.
What no graph holds (resolution, windows and their blending, where to look) is written beside it. After the export the
graph is run by ONNX Runtime and compared with the network that it came from.

Source: https://github.com/bioimage-io/spec-bioimage-io (model description 0.5).
"""

from __future__ import annotations

import json
import os
import tempfile
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_medseg.api.prediction import LoadedModel, load_model
from napari_medseg.errors import ConfigError, ModelError
from napari_medseg.io.atomic import replacing
from napari_medseg.io.model_file import ModelCard, identity, read_model

if TYPE_CHECKING:
    import torch

EXTRA = "onnx"
#: Largest difference of a probability between the network and what was exported.
TOLERANCE = 1e-3
_OPSET = 18
_8BIT = (0.0, 255.0)
_MASKS, _TAGS, _PIXELS = "probabilities", "tag_probabilities", "pixels"

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportedModel:
    """What was written.

    Parameters
    ----------
    path
        The file.
    difference
        Largest difference of a probability to the original, on random pixels.
    facts
        What another program has to know.
    """

    path: Path
    difference: float
    facts: Mapping[str, Any]


def export_model(
    model: str | os.PathLike[str], out: str | os.PathLike[str], *, author: str = "", licence: str = ""
) -> ExportedModel:
    """Write a model for other programs.

    Parameters
    ----------
    model
        Model file or run folder.
    out
        ``name.onnx``, or ``name.zip`` for a package of bioimage.io.
    author, licence
        A package names who answers for it, and a licence by its SPDX name; that of the model file when empty.

    Raises
    ------
    ConfigError
        The name says no format, a library is missing, or every image would have to be normalised by its own values.
    ModelError
        The model cannot be used, or what was exported does not give the same probabilities.
    WriteError
        The file cannot be written.
    """
    path = Path(out)
    if path.suffix not in (".onnx", ".zip"):
        raise ConfigError(f"{path.name} says no format: choose a name that ends with .onnx or .zip (bioimage.io).")
    _require()
    loaded = load_model(model, device="cpu", precision="fp32")
    licence = licence or loaded.card.licence
    if path.suffix == ".zip" and not (author and licence):
        raise ConfigError(
            "A package of bioimage.io names an author and a licence: add --author NAME --licence CC-BY-4.0, say."
        )
    facts = _facts(loaded)
    pixels = _sample(facts)
    with tempfile.TemporaryDirectory() as folder:
        graph = Path(folder) / "network.onnx"
        network = _with_normalisation(loaded, facts)
        _write_graph(graph, network, facts, pixels)
        expected = _answers(network, facts, pixels)
        # A graph may hold on to the size that it was made with.
        others = [_sample(facts, other=True)] if facts["multiple"] else []
        pairs = [(pixels, expected), *((each, _answers(network, facts, each)) for each in others)]
        difference = max(_difference(graph, *pair) for pair in pairs)
        if not difference <= TOLERANCE:
            raise ModelError(
                f"What was exported differs from the network by {difference:.2g} in a probability, so nothing was "
                "written: report the model's settings."
            )
        if path.suffix == ".onnx":
            with replacing(path) as temporary:
                temporary.write_bytes(graph.read_bytes())
        else:
            from napari_medseg.api.bioimageio import write_package

            write_package(path, graph, loaded.card, facts, pixels, expected, author=author, licence=licence)
    return ExportedModel(path=path, difference=difference, facts=facts)


def _require() -> None:
    from importlib.util import find_spec

    if any(find_spec(name) is None for name in ("onnx", "onnxscript", "onnxruntime", "bioimageio.spec")):
        raise ConfigError(f"Exporting models needs the extra '{EXTRA}': pip install \"napari-medseg[{EXTRA}]\".")


def _facts(loaded: LoadedModel) -> dict[str, Any]:
    """What a program that runs the graph has to know."""
    card, predictor = loaded.card, loaded.predictor
    low, high, mean, std = _intensity(card)
    return {
        "model": loaded.name,
        "identity": identity(*read_model(loaded.path)),
        "scheme": card.scheme,
        "axes": ("b", "c", *card.expects.axes),
        "channels": card.expects.channels,
        "range": [low, high],
        "mean": mean,
        "std": std,
        "window": list(predictor.window),
        "multiple": predictor.multiple if predictor.classes and predictor.focus is None else 0,
        "spacing": card.expects.spacing,
        "units": card.expects.units,
        "preprocessing": card.preprocessing,
        "overlapping": predictor.overlapping,
        "classes": {c.value: c.name for c in card.classes} if predictor.classes else {},
        "tags": list(predictor.tags),
    }


def _intensity(card: ModelCard) -> tuple[float, float, list[float], list[float]]:
    """Range that becomes 0 to 1, then mean and standard deviation per channel.

    Raises
    ------
    ConfigError
        The range is that of every image, which a graph cannot know.
    """
    values = dict(card.preprocessing.get("intensity", {}))
    window = values.get("window")
    if "inner" in values:
        if values.get("truncate") != "window" or window is None:
            raise ConfigError(
                "This model stretches every scan by its own values, which no graph can do: train one with a fixed "
                "window (--set truncate=window)."
            )
        values = dict(values["inner"])
    low, high = _8BIT if window is None else (float(window[0]), float(window[1]))
    try:
        return low, high, [float(v) for v in values["mean"]], [float(v) for v in values["std"]]
    except (KeyError, TypeError) as error:
        raise ConfigError("This model normalises images in a way of its own, which is not exported.") from error


def _sample(facts: Mapping[str, Any], *, other: bool = False) -> Floats:
    """Random pixels (1, c, [z,] y, x) of the size of a window, or two images of another size that suits too."""
    low, high = facts["range"]
    rng = np.random.default_rng(0)
    size, step = list(facts["window"]), facts["multiple"]
    if other:
        size[-1], size[-2] = size[-1] + step, max(size[-2] - step, step)
    pixels: Floats = (low + (high - low) * rng.random((1 + other, facts["channels"], *size))).astype(np.float32)
    return pixels


def _outputs(facts: Mapping[str, Any]) -> list[str]:
    return [name for name, there in ((_MASKS, bool(facts["classes"])), (_TAGS, bool(facts["tags"]))) if there]


def _answers(network: Any, facts: Mapping[str, Any], pixels: Floats) -> dict[str, Floats]:
    """What the network says of pixels, by output."""
    import torch

    with torch.no_grad():
        found = network(torch.from_numpy(pixels))
    return {name: np.asarray(values) for name, values in zip(_outputs(facts), found, strict=True)}


def _write_graph(path: Path, network: Any, facts: Mapping[str, Any], pixels: Floats) -> None:
    """Write the graph with the facts in it."""
    import onnx
    import torch

    names, axes = _outputs(facts), dict[str, dict[int, str]]()
    if facts["multiple"]:
        # Networks that judge a region as a whole take one size; all others any multiple of their downsampling.
        axes = {name: {0: "batch"} for name in (_PIXELS, *names)}
        spatial = dict(enumerate(facts["axes"][2:], start=2))
        for name in {_PIXELS, _MASKS} & axes.keys():
            axes[name] |= spatial
    with warnings.catch_warnings():
        # The tracer warns of every size that it may hold on to: what comes out is compared instead.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network,
            (torch.from_numpy(pixels),),
            str(path),
            input_names=[_PIXELS],
            output_names=names,
            dynamic_axes=axes,
            opset_version=_OPSET,
            dynamo=False,
        )
    graph = onnx.load(str(path))
    onnx.helper.set_model_props(graph, {"napari-medseg": json.dumps(facts)})
    graph.doc_string = "Research use only."
    onnx.checker.check_model(graph)
    onnx.save(graph, str(path))


def _with_normalisation(loaded: LoadedModel, facts: Mapping[str, Any]) -> Any:
    """A network from pixel values to probabilities."""
    import torch

    shape = (1, -1, *(1,) * len(loaded.predictor.window))
    low, high = facts["range"]
    mean, std = (torch.tensor(facts[key]).reshape(shape) for key in ("mean", "std"))
    forward, overlapping = loaded.predictor.forward, bool(facts["overlapping"])
    draws, judges = bool(facts["classes"]), bool(facts["tags"])

    class Whole(torch.nn.Module):
        def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor, ...]:
            stretched = ((pixels - low) / (high - low)).clamp(0.0, 1.0)
            masks, tags = forward((stretched - mean) / std)
            outputs = []
            if draws:
                assert masks is not None, "a predictor with classes gives mask logits"
                outputs.append(masks.sigmoid() if overlapping else masks.softmax(dim=1))
            if judges:
                assert tags is not None, "a predictor with tags gives tag logits"
                outputs.append(tags.softmax(dim=1))
            return tuple(outputs)

    return Whole().eval()


def _difference(graph: Path, pixels: Floats, expected: Mapping[str, Floats]) -> float:
    """Largest difference between what ONNX Runtime says and the network."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(graph), providers=["CPUExecutionProvider"])
    found = session.run(list(expected), {_PIXELS: pixels})
    return max(float(np.abs(a - b).max()) for a, b in zip(found, expected.values(), strict=True))
