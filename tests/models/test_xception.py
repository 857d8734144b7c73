"""Xception: its published size, the scheme's two changes, and what inputs become."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from napari_medseg.models.xception import (
    HalvingModule,
    Transition,
    XceptionClassifier,
    XceptionEncoder,
    attention_of_class,
    initialise,
)


def parameters(network):
    return sum(p.numel() for p in network.parameters())


def test_plain_xception_has_the_published_number_of_weights():
    # 22,855,952 trainable weights: Chollet 2017, table 3, as in the author's implementation with 1000 classes.
    network = XceptionClassifier(XceptionEncoder(3, 32, modified=False), 1000, 0.0)
    assert parameters(network) == 22_855_952


def test_max_pooling_stays_in_plain_xception_alone():
    def count(modified, kind):
        encoder = XceptionEncoder(1, 8, modified=modified)
        return sum(isinstance(part, kind) for part in encoder.modules())

    assert (count(False, nn.MaxPool2d), count(True, nn.MaxPool2d)) == (4, 0)
    dilated = [
        part
        for part in XceptionEncoder(1, 8, modified=True).modules()
        if isinstance(part, nn.Conv2d) and part.dilation == (3, 3)
    ]
    assert len(dilated) == 4
    assert all(part.stride == (2, 2) and part.kernel_size == (3, 3) for part in dilated)


@pytest.mark.parametrize("modified", [False, True])
@pytest.mark.parametrize(("height", "width"), [(64, 64), (96, 160)])
def test_maps_have_the_stated_sizes(modified, height, width):
    encoder = XceptionEncoder(2, 4, middle_modules=1, modified=modified).eval()
    entered, passed, deepest = encoder(torch.zeros(1, 2, height, width))
    assert entered.shape[2:] == passed.shape[2:] == (height // 16, width // 16)
    assert deepest.shape == (1, encoder.out_channels, height // 32, width // 32)
    # 728 channels at a base width of 32; the links add those of the stem, then half of all.
    assert entered.shape[1] == 91 + 8 * modified
    assert passed.shape[1] == entered.shape[1] + entered.shape[1] // 2 * modified


def test_the_links_bring_the_input_past_the_flows():
    encoder = XceptionEncoder(1, 4, middle_modules=1, modified=True).eval()
    image = torch.rand(1, 1, 64, 64, requires_grad=True)
    with torch.no_grad():
        for flow in (encoder.entry, encoder.middle):
            for parameter in flow.parameters():
                parameter.zero_()
    entered, passed, _ = encoder(image)
    for joined in (entered, passed):
        (gradient,) = torch.autograd.grad(joined.sum(), image, retain_graph=True)
        assert gradient.abs().min() > 0
    plain = XceptionEncoder(1, 4, middle_modules=1, modified=False).eval()
    with torch.no_grad():
        for parameter in plain.entry.parameters():
            parameter.zero_()
    assert plain(image)[0].abs().max() == 0


def test_a_transition_is_a_convolution_and_then_pooling():
    transition = Transition(3, 5).eval()
    x = torch.randn(2, 3, 32, 48)
    pooled = nn.functional.adaptive_avg_pool2d(transition.convolution(x), (4, 6))
    torch.testing.assert_close(transition(x, torch.Size((4, 6))), transition.normalisation(pooled))


def test_dilated_halving_reads_odd_and_even_rows():
    module = HalvingModule((2, 3, 4), dilated=True).eval()
    x = torch.randn(1, 2, 16, 16, requires_grad=True)
    (gradient,) = torch.autograd.grad(module(x)[..., 4, 4].sum(), x)
    rows = gradient.abs().sum(dim=(0, 1, 3)).nonzero()[:, 0] % 2
    assert set(rows.tolist()) == {0, 1}


def test_attention_is_a_map_of_the_image():
    network = XceptionClassifier(XceptionEncoder(1, 4, middle_modules=1), 2, 0.0).eval()
    initialise(network)
    with torch.inference_mode():
        found = attention_of_class(network)(torch.rand(2, 1, 64, 96))
    assert found.shape == (2, 64, 96)
    assert found.min() >= 0
    assert found.amax(dim=(1, 2)).tolist() == pytest.approx([1, 1])
