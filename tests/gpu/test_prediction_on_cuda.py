"""Prediction on a CUDA device against the CPU."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_medseg import api
from napari_medseg.api.prediction import bundled_model, load_model
from napari_medseg.demo import sample_of
from napari_medseg.inference.engine import predict
from napari_medseg.models.compute import Compute, choose_compute
from napari_medseg.schemes import SCHEMES
from tests.inference.predictors import SmallNet, image_of, make_predictor
from tests.inference.test_engine import smooth

pytestmark = pytest.mark.gpu


@pytest.mark.parametrize(("shape", "axes"), [((300, 260), "yx"), ((4, 90, 100), "zyx")])
def test_labels_and_probabilities_are_those_of_the_cpu(shape: tuple[int, ...], axes: str, cuda: Compute) -> None:
    image = image_of(
        smooth(*shape[-2:]) if axes == "yx" else np.stack([smooth(90, 100, seed=z) for z in range(4)]), axes
    )
    here = predict(make_predictor(SmallNet(1, 4)), image, probabilities=True)
    moved = make_predictor(cuda.prepare_inference(SmallNet(1, 4)))
    there = predict(moved, image, probabilities=True, compute=cuda)
    np.testing.assert_allclose(there.probabilities, here.probabilities, atol=2e-3)
    assert (here.labels == there.labels).mean() > 0.999


@pytest.mark.parametrize("scheme", sorted(SCHEMES))
def test_bundled_models_answer_as_on_the_cpu(scheme: str, cuda: Compute) -> None:
    sample = sample_of(scheme)
    here, there = (
        api.predict(load_model(bundled_model(scheme), device=device, precision="fp32"), sample.image, region=sample.box)
        for device in ("cpu", "cuda")
    )
    if here.labels is not None:
        assert (here.labels == there.labels).mean() > 0.999
    if here.tag is not None:
        assert there.tag is not None
        assert there.tag.probabilities == pytest.approx(here.tag.probabilities, abs=5e-3)


def test_sixteen_bits_change_few_labels() -> None:
    compute = choose_compute("cuda", "bf16")
    image = image_of(smooth(300, 260))
    there = predict(make_predictor(compute.prepare_inference(SmallNet(1, 4))), image, compute=compute)
    here = predict(make_predictor(SmallNet(1, 4)), image)
    assert (here.labels == there.labels).mean() > 0.97


def test_a_batch_that_does_not_fit_is_halved(cuda: Compute) -> None:
    net = cuda.prepare_inference(SmallNet(1, 4))

    def hungry(values: torch.Tensor):
        held = torch.empty((len(values), 200, 2**20), dtype=torch.uint8, device=values.device)
        return net(values + 0 * held[:1, 0, :1, None, None].float())

    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(1.0 * 2**30 / total)
    image = image_of(smooth(200, 200))
    try:
        result = predict(make_predictor(hungry), image, batch=8, compute=cuda)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    np.testing.assert_array_equal(result.labels, predict(make_predictor(net), image, batch=4, compute=cuda).labels)
    assert any("Memory ran out" in note for note in result.notes)
