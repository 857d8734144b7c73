"""Which box of an ultrasound case counts: a person's own, else its machine's, else the one that was found."""

from __future__ import annotations

from dataclasses import dataclass

from napari_medseg.data.dataset import Dataset
from napari_medseg.data.device_regions import device_region_of, device_regions
from napari_medseg.data.forms import region_box_of
from napari_medseg.data.scan_region import ScanRegion, ScanRegionMethod, device_key, find_scan_region
from napari_medseg.errors import DatasetError, MedsegError
from napari_medseg.structures import Box, Progress


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanBoxes:
    """The boxes of one case, ((y0, y1), (x0, x1)) in pixels of its image.

    Parameters
    ----------
    shape
        Rows and columns of the image.
    own
        What a person gave for this case; None where nobody did.
    remembered
        What was given for its machine; None where nothing was.
    found
        What was found in the pixels or the header.
    device
        Names machine and picture size; None where the machine is not known.
    color_doppler
        Whether flow is painted over the grey picture.
    trouble
        What is wrong with a box in the data set's files, in a sentence; that box is left aside.
    """

    shape: tuple[int, int]
    own: Box | None
    remembered: Box | None
    found: ScanRegion
    device: str | None
    color_doppler: bool = False
    trouble: str = ""

    @property
    def box(self) -> Box:
        """The box that counts."""
        return self.own or self.remembered or self.found.box


def scan_boxes(dataset: Dataset, case_id: str, method: ScanRegionMethod = "robust") -> ScanBoxes:
    """The boxes of a case of ultrasound; reads its image.

    Raises
    ------
    MedsegError
        The image cannot be read.
    """
    image = dataset.read_image(dataset.case(case_id))
    height, width = image.spatial_shape[-2:]
    own, remembered, trouble = None, None, ""
    try:
        own = _inside(region_box_of(dataset.path, case_id), (height, width), case_id)
        remembered = device_region_of(dataset.path, image)
    except DatasetError as error:
        trouble = str(error)
    return ScanBoxes(
        shape=(height, width),
        own=own,
        remembered=remembered,
        found=find_scan_region(image, method),
        device=device_key(image),
        color_doppler=image.ultrasound is not None and image.ultrasound.color_doppler,
        trouble=trouble,
    )


def given_box(dataset: Dataset, case_id: str) -> Box | None:
    """The box that people gave for a case or its machine, with a side for the frames of a cine; None where nobody did.

    The image is read only where there may be one.

    Raises
    ------
    MedsegError
        The form or the image cannot be read.
    """
    own = region_box_of(dataset.path, case_id)
    if own is None and not device_regions(dataset.path):
        return None
    image = dataset.read_image(dataset.case(case_id))
    box = own if own is not None else device_region_of(dataset.path, image)
    return None if box is None else (*((0, n) for n in image.spatial_shape[:-2]), *box[-2:])


def followers(dataset: Dataset, device: str, progress: Progress | None = None) -> tuple[str, ...]:
    """Ids of the cases of a machine that have no box of their own: those that follow the machine's box.

    Cases whose image cannot be read now are left out.
    """
    found = []
    for number, case in enumerate(dataset.cases):
        if progress is not None:
            progress(number, len(dataset.cases), "Looking for pictures of this machine")
        try:
            own = region_box_of(dataset.path, case.case)
            if own is None and device_key(dataset.read_image(case)) == device:
                found.append(case.case)
        except MedsegError:
            # Such a case is reported where it is opened or checked.
            continue
    return tuple(found)


def _inside(box: Box | None, shape: tuple[int, int], case_id: str) -> Box | None:
    if box is None:
        return None
    if len(box) != 2 or any(stop > n for (_, stop), n in zip(box, shape, strict=True)):
        raise DatasetError(f"Case '{case_id}': its scan region does not lie in the image: draw it again.")
    return box
