"""The page of an evaluation: complete, safe, and with the same figures as the document."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn import metrics as reference
from sklearn.calibration import calibration_curve

from napari_medseg.api.evaluation_page import _roc, chosen_cases, picture_of, pictures_of, reliability, write_page
from napari_medseg.api.page import Page, bars, curves, strips
from napari_medseg.inference.evaluation import evaluate_cases
from napari_medseg.structures import Image
from tests.inference.test_evaluation import CLASSES, TAGS, make_cases

EMPTY = {"meta", "img", "br", "hr", "path", "rect", "circle", "polyline"}


class Checker(HTMLParser):
    """Collects text and addresses, and refuses tags that do not close."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.words: list[str] = []
        self.addresses: list[str] = []
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag not in EMPTY:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in EMPTY:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def checked(text: str) -> Checker:
    checker = Checker()
    checker.feed(text)
    assert checker.open == []
    assert "script" not in checker.tags
    assert all(address.startswith("data:") for address in checker.addresses), "no network is needed to read it"
    return checker


def judged() -> tuple[dict[str, Any], list[Any], dict[str, Any]]:
    cases, predictions = make_cases(20)
    document = evaluate_cases(lambda image: predictions[image.name], cases, classes=CLASSES, tags=TAGS)
    return {"model": "m", "split": "test", **document}, cases, predictions


def test_the_page_says_what_the_document_says(tmp_path: Path) -> None:
    document, cases, predictions = judged()
    shown = pictures_of(document, cases, lambda case, image: predictions[case.case].labels)
    path = write_page(tmp_path / "page.html", document, shown, {"model": "m", "seed": 3})
    checker = checked(path.read_text("utf-8"))
    text = "\n".join(checker.words)
    for name in ("gland", "vessel"):
        assert f"{document['segmentation'][name]['dice']:.3f}" in text
        assert f"{document['structures'][name]['piece_sensitivity']:.3f}" in text
        assert f"{document['distances'][name]['hd95']:.2f}" in text
    assert f"{document['classification']['auc']:.3f}" in text
    assert all(row["case"] in text for row in document["per_case"])
    assert checker.tags.count("img") == len(shown) == len(chosen_cases(document))
    assert '"seed": 3' in text


def test_names_of_people_who_like_tags_do_no_harm(tmp_path: Path) -> None:
    document, _, _ = judged()
    nasty = "<script>alert('x')</script>\"&"
    document["per_case"][0]["case"] = document["per_case"][0]["group"] = nasty
    document["by_source"] = {nasty: {"n_cases": 1}}
    path = write_page(tmp_path / "page.html", document, [], {"model": nasty})
    assert nasty in "".join(checked(path.read_text("utf-8")).words)


def test_curves_are_those_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 3, 60)
    shares = rng.dirichlet((1, 1, 1), 60).round(1)
    shares /= shares.sum(axis=1, keepdims=True)
    for index, (tag, xs, ys) in enumerate(_roc(truth, shares, ("a", "b", "c"))):
        assert tag == "abc"[index]
        assert np.trapezoid(ys, xs) == pytest.approx(reference.roc_auc_score(truth == index, shares[:, index]))
    shares = rng.dirichlet((1, 1, 1), 60)  # none on the border of a bin
    sure, right = reliability(truth, shares)
    expected_right, expected_sure = calibration_curve(shares.argmax(axis=1) == truth, shares.max(axis=1), n_bins=10)
    np.testing.assert_allclose(sure, expected_sure)
    np.testing.assert_allclose(right, expected_right)


def test_a_picture_shows_both_borders_and_the_slice_that_is_most_wrong() -> None:
    pixels = np.zeros((5, 40, 60), np.int16)
    truth, predicted = np.zeros((2, *pixels.shape), np.uint8)
    truth[3, 5:20, 5:20] = 1
    predicted[3, 22:38, 30:50] = 1
    shown = picture_of(Image(levels=(pixels,), axes="zyx"), truth, predicted, "p1")
    assert shown.caption == "p1, slice 3"
    assert shown.pixels.shape == (40, 60, 3)
    green, orange = ((shown.pixels == color).all(axis=-1) for color in ((0, 158, 115), (213, 94, 0)))
    assert green[5, 5:20].all()
    assert not green[7:18, 7:18].any()
    assert orange[37, 30:50].all()
    large = Image(levels=(np.zeros((900, 300, 3), np.uint8),), axes="yxc", rgb=True)
    assert picture_of(large, None, None, "").pixels.shape[0] == 330


def test_the_worst_and_the_surely_wrong_are_shown() -> None:
    document, _, _ = judged()
    names = dict(chosen_cases(document))
    means = {
        r["case"]: np.mean([v for v in r["dice"].values() if v is not None])
        for r in document["per_case"]
        if "dice" in r
    }
    assert min(means, key=means.__getitem__) in names
    assert max(means, key=means.__getitem__) in names
    wrong = [r for r in document["per_case"] if r.get("tag") and r["probabilities"][r["tag"]] < 0.5]
    surest = min(wrong, key=lambda row: row["probabilities"][row["tag"]])
    assert f"{surest['tag']}, taken for" in names[surest["case"]]


def test_drawings_hold_what_is_not_defined() -> None:
    page = Page("x")
    page.drawing(bars([("a", None, None), ("b", 0.5, (0.4, 0.6))]), "")
    page.drawing(strips([("a", []), ("b", [0.1, 0.2])]), "")
    page.drawing(curves([], "x", "y"), "")
    assert "not defined" in "".join(checked(page.html()).words)
