"""The settings form: what goes in comes out, and what cannot be is said beside its field."""

from __future__ import annotations

import math
from typing import Annotated, Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import Field, model_validator
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QAbstractSpinBox, QCheckBox, QComboBox, QLabel, QLineEdit, QPushButton, QToolButton

from napari_medseg.config import Settings
from napari_medseg.errors import ConfigError
from napari_medseg.schemes import SCHEMES
from napari_medseg.widgets.form import SettingsForm
from napari_medseg.widgets.number_edit import NumberEdit


class Body(Settings):
    encoder: str = Field("plain", json_schema_extra={"suggestions": ["plain", "deep"]})


class Candidate(Settings):
    kind: Literal["net"] = "net"
    depth: int = Field(2, ge=1)
    body: Body = Body()


class Group(Settings):
    rate: float = Field(1e-3, gt=0, description="Highest rate.", json_schema_extra={"basic": True})
    weight: float = Field(0.0, ge=0, le=1)
    steps: int | None = Field(None, ge=1)


class Everything(Settings):
    """One field of every kind that a form must edit."""

    scheme: Literal["everything"] = "everything"
    group: Group = Group()
    flag: bool = True
    maybe: bool | None = None
    count: int = Field(3, ge=-(10**12), le=10**12)
    real: float = 0.5
    ratio: float | None = None
    mode: Literal["a", "b", 3] = "a"
    choice: Literal["x", "y"] | None = None
    words: str = "text"
    note: str | None = None
    size: tuple[int, int] = (448, 448)
    scales: tuple[float, ...] = (1.0,)
    names: list[str] = Field(default_factory=list)
    table: dict[str, float] = Field(default_factory=dict)
    candidates: tuple[Candidate, ...] = ()
    either: int | Literal["auto"] = "auto"
    part: Annotated[float, Field(ge=0, le=1)] = 0.25


finite = st.floats(allow_nan=False, allow_infinity=False)
share = st.floats(0, 1)
groups = st.builds(
    Group,
    rate=st.floats(0, 1, exclude_min=True),
    weight=share,
    steps=st.none() | st.integers(1, 2**40),
)
bodies = st.builds(Body, encoder=st.sampled_from(["plain", "deep", "another"]))
everything = st.builds(
    Everything,
    group=groups,
    flag=st.booleans(),
    maybe=st.none() | st.booleans(),
    count=st.integers(-(10**12), 10**12),
    real=st.floats(allow_nan=False),
    ratio=st.none() | finite,
    mode=st.sampled_from(["a", "b", 3]),
    choice=st.sampled_from(["x", "y", None]),
    words=st.text(),
    note=st.none() | st.text(),
    size=st.tuples(st.integers(), st.integers()),
    scales=st.lists(finite).map(tuple),
    names=st.lists(st.text()),
    table=st.dictionaries(st.text(), finite),
    candidates=st.lists(st.builds(Candidate, depth=st.integers(1, 9), body=bodies), max_size=4).map(tuple),
    either=st.integers() | st.just("auto"),
    part=share,
)


@pytest.fixture(scope="module")
def form(qapp):
    return SettingsForm(Everything)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(config=everything)
def test_settings_come_back_as_they_were_shown(form, config):
    form.set_settings(config)
    assert form.fault() == ""
    assert form.settings() == config


@pytest.mark.parametrize("key", SCHEMES)
def test_every_scheme_and_profile_comes_back(qtbot, key):
    scheme = SCHEMES[key]
    shown = SettingsForm(scheme.config_type)
    qtbot.addWidget(shown)
    assert shown.settings() == scheme.config_type()
    from napari_medseg.schemes import build_config

    for profile in scheme.profiles:
        config = build_config(scheme, profile=profile)
        shown.set_settings(config)
        assert shown.settings() == config


def test_infinity_and_tiny_numbers_survive(form):
    for value in (math.inf, -math.inf, 5e-324, 1e-7, 0.1 + 0.2, 1e22):
        form.set_settings(Everything(real=value))
        assert form.settings().real == value


