"""Contract of every network that settings can name, and of the plain one in detail."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from napari_medseg.config import NetworkConfig
from napari_medseg.errors import ConfigError, ModelError
from napari_medseg.models.building import build_classifier, build_encoder, build_segmenter, load_weights
from napari_medseg.models.unet import PlainEncoder, level_widths

ENCODERS = ["unet-plain", "resnet18", "mit_b0", "tu-convnext_atto"]
DECODERS = [
    "unet-plain",
    "unet",
    "unetplusplus",
    "manet",
    "linknet",
    "fpn",
    "pspnet",
    "deeplabv3",
    "deeplabv3plus",
    "upernet",
    "segformer",
]
EVERY = [(encoder, "unet-plain") for encoder in ENCODERS]
EVERY += [(encoder, decoder) for encoder in ENCODERS[:2] for decoder in DECODERS[1:]]


def settings(encoder: str, decoder: str = "unet-plain") -> NetworkConfig:
    return NetworkConfig(encoder=encoder, decoder=decoder, base_width=8)


def lacking_gradient(model: nn.Module) -> list[str]:
    return [name for name, p in model.named_parameters() if p.requires_grad and p.grad is None]


@pytest.mark.parametrize(("encoder", "decoder"), EVERY)
def test_segmenter_answers_for_every_pixel_and_learns_everywhere(encoder: str, decoder: str) -> None:
    model = build_segmenter(settings(encoder, decoder), in_channels=2, num_outputs=3)
    logits = model(torch.randn(2, 2, 70, 65))
    assert logits.shape == (2, 3, 70, 65)
    logits.square().mean().backward()
    assert lacking_gradient(model) == []


@pytest.mark.parametrize(
    ("encoder", "decoder"), [("unet-plain", "unet-plain"), ("unet-plain", "unetplusplus"), *EVERY[1:2]]
)
def test_convolutions_and_downsamplings_are_as_asked_for(encoder: str, decoder: str) -> None:
    def count(**knobs: int) -> int:
        model = build_segmenter(settings(encoder, decoder), 1, 3, **knobs)
        assert model(torch.randn(2, 1, 64, 65)).shape == (2, 3, 64, 65)
        assert model.downsampling == 2 ** knobs["downsamplings"]
        return sum(isinstance(part, nn.Conv2d) for part in model.modules())

    few, more = count(downsamplings=3, convs_per_level=1), count(downsamplings=3, convs_per_level=3)
    # Two more in every level: four of the encoder where it is the plain one, three of the decoder where it is.
    assert more - few == 2 * (4 * (encoder == "unet-plain") + 3 * (decoder == "unet-plain"))
    assert count(downsamplings=4, convs_per_level=1) > few


@pytest.mark.parametrize("encoder", ENCODERS)
def test_classifier_answers_at_any_size_and_learns_everywhere(encoder: str) -> None:
    model = build_classifier(settings(encoder), in_channels=1, num_tags=4)
    for side in (7, 64, 101):
        logits = model.eval()(torch.randn(2, 1, side, 64))
        assert logits.shape == (2, 4)
        assert torch.isfinite(logits).all()
    model.train()(torch.randn(2, 1, 64, 64)).square().mean().backward()
    assert lacking_gradient(model) == []


@pytest.mark.parametrize(("encoder", "decoder"), EVERY)
def test_encoder_weights_move_between_classifier_and_segmenter(encoder: str, decoder: str) -> None:
    classifier = build_classifier(settings(encoder), in_channels=3, num_tags=2)
    segmenter = build_segmenter(settings(encoder, decoder), in_channels=3, num_outputs=2)
    there = {name: tensor.clone() for name, tensor in classifier.encoder.state_dict().items()}
    segmenter.encoder.load_state_dict(dict(there))
    back = segmenter.encoder.state_dict()
    assert there.keys() == back.keys()
    assert all(torch.equal(there[name], back[name]) for name in there)


@pytest.mark.parametrize("encoder", ENCODERS)
def test_downsampling_is_what_the_encoder_does(encoder: str) -> None:
    model = build_encoder(settings(encoder), in_channels=3)
    side = 2 * model.downsampling
    features = model.eval()(torch.zeros(1, 3, side, side))
    assert features[-1].shape[2:] == (2, 2)
    assert [feature.shape[1] for feature in features] == list(model.out_channels)


def test_plain_encoder_is_the_sources() -> None:
    encoder = PlainEncoder(3, level_widths(64))
    convolutions = [part for part in encoder.modules() if isinstance(part, nn.Conv2d)]
    assert len(convolutions) == 10
    with torch.device("meta"):
        features = PlainEncoder(3, level_widths(64))(torch.zeros(1, 3, 448, 448))
    assert features[-1].shape == (1, 1024, 28, 28)
    assert len(features) == 5


def test_plain_decoder_sees_the_full_resolution_skip() -> None:
    """A single changed pixel must reach its own logit along the finest skip alone."""
    model = build_segmenter(settings("unet-plain"), in_channels=1, num_outputs=2).eval()
    # Silence all deeper levels.
    for level in model.encoder.levels[1:]:
        for part in level.modules():
            if isinstance(part, nn.Conv2d):
                nn.init.zeros_(part.weight)
    image = torch.zeros(1, 1, 32, 32)
    changed = image.clone()
    changed[0, 0, 16, 16] = 1.0
    assert not torch.equal(model(image)[..., 16, 16], model(changed)[..., 16, 16])


def test_weights_of_a_file_come_back_exactly() -> None:
    model = build_segmenter(settings("unet-plain"), 1, 2)
    tensors = {f"segmenter.{name}": tensor.numpy().copy() for name, tensor in model.state_dict().items()}
    other = build_segmenter(settings("unet-plain"), 1, 2)
    load_weights(other, {**tensors, "classifier.x": np.zeros(1)}, "segmenter")
    image = torch.randn(1, 1, 32, 32)
    assert torch.equal(model.eval()(image), other.eval()(image))


@pytest.mark.parametrize("change", ["missing", "extra", "shape"])
def test_weights_that_do_not_fit_are_refused_by_name(change: str) -> None:
    model = build_classifier(settings("unet-plain"), 1, 2)
    tensors = {f"classifier.{name}": tensor.numpy() for name, tensor in model.state_dict().items()}
    if change == "missing":
        del tensors["classifier.head.bias"]
    elif change == "extra":
        tensors["classifier.head.more"] = np.zeros(2)
    else:
        tensors["classifier.head.bias"] = np.zeros(3)
    with pytest.raises(ModelError, match=r"classifier\.head\."):
        load_weights(model, tensors, "classifier")


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (NetworkConfig(encoder="resnet81"), "resnet"),
        (NetworkConfig(encoder="tu-convnext_atom"), "tu-convnext_atto"),
        (NetworkConfig(decoder="unet++"), "unetplusplus|unet"),
        (NetworkConfig(encoder="resnet18", encoder_weights="imagenot"), "imagenot"),
        (NetworkConfig(encoder_weights="imagenet"), "no pretrained weights"),
    ],
)
def test_wrong_names_are_refused_with_near_ones(config: NetworkConfig, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        build_segmenter(config, 3, 2)
