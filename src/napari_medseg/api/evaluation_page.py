"""The ``evaluate`` document as a page for people: figures, plots, the worst and the best cases, and how it was made."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from skimage.transform import resize

from napari_medseg.api.page import Page, bars, curves, strips
from napari_medseg.io.atomic import write_text
from napari_medseg.structures import BACKGROUND, NOT_LOOKED_AT, Image, TrainingCase

#: Cases with the lowest and the highest Dice that are shown, and answers that were most sure and wrong.
WORST, BEST, WRONG = 6, 2, 6
_SIDE = 330
_TRUE, _PREDICTED = (0, 158, 115), (213, 94, 0)
_BINS = 10

Labels = npt.NDArray[np.uint8]
Document = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A case as a picture.

    Parameters
    ----------
    pixels
        uint8 (y, x, 3), borders of the true areas green, of the predicted ones orange.
    caption
        What it shows.
    """

    pixels: npt.NDArray[np.uint8]
    caption: str


def write_page(
    path: str | os.PathLike[str], document: Document, pictures: Sequence[Shown], manifest: Mapping[str, Any]
) -> Path:
    """Write the page.

    Parameters
    ----------
    document
        Of `napari_medseg.api.evaluate`.
    pictures
        Of `pictures_of`.
    manifest
        What the run depended on.

    Raises
    ------
    WriteError
        The page cannot be written.
    """
    page = Page(f"Evaluation of {manifest.get('model', document['model'])}")
    page.text(
        f"{document['n_cases']} cases of {document['n_groups']} groups in split '{document['split']}'; "
        "figures with 95 % intervals over groups. Research use only: not a medical device."
    )
    _segmentation(page, document)
    _surfaces(page, document)
    _structures(page, document)
    _classification(page, document)
    _sources(page, document)
    if pictures:
        page.heading("Cases")
        page.text("Green: borders of what people drew. Orange: of what the model drew.", faint=True)
        for shown in pictures:
            page.picture(shown.pixels, shown.caption)
    _cases(page, document)
    page.heading("What the figures mean")
    page.terms(document["definitions"].items())
    page.heading("How this was made")
    page.code(json.dumps(dict(manifest), indent=2))
    target = Path(path)
    write_text(target, page.html())
    return target


def _number(values: Document, key: str, digits: int = 3) -> str:
    value = values.get(key)
    if value is None:
        return "–"
    interval = values.get(f"{key}_ci")
    return f"{value:.{digits}f}" + (f" [{interval[0]:.{digits}f}, {interval[1]:.{digits}f}]" if interval else "")


def _without_lone_mean(figures: Document) -> Document:
    """Figures by class without their mean where there is one class, whose figures it repeats."""
    return {name: values for name, values in figures.items() if name != "mean" or len(figures) > 2}


def _segmentation(page: Page, document: Document) -> None:
    found = _without_lone_mean(document.get("segmentation") or {})
    if not found:
        return
    page.heading("Areas")
    keys = ("dice", "iou", "precision", "recall", "dice_per_case")
    page.table(
        ("class", "Dice", "IoU", "precision", "recall", "Dice, mean of cases", "cases"),
        ([name, *(_number(values, key) for key in keys), values["n_cases"]] for name, values in found.items()),
    )
    page.drawing(bars([(n, v["dice"], v["dice_ci"]) for n, v in found.items()]), "Dice with 95 % interval")
    single = [
        (name, [row["dice"][name] for row in document["per_case"] if row.get("dice", {}).get(name) is not None])
        for name in found
        if name != "mean"
    ]
    page.drawing(strips(single), "Dice of every case; the line is the median")
    _groups(page, document)


def _groups(page: Page, document: Document) -> None:
    """Mean Dice of the cases of every group, the worst first."""
    by_group: dict[str, list[float]] = {}
    for row in document["per_case"]:
        if (mean := mean_dice(row)) is not None:
            by_group.setdefault(row["group"], []).append(mean)
    if not 1 < len(by_group) < document["n_cases"]:
        return
    ranked = sorted(by_group.items(), key=lambda entry: float(np.mean(entry[1])))
    page.text("Groups, worst first (mean Dice of their cases):")
    page.table(("group", "Dice", "cases"), ([name, f"{np.mean(v):.3f}", len(v)] for name, v in ranked[:15]))


def _surfaces(page: Page, document: Document) -> None:
    if "surfaces" not in document:
        return
    page.heading("Surfaces between layers")
    keys = ("signed_px", "abs_px", "rmse_px", "signed_um", "abs_um")
    page.table(
        ("surface", "signed, px", "absolute, px", "RMSE, px", "signed, µm", "absolute, µm", "columns", "missing"),
        (
            [name, *(_number(values, key, 2) for key in keys), values["n_columns"], values["n_missing"]]
            for name, values in document["surfaces"].items()
        ),
    )


