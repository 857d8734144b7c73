"""The engine against whole-image computation, brute force and MONAI."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from napari_medseg.errors import Cancelled, ConfigError, ModelError, ReadError
from napari_medseg.inference.engine import COMPLETE, predict
from napari_medseg.structures import NOT_LOOKED_AT
from tests.inference.predictors import SmallNet, expected_labels, image_of, make_predictor, nearest_quarter

BLENDS = ["gaussian", "constant", "crop"]


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def smooth(*shape: int, seed: int = 0) -> np.ndarray:
    """Noise with structures of about ten pixels, as tissue has."""
    coarse = torch.from_numpy(noise(*(max(2, n // 10) for n in shape), seed=seed)).float()[None, None]
    return functional.interpolate(coarse, size=shape, mode="bicubic").clamp(0, 255).byte().numpy()[0, 0]


@settings(max_examples=40, deadline=None)
@given(
    st.tuples(st.integers(1, 150), st.integers(1, 150)),
    st.tuples(st.integers(1, 5), st.integers(1, 5)),
    st.sampled_from([1, 4, 16]),
    st.floats(0, 0.8),
    st.sampled_from(BLENDS),
    st.sampled_from([None, 1, 3]),
)
def test_pixelwise_network_is_reproduced_through_any_window(shape, blocks, multiple, overlap, blend, batch) -> None:
    window = tuple(max(8, n * multiple) for n in blocks)
    pixels = noise(*shape)
    predictor = make_predictor(nearest_quarter, window=window, multiple=multiple, overlap=overlap, blend=blend)
    result = predict(predictor, image_of(pixels), batch=batch)
    np.testing.assert_array_equal(result.labels, expected_labels(pixels))
    assert result.labels.dtype == np.uint8
    assert result.region == ((0, shape[0]), (0, shape[1]))


@pytest.mark.parametrize("shape", [(1, 1), (1, 90), (200, 2), (17, 33)])
def test_tiny_images_are_extended_and_said_so(shape: tuple[int, int]) -> None:
    pixels = noise(*shape)
    result = predict(make_predictor(nearest_quarter), image_of(pixels))
    np.testing.assert_array_equal(result.labels, expected_labels(pixels))
    assert any("reflection" in note for note in result.notes)


def test_volume_with_volume_windows() -> None:
    pixels = noise(37, 50, 41)
    predictor = make_predictor(nearest_quarter, window=(16, 32, 32), multiple=8)
    result = predict(predictor, image_of(pixels, "zyx"))
    np.testing.assert_array_equal(result.labels, expected_labels(pixels))


@pytest.mark.parametrize("axes", ["zyx", "tyx"])
def test_stack_is_predicted_slice_by_slice(axes: str) -> None:
    pixels = noise(5, 70, 80)
    predictor = make_predictor(nearest_quarter)
    result = predict(predictor, image_of(pixels, axes), probabilities=True, batch=3)
    np.testing.assert_array_equal(result.labels, expected_labels(pixels))
    assert result.probabilities.shape == (4, 5, 70, 80)
    room = zarr.create_array({}, shape=(4, 5, 70, 80), chunks=(1, 1, 32, 32), dtype="f2")
    stored = predict(predictor, image_of(pixels, axes), probabilities_out=room, batch=3)
    assert stored.probabilities is room
    np.testing.assert_array_equal(room[:], result.probabilities)
    part = predict(predictor, image_of(pixels, axes), region=((1, 3), (10, 60), (5, 6)))
    np.testing.assert_array_equal(part.labels, expected_labels(pixels)[1:3, 10:60, 5:6])


def test_channels_last_zarr_in_and_zarr_out_equal_arrays(tmp_path: Path) -> None:
    pixels = noise(150, 130, 3)
    stored = zarr.create_array(tmp_path / "in.zarr", shape=pixels.shape, chunks=(32, 48, 3), dtype="u1")
    stored[:] = pixels
    out = zarr.create_array(tmp_path / "out.zarr", shape=pixels.shape[:2], chunks=(40, 64), dtype="u1")
    predictor = make_predictor(SmallNet(3, 4))
    result = predict(predictor, image_of(stored, "yxc"), out=out)
    assert result.labels is out
    np.testing.assert_array_equal(out[:], predict(predictor, image_of(pixels, "yxc")).labels)
    assert out.attrs[COMPLETE] is True


def test_each_chunk_row_of_the_output_is_written_once(tmp_path: Path) -> None:
    rows = []

    class Recorder:
        shape, dtype, chunks = (150, 100), np.dtype("u1"), (40, 64)

        def __setitem__(self, key: tuple[slice, ...], value: np.ndarray) -> None:
            rows.append((key[0].start, key[0].stop))
            assert value.shape == (key[0].stop - key[0].start, 100)

    predict(make_predictor(nearest_quarter), image_of(noise(150, 100)), out=Recorder())
    assert [start % 40 for start, _ in rows] == [0] * len(rows)
    assert [start for start, _ in rows[1:]] == [stop for _, stop in rows[:-1]]
    assert rows[-1][1] == 150


@pytest.mark.parametrize("blend", BLENDS)
@pytest.mark.parametrize("scale", [1.0, 0.5])
def test_region_and_whole_agree_in_every_pixel(blend: str, scale: float) -> None:
    image = image_of(smooth(260, 230))
    predictor = make_predictor(SmallNet(1, 4), blend=blend, scale=scale)
    whole = predict(predictor, image, probabilities=True)
    for region in [((0, 260), (0, 230)), ((57, 131), (100, 101)), ((200, 260), (0, 77))]:
        part = predict(predictor, image, region=region, probabilities=True)
        key = tuple(slice(*span) for span in region)
        np.testing.assert_array_equal(part.labels, whole.labels[key])
        np.testing.assert_allclose(part.probabilities, whole.probabilities[:, *key], atol=2e-3)
        assert part.region == region


def test_mask_limits_labels_and_work() -> None:
    image = image_of(smooth(300, 300))
    seen = []
    net = SmallNet(1, 4)

    def counting(values: torch.Tensor) -> tuple[torch.Tensor, None]:
        seen.append(len(values))
        return net(values)

    predictor = make_predictor(counting)
    whole = predict(predictor, image)
    windows = sum(seen)
    seen.clear()
    mask = np.zeros((300, 300), bool)
    mask[20:50, 30:70] = mask[240:260, 250:290] = True
    result = predict(predictor, image, mask=mask, region=((0, 300), (0, 300)))
    np.testing.assert_array_equal(result.labels, np.where(mask, whole.labels, NOT_LOOKED_AT))
    assert sum(seen) < windows / 2
    boxed = predict(predictor, image, mask=mask)
    assert boxed.region == ((20, 260), (30, 290))
    np.testing.assert_array_equal(boxed.labels, result.labels[20:260, 30:290])


def test_coarse_mask_covers_the_image_and_leaves_slices_out() -> None:
    pixels = noise(3, 100, 90)
    mask = np.zeros((3, 10, 9), bool)
    mask[1, 2:5, 3:6] = True
    result = predict(
        make_predictor(nearest_quarter), image_of(pixels, "zyx"), mask=mask, region=((0, 3), (0, 100), (0, 90))
    )
    fine = mask.repeat(10, axis=1).repeat(10, axis=2)
    np.testing.assert_array_equal(result.labels, np.where(fine, expected_labels(pixels), NOT_LOOKED_AT))


@pytest.mark.parametrize("scale", [0.5, 0.37, 1.7])
def test_other_working_resolution_equals_whole_image_computation(scale: float) -> None:
    pixels = smooth(143, 150)
    size = tuple(round(n * scale) for n in pixels.shape)
    tensor = torch.from_numpy(pixels).float()[None, None]
    small = functional.interpolate(tensor, size=size, mode="bilinear", antialias=True).round() / 255
    logits, _ = nearest_quarter(small)
    whole = functional.interpolate(logits, size=pixels.shape, mode="bilinear")
    result = predict(make_predictor(nearest_quarter, scale=scale), image_of(pixels), probabilities=True)
    # A grey value may round the other way, which moves a probability a little.
    difference = np.abs(result.probabilities - torch.softmax(whole, dim=1)[0].numpy())
    assert np.quantile(difference, 0.999) < 2e-3
    assert difference.max() < 0.5
    expected = np.array([0, 1, 2, 9], np.uint8)[whole[0].argmax(dim=0).numpy()]
    assert np.mean(result.labels != expected) < 1e-3


def test_coarse_working_resolution_reads_the_coarse_level_alone() -> None:
    class Unreadable:
        shape, dtype = (400, 360), np.dtype("u1")

        def __getitem__(self, key: object) -> np.ndarray:
            raise AssertionError("the finest level was read")

    coarse = smooth(200, 180)
    result = predict(make_predictor(nearest_quarter, scale=0.5), image_of(Unreadable(), "yx", coarse))
    assert result.labels.shape == (400, 360)
    upsampled = functional.interpolate(
        nearest_quarter(torch.from_numpy(coarse).float()[None, None] / 255)[0], size=(400, 360), mode="bilinear"
    )
    expected = np.array([0, 1, 2, 9], np.uint8)[upsampled[0].argmax(dim=0).numpy()]
    assert np.mean(result.labels != expected) < 1e-3  # logits that are equal but for rounding


@pytest.mark.parametrize("blend", ["gaussian", "constant"])
@pytest.mark.parametrize("dimensions", [2, 3])
def test_blending_equals_monai(dimensions: int, blend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    inferers = pytest.importorskip("monai.inferers", reason="MONAI is an oracle, not a dependency")
    # MONAI cuts weights off at 0.001; a flatter gaussian stays above that, so that both compute the same.
    monkeypatch.setattr("napari_medseg.inference.windows.GAUSSIAN_SIGMA", 0.25)
    # Sizes at which MONAI's fixed steps and our even spacing coincide.
    shape = (112, 160) if dimensions == 2 else (28, 40, 28)
    window = (64, 64) if dimensions == 2 else (16, 16, 16)
    net = SmallNet(1, 4, dimensions)
    pixels = noise(*shape)
    tensor = torch.from_numpy(pixels).float()[None, None] / 255
    with torch.inference_mode():
        logits = inferers.sliding_window_inference(
            tensor, window, 4, lambda x: net(x)[0], overlap=0.25, mode=blend, sigma_scale=0.25
        )
    predictor = make_predictor(net, window=window, blend=blend)
    result = predict(predictor, image_of(pixels, "zyx"[-dimensions:]), probabilities=True)
    np.testing.assert_allclose(result.probabilities, torch.softmax(logits, dim=1)[0].numpy(), atol=1e-3)


def test_tag_is_softmax_of_mean_logits_and_labels_stay_none() -> None:
    pixels = np.concatenate([np.full((64, 64), 51, np.uint8), np.full((64, 64), 255, np.uint8)], axis=1)

    def classify(values: torch.Tensor) -> tuple[None, torch.Tensor]:
        mean = values.mean(dim=(1, 2, 3))
        return None, torch.stack([torch.zeros_like(mean), mean], dim=1)

    result = predict(make_predictor(classify, overlap=0.0, classes=(), tags=("benign", "malignant")), image_of(pixels))
    expected = np.exp(0.6) / (1 + np.exp(0.6))  # mean of 0.2 and 1
    assert result.labels is None
    assert result.tag.tag == "malignant"
    assert result.tag.probabilities["malignant"] == pytest.approx(expected, rel=1e-5)


def test_tag_of_a_region_weighs_windows_by_their_share() -> None:
    pixels = np.concatenate([np.zeros((64, 64), np.uint8), np.full((64, 64), 255, np.uint8)], axis=1)

    def classify(values: torch.Tensor) -> tuple[None, torch.Tensor]:
        mean = values.mean(dim=(1, 2, 3))
        return None, torch.stack([torch.zeros_like(mean), mean], dim=1)

    predictor = make_predictor(classify, overlap=0.0, classes=(), tags=("a", "b"))
    result = predict(predictor, image_of(pixels), region=((0, 64), (16, 80)))
    assert result.tag.probabilities["b"] == pytest.approx(np.exp(0.25) / (1 + np.exp(0.25)), rel=1e-5)


def test_progress_counts_windows_and_cancel_leaves_the_output_marked(tmp_path: Path) -> None:
    out = zarr.create_array(tmp_path / "out.zarr", shape=(300, 300), chunks=(64, 64), dtype="u1")
    calls = []

    def progress(done: int, total: int, text: str) -> None:
        calls.append((done, total))
        if done >= 5:
            raise Cancelled("stop")

    predictor, image = make_predictor(nearest_quarter), image_of(noise(300, 300))
    with pytest.raises(Cancelled):
        predict(predictor, image, out=out, progress=progress, batch=1)
    assert calls == [(i, 36) for i in range(1, 6)]
    assert out.attrs[COMPLETE] is False
    with pytest.raises(Cancelled):
        predict(predictor, image, cancel=lambda: True)


def test_batch_is_halved_when_memory_runs_out_and_the_result_is_the_same() -> None:
    net = SmallNet(1, 4)
    sizes: list[int] = []

    def greedy(values: torch.Tensor) -> tuple[torch.Tensor, None]:
        sizes.append(len(values))
        if len(values) > 2:
            raise RuntimeError("[enforce fail] DefaultCPUAllocator: not enough memory")
        return net(values)

    image = image_of(smooth(200, 200))
    result = predict(make_predictor(greedy), image, batch=8)
    np.testing.assert_array_equal(result.labels, predict(make_predictor(net), image, batch=2).labels)
    assert sizes == [8, 4, *[2] * (len(sizes) - 2)], "what did not fit is not tried again"
    assert any("Memory ran out" in note for note in result.notes)


def test_one_window_without_memory_is_a_sentence() -> None:
    def never(values: torch.Tensor) -> tuple[torch.Tensor, None]:
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(ModelError, match="not enough memory"):
        predict(make_predictor(never), image_of(noise(64, 64)))


def test_faults_of_the_network_are_not_hidden() -> None:
    def faulty(values: torch.Tensor) -> tuple[torch.Tensor, None]:
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="mat1"):
        predict(make_predictor(faulty), image_of(noise(64, 64)))


def test_values_that_are_not_numbers_are_refused_with_their_cause() -> None:
    pixels = np.ones((100, 100), np.float32)
    pixels[90, 90] = np.nan
    with pytest.raises(ReadError, match="not numbers near 36:100,36:100"):
        predict(make_predictor(nearest_quarter), image_of(pixels))
    with pytest.raises(ModelError, match="damaged"):
        predict(make_predictor(lambda v: (v.repeat(1, 4, 1, 1) * torch.nan, None)), image_of(noise(64, 64)))


@pytest.mark.parametrize(
    "region", [((0, 101), (0, 90)), ((-1, 10), (0, 90)), ((5, 5), (0, 90)), ((0, 100),), ((9, 3), (0, 90))]
)
def test_region_outside_the_image_is_refused(region: tuple[tuple[int, int], ...]) -> None:
    with pytest.raises(ConfigError, match="Region"):
        predict(make_predictor(nearest_quarter), image_of(noise(100, 90)), region=region)


def test_masks_and_outputs_that_do_not_fit_are_refused() -> None:
    predictor, image = make_predictor(nearest_quarter), image_of(noise(100, 90))
    with pytest.raises(ConfigError, match="marks no pixel"):
        predict(predictor, image, mask=np.zeros((100, 90), bool))
    with pytest.raises(ConfigError, match="axes"):
        predict(predictor, image, mask=np.ones((3, 100, 90), bool))
    with pytest.raises(ConfigError, match="must be uint8"):
        predict(predictor, image, out=np.zeros((100, 91), np.uint8))


def test_flat_image_is_refused_by_a_volume_model() -> None:
    predictor = make_predictor(nearest_quarter, window=(16, 16, 16))
    with pytest.raises(ModelError, match="3 spatial axes"):
        predict(predictor, image_of(noise(100, 90)))
