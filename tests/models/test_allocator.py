"""Freed memory stays with the process while it is wanted, and goes back afterwards."""

from __future__ import annotations

import subprocess
import sys

import pytest

_SCRIPT = """
import resource
import numpy as np
from napari_medseg.models.allocator import kept_memory

def faults(times):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(times):
        np.full(16 * 2**20, 1, np.uint8)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize()

start = resident()
with kept_memory():
    with kept_memory():
        faults(1)
    inner = faults(5)
    kept = resident()
print(inner, kept - start, resident() - start)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only glibc is told to keep memory")
def test_blocks_are_used_again_inside_and_given_back_at_the_end() -> None:
    done = subprocess.run([sys.executable, "-c", _SCRIPT], capture_output=True, text=True, check=True)
    faults, kept, left = map(int, done.stdout.split())
    assert faults < 100  # five fresh blocks of 16 MiB would be 20,480 pages of 4 KiB
    assert kept > 15 * 2**20
    assert left < 4 * 2**20
