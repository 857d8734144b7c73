"""NIfTI labels in the order of axes of the scan that they belong to."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from napari_medseg.api.exporting import write_labels_of_image
from napari_medseg.io import read, read_labels

axes = st.permutations([("L", "R"), ("P", "A"), ("I", "S")])


@settings(max_examples=24, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pairs=axes, ends=st.tuples(*[st.integers(0, 1)] * 3))
def test_labels_come_back_voxel_by_voxel_whatever_way_the_file_counts(tmp_path: Path, pairs, ends) -> None:
    codes = "".join(pair[end] for pair, end in zip(pairs, ends, strict=True))
    drawn = np.arange(3 * 4 * 5, dtype=np.uint8).reshape(3, 4, 5)
    straight = nibabel.Nifti1Image(
        drawn, np.array([[0.7, 0, 0, -9], [0, 0.8, 0.1, 4], [0, -0.1, 2.5, 30], [0, 0, 0, 1]])
    )
    wanted = nibabel.orientations.axcodes2ornt(codes)
    turned = straight.as_reoriented(
        nibabel.orientations.ornt_transform(nibabel.orientations.io_orientation(straight.affine), wanted)
    )
    nibabel.save(turned, tmp_path / "ct.nii.gz")
    image = read(tmp_path / "ct.nii.gz")
    labels = read_labels(tmp_path / "ct.nii.gz").labels
    write_labels_of_image(tmp_path / "labels.nii.gz", labels, image, ())
    written = nibabel.load(tmp_path / "labels.nii.gz")
    np.testing.assert_array_equal(np.asarray(written.dataobj), np.asarray(turned.dataobj))
    np.testing.assert_allclose(written.affine, turned.affine, atol=1e-5)