def _structures(page: Page, document: Document) -> None:
    distances, found = document.get("distances") or {}, _without_lone_mean(document.get("structures") or {})
    if not found:
        return
    page.heading("Borders, volumes and pieces")
    unit = distances.get("unit", "mixed")
    rows = []
    for name, values in found.items():
        far = distances.get(name, {})
        rows.append(
            [
                name,
                *(_number(far, key, 2) for key in ("hd95", "assd")),
                _number(far, "surface_dice"),
                *(_number(values, key) for key in ("volume_error", "volume_error_abs")),
                *(_number(values, key) for key in ("piece_sensitivity", "piece_precision")),
                values["n_pieces"],
                values["n_pieces_false"],
            ]
        )
    columns = ("class", f"HD95, {unit}", f"ASSD, {unit}", "surface Dice", "volume error", "absolute volume error")
    page.table((*columns, "pieces found", "predicted pieces right", "pieces", "false pieces"), rows)


def _classification(page: Page, document: Document) -> None:
    found = document.get("classification")
    if not found:
        return
    page.heading("Classes of whole images")
    keys = [
        key
        for key in ("auc", "kappa", "accuracy", "balanced_accuracy", "macro_f1", "calibration_error")
        if key in found
    ]
    page.table([key.replace("_", " ") for key in keys], [[_number(found, key) for key in keys]])
    tags = list(found["per_class"])
    columns = [key for key in ("sensitivity", "specificity", "precision", "auc") if key in found["per_class"][tags[0]]]
    page.table(
        ("class", *columns, "cases"),
        (
            [tag, *(_number(found["per_class"][tag], key) for key in columns), found["per_class"][tag]["n_cases"]]
            for tag in tags
        ),
    )
    page.text("Rows: true class; columns: predicted class.", faint=True)
    page.table(("", *tags), ([tag, *row] for tag, row in zip(tags, found["confusion"], strict=True)))
    rows = [row for row in document["per_case"] if row.get("tag") is not None]
    truth = np.array([tags.index(row["tag"]) for row in rows])
    shares = np.array([[row["probabilities"][tag] for tag in tags] for row in rows])
    page.drawing(
        curves(_roc(truth, shares, tags), "1 - specificity", "sensitivity"), "ROC, every class against the others"
    )
    page.drawing(
        curves([("answers", *reliability(truth, shares))], "how sure", "share right"),
        "Reliability: a model that knows how sure it is follows the diagonal",
    )


def _roc(
    truth: npt.NDArray[Any], shares: npt.NDArray[Any], tags: Sequence[str]
) -> list[tuple[str, list[float], list[float]]]:
    lines = []
    for index, tag in enumerate(tags if len(tags) > 2 else tags[1:], start=0 if len(tags) > 2 else 1):
        positive = truth == index
        if positive.all() or not positive.any():
            continue
        order = np.argsort(-shares[:, index], kind="stable")
        # Equal probabilities are one step.
        last = np.flatnonzero(np.diff(shares[order, index], append=-1.0))
        right, wrong = np.cumsum(positive[order])[last], np.cumsum(~positive[order])[last]
        lines.append((tag, [0.0, *(wrong / wrong[-1])], [0.0, *(right / right[-1])]))
    return lines


def reliability(truth: npt.NDArray[Any], shares: npt.NDArray[Any]) -> tuple[list[float], list[float]]:
    """Mean probability of the answers and share that was right, per bin of equal width that holds any.

    Parameters
    ----------
    truth, shares
        (n,) index of the true class; (n, classes) probabilities.
    """
    sure, right = shares.max(axis=1), shares.argmax(axis=1) == truth
    at = np.minimum((sure * _BINS).astype(int), _BINS - 1)
    used = [number for number in range(_BINS) if (at == number).any()]
    return [float(sure[at == n].mean()) for n in used], [float(right[at == n].mean()) for n in used]


def _sources(page: Page, document: Document) -> None:
    if "by_source" not in document:
        return
    page.heading("By source")
    rows = []
    for source, found in document["by_source"].items():
        areas, classes = (found.get("segmentation") or {}).get("mean", {}), found.get("classification") or {}
        rows.append(
            [
                source or "(none)",
                _number(areas, "dice"),
                _number(classes, "auc"),
                _number(classes, "accuracy"),
                found["n_cases"],
            ]
        )
    page.table(("source", "mean Dice", "AUC", "accuracy", "cases"), rows)


def _cases(page: Page, document: Document) -> None:
    """Every case, the worst first: what failed can be looked up."""
    page.heading("All cases, worst first")

    def rank(row: Document) -> tuple[float, float]:
        mean = mean_dice(row)
        return (row["probabilities"][row["tag"]] if row.get("tag") else 1.0, 1.0 if mean is None else mean)

    def line(row: Document) -> list[str]:
        mean = mean_dice(row)
        answer = max(row["probabilities"], key=row["probabilities"].get) if row.get("tag") else ""
        sure = f"{row['probabilities'][answer]:.2f}" if answer else ""
        return [row["case"], row["group"], "" if mean is None else f"{mean:.3f}", row.get("tag") or "", answer, sure]

    ranked = sorted(document["per_case"], key=lambda row: rank(row)[::-1])
    page.table(("case", "group", "mean Dice", "true class", "predicted class", "probability"), map(line, ranked))


