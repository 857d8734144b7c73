"""Random changes of a batch of patches, on whatever device it lies, all patches at once."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from napari_medseg.config import AugmentationConfig
from napari_medseg.structures import NOT_LOOKED_AT


@torch.no_grad()
def augment(
    images: Tensor, labels: Tensor, config: AugmentationConfig, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Change each patch in its own random way.

    Mirroring, turning and zooming move pixels and labels together, in the plane of rows and columns (a stack is zoomed
    along its slices too, but never tilted); outside of the patch the image is reflected and nothing is known. The other
    changes touch intensities alone.

    Parameters
    ----------
    images
        float32 (b, c, [z,] y, x), normalised to standard deviation 1.
    labels
        int64 or uint8 (b, [z,] y, x); 255 is not looked at.
    config
        Strengths; each 0 turns a change off.
    generator
        All randomness comes from it; it lies on the device of `images`.

    Returns
    -------
    images, labels: as the arguments
    """
    draws = _Draws(len(images), generator)
    square = images.shape[-1] == images.shape[-2]
    if config.flip or (config.rotate90 and square) or config.rotate or config.zoom:
        images, labels = _move(images, labels, _matrices(config, square, images.ndim - 2, draws))
    return _change_intensity(images, config, draws), labels


class _Draws:
    """Random numbers, one per patch."""

    def __init__(self, count: int, generator: torch.Generator) -> None:
        self.count = count
        self.generator = generator

    def symmetric(self, strength: float, *shape: int) -> Tensor:
        """Uniform in -strength..strength, of shape (b, *shape)."""
        return (self._uniform(*shape) * 2 - 1) * strength

    def choice(self, number: int) -> Tensor:
        """Integers in 0..number - 1, as floats of shape (b,)."""
        return (self._uniform() * number).floor().clamp(max=number - 1)

    def noise_like(self, images: Tensor) -> Tensor:
        """Standard normal numbers."""
        return torch.randn(images.shape, generator=self.generator, device=images.device, dtype=images.dtype)

    def _uniform(self, *shape: int) -> Tensor:
        return torch.rand(self.count, *shape, generator=self.generator, device=self.generator.device)


def _matrices(config: AugmentationConfig, square: bool, dimensions: int, draws: _Draws) -> Tensor:
    """Maps from target to source positions in pixels about the centre: (b, dimensions, dimensions), x first."""
    turn = draws.symmetric(math.radians(config.rotate))
    if config.rotate90 and square:
        turn = turn + draws.choice(4) * (math.pi / 2)
    size = 1 / (1 + draws.symmetric(config.zoom))
    mirror = 1 - 2 * draws.choice(2).unsqueeze(1) if config.flip else torch.ones_like(size).unsqueeze(1)
    both = config.flip and config.upside_down
    upside = 1 - 2 * draws.choice(2).unsqueeze(1) if both else torch.ones_like(size).unsqueeze(1)
    rows = torch.stack([torch.stack([turn.cos(), -turn.sin()], 1), torch.stack([turn.sin(), turn.cos()], 1)], 1)
    rows = rows * torch.cat([mirror, upside], 1).unsqueeze(1)  # mirror the target's axes
    matrices = torch.eye(dimensions, device=rows.device).repeat(len(rows), 1, 1)
    matrices[:, :2, :2] = rows
    return matrices * size.view(-1, 1, 1)


def _move(images: Tensor, labels: Tensor, matrices: Tensor) -> tuple[Tensor, Tensor]:
    """Resample patches at the positions that the matrices give."""
    sides = torch.tensor(images.shape[:1:-1], device=images.device, dtype=torch.float32)  # x, y[, z]
    # grid_sample counts each axis from -1 to 1, whatever its length.
    scaled = matrices * sides.view(1, 1, -1) / sides.view(1, -1, 1)
    theta = torch.cat([scaled, torch.zeros_like(scaled[..., :1])], dim=2)
    grid = functional.affine_grid(theta, list(images.shape), align_corners=False).to(images.dtype)
    moved = functional.grid_sample(images, grid, mode="bilinear", padding_mode="reflection", align_corners=False)
    # Zeros come in from outside, so labels are counted from "not looked at" while they move.
    shifted = (labels.unsqueeze(1).to(images.dtype)) - NOT_LOOKED_AT
    shifted = functional.grid_sample(shifted, grid, mode="nearest", padding_mode="zeros", align_corners=False)
    return moved, (shifted.squeeze(1) + NOT_LOOKED_AT).round().to(labels.dtype)


def _change_intensity(images: Tensor, config: AugmentationConfig, draws: _Draws) -> Tensor:
    """Contrast about the patch's mean, brightness, colour, noise, speckle."""
    singles = (1,) * (images.ndim - 1)
    if config.contrast:
        centre = images.mean(tuple(range(1, images.ndim)), keepdim=True)
        images = centre + (images - centre) * (1 + draws.symmetric(config.contrast, *singles))
    if config.brightness:
        images = images + draws.symmetric(config.brightness, *singles)
    if config.color and images.shape[1] > 1:
        images = images + draws.symmetric(config.color, images.shape[1], *singles[1:])
    if config.noise:
        images = images + draws.noise_like(images) * draws.symmetric(config.noise, *singles)
    if config.speckle:
        # Normalised images have no zero: the darkest pixel of the patch stands for no reflection.
        bright = images - images.amin(tuple(range(1, images.ndim)), keepdim=True)
        images = images + bright * draws.noise_like(images) * draws.symmetric(config.speckle, *singles)
    return images
