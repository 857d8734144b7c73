"""What the loop promises of one stage."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from napari_medseg.errors import Cancelled, TrainingError
from napari_medseg.models.unet import PlainEncoder
from napari_medseg.training.loop import fit
from napari_medseg.training.stage import CaseScore, Stage, StageResult
from tests.training.tiny import CPU, STILL, mask_stage, same_weights, tag_stage, training


@pytest.fixture(autouse=True)
def _compute() -> None:
    CPU.activate()


class Recorder:
    """Keeps events; cancels at the one that is asked for."""

    def __init__(self, cancel_at: str = "") -> None:
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.cancel_at = cancel_at

    def __call__(self, event: str, /, **values: Any) -> None:
        self.events.append((event, values))
        if event == self.cancel_at:
            raise Cancelled("asked to stop")

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [values for event, values in self.events if event == kind]


def train(stage: Stage, folder: Path, **more: Any) -> StageResult:
    return fit(stage, folder=folder, identity="x", compute=CPU, seed=3, **more)


def test_a_segmenter_learns_and_ends_with_its_best_weights(tmp_path: Path) -> None:
    stage = mask_stage(training=training(epochs=12, learning_rate=0.02, patience=0))
    recorder = Recorder()
    result = train(stage, tmp_path, report=recorder)
    scores = [event["score"] for event in recorder.of("epoch_ended")]
    assert result.best_score == max(scores) > 0.95
    assert result.steps == 48
    assert stage.scorer is not None
    assert not stage.model.training
    again = [stage.scorer.score_case(stage.model, case, preview=False) for case in stage.scorer.cases]
    assert stage.scorer.summarise(again)[0] == result.best_score
    assert recorder.of("epoch_ended")[-1]["validation_loss"] == pytest.approx(1 - scores[-1])
    assert {event["case"] for event in recorder.of("preview_written")} == set(stage.scorer.cases)


def test_same_seed_same_bits_and_another_seed_others(tmp_path: Path) -> None:
    stages = [mask_stage() for _ in range(3)]
    for number, (stage, seed) in enumerate(zip(stages, (1, 1, 2), strict=True)):
        torch.manual_seed(number)  # whatever state the process is in
        fit(stage, folder=tmp_path / str(number), identity="x", compute=CPU, seed=seed)
    weights = [stage.model.state_dict() for stage in stages]
    assert same_weights(weights[0], weights[1])
    assert not same_weights(weights[0], weights[2])


class StoppingSource:
    """Patches that cannot be drawn at one step, as when a person cancels there."""

    def __init__(self, source: Any, step: int, batch_size: int = 4) -> None:
        self.source = source
        self.position = step * batch_size

    def __len__(self) -> int:
        return len(self.source)

    def draw(self, positions: Sequence[int], seed: int) -> Any:
        if self.position in positions:
            raise Cancelled("asked to stop")
        return self.source.draw(positions, seed)


@pytest.mark.parametrize("step", [1, 4, 7, 11])
def test_a_cancelled_stage_goes_on_as_if_never_stopped(tmp_path: Path, step: int) -> None:
    unbroken, broken = mask_stage(), mask_stage()
    whole = train(unbroken, tmp_path / "unbroken")
    cancelled = mask_stage(source=StoppingSource(broken.source, step))
    with pytest.raises(Cancelled):
        train(cancelled, tmp_path / "broken")
    pieces = train(broken, tmp_path / "broken")
    assert same_weights(unbroken.model.state_dict(), broken.model.state_dict())
    assert (pieces.best_score, pieces.epochs, pieces.steps) == (whole.best_score, whole.epochs, whole.steps)
    histories = [(tmp_path / name / "history.csv").read_text() for name in ("unbroken", "broken")]
    assert histories[0] == histories[1]


@pytest.mark.parametrize("event", ["preview_written", "epoch_ended"])
def test_cancelling_between_epochs_loses_nothing(tmp_path: Path, event: str) -> None:
    unbroken, broken = mask_stage(), mask_stage()
    train(unbroken, tmp_path / "unbroken")
    with pytest.raises(Cancelled):
        train(mask_stage(), tmp_path / "broken", report=Recorder(cancel_at=event))
    train(broken, tmp_path / "broken")
    assert same_weights(unbroken.model.state_dict(), broken.model.state_dict())
    histories = [(tmp_path / name / "history.csv").read_text() for name in ("unbroken", "broken")]
    assert histories[0] == histories[1]


class Scripted:
    """Scores as written; the model's weights at each are noted."""

    cases = ("only",)

    def __init__(self, scores: Sequence[float]) -> None:
        self.scores = list(scores)
        self.seen: list[dict[str, torch.Tensor]] = []

    def score_case(self, model: nn.Module, case: str, *, preview: bool) -> CaseScore:
        assert not model.training
        assert not torch.is_grad_enabled()
        self.seen.append(copy.deepcopy(model.state_dict()))
        return CaseScore(case=case, values={})

    def summarise(self, scores: Sequence[CaseScore]) -> tuple[float, dict[str, float]]:
        return self.scores[len(self.seen) - 1], {}


