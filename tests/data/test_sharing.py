"""One data set, several programs: whatever they do at the same time, and whoever dies or saves an old table, nothing
that was written is lost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_medseg.data.checking import check
from napari_medseg.data.dataset import Dataset
from napari_medseg.data.history import Change
from napari_medseg.data.lost_changes import lost_changes, restored
from napari_medseg.data.repairing import repair
from napari_medseg.data.table import Table
from napari_medseg.data.table_merging import merged
from napari_medseg.errors import ConflictError
from tests.data.folders import INFO, make_cases, write_picture

# Each program counts in a row of its own, and appends its letter in a row that both edit.
_UPDATES = """
import sys
if sys.argv[4] == "no file locks":
    import errno, fcntl
    def refuse(*_):
        raise OSError(errno.ENOLCK, "No locks available")
    fcntl.flock = fcntl.lockf = refuse
from napari_medseg.data.dataset import Dataset
from napari_medseg.errors import ConflictError, LockedError
me = sys.argv[2]
data = Dataset.open(sys.argv[1], author=me)

def save(name, note):
    # As a person does who is told that somebody else changed the row, or is writing just now.
    while True:
        case = data.case(name)
        try:
            data.update_case(name, revision=case.revision, note=note(case))
            return
        except (ConflictError, LockedError):
            pass

for i in range(int(sys.argv[3])):
    save(me, lambda case: str(i))
    save("shared", lambda case: case.note + me)
"""

# Takes the lock of the table and never lets go.
_HOLDS = """
import sys, time
from pathlib import Path
from napari_medseg.data.locking import FileLock
with FileLock(Path(sys.argv[1]) / "cases.lock", timeout=60):
    print("held", flush=True)
    time.sleep(600)
