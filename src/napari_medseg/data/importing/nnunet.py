"""Raw data of nnU-Net: ``imagesTr``, ``labelsTr``, ``imagesTs`` and ``dataset.json``, of its versions 1 and 2.

Source: https://github.com/MIC-DKFZ/nnUNet/blob/master/documentation/dataset_format.md and ``ignore_label.md``,
``region_based_training.md`` beside it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari_medseg.data.importing.plan import Options, Plan, PlannedCase, refuse, with_table
from napari_medseg.errors import DatasetError, InputNotFoundError

FILE_NAME = "dataset.json"
#: What a file of the first channel is called after its case.
FIRST_CHANNEL = "_0000"
IMAGES, LABELS = "imagesTr", "labelsTr"
TEST_IMAGES, TEST_LABELS = "imagesTs", "labelsTs"
BACKGROUND_NAME, IGNORE_NAME = "background", "ignore"


def is_nnunet(folder: Path) -> bool:
    """Whether a folder is laid out as nnU-Net's raw data."""
    return (folder / FILE_NAME).is_file() and (folder / IMAGES).is_dir()


@dataclass(frozen=True, slots=True)
class _Described:
    """What ``dataset.json`` says."""

    channels: tuple[str, ...]
    classes: Mapping[int, str]
    ignore: tuple[int, ...]
    files: Mapping[str, tuple[Path, Path | None]]


def plan_nnunet(options: Options) -> Plan:
    """Cases of nnU-Net's raw data; those of ``imagesTs`` are of the test split.

    Of several channels in files of their own, the first is taken, which `options.say` is told.

    Raises
    ------
    InputNotFoundError, DatasetError
        A folder or file is missing, or ``dataset.json`` cannot be understood.
    """
    folder = options.source
    described = _described(folder)
    cases = list(_listed(described)) or [
        *_cases(folder, IMAGES, LABELS, ""),
        *_cases(folder, TEST_IMAGES, TEST_LABELS, "test"),
    ]
    if not cases:
        raise DatasetError(f"{folder / IMAGES} holds no file that ends with {FIRST_CHANNEL} and a file ending.")
    if any(_channel(case.image, 1).exists() for case in cases):
        names = ", ".join(described.channels) or "several"
        options.say(f"Images of several channels ({names}) lie in a file per channel: the first one was taken.")
    if without := [case.case for case in cases if case.mask is None and case.cells.get("split") != "test"]:
        options.say(f"{len(without)} training cases have no labels, the first of them {without[0]}.")
    return Plan(cases=with_table(cases, options), classes=described.classes, ignore=described.ignore)


def _cases(folder: Path, images: str, labels: str, split: str) -> Iterator[PlannedCase]:
    for image in sorted((folder / images).glob(f"*{FIRST_CHANNEL}.*")):
        name, ending = image.name.rsplit(FIRST_CHANNEL, 1)
        mask = folder / labels / f"{name}{ending}"
        yield PlannedCase(
            case=name, image=image, mask=mask if mask.exists() else None, cells={"split": split} if split else {}
        )


def _listed(described: _Described) -> Iterator[PlannedCase]:
    """Cases of the list that ``dataset.json`` may hold in place of the two folders."""
    missing = [path for files in described.files.values() for path in files if path is not None and not path.exists()]
    refuse([f"{path}, which {FILE_NAME} names, does not exist" for path in missing])
    for name, (image, mask) in described.files.items():
        yield PlannedCase(case=name, image=image, mask=mask)


def _channel(image: Path, number: int) -> Path:
    name, ending = image.name.rsplit(FIRST_CHANNEL, 1) if FIRST_CHANNEL in image.name else (image.name, "")
    return image.with_name(f"{name}_{number:04}{ending}")


def _described(folder: Path) -> _Described:
    path = folder / FILE_NAME
    try:
        found = json.loads(path.read_text("utf-8"))
        channels = found.get("channel_names") or found.get("modality") or {}
        named = dict(_classes(found["labels"]))
        files = {str(name): _files(folder, entry) for name, entry in (found.get("dataset") or {}).items()}
    except FileNotFoundError:
        raise InputNotFoundError(
            f"{folder} has no {FILE_NAME}: name the folder DatasetNNN_NAME of nnU-Net's raw data."
        ) from None
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise DatasetError(
            f"{path} is not what nnU-Net writes ({type(error).__name__}: {error}): correct it, or import the folders "
            "with --format folders --images imagesTr --masks labelsTr."
        ) from error
    ignored = tuple(value for value, name in named.items() if name == IGNORE_NAME)
    classes = {value: name for value, name in named.items() if value != 0 and value not in ignored}
    return _Described(tuple(map(str, channels.values())), classes, ignored, files)


def _files(folder: Path, entry: Mapping[str, Any]) -> tuple[Path, Path | None]:
    label = entry.get("label")
    return folder / str(entry["images"][0]), None if label is None else folder / str(label)


def _classes(labels: Mapping[str, Any]) -> Iterator[tuple[int, str]]:
    """Names by value: of version 2 (names first), of version 1 (values first), and of regions.

    A value of several regions ("whole tumour": [1, 2], "core": [2]) is called after the smallest.
    """
    sizes: dict[int, tuple[int, str]] = {}
    for key, value in labels.items():
        if isinstance(value, str):
            sizes[int(key)] = (1, value)
            continue
        values = [int(each) for each in value] if isinstance(value, list) else [int(value)]
        for each in values:
            sizes[each] = min(sizes.get(each, (len(values), key)), (len(values), key), key=lambda entry: entry[0])
    yield from ((value, name) for value, (_, name) in sorted(sizes.items()))
