"""Small predictors whose answer is known."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from napari_medseg.config import WindowConfig
from napari_medseg.inference.predictor import Predictor
from napari_medseg.structures import Image, MaskClass

Forward = Callable[[torch.Tensor], tuple[torch.Tensor | None, torch.Tensor | None]]
CLASSES = tuple(MaskClass(value=v, name=f"class {v}", color="#ff0000") for v in (1, 2, 9))


def image_of(pixels: np.ndarray, axes: str = "yx", *coarser: np.ndarray) -> Image:
    return Image(levels=(pixels, *coarser), axes=axes, rgb=axes.endswith("c"), name="test")


def make_predictor(
    forward: Forward,
    *,
    window: tuple[int, ...] = (64, 64),
    multiple: int = 16,
    scale: float = 1.0,
    overlap: float = 0.25,
    blend: str = "gaussian",
    classes: tuple[MaskClass, ...] = CLASSES,
    tags: tuple[str, ...] = (),
) -> Predictor:
    """A predictor that divides pixels by 255 and runs `forward`, with windows checked against the contract."""

    def checked(values: torch.Tensor) -> tuple[torch.Tensor | None, torch.Tensor | None]:
        assert values.dtype == torch.float32
        assert all(n % multiple == 0 and n <= w for n, w in zip(values.shape[2:], window, strict=True))
        return forward(values)

    def normalise(pixels: np.ndarray, prepared: Any) -> np.ndarray:
        assert prepared == "prepared"
        return pixels.astype(np.float32) / 255

    in_plane = min(2, len(window))
    return Predictor(
        window=window,
        multiple=multiple,
        scale_of=lambda image: (1.0,) * (len(image.spatial_axes) - in_plane) + (scale,) * in_plane,
        prepare=lambda image: "prepared",
        normalise=normalise,
        forward=checked,
        classes=classes,
        tags=tags,
        windows=WindowConfig(overlap=overlap, blend=blend),
    )


def nearest_quarter(values: torch.Tensor) -> tuple[torch.Tensor, None]:
    """Pixelwise "network": channel k is most likely where the mean over channels is nearest to k / 3."""
    grey = values.mean(dim=1, keepdim=True)
    levels = torch.arange(4).reshape(1, 4, *(1,) * (values.ndim - 2)) / 3
    return -((grey - levels) ** 2) * 100, None


def expected_labels(pixels: np.ndarray, channel_axis: int | None = None) -> np.ndarray:
    """What `nearest_quarter` with `CLASSES` must give, computed on the whole image."""
    grey = pixels.astype(np.float64) / 255
    if channel_axis is not None:
        grey = grey.mean(axis=channel_axis)
    index = np.abs(grey[..., np.newaxis] - np.arange(4) / 3).argmin(axis=-1)
    return np.array([0, 1, 2, 9], np.uint8)[index]


class SmallNet(torch.nn.Module):
    """Random convolutions with a receptive field of 9 pixels: neighbouring windows disagree near their borders."""

    def __init__(self, in_channels: int, outputs: int, dimensions: int = 2, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        convolution = torch.nn.Conv2d if dimensions == 2 else torch.nn.Conv3d
        self.layers = torch.nn.Sequential(
            convolution(in_channels, 8, 5, padding=2), torch.nn.ReLU(), convolution(8, outputs, 5, padding=2)
        ).eval()

    def forward(self, values: torch.Tensor) -> tuple[torch.Tensor, None]:
        return self.layers(values) * 5, None
