"""Is this machine ready? Packages, GPU, display, codecs, extras and folders, each with what to do about it.

What may end the process that asks (a graphics driver, torch beside a software renderer) is asked in a process of its
own.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib import metadata, util
from pathlib import Path
from typing import Any, Literal

State = Literal["ok", "note", "fault"]

#: Modules of every extra, and what it is for.
EXTRAS: Mapping[str, tuple[tuple[str, ...], str]] = {
    "slides": (("openslide",), "slides of MRXS, NDPI, BIF and other scanners"),
    "dicom-slides": (("wsidicom",), "DICOM slides"),
    "dicom-seg": (("highdicom",), "writing DICOM SEG"),
    "remote": (("aiohttp", "s3fs"), "OME-Zarr at web addresses"),
    "oct-vendors": (("oct_converter",), "OCT files of Topcon, Zeiss, Bioptigen and Optovue"),
    "video": (("av",), "AVI and MP4"),
    "onnx": (("onnx", "onnxruntime", "bioimageio"), "models for other programs"),
    "cluster": (("distributed",), "prediction on a Dask cluster"),
}
#: Codecs of medical images, by the function of imagecodecs that tells whether it was built in.
_CODECS = {"JPEG": "JPEG8", "JPEG 2000": "JPEG2K", "JPEG-LS": "JPEGLS", "lossless JPEG": "LJPEG", "HTJ2K": "HTJ2K"}
#: Free bytes below which a training or a slide soon fills a disk.
_LITTLE_SPACE = 5 * 2**30
_LITTLE_MEMORY = 8 * 2**30
#: Seconds that a question to another process may take; the first import of torch reads gigabytes.
_PATIENCE = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One answer.

    Parameters
    ----------
    name
        What was looked at.
    state
        ``"ok"``; ``"note"`` where something works less well or is not there; ``"fault"`` where it has to be mended.
    found
        What was found.
    mend
        What to do; empty where there is nothing to do.
    """

    name: str
    state: State
    found: str
    mend: str = ""


def diagnose(folder: str | os.PathLike[str] | None = None) -> list[Check]:
    """Look at everything that this package needs of a machine.

    Parameters
    ----------
    folder
        Where results are to be written; the working folder when None.

    Returns
    -------
    answers, in a fixed order; nothing is raised, whatever is broken.
    """
    where = Path.cwd() if folder is None else Path(folder)
    questions: tuple[Callable[[], Check], ...] = (
        _python,
        _packages,
        _plugin,
        _window,
        _computing,
        _codecs,
        _machine,
        lambda: _writable(where),
    )
    return [*(question() for question in questions), *_extras()]


def _python() -> Check:
    return Check(name="Python", state="ok", found=f"{platform.python_version()} on {platform.platform(terse=True)}")


def _packages() -> Check:
    """Whether what the package requires is there in versions that it allows."""
    from packaging.requirements import Requirement

    faults, found = [], []
    for text in metadata.requires("napari-medseg") or ():
        requirement = Requirement(text)
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        try:
            version = metadata.version(requirement.name)
        except metadata.PackageNotFoundError:
            faults.append(f"{requirement.name} is missing")
            continue
        found.append(f"{requirement.name} {version}")
        if not requirement.specifier.contains(version, prereleases=True):
            faults.append(f"{requirement.name} is {version}, but {requirement.specifier} is needed")
    if faults:
        return Check(
            name="Packages",
            state="fault",
            found="; ".join(faults),
            mend="install again: pip install --upgrade napari-medseg",
        )
    return Check(name="Packages", state="ok", found=", ".join(found))


def _plugin() -> Check:
    """Whether napari finds the manifest."""
    from npe2 import PluginManifest

    try:
        manifest = PluginManifest.from_distribution("napari-medseg")
    except Exception as error:  # whatever a broken installation raises, it is the answer
        return Check(
            name="Plugin",
            state="fault",
            found=f"napari cannot read the plugin's manifest ({error})",
            mend="install again: pip install --force-reinstall --no-deps napari-medseg",
        )
    widgets = len(manifest.contributions.widgets or ())
    return Check(name="Plugin", state="ok", found=f"napari {metadata.version('napari')} finds {widgets} widgets")


_ASK_WINDOW = """
import json
from qtpy import API_NAME
from qtpy.QtGui import QOffscreenSurface, QOpenGLContext, QSurfaceFormat
from qtpy.QtWidgets import QApplication
app = QApplication([])
context, surface = QOpenGLContext(), QOffscreenSurface()
surface.create()
made = context.create() and context.makeCurrent(surface)
from OpenGL.GL import GL_RENDERER, GL_VERSION, glGetString
name = [glGetString(what).decode() for what in (GL_RENDERER, GL_VERSION)] if made else []
print(json.dumps({"binding": API_NAME, "platform": app.platformName(), "opengl": name}))
"""


