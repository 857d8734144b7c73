"""What a network makes of an image before it decides: the deepest map of its features, averaged over the image."""

from __future__ import annotations

import math
import threading
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_medseg.inference.predictor import Predictor
from napari_medseg.models.guard import guard_torch_import

guard_torch_import()

import torch  # noqa: E402 - after the guard


class FeatureProbe:
    """Listens to a predictor's network while it runs.

    The deepest map is the one with the fewest places among the maps of all modules that still has more than one; it
    is found by looking at shapes, so that any network of any scheme or library can be listened to.

    Parameters
    ----------
    predictor
        Whose network is listened to; predict with the attribute `predictor` instead.
    """

    def __init__(self, predictor: Predictor) -> None:
        self.predictor = replace(predictor, forward=self._forward)
        self._network = predictor.forward
        self._sum: npt.NDArray[np.float64] | None = None
        self._count = 0

    def features(self) -> npt.NDArray[np.float64] | None:
        """The map averaged over places and windows, (channels,); None where none was seen."""
        return None if self._sum is None else self._sum / self._count

    def _forward(self, windows: torch.Tensor) -> tuple[torch.Tensor | None, torch.Tensor | None]:
        """The network's answer to a batch; the deepest map on the way is averaged and added up."""
        deepest: list[torch.Tensor] = []
        own_thread = threading.get_ident()

        def look(module: torch.nn.Module, inputs: Any, output: Any) -> None:
            # The hook hears every network of the process; another prediction may run beside this one.
            if threading.get_ident() != own_thread or not _is_map(output, len(windows)):
                return
            if not deepest or _places(output) <= _places(deepest[0]):
                deepest[:] = [output]

        handle = torch.nn.modules.module.register_module_forward_hook(look)
        try:
            answer = self._network(windows)
        finally:
            handle.remove()
        if deepest:
            means = deepest[0].float().flatten(2).mean(dim=2).sum(dim=0).cpu().numpy().astype(np.float64)
            self._sum = means if self._sum is None else self._sum + means
            self._count += len(windows)
        return answer


def _is_map(output: Any, batch: int) -> bool:
    return isinstance(output, torch.Tensor) and output.ndim >= 4 and len(output) == batch and _places(output) > 1


def _places(tensor: torch.Tensor) -> int:
    return math.prod(tensor.shape[2:])
