"""Batch normalisation folded into the convolution before it: the same function with fewer passes over memory.

In eval mode, normalisation is an affine map per channel, so ``scale * (W * x + b) + shift`` is one convolution with
weights ``scale * W`` and bias ``scale * b + shift`` (Jacob et al. 2018, arXiv:1712.05877, section 3.2).
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from napari_medseg.models.compute import Compute

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_NORMALISATIONS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


def fold_batch_norm(model: nn.Module, example: torch.Tensor) -> nn.Module:
    """A copy of a network in eval mode whose batch normalisations are folded away wherever that changes nothing.

    Which normalisation follows which convolution is seen by running the network once, so that it works for networks of
    any library. The result is compared with the original; where they differ (a convolution's output that is also used
    elsewhere), the original is returned.

    Parameters
    ----------
    model
        Network in eval mode.
    example
        A small input it accepts, on its device.
    """
    if model.training:
        raise ValueError("only a network in eval mode can be folded")
    folded = copy.deepcopy(model)
    with torch.inference_mode(), torch.autocast(example.device.type, enabled=False):
        pairs = _pairs(folded, example)
    parents = {child: (parent, name) for parent in folded.modules() for name, child in parent.named_children()}
    for convolution, normalisation in pairs:
        _replace(parents[convolution], fuse_conv_bn_eval(convolution, normalisation))
        _replace(parents[normalisation], nn.Identity())
    folded.requires_grad_(False)
    with torch.inference_mode(), torch.autocast(example.device.type, enabled=False):
        same = all(_close(a, b) for a, b in zip(_tensors(folded(example)), _tensors(model(example)), strict=True))
    return folded if same else model


def folded_for_inference(network: nn.Module, in_channels: int, compute: Compute) -> nn.Module:
    """A network for images (b, in_channels, y, x) in eval mode, folded, on its device."""
    example = torch.linspace(-2.0, 2.0, in_channels * 64 * 64).reshape(1, in_channels, 64, 64)
    return compute.prepare_inference(fold_batch_norm(network.eval(), example))


def _pairs(model: nn.Module, example: torch.Tensor) -> list[tuple[Any, Any]]:
    """Convolutions and the normalisations that read their output; each must run exactly once."""
    made: dict[int, tuple[nn.Module, torch.Tensor]] = {}
    calls: dict[nn.Module, int] = {}
    pairs: list[tuple[Any, Any]] = []

    def after_convolution(module: nn.Module, inputs: Any, output: torch.Tensor) -> None:
        calls[module] = calls.get(module, 0) + 1
        made[id(output)] = module, output  # holding the tensor keeps its id from being used again

    def before_normalisation(module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        calls[module] = calls.get(module, 0) + 1
        if id(inputs[0]) in made:
            pairs.append((made[id(inputs[0])][0], module))

    hooks = [m.register_forward_hook(after_convolution) for m in model.modules() if isinstance(m, _CONVOLUTIONS)]
    hooks += [
        m.register_forward_pre_hook(before_normalisation) for m in model.modules() if isinstance(m, _NORMALISATIONS)
    ]
    try:
        model(example)
    finally:
        for hook in hooks:
            hook.remove()
    return [pair for pair in pairs if all(calls[module] == 1 for module in pair)]


def _replace(place: tuple[nn.Module, str], module: nn.Module) -> None:
    parent, name = place
    setattr(parent, name, module)


def _tensors(output: Any) -> Iterator[torch.Tensor]:
    """The tensors in a network's output, however it nests them."""
    if isinstance(output, torch.Tensor):
        yield output
    elif isinstance(output, (list, tuple)):
        for item in output:
            yield from _tensors(item)
    elif isinstance(output, dict):
        yield from _tensors(list(output.values()))


def _close(first: torch.Tensor, second: torch.Tensor) -> bool:
    largest = float(second.abs().amax()) if second.numel() else 0.0
    return torch.allclose(first, second, rtol=1e-3, atol=1e-4 * max(largest, 1e-6))
