"""Arrays in MATLAB files, against scipy's reader, and damaged ones in a process that must survive."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import scipy.io
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_medseg.io.oct.mat5 import read_arrays

NUMBERS = st.sampled_from(["u1", "i1", "u2", "i2", "u4", "i4", "f4", "f8", "i8", "u8"])


@settings(deadline=None, max_examples=60)
@given(hnp.arrays(NUMBERS, hnp.array_shapes(min_dims=2, max_dims=3, max_side=6)), st.booleans())
def test_arrays_are_what_scipy_reads(
    tmp_path_factory: pytest.TempPathFactory, array: npt.NDArray[np.generic], compressed: bool
) -> None:
    path = tmp_path_factory.mktemp("mat") / "a.mat"
    scipy.io.savemat(path, {"images": array, "other": np.arange(5)}, do_compression=compressed)
    expected = scipy.io.loadmat(path)["images"]
    found = read_arrays(path, ["images"])
    assert set(found) == {"images"}
    assert found["images"].dtype == expected.dtype
    np.testing.assert_array_equal(found["images"], expected)


def test_what_is_no_array_of_numbers_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "a.mat"
    cell = np.empty((1, 2), object)
    cell[0, 0], cell[0, 1] = "text", np.ones(3)
    scipy.io.savemat(path, {"cell": cell, "text": "abc", "complex": np.ones((2, 2)) * 1j, "struct": {"a": 1.0}})
    assert read_arrays(path, ["cell", "text", "complex", "struct"]) == {}


@settings(deadline=None, max_examples=300)
@given(st.data())
def test_damage_ends_in_a_value_error_or_in_arrays(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("mat") / "a.mat"
    scipy.io.savemat(path, {"images": np.arange(60.0).reshape(3, 4, 5)}, do_compression=data.draw(st.booleans()))
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(124, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(bytes(content[: data.draw(st.integers(len(content) // 2, len(content)))]))
    try:
        found = read_arrays(path, ["images"])
    except ValueError:
        return
    assert all(isinstance(array, np.ndarray) for array in found.values())
