"""The commands about readers and work, as somebody types them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from napari_medseg.cli import main
from napari_medseg.data.dataset import Dataset
from napari_medseg.data.finishing import mark_done, record_labels
from napari_medseg.data.readings import open_reading
from napari_medseg.data.work_log import Outcome, log_work
from tests.data.folders import make_cases


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three cases, read by two."""
    dataset = make_cases(tmp_path, 3)
    for reader, top in ((dataset, 10), (open_reading(dataset.path, "ben"), 12)):
        for case in reader.cases:
            store = reader.label_store(case, (40, 30))
            store.read()
            labels = np.zeros((40, 30), np.uint8)
            labels[top : top + 10] = 1
            store.write_box(((0, 40), (0, 30)), labels)
            row = record_labels(reader, case.case, store, revision=case.revision)
            mark_done(reader, case.case, store, revision=row.revision, tag="benign")
    return dataset.path


def said(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, object]:
    assert main([*words, "--json"]) == 0
    return dict(json.loads(capsys.readouterr().out))


def test_agreement_prints_a_table_or_a_document(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document = said(capsys, "agreement", str(folder))
    assert (document["readers"], document["n_cases"]) == (["ben", "tester"], 3)
    assert document["figures"]["dice/gland"]["mean"] == pytest.approx(0.8)
    assert main(["agreement", str(folder)]) == 0
    out = capsys.readouterr().out
    assert "Dice of gland: 0.800" in out
    assert "Dice of tumour: not defined" in out
    assert "c0: Dice 0.800, 10.00% of the pixels disputed" in out


def test_a_consensus_is_made_of_all_cases_or_of_some(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document = said(capsys, "consensus", str(folder), "--cases", "c1")
    assert [case["case"] for case in document["cases"]] == ["c1"]
    assert [case.status for case in Dataset.open(folder).cases] == ["done", "draft", "done"]
    assert main(["consensus", str(folder), "--method", "staple"]) == 0
    assert "Consensus by staple of 2 cases" in capsys.readouterr().out
    assert main(["consensus", str(folder)]) == 0
    assert "no case was finished by two readers and has none yet" in capsys.readouterr().out


def test_people_are_asked_for_a_share_of_what_is_done(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document = said(capsys, "dataset", "ask", str(folder), "--reader", "cora", "--share", "0.34", "--seed", "1")
    assert document["newly_asked"] == 1
    assert [case.case for case in open_reading(folder, "cora").cases] == document["cases"]
    assert main(["dataset", "ask", str(folder), "--reader", "cora", "--share", "2"]) == 1
    assert "above 0 and up to 1" in capsys.readouterr().err
    assert main(["dataset", "ask", str(folder), "--reader", "cora", "--cases", "unknown"]) == 1


def test_history_tells_what_work_cost(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["history", str(folder)]) == 0
    assert "No work was timed yet" in capsys.readouterr().out
    dataset = Dataset.open(folder)
    for number in range(6):
        corrected = number > 2
        pairs = {("background", "gland"): 50} if corrected else {}
        outcome = Outcome(kind="labels", objects=2, pixels=9, proposed=1000 * corrected, pairs=pairs)
        origin = "model:net" if corrected else "person"
        log_work(dataset, f"c{number % 3}", 30.0 if corrected else 120.0, origin=origin, finished=outcome)
    assert main(["history", str(folder)]) == 0
    out = capsys.readouterr().out
    for words in (
        "Cases: 3 done",
        "drawn from nothing: 3 cases in 6.0 minutes, median 2.00",
        "against drawing from nothing: 4.00 times",
        "Of 3,000 proposed pixels 5.00% were changed",
        "background to gland: 150",
        "first 2 cases 2.00, last 2 cases 0.50",
    ):
        assert words in out
    document = said(capsys, "history", str(folder))
    assert (document["gain"], len(document["cases"])) == (4.0, 6)


def test_no_two_readers_is_said_in_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dataset = make_cases(tmp_path, 1)
    assert main(["agreement", str(dataset.path)]) == 1
    assert "was finished by two readers" in capsys.readouterr().err
    assert main(["dataset", "ask", str(dataset.path), "--reader", "x", "--share", "0.5"]) == 1
    assert "No case" in capsys.readouterr().err
