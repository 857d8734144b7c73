"""Errors of surfaces and order against loops over columns; figures per source against those of each source alone."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from napari_medseg.annotation.surfaces import labels_of_surfaces
from napari_medseg.commands.evaluate import as_table
from napari_medseg.data.dataset_file import mask_classes
from napari_medseg.data.retina import surfaces_of_pile
from napari_medseg.inference.evaluation import evaluate_cases
from napari_medseg.structures import Image, Prediction, TrainingCase

CLASSES = mask_classes(["RNFL", "GCL", "RPE", "fluid"])
SURFACES = surfaces_of_pile(["background", "RNFL", "GCL", "RPE", "background"])
PILE = (0, 1, 2, 3, 0)
HEIGHT, WIDTH, BSCANS, AXIAL = 40, 30, 3, 0.004


def make_cases(n: int, *, spaced: bool = True) -> tuple[list[TrainingCase], dict[str, Prediction], list, list]:
    """Volumes of two sources, predicted surfaces up to three rows off; rows as (case, bscan, surface, x)."""
    rng = np.random.default_rng(5)
    cases, predictions, true_rows, predicted_rows = [], {}, [], []
    for i in range(n):
        true = np.cumsum(rng.integers(4, 8, (BSCANS, 4, WIDTH)), axis=1) - 0.5
        predicted = true + rng.integers(-1, 3, true.shape)
        truth, guess = (
            np.stack([labels_of_surfaces(rows.astype(np.float32), HEIGHT, PILE) for rows in both])
            for both in (true, predicted)
        )
        truth[:, :, :4] = 255
        truth[0, 9:14, 6:9] = 4
        true_rows.append(true)
        predicted_rows.append(predicted)
        image = Image(
            levels=(np.zeros(truth.shape, np.uint8),),
            axes="zyx",
            name=f"c{i}",
            spacing=(0.1, AXIAL, 0.01) if spaced else None,
            units=("millimeter",) * 3 if spaced else None,
        )
        predictions[image.name] = Prediction(
            labels=guess, classes=CLASSES, tag=None, probabilities=None, region=((0, 1),) * 3, seconds=0.0
        )
        cases.append(
            TrainingCase(
                case=image.name,
                group=f"g{i // 2}",
                source=("a", "b")[i % 2],
                split="test",
                tag=None,
                grade=None,
                has_mask=True,
                load_image=lambda image=image: image,
                load_labels=lambda truth=truth: truth,
                content_hash="0",
                image_hash="0",
            )
        )
    return cases, predictions, true_rows, predicted_rows


def evaluate(cases, predictions, **options):
    return evaluate_cases(lambda i: predictions[i.name], cases, classes=CLASSES, tags=(), **options)


def test_surface_errors_equal_a_loop_over_columns() -> None:
    cases, predictions, true, predicted = make_cases(4)
    document = evaluate(cases, predictions, surfaces=SURFACES)
    json.dumps(document, allow_nan=False)
    for index, surface in enumerate(SURFACES):
        distances = []
        for t, p in zip(true, predicted, strict=True):
            for z in range(BSCANS):
                for x in range(4, WIDTH):
                    row = t[z, index, x]
                    # Fluid in rows 9 to 13 hides a surface that touches it.
                    if z == 0 and 6 <= x < 9 and 8 <= row <= 14:
                        continue
                    distances.append(p[z, index, x] - row)
        entry = document["surfaces"][surface.name]
        assert entry["n_columns"] == len(distances)
        assert entry["signed_px"] == pytest.approx(np.mean(distances))
        assert entry["abs_px"] == pytest.approx(np.mean(np.abs(distances)))
        assert entry["rmse_px"] == pytest.approx(np.sqrt(np.mean(np.square(distances))))
        assert entry["abs_um"] == pytest.approx(4 * np.mean(np.abs(distances)))
        assert entry["abs_px_ci"][0] <= entry["abs_px"] <= entry["abs_px_ci"][1]
    means = [document["surfaces"][s.name]["abs_px"] for s in SURFACES]
    assert document["surfaces"]["mean"]["abs_px"] == pytest.approx(np.mean(means))
    assert document["surfaces_repaired"] == document["surfaces"]
    assert document["order"]["columns_before"] == 0
    assert document["segmentation_repaired"]["mean"]["dice"] == document["segmentation"]["mean"]["dice"]


def test_disorder_is_counted_and_repaired() -> None:
    cases, predictions, *_ = make_cases(2)
    before = predictions["c0"].labels.copy()
    predictions["c0"].labels[1, 2, 10:13] = 3  # specks of RPE above everything
    document = evaluate(cases, predictions, surfaces=SURFACES)
    order = document["order"]
    assert order["n_columns"] == 2 * BSCANS * WIDTH
    assert order["columns_before"] == pytest.approx(3 / (2 * BSCANS * WIDTH))
    assert order["bscans_before"] == pytest.approx(1 / (2 * BSCANS))
    assert (order["columns_after"], order["bscans_after"]) == (0, 0)
    clean = evaluate(cases, {**predictions, "c0": replace(predictions["c0"], labels=before)}, surfaces=SURFACES)
    assert document["segmentation"]["RPE"]["dice"] < clean["segmentation"]["RPE"]["dice"]
    assert document["segmentation_repaired"]["RPE"]["dice"] == clean["segmentation"]["RPE"]["dice"]


def test_surfaces_missing_or_at_the_edge_of_the_picture_are_not_compared() -> None:
    cases, predictions, *_ = make_cases(1)
    whole = evaluate(cases, predictions, surfaces=SURFACES)["surfaces"]["ILM"]
    predictions["c0"].labels[:, :, 20] = 0
    predictions["c0"].labels[2, :8, 25] = 1  # the retina seems to begin at the picture's edge
    entry = evaluate(cases, predictions, surfaces=SURFACES)["surfaces"]["ILM"]
    assert entry["n_missing"] == BSCANS + 1
    assert entry["n_columns"] == whole["n_columns"] - BSCANS - 1


def test_without_spacing_there_are_no_micrometres_and_without_surfaces_no_layers() -> None:
    cases, predictions, *_ = make_cases(2, spaced=False)
    document = evaluate(cases, predictions, surfaces=SURFACES)
    assert document["surfaces"]["ILM"]["abs_um"] is None
    assert document["surfaces"]["ILM"]["abs_px"] > 0
    assert "order" not in evaluate(cases, predictions)


def test_figures_per_source_are_those_of_its_cases_alone() -> None:
    cases, predictions, *_ = make_cases(4)
    document = evaluate(cases, predictions, surfaces=SURFACES)
    alone = evaluate([c for c in cases if c.source == "b"], predictions, surfaces=SURFACES)
    assert set(document["by_source"]) == {"a", "b"}
    for key in ("n_cases", "n_groups", "segmentation", "surfaces", "order", "classification"):
        assert document["by_source"]["b"][key] == alone[key]
    assert "by_source" not in alone


def test_table_shows_surfaces_order_and_sources() -> None:
    cases, predictions, *_ = make_cases(4)
    lines = as_table(evaluate(cases, predictions, surfaces=SURFACES) | {"split": "test"}).splitlines()
    assert sum("ILM" in line for line in lines) == 3
    assert sum(line.startswith("source ") for line in lines) == 2
    assert sum("out of order: 0.0 % of columns" in line for line in lines) == 3