def mean_dice(row: Document) -> float | None:
    """Mean Dice of a row of ``per_case`` over the classes that its truth holds; None without any."""
    known = [value for value in (row.get("dice") or {}).values() if value is not None]
    return float(np.mean(known)) if known else None


def chosen_cases(document: Document) -> list[tuple[str, str]]:
    """Cases that a page shows, and why: the worst and the best drawn ones, and answers that were sure and wrong."""
    drawn = sorted((mean, row["case"]) for row in document["per_case"] if (mean := mean_dice(row)) is not None)
    chosen = {name: f"{name}: Dice {mean:.3f}" for mean, name in [*drawn[:WORST], *drawn[WORST:][-BEST:]]}
    wrong = []
    for row in document["per_case"]:
        if row.get("tag") and (answer := max(row["probabilities"], key=row["probabilities"].get)) != row["tag"]:
            wrong.append((-row["probabilities"][answer], row["case"], f"{row['tag']}, taken for {answer}"))
    for sure, name, text in sorted(wrong)[:WRONG]:
        chosen[name] = f"{chosen.get(name, f'{name}:')} {text} ({-sure:.2f})"
    return list(chosen.items())


def picture_of(image: Image, truth: Labels | None, predicted: Labels | None, caption: str) -> Shown:
    """A flat image, or the slice of a stack with most disagreement, with borders over it.

    Parameters
    ----------
    truth, predicted
        Labels of the image's spatial shape; None where there is none.
    """
    index = _slice(image, truth, predicted)
    box = tuple((at, at + 1) for at in index) + tuple((0, n) for n in image.spatial_shape[len(index) :])
    pixels = image.region(box)
    pixels = pixels.reshape(len(pixels), *pixels.shape[-2:])
    grey = [_display(channel, image) for channel in (pixels if image.rgb else pixels[:1])]
    shape = grey[0].shape
    scale = min(1.0, _SIDE / max(shape))
    size = tuple(max(1, round(n * scale)) for n in shape)
    channels = [resize(channel, size, anti_aliasing=scale < 1) for channel in grey]  # type: ignore[no-untyped-call]  # scikit-image
    shown = np.stack([channels[i % len(channels)] for i in range(3)], axis=-1)
    shown = np.rint(shown * 255).astype(np.uint8)
    for labels, color in ((truth, _TRUE), (predicted, _PREDICTED)):
        if labels is not None:
            shown[_borders(labels[index], size)] = color
    place = f", slice {index[0]}" if index else ""
    return Shown(pixels=shown, caption=caption + place)


def _slice(image: Image, truth: Labels | None, predicted: Labels | None) -> tuple[int, ...]:
    if len(image.spatial_shape) == 2:
        return ()
    if truth is None or predicted is None:
        return (image.spatial_shape[0] // 2,)
    wrong = ((truth != predicted) & (truth != NOT_LOOKED_AT)).sum(axis=(1, 2))
    drawn = (truth != BACKGROUND).sum(axis=(1, 2))
    return (int((wrong if wrong.any() else drawn).argmax()),)


def _display(pixels: npt.NDArray[Any], image: Image) -> npt.NDArray[np.float64]:
    """Grey values 0..1: as they are for pictures of 8 bits, else between the 1st and 99th percentile."""
    values = pixels.astype(np.float64)
    if image.dtype == np.uint8:
        return values / 255
    low, high = np.percentile(values, (1, 99))
    shown: npt.NDArray[np.float64] = np.clip((values - low) / max(high - low, 1e-9), 0, 1)
    return shown


def _borders(labels: Labels, size: tuple[int, ...]) -> npt.NDArray[np.bool_]:
    """Inner borders of all areas, at the size of a picture."""
    rows, columns = (np.minimum(np.arange(n) * m // n, m - 1) for n, m in zip(size, labels.shape, strict=True))
    small = labels[rows][:, columns]
    changes = ndimage.maximum_filter(small, 3) != ndimage.minimum_filter(small, 3)
    return np.asarray(changes & (small != BACKGROUND) & (small != NOT_LOOKED_AT))


def pictures_of(
    document: Document,
    cases: Sequence[TrainingCase],
    predicted_labels: Callable[[TrainingCase, Image], Labels | None],
) -> list[Shown]:
    """Pictures of the chosen cases.

    Parameters
    ----------
    cases
        That were judged; of whole slides there are no pictures.
    predicted_labels
        Predicts a case again.
    """
    by_name = {case.case: case for case in cases}
    shown = []
    for name, caption in chosen_cases(document):
        case = by_name.get(name)
        if case is None:
            continue
        image = case.load_image()
        truth = case.load_labels() if case.has_mask else None
        shown.append(picture_of(image, truth, predicted_labels(case, image), caption))
    return shown
