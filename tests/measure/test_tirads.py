"""Points and levels of ACR TI-RADS, against the white paper's chart written down a second time, for every form."""

from __future__ import annotations

import itertools

import pytest

from napari_medseg.measure.tirads import CATEGORIES, THRESHOLDS, advice, agreement, level_of, summary, tirads

#: Tessler et al. 2017, figure 1, with the points for what cannot be determined (its text).
CHART = {
    "composition": {"cystic": 0, "spongiform": 0, "mixed": 1, "solid": 2, "undetermined": 2},
    "echogenicity": {
        "anechoic": 0,
        "hyperechoic": 1,
        "isoechoic": 1,
        "hypoechoic": 2,
        "very_hypoechoic": 3,
        "undetermined": 1,
    },
    "shape": {"wider": 0, "taller": 3},
    "margin": {"smooth": 0, "ill_defined": 0, "irregular": 2, "extrathyroidal": 3, "undetermined": 0},
    "foci": {"none": 0, "macrocalcification": 1, "rim": 2, "punctate": 3},
}
LEVELS = ["TR1", None, "TR2", "TR3", "TR4", "TR4", "TR4", "TR5"]
FOCI = [
    list(some) for count in (1, 2, 3, 4) for some in itertools.combinations(["none", *list(CHART["foci"])[1:]], count)
]


def test_the_form_asks_what_the_chart_asks():
    assert {c.key: {f.key for f in c.features} for c in CATEGORIES} == {key: set(part) for key, part in CHART.items()}
    assert [c.key for c in CATEGORIES if c.several] == ["foci"]


def test_every_complete_form_has_the_points_and_level_of_the_chart():
    singles = [key for key in CHART if key != "foci"]
    count = 0
    for answers in itertools.product(*(CHART[key] for key in singles), FOCI):
        form = dict(zip([*singles, "foci"], answers, strict=True))
        points = sum(CHART[key][form[key]] for key in singles) + sum(CHART["foci"][key] for key in form["foci"])
        if form["composition"] == "spongiform":
            points = 0
        result = tirads(form)
        assert (result.points, result.level, result.missing) == (points, LEVELS[min(points, 7)], ())
        count += 1
    assert count == 5 * 6 * 2 * 5 * 15


@pytest.mark.parametrize("left_out", list(CHART))
def test_a_form_with_one_question_open_has_no_level(left_out):
    form = {"composition": "solid", "echogenicity": "hypoechoic", "shape": "taller", "margin": "irregular"}
    form["foci"] = ["punctate"]
    whole = tirads(form)
    del form[left_out]
    result = tirads(form)
    assert whole.level == "TR5"
    assert result.level is None
    assert len(result.missing) == 1
    assert "open: " in summary(result)


def test_a_spongiform_nodule_needs_no_further_answer():
    assert tirads({"composition": "spongiform", "shape": "taller"}).level == "TR1"


@pytest.mark.parametrize("odd", [None, 3, "no such thing", ["solid"], {"a": 1}])
def test_odd_answers_in_a_file_count_as_open(odd):
    result = tirads(dict.fromkeys(CHART, odd))
    assert result.points == 0
    assert len(result.missing) == 5


def test_one_focus_named_twice_counts_once():
    assert tirads({"foci": ["rim", "rim"]}).points == 2


def test_levels_only_rise_with_points():
    levels = [level_of(points) or "TR1" for points in range(20)]
    assert levels == sorted(levels)


@pytest.mark.parametrize(("level", "biopsy", "follow"), [("TR3", 25, 15), ("TR4", 15, 10), ("TR5", 10, 5)])
def test_sizes_from_which_something_is_done(level, biopsy, follow):
    assert THRESHOLDS[level] == (biopsy, follow)
    assert "biopsy (" in advice(level, biopsy)
    assert ": follow-up (" in advice(level, biopsy - 0.1)
    assert ": follow-up (" in advice(level, follow)
    assert ": nothing" in advice(level, follow - 0.1)
    assert f"Biopsy from {biopsy} mm" in advice(level)


@pytest.mark.parametrize("level", ["TR1", "TR2"])
def test_nothing_is_done_about_low_levels(level):
    assert advice(level, 60.0) == "No biopsy, no follow-up."


@pytest.mark.parametrize(
    ("level", "tag", "word"),
    [
        ("TR5", "medullary carcinoma", "Agrees"),
        ("TR1", "nodular goitre", "Agrees"),
        ("TR5", "nodular goitre", "Differs"),
        ("TR1", "malignant", "Differs"),
        ("TR4", "papillary carcinoma", "Beside"),
        ("TR5", "follicular tumour", "Beside"),
        ("TR3", "TR2-3", "Agrees"),
        ("TR4", "TR4a", "Agrees"),
        ("TR4", "TR4c-5", "Agrees"),
        ("TR2", "TR4b", "Differs"),
    ],
)
def test_a_models_class_beside_a_level(level, tag, word):
    assert agreement(level, tag).startswith(word)