"""

# Opens the table, thinks for a while, and saves its whole copy with a count in a column of its own; it knows no lock.
_SPREADSHEET = """
import csv, os, random, sys, time
path, stop = sys.argv[1] + "/cases.csv", sys.argv[1] + "/stop"
random.seed(1)
count = 0
while not os.path.exists(stop):
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    count += 1
    for row in rows:
        row["seen"] = str(count)
    time.sleep(random.uniform(0, 0.05))
    with open(path + ".xls", "w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    os.replace(path + ".xls", path)
    time.sleep(random.uniform(0, float(sys.argv[2])))
print(count)
"""

many = pytest.param(1000, marks=[pytest.mark.slow, pytest.mark.timeout(3600)])


def start(folder: Path) -> Dataset:
    dataset = Dataset.create(folder / "data", INFO, author="tester")
    for name in ("a", "b", "shared"):
        dataset.add_case(write_picture(folder / f"{name}.tif"))
    return dataset


def writers(dataset: Dataset, times: int, locks: str = "as they are") -> list[subprocess.Popen[bytes]]:
    arguments = [[str(dataset.path), name, str(times), locks] for name in "ab"]
    return [subprocess.Popen([sys.executable, "-c", _UPDATES, *each]) for each in arguments]


def assert_nothing_is_lost(path: Path, times: int) -> None:
    dataset = Dataset.open(path)
    assert dataset.case("a").note == dataset.case("b").note == str(times - 1)
    assert sorted(dataset.case("shared").note) == ["a"] * times + ["b"] * times
    updates = [change for change in dataset.history.read() if change.what == "update"]
    for name in ("a", "b"):
        assert [dict(c.after)["note"] for c in updates if c.case == name] == [str(i) for i in range(times)]
    assert not [fault for fault in check(dataset) if fault.severity == "error"]


@pytest.mark.parametrize("locks", ["as they are", "no file locks"])
@pytest.mark.parametrize("times", [40, many])
def test_two_programs_that_write_at_the_same_time_lose_nothing(tmp_path: Path, times: int, locks: str) -> None:
    dataset = start(tmp_path)
    assert [writer.wait(3600) for writer in writers(dataset, times, locks)] == [0, 0]
    assert_nothing_is_lost(dataset.path, times)
    dataset.reload()
    shared = [c.revision for c in dataset.history.read() if c.what == "update" and c.case == "shared"]
    assert shared == list(range(2, 2 * times + 2)), "one revision after the other, none twice"
    assert dataset.case("a").revision == times + 1


@pytest.mark.parametrize("times", [20, many])
def test_a_killed_holder_of_the_lock_stops_nobody(tmp_path: Path, times: int) -> None:
    dataset = start(tmp_path)
    working = writers(dataset, times)
    killed = 0
    while any(writer.poll() is None for writer in working) or not killed:
        with subprocess.Popen(
            [sys.executable, "-c", _HOLDS, str(dataset.path)], stdout=subprocess.PIPE, text=True
        ) as holder:
            assert holder.stdout is not None
            assert holder.stdout.readline() == "held\n"
            holder.kill()
            killed += 1
    assert [writer.wait(3600) for writer in working] == [0, 0]
    # The last one may have died after everybody was done.
    assert repair(dataset.path) == []
    assert_nothing_is_lost(dataset.path, times)


@pytest.mark.parametrize("times", [20, many])
def test_a_spreadsheet_that_saves_old_tables_all_the_time_costs_nothing(tmp_path: Path, times: int) -> None:
    dataset = start(tmp_path)
    command = [sys.executable, "-c", _SPREADSHEET, str(dataset.path), "0.2" if times < 100 else "1.0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as spreadsheet:
        codes = [writer.wait(3600) for writer in writers(dataset, times)]
        (dataset.path / "stop").touch()
        assert codes == [0, 0]
        assert spreadsheet.stdout is not None
        count = int(spreadsheet.stdout.read())
    repair(dataset.path)
    found = Dataset.open(dataset.path)
    # Every row holds what was written last, and every change is in the history with both sides of a clash.
    assert found.case("a").note == found.case("b").note == str(times - 1)
    letters = [dict(c.after)["note"] for c in found.history.read() if c.what == "update" and c.case == "shared"]
    assert len([text for text in letters if text.endswith("a")]) >= times
    assert len([text for text in letters if text.endswith("b")]) >= times
    assert {case.extra["seen"] for case in found.cases} == {str(count)}, "what the spreadsheet saved stays too"
    assert not [fault for fault in check(found) if fault.severity == "error"]


def test_a_table_replaced_between_reading_and_writing_keeps_both_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = make_cases(tmp_path, 3)
    path = dataset.path / "cases.csv"
    append, saved = dataset.history.write, []

    def saved_meanwhile(*changes: Change) -> None:
        # The history is written after the table was read, and before it is replaced.
        append(*changes)
        if not saved:
            saved.append(path.write_text(path.read_text().replace("todo", "draft")))

    monkeypatch.setattr(dataset.history, "write", saved_meanwhile)
    case = dataset.update_case("c0", revision=1, tag="benign")
    assert (case.tag, case.status, case.revision) == ("benign", "draft", 2)
    on_disk = Dataset.open(dataset.path)
    assert [c.status for c in on_disk.cases] == ["draft"] * 3
    assert on_disk.cases == dataset.cases


def test_both_versions_are_kept_where_a_spreadsheet_changed_the_same_cell_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = make_cases(tmp_path, 1)
    dataset.update_case("c0", revision=1, tag="benign")
    path, append, saved = dataset.path / "cases.csv", dataset.history.write, []

    def saved_meanwhile(*changes: Change) -> None:
        append(*changes)
        if not saved:
            saved.append(path.write_text(path.read_text().replace("benign", "malignant")))

    monkeypatch.setattr(dataset.history, "write", saved_meanwhile)
    assert dataset.update_case("c0", revision=2, tag="").tag == ""
    assert {"tag": "malignant"} in [dict(c.after) for c in dataset.history.read() if c.what == "conflict"]


def test_an_old_table_saved_over_a_new_one_is_mended_by_whoever_still_works(tmp_path: Path) -> None:
    dataset = make_cases(tmp_path, 2)
    other = Dataset.open(dataset.path, author="other")
    old = (dataset.path / "cases.csv").read_bytes()
    dataset.update_case("c0", revision=1, tag="benign")
    other.reload()
    other.update_case("c0", revision=2, status="done")
    (dataset.path / "cases.csv").write_bytes(old)
    # Another row is changed; the lost one comes back with it.
    other.update_case("c1", revision=1, note="x")
    case = Dataset.open(dataset.path).case("c0")
    assert (case.tag, case.status, case.revision) == ("benign", "done", 3)


def test_a_change_made_upon_an_old_table_and_the_change_that_it_hid_are_both_kept(tmp_path: Path) -> None:
    dataset = make_cases(tmp_path, 1)
    old = (dataset.path / "cases.csv").read_bytes()
    dataset.update_case("c0", revision=1, tag="benign")
    (dataset.path / "cases.csv").write_bytes(old)
    # A program that knows nothing of the lost change has the same revision for another one.
    Dataset.open(dataset.path, author="other").update_case("c0", revision=1, note="x")
    assert any("later changes (tag)" in fault.text for fault in check(Dataset.open(dataset.path)))
    repair(dataset.path)
    case = Dataset.open(dataset.path).case("c0")
    assert (case.tag, case.note, case.revision) == ("benign", "x", 3)
    assert repair(dataset.path) == []


def test_a_change_by_hand_is_not_taken_for_a_loss(tmp_path: Path) -> None:
    dataset = make_cases(tmp_path, 1)
    dataset.update_case("c0", revision=1, tag="benign")
    path = dataset.path / "cases.csv"
    path.write_text(path.read_text().replace("benign", "malignant"))
    dataset.reload()
    assert dataset.case("c0").tag == "malignant"
    dataset.update_case("c0", revision=2, note="x")
    assert Dataset.open(dataset.path).case("c0").tag == "malignant"
    assert repair(dataset.path) == []


names = st.sampled_from(["a", "b", "c"])
tables = st.lists(
    st.tuples(names, st.sampled_from("xyz"), st.sampled_from("uvw")), max_size=3, unique_by=lambda r: r[0]
)


def table_of(rows: Sequence[tuple[str, ...]]) -> Table:
    return Table(columns=("case", "tag", "note"), rows=tuple(rows))


def cells_of(table: Table) -> dict[str, tuple[str, str]]:
    return {table.cell(r, "case"): (table.cell(r, "tag"), table.cell(r, "note")) for r in range(len(table.rows))}


@settings(deadline=None)
@given(tables, tables, tables)
def test_merging_keeps_what_either_side_changed(base, ours, theirs) -> None:
    found, replaced = merged(*(table_of(rows) for rows in (base, ours, theirs)))
    before, mine, other, result = (cells_of(t) for t in (table_of(base), table_of(ours), table_of(theirs), found))
    for case in {*before, *mine, *other}:
        if case in mine and mine[case] != before.get(case):
            for place in (0, 1):
                changed = mine[case][place] != before.get(case, ("", ""))[place]
                expected = mine if changed or case not in other else other
                assert result[case][place] == expected[case][place]
        elif case in other and not (case in before and case not in mine):
            assert result[case] == other[case]
        else:
            assert case not in result
    for case, cells in replaced.items():
        assert all(text in other[case] for text in cells.values())


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["tag", "note"]), st.integers(0, 99)), min_size=1, max_size=8), st.data())
def test_a_row_that_went_back_anywhere_comes_back_whole(updates, data) -> None:
    table = Table(columns=("case", "image", "tag", "note", "revision"), rows=(("c", "i", "", "", "1"),))
    versions, changes = [table], []
    for number, (column, value) in enumerate(updates, start=2):
        table = table.with_cells(0, {column: str(value), "revision": str(number)})
        versions.append(table)
        changes.append(
            Change(time=f"{number:03}", author="", case="c", what="update", after={column: str(value)}, revision=number)
        )
    old = versions[data.draw(st.integers(0, len(versions) - 1))]
    again = restored(old, lost_changes(old, changes))
    assert [again.cell(0, name) for name in ("tag", "note", "revision")] == [
        table.cell(0, name) for name in ("tag", "note", "revision")
    ]
    assert lost_changes(again, changes) == {}


def test_a_conflict_with_another_program_leaves_both_versions(tmp_path: Path) -> None:
    dataset = make_cases(tmp_path, 1)
    Dataset.open(dataset.path, author="other").update_case("c0", revision=1, tag="benign")
    with pytest.raises(ConflictError):
        dataset.update_case("c0", revision=1, tag="malignant")
    said = {(c.what, dict(c.after).get("tag")) for c in dataset.history.read()}
    assert {("update", "benign"), ("conflict", "malignant")} <= said


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="stops a program as Unix does it")
def test_a_program_that_stalls_in_the_middle_of_a_write_overwrites_nothing(tmp_path: Path) -> None:
    dataset = start(tmp_path)
    working = writers(dataset, 15)
    for _ in range(5):
        if working[0].poll() is None:
            os.kill(working[0].pid, signal.SIGSTOP)
            time.sleep(0.1)
            os.kill(working[0].pid, signal.SIGCONT)
    assert [writer.wait(600) for writer in working] == [0, 0]
    assert_nothing_is_lost(dataset.path, 15)