def _window() -> Check:
    """Qt and OpenGL, which napari draws with."""
    if not any(util.find_spec(name) for name in ("PyQt6", "PySide6")):
        return Check(
            name="Window",
            state="fault",
            found="there is no Qt, so napari cannot open a window",
            mend='pip install "napari-medseg[all]"; the command line works without',
        )
    if sys.platform.startswith("linux") and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        return Check(
            name="Window",
            state="note",
            found="there is no display",
            mend="start napari under 'xvfb-run -a', or use the command line",
        )
    answer, trouble = _ask(_ASK_WINDOW)
    if answer is None:
        return Check(
            name="Window",
            state="fault",
            found=f"Qt cannot open a window ({trouble})",
            mend="on Debian and Ubuntu: apt install libegl1 libgl1 libxkbcommon-x11-0 libxcb-cursor0 libdbus-1-3",
        )
    if not answer["opengl"]:
        return Check(
            name="Window",
            state="fault",
            found=f"{answer['binding']} starts, but gets no OpenGL",
            mend="install the graphics driver, or on Linux libgl1-mesa-dri",
        )
    renderer, version = answer["opengl"]
    slow = any(word in renderer.lower() for word in ("llvmpipe", "softpipe", "swiftshader"))
    return Check(
        name="Window",
        state="note" if slow else "ok",
        found=f"{answer['binding']} on {answer['platform']}, OpenGL {version} by {renderer}",
        mend="pictures are drawn by the processor: a graphics driver makes large images smoother" if slow else "",
    )


_ASK_COMPUTING = """
import json
from napari_medseg.models.compute import choose_compute
import torch
from pathlib import Path
here = torch.cuda.is_available()
card = torch.cuda.get_device_properties(0) if here else None
print(json.dumps({
    "torch": torch.__version__, "built": torch.version.cuda, "cuda": here, "count": torch.cuda.device_count(),
    "memory": card.total_memory if card else 0, "compute": str(choose_compute()),
    "mps": torch.backends.mps.is_available(),
}))
"""


def _computing() -> Check:
    """What networks run on."""
    answer, trouble = _ask(_ASK_COMPUTING)
    if answer is None:
        return Check(
            name="Computing",
            state="fault",
            found=f"torch does not start ({trouble})",
            mend="install torch as https://pytorch.org/get-started/locally says for this machine",
        )
    found = f"torch {answer['torch']}: {answer['compute']}"
    if answer["cuda"]:
        return Check(name="Computing", state="ok", found=f"{found}, {answer['memory'] / 2**30:.0f} GB")
    if answer["mps"]:
        return Check(name="Computing", state="ok", found=f"{found}; 'mps' can be chosen with --device")
    card = shutil.which("nvidia-smi") is not None
    mend = "training takes minutes to hours: take --profile cpu, or train on a machine with a GPU"
    if card:
        mend = "there is an NVIDIA card, but this torch cannot use it: update the driver, or install torch for CUDA"
    return Check(name="Computing", state="note", found=f"{found}; no GPU is used", mend=mend)


def _codecs() -> Check:
    """Codecs that compressed slides and slices need."""
    import imagecodecs

    missing = [name for name, key in _CODECS.items() if not getattr(imagecodecs, key).available]
    if missing:
        return Check(
            name="Codecs",
            state="fault",
            found=f"imagecodecs lacks {', '.join(missing)}",
            mend="pip install --upgrade imagecodecs (conda builds may leave codecs out)",
        )
    return Check(name="Codecs", state="ok", found=", ".join(_CODECS))


def _machine() -> Check:
    import psutil  # type: ignore[import-untyped]  # it ships no types

    memory = psutil.virtual_memory().total
    cores = len(psutil.Process().cpu_affinity()) if hasattr(psutil.Process, "cpu_affinity") else psutil.cpu_count()
    found = f"{cores} cores, {memory / 2**30:.0f} GB memory"
    if memory < _LITTLE_MEMORY:
        return Check(
            name="Machine", state="note", found=found, mend="choose small inputs and batches when training (--set)"
        )
    return Check(name="Machine", state="ok", found=found)


def _writable(folder: Path) -> Check:
    """Whether results can be written, and how much."""
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"napari-medseg")
        free = shutil.disk_usage(folder).free
    except OSError as error:
        return Check(
            name="Folder",
            state="fault",
            found=f"{folder} cannot be written to ({error.strerror or error})",
            mend="choose another folder, or ask for the right to write there",
        )
    little = free < _LITTLE_SPACE
    return Check(
        name="Folder",
        state="note" if little else "ok",
        found=f"{folder} can be written to, {free / 2**30:.0f} GB free",
        mend="free some space: labels of a slide or a training may not fit" if little else "",
    )


def _extras() -> Iterator[Check]:
    for extra, (modules, purpose) in EXTRAS.items():
        here = all(util.find_spec(module) is not None for module in modules)
        yield Check(
            name=f"[{extra}]",
            state="ok" if here else "note",
            found=purpose if here else f"not installed: {purpose}",
            mend="" if here else f'pip install "napari-medseg[{extra}]"',
        )


def _ask(program: str) -> tuple[dict[str, Any] | None, str]:
    """The answer of a Python program in a process of its own, or None and what went wrong there."""
    environment = {**os.environ, "NAPARI_CONFIG": ""}
    try:
        done = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, timeout=_PATIENCE, env=environment
        )
    except subprocess.TimeoutExpired:
        return None, f"no answer after {_PATIENCE:.0f} seconds"
    with contextlib.suppress(ValueError, IndexError):
        answer: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
        return answer, ""
    lines = done.stderr.strip().splitlines()
    return None, lines[-1] if lines else f"it ended with {done.returncode}"
