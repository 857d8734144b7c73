"""Layers that the scanner itself has drawn, as drafts in a data set."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace

from napari_medseg.annotation.device_layers import crossing_columns, labels_of_device
from napari_medseg.annotation.surfaces import Rows, pile_of
from napari_medseg.data.dataset import Dataset
from napari_medseg.data.dataset_file import mask_classes
from napari_medseg.data.device_surfaces import match_surfaces
from napari_medseg.data.finishing import record_labels
from napari_medseg.data.layers import with_structure_colors
from napari_medseg.data.retina import BACKGROUND_WORD, surfaces_of_pile
from napari_medseg.errors import DatasetError
from napari_medseg.structures import Case, DatasetInfo, Edge, Image, Surface

#: What stands in a row whose labels a scanner drew.
ORIGIN = "model:device"
#: Structures between neighbouring surfaces, by the surfaces' names; others are named after both.
_BETWEEN = {
    ("ILM", "RNFL"): "RNFL",
    ("RNFL", "GCL"): "GCL",
    ("GCL", "IPL"): "IPL",
    ("IPL", "INL"): "INL",
    ("INL", "OPL"): "OPL",
    ("OPL", "ELM"): "ONL",
    ("ELM", "PR1"): "MZ",
    ("RPE", "BM"): "RPE",
    ("ILM", "BM"): "retina",
}
#: Edges of surfaces whose names say what they are, whatever the layers between them are called.
_EDGES: Mapping[str, Edge] = {"ILM": "dark-to-bright", "BM": "bright-to-dark"}


def take_device_layers(
    dataset: Dataset, only: Collection[str] | None = None, *, say: Callable[[str], None] = lambda _: None
) -> list[str]:
    """Make labels from the surfaces that scanners stored with their images, for cases that have none.

    They are drafts of origin `ORIGIN`, trained on only when a person has marked them done or drafts are asked for. A
    data set without classes gets those that lie between the surfaces; one with declared surfaces takes those of the
    same name or meaning (`device_surfaces.match_surfaces`).

    Parameters
    ----------
    dataset
        Data set whose cases are looked at.
    only
        Ids of the cases that may get labels; None for all.
    say
        Takes sentences: which of the scanner's surfaces became which of the data set's, where names differ, and where
        they cross.

    Returns
    -------
    ids of the cases that got labels

    Raises
    ------
    DatasetError
        The data set's classes have no surfaces between them, or none that a scanner knows.
    MedsegError
        An image cannot be read, or the data set cannot be written.
    """
    cases = [case for case in dataset.cases if only is None or case.case in only]
    found = [(case, image) for case in cases if (image := _image_with_surfaces(dataset, case)) is not None]
    if not found:
        return []
    if not dataset.info.classes:
        most = max((_surfaces_of(image) for _, image in found), key=len)
        dataset.set_info(_declared(dataset.info, list(most)))
    matches = [match_surfaces(dataset.info.surfaces, [*_surfaces_of(image)]) for _, image in found]
    if not any(match.names for match in matches):
        names = [surface.name for surface in dataset.info.surfaces]
        known = sorted({name for _, image in found for name in _surfaces_of(image)})
        raise DatasetError(
            f"The scanners' surfaces ({', '.join(known)}) are none of those of the data set "
            f"({', '.join(names) or 'none'}): import without declared layers, or name layers as usual (RNFL, GCL)."
        )
    for text in dict.fromkeys(match.text for match in matches if match.names and not match.is_literal):
        say(f"The scanner's surfaces were taken so: {text}.")
    for case, image in found:
        own = surfaces_by_own_name(dataset.info.surfaces, _surfaces_of(image))
        if columns := crossing_columns(own, [surface.name for surface in dataset.info.surfaces]):
            say(f"{case.case}: the scanner's surfaces cross in {columns} columns, where the upper one was taken.")
    return [case.case for case, image in found if _take(dataset, case, image)]


def _image_with_surfaces(dataset: Dataset, case: Case) -> Image | None:
    if case.label:
        return None
    image = dataset.read_image(case)
    return image if _surfaces_of(image) else None


def _surfaces_of(image: Image) -> Mapping[str, Rows]:
    return {} if image.oct is None else image.oct.surfaces


def _declared(info: DatasetInfo, names: Sequence[str]) -> DatasetInfo:
    """A data set's description with a class between each pair of surfaces."""
    if len(names) < 2:
        raise DatasetError("The scanners' files hold one surface only: there is no layer between surfaces.")
    structures = [_BETWEEN.get(pair, f"{pair[0]} to {pair[1]}") for pair in itertools.pairwise(names)]
    pile = surfaces_of_pile([BACKGROUND_WORD, *structures, BACKGROUND_WORD])
    surfaces = tuple(
        replace(surface, name=name, edge=_EDGES.get(name, surface.edge))
        for surface, name in zip(pile, names, strict=True)
    )
    return replace(info, classes=with_structure_colors(mask_classes(structures)), surfaces=surfaces)


def _take(dataset: Dataset, case: Case, image: Image) -> bool:
    """Write the labels of one case; False where it has none of the surfaces."""
    surfaces = surfaces_by_own_name(dataset.info.surfaces, _surfaces_of(image))
    if not surfaces:
        return False
    names = [surface.name for surface in dataset.info.surfaces]
    labels = labels_of_device(surfaces, image.spatial_shape, pile_of(dataset.info), names)
    store = dataset.label_store(case, image.spatial_shape, spacing=image.spacing, units=image.units)
    store.write_box(tuple((0, n) for n in image.spatial_shape), labels)
    record_labels(dataset, case.case, store, revision=case.revision, origin=ORIGIN)
    return True


def surfaces_by_own_name(surfaces: Sequence[Surface], device: Mapping[str, Rows]) -> dict[str, Rows]:
    """A scanner's rows by the names of a data set's surfaces, for those that it has."""
    return {own: device[theirs] for own, theirs in match_surfaces(surfaces, [*device]).names.items()}
