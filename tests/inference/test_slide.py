"""Slides, row by row and strip by strip, against prediction of the whole image at once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import zarr

from napari_medseg.errors import Cancelled
from napari_medseg.inference import slide as slide_module
from napari_medseg.inference.engine import predict
from napari_medseg.inference.journal import Journal
from napari_medseg.inference.slide import SlideOutputs, plan_bands, plan_slide, predict_slide, tag_of
from napari_medseg.io.growing import GrowingPyramid
from napari_medseg.io.halving import halved_by_choice, halved_by_mean
from napari_medseg.io.pyramid import create_pyramid
from napari_medseg.structures import NOT_LOOKED_AT, Image
from tests.inference.predictors import SmallNet, make_predictor

SHAPE = (1307, 1113)


def picture(seed: int = 0) -> Image:
    """Smooth noise in colours, larger than several files of the labels."""
    coarse = np.random.default_rng(seed).integers(0, 256, (SHAPE[0] // 20, SHAPE[1] // 20, 3), dtype=np.uint8)
    pixels = coarse.repeat(20, axis=0).repeat(20, axis=1)
    pixels = np.pad(pixels, [(0, SHAPE[0] - pixels.shape[0]), (0, SHAPE[1] - pixels.shape[1]), (0, 0)], mode="edge")
    return Image(levels=(pixels,), axes="yxc", rgb=True, name="slide")


def blobs() -> np.ndarray:
    """A coarse mask with separate pieces and an empty corner."""
    mask = np.zeros((SHAPE[0] // 50, SHAPE[1] // 50), bool)
    mask[2:9, 3:10] = mask[5:22, 14:20] = mask[20:26, 1:4] = True
    return mask


class Judge(SmallNet):
    """Draws, and says of every window what its mean colour is."""

    def forward(self, values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return super().forward(values)[0], values.mean(dim=(2, 3))


def outputs_at(folder: Path, *, probabilities: bool = True) -> SlideOutputs:
    labels, shares = folder / "labels.zarr", folder / "shares.zarr"
    if not labels.exists():
        known = {"dtype": np.uint8, "shape": SHAPE}
        create_pyramid(labels, axes="yx", fill_value=NOT_LOOKED_AT, centred=False, **known)
        known["shape"] = (4, *SHAPE)
        create_pyramid(shares, axes="cyx", fill_value=0, centred=True, shard_rows=512, **known)
    return SlideOutputs(
        labels=GrowingPyramid(labels, halved_by_choice),
        probabilities=GrowingPyramid(shares, halved_by_mean) if probabilities else None,
        journal=Journal(folder / "journal.jsonl"),
    )


@pytest.mark.parametrize("narrow", [False, True])
@pytest.mark.parametrize("region", [None, ((301, 1203), (77, 1001))])
def test_a_slide_is_predicted_as_the_whole_image_is(tmp_path: Path, monkeypatch, narrow: bool, region) -> None:
    if narrow:
        monkeypatch.setattr(slide_module, "_STRIP_BYTES", 1)
    predictor, image, mask = make_predictor(SmallNet(3, 4), window=(256, 256)), picture(), blobs()
    outputs = outputs_at(tmp_path)
    done = predict_slide(predictor, image, outputs, region=region, mask=mask)
    assert len(done.jobs) == (len(range(0, SHAPE[1], 512)) if narrow and region is None else 2 if narrow else 1)
    whole = predict(predictor, image, probabilities=True)
    rows, columns = (((np.arange(n) + 0.5) * m / n).astype(int) for n, m in zip(SHAPE, mask.shape, strict=True))
    seen = mask[np.ix_(rows, columns)]
    if region is not None:
        inside = np.zeros(SHAPE, bool)
        inside[tuple(slice(*span) for span in region)] = True
        seen &= inside
    expected = np.where(seen, whole.labels, NOT_LOOKED_AT)
    for level, stored in enumerate(outputs.labels.levels):
        np.testing.assert_array_equal(stored[...], expected[:: 2**level, :: 2**level])
    shares = np.rint(np.float32(whole.probabilities) * 255).astype(np.uint8) * seen
    for stored in outputs.probabilities.levels:
        np.testing.assert_array_equal(stored[...], shares)
        shares = halved_by_mean(shares)


def test_stopped_anywhere_it_goes_on_to_the_same_bits(tmp_path: Path) -> None:
    predictor = make_predictor(Judge(3, 4), window=(256, 256), tags=("red", "green", "blue"))
    image, mask = picture(), np.ones((1, 1), bool)
    at_once = outputs_at(tmp_path / "at-once")
    all_of_it = predict_slide(predictor, image, at_once, mask=mask, batch=3)
    parts = tmp_path / "parts"
    stops, ran = [5, 9, 9, 10**9], 0
    for stop in stops:
        asked = 0

        def cancel(stop: int = stop) -> bool:
            nonlocal asked
            asked += 1
            return asked > stop

        try:
            ran += predict_slide(predictor, image, outputs_at(parts), mask=mask, batch=3, cancel=cancel).windows
        except Cancelled:
            assert stop < 10**9
    resumed = outputs_at(parts)
    assert 0 < ran < all_of_it.windows, "finished rows were run again"
    for one, other in ((at_once.labels, resumed.labels), (at_once.probabilities, resumed.probabilities)):
        for expected, found in zip(one.levels, other.levels, strict=True):
            np.testing.assert_array_equal(expected[...], found[...])
    assert tag_of(predictor, at_once.journal) == tag_of(predictor, resumed.journal)
    whole = predict(predictor, image, batch=3)
    assert tag_of(predictor, resumed.journal).probabilities == pytest.approx(whole.tag.probabilities, abs=1e-5)


def test_a_network_that_only_judges_is_resumed_after_its_last_row(tmp_path: Path) -> None:
    seen = []

    def forward(values: torch.Tensor) -> tuple[None, torch.Tensor]:
        seen.append(len(values))
        return None, values.mean(dim=(2, 3))

    predictor = make_predictor(forward, window=(256, 256), classes=(), tags=("a", "b", "c"))
    image, mask = picture(), np.ones((1, 1), bool)

    def outputs(name: str) -> SlideOutputs:
        return SlideOutputs(labels=None, probabilities=None, journal=Journal(tmp_path / name))

    predict_slide(predictor, image, outputs("once"), mask=mask)
    count = sum(seen)
    with pytest.raises(Cancelled):
        predict_slide(predictor, image, outputs("twice"), mask=mask, cancel=lambda: sum(seen) > 1.5 * count)
    rest = predict_slide(predictor, image, outputs("twice"), mask=mask)
    assert rest.windows < 0.7 * count
    assert predict_slide(predictor, image, outputs("twice"), mask=mask).windows == 0
    assert tag_of(predictor, outputs("once").journal) == tag_of(predictor, outputs("twice").journal)


def test_a_line_that_was_cut_short_is_dropped(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal")
    journal.wrote(0, 512)
    with (tmp_path / "journal").open("a") as file:
        file.write('{"strip":0,"ro')
    again = Journal(tmp_path / "journal")
    assert again.rows == {0: 512}
    again.wrote(0, 1024)
    assert Journal(tmp_path / "journal").rows == {0: 1024}


def test_glass_takes_no_room(tmp_path: Path) -> None:
    outputs = outputs_at(tmp_path, probabilities=False)
    mask = np.zeros((26, 22), bool)
    mask[1, 1] = True
    done = predict_slide(make_predictor(SmallNet(3, 4), window=(256, 256)), picture(), outputs, mask=mask)
    assert done.windows <= 4
    assert zarr.open_array(tmp_path / "labels.zarr" / "0").nchunks_initialized == 1


@pytest.mark.parametrize(("draws", "narrow"), [(True, False), (True, True), (False, False)])
def test_bands_of_rows_give_the_same_files_in_any_order(tmp_path: Path, monkeypatch, draws: bool, narrow: bool) -> None:
    if narrow:
        monkeypatch.setattr(slide_module, "_STRIP_BYTES", 1)
    tags, image, mask = ("red", "green", "blue"), picture(), blobs()
    network = Judge(3, 4) if draws else lambda values: (None, values.mean(dim=(2, 3)))
    predictor = make_predictor(network, window=(256, 256), tags=tags, **({} if draws else {"classes": ()}))

    def outputs(folder: Path, journal: str, *, alone: bool) -> SlideOutputs:
        if draws:
            made = outputs_at(folder)
            grown = {"finest_only": not alone}
            return SlideOutputs(
                labels=GrowingPyramid(folder / "labels.zarr", halved_by_choice, **grown),
                probabilities=GrowingPyramid(folder / "shares.zarr", halved_by_mean, **grown),
                journal=made.journal if alone else Journal(folder / journal),
            )
        folder.mkdir(exist_ok=True)
        return SlideOutputs(labels=None, probabilities=None, journal=Journal(folder / journal))

    at_once = outputs(tmp_path / "once", "journal.jsonl", alone=True)
    region = ((100, 1290), (30, 1000))
    whole = predict_slide(predictor, image, at_once, region=region, mask=mask, batch=3)
    jobs = plan_slide(predictor, image, at_once, region=region, mask=mask)
    bands = plan_bands(jobs, at_once, 3)
    assert len(bands) > 1
    assert [bands[0][0], bands[-1][1]] == [0, 1190]
    windows, together = 0, Journal(tmp_path / "together")
    for number, band in reversed(list(enumerate(bands))):
        part = outputs(tmp_path / "parts", f"journal-{number}", alone=False)
        windows += predict_slide(predictor, image, part, region=region, mask=mask, band=band, batch=3).windows
        assert predict_slide(predictor, image, part, region=region, mask=mask, band=band, batch=3).windows == 0
        together.include(part.journal)
    assert whole.windows <= windows < 2 * whole.windows
    assert tag_of(predictor, together) == tag_of(predictor, at_once.journal)
    if draws:
        part.labels.complete()
        part.probabilities.complete()
        for name in ("labels.zarr", "shares.zarr"):
            assert bytes_below(tmp_path / "parts" / name) == bytes_below(tmp_path / "once" / name)


def bytes_below(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_bands_share_the_windows_and_begin_with_files(tmp_path: Path) -> None:
    predictor, outputs = make_predictor(SmallNet(3, 4), window=(64, 64)), outputs_at(tmp_path)
    top = np.zeros((26, 22), bool)
    top[:11, 3:20] = True
    jobs = plan_slide(predictor, picture(), outputs, mask=top)
    assert plan_bands(jobs, outputs, 1) == [(0, SHAPE[0])]
    assert plan_bands(jobs, outputs, 2) == [(0, 512), (512, SHAPE[0])], "most tissue lies above"
    assert plan_bands(jobs, outputs, 50) == [(0, 512), (512, 1024), (1024, SHAPE[0])]
    region = ((500, 530), (0, SHAPE[1]))
    jobs = plan_slide(predictor, picture(), outputs, region=region, mask=top)
    assert plan_bands(jobs, outputs, 2) == [(0, 12), (12, 30)]