def test_typed_numbers_are_read_as_people_write_them(qtbot):
    form = SettingsForm(Everything)
    qtbot.addWidget(form)
    edit = form.editor("group.rate").findChild(QLineEdit)
    for text, value in (("3e-4", 3e-4), ("0,002", 0.002), (" 1 ", 1.0), ("1E-5", 1e-5)):
        edit.clear()
        qtbot.keyClicks(edit, text)
        assert form.settings().group.rate == value


@pytest.mark.parametrize(
    ("path", "text", "words"),
    [
        ("group.rate", "fast", "'fast' is not a number"),
        ("group.rate", "", "Enter a number"),
        ("group.rate", "0", "greater than 0"),
        ("group.weight", "1.5", "less than or equal to 1"),
        ("group.steps", "2.5", "'2.5' is not a whole number"),
        ("size", "448", "A value is missing"),
        ("size", "448, wide", "numbers separated by commas"),
        ("table", "{'a': 1}", "valid dictionary"),
    ],
)
def test_a_fault_is_one_sentence_beside_its_field(qtbot, path, text, words):
    form = SettingsForm(Everything)
    qtbot.addWidget(form)
    form.editor(path).findChild(QLineEdit).setText(text)
    sentence = form.fault_at(path)
    assert words in sentence
    assert sentence.endswith(".")
    assert "\n" not in sentence
    assert form.fault()
    with pytest.raises(ConfigError, match=path):
        form.settings()
    form.set_settings(Everything())
    assert form.fault_at(path) == "" == form.fault()


def test_a_fault_between_fields_is_shown_too(qtbot):
    class Window(Settings):
        size: int = 64
        stride: int = 32

        @model_validator(mode="after")
        def _check(self):
            if self.stride > self.size:
                raise ValueError("the stride must not exceed the size")
            return self

    form = SettingsForm(Window)
    qtbot.addWidget(form)
    form.editor("stride").put(65)
    assert "stride must not exceed" in form.fault()
    assert form.fault_at("stride") == ""


def test_basic_fields_come_first_and_others_are_folded(qtbot):
    form = SettingsForm(Everything)
    qtbot.addWidget(form)
    form.show()
    assert form.editor("group.rate").isVisible()
    assert not form.editor("group.weight").isVisible()
    for title in ("More settings", "Group"):
        button = next(b for b in form.findChildren(QToolButton) if b.text() == title)
        qtbot.mouseClick(button, Qt.MouseButton.LeftButton)
    assert form.editor("group.weight").isVisible()


def test_fields_with_one_possible_value_are_not_shown_but_kept(qtbot):
    form = SettingsForm(Everything)
    qtbot.addWidget(form)
    with pytest.raises(StopIteration):
        form.editor("scheme")
    assert form.settings().scheme == "everything"


def test_tooltips_say_description_limits_and_default(qtbot):
    form = SettingsForm(Everything)
    qtbot.addWidget(form)
    assert "Highest rate. (at least 0, default 0.001)" in form.editor("group.rate").toolTip()


def test_every_edit_is_announced_once(qtbot):
    form = SettingsForm(Everything)
    qtbot.addWidget(form)
    heard = []
    form.changed.connect(lambda: heard.append(1))
    form.editor("flag").findChild(QCheckBox).click()
    assert len(heard) == 1
    form.editor("mode").findChild(QComboBox).setCurrentIndex(2)
    assert len(heard) == 2
    assert form.settings().mode == 3
    form.set_settings(Everything())
    assert len(heard) == 3


