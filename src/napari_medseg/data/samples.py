"""Generated data sets, one per scheme, to try things on before one has images of one's own."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping

from napari_medseg.data import synthetic, synthetic_ultrasound
from napari_medseg.data.dataset import Dataset
from napari_medseg.data.synthetic_ct import make_ct_dataset
from napari_medseg.data.synthetic_oct import make_oct_dataset
from napari_medseg.errors import InputNotFoundError

Folder = str | os.PathLike[str]

#: What `make_sample_set` makes, by scheme.
SAMPLE_SETS: Mapping[str, Callable[[Folder], Dataset]] = {
    "pathology": lambda folder: synthetic.make_dataset(folder, n=40),
    "oct": lambda folder: make_oct_dataset(folder, n=24, subjects=12, size=(256, 384)),
    "boosting": lambda folder: make_ct_dataset(folder, 16, (32, 96, 120)),
    "fibrosis": lambda folder: make_ct_dataset(folder, 30, (32, 96, 120)),
    "thyroid": lambda folder: synthetic_ultrasound.make_dataset(folder, n=80),
}


def make_sample_set(scheme: str, folder: Folder) -> Dataset:
    """Draw a small labelled data set that a scheme can be trained on in minutes, split by its made-up patients.

    Parameters
    ----------
    scheme
        Key of a scheme.
    folder
        A new or empty folder.

    Raises
    ------
    InputNotFoundError
        There is no such scheme.
    DatasetError, WriteError
        The folder holds something already, or cannot be written.
    """
    if scheme not in SAMPLE_SETS:
        raise InputNotFoundError(f"There is no sample of scheme '{scheme}': choose one of {', '.join(SAMPLE_SETS)}.")
    dataset = SAMPLE_SETS[scheme](folder)
    dataset.split(redraw=True)
    return Dataset.open(dataset.path)