def test_training_stops_after_patience_and_keeps_the_best_weights(tmp_path: Path) -> None:
    scorer = Scripted([0.2, 0.5, 0.4, 0.5, 0.3, 0.9])
    stage = mask_stage(scorer=scorer, training=training(epochs=6, patience=3))
    result = train(stage, tmp_path)
    assert (result.epochs, result.best_score) == (5, 0.5)
    assert same_weights(stage.model.state_dict(), scorer.seen[1])


def test_a_score_that_is_no_number_never_counts_as_best(tmp_path: Path) -> None:
    scorer = Scripted([math.nan, 0.1, math.nan])
    stage = mask_stage(scorer=scorer)
    assert train(stage, tmp_path).best_score == 0.1
    assert same_weights(stage.model.state_dict(), scorer.seen[1])


def test_without_validation_the_last_weights_are_the_result(tmp_path: Path) -> None:
    stage = tag_stage()
    before = copy.deepcopy(stage.model.state_dict())
    result = train(stage, tmp_path)
    assert result.epochs == 3
    assert math.isnan(result.best_score)
    assert not same_weights(before, stage.model.state_dict())


def test_frozen_parts_do_not_move_in_any_way(tmp_path: Path) -> None:
    stage = mask_stage(training=training(weight_decay=1.0))
    stage = mask_stage(model=stage.model, frozen=[stage.model.encoder], training=stage.training)
    encoder, decoder = (copy.deepcopy(part.state_dict()) for part in (stage.model.encoder, stage.model.decoder))
    train(stage, tmp_path)
    assert same_weights(encoder, stage.model.encoder.state_dict())  # running statistics are among them
    assert not same_weights(decoder, stage.model.decoder.state_dict())
    assert all(p.requires_grad for p in stage.model.parameters())


def test_a_stage_that_is_all_frozen_is_refused(tmp_path: Path) -> None:
    stage = mask_stage()
    with pytest.raises(TrainingError, match="frozen"):
        train(mask_stage(model=stage.model, frozen=[stage.model]), tmp_path)


class Narrow(nn.Module):
    """A network without batch statistics that runs out of memory above two images."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 2, 1))
        self.most = most

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if len(x) > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return self.layers(x)


def narrow_stage(most: int) -> Stage:
    torch.manual_seed(0)
    return mask_stage(model=Narrow(most), augmentation=STILL, scorer=None, training=training(batch_size=5))


def test_short_memory_halves_the_batch_says_so_and_trains_the_same(tmp_path: Path) -> None:
    wide, narrow = narrow_stage(5), narrow_stage(2)
    recorder = Recorder()
    train(wide, tmp_path / "wide")
    train(narrow, tmp_path / "narrow", report=recorder)
    assert [("parts of 3" in e["text"], "parts of 2" in e["text"]) for e in recorder.of("warning")] == [
        (True, False),
        (False, True),
    ]
    for one, other in zip(wide.model.parameters(), narrow.model.parameters(), strict=True):
        assert torch.allclose(one, other, atol=1e-5)


def test_memory_too_small_for_one_patch_ends_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="smaller input size"):
        train(narrow_stage(0), tmp_path)


def test_a_loss_that_is_no_number_stops_and_keeps_the_last_good_checkpoint(tmp_path: Path) -> None:
    def source_with_nan(stage: Stage) -> Any:
        class Poisoned(StoppingSource):
            def draw(self, positions: Sequence[int], seed: int) -> Any:
                images, labels, tags = self.source.draw(positions, seed)
                return (images * np.float32(np.nan) if self.position in positions else images), labels, tags

        return Poisoned(stage.source, 6)

    config = training(checkpoint_seconds=0.0)
    plain = mask_stage(training=config)
    with pytest.raises(TrainingError, match=r"learning_rate=0\.001"):
        train(mask_stage(training=config, source=source_with_nan(plain)), tmp_path / "poisoned")
    unbroken = mask_stage(training=config)
    train(unbroken, tmp_path / "unbroken")
    train(plain, tmp_path / "poisoned")
    assert same_weights(plain.model.state_dict(), unbroken.model.state_dict())


def test_a_damaged_checkpoint_is_named(tmp_path: Path) -> None:
    with pytest.raises(Cancelled):
        train(mask_stage(), tmp_path, report=Recorder(cancel_at="epoch_ended"))
    (tmp_path / "last.pt").write_bytes(b"PK\x03\x04 cut short")
    with pytest.raises(TrainingError, match=r"last\.pt"):
        train(mask_stage(), tmp_path)


def test_a_pickle_that_runs_code_is_refused(tmp_path: Path) -> None:
    """A checkpoint is data: one that asks for a call must not be followed."""
    torch.save({"identity": "x", "call": PlainEncoder}, tmp_path / "last.pt")
    with pytest.raises(TrainingError, match=r"last\.pt"):
        train(mask_stage(), tmp_path)
