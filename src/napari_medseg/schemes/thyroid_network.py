"""The network of scheme `thyroid` with what stands around it: which part of a frame it sees, and what comes of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_medseg.data.scan_region import ScanRegionMethod, device_key, find_scan_region
from napari_medseg.structures import Box, Image, MaskClass, TagClass

if TYPE_CHECKING:
    import torch

    from napari_medseg.data.intensity import Intensity
    from napari_medseg.inference.predictor import Predictor
    from napari_medseg.models.xception import XceptionClassifier
    from napari_medseg.schemes.thyroid import ThyroidConfig

#: Logit of "nothing here": a judged region is never background.
_NEVER = -1e4


@dataclass(frozen=True, slots=True, kw_only=True)
class Sureness:
    """What validation says of a network's probabilities.

    Parameters
    ----------
    temperature
        Divides the logits; None where probabilities were not calibrated.
    sure_from
        How probable a class must be to be believed, above 1 where no answer is; None with too few validation cases.
    """

    temperature: float | None = None
    sure_from: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanFocus:
    """The part of a frame that is judged; see `Predictor.focus`.

    Parameters
    ----------
    method
        How the scan is found where nobody points it out; ``"whole"``: always the whole frame.
    devices
        Boxes ((y0, y1), (x0, x1)) that people gave, by `device_key`.
    """

    method: ScanRegionMethod
    devices: Mapping[str, Box]

    def __call__(self, image: Image, given: Box | None) -> Box:
        """A box with all axes of the image.

        Parameters
        ----------
        given
            The box that somebody drew, with or without an axis of frames; None: it is found.
        """
        shape = image.spatial_shape
        if self.method == "whole":
            given = ((0, shape[-2]), (0, shape[-1]))
        elif given is None:
            given = self.devices.get(device_key(image) or "")
        if given is None:
            given = find_scan_region(image, self.method).box
        frames = tuple((0, n) for n in shape[:-2])
        return given if len(given) == len(shape) else (*frames, *given[-2:])


def build_network(config: ThyroidConfig, in_channels: int, classes: int) -> XceptionClassifier:
    """The scheme's network with fresh weights."""
    from napari_medseg.models.xception import XceptionClassifier, XceptionEncoder, initialise

    encoder = XceptionEncoder(
        in_channels,
        config.network.base_width,
        middle_modules=config.network.middle_modules,
        modified=config.network.variant == "modified",
    )
    initialise(encoder)
    return XceptionClassifier(encoder, classes, config.network.dropout)


def make_predictor(
    config: ThyroidConfig,
    intensity: Intensity,
    network: Callable[[torch.Tensor], torch.Tensor],
    *,
    tags: Sequence[TagClass],
    focus: ScanFocus,
    sureness: Sureness,
    attend: Callable[[torch.Tensor], torch.Tensor] | None,
) -> Predictor:
    """A network with the preprocessing it was trained with.

    Parameters
    ----------
    network
        Maps images (b, c, y, x) to logits (b, tags).
    attend
        See `Predictor.attend`.
    """
    import torch

    from napari_medseg.inference.predictor import Predictor

    side = config.input_size

    def scale_of(part: Image) -> tuple[float, ...]:
        height, width = part.spatial_shape[-2:]
        return (*(1.0 for _ in part.spatial_shape[:-2]), side / height, side / width)

    def forward(windows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        logits = network(windows).float() / (sureness.temperature or 1.0)
        drawn = torch.cat([torch.full_like(logits[:, :1], _NEVER), logits], dim=1)
        return drawn[:, :, None, None].expand(-1, -1, *windows.shape[2:]), logits

    return Predictor(
        window=(side, side),
        multiple=1,
        scale_of=scale_of,
        prepare=intensity.prepare,
        normalise=intensity.normalise,
        forward=forward,
        classes=tuple(MaskClass(value=i, name=tag.name, color=tag.color) for i, tag in enumerate(tags, start=1)),
        tags=tuple(tag.name for tag in tags),
        windows=config.windows,
        focus=focus,
        region_of=lambda case: case.box,
        attend=attend,
        calibrated=sureness.temperature is not None,
        sure_from=sureness.sure_from,
        marks_region=True,
    )
