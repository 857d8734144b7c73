"""The table of the scheme's text, growth that changes nothing suddenly, and parts that can be frozen."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from napari_medseg.models.boosting import BoostingUNet, grow

#: From schemes: encoder maps and what decoders take and give, at 64 x 64 x 64 voxels and 4 levels.
ENCODERS = [(32, 64), (64, 32), (96, 16), (128, 8)]
DECODERS = {4: (256, 128, 96), 3: (192, 96, 64), 2: (128, 64, 32)}


def network(levels: int, *, dims: int = 3, width: int = 4, outputs: int = 2, **options) -> BoostingUNet:
    torch.manual_seed(levels)
    return BoostingUNet(1, outputs, [(2,) * dims] * (levels - 1), base_width=width, **options)


def maps_of(net: BoostingUNet, x: torch.Tensor) -> tuple[list[torch.Tensor], dict[int, torch.Tensor], torch.Tensor]:
    """Maps of all encoders, what decoders of levels 2, 3, ... gave before going up, and the logits."""
    encoded, decoded = {}, {}
    hooks = [
        part.register_forward_hook(lambda _, __, out, i=i: encoded.update({i: out}))
        for i, part in enumerate(net.encoders)
    ]
    hooks += [
        part.register_forward_hook(lambda _, __, out, i=i: decoded.update({i + 2: out}))
        for i, part in enumerate(net.decoders)
    ]
    logits = net(x)
    for hook in hooks:
        hook.remove()
    return [encoded[i] for i in range(net.levels)], decoded, logits


def test_maps_and_weights_have_the_sizes_of_the_scheme():
    with torch.device("meta"):
        net = BoostingUNet(1, 2, [(2, 2, 2)] * 3)
        encoded, _, logits = maps_of(net, torch.zeros(1, 1, 64, 64, 64))
    assert [tuple(m.shape[1:]) for m in encoded] == [(w, n, n, n) for w, n in ENCODERS]
    for level, (taken, middle, given_up) in DECODERS.items():
        first, _, second, _ = net.decoders[level - 2]
        assert (first.in_channels, first.out_channels, second.out_channels) == (taken, middle, given_up)
    shapes = [
        (part.in_channels, part.out_channels, part.kernel_size) for part in net.head if hasattr(part, "kernel_size")
    ]
    assert shapes == [(64, 32, (3, 3, 3)), (32, 32, (3, 3, 3)), (32, 2, (1, 1, 1))]
    assert logits.shape == (1, 2, 64, 64, 64)


def test_the_literal_head_convolves_and_squashes_twice():
    net = network(2, head="literal")
    kinds = [type(part).__name__ for part in net.head]
    assert kinds == ["Conv3d", "ReLU", "Conv3d", "Sigmoid", "Conv3d", "ReLU", "Conv3d"]
    assert net(torch.randn(1, 1, 8, 8, 8)).shape == (1, 2, 8, 8, 8)


@given(
    levels=st.integers(2, 4),
    dims=st.sampled_from([2, 3]),
    flat=st.booleans(),
    blocks=st.lists(st.integers(1, 2), min_size=3, max_size=3),
)
@settings(max_examples=20, deadline=None)
def test_every_size_that_poolings_divide_comes_back(levels, dims, flat, blocks):
    factors = (1, 2, 2) if flat and dims == 3 else (2,) * dims
    net = BoostingUNet(1, 3, [factors] * (levels - 1), base_width=2)
    sides = [n * f ** (levels - 1) for n, f in zip(blocks, factors, strict=False)]
    assert net(torch.zeros(2, 1, *sides)).shape == (2, 3, *sides)


@pytest.mark.parametrize("dims", [2, 3])
def test_a_new_level_first_passes_the_map_above_it_on(dims):
    small, large = network(2, dims=dims), network(3, dims=dims)
    grow(small, large)
    x = torch.randn(1, 1, *(16,) * dims)
    encoded, decoded, _ = maps_of(large, x)
    pool = functional.max_pool2d if dims == 2 else functional.max_pool3d
    torch.testing.assert_close(decoded[3], pool(encoded[1], 2), rtol=0, atol=0)
    known = small.state_dict()
    assert all(torch.equal(value, large.state_dict()[name]) for name, value in known.items())


def test_several_new_levels_pass_the_map_on_whatever_stands_below():
    small, large = network(2), network(4)
    grow(small, large)
    encoded, decoded, _ = maps_of(large, torch.randn(1, 1, 16, 16, 16))
    torch.testing.assert_close(decoded[3], functional.max_pool3d(encoded[1], 2), rtol=0, atol=0)


def test_without_passing_on_new_levels_stay_as_they_were_made():
    small, large = network(2), network(3)
    fresh = {name: value.clone() for name, value in large.state_dict().items()}
    grow(small, large, pass_on=False)
    new = set(fresh) - set(small.state_dict())
    assert new
    assert all(torch.equal(large.state_dict()[name], fresh[name]) for name in new)


def test_levels_part_the_weights_without_rest():
    net = network(4)
    owned = [id(p) for level in range(1, 5) for part in net.parts([level]) for p in part.parameters()]
    assert sorted(owned) == sorted(id(p) for p in net.parameters())


def test_frozen_encoders_build_no_graph_and_new_levels_still_learn():
    small, large = network(2), network(3)
    grow(small, large)
    for part in large.parts([1, 2]):
        part.requires_grad_(False)
    encoded, decoded, logits = maps_of(large, torch.randn(1, 1, 8, 8, 8))
    assert [m.requires_grad for m in encoded] == [False, False, True]
    assert decoded[2].requires_grad, "a frozen decoder above a level that learns hands gradients down"
    logits.square().mean().backward()
    learnt = {name for name, p in large.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}
    assert learnt
    assert all(name.startswith(("encoders.2.", "decoders.1.")) for name in learnt)


def test_classes_start_as_probable_as_they_are():
    net = network(3, outputs=3)
    net.expect([0.2, 0.02, 0.001])
    with torch.no_grad():
        found = net(torch.randn(2, 1, 16, 16, 16)).sigmoid().mean((0, 2, 3, 4))
    torch.testing.assert_close(found, torch.tensor([0.2, 0.02, 0.001]), rtol=0.15, atol=0)


def test_a_network_of_one_level_is_refused():
    with pytest.raises(ValueError, match="two levels"):
        BoostingUNet(1, 1, [])
