"""Who does what next in a cohort, with programs that only say what they are asked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from napari_medseg.api.cohort import Answer, Item, Message, Pace, Task, predict_cohort
from napari_medseg.api.prediction_table import Table
from napari_medseg.api.slide_work import BandResult

BANDS = (30, 10)
Said = list[tuple[str, dict]]


class Programs:
    """Answers every task by a rule, the last one first; tells at most of `size` at a time."""

    def __init__(self, size: int, answer: Callable[[Task], Answer | str]) -> None:
        self.size = size
        self.begun: list[Task] = []
        self.done: list[Task] = []
        self._answer = answer
        self._tasks: dict[int, Task] = {}

    def start(self, number: int, task: Task) -> None:
        self._tasks[number] = task
        self.begun.append(task)
        assert len(self._tasks) <= self.size, "more than there are programs"

    def messages(self) -> list[Message]:
        number, task = self._tasks.popitem()
        self.done.append(task)
        answer = self._answer(task)
        heard = [Message(number, progress=(1, 2))]
        return [*heard, Message(number, lost=answer) if isinstance(answer, str) else Message(number, answer=answer)]


def finished(task: Task) -> Answer:
    return Answer(row={"input": str(task.item.file), "seconds": 0.0, "error": ""})


def in_bands(task: Task) -> Answer:
    if task.stage == "begin" and task.parts > 1:
        return Answer(bands=BANDS)
    if task.stage == "band":
        return Answer(band=BandResult(windows=BANDS[task.band], seconds={}, notes=()))
    return finished(task)


def predicted(programs: Programs, folder: Path, sizes: list[int]) -> tuple[list[dict], Said, str]:
    items = []
    for index, size in enumerate(sizes):
        (folder / f"{index}.svs").write_bytes(bytes(size))
        items.append(Item(index, folder / f"{index}.svs", str(index)))
    said: Said = []
    table = Table(folder / "predictions.csv", ["input", "seconds", "error"])
    rows = predict_cohort(
        programs,
        items,
        lambda file: {"input": str(file), "seconds": 0.0, "error": ""},
        table,
        lambda event, **values: said.append((event, values)),
    )
    return rows, said, (folder / "predictions.csv").read_text()


def test_the_largest_are_begun_first_and_rows_keep_the_order_of_the_list(tmp_path: Path) -> None:
    programs = Programs(2, finished)
    rows, said, table = predicted(programs, tmp_path, [10, 50, 30, 70])
    assert [task.item.index for task in programs.begun] == [3, 1, 2, 0]
    assert [Path(row["input"]).name for row in rows] == ["0.svs", "1.svs", "2.svs", "3.svs"]
    assert [line.split(",")[0].rpartition("/")[2] for line in table.splitlines()[1:]] == [f"{i}.svs" for i in range(4)]
    assert {values["index"] for event, values in said if event == "item_started"} == {0, 1, 2, 3}
    assert all(task.parts == 1 for task in programs.done), "there is enough to do for both"


def test_one_slide_is_shared_in_bands_and_put_together_by_one(tmp_path: Path) -> None:
    programs = Programs(2, in_bands)
    (row,), _, _ = predicted(programs, tmp_path, [10])
    assert row["error"] == ""
    assert [task.stage for task in programs.done] == ["begin", "band", "band", "finish"]
    assert [one.windows for one in programs.done[-1].done] == list(BANDS), "in their own order"


def test_three_slides_for_four_programs_are_all_cut(tmp_path: Path) -> None:
    programs = Programs(4, in_bands)
    predicted(programs, tmp_path, [10, 10, 10])
    assert sum(task.stage == "band" for task in programs.done) >= 4


@pytest.mark.parametrize("stage", ["begin", "band", "finish"])
def test_what_is_lost_is_begun_again_and_given_up_after_three_times(tmp_path: Path, stage: str) -> None:
    lost = []

    def answer(task: Task) -> Answer | str:
        if task.stage == stage and task.item.index == 1:
            lost.append(task)
            return "It ended"
        return in_bands(task)

    rows, said, _ = predicted(Programs(4, answer), tmp_path, [10, 20])
    assert rows[0]["error"] == ""
    assert rows[1]["error"].startswith("It ended, 3 times")
    bands = {task.band for task in lost}
    assert all(sum(task.band == band for task in lost) <= 3 for band in bands)
    assert sum("another one goes on" in values.get("text", "") for _, values in said) >= 2


def test_a_band_that_fails_ends_its_slide_once(tmp_path: Path) -> None:
    def answer(task: Task) -> Answer | str:
        return Answer(row={**finished(task).row, "error": "no"}) if task.stage == "band" else in_bands(task)

    programs = Programs(2, answer)
    (row,), said, _ = predicted(programs, tmp_path, [10])
    assert row["error"] == "no"
    assert sum(event == "item_ended" for event, _ in said) == 1
    assert "finish" not in [task.stage for task in programs.done]


def test_the_pace_counts_what_was_done_now_alone() -> None:
    clock = iter(range(100, 200, 10))
    pace = Pace(80, clock=lambda: next(clock))
    pace.skip(40)
    assert pace.left(42) is None, "one look tells no pace"
    assert pace.left(50) == pytest.approx(10 / 8 * 30)
    pace.skip(5)
    assert pace.left(55) == pytest.approx(20 / 8 * 25)
    assert pace.share(60) == 0.75
