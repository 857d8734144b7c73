"""Labels of a case saved for other programs and taken over from them, and what may not happen to drawn ones."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
from qtpy.QtWidgets import QFileDialog

from napari_medseg.data.dataset import Dataset
from napari_medseg.data.dataset_file import mask_classes
from napari_medseg.errors import ConfigError, DatasetError
from napari_medseg.io import read, read_labels
from napari_medseg.structures import DatasetInfo
from napari_medseg.widgets.adding import add_files
from napari_medseg.widgets.cases_panel import CasesPanel
from napari_medseg.widgets.exchanging import save_case_labels, take_labels
from napari_medseg.widgets.session import session_of
from tests.io.volume.writers import voxels, write_series

pytestmark = pytest.mark.viewer


@pytest.fixture
def session(make_napari_viewer, tmp_path):
    """A case of a CT with a liver of four voxels."""
    series = write_series(tmp_path / "series", voxels(6, 30, 20), FrameOfReferenceUID="1.2.3")
    info = DatasetInfo(name="ct", kind="ct", classes=mask_classes(["liver", "tumour"]))
    dataset = Dataset.create(tmp_path / "data", info)
    add_files(dataset, [series], {})
    session = session_of(make_napari_viewer())
    session.open_dataset(dataset.path)
    session.open_case(dataset.cases[0].case)
    session.open.locks.set_box(((2, 3), (4, 6), (7, 9)), np.full((1, 2, 2), 1, np.uint8))
    yield session
    session.close_case()


def _menu(panel: CasesPanel) -> list[str]:
    panel._fill_menu()
    return [action.text() for action in panel._menu.actions()]


@pytest.mark.parametrize(("name", "kind"), [("a.nii.gz", "NIfTI (*.nii.gz)"), ("a.dcm", "DICOM SEG (*.dcm)")])
def test_the_menu_saves_what_is_on_screen_where_its_image_lies(
    session, qtbot, tmp_path, monkeypatch, name, kind
) -> None:
    pytest.importorskip("highdicom")
    panel = CasesPanel(session.viewer)
    qtbot.addWidget(panel)
    assert "Save labels as NIfTI or DICOM SEG…" in _menu(panel)
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(tmp_path / "a"), kind))
    next(action for action in panel._menu.actions() if action.text().startswith("Save labels")).trigger()
    found = read_labels(tmp_path / name)
    image = read(tmp_path / "series")
    assert found.affine is not None
    # A SEG keeps only planes with labels: here one, which opens as a picture.
    index = np.argwhere(np.atleast_3d(np.asarray(found.labels).T).T == 1)
    assert len(index) == 4
    np.testing.assert_allclose((found.affine @ [*index[0], 1])[:3], (image.affine @ [2, 4, 7, 1])[:3], atol=1e-3)


def test_nothing_is_offered_without_a_case(make_napari_viewer, qtbot) -> None:
    panel = CasesPanel(make_napari_viewer())
    qtbot.addWidget(panel)
    assert not [text for text in _menu(panel) if "labels" in text]
    with pytest.raises(DatasetError, match="No case is open"):
        take_labels(panel.session, "x")


def test_labels_are_taken_over_by_name_and_leave_drawn_ones_alone(session, tmp_path) -> None:
    pytest.importorskip("highdicom")
    labels = session.open.labels.data
    save_case_labels(session, tmp_path / "a.dcm")
    drawn = np.asarray(labels).copy()
    # Another program's: a tumour over the liver's first voxel and beside it.
    other = np.zeros(labels.shape, np.uint8)
    other[2, 4, 6:8] = 2
    affine = nib.load(save_case_labels(session, tmp_path / "b.nii.gz").path).affine
    nib.save(nib.Nifti1Image(other.transpose(2, 1, 0), affine), tmp_path / "other.nii.gz")
    assert take_labels(session, tmp_path / "other.nii.gz") == (1, ())
    expected = drawn.copy()
    expected[2, 4, 6] = 2
    np.testing.assert_array_equal(session.open.labels.data, expected)
    session.open.labels.undo()
    np.testing.assert_array_equal(session.open.labels.data, drawn)
    # The SEG that was saved before brings back what is erased meanwhile.
    session.open.locks.set_box(((2, 3), (4, 6), (7, 9)), np.zeros((1, 2, 2), np.uint8))
    assert take_labels(session, tmp_path / "a.dcm")[0] == 4


def test_values_and_classes_that_are_not_known_are_sentences(session, tmp_path) -> None:
    affine = nib.load(save_case_labels(session, tmp_path / "b.nii.gz").path).affine
    other = np.zeros((20, 30, 6), np.uint8)
    other[0, 0, 0] = 9
    nib.save(nib.Nifti1Image(other, affine), tmp_path / "nine.nii.gz")
    with pytest.raises(DatasetError, match=r"no class of the data set \(9\)"):
        take_labels(session, tmp_path / "nine.nii.gz")


def test_a_picture_has_no_series_to_refer_to(make_napari_viewer, tmp_path) -> None:
    pytest.importorskip("highdicom")
    from napari_medseg.hooks import write_layer

    layer = make_napari_viewer().add_labels(np.eye(4, dtype=np.uint8))
    data, attributes, _ = layer.as_layer_data_tuple()
    with pytest.raises(ConfigError, match="not made on a DICOM series"):
        write_layer(str(tmp_path / "a.dcm"), data, attributes)
    write_layer(str(tmp_path / "a.nii.gz"), data, attributes)
    np.testing.assert_array_equal(np.asarray(read_labels(tmp_path / "a.nii.gz").labels), np.eye(4))
