from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image as Picture

from napari_medseg.data.checking import check
from napari_medseg.data.importing import guess_kind, import_dataset
from napari_medseg.data.importing.values import map_values, values_in
from napari_medseg.data.training_set import training_set
from napari_medseg.errors import DatasetError, InputNotFoundError, MedsegError
from tests.io.oct.writers import write_vol

SHAPE = (12, 10)


def write_png(path: Path, pixels: npt.ArrayLike) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Picture.fromarray(np.asarray(pixels)).save(path)


def make_source(folder: Path, masks: dict[str, npt.ArrayLike], names: tuple[str, ...] = ("a", "b", "c")) -> Path:
    for i, name in enumerate(names):
        write_png(folder / "images" / f"{name}.png", np.full(SHAPE, i, np.uint8))
    for name, pixels in masks.items():
        write_png(folder / "masks" / f"{name}.png", pixels)
    return folder


def mask(*values: int, dtype: type = np.uint8) -> npt.NDArray[np.integer]:
    pixels = np.zeros(SHAPE, dtype)
    pixels.flat[: len(values)] = values
    return pixels


@given(
    hnp.arrays(st.sampled_from([np.uint8, np.uint16, np.int32]), SHAPE, elements=st.integers(0, 5)),
    st.dictionaries(st.integers(0, 5), st.sampled_from(["x", "y", "z", "background"]), min_size=1),
    st.sets(st.integers(0, 5)),
)
def test_values_are_mapped_as_declared(
    pixels: npt.NDArray[np.integer], classes: dict[int, str], ignore: set[int]
) -> None:
    ignored = sorted(ignore - classes.keys())
    values = map_values(classes, ignored, None, [])
    assert values_in(pixels) == set(np.unique(pixels))
    assert set(values.undeclared(values_in(pixels))) == set(np.unique(pixels)) - classes.keys() - set(ignored) - {0}
    labels = values.convert(pixels)
    assert "background" not in {c.name for c in values.classes}
    number = {"background": 0} | {c.name: c.value for c in values.classes}
    for value in set(np.unique(pixels)) - set(values.undeclared(values_in(pixels))):
        expected = number[classes[value]] if value in classes else 255 if value in ignored else 0
        assert (labels[pixels == value] == expected).all()


def test_images_stay_and_masks_are_converted(tmp_path: Path) -> None:
    source = make_source(tmp_path / "s", {"a_mask": mask(3, 7), "b": mask(7, 9)})
    dataset = import_dataset(source, tmp_path / "out", classes={3: "gland", 7: "vessel"}, ignore=[9])
    assert [c.name for c in dataset.info.classes] == ["gland", "vessel"]
    assert [(c.case, c.status, c.label != "") for c in dataset.cases] == [
        ("a", "done", True),
        ("b", "done", True),
        ("c", "todo", False),
    ]
    assert dataset.cases[0].image == "../s/images/a.png"
    read = [dataset.read_labels(case) for case in dataset.cases]
    assert read[0] is not None
    assert read[1] is not None
    assert read[0].flat[:3].tolist() == [1, 2, 0]
    assert read[1].flat[:3].tolist() == [2, 255, 0]
    assert read[2] is None
    assert not [fault for fault in check(dataset) if fault.severity == "error"]


def test_several_values_may_share_a_class_and_zero_may_be_one(tmp_path: Path) -> None:
    source = make_source(tmp_path / "s", {"a": mask(1, 2)})
    dataset = import_dataset(source, tmp_path / "out", classes={1: "x", 2: "x", 0: "rest"})
    labels = dataset.read_labels(dataset.cases[0])
    assert labels is not None
    assert labels.flat[:3].tolist() == [1, 1, 2]


def test_object_numbers_become_one_class(tmp_path: Path) -> None:
    source = make_source(tmp_path / "s", {"a": mask(1, 300, 9, dtype=np.uint16)})
    dataset = import_dataset(source, tmp_path / "out", instances="cell", ignore=[9])
    labels = dataset.read_labels(dataset.cases[0])
    assert labels is not None
    assert labels.flat[:4].tolist() == [1, 1, 255, 0]


def test_masks_of_two_values_need_no_declaration_and_others_do(tmp_path: Path) -> None:
    binary = make_source(tmp_path / "binary", {"a": mask(255), "b": mask()})
    dataset = import_dataset(binary, tmp_path / "one")
    assert [c.name for c in dataset.info.classes] == ["foreground"]
    several = make_source(tmp_path / "several", {"a": mask(1), "b": mask(2)})
    with pytest.raises(DatasetError, match=r"value 1 in mask a\.png, value 2 in mask b\.png: .*--classes"):
        import_dataset(several, tmp_path / "two")
    assert not (tmp_path / "two").exists()


def test_numbers_of_palette_pictures_count_not_their_colours(tmp_path: Path) -> None:
    source = make_source(tmp_path / "s", {})
    picture = Picture.fromarray(mask(1, 2), mode="P")
    picture.putpalette([200, 0, 0, 0, 200, 0, 0, 0, 200])
    (source / "masks").mkdir()
    picture.save(source / "masks" / "a.png")
    dataset = import_dataset(source, tmp_path / "out", classes={1: "x", 2: "y"})
    labels = dataset.read_labels(dataset.cases[0])
    assert labels is not None
    assert labels.flat[:3].tolist() == [1, 2, 0]


