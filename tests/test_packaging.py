"""The package as people install it: built here, unpacked into an environment of its own, and asked by npe2."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import yaml
from npe2 import PluginManifest

pytest.importorskip("hatchling")

ROOT = Path(__file__).parents[1]
NAME = "napari-medseg"

if not (ROOT / "hatch_build.py").is_file():
    pytest.skip("needs the repository", allow_module_level=True)


@pytest.fixture(scope="session")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what is built, so that building leaves this checkout alone."""
    copy = tmp_path_factory.mktemp("source")
    for name in (
        "pyproject.toml",
        "hatch_build.py",
        "napari.yaml",
        "LICENSE",
        "README.md",
        "CHANGELOG.md",
        ".gitignore",
    ):
        shutil.copy(ROOT / name, copy / name)
    unwanted = shutil.ignore_patterns("__pycache__", "napari.yaml")
    shutil.copytree(ROOT / "src", copy / "src", ignore=unwanted)
    shutil.copytree(ROOT / "tests", copy / "tests", ignore=unwanted)
    return copy


def build(source: Path, kind: str, out: Path) -> Path:
    """Call the build backend as installers do; `kind` is wheel, editable or sdist."""
    out.mkdir(parents=True, exist_ok=True)
    code = f"import sys, hatchling.build as backend; print(backend.build_{kind}(sys.argv[1]))"
    done = subprocess.run(
        [sys.executable, "-c", code, str(out)], cwd=source, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return out / done.stdout.split()[-1]


@pytest.fixture(scope="session")
def wheel(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(source, "wheel", tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="session", params=["wheel", "editable"])
def environment(request: pytest.FixtureRequest, source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of a new environment that holds the package and borrows the libraries of this one."""
    folder = tmp_path_factory.mktemp(request.param)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder / "env")], check=True)
    python = folder / "env" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    where = "import sysconfig; print(sysconfig.get_path('purelib'))"
    site_packages = Path(
        subprocess.run([python, "-c", where], capture_output=True, text=True, check=True).stdout.strip()
    )
    # A pure wheel is installed by unpacking it. Folders named in a .pth file come after the environment's own.
    zipfile.ZipFile(build(source, request.param, folder)).extractall(site_packages)
    (site_packages / "borrowed.pth").write_text(sysconfig.get_path("purelib"), encoding="utf-8")
    return python


def run(python: Path, *arguments: str) -> str:
    """Output of a Python program that must succeed."""
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [python, *arguments], capture_output=True, text=True, check=False, env=clean, cwd=python.parent
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_wheel_holds_the_manifest_once_and_unchanged(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        manifests = [name for name in archive.namelist() if name.endswith("napari.yaml")]
        assert manifests == ["napari_medseg/napari.yaml"]
        assert archive.read(manifests[0]) == (ROOT / "napari.yaml").read_bytes()


def test_wheel_holds_what_is_needed_and_nothing_else(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    tops = {name.split("/")[0] for name in names}
    assert tops == {"napari_medseg", f"napari_medseg-{version(NAME)}.dist-info"}
    assert "napari_medseg/py.typed" in names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    sources = {path.relative_to(ROOT / "src").as_posix() for path in (ROOT / "src").rglob("*.py")}
    assert sources <= names
    assert wheel.stat().st_size < 12_000_000


def test_source_archive_builds_the_same_wheel(source: Path, wheel: Path, tmp_path: Path) -> None:
    with tarfile.open(build(source, "sdist", tmp_path / "sdist")) as archive:
        # Python 3.11.2, which Debian 12 has, knows no filters yet.
        archive.extractall(tmp_path, **({"filter": "data"} if hasattr(tarfile, "data_filter") else {}))
    (unpacked,) = (path.parent for path in tmp_path.glob("*/pyproject.toml"))
    again = build(unpacked, "wheel", tmp_path / "again")
    assert zipfile.ZipFile(again).namelist() == zipfile.ZipFile(wheel).namelist()


def test_package_comes_from_its_install(environment: Path, source: Path) -> None:
    location = Path(run(environment, "-c", "import napari_medseg; print(napari_medseg.__file__)").strip())
    assert location.is_relative_to(source) or location.is_relative_to(environment.parents[1])


def test_npe2_finds_and_validates_the_plugin(environment: Path) -> None:
    assert "valid" in run(environment, "-m", "npe2", "validate", NAME).lower()
    assert NAME in run(environment, "-m", "npe2", "list")


def test_installed_manifest_is_the_one_of_the_repository(environment: Path) -> None:
    code = f"from npe2 import PluginManifest; print(PluginManifest.from_distribution('{NAME}').json())"
    installed = PluginManifest.model_validate_json(run(environment, "-c", code))
    expected = PluginManifest.from_file(ROOT / "napari.yaml")
    assert installed.contributions == expected.contributions


def contributions() -> dict[str, Any]:
    return dict(yaml.safe_load((ROOT / "napari.yaml").read_text("utf-8"))["contributions"])


def test_manifest_names_agree() -> None:
    manifest = yaml.safe_load((ROOT / "napari.yaml").read_text("utf-8"))
    assert manifest["name"] == NAME
    commands = [command["id"] for command in manifest["contributions"]["commands"]]
    assert len(set(commands)) == len(commands)
    assert all(command.startswith(f"{NAME}.") for command in commands)


def test_every_contribution_names_a_command() -> None:
    found = contributions()
    commands = {command["id"] for command in found["commands"]}
    used = {item["command"] for kind in ("readers", "writers", "widgets") for item in found.get(kind, [])}
    used |= {item["command"] for item in found.get("sample_data", []) if "command" in item}
    used |= {item["command"] for items in found.get("menus", {}).values() for item in items if "command" in item}
    assert used <= commands


def test_napari_honours_every_menu() -> None:
    """Entries of menus that napari keeps for itself would vanish without a word."""
    from napari._app_model.constants._menus import is_menu_contributable

    found = contributions()
    own = {item["id"] for item in found.get("submenus", [])}
    menus = set(found.get("menus", {})) - own
    assert menus
    assert [menu for menu in menus if not is_menu_contributable(menu)] == []
