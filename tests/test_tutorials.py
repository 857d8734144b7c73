"""Every command of the tutorials, one after the other, on smaller sample sets and with the smallest networks."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from napari_medseg.cli import main
from napari_medseg.data import samples, synthetic, synthetic_ultrasound
from napari_medseg.data.synthetic_ct import make_ct_dataset
from napari_medseg.data.synthetic_oct import make_oct_dataset
from tests.test_docs import ROOT, commands

TUTORIALS = sorted((ROOT / "docs" / "tutorials").glob("*.md"))
#: Makers of sets that are as small as a split allows.
SMALL = {
    "pathology": lambda folder: synthetic.make_dataset(folder, n=12, size=64),
    "oct": lambda folder: make_oct_dataset(folder, n=6, subjects=6, size=(64, 96)),
    "boosting": lambda folder: make_ct_dataset(folder, 6, (16, 32, 40)),
    "fibrosis": lambda folder: make_ct_dataset(folder, 12, (16, 32, 40)),
    "thyroid": lambda folder: synthetic_ultrasound.make_dataset(folder, n=24, rows=96, columns=128),
}
#: Settings in place of the tutorial's, by scheme.
TINY = {
    "pathology": "network.base_width=4 input_size=32",
    "oct": 'candidates=[{"base_width":4,"downsamplings":2}] search=false window_width=32 stride=16',
    "boosting": "base_width=4 variants=2+1",
    "fibrosis": "network.base_width=4 input_size=16 input_slices=8 lesion=tumour",
    "thyroid": "network.base_width=4 network.middle_modules=1 input_size=64",
}


def smaller(words: list[str]) -> list[str]:
    """A command with the settings of `TINY` when it trains."""
    if words[0] != "train":
        return words
    kept = [word for flag, word in zip(["", *words], words, strict=False) if "--set" not in (flag, word)]
    tiny = [
        f"--set={setting}" for setting in [*TINY[words[1]].split(), "training.epochs=1", "training.steps_per_epoch=2"]
    ]
    return [*kept, *tiny, "--threads=1"]


@pytest.mark.parametrize("page", TUTORIALS, ids=lambda page: page.stem)
def test_a_tutorial_runs_from_its_first_command_to_its_last(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(samples, "SAMPLE_SETS", SMALL)
    monkeypatch.chdir(tmp_path)
    for line in commands(page):
        words = smaller(shlex.split(line)[1:])
        if words[:2] == ["predict", "run-tumours/model.safetensors"]:
            words[words.index("--region") + 1] = "4:12,8:24,8:24"  # the scans are smaller
        assert main(words) == 0, (line, capsys.readouterr().err)
    pages = [path for path in tmp_path.glob("*.html") if "<h1>" in path.read_text("utf-8")]
    assert len(pages) == 1
