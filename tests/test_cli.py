"""The command line as scripts use it: fresh processes, exit codes, JSON, files read again."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
from typing import get_args

import numpy as np
import pytest
from PIL import Image as PillowImage
from safetensors.numpy import load_file

from napari_medseg.cli import build_parser
from napari_medseg.commands.info import KINDS
from napari_medseg.structures import Kind

SMALL = ["network.base_width=4", "input_size=32", "training.epochs=1", "training.steps_per_epoch=2"]


def call(*words, check=0, **options):
    """Run the program in a fresh process; returns the finished process after checking its exit code."""
    command = [sys.executable, "-X", "utf8", "-m", "napari_medseg", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, **options)
    assert done.returncode == check, done.stderr
    assert "Traceback" not in done.stderr
    return done


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    from napari_medseg.data.synthetic import make_dataset

    folder = tmp_path_factory.mktemp("cli") / "data"
    make_dataset(folder, n=10, size=64, seed=0)
    return folder


@pytest.fixture(scope="module")
def run(dataset):
    folder = dataset.parent / "run"
    settings = [word for setting in SMALL for word in ("--set", setting)]
    done = call("train", "pathology", "--data", dataset, "--out", folder, "--device", "cpu", "--json", *settings)
    summary = json.loads(done.stdout)
    assert summary["model"] == str(folder / "model.safetensors")
    return folder


def test_kinds_offered_are_those_there_are():
    assert set(get_args(Kind)) == set(KINDS)


def test_help_names_every_command_and_loads_no_heavy_library():
    code = (
        "import sys; from napari_medseg.cli import build_parser; build_parser().format_help();"
        "heavy = {'torch', 'napari', 'numpy', 'pydantic', 'zarr'} & set(sys.modules); assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for name in ("info", "convert", "dataset", "train", "predict", "evaluate", "reproduce", "demo"):
        assert name in build_parser().format_help()


@pytest.mark.parametrize(
    "words", [[], ["train"], ["no-such-command"], ["train", "pathology", "--data", "x", "--out", "y", "--nonsense"]]
)
def test_wrong_usage_exits_with_2(words):
    call(*words, check=2)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["info", "missing.png"], "missing.png"),
        (["train", "patology", "--data", ".", "--out", "r"], "did you mean 'pathology'"),
        (["config", "pathology", "--set", "input_size=33"], "multiple of 32"),
        (["config", "pathology", "--set", "training.epoch=3"], "no setting 'training.epoch'"),
        (["config", "pathology", "--profile", "fast"], "it has: cpu"),
        (["predict", "missing.safetensors", "x.png", "--out", "o"], "missing.safetensors"),
        (["evaluate", "missing.safetensors", "--data", "d"], "missing.safetensors"),
    ],
)
def test_a_fault_of_the_input_is_one_sentence_and_1(words, sentence, tmp_path):
    done = call(*words, check=1, cwd=tmp_path)
    assert sentence in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert done.stdout == ""
    assert not any(tmp_path.iterdir())


def test_config_prints_json_that_config_reads_again(tmp_path):
    printed = call("config", "pathology", "--profile", "cpu", "--set", "training.learning_rate=3e-7").stdout
    values = json.loads(printed)
    assert values["training"]["learning_rate"] == 3e-7
    from napari_medseg.schemes import build_config, find_scheme

    assert build_config(find_scheme("pathology"), values=values).model_dump(mode="json") == values


def test_a_run_folder_holds_summary_history_and_model(run):
    summary = json.loads((run / "summary.json").read_text())
    assert summary["scheme"] == "pathology"
    assert [stage["name"] for stage in summary["stages"]] == ["a_classifier", "b_segmenter", "c_classifier"]
    assert {"train", "val", "test"} <= summary["cases"].keys()
    with (run / "history.csv").open() as file:
        stages = {row["stage"] for row in csv.DictReader(file)}
    assert stages == {"a_classifier", "b_segmenter", "c_classifier"}


def test_a_training_without_validation_has_a_summary_that_is_json(dataset, tmp_path):
    data = tmp_path / "data"
    shutil.copytree(dataset, data)
    table = data / "cases.csv"
    with table.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    with table.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        # One group: all of it trains.
        writer.writerows(row | {"group": "one", "split": "train"} for row in rows)
    settings = [word for setting in SMALL for word in ("--set", setting)]
    run = tmp_path / "run"
    done = call("train", "pathology", "--data", data, "--out", run, "--device", "cpu", "--json", *settings)

    def refuse(constant):
        raise AssertionError(f"{constant} is no JSON")

    for text in (done.stdout, (run / "summary.json").read_text()):
        summary = json.loads(text, parse_constant=refuse)
        assert [stage["best_score"] for stage in summary["stages"]] == [None, None, None]
    assert "nan" not in done.stderr


def test_a_second_run_into_the_folder_is_refused_and_resume_reuses_its_stages(run, dataset):
    settings = [word for setting in SMALL for word in ("--set", setting)]
    before = load_file(run / "model.safetensors")
    refused = call("train", "pathology", "--data", dataset, "--out", run, "--device", "cpu", *settings, check=1)
    assert "--resume" in refused.stderr
    again = call(
        *("train", "pathology", "--data", dataset, "--out", run, "--device", "cpu", "--resume", "--json"), *settings
    )
    assert all(stage["reused"] for stage in json.loads(again.stdout)["stages"])
    plain = call("train", "pathology", "--data", dataset, "--out", run, "--resume", "--json")
    assert all(stage["reused"] for stage in json.loads(plain.stdout)["stages"])
    after = load_file(run / "model.safetensors")
    assert after.keys() == before.keys()
    assert all(np.array_equal(after[name], before[name]) for name in before)


def start_training(dataset, run, *settings, stderr=subprocess.PIPE):
    """A training child as the Train panel starts it."""
    words = ["train", "pathology", "--data", dataset, "--out", run, "--device", "cpu", "--events", "json"]
    words += [word for setting in settings for word in ("--set", setting)]
    return subprocess.Popen(
        [sys.executable, "-u", "-X", "utf8", "-m", "napari_medseg", *map(str, words)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=stderr,
    )


def test_resume_takes_up_the_seed_of_the_run(dataset, tmp_path):
    settings = [word for setting in SMALL for word in ("--set", setting)]
    words = ["train", "pathology", "--data", dataset, "--out", tmp_path / "run", "--device", "cpu", "--json", *settings]
    call(*words, "--seed", 5)
    summary = json.loads(call(*words, "--resume").stdout)
    assert summary["seed"] == 5
    assert all(stage["reused"] for stage in summary["stages"])


def test_events_are_ascii_json_lines_and_nothing_else(dataset, tmp_path):
    process = start_training(dataset, tmp_path / "run", *SMALL)
    lines = process.stdout.read().splitlines()
    assert process.wait() == 0
    process.stdin.close()
    process.stderr.close()
    events = [json.loads(line.decode("ascii")) for line in lines]
    kinds = [event["event"] for event in events]
    assert kinds[0] == "started"
    assert kinds[-1] == "done"
    assert kinds.count("stage_ended") == 3
    assert {"stage_started", "epoch_ended"} <= set(kinds)


def test_the_child_ends_when_its_parent_closes_the_pipe(dataset, tmp_path):
    process = start_training(dataset, tmp_path / "run", "training.epochs=5000", stderr=subprocess.DEVNULL)
    assert json.loads(process.stdout.readline())["event"] in ("started", "warning")
    process.stdin.close()
    assert process.wait(timeout=60) == 130
    process.stdout.close()


def test_predict_writes_labels_and_a_table_and_goes_on_past_a_faulty_file(run, dataset, tmp_path):
    inputs = tmp_path / "inputs"
    inputs.mkdir()
    rng = np.random.default_rng(0)
    PillowImage.fromarray(rng.integers(0, 255, (70, 90, 3), dtype=np.uint8)).save(inputs / "good.png")
    (inputs / "broken.png").write_bytes((inputs / "good.png").read_bytes()[:200])
    out = tmp_path / "out"
    done = call("predict", run, inputs, "--out", out, "--device", "cpu", "--json", check=1)
    rows = {row["input"].rsplit("/", 1)[-1]: row for row in json.loads(done.stdout)["predictions"]}
    assert rows["broken.png"]["error"]
    assert not rows["broken.png"]["labels"]
    assert rows["good.png"]["class"] in ("benign", "malignant")
    assert rows["good.png"]["p_benign"] + rows["good.png"]["p_malignant"] == pytest.approx(1, abs=1e-5)
    info = json.loads(call("info", rows["good.png"]["labels"], "--json").stdout)
    assert info["shape"] == [70, 90]
    with (out / "predictions.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 2


def test_evaluate_prints_the_document_and_refuses_training_cases(run, dataset):
    document = json.loads(call("evaluate", run, "--data", dataset, "--device", "cpu", "--json").stdout)
    assert document["scheme"] == "pathology"
    assert document["n_cases"] > 0
    assert {"dice", "dice_ci", "iou", "iou_ci"} <= document["segmentation"]["mean"].keys()
    assert {"auc", "auc_ci", "accuracy", "balanced_accuracy", "macro_f1"} <= document["classification"].keys()
    refused = call("evaluate", run, "--data", dataset, "--device", "cpu", "--split", "train", check=1)
    assert "--allow-training-cases" in refused.stderr


def test_a_description_has_even_columns_and_no_float_noise():
    from napari_medseg.commands.info import _as_text

    text = _as_text(
        {"path": "a", "kind": "oct", "series_names": ["OD, volume", "OS"], "spacing": [0.0038716697599738836]}
    )
    assert text.splitlines() == [
        "a",
        "  kind          oct",
        "  series_names  OD, volume; OS",
        "  spacing       0.00387167",
    ]


def test_one_case_is_not_cases(tmp_path, capsys):
    from napari_medseg.cli import main
    from napari_medseg.data.dataset import Dataset
    from napari_medseg.structures import DatasetInfo, Image

    Dataset.create(tmp_path / "d", DatasetInfo(name="d")).add_image(
        Image(levels=(np.zeros((8, 8), np.uint8),), axes="yx"), "a"
    )
    assert main(["dataset", "info", str(tmp_path / "d")]) == 0
    assert "1 case of 1 group, 0 with labels" in capsys.readouterr().out
