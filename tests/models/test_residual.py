"""The residual network: the source's shapes, any input, and what joins what."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from napari_medseg.models.residual import (
    GradeHead,
    GradeNetwork,
    JointNetwork,
    RegionNetwork,
    ResidualBlock,
    ResidualDecoder,
    ResidualEncoder,
    initialise,
)


def joint(dims=2, width=4, grades=3, outputs=2, channels=1):
    torch.manual_seed(0)
    encoder = ResidualEncoder(channels, width, dims)
    decoder = ResidualDecoder(encoder.out_channels, outputs, dims)
    network = JointNetwork(encoder, decoder, GradeHead(encoder.out_channels[-1], grades, dropout=0.5))
    initialise(network)
    return network.eval()


def test_the_widths_and_maps_are_those_of_the_source():
    encoder = ResidualEncoder(1, 64, dims=2)
    with torch.no_grad():
        shapes = [tuple(m.shape[1:]) for m in encoder.eval()(torch.zeros(1, 1, 32, 32))]
    assert shapes == [(64, 32, 32), (128, 16, 16), (256, 8, 8), (512, 4, 4), (1024, 2, 2)]
    assert GradeHead(1024, grades=2, dropout=0).linear.in_features == 2048
    decoder = ResidualDecoder(encoder.out_channels, 2, dims=2)
    # D1 takes R4; D2, D3, D4 take the unit below and R3, R2, R1; the head takes D4 and the convolution unit.
    takes = [unit.short.in_channels for unit in decoder.units]
    gives = [unit.short.out_channels for unit in decoder.units]
    assert takes == [1024, 512 + 512, 256 + 256, 128 + 128]
    assert gives == [512, 256, 128, 64]
    assert decoder.head[0].in_channels == 64 + 64


def test_a_block_is_what_its_formula_says():
    torch.manual_seed(1)
    block = ResidualBlock(3, 5, dims=2)
    initialise(block)
    x = torch.randn(4, 3, 7, 6)
    first, norm, _, second, last = block.long
    inner = functional.relu(
        functional.batch_norm(functional.conv2d(x, first.weight, padding=1), None, None, norm.weight, norm.bias, True)
    )
    outer = functional.conv2d(inner, second.weight, padding=1)
    outer = functional.batch_norm(outer, None, None, last.weight, last.bias, True)
    wanted = functional.relu(functional.conv2d(x, block.short.weight, block.short.bias) + outer)
    torch.testing.assert_close(block(x), wanted)


@pytest.mark.parametrize(
    ("dims", "size"), [(2, (32, 32)), (2, (33, 17)), (3, (16, 16, 16)), (3, (5, 19, 34)), (3, (2, 16, 16))]
)
def test_inputs_of_any_size_give_a_region_of_that_size_and_a_grade(dims, size):
    network = joint(dims)
    images = torch.randn(2, 1, *size)
    with torch.no_grad():
        region, grade = network(images)
    assert tuple(region.shape) == (2, 2, *size)
    assert tuple(grade.shape) == (2, 2)
    torch.testing.assert_close(GradeNetwork(network.encoder, network.head)(images), grade)
    torch.testing.assert_close(RegionNetwork(network.encoder, network.decoder)(images), region)


@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (2, 3, 5, 5), (2, 3, 1, 2), (2, 3, 3, 4, 5)])
def test_the_grade_sees_what_adaptive_pooling_gives(shape):
    deepest = torch.randn(*shape)
    dims = len(shape) - 2
    pool = functional.adaptive_avg_pool2d if dims == 2 else functional.adaptive_avg_pool3d
    head = GradeHead(3, grades=4, dropout=0.0)
    wanted = head.linear(pool(deepest, (2,) + (1,) * (dims - 1)).flatten(1))
    torch.testing.assert_close(head(deepest), wanted)
