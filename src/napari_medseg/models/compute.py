"""On which device, in which precision and memory format networks run, and how that is chosen."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar, cast, get_args

from napari_medseg.errors import ConfigError, WriteError
from napari_medseg.io.atomic import write_text
from napari_medseg.models.allocator import keep_freed_memory
from napari_medseg.models.guard import guard_torch_import

# Whoever chooses a device trains or predicts next.
guard_torch_import()

import torch  # noqa: E402 - after the guard
from torch import nn  # noqa: E402 - after the guard

Precision = Literal["fp32", "bf16"]
M = TypeVar("M", bound=nn.Module)

#: A CPU must be at least this much faster in bf16 before it gives up digits.
_WORTH_FEWER_DIGITS = 1.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Compute:
    """How networks are run.

    Parameters
    ----------
    device
        Name that torch understands: ``"cpu"``, ``"cuda:0"``, ``"mps"``.
    precision
        ``"bf16"`` runs convolutions in 16 bits under autocast; weights stay in 32 bits.
    channels_last
        Whether 2D images and weights lie in memory with the channels last.
    threads
        Threads of the CPU.
    reason
        How it was chosen, for people.
    """

    device: str
    precision: Precision
    channels_last: bool
    threads: int
    reason: str = ""

    def __str__(self) -> str:
        order = ", channels last" if self.channels_last else ""
        threads = f", {self.threads} threads" if self.device == "cpu" else ""
        reason = f" ({self.reason})" if self.reason else ""
        return f"{self.device}, {self.precision}{order}{threads}{reason}"

    def activate(self) -> None:
        """Set the threads, the deterministic algorithms and the keeping of memory of this process."""
        keep_freed_memory()
        self.limit_threads()
        if self.device.startswith("cuda"):
            # Read by cuBLAS at its first use; without it matrix products are not repeatable.
            os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        # On a GPU some backward passes have no deterministic form; there torch warns and goes on.
        torch.use_deterministic_algorithms(True, warn_only=self.device != "cpu")
        # Nothing here reads memory that it has not written, so filling it first would only cost time.
        vars(torch.utils)["deterministic"].fill_uninitialized_memory = False

    def limit_threads(self) -> None:
        """Let networks of this process use so many threads of the CPU."""
        torch.set_num_threads(self.threads)

    def autocast(self, trained: torch.Tensor | None = None) -> contextlib.AbstractContextManager[Any]:
        """Context in which a forward pass runs in the chosen precision.

        Parameters
        ----------
        trained
            Images (b, c, [z,] y, x) that a backward pass follows on. Volumes are trained in 32 bits on a CPU: torch
            2.15 computes gradients of some 3D convolutions wrongly there in 16 (64 channels on 2 x 4 x 4 voxels, say).
        """
        if self.precision == "fp32":
            return contextlib.nullcontext()
        if trained is not None and trained.ndim == 5 and self.device == "cpu":
            return contextlib.nullcontext()
        return torch.autocast(torch.device(self.device).type, dtype=torch.bfloat16)

    def prepare(self, model: M) -> M:
        """The model, moved to the device and the memory format; in place."""
        model.to(self.device)
        if self.channels_last:
            for weight in model.parameters():
                # Only the weights of 2D convolutions have four axes; those of 3D stay as they are.
                if weight.ndim == 4:
                    weight.data = weight.data.contiguous(memory_format=torch.channels_last)
        return model

    def prepare_inference(self, model: M) -> M:
        """The model on the device, in eval mode, without gradients; in place."""
        return self.prepare(model).eval().requires_grad_(False)

    def to(self, images: torch.Tensor) -> torch.Tensor:
        """Images (b, c, [z,] y, x) on the device, in the memory format of the weights."""
        if self.channels_last and images.ndim == 4:
            return images.to(self.device, non_blocking=True, memory_format=torch.channels_last)
        return images.to(self.device, non_blocking=True)

    def is_out_of_memory(self, error: RuntimeError) -> bool:
        """Whether an error of torch says that memory is short (the CPU's allocator has no class of its own)."""
        return isinstance(error, torch.OutOfMemoryError) or "DefaultCPUAllocator" in str(error)


def choose_compute(
    device: str | None = None,
    precision: str | None = None,
    threads: int | None = None,
    *,
    channels_last: bool | None = None,
    training: bool = False,
) -> Compute:
    """How to run networks on this machine; what is given is kept, the rest is chosen.

    A CUDA device is preferred, in bf16 where it can. On a CPU the four combinations of precision and memory format are
    timed once (about a second) and remembered per machine: bf16 is several times faster on some CPUs and several times
    slower on others, and what the CPU claims to support does not tell which.

    Parameters
    ----------
    device, precision, threads, channels_last
        Fixed by the caller where not None.
    training
        Time a training step rather than a forward pass.

    Raises
    ------
    ConfigError
        The device is not here, or the precision is unknown.
    """
    device = _checked_device(device)
    if precision is not None and precision not in get_args(Precision):
        raise ConfigError(f"Precision '{precision}' is unknown: choose one of {', '.join(get_args(Precision))}.")
    if threads is not None and threads < 1:
        raise ConfigError(f"{threads} threads cannot compute anything: give 1 or more, or leave it empty.")
    threads = threads or torch.get_num_threads()
    wanted = cast("Precision | None", precision)
    if not device.startswith("cpu"):
        fast = device.startswith("cuda") and torch.cuda.is_bf16_supported()
        chosen: Precision = wanted or ("bf16" if fast else "fp32")
        last = channels_last if channels_last is not None else chosen == "bf16"
        return Compute(device=device, precision=chosen, channels_last=last, threads=threads, reason=_name(device))
    if wanted is not None and channels_last is not None:
        return Compute(device=device, precision=wanted, channels_last=channels_last, threads=threads, reason="as set")
    times = _remembered_times(threads, training)
    allowed = {
        (each, last): seconds
        for (each, last), seconds in times.items()
        if wanted in (None, each) and channels_last in (None, last)
    }
    best = min(allowed, key=lambda option: allowed[option] * (_WORTH_FEWER_DIGITS if option[0] == "bf16" else 1.0))
    gain = times["fp32", False] / times[best]
    reason = f"{gain:.1f} x as fast as fp32 with channels first, timed on this machine"
    return Compute(device=device, precision=best[0], channels_last=best[1], threads=threads, reason=reason)


def usual_threads() -> int:
    """Threads that networks use where nobody says otherwise."""
    return torch.get_num_threads()


def visible_devices() -> list[str]:
    """The CUDA devices that this process may use, as ``CUDA_VISIBLE_DEVICES`` names them; uses none of them."""
    count = torch.cuda.device_count()
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    return [str(number) for number in range(count)] if given is None else given.split(",")[:count]


def _checked_device(device: str | None) -> str:
    if device is None:
        return "cuda:0" if torch.cuda.is_available() else "cpu"
    try:
        known = torch.device(device)
    except RuntimeError:
        raise ConfigError(f"Device '{device}' is unknown: use 'cpu', 'cuda', 'cuda:1' or 'mps'.") from None
    if known.type == "cuda":
        count = torch.cuda.device_count()
        if (known.index or 0) >= count:
            raise ConfigError(f"Device '{device}' is not here ({count} found): use 'cpu', or check the driver.")
        return f"cuda:{known.index or 0}"
    if known.type == "mps" and not torch.backends.mps.is_available():
        raise ConfigError("Device 'mps' is not here: it needs a Mac with Apple silicon; use 'cpu'.")
    return device


def _name(device: str) -> str:
    return torch.cuda.get_device_name(device) if device.startswith("cuda") else platform.processor()


Times = dict[tuple[Precision, bool], float]


def _remembered_times(threads: int, training: bool) -> Times:
    """Seconds per (precision, channels last), from the cache of this machine or measured now."""
    path = _cache_folder() / "compute.json"
    key = f"{_cpu_model()} | torch {torch.__version__} | {threads} threads | {'train' if training else 'predict'}"
    key += f" | {os.environ.get('ONEDNN_MAX_CPU_ISA', '')}"
    known: dict[str, Any] = {}
    # A cache that is missing or damaged is made anew.
    with contextlib.suppress(OSError, ValueError):
        known = json.loads(path.read_text("utf-8"))
    try:
        return {(p, last): float(known[key][f"{p} {last}"]) for p, last in _OPTIONS}
    except (KeyError, TypeError, ValueError):
        times = _measure(threads, training)
    known = known if isinstance(known, dict) else {}
    known[key] = {f"{p} {last}": seconds for (p, last), seconds in times.items()}
    # A home that cannot be written to costs a second at each start, nothing else.
    with contextlib.suppress(WriteError):
        write_text(path, json.dumps(known, indent=1))
    return times


_OPTIONS: tuple[tuple[Precision, bool], ...] = (("fp32", False), ("fp32", True), ("bf16", False), ("bf16", True))


def _measure(threads: int, training: bool) -> Times:
    """Time a small stack of convolutions in each combination; the fastest of three passes counts."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with _own_random_state():
            return {option: _time_option(*option, training) for option in _OPTIONS}
    finally:
        torch.set_num_threads(before)


def _time_option(precision: Precision, channels_last: bool, training: bool) -> float:
    compute = Compute(device="cpu", precision=precision, channels_last=channels_last, threads=1)
    layers = [nn.Conv2d(32, 64, 3, padding=1), nn.BatchNorm2d(64), nn.ReLU(), nn.Conv2d(64, 64, 3, padding=1)]
    model = compute.prepare(nn.Sequential(*layers).train(training))
    images = compute.to(torch.randn(2, 32, 96, 96))
    seconds = []
    for _ in range(4):
        start = time.perf_counter()
        with torch.set_grad_enabled(training), compute.autocast():
            mean = model(images).float().mean()
        if training:
            mean.backward()
        seconds.append(time.perf_counter() - start)
    return min(seconds[1:])  # the first pass prepares kernels


@contextlib.contextmanager
def _own_random_state() -> Iterator[None]:
    """Leave the caller's random numbers as they are: a cached answer must shift nothing."""
    state = torch.get_rng_state()
    try:
        yield
    finally:
        torch.set_rng_state(state)


def _cpu_model() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _cache_folder() -> Path:
    """The user's folder for things that can be made anew, by the custom of each system."""
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or str(Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = str(Path.home() / "Library" / "Caches")
    else:
        base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base, "napari-medseg")
