"""The rules of the package's build: who may import whom, and what is never imported early."""

from __future__ import annotations

import json
import pkgutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

import napari_medseg

ROOT = Path(__file__).parents[1]
PACKAGE = Path(napari_medseg.__file__).parent

#: Libraries that cost seconds to import.
HEAVY = ("torch", "torchvision", "segmentation_models_pytorch", "timm", "pandas")
WINDOW = ("napari", "qtpy", "PyQt6", "PySide6", "vispy")


def loaded_after(code: str, watched: tuple[str, ...]) -> list[str]:
    """Which of the watched modules a fresh interpreter has loaded after running the code."""
    script = f"{code}\nimport json, sys\nprint(json.dumps([m for m in {watched!r} if m in sys.modules]))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return list(json.loads(done.stdout.strip().splitlines()[-1]))


def modules_below(*packages: str) -> list[str]:
    """Dotted names of packages and of everything in them."""
    names = []
    for package in packages:
        names.append(f"napari_medseg.{package}")
        folder = PACKAGE / package
        if folder.is_dir():
            names += [info.name for info in pkgutil.walk_packages([str(folder)], prefix=f"napari_medseg.{package}.")]
    return names


def python_names() -> list[str]:
    """What the manifest says is to be found where."""
    manifest = yaml.safe_load((PACKAGE / "napari.yaml").read_text("utf-8"))
    return [command["python_name"] for command in manifest["contributions"]["commands"]]


def test_layers_are_kept() -> None:
    lint_imports = Path(sys.executable).with_name("lint-imports")
    if not (ROOT / "pyproject.toml").is_file() or not lint_imports.is_file():
        pytest.skip("needs the repository and import-linter")
    done = subprocess.run([str(lint_imports), "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_linter_sees_every_module() -> None:
    """A new top-level module must get its place among the layers."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]["contracts"]
    layers = next(c["layers"] for c in contracts if c["type"] == "layers")
    placed = {name.strip("() ") for line in layers for name in line.replace(":", "|").split("|")}
    there = {info.name for info in pkgutil.iter_modules([str(PACKAGE)])}
    assert there <= placed


@pytest.mark.parametrize("name", ["", "api", "cli", "config", "errors", "schemes", "structures", "commands"])
def test_importing_the_doors_is_light(name: str) -> None:
    module = f"napari_medseg.{name}".rstrip(".")
    assert loaded_after(f"import {module}", HEAVY + WINDOW) == []


def test_building_the_command_line_is_light() -> None:
    code = "from napari_medseg.cli import build_parser\nbuild_parser().format_help()"
    assert loaded_after(code, (*HEAVY, *WINDOW, "scipy", "skimage", "zarr", "tifffile", "numcodecs")) == []


def test_files_data_and_label_tools_load_no_torch_and_no_window() -> None:
    imports = "\n".join(f"import {name}" for name in modules_below("io", "data", "annotation", "measure"))
    assert loaded_after(imports, HEAVY + WINDOW) == []


def test_panels_and_hooks_load_no_torch() -> None:
    imports = "\n".join(f"import {name}" for name in modules_below("widgets", "hooks", "demo"))
    assert loaded_after(imports, HEAVY) == []


def test_everything_the_manifest_names_loads_no_torch() -> None:
    code = "from importlib import import_module\n" + "\n".join(
        f"assert callable(getattr(import_module({module!r}), {attribute!r}))"
        for module, attribute in (name.split(":") for name in python_names())
    )
    assert loaded_after(code, HEAVY) == []


def test_public_names_are_there() -> None:
    for name in napari_medseg.__all__:
        assert getattr(napari_medseg, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        napari_medseg.nothing  # noqa: B018 - the access is the test
