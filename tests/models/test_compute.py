"""The choice of device, precision and memory format."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from napari_medseg.errors import ConfigError
from napari_medseg.models import compute as compute_module
from napari_medseg.models.compute import Compute, choose_compute


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home for the remembered times."""
    for name in ("XDG_CACHE_HOME", "LOCALAPPDATA", "HOME"):
        monkeypatch.setenv(name, str(tmp_path))
    return tmp_path


def written(cache: Path) -> Path:
    return next(cache.rglob("compute.json"))


def rewrite(cache: Path, **seconds: float) -> None:
    """Pretend that this CPU needed these seconds ("bf16_last": bf16 with channels last)."""
    known = json.loads(written(cache).read_text())
    for key in known:
        known[key] = {
            f"{p} {last}": seconds.get(p + ("_last" if last else ""), 9.0)
            for p in ("fp32", "bf16")
            for last in (False, True)
        }
    written(cache).write_text(json.dumps(known))


def test_the_fastest_combination_is_chosen_and_remembered(cache: Path) -> None:
    choose_compute("cpu")
    rewrite(cache, fp32=1.0, bf16_last=0.25)
    chosen = choose_compute("cpu")
    assert (chosen.precision, chosen.channels_last) == ("bf16", True)
    assert "4.0 x" in str(chosen)


def test_fewer_digits_must_be_worth_it(cache: Path) -> None:
    choose_compute("cpu")
    rewrite(cache, fp32=1.1, fp32_last=1.0, bf16_last=0.9)
    chosen = choose_compute("cpu")
    assert (chosen.precision, chosen.channels_last) == ("fp32", True)


def test_what_is_set_is_kept(cache: Path) -> None:
    choose_compute("cpu")
    rewrite(cache, fp32=9.0, fp32_last=5.0, bf16=0.1)
    assert choose_compute("cpu", "fp32").precision == "fp32"
    assert choose_compute("cpu", "fp32").channels_last
    assert not choose_compute("cpu", "fp32", channels_last=False).channels_last
    assert choose_compute("cpu", threads=3).threads == 3


def test_training_and_other_thread_counts_are_timed_on_their_own(cache: Path) -> None:
    choose_compute("cpu", threads=1)
    choose_compute("cpu", threads=1, training=True)
    choose_compute("cpu", threads=1)
    assert len(json.loads(written(cache).read_text())) == 2


@pytest.mark.parametrize("content", ["", "{", "[]", '{"x": 1}', "null"])
def test_a_damaged_cache_is_made_anew(cache: Path, content: str) -> None:
    choose_compute("cpu", threads=1)
    written(cache).write_text(content)
    assert choose_compute("cpu", threads=1).device == "cpu"
    assert len(json.loads(written(cache).read_text())) >= 1


def test_timing_leaves_random_numbers_and_threads_alone() -> None:
    torch.manual_seed(1)
    expected = torch.rand(3)
    threads = torch.get_num_threads()
    torch.manual_seed(1)
    choose_compute("cpu", threads=threads + 1)
    assert torch.equal(torch.rand(3), expected)
    assert torch.get_num_threads() == threads


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"device": "gpu"}, "'gpu' is unknown"),
        ({"device": "cuda:99"}, "not here"),
        ({"precision": "fp8"}, "fp32, bf16"),
        ({"threads": 0}, "0 threads"),
    ],
)
def test_what_cannot_be_had_is_refused_in_a_sentence(arguments: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        choose_compute(**arguments)  # type: ignore[arg-type]  # wrong values on purpose


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_networks_run_the_same_in_every_combination(precision: str, channels_last: bool) -> None:
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 2, 3))
    images = torch.randn(2, 3, 16, 16)
    expected = model(images).detach()
    compute = Compute(device="cpu", precision=precision, channels_last=channels_last, threads=1)
    prepared = compute.prepare_inference(model)
    with compute.autocast():
        output = prepared(compute.to(images)).float()
    assert torch.allclose(output, expected, atol=1e-5 if precision == "fp32" else 0.05)
    assert not any(p.requires_grad for p in prepared.parameters())


def test_volumes_run_with_channels_last_too() -> None:
    compute = Compute(device="cpu", precision="fp32", channels_last=True, threads=1)
    model = compute.prepare(nn.Conv3d(1, 2, 3))
    assert model(compute.to(torch.zeros(1, 1, 4, 4, 4))).shape == (1, 2, 2, 2, 2)


def test_times_are_measured_for_every_combination() -> None:
    times = compute_module._measure(1, training=True)
    assert set(times) == {("fp32", False), ("fp32", True), ("bf16", False), ("bf16", True)}
    assert all(seconds > 0 for seconds in times.values())
