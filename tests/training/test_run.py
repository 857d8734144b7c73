"""A run folder survives anything: reuse, change, kill, a second training, several processes."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from napari_medseg.data.dataset import Dataset
from napari_medseg.errors import TrainingError
from napari_medseg.structures import DatasetInfo
from napari_medseg.training import run as run_module
from napari_medseg.training.run import open_run, run_stages
from napari_medseg.training.stage import StageResult
from tests.training.pair import train_both
from tests.training.tiny import CPU, same_weights, two_stages

REPOSITORY = Path(__file__).parents[2]


def train(run: Path, **more: Any) -> tuple[dict[str, Any], list[StageResult]]:
    seed = more.pop("seed", 7)
    return run_stages(two_stages(**more), run=run, seed=seed, compute=CPU)


def test_finished_stages_are_taken_from_the_disk(tmp_path: Path) -> None:
    weights, results = train(tmp_path)
    again, reused = train(tmp_path)
    assert [result.reused for result in results] == [False, False]
    assert [result.reused for result in reused] == [True, True]
    assert all(same_weights(weights[name], again[name]) for name in weights)
    assert [r.best_score for r in reused][1] == results[1].best_score
    assert reused[1].details == results[1].details


@pytest.mark.parametrize(
    ("change", "reused"),
    [
        ({"fingerprints": ("", "other masks")}, [True, False]),
        ({"fingerprints": ("other tags", "")}, [False, False]),
        ({"learning_rate": 0.02}, [False, False]),
        ({"seed": 8}, [False, False]),
        ({"checkpoint_seconds": 5.0}, [True, True]),
    ],
)
def test_a_change_retrains_what_depends_on_it_and_nothing_else(
    tmp_path: Path, change: dict[str, Any], reused: list[bool]
) -> None:
    train(tmp_path, epochs=1)
    assert [result.reused for result in train(tmp_path, epochs=1, **change)[1]] == reused


def test_a_skipped_stage_shifts_nothing(tmp_path: Path) -> None:
    whole, _ = train(tmp_path / "whole", epochs=1)
    train(tmp_path / "parts", epochs=1, fingerprints=("", "first try"))
    parts, results = train(tmp_path / "parts", epochs=1)
    assert [result.reused for result in results] == [True, False]
    assert same_weights(whole["segmenter"], parts["segmenter"])


def test_history_has_a_row_per_epoch_of_every_stage(tmp_path: Path) -> None:
    train(tmp_path, epochs=2)
    with (tmp_path / "history.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["stage"], row["epoch"]) for row in rows] == [
        ("classifier", "1"),
        ("classifier", "2"),
        ("segmenter", "1"),
        ("segmenter", "2"),
    ]
    assert rows[0]["score"] == ""
    assert 0 <= float(rows[3]["right"]) <= 1


def test_a_run_folder_serves_one_training_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_module, "LOCK_SECONDS", 0.1)
    with open_run(tmp_path, resume=False):
        with pytest.raises(TrainingError, match="Another training"), open_run(tmp_path, resume=True):
            pass
    with open_run(tmp_path, resume=True) as recorded:
        assert recorded == {}


def test_a_folder_with_a_training_is_not_written_over(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text('{"device": "cpu"}')
    with pytest.raises(TrainingError, match="--resume"), open_run(tmp_path, resume=False):
        pass
    with open_run(tmp_path, resume=True) as recorded:
        assert recorded == {"device": "cpu"}


def test_stages_that_name_no_parent_are_a_defect(tmp_path: Path) -> None:
    def orphan() -> Any:
        generator = two_stages(epochs=1)
        first = next(generator)
        yield generator.send(StageResult(**dict.fromkeys(StageResult.__slots__)))  # B without A
        return first

    with pytest.raises(ValueError, match="parents"):
        run_stages(orphan(), run=tmp_path, seed=0, compute=CPU)


KILLER = """
import os, random, signal, sys, time
import torch
torch.set_num_threads(1)
from tests.training import tiny
run, out, kills = sys.argv[1], sys.argv[2], int(sys.argv[3])
rng = random.Random(0)
for number in range(kills + 1):
    child = os.fork()
    if not child:
        tiny.main(run, out, "checkpoint_seconds=0")
        os._exit(0)
    if number < kills:
        time.sleep(rng.uniform(0.05, 0.6))
        os.kill(child, signal.SIGKILL)
    ended = os.waitpid(child, 0)[1]
    print(ended, flush=True)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot copy a process")
