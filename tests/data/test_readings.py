"""Several readers of one data set, reviews, consensus, and what work cost."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from napari_medseg.api.agreement import agreement
from napari_medseg.api.consensus import adjudicate, adjudicate_all, case_consensus
from napari_medseg.api.work_report import work_report
from napari_medseg.data.checking import check
from napari_medseg.data.dataset import Dataset
from napari_medseg.data.dataset_file import mask_classes
from napari_medseg.data.finishing import mark_done, mark_empty, record_labels
from napari_medseg.data.label_store import LabelStore
from napari_medseg.data.readings import (
    all_readings,
    ask_reader,
    finished_readings,
    open_reading,
    reader_names,
    refuse_early_look,
    rename_tag,
)
from napari_medseg.data.reviewing import (
    add_reviewed_region,
    locked_pixels,
    mark_reviewed,
    reviewed_regions,
    unlock,
    unlock_regions,
)
from napari_medseg.data.work_log import (
    Outcome,
    corrected_cases,
    keep_proposal,
    log_work,
    outcome_of,
    work_records,
)
from napari_medseg.errors import ConflictError, DatasetError, ReviewedError
from napari_medseg.structures import Surface
from tests.data.folders import INFO, make_cases, write_picture

SHAPE = (40, 30)
WHOLE = ((0, 40), (0, 30))


def draw(dataset: Dataset, case_id: str, rows: tuple[int, int], *, tag: str = "", done: bool = True) -> None:
    """A bar of class 1 between two rows, background elsewhere."""
    case = dataset.case(case_id)
    store = dataset.label_store(case, SHAPE)
    store.read()
    labels = np.zeros(SHAPE, np.uint8)
    labels[slice(*rows)] = 1
    store.write_box(WHOLE, labels)
    case = record_labels(dataset, case_id, store, revision=case.revision)
    if done:
        mark_done(dataset, case_id, store, revision=case.revision, tag=tag)


def bar(dataset: Dataset, case_id: str) -> tuple[int, int]:
    """Rows between which class 1 is drawn."""
    labels = dataset.read_labels(dataset.case(case_id))
    assert labels is not None
    rows = np.flatnonzero((labels == 1).any(axis=1))
    return int(rows[0]), int(rows[-1]) + 1


def test_a_reading_is_begun_beside_the_first_one_and_hides_nothing_of_its_own(tmp_path: Path) -> None:
    dataset = make_cases(tmp_path, 2)
    draw(dataset, "c0", (10, 20), tag="benign")
    reading = open_reading(dataset.path, "ben")
    assert [(case.case, case.status, case.tag, case.label) for case in reading.cases] == [
        ("c0", "todo", "", ""),
        ("c1", "todo", "", ""),
    ]
    assert reading.read_image(reading.case("c0")).shape == SHAPE
    draw(reading, "c0", (12, 22), tag="malignant")
    assert (bar(dataset, "c0"), bar(reading, "c0")) == ((10, 20), (12, 22))
    again = open_reading(dataset.path, "ben")
    assert (again.case("c0").author, again.case("c0").tag) == ("ben", "malignant")
    assert reader_names(dataset.path) == ("ben",)
    assert not [fault for fault in check(Dataset.open(dataset.path)) if fault.severity == "error"]


def test_a_reading_follows_what_changes_in_the_data_set(tmp_path: Path) -> None:
    dataset = make_cases(tmp_path, 1)
    reading = open_reading(dataset.path, "ben")
    added = dataset.add_case(write_picture(tmp_path / "new.tif"), group="p9")
    case = dataset.case("c0")
    dataset.update_case("c0", revision=case.revision, group="moved", tag="benign")
    reading.reload()
    assert (reading.case(added.case).group, reading.case("c0").group, reading.case("c0").tag) == ("p9", "moved", "")
    reading.set_info(replace(reading.info, classes=mask_classes(["gland", "tumour", "vessel"])))
    dataset.reload()
    assert [c.name for c in dataset.info.classes] == ["gland", "tumour", "vessel"]
    dataset.remove_case(added.case, revision=1)
    reading.reload()
    assert [case.case for case in reading.cases] == ["c0"]
    draw(reading, "c0", (1, 2), tag="malignant")
    rename_tag(dataset, "malignant", "cancer")
    assert open_reading(dataset.path, "ben").case("c0").tag == "cancer"
    for refused in (lambda: reading.split(), lambda: reading.rename_tag("a", "b")):
        with pytest.raises(DatasetError, match="open the data set itself"):
            refused()
    assert reading.add_case(write_picture(tmp_path / "other.tif")).case == "other"
    assert Dataset.open(dataset.path).find("other") is not None


def test_who_was_asked_reads_those_cases_alone(tmp_path: Path) -> None:
    dataset = make_cases(tmp_path, 4)
    assert ask_reader(dataset, "ben", ["c1", "c3"]) == 2
    assert ask_reader(dataset, "ben", ["c1"]) == 0
    ask_reader(dataset, "cora", ["c1"])
    assert [case.case for case in open_reading(dataset.path, "ben").cases] == ["c1", "c3"]
    assert [case.case for case in open_reading(dataset.path, "cora").cases] == ["c1"]
    assert [case.case for case in open_reading(dataset.path, "dan").cases] == ["c0", "c1", "c2", "c3"]


@pytest.mark.parametrize("name", ["", "a/b", "..", "con"])
def test_a_name_that_cannot_be_a_folder_is_refused(tmp_path: Path, name: str) -> None:
    dataset = make_cases(tmp_path, 1)
    with pytest.raises(DatasetError, match="name of a reader"):
        open_reading(dataset.path, name)
    assert not (dataset.path / "raters").exists()


def test_a_blind_reader_sees_others_only_when_done(tmp_path: Path) -> None:
    dataset = make_cases(tmp_path, 1)
    draw(dataset, "c0", (10, 20))
    reading = open_reading(dataset.path, "ben")
    with pytest.raises(DatasetError, match="hidden until yours is done"):
        refuse_early_look(reading, "c0")
    draw(reading, "c0", (12, 22), done=False)
    with pytest.raises(DatasetError, match="hidden until yours is done"):
        refuse_early_look(reading, "c0")
    draw(reading, "c0", (12, 22))
    refuse_early_look(reading, "c0")
    dataset.set_info(replace(INFO, blind=False))
    refuse_early_look(open_reading(dataset.path, "cora"), "c0")
    assert not Dataset.open(dataset.path).info.blind


def test_unfinished_readings_do_not_count(tmp_path: Path) -> None:
    dataset = make_cases(tmp_path, 1)
    draw(dataset, "c0", (10, 20))
    draw(open_reading(dataset.path, "ben"), "c0", (10, 20), done=False)
    assert [each.reader for each in finished_readings(all_readings(dataset), "c0")] == ["tester"]
    with pytest.raises(DatasetError, match="finished by two readers"):
        agreement(dataset.path)


def test_agreement_is_counted_between_each_two_readers(tmp_path: Path) -> None:
    dataset = make_cases(tmp_path, 3)
    for case in ("c0", "c1"):
        draw(dataset, case, (10, 20), tag="benign")
    ben, cora = open_reading(dataset.path, "ben"), open_reading(dataset.path, "cora")
    draw(ben, "c0", (10, 20), tag="benign")
    draw(ben, "c1", (15, 25), tag="malignant")
    draw(cora, "c0", (12, 22), tag="benign")
    found = agreement(dataset.path)
    assert found.readers == ("ben", "cora", "tester")
    np.testing.assert_allclose(found.matrices["dice/gland"][0], [1.0, 0.8, 0.75])
    assert found.counts["dice/gland"].tolist() == [[2, 1, 2], [1, 1, 1], [2, 1, 2]]
    assert found.matrices["same/tag"][0, 2] == 0.5
    assert np.isnan(found.mean("dice/tumour"))
    document = found.document()
    assert [case["case"] for case in document["cases"]] == ["c1", "c0"], "the least agreed upon first"
    assert document["figures"]["dice/tumour"]["mean"] is None


def test_a_consensus_becomes_the_draft_and_the_first_reading_is_kept(tmp_path: Path) -> None:
    dataset = make_cases(tmp_path, 2)
    draw(dataset, "c0", (10, 20), tag="benign")
    for name, rows in (("ben", (12, 22)), ("cora", (14, 24))):
        draw(open_reading(dataset.path, name), "c0", rows, tag="malignant")
    found = case_consensus(dataset, "c0")
    case = adjudicate(dataset, "c0", found)
    assert (case.status, case.tag, case.origin, case.extra["consensus"]) == (
        "draft",
        "malignant",
        "person",
        "majority: tester, ben, cora",
    )
    dataset.reload()
    assert bar(dataset, "c0") == (12, 22)
    assert reader_names(dataset.path) == ("ben", "cora", "tester")
    assert bar(open_reading(dataset.path, "tester"), "c0") == (10, 20)
    assert [c.what for c in dataset.history.read() if c.case == "c0"].count("consensus") == 1
    # The draft is no reading of its own, however often it is made.
    assert {each.reader for each in finished_readings(all_readings(dataset), "c0")} == {"tester", "ben", "cora"}
    adjudicate(dataset, "c0", case_consensus(dataset, "c0", "staple"))
    assert reader_names(dataset.path) == ("ben", "cora", "tester")
    assert [each.case for each in adjudicate_all(dataset.path)] == []


def test_two_readers_leave_open_what_they_disagree_upon(tmp_path: Path) -> None:
    dataset = make_cases(tmp_path, 1)
    draw(dataset, "c0", (10, 20))
    draw(open_reading(dataset.path, "ben"), "c0", (15, 25))
    (found,) = adjudicate_all(dataset.path)
    dataset.reload()
    labels = dataset.read_labels(dataset.case("c0"))
    assert labels is not None
    assert (labels[15:20] == 1).all()
    assert (labels[10:15] == 255).all()
    assert (labels[20:25] == 255).all()
    assert [(d.pixels, d.box) for d in found.disputes] == [(150, ((10, 15), (0, 30))), (150, ((20, 25), (0, 30)))]


def test_layers_are_brought_together_as_surfaces(tmp_path: Path) -> None:
    info = replace(
        INFO,
        implies={},
        kind="oct",
        classes=mask_classes(["RNFL", "GCL"]),
        surfaces=(Surface(name="ILM", above="", below="RNFL"), Surface(name="inner", above="RNFL", below="GCL")),
    )
    dataset = Dataset.create(tmp_path / "data", info, author="anna")
    dataset.add_case(write_picture(tmp_path / "c0.tif"))
    for place, (name, top) in enumerate((("", 10), ("ben", 12), ("cora", 20))):
        reading = open_reading(dataset.path, name) if name else dataset
        case = reading.case("c0")
        labels = np.zeros(SHAPE, np.uint8)
        labels[top : top + 6], labels[top + 6 :] = 1, 2
        store = reading.label_store(case, SHAPE)
        store.write_box(WHOLE, labels)
        case = record_labels(reading, "c0", store, revision=case.revision)
        mark_done(reading, "c0", store, revision=case.revision)
        if place == 1:
            rows = np.stack([np.full(30, top - 0.25), np.full(30, top + 5.5)])[np.newaxis].astype(np.float32)
            reading.boundary_store(reading.case("c0")).write(rows)
    found = agreement(dataset.path)
    assert found.matrices["surface/ILM"][0, 1] == pytest.approx(2.25)
    adjudicate(dataset, "c0", case_consensus(dataset, "c0"))
    dataset.reload()
    written = dataset.boundary_store(dataset.case("c0")).read(SHAPE)
    assert written is not None
    np.testing.assert_allclose(written.rows[0, :, 0], [11.75, 17.5])
    labels = dataset.read_labels(dataset.case("c0"))
    assert labels is not None
    np.testing.assert_array_equal(np.unique(labels[12:18]), [1])
    np.testing.assert_array_equal(np.unique(labels[18:]), [2])


def test_a_reviewed_case_stays_as_it_is_until_it_is_unlocked(tmp_path: Path) -> None:
    dataset = make_cases(tmp_path, 2)
    with pytest.raises(DatasetError, match="not done yet"):
        mark_reviewed(dataset, "c0", revision=1)
    draw(dataset, "c0", (10, 20), tag="benign")
    reviewer = Dataset.open(dataset.path, author="cora")
    case = mark_reviewed(reviewer, "c0", revision=reviewer.case("c0").revision)
    assert (case.status, case.author, case.extra["reviewer"]) == ("reviewed", "tester", "cora")
    dataset.reload()
    store, revision = dataset.label_store(case, SHAPE), case.revision
    for change in ({"tag": "malignant"}, {"origin": "model:net"}):
        with pytest.raises(ReviewedError, match=r"reviewed by cora at .*unlock it"):
            dataset.update_case("c0", revision=revision, **change)
    with pytest.raises(ReviewedError):
        mark_done(dataset, "c0", store, revision=revision)
    with pytest.raises(ReviewedError):
        mark_empty(dataset, "c0", store, revision=revision)
    assert dataset.update_case("c0", revision=revision, note="seen again").status == "reviewed"
    case = unlock(dataset, "c0", revision=revision + 1)
    assert (case.status, case.extra["reviewer"], case.author) == ("draft", "", "tester")
    draw(dataset, "c0", (5, 8), tag="malignant")
    said = [(c.author, dict(c.after).get("status")) for c in dataset.history.read() if "status" in c.after]
    assert ("cora", "reviewed") in said


def test_a_program_that_still_draws_when_a_case_is_reviewed_keeps_its_pixels_elsewhere(tmp_path: Path) -> None:
    dataset = make_cases(tmp_path, 1)
    draw(dataset, "c0", (10, 20))
    store = dataset.label_store(dataset.case("c0"), SHAPE)
    store.read()
    other = Dataset.open(dataset.path, author="cora")
    mark_reviewed(other, "c0", revision=other.case("c0").revision)
    with pytest.raises(ConflictError, match=r"reviewed by cora.*kept in"):
        store.write_box(((0, 5), (0, 30)), np.ones((5, 30), np.uint8))
    assert bar(Dataset.open(dataset.path), "c0") == (10, 20)
    (kept,) = (dataset.path / "history" / "labels").iterdir()
    np.testing.assert_array_equal(LabelStore(kept, SHAPE, case="c0").read()[:5], 1)


def test_reviewed_parts_are_kept_with_name_and_time(tmp_path: Path) -> None:
    dataset = make_cases(tmp_path, 1)
    assert locked_pixels(dataset, dataset.case("c0"), SHAPE) is None
    add_reviewed_region(dataset, "c0", ((2, 6), (3, 9)))
    triangle = [(10.0, 5.0), (20.0, 5.0), (20.0, 15.0)]
    add_reviewed_region(dataset, "c0", ((10, 21), (5, 16)), triangle)
    first, second = reviewed_regions(Dataset.open(dataset.path), "c0")
    assert (first.box, first.by, second.outline) == (((2, 6), (3, 9)), "tester", tuple(triangle))
    locked = locked_pixels(dataset, dataset.case("c0"), SHAPE)
    assert locked is not None
    assert locked[2:6, 3:9].all()
    assert locked[19, 6]
    assert not locked[11, 14]
    assert locked.sum() == 24 + second.mask().sum()
    assert unlock_regions(dataset, "c0", (3, 4)) == 1
    assert unlock_regions(dataset, "c0") == 1
    assert reviewed_regions(dataset, "c0") == ()
    (dataset.path / "forms" / "c0.json").write_text('{"reviewed_regions": [{"box": "here"}]}')
    with pytest.raises(DatasetError, match="reviewed_regions"):
        reviewed_regions(dataset, "c0")


def test_a_consensus_leaves_reviewed_parts_alone(tmp_path: Path) -> None:
    dataset = make_cases(tmp_path, 1)
    draw(dataset, "c0", (10, 20))
    for name in ("ben", "cora"):
        draw(open_reading(dataset.path, name), "c0", (15, 25))
    add_reviewed_region(dataset, "c0", ((0, 15), (0, 10)))
    adjudicate(dataset, "c0", case_consensus(dataset, "c0"))
    dataset.reload()
    labels = dataset.read_labels(dataset.case("c0"))
    assert labels is not None
    assert (labels[10:15, :10] == 1).all()
    assert (labels[10:15, 10:] == 0).all()
    assert (labels[15:25, 10:] == 1).all()


def test_corrections_are_counted_against_what_was_accepted(tmp_path: Path) -> None:
    dataset = make_cases(tmp_path, 2)
    proposal = np.full(SHAPE, 255, np.uint8)
    proposal[:30] = 0
    proposal[10:20] = 1
    keep_proposal(dataset, "c0", proposal)
    labels = np.where(proposal == 255, 0, proposal).astype(np.uint8)
    labels[20:22, :5] = 1
    labels[10, :] = 2
    labels[35:38, 3:6] = 1
    outcome = outcome_of(dataset, "c0", labels)
    assert outcome.pairs == {("background", "gland"): 10, ("gland", "tumour"): 30}
    assert (outcome.proposed, outcome.changed, outcome.objects, outcome.pixels) == (900, 40, 3, 9 * 30 + 10 + 30 + 9)
    log_work(dataset, "c0", 30.0, origin="model:net")
    log_work(dataset, "c0", 30.0, origin="model:net", finished=outcome)
    log_work(dataset, "c1", 180.0, finished=Outcome(kind="labels", objects=3, pixels=100))
    assert corrected_cases(dataset) == {"c0"}
    assert [record.finished for record in work_records(dataset)][1] == outcome
    report = work_report(dataset.path)
    assert report.corrected.seconds == 60.0
    assert report.gain == pytest.approx(3.0)
    assert report.edits == dict(outcome.pairs)
    document = report.document()
    assert document["corrected"]["objects_per_second"] == pytest.approx(0.05)
    assert [case["minutes"] for case in document["cases"]] == [1.0, 3.0]


def test_a_later_proposal_adds_to_an_earlier_one(tmp_path: Path) -> None:
    dataset = make_cases(tmp_path, 1)
    first, second = np.full(SHAPE, 255, np.uint8), np.full(SHAPE, 255, np.uint8)
    first[:20], second[10:30] = 1, 2
    keep_proposal(dataset, "c0", first)
    keep_proposal(dataset, "c0", second)
    outcome = outcome_of(dataset, "c0", np.zeros(SHAPE, np.uint8))
    assert outcome.pairs == {("gland", "background"): 300, ("tumour", "background"): 600}


def test_no_work_is_no_gain(tmp_path: Path) -> None:
    report = work_report(make_cases(tmp_path, 1).path)
    assert (report.gain, report.finished, report.status) == (None, (), {"todo": 1})
