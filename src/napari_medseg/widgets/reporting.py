"""A report about a result on screen, as one picture."""

from __future__ import annotations

from pathlib import Path

from napari.layers import Image as ImageLayer
from qtpy.QtWidgets import QFileDialog, QWidget

from napari_medseg.api.reports import Findings, write_report
from napari_medseg.data.forms import lines_of, tirads_of
from napari_medseg.data.naming import file_name
from napari_medseg.io.model_file import identity, read_model
from napari_medseg.widgets.layer_images import image_of_layer
from napari_medseg.widgets.result_rows import Result
from napari_medseg.widgets.session import Session


def ask_where_to_report(parent: QWidget, session: Session, result: Result) -> Path | None:
    """A file that the person names; None when they think better of it."""
    folder = Path.home() if session.dataset is None else session.dataset.path
    proposed = folder / f"{file_name(result.title)} report.png"
    name, _ = QFileDialog.getSaveFileName(parent, "Save the report", str(proposed), "Pictures (*.png)")
    return Path(name).with_suffix(".png") if name else None


def report_result(session: Session, result: Result, model: Path, path: Path) -> Path:
    """Write the report of a result, with what the form of its case says.

    Parameters
    ----------
    model
        File of the model that the result is from.

    Raises
    ------
    MedsegError
        The case's form or the model's file cannot be read, or the report cannot be written.
    """
    assert isinstance(result.beside, ImageLayer), "reports are of results on screen"
    assert result.prediction is not None, "reports are of results on screen"
    image, findings, dataset = image_of_layer(result.beside, session), Findings(), session.dataset
    if dataset is not None and result.case:
        findings = Findings(
            tirads=tirads_of(dataset.path, result.case),
            lines=lines_of(dataset.path, result.case, axes=len(image.spatial_shape)),
            tag=dataset.case(result.case).tag,
        )
    return write_report(
        path,
        image,
        result.prediction,
        model=result.model,
        identity=identity(*read_model(model)),
        title=result.title,
        findings=findings,
    )
