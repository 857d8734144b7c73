"""What `doctor` says of machines that lack something."""

from __future__ import annotations

import json
import shutil
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest

from napari_medseg.api import doctor
from napari_medseg.api.doctor import EXTRAS
from napari_medseg.cli import main

PYPROJECT = Path(__file__).parents[1] / "pyproject.toml"


def test_this_machine_is_ready_and_the_command_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", str(tmp_path), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["ok"]
    found = {one["name"]: one for one in document["checks"]}
    assert f"torch {metadata.version('torch')}"[:10] in found["Computing"]["found"]
    assert {"Python", "Packages", "Plugin", "Window", "Codecs", "Machine", "Folder", "[slides]"} <= found.keys()
    assert all(one["mend"] for one in document["checks"] if one["state"] != "ok")


def test_faults_end_with_1_and_a_mend(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    wanted = ["numpy>=99", "no-such-package>=1", 'never-asked-for; extra == "x"', "pydantic>=2"]
    monkeypatch.setattr(metadata, "requires", lambda name: wanted)
    monkeypatch.setattr(doctor, "_ask", lambda program: (None, "it broke"))
    monkeypatch.setenv("DISPLAY", ":99")
    assert main(["doctor", str(tmp_path / "missing")]) == 1
    text = capsys.readouterr().out
    assert "no-such-package is missing" in text
    assert f"numpy is {metadata.version('numpy')}, but >=99 is needed" in text
    assert "never-asked-for" not in text
    assert "torch does not start (it broke)" in text
    assert "cannot be written to" in text
    assert "4 to be mended." in text


def test_a_machine_without_display_or_qt_is_told_what_works(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    assert doctor._window().state == "note"
    assert "xvfb-run" in doctor._window().mend
    monkeypatch.setattr(doctor.util, "find_spec", lambda name: None)
    assert doctor._window().state == "fault"
    assert "[all]" in doctor._window().mend


def test_questions_survive_a_process_that_ends_badly() -> None:
    assert doctor._ask("import os, json; print('noise'); print(json.dumps({'a': 1}))") == ({"a": 1}, "")
    assert doctor._ask("import os; os.abort()")[0] is None
    answer, trouble = doctor._ask("raise RuntimeError('no driver')")
    assert answer is None
    assert "no driver" in trouble


def test_every_extra_is_looked_for_under_its_own_name() -> None:
    declared = tomllib.loads(PYPROJECT.read_text())["project"]["optional-dependencies"]
    assert set(EXTRAS) == set(declared) - {"all", "pyside", "test", "docs", "bench"}


def test_little_space_is_a_note(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda folder: usage._replace(free=2**34))
    assert doctor._writable(tmp_path).state == "ok"
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda folder: usage._replace(free=2**20))
    assert doctor._writable(tmp_path).state == "note"
