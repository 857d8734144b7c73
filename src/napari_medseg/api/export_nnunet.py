"""Data sets as raw data of nnU-Net, version 2.

Source: https://github.com/MIC-DKFZ/nnUNet/blob/master/documentation/dataset_format.md and ``ignore_label.md``,
``manual_data_splits.md`` beside it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import tifffile

from napari_medseg.data.dataset import Dataset
from napari_medseg.data.importing.nnunet import (
    BACKGROUND_NAME,
    FILE_NAME,
    FIRST_CHANNEL,
    IGNORE_NAME,
    IMAGES,
    LABELS,
    TEST_IMAGES,
    TEST_LABELS,
)
from napari_medseg.data.label_files import open_labels
from napari_medseg.data.making import made_at_once, refuse_full_folder
from napari_medseg.data.naming import file_name
from napari_medseg.errors import ConfigError, DatasetError
from napari_medseg.io.atomic import replacing, write_text
from napari_medseg.io.labels import orientation_of
from napari_medseg.io.pictures import is_png_type, write_png
from napari_medseg.io.slide.facts import is_slide
from napari_medseg.io.volume.nifti_writer import write_nifti
from napari_medseg.structures import BACKGROUND, NOT_LOOKED_AT, Case, Image, Progress

#: Folds that nnU-Net reads from ``nnUNet_preprocessed/<data set>``.
SPLITS = "splits_final.json"
Ending = Literal[".png", ".tif", ".nii.gz"]
Pixels = npt.NDArray[Any]
#: nnU-Net normalises channels of these names in their own way, or tells people what they are.
_CHANNELS = {"ct": "CT", "mr": "MR", "oct": "OCT", "ultrasound": "US"}


@dataclass(slots=True)
class _Written:
    """What is known once all cases are written."""

    channels: tuple[str, ...] = ()
    unseen: list[str] = field(default_factory=list)
    training: int = 0
    folds: dict[str, list[str]] = field(default_factory=lambda: {"train": [], "val": []})


def export_nnunet(
    dataset: Dataset, cases: Sequence[Case], out: Path, *, progress: Progress | None = None
) -> tuple[list[Path], list[str]]:
    """Write images, labels, ``dataset.json`` and the split; test cases go to ``imagesTs`` and ``labelsTs``.

    Classes are numbered from 1 without a gap. Places that nobody looked at become nnU-Net's ignore label. Flat images
    are PNG, or TIFF where their pixels need it; volumes are NIfTI, lying where the image lies.

    Parameters
    ----------
    cases
        Finished cases with labels.
    out
        New or empty folder; nnU-Net wants it to be called ``DatasetNNN_NAME``.

    Returns
    -------
    ``dataset.json`` and the label files, and sentences for people.

    Raises
    ------
    ConfigError, DatasetError
        The cases are not all flat or all volumes, one is a whole slide or a film, or they differ in their channels.
    WriteError
        The folder cannot be written.
    """
    refuse_full_folder(out)
    ending = _ending([dataset.read_image(case) for case in cases], cases)
    ignore = len(dataset.info.classes) + 1
    table = np.full(256, BACKGROUND, np.uint8)
    table[[c.value for c in dataset.info.classes]] = range(1, ignore)
    table[NOT_LOOKED_AT] = ignore
    written, files = _Written(), [out / FILE_NAME]
    with made_at_once(out) as folder:
        for number, case in enumerate(cases):
            if progress is not None:
                progress(number, len(cases), case.case)
            files.append(out / _write_case(folder, dataset, case, ending, table, written))
        names = [c.name for c in dataset.info.classes]
        labels = {BACKGROUND_NAME: 0, **{name: value for value, name in enumerate(names, start=1)}}
        document = {
            "channel_names": {str(number): name for number, name in enumerate(written.channels)},
            "labels": labels | ({IGNORE_NAME: ignore} if written.unseen else {}),
            "numTraining": written.training,
            "file_ending": ending,
            "name": dataset.info.name,
        }
        write_text(folder / FILE_NAME, json.dumps(document, indent=2))
        if written.folds["train"] and written.folds["val"]:
            write_text(folder / SPLITS, json.dumps([written.folds], indent=2))
    return files, list(_notes(written, out))


def _notes(written: _Written, out: Path) -> list[str]:
    notes = []
    if written.unseen:
        notes.append(f"{len(written.unseen)} cases have places that nobody looked at: nnU-Net's label '{IGNORE_NAME}'.")
    if written.folds["train"] and written.folds["val"]:
        notes.append(f"Copy {SPLITS} into nnUNet_preprocessed/{out.name} to train on the same split (fold 0).")
    return notes


def _ending(images: Sequence[Image], cases: Sequence[Case]) -> Ending:
    """The one file ending that all images of nnU-Net's data set share."""
    for image, case in zip(images, cases, strict=True):
        if is_slide(image):
            raise ConfigError(
                f"Case '{case.case}' is a whole slide, which nnU-Net does not read: make cases of regions of it."
            )
        if "t" in image.axes:
            raise ConfigError(f"Case '{case.case}' is a film, which nnU-Net does not read: leave it out.")
    axes = {len(image.spatial_shape) for image in images}
    if len(axes) > 1:
        raise ConfigError("Some cases are flat and others volumes, but nnU-Net wants one kind: export two data sets.")
    if axes == {3}:
        return ".nii.gz"
    fits = all(is_png_type(_files(image, np.empty((image.num_channels, 1, 1), image.dtype))[0]) for image in images)
    # Programs shorten colours of 16 bits in a PNG.
    deep = any(image.rgb and image.dtype != np.uint8 for image in images)
    return ".png" if fits and not deep else ".tif"


