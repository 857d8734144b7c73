"""Using torch must not end a process that shows a napari window."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import napari_medseg

PACKAGE = Path(napari_medseg.__file__).parent

#: Opens a window, whose renderer maps its LLVM, and then does in the same process whatever loads triton.
PROGRAM = """
import sys, tempfile
import napari
import numpy as np
from qtpy.QtWidgets import QApplication
viewer = napari.Viewer(show=True)
viewer.add_labels(np.zeros((8, 8), int))
QApplication.processEvents()
assert "torch" not in sys.modules
{use}
print("still here")
"""
TRAIN = """
from napari_medseg import api
from napari_medseg.data.synthetic import make_dataset
folder = tempfile.mkdtemp()
data = folder + "/data"
make_dataset(data, n=10, size=64, seed=0)
small = ["network.base_width=4", "network.decoder=unet", "input_size=32", "training.epochs=1"]
small += ["training.steps_per_epoch=1"]
api.train("pathology", data, folder + "/run", assignments=small, device="cpu", precision="fp32")
"""
OPTIMISE = """
from napari_medseg.models import guard_torch_import
guard_torch_import()
import torch
network = torch.nn.Conv2d(1, 1, 3)
optimiser = torch.optim.AdamW(network.parameters())
network(torch.zeros(1, 1, 8, 8)).sum().backward()
optimiser.step()
"""


@pytest.mark.viewer
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the clash of libraries is Linux's")
@pytest.mark.parametrize("use", [OPTIMISE, TRAIN], ids=["guard alone", "whole training"])
def test_torch_can_be_used_after_a_window_is_open(use: str) -> None:
    program = PROGRAM.format(use=use)
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=300, check=False)
    assert result.returncode == 0, result.stderr[-2000:]
    assert "still here" in result.stdout


#: Importing these, or making an optimiser, loads triton.
LOADERS = ("torchvision", "timm", "segmentation_models_pytorch")


def loads_triton(node: ast.AST) -> bool:
    if isinstance(node, ast.Import):
        return any(alias.name.split(".")[0] in LOADERS for alias in node.names)
    if isinstance(node, ast.ImportFrom):
        return bool(node.module) and str(node.module).split(".")[0] in LOADERS
    return isinstance(node, ast.Attribute) and node.attr == "optim"


def guards_at(tree: ast.Module) -> list[int]:
    """Lines of the module's top level that call the guard."""
    calls = [node for node in tree.body if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)]
    return [node.lineno for node in calls if getattr(node.value.func, "id", "") == "guard_torch_import"]


def test_every_module_that_loads_triton_calls_the_guard_before() -> None:
    loaders = []
    for path in PACKAGE.rglob("*.py"):
        tree = ast.parse(path.read_text("utf-8"))
        lines = [node.lineno for node in ast.walk(tree) if loads_triton(node)]
        if lines:
            loaders.append(path.name)
            assert min(guards_at(tree), default=sys.maxsize) < min(lines), path
    assert {"smp.py", "step.py"} <= set(loaders)  # the search finds what is there
