"""A folded network computes what it computed before."""

import pytest
import torch
from torch import nn

from napari_medseg.inference.folding import fold_batch_norm


def randomise(model: nn.Module) -> nn.Module:
    """Running statistics and affine parameters as after training, not the identity."""
    torch.manual_seed(0)
    for module in model.modules():
        if isinstance(module, (nn.BatchNorm2d, nn.BatchNorm3d)):
            module.running_mean.normal_()
            module.running_var.uniform_(0.2, 3)
            module.weight.data.uniform_(0.5, 2)
            module.bias.data.normal_()
    return model.eval()


def count_norms(model: nn.Module) -> int:
    return sum(isinstance(m, (nn.BatchNorm2d, nn.BatchNorm3d)) for m in model.modules())


class Residual(nn.Module):
    """Names that do not tell which normalisation follows which convolution, and one that follows none."""

    def __init__(self) -> None:
        super().__init__()
        self.norm_b, self.norm_a, self.first = nn.BatchNorm2d(6), nn.BatchNorm2d(6), nn.BatchNorm2d(3)
        self.conv_a, self.conv_b = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 6, 3, padding=1, bias=False)

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        a = self.norm_a(self.conv_a(self.first(x))).relu()
        return {"out": a + self.norm_b(self.conv_b(a))}


class Shared(nn.Module):
    """A convolution whose output is used beside the normalisation: folding it would change the sum."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.conv(x)
        return y + self.norm(y)


def test_residual_network_keeps_its_function_and_only_the_leading_norm() -> None:
    model = randomise(Residual())
    x = torch.randn(2, 3, 17, 20)
    folded = fold_batch_norm(model, torch.randn(1, 3, 8, 8))
    assert count_norms(folded) == 1
    assert count_norms(model) == 3, "the original is left as it was"
    torch.testing.assert_close(folded(x)["out"], model(x)["out"], rtol=1e-4, atol=1e-4)


def test_volume_network() -> None:
    model = randomise(nn.Sequential(nn.Conv3d(1, 4, 3), nn.BatchNorm3d(4), nn.ReLU(), nn.Conv3d(4, 2, 1)))
    x = torch.randn(1, 1, 9, 9, 9)
    folded = fold_batch_norm(model, x)
    assert count_norms(folded) == 0
    torch.testing.assert_close(folded(x), model(x), rtol=1e-4, atol=1e-4)


def test_shared_output_is_left_alone() -> None:
    model = randomise(Shared())
    assert fold_batch_norm(model, torch.randn(1, 3, 8, 8)) is model


def test_a_norm_used_twice_is_left_alone() -> None:
    norm = nn.BatchNorm2d(4)
    model = randomise(nn.Sequential(nn.Conv2d(3, 4, 1), norm, nn.Conv2d(4, 4, 1), norm))
    x = torch.randn(1, 3, 6, 6)
    folded = fold_batch_norm(model, x)
    assert count_norms(folded) == 1
    torch.testing.assert_close(folded(x), model(x))


def test_training_mode_is_refused() -> None:
    with pytest.raises(ValueError, match="eval"):
        fold_batch_norm(nn.Sequential(nn.Conv2d(1, 1, 1), nn.BatchNorm2d(1)), torch.zeros(1, 1, 2, 2))
