"""Labels as DICOM SEG that refers to the series that they were drawn on, by highdicom (MIT; extra ``dicom-seg``)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_medseg.errors import ConfigError, ReadError
from napari_medseg.io.atomic import replacing
from napari_medseg.io.oct.dicom import quiet
from napari_medseg.io.volume.dicom import series_slices
from napari_medseg.io.volume.dicom_header import Slice
from napari_medseg.io.volume.dicom_seg import VALUE_TEXT
from napari_medseg.structures import BACKGROUND, NOT_LOOKED_AT, ArrayLike, MaskClass

if TYPE_CHECKING:
    from pydicom import Dataset

_MAKER = "napari-medseg"
#: Far from the numbers that scanners give.
_SERIES_NUMBER = 9000
#: SNOMED CT codes and meanings by words in the names of classes; what has none is called tissue.
_TYPES = (
    (("tumor", "tumour", "lesion", "nodule", "mass", "cancer"), "4147007", "Mass"),
    (("liver",), "10200004", "Liver"),
    (("pancreas",), "15776009", "Pancreas"),
    (("spleen",), "78961009", "Spleen"),
    (("kidney",), "64033007", "Kidney"),
    (("lung",), "39607008", "Lung"),
    (("hippocampus",), "5366008", "Hippocampus"),
)
#: Elements that a SEG must have, empty or not.
_MANDATORY = (
    "PatientID",
    "PatientName",
    "PatientBirthDate",
    "PatientSex",
    "AccessionNumber",
    "ReferringPhysicianName",
    "StudyID",
    "StudyDate",
    "StudyTime",
)
_ABNORMAL = ("49755003", "Morphologically Abnormal Structure")
_ANATOMY = ("123037004", "Anatomical Structure")
_TISSUE = ("85756007", "Tissue")


def write_seg(
    path: Path,
    labels: ArrayLike,
    *,
    classes: Sequence[MaskClass],
    source: Path,
    series: int | None = None,
    model: str = "",
) -> Path:
    """Write labels as a binary segmentation, one segment per class.

    Parameters
    ----------
    path
        ``name.dcm``.
    labels
        Integer (z, y, x) or (y, x) on the grid of the series; "not looked at" (255) becomes background.
    classes
        What values mean; values without a class are refused.
    source, series
        The DICOM series that labels were drawn on, as `read` takes them. Patient, study and place are taken over
        from it into the file, which is what a SEG is for.
    model
        Name of the model that drew the labels; empty: a person did.

    Raises
    ------
    ConfigError
        The extra is not installed, or labels lie on another grid or have values without a class.
    ReadError
        `source` is no DICOM series or lacks what a SEG needs.
    WriteError
        The disk is full or read-only.
    """
    try:
        from highdicom.seg import Segmentation
    except ImportError:
        raise ConfigError(
            "Writing DICOM SEG needs the extra 'dicom-seg': pip install \"napari-medseg[dicom-seg]\"."
        ) from None
    from pydicom.uid import generate_uid

    voxels = np.asarray(labels[...])
    drawn = _declared(path, voxels, classes)
    images, planes = _aligned(voxels.reshape((1,) * (3 - voxels.ndim) + voxels.shape), source, series)
    segments = np.stack([planes == c.value for c in drawn], axis=-1)
    try:
        with quiet():
            dataset = Segmentation(
                source_images=images,
                pixel_array=segments,
                segmentation_type="BINARY",
                segment_descriptions=[_described(number, c, model) for number, c in enumerate(drawn, 1)],
                series_instance_uid=generate_uid(),
                series_number=_SERIES_NUMBER,
                sop_instance_uid=generate_uid(),
                instance_number=1,
                manufacturer=_MAKER,
                manufacturer_model_name=_MAKER,
                software_versions=_version(),
                device_serial_number="0",
                series_description="Segmentation",
            )
    except Exception:
        # Its words may quote the header.
        raise ReadError(
            f"{source} lacks elements that a DICOM SEG must take over (patient, study, frame of reference): "
            "export NIfTI instead."
        ) from None
    with replacing(path) as temporary:
        dataset.save_as(temporary)
    return path


def _declared(path: Path, voxels: npt.NDArray[Any], classes: Sequence[MaskClass]) -> list[MaskClass]:
    """Classes that occur; raises `ConfigError` for values that are none, or where nothing is drawn."""
    by_value = {c.value: c for c in classes}
    found = [int(value) for value in np.unique(voxels) if value not in (BACKGROUND, NOT_LOOKED_AT)]
    unknown = [value for value in found if value not in by_value]
    if unknown:
        shown = ", ".join(map(str, unknown[:5]))
        raise ConfigError(f"{path.name}: the labels hold values without a class ({shown}): name them with --classes.")
    if not found:
        raise ConfigError(f"{path.name}: nothing is drawn, and a DICOM SEG needs a segment: draw something first.")
    return [by_value[value] for value in found]


def _aligned(labels: npt.NDArray[Any], source: Path, series: int | None) -> tuple[list[Dataset], npt.NDArray[Any]]:
    """Headers of the series, and the labels' planes in their order."""
    slices = series_slices(source, series)
    first = next(one for one in slices if one is not None)
    if labels.shape != (len(slices), first.rows, first.columns):
        sizes = [" × ".join(map(str, shape)) for shape in (labels.shape, (len(slices), first.rows, first.columns))]
        raise ConfigError(
            f"The labels have {sizes[0]} voxels, but the series {source} has {sizes[1]}: name its series."
        )
    lost = [index for index, one in enumerate(slices) if one is None]
    if np.isin(labels[lost], (BACKGROUND, NOT_LOOKED_AT), invert=True).any():
        raise ConfigError(
            f"Something is drawn on a slice that is missing in {source}, which a SEG cannot refer to: export NIfTI."
        )
    kept = [(one, plane) for one, plane in zip(slices, labels, strict=True) if one is not None]
    if first.frames == 1:
        return [_header(one) for one, _ in kept], np.stack([plane for _, plane in kept])
    planes = np.zeros((first.frames, *labels.shape[1:]), labels.dtype)
    for one, plane in kept:
        planes[one.frame] = plane
    return [_header(first)], planes


