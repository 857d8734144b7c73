"""The functions behind every door: the command line, the panels and notebooks all call these.

Everything is loaded on first use, so that importing this package costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_medseg.api.comparison import compare
    from napari_medseg.api.contradictions import find_contradictions
    from napari_medseg.api.evaluation import evaluate
    from napari_medseg.api.exporting import export_dataset, export_labels, labels_onto
    from napari_medseg.api.measuring import MeasureOptions, measure
    from napari_medseg.api.models import list_models, promote_model, roll_back_model
    from napari_medseg.api.next_label import next_cases
    from napari_medseg.api.prediction import LoadedModel, as_image, bundled_model, load_model, predict
    from napari_medseg.api.prediction_files import predict_files
    from napari_medseg.api.quality import calibrate_quality, expected_quality
    from napari_medseg.api.refining import StrokeCorrector
    from napari_medseg.api.reports import write_report
    from napari_medseg.api.reproduction import reproduce
    from napari_medseg.api.slides import SlideOptions, predict_slide
    from napari_medseg.api.training import estimate, train
    from napari_medseg.io import describe, read

_HOMES = {
    "describe": "napari_medseg.io",
    "read": "napari_medseg.io",
    "train": "napari_medseg.api.training",
    "estimate": "napari_medseg.api.training",
    "LoadedModel": "napari_medseg.api.prediction",
    "bundled_model": "napari_medseg.api.prediction",
    "load_model": "napari_medseg.api.prediction",
    "predict": "napari_medseg.api.prediction",
    "predict_files": "napari_medseg.api.prediction_files",
    "SlideOptions": "napari_medseg.api.slides",
    "predict_slide": "napari_medseg.api.slides",
    "MeasureOptions": "napari_medseg.api.measuring",
    "measure": "napari_medseg.api.measuring",
    "export_dataset": "napari_medseg.api.exporting",
    "export_labels": "napari_medseg.api.exporting",
    "labels_onto": "napari_medseg.api.exporting",
    "evaluate": "napari_medseg.api.evaluation",
    "compare": "napari_medseg.api.comparison",
    "find_contradictions": "napari_medseg.api.contradictions",
    "calibrate_quality": "napari_medseg.api.quality",
    "expected_quality": "napari_medseg.api.quality",
    "list_models": "napari_medseg.api.models",
    "promote_model": "napari_medseg.api.models",
    "roll_back_model": "napari_medseg.api.models",
    "next_cases": "napari_medseg.api.next_label",
    "StrokeCorrector": "napari_medseg.api.refining",
    "as_image": "napari_medseg.api.prediction",
    "reproduce": "napari_medseg.api.reproduction",
    "write_report": "napari_medseg.api.reports",
}

__all__ = [
    "LoadedModel",
    "MeasureOptions",
    "SlideOptions",
    "StrokeCorrector",
    "as_image",
    "bundled_model",
    "calibrate_quality",
    "compare",
    "describe",
    "estimate",
    "evaluate",
    "expected_quality",
    "export_dataset",
    "export_labels",
    "find_contradictions",
    "labels_onto",
    "list_models",
    "load_model",
    "measure",
    "next_cases",
    "predict",
    "predict_files",
    "predict_slide",
    "promote_model",
    "read",
    "reproduce",
    "roll_back_model",
    "train",
    "write_report",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