@pytest.mark.parametrize(
    ("start", "keys", "end"),
    [
        (0.001, [Qt.Key.Key_Up], 0.0011),
        (0.001, [Qt.Key.Key_Down], 0.0009),
        (0.001, [Qt.Key.Key_PageUp], 0.002),
        (0.25, [Qt.Key.Key_Up] * 3, 0.28),
        (0.0, [Qt.Key.Key_Up], 0.01),
        (0.995, [Qt.Key.Key_PageUp], 1.0),
        (0.0, [Qt.Key.Key_Down], 0.0),
        (64, [Qt.Key.Key_Up], 65),
        (64, [Qt.Key.Key_PageDown], 54),
        (2**40, [Qt.Key.Key_Down], 2**40 - 1),
    ],
)
def test_arrow_keys_step_exactly_and_stay_within_limits(qtbot, start, keys, end):
    edit = NumberEdit(type(start), minimum=0, maximum=1 if isinstance(start, float) else None)
    qtbot.addWidget(edit)
    edit.set_number(start)
    for key in keys:
        qtbot.keyClick(edit, key)
    assert edit.number() == end


def test_wheel_scrolls_the_panel_unless_the_field_has_the_focus(qtbot):
    from qtpy.QtCore import QPoint, QPointF
    from qtpy.QtGui import QWheelEvent
    from qtpy.QtWidgets import QApplication

    form = SettingsForm(Everything)
    qtbot.addWidget(form)
    form.show()
    spin = form.editor("group.rate").findChild(QAbstractSpinBox)
    combo = form.editor("mode").findChild(QComboBox)
    for widget in (spin, combo):
        widget.clearFocus()
        event = QWheelEvent(
            QPointF(5, 5),
            QPointF(widget.mapToGlobal(QPoint(5, 5))),
            QPoint(0, 0),
            QPoint(0, 120),
            Qt.MouseButton.NoButton,
            Qt.KeyboardModifier.NoModifier,
            Qt.ScrollPhase.NoScrollPhase,
            False,
        )
        QApplication.sendEvent(widget, event)
        assert not event.isAccepted()
    assert form.settings() == Everything()


def test_rows_are_added_as_copies_edited_and_removed(qtbot):
    form = SettingsForm(Everything)
    qtbot.addWidget(form)
    form.set_settings(Everything(candidates=(Candidate(depth=3),)))
    rows = form.editor("candidates")
    add = rows.findChild(QPushButton, "add_row")
    qtbot.mouseClick(add, Qt.MouseButton.LeftButton)
    rows.editor(1, "body.encoder").put("deep")
    assert form.settings().candidates == (Candidate(depth=3), Candidate(depth=3, body=Body(encoder="deep")))
    with qtbot.waitSignal(form.changed):
        qtbot.mouseClick(rows.findChildren(QToolButton)[0], Qt.MouseButton.LeftButton)
    assert form.settings().candidates == (Candidate(depth=3, body=Body(encoder="deep")),)
    qtbot.mouseClick(rows.findChildren(QToolButton)[-1], Qt.MouseButton.LeftButton)
    assert form.settings().candidates == ()
    qtbot.mouseClick(add, Qt.MouseButton.LeftButton)
    assert form.settings().candidates == (Candidate(),)


def test_a_fault_in_a_row_names_row_and_field(qtbot):
    form = SettingsForm(Everything)
    qtbot.addWidget(form)
    form.set_settings(Everything(candidates=(Candidate(), Candidate())))
    rows = form.editor("candidates")
    rows.editor(1, "depth").put(0)
    assert form.fault_at("candidates") == "Row 2, depth: Input should be greater than or equal to 1."
    rows.editor(1, "depth").findChild(QLineEdit).setText("two")
    assert form.fault_at("candidates") == "Row 2, depth: 'two' is not a whole number."


def test_suggestions_can_be_chosen_and_other_words_typed(qtbot):
    form = SettingsForm(SCHEMES["pathology"].config_type)
    qtbot.addWidget(form)
    box = form.editor("network.encoder").findChild(QComboBox)
    box.setCurrentIndex(box.findText("resnet34"))
    assert form.settings().network.encoder == "resnet34"
    box.lineEdit().setText("")
    qtbot.keyClicks(box, "resnet3")
    assert form.settings().network.encoder == "resnet3"


def test_units_stand_behind_values(qtbot):
    form = SettingsForm(SCHEMES["pathology"].config_type)
    qtbot.addWidget(form)
    assert "patches" in {label.text() for label in form.findChildren(QLabel)}