def _header(one: Slice) -> Dataset:
    """The header of a slice; what an anonymiser emptied of its identifiers is made up, alike for the same slices.

    A SEG must name study, series and slices. Where these have no identifiers left, made-up ones keep the frames in
    order and apart; programs that look for the series by its identifiers will not find it.
    """
    from pydicom import dcmread
    from pydicom.uid import CTImageStorage, MRImageStorage, generate_uid

    with quiet():
        header = dcmread(one.path, stop_before_pixels=True)
    if not header.get("SOPClassUID"):
        usual = MRImageStorage if one.modality == "MR" else CTImageStorage
        header.SOPClassUID = header.file_meta.get("MediaStorageSOPClassUID") or usual
    if not header.get("SOPInstanceUID"):
        kept = header.file_meta.get("MediaStorageSOPInstanceUID")
        header.SOPInstanceUID = kept or generate_uid(entropy_srcs=[one.series, str(one.position), str(one.number)])
    place = str(one.path.parent)
    for name in ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID"):
        if not header.get(name):
            setattr(header, name, generate_uid(entropy_srcs=[name, one.series, place]))
    for name in _MANDATORY:
        if name not in header:
            setattr(header, name, "")
    return header


def _described(number: int, c: MaskClass, model: str) -> Any:
    from highdicom import AlgorithmIdentificationSequence
    from highdicom.color import CIELabColor
    from highdicom.seg import SegmentDescription
    from pydicom.sr.codedict import codes
    from pydicom.sr.coding import Code

    words = c.name.casefold()
    code = next(((value, name) for parts, value, name in _TYPES if any(part in words for part in parts)), _TISSUE)
    category = _TISSUE if code == _TISSUE else _ABNORMAL if code == _TYPES[0][1:] else _ANATOMY
    identified = None
    if model:
        family = codes.DCM.ArtificialIntelligence
        identified = AlgorithmIdentificationSequence(name=model[:64], version=_version(), family=family)
    described = SegmentDescription(
        segment_number=number,
        segment_label=c.name[:64],
        segmented_property_category=Code(category[0], "SCT", category[1]),
        segmented_property_type=Code(code[0], "SCT", code[1]),
        algorithm_type="AUTOMATIC" if model else "MANUAL",
        algorithm_identification=identified,
        display_color=CIELabColor.from_string(c.color),
    )
    described.SegmentDescription = VALUE_TEXT.format(c.value)
    return described


def _version() -> str:
    from importlib.metadata import version

    return version("napari-medseg")