def test_a_table_gives_tags_groups_and_grades(tmp_path: Path) -> None:
    source = make_source(tmp_path / "s", {"a": mask(1)})
    table = "\ufefffile;dx;who;score\r\nimages/a.png;benign;p1;2\r\nb;malignant;p1;10\r\nelsewhere;benign;p2;1\r\n"
    (source / "t.csv").write_text(table, newline="")
    said: list[str] = []
    dataset = import_dataset(
        source,
        tmp_path / "out",
        table="t.csv",
        tag_column="dx",
        group_column="who",
        grade_column="score",
        say=said.append,
    )
    assert [(c.case, c.tag, c.group, c.grade, c.status) for c in dataset.cases] == [
        ("a", "benign", "p1", "2", "done"),
        ("b", "malignant", "p1", "10", "done"),
        ("c", "", "", "", "todo"),
    ]
    assert dataset.info.grades == ("2", "10")
    assert len(said) == 2


def test_grades_have_the_order_that_is_given(tmp_path: Path) -> None:
    source = make_source(tmp_path / "s", {"a": mask(1)})
    (source / "t.csv").write_text("file;dx\na;severe\nb;mild\nc;unclear\n")
    options = {"table": "t.csv", "grade_column": "dx"}
    said: list[str] = []
    dataset = import_dataset(source, tmp_path / "out", grades=["mild", "severe"], say=said.append, **options)
    assert dataset.info.grades == ("mild", "severe")
    assert [case.grade for case in dataset.cases] == ["severe", "mild", ""]
    assert any("unclear (1)" in remark for remark in said)
    assert [case.grade for case in training_set(dataset).cases] == [1, 0]
    with pytest.raises(DatasetError, match=r"No case.*low, high.*mild, severe, unclear"):
        import_dataset(source, tmp_path / "other", grades=["low", "high"], **options)


def test_a_folder_per_class_gives_tags(tmp_path: Path) -> None:
    for tag in ("benign", "malignant"):
        for name in ("1", f"only {tag}"):
            write_png(tmp_path / "s" / tag / f"{name}.png", mask())
            write_png(tmp_path / "s" / tag / f"{name}_mask.png", mask(255))
    dataset = import_dataset(tmp_path / "s", tmp_path / "out", format="folders-per-class", classes={255: "lesion"})
    assert {(c.case, c.tag) for c in dataset.cases} == {
        ("benign_1", "benign"),
        ("malignant_1", "malignant"),
        ("only benign", "benign"),
        ("only malignant", "malignant"),
    }
    assert all(c.label for c in dataset.cases)


def _two_masks(folder: Path) -> dict[str, object]:
    make_source(folder, {"a": mask(1), "a_seg": mask(1)})
    return {}


def _lonely_mask(folder: Path) -> dict[str, object]:
    make_source(folder, {"z": mask(1)})
    return {}


def _other_size(folder: Path) -> dict[str, object]:
    make_source(folder, {"a": np.zeros((5, 5), np.uint8)})
    return {}


def _damaged_image(folder: Path) -> dict[str, object]:
    make_source(folder, {})
    path = folder / "images" / "a.png"
    path.write_bytes(path.read_bytes()[:40])
    return {}


def _missing_column(folder: Path) -> dict[str, object]:
    (make_source(folder, {}) / "t.csv").write_text("id,tag\na,x\n")
    return {"table": "t.csv", "tag_column": "diagnosis"}


def _foreign_table(folder: Path) -> dict[str, object]:
    (make_source(folder, {}) / "t.csv").write_text("id,tag\n17,x\n")
    return {"table": "t.csv", "tag_column": "tag"}


def _repeated_id(folder: Path) -> dict[str, object]:
    (make_source(folder, {}) / "t.csv").write_text("id,tag\na,x\na.png,y\n")
    return {"table": "t.csv", "tag_column": "tag"}


def _coloured_mask(folder: Path) -> dict[str, object]:
    make_source(folder, {"a": np.dstack([mask(1), mask(2), mask(3)])})
    return {}


def _unknown_format(folder: Path) -> dict[str, object]:
    make_source(folder, {})
    return {"format": "magic"}


@pytest.mark.parametrize(
    ("prepare", "sentence"),
    [
        (_two_masks, r"masks a\.png and a_seg\.png both fit image a\.png"),
        (_lonely_mask, r"mask z\.png has no image"),
        (_other_size, r"5 x 5 pixels but its image 12 x 10"),
        (_damaged_image, r"a\.png"),
        (_missing_column, r"no column 'diagnosis': it has id, tag"),
        (_foreign_table, r"ids such as '17', images such as 'a\.png'"),
        (_repeated_id, r"'a\.png' stands twice"),
        (_coloured_mask, r"a\.png holds colours"),
        (_unknown_format, r"'magic' is not known"),
    ],
)
def test_whatever_does_not_fit_is_said_and_nothing_is_written(tmp_path: Path, prepare: object, sentence: str) -> None:
    options = prepare(tmp_path / "s")  # type: ignore[operator]
    with pytest.raises(MedsegError, match=sentence):
        import_dataset(tmp_path / "s", tmp_path / "out", **options)
    assert [path.name for path in tmp_path.iterdir()] == ["s"]


