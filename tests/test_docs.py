"""What README.md and docs/ tell people to type works."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from napari_medseg.cli import build_parser
from napari_medseg.data.synthetic import tissue

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```(?P<language>\w*)\n(?P<text>.*?)^```", re.MULTILINE | re.DOTALL)
#: Stands in for the profile `cpu`, which takes minutes.
TINY = "--set network.base_width=4 --set input_size=32 --set training.epochs=1 --device cpu"


def commands(page: Path) -> list[str]:
    lines = [line for block in BLOCK.finditer(page.read_text("utf-8")) for line in block["text"].splitlines()]
    return [line for line in lines if line.startswith("napari-medseg ")]


def tour(language: str) -> str:
    blocks = [
        b for part in (ROOT / "README.md").read_text("utf-8").split("<!-- tour -->")[1:] for b in BLOCK.finditer(part)
    ]
    return next(block["text"] for block in blocks if block["language"] == language)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text("utf-8"))
    assert [target for target in targets if not (page.parent / target).exists()] == []


@pytest.mark.parametrize(("page", "line"), [(page.name, line) for page in PAGES for line in commands(page)])
def test_command_is_understood(page: str, line: str) -> None:
    build_parser().parse_args(shlex.split(line)[1:])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_runs(page: Path) -> None:
    blocks = [block["text"] for block in BLOCK.finditer(page.read_text("utf-8")) if block["language"] == "python"]
    for text in blocks:
        exec(compile(text, str(page), "exec"), {})


def write_tour_inputs(folder: Path) -> None:
    """Twelve pictures of six patients, masks for half of them, and a table."""
    (folder / "images").mkdir()
    (folder / "masks").mkdir()
    rows = ["id,tag,patient"]
    for i in range(12):
        rgb, labels = tissue(size=64, seed=i, malignant=bool(i % 2))
        Image.fromarray(rgb).save(folder / "images" / f"case{i:02}.png")
        if i % 4 < 2:
            Image.fromarray(labels).save(folder / "masks" / f"case{i:02}.png")
        rows.append(f"case{i:02},{'malignant' if i % 2 else 'benign'},patient{i // 2}")
    (folder / "table.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")


def test_command_line_tour(tmp_path: Path) -> None:
    write_tour_inputs(tmp_path)
    for line in tour("").splitlines():
        words = shlex.split(line.replace("--profile cpu", TINY))
        assert words[0] == "napari-medseg"
        done = subprocess.run(
            [sys.executable, "-m", "napari_medseg", *words[1:]],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
    table = (tmp_path / "predictions" / "predictions.csv").read_text("utf-8").splitlines()
    assert len(table) == 13
    labels = sorted((tmp_path / "predictions").glob("*.tif"))
    assert len(labels) == 12
    assert {np.asarray(Image.open(path)).shape for path in labels} == {(64, 64)}
