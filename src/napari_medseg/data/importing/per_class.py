"""A folder per tag: ``benign/*.png``, ``malignant/*.png``, each perhaps with images and masks in sub-folders."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from napari_medseg.data.importing.folders import images_and_masks
from napari_medseg.data.importing.plan import Options, Plan, pair, with_table
from napari_medseg.errors import DatasetError


def plan_folders_per_class(options: Options) -> Plan:
    """Cases of all sub-folders, tagged with the sub-folder's name; ids of equal names get the tag in front.

    Raises
    ------
    InputNotFoundError, ReadError, DatasetError
        There is no sub-folder, one holds no image, or names do not match.
    """
    folders = sorted(path for path in options.source.iterdir() if path.is_dir() and not path.name.startswith("."))
    if not folders:
        raise DatasetError(f"{options.source} holds no folders: put the images of each class into one of its name.")
    cases = []
    for folder in folders:
        for case in pair(*images_and_masks(folder, options)):
            cases.append(replace(case, cells={"tag": folder.name}))
    count = Counter(case.case for case in cases)
    unique = [
        case if count[case.case] == 1 else replace(case, case=f"{case.cells['tag']}_{case.case}") for case in cases
    ]
    return Plan(cases=with_table(unique, options))