def test_a_source_or_target_that_cannot_be_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputNotFoundError):
        import_dataset(tmp_path / "nowhere", tmp_path / "out")
    source = make_source(tmp_path / "s", {})
    with pytest.raises(DatasetError, match="already holds something"):
        import_dataset(source, source)


def test_real_glands_with_tags_and_patients(shared_data: Path, tmp_path: Path) -> None:
    dataset = import_dataset(
        shared_data / "path_glas",
        tmp_path / "out",
        instances="gland",
        table="index.csv",
        tag_column="grade_glas",
        group_column="patient",
    )
    assert len(dataset.cases) == 111
    assert [tag.name for tag in dataset.info.tags] == ["benign", "malignant"]
    assert [str(fault) for fault in check(dataset)] == []
    cases = training_set(dataset)
    sides: dict[str, set[str]] = {}
    for case in cases.cases:
        sides.setdefault(case.group, set()).add(case.split)
    assert len(sides) == 13
    assert all(len(side) == 1 for side in sides.values())
    for split in ("train", "val", "test"):
        assert {case.tag for case in cases.of_split(split)} == {"benign", "malignant"}
    case = cases.cases[0]
    labels = case.load_labels()
    with Picture.open(shared_data / "path_glas" / "masks" / f"{case.case}.png") as picture:
        np.testing.assert_array_equal(labels, np.asarray(picture) > 0)
    assert case.load_image().spatial_shape == labels.shape


def test_real_lesions_where_an_empty_mask_means_normal(shared_data: Path, tmp_path: Path) -> None:
    source = shared_data / "us_busi_breast"
    dataset = import_dataset(
        source,
        tmp_path / "out",
        classes={255: "lesion"},
        table="index.csv",
        tag_column="class",
        implies={"<empty>": "normal"},
    )
    assert [str(fault) for fault in check(dataset)] == []
    normal = next(case for case in dataset.cases if case.tag == "normal")
    lesion = next(case for case in dataset.cases if case.tag == "malignant")
    for case in (normal, lesion):
        dataset.update_case(case.case, revision=case.revision, tag="")
    tags = {case.case: case.tag for case in training_set(dataset).cases}
    assert (tags[normal.case], tags[lesion.case]) == ("normal", None)
    dataset.update_case(lesion.case, revision=2, tag="normal")
    dataset.update_case(normal.case, revision=2, tag="benign")
    assert [fault.where.split("'")[1] for fault in check(dataset)] == [normal.case]


def test_real_nodules_with_an_ordered_grade_and_patients(shared_data: Path, tmp_path: Path) -> None:
    source = shared_data / "ct_lidc_nodules"
    few = tmp_path / "few"
    names = sorted(path.name for path in (source / "image").iterdir())[:12]
    for folder in ("image", "mask"):
        (few / folder).mkdir(parents=True)
        for name in names:
            (few / folder / name).symlink_to(source / folder / name)
    (few / "index.csv").symlink_to(source / "index.csv")
    options = {"table": "index.csv", "id_column": "file", "group_column": "patient_id", "kind": "ct"}
    dataset = import_dataset(few, tmp_path / "out", grade_column="Malignancy_value", classes={1: "nodule"}, **options)
    assert len(dataset.cases) == len(names)
    assert list(dataset.info.grades) == sorted({case.grade for case in dataset.cases}, key=int)
    assert all(case.group.startswith("LIDC-IDRI-") and case.group in case.case for case in dataset.cases)
    cases = training_set(dataset).cases
    assert all(case.has_mask and case.grade is not None for case in cases)
    image = cases[0].load_image()
    assert (image.kind, image.axes, image.units) == ("ct", "zyx", ("millimeter",) * 3)
    assert cases[0].load_labels().shape == image.shape


def test_the_kind_is_what_the_files_or_the_folder_say(tmp_path: Path) -> None:
    for name in ("scans", "oct_of_a_clinic", "october"):
        (tmp_path / name).mkdir()
        Picture.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / name / "a.png")
    write_vol(tmp_path / "scans" / "0.vol", np.zeros((2, 20, 16), np.float32), np.zeros((2, 0, 16), np.float32))
    (tmp_path / "ct").mkdir()
    kinds = {name: guess_kind(tmp_path / name) for name in ("scans", "oct_of_a_clinic", "october", "ct", "missing")}
    assert kinds == {"scans": "oct", "oct_of_a_clinic": "oct", "october": None, "ct": "ct", "missing": None}


def test_a_file_is_not_said_to_be_missing(tmp_path: Path) -> None:
    Picture.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / "a.png")
    with pytest.raises(InputNotFoundError, match=r"a\.png is a file: name the folder"):
        import_dataset(tmp_path / "a.png", tmp_path / "out")
