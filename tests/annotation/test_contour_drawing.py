"""Acts of drawing contours, each one step of the history."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from napari_medseg.annotation.contour_drawing import ContourDrawing, Look
from napari_medseg.data.slide_contours import SlideContours
from napari_medseg.errors import AnnotationError
from napari_medseg.io.contour_file import Contour, Part
from napari_medseg.structures import MaskClass

TUMOR, STROMA = Look("Tumor", "#e69f00"), Look("Stroma", "#56b4e9")
CLASSES = tuple(MaskClass(value=i, name=look.name, color=look.color) for i, look in ((1, TUMOR), (2, STROMA)))


def square(y: float, x: float, side: float) -> np.ndarray:
    return np.array([(y, x), (y, x + side), (y + side, x + side), (y + side, x)], np.float64)


def labels(drawing: ContourDrawing) -> np.ndarray:
    return drawing.present.labels(((0, 100), (0, 100)), 1, CLASSES)


def test_every_act_can_be_undone_and_done_again() -> None:
    calls: list[int] = []
    drawing = ContourDrawing(SlideContours(), lambda: calls.append(len(drawing.present.contours)))
    seen = [labels(drawing)]

    def act(work) -> None:
        work()
        seen.append(labels(drawing))

    act(lambda: drawing.draw(square(10, 10, 40), "new", TUMOR))
    act(lambda: drawing.draw(square(20, 20, 10), "cut", TUMOR))
    act(lambda: drawing.draw(square(30, 30, 40), "add", TUMOR))
    act(lambda: drawing.draw(square(60, 60, 20), "new", STROMA))
    tumor, stroma = drawing.present.contours
    act(lambda: drawing.mark({tumor.id}, STROMA))
    act(lambda: drawing.reshape({stroma.id: (Part(outer=square(0, 0, 9)),)}))
    act(lambda: drawing.remove({tumor.id}))
    assert len(calls) == 7
    assert all((a != b).any() for a, b in itertools.pairwise(seen))
    for before in reversed(seen[:-1]):
        assert drawing.undo()
        np.testing.assert_array_equal(labels(drawing), before)
    assert not drawing.undo()
    for after in seen[1:]:
        assert drawing.redo()
        np.testing.assert_array_equal(labels(drawing), after)
    assert not drawing.redo()


def test_what_is_added_becomes_one_contour_with_all_of_its_class_that_it_meets() -> None:
    drawing = ContourDrawing(SlideContours(), lambda: None)
    for x in (0, 40):
        drawing.draw(square(0, x, 20), "new", TUMOR)
    drawing.draw(square(0, 20, 19), "new", STROMA)
    first = drawing.present.contours[0].id
    drawing.draw(square(10, 5, 50), "add", TUMOR)
    assert [(c.class_name, len(c.parts)) for c in drawing.present.contours] == [("Tumor", 1), ("Stroma", 1)]
    assert drawing.present.contours[0].id == first
    # Where it meets none, it is one of its own.
    drawing.draw(square(90, 90, 5), "add", TUMOR)
    assert len(drawing.present.contours) == 3


def test_chosen_contours_are_cut_whatever_class_is_drawn_and_others_are_left() -> None:
    drawing = ContourDrawing(SlideContours(), lambda: None)
    drawing.draw(square(0, 0, 50), "new", TUMOR)
    drawing.draw(square(0, 0, 50), "new", STROMA)
    tumor, stroma = drawing.present.contours
    drawing.draw(square(10, 10, 5), "cut", STROMA, {tumor.id})
    assert [len(c.parts[0].holes) for c in drawing.present.contours] == [1, 0]
    drawing.draw(square(0, 0, 60), "cut", STROMA)
    assert [c.id for c in drawing.present.contours] == [tumor.id]
    before = drawing.present
    with pytest.raises(AnnotationError, match="No contour of 'Stroma'"):
        drawing.draw(square(0, 0, 60), "cut", STROMA)
    assert drawing.present is before
    assert stroma.id != tumor.id


def test_contours_of_a_file_get_new_ids_where_theirs_are_taken() -> None:
    here = Contour(parts=(Part(outer=square(0, 0, 9)),), id="1")
    drawing = ContourDrawing(SlideContours(contours=(here,)), lambda: None)
    drawing.add([Contour(parts=(Part(outer=square(20, 0, 9)),), id=name) for name in ("1", "2")])
    ids = [c.id for c in drawing.present.contours]
    assert len(set(ids)) == 3
    assert ids[0::2] == ["1", "2"]
    drawing.undo()
    assert drawing.present.contours == (here,)