def _files(image: Image, pixels: Pixels) -> list[Pixels]:
    """What goes into a file each: colours together, other channels apart; `pixels` has the channels first."""
    return [np.moveaxis(pixels, 0, -1)] if image.rgb else list(pixels)


def _channel_names(image: Image) -> tuple[str, ...]:
    if image.rgb:
        return ("R", "G", "B")
    if image.num_channels == 1:
        return (_CHANNELS.get(image.kind, "grey"),)
    return image.channels or tuple(f"channel {number}" for number in range(image.num_channels))


def _write_case(
    folder: Path, dataset: Dataset, case: Case, ending: Ending, table: npt.NDArray[np.uint8], written: _Written
) -> Path:
    image, path = dataset.read_image(case), dataset.current_label_path(case)
    assert path is not None, "only cases with labels are exported"
    channels = _channel_names(image)
    if written.channels and channels != written.channels:
        have, others = ", ".join(channels), ", ".join(written.channels)
        raise DatasetError(f"Case '{case.case}' has the channels {have}, but others {others}: export them apart.")
    written.channels = channels
    labels = table[np.asarray(open_labels(path)[...])]
    name = file_name(case.case)
    if (labels == table[NOT_LOOKED_AT]).any():
        written.unseen.append(case.case)
    is_test = case.split == "test"
    written.training += not is_test
    if case.split in written.folds:
        written.folds[case.split].append(name)
    channel_of = FIRST_CHANNEL[:-4] + "{:04}"
    for number, pixels in enumerate(_files(image, image.region())):
        target = folder / (TEST_IMAGES if is_test else IMAGES) / f"{name}{channel_of.format(number)}{ending}"
        _write(target, pixels, image, ending)
    inside = Path(TEST_LABELS if is_test else LABELS) / f"{name}{ending}"
    _write(folder / inside, labels, image, ending)
    return inside


def _write(path: Path, pixels: Pixels, image: Image, ending: Ending) -> None:
    if ending == ".png":
        write_png(path, pixels)
    elif ending == ".tif":
        with replacing(path) as temporary:
            tifffile.imwrite(temporary, pixels, compression="zlib", photometric="rgb" if image.rgb else "minisblack")
    else:
        place: dict[str, Any] = {"affine": image.affine, "spacing": image.spacing, "units": image.units}
        write_nifti(path, pixels, **place, orientation=orientation_of(image))
