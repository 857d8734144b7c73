"""Keep the first import of torch from ending a process that shows a window.

The Linux wheels of torch bring triton, which exports symbols of its own LLVM. Mesa's software renderer, which a napari
window uses on machines without a GPU driver, maps another LLVM; when triton is loaded after it, the process ends with
a segmentation fault (tensorflow/tensorflow#124205, pytorch/pytorch#96060). torch loads triton when an optimiser or
torchvision is first used, so a lazy import of torch in a worker thread would end napari.
"""

from __future__ import annotations

import sys
from pathlib import Path


def guard_torch_import() -> None:
    """Hide triton from torch where loading it would end the process; call before importing torch, any number of times.

    Without triton only ``torch.compile`` is lost, which this package does not use. Does nothing where triton is loaded
    already, where no LLVM is mapped into the process, and on other systems than Linux.
    """
    if "triton" in sys.modules or not sys.platform.startswith("linux"):
        return
    try:
        mapped = Path("/proc/self/maps").read_text(errors="replace")
    except OSError:
        return  # no /proc in this sandbox: nothing can be said of the mapped libraries
    if "libLLVM" in mapped:
        # An entry of None makes `import triton` raise ImportError, which torch takes as "not installed".
        sys.modules["triton"] = None  # type: ignore[assignment]  # documented way to bar an import