def test_a_training_killed_at_random_moments_ends_with_the_same_weights(tmp_path: Path) -> None:
    unbroken, _ = train(tmp_path / "unbroken")
    out = tmp_path / "weights.pt"
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY)}
    command = [sys.executable, "-c", KILLER, str(tmp_path / "killed"), str(out), "20"]
    output = subprocess.run(
        command, cwd=REPOSITORY, env=environment, check=True, timeout=300, capture_output=True, text=True
    ).stdout
    *killed, last = [int(line) for line in output.split()]
    # The training must have been alive when it was killed, at least once, else this test shows nothing.
    assert signal.SIGKILL in killed
    assert last == 0
    broken = torch.load(f"{out}.0", weights_only=True)
    assert all(same_weights(unbroken[name], broken[name]) for name in unbroken)


def test_ctrl_c_ends_between_two_steps_and_can_be_gone_on_from(tmp_path: Path) -> None:
    program = "import sys; from tests.training import tiny; tiny.main(*sys.argv[1:])"
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY)}
    command = [sys.executable, "-c", program, str(tmp_path / "run"), str(tmp_path / "out"), "epochs=2000"]
    with subprocess.Popen(command, cwd=REPOSITORY, env=environment, stderr=subprocess.PIPE, text=True) as process:
        history = tmp_path / "run" / "history.csv"
        deadline = time.monotonic() + 120
        while not history.is_file() and time.monotonic() < deadline:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        error = process.communicate(timeout=60)[1]
    assert "KeyboardInterrupt" in error
    state = torch.load(tmp_path / "run" / "stages" / "classifier" / "last.pt", weights_only=True)
    assert state["progress"]["step"] > 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot copy a process")
def test_two_processes_train_what_one_does(tmp_path: Path) -> None:
    program = str(REPOSITORY / "tests" / "training" / "pair.py")
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY)}
    subprocess.run([sys.executable, program, str(tmp_path)], cwd=REPOSITORY, env=environment, check=True, timeout=300)
    train_both(tmp_path)
    alone = torch.load(tmp_path / "of1-0.pt", weights_only=True)
    first, second = (torch.load(tmp_path / f"of2-{rank}.pt", weights_only=True) for rank in (0, 1))
    assert first["epochs"] == second["epochs"] == alone["epochs"]
    for name, weight in alone["weights"].items():
        assert torch.equal(first["weights"][name], second["weights"][name])
        assert torch.allclose(first["weights"][name], weight, atol=1e-4)
    assert first["score"] == second["score"] == pytest.approx(alone["score"], abs=1e-2)
    # With batch normalisation the processes still end with one network.
    assert same_weights(first["normalised"], second["normalised"])


@pytest.mark.parametrize("inside", ["", "labels", "labels/a/deeper"])
@pytest.mark.parametrize("resume", [False, True])
def test_a_training_does_not_write_among_the_files_of_a_data_set(tmp_path, inside, resume):
    Dataset.create(tmp_path / "data", DatasetInfo(name="data"))
    before = sorted(tmp_path.rglob("*"))
    with (
        pytest.raises(TrainingError, match="belongs to the data set"),
        open_run(tmp_path / "data" / inside, resume=resume),
    ):
        pass
    assert sorted(tmp_path.rglob("*")) == before
    with open_run(tmp_path / "data" / "runs" / "1", resume=resume) as recorded:
        assert recorded == {}


def test_a_new_training_does_not_write_among_other_files(tmp_path):
    (tmp_path / "settings.json").write_text("{}", "utf-8")
    with open_run(tmp_path, resume=False):
        pass
    (tmp_path / "thesis.doc").write_text("", "utf-8")
    with pytest.raises(TrainingError, match=r"'thesis\.doc'"), open_run(tmp_path, resume=False):
        pass
    with pytest.raises(TrainingError, match="is a file"), open_run(tmp_path / "thesis.doc", resume=False):
        pass
