"""The network of scheme `fibrosis` with what stands around it: which region it sees, how, and what comes of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal

from napari_medseg.data.regions import mask_box, steps_of
from napari_medseg.errors import ModelError
from napari_medseg.structures import Box, DatasetInfo, Image, MaskClass, TrainingCase

if TYPE_CHECKING:
    import torch
    from torch import nn

    from napari_medseg.data.intensity import Intensity
    from napari_medseg.inference.predictor import Predictor
    from napari_medseg.models.residual import JointNetwork
    from napari_medseg.schemes.fibrosis import FibrosisConfig

#: Which heads a network has: region and grade, or one of them.
Kind = Literal["joint", "region", "grade"]
#: Soft tissue of CT, in Hounsfield units; see `FibrosisConfig.window_low`.
_CT_WINDOW = (-100.0, 240.0)


def lesion_classes(config: FibrosisConfig, info: DatasetInfo) -> tuple[MaskClass, ...]:
    """Classes that are cut out, drawn and graded."""
    return tuple(c for c in info.classes if config.lesion in ("", c.name))


def window_of(config: FibrosisConfig, info: DatasetInfo) -> tuple[float, float] | None:
    """The range of intensities that the network sees; None: each region's own."""
    if config.window_low is not None and config.window_high is not None:
        return config.window_low, config.window_high
    return _CT_WINDOW if info.kind == "ct" else None


def box_finder(config: FibrosisConfig, classes: Sequence[MaskClass]) -> Callable[[TrainingCase], Box | None]:
    """Tells the tight box of a case: the drawn one, else that of its mask; None: the whole image."""
    values = [c.value for c in classes]

    def find(case: TrainingCase) -> Box | None:
        if config.region.source == "image":
            return None
        if case.box is not None or not case.has_mask:
            return case.box
        labels = case.load_labels()
        return None if labels is None else mask_box(labels, values)

    return find


def focus_of(config: FibrosisConfig) -> Callable[[Image, Box | None], Box]:
    """What is cut out of an image around a tight box (None: all of it); see `Predictor.focus`."""
    dims, rule = config.network.dims, config.region.rule()
    whole = config.region.source == "image"

    def focus(image: Image, tight: Box | None) -> Box:
        shape = image.spatial_shape
        if tight is None or whole:
            return tuple((0, n) for n in shape)
        # A stack that a network of pictures sees slice by slice keeps the slices that were asked for.
        lead = len(shape) - dims
        if lead < 0:
            raise ModelError(
                f"The model works on {dims} spatial axes, but image '{image.name}' has {len(shape)}: choose a volume."
            )
        steps = steps_of(image)
        return (*tight[:lead], *rule.around(tight[lead:], shape[lead:], None if steps is None else steps[lead:]))

    return focus


def build_network(config: FibrosisConfig, in_channels: int, outputs: int, grades: int) -> JointNetwork:
    """The scheme's network with fresh weights.

    Parameters
    ----------
    outputs
        Classes with the background.
    grades
        Number of grades.
    """
    from napari_medseg.models.residual import GradeHead, JointNetwork, ResidualDecoder, ResidualEncoder, initialise

    dims = config.network.dims
    encoder = ResidualEncoder(in_channels, config.network.base_width, dims)
    decoder = ResidualDecoder(encoder.out_channels, outputs, dims)
    network = JointNetwork(encoder, decoder, GradeHead(encoder.out_channels[-1], grades, config.network.dropout))
    initialise(network)
    return network


def make_predictor(
    config: FibrosisConfig,
    intensity: Intensity,
    network: nn.Module,
    kind: Kind,
    *,
    classes: Sequence[MaskClass],
    grades: Sequence[str],
    temperature: float | None,
) -> Predictor:
    """A network with the preprocessing it was trained with.

    Parameters
    ----------
    kind
        Which of the networks of `napari_medseg.models.residual` it is.
    temperature
        Of the grade; None where it was not calibrated.
    """
    from napari_medseg.inference.predictor import Predictor
    from napari_medseg.models.grading import attention_of_grade, grade_log_probabilities

    shape = config.shape

    def scale_of(part: Image) -> tuple[float, ...]:
        sides = part.spatial_shape
        lead = len(sides) - len(shape)
        return (1.0,) * lead + tuple(n / side for n, side in zip(shape, sides[lead:], strict=True))

    def forward(windows: torch.Tensor) -> tuple[torch.Tensor | None, torch.Tensor | None]:
        if kind == "region":
            return network(windows), None
        drawn, steps = network(windows) if kind == "joint" else (None, network(windows))
        return drawn, grade_log_probabilities(steps, temperature or 1.0)

    return Predictor(
        window=shape,
        multiple=1,
        scale_of=scale_of,
        prepare=intensity.prepare,
        normalise=intensity.normalise,
        forward=forward,
        classes=classes if kind != "grade" else (),
        tags=grades if kind != "region" else (),
        windows=config.windows,
        focus=focus_of(config),
        region_of=box_finder(config, classes),
        attend=None if kind == "region" else attention_of_grade(network, temperature or 1.0),
        calibrated=temperature is not None,
        graded=kind != "region",
        segmenter=None if kind == "grade" else network,
    )
