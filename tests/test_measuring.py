"""Measuring from files, data sets and the command line: one table, the same figures."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import nibabel
import numpy as np
import pytest
from PIL import Image as Picture

from napari_medseg.api import MeasureOptions, measure
from napari_medseg.cli import main
from napari_medseg.data.dataset import Dataset
from napari_medseg.data.dataset_file import mask_classes
from napari_medseg.data.finishing import mark_done, record_labels
from napari_medseg.data.forms import fovea_of, read_form, update_form
from napari_medseg.data.retina import surfaces_of_pile
from napari_medseg.errors import ConfigError, DatasetError
from napari_medseg.io import write_labels
from napari_medseg.io.model_file import Expects, ModelCard, write_model
from napari_medseg.measure.rows import COLUMNS
from napari_medseg.measure.targets import surfaces_of_known_names
from napari_medseg.structures import DatasetInfo, Image, MaskClass

LAYERS = ("RNFL", "GCL+IPL", "RPE")
CLASSES = mask_classes([*LAYERS, "fluid"])
SPACING = (0.25, 0.004, 0.012)
#: B-scans, rows, columns.
SHAPE = (27, 96, 560)


def volume() -> np.ndarray:
    """Layers with a pit at B-scan 12, column 300; fluid between two layers, and a corner that nobody looked at."""
    z, x = np.indices((SHAPE[0], SHAPE[2]))
    distance = np.hypot((z - 12) * SPACING[0], (x - 300) * SPACING[2])
    thick = 12 + 16 * (1 - np.exp(-(distance**2)))
    cuts = [np.full_like(thick, 20.0), 20 + 0.3 * thick, 20 + 0.8 * thick, 20 + thick + 4]
    rows = np.arange(SHAPE[1])[None, :, None]
    labels = sum((rows > cut[:, None]).astype(np.uint8) for cut in cuts)
    labels[labels == 4] = 0
    labels[3, 27:30, 100:140] = 4
    labels[:, :, :20] = 255
    return labels.astype(np.uint8)


def brute_force(labels: np.ndarray) -> dict[str, float]:
    """Mean thickness in µm by a loop over every column."""
    sums: dict[str, list[int]] = {"ILM to BM": [], "RNFL": [], "RPE": [], "fluid": []}
    for z in range(labels.shape[0]):
        for x in range(labels.shape[2]):
            column = labels[z, :, x].tolist()
            if 255 in column:
                continue
            sums["ILM to BM"].append(sum(v in (1, 2, 3, 4) for v in column))
            sums["RPE"].append(column.count(3))
            sums["fluid"].append(column.count(4))
            if not (z == 3 and 100 <= x < 140):
                sums["RNFL"].append(column.count(1))
    return {name: 4.0 * float(np.mean(values)) for name, values in sums.items()}


@pytest.fixture(scope="module")
def label_file(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("labels") / "eye.tif"
    return write_labels(path, volume(), classes=CLASSES, spacing=SPACING, units=("millimeter",) * 3)


def test_means_equal_a_loop_over_columns(label_file: Path) -> None:
    rows = measure([label_file])
    whole_scan = {r.structure: r for r in rows if r.measure == "thickness" and r.bscan is None}
    for name, mean in brute_force(volume()).items():
        assert whole_scan[name].mean_um == pytest.approx(mean, rel=1e-6), name
    assert whole_scan["ILM to BM"].coverage == pytest.approx(540 / 560)
    third = next(r for r in rows if r.structure == "ILM to BM" and r.bscan == 3)
    assert third.mean_um == pytest.approx(4 * np.isin(volume()[3, :, 20:], (1, 2, 3, 4)).sum(axis=0).mean())
    fluid = next(r for r in rows if r.measure == "size" and r.structure == "fluid")
    assert (fluid.pixels, fluid.volume_mm3) == (120, pytest.approx(120 * np.prod(SPACING)))


def test_fovea_is_found_and_can_be_given(label_file: Path) -> None:
    rows = measure([label_file], options=MeasureOptions(laterality="L"))
    grid = {r.field: r for r in rows if r.measure == "etdrs" and r.structure == "ILM to BM"}
    assert grid["center"].note.startswith("fovea found at B-scan 12.0, column 30")
    assert grid["center"].mean_um < grid["inner nasal"].mean_um < grid["outer nasal"].mean_um
    assert grid["total"].volume_mm3 == pytest.approx(sum(r.volume_mm3 for f, r in grid.items() if f != "total"))
    moved = measure([label_file], options=MeasureOptions(fovea=(20.0, 500.0)))
    outside = {r.field: r for r in moved if r.measure == "etdrs" and r.structure == "ILM to BM"}
    assert outside["outer right"].doubtful
    assert outside["center"].mean_um > grid["center"].mean_um


def test_command_writes_what_the_function_returns(label_file: Path, tmp_path: Path, capsys) -> None:
    out = tmp_path / "table.csv"
    assert main(["measure", str(label_file), "--out", str(out), "--laterality", "R", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    rows = measure([label_file], options=MeasureOptions(laterality="R"))
    table = list(csv.DictReader(out.read_text("utf-8").splitlines()))
    assert len(table) == len(rows) == len(document["rows"])
    assert tuple(table[0]) == COLUMNS
    for row, cells, entry in zip(rows, table, document["rows"], strict=True):
        assert (cells["structure"], cells["field"]) == (row.structure, row.field or "")
        if row.mean_um is not None:
            assert float(cells["mean_um"]) == pytest.approx(row.mean_um, rel=1e-6)
            assert entry["mean_um"] == row.mean_um
        if row.doubtful is not None:
            assert cells["doubtful"] == ("yes" if row.doubtful else "no")
    assert main(["measure", str(label_file)]) == 0
    text = capsys.readouterr().out
    assert "ETDRS total" in text
    assert "coverage 96 %" in text


def test_without_spacing_thickness_is_in_pixels(tmp_path: Path) -> None:
    path = write_labels(tmp_path / "plain.tif", volume()[3], classes=CLASSES)
    rows = measure([path])
    whole = rows[0]
    assert whole.mean_um is None
    assert whole.mean_px == pytest.approx(np.isin(volume()[3, :, 20:], (1, 2, 3, 4)).sum(axis=0).mean())
    assert "in pixels" in whole.note
    assert not any(r.measure == "etdrs" for r in rows)
    told = measure([path], options=MeasureOptions(spacing=SPACING))
    assert told[0].mean_um == pytest.approx(4 * whole.mean_px)
    assert told[-1].area_mm2 == pytest.approx(120 * 0.004 * 0.012)


def test_labels_of_other_images_have_their_sizes_measured(tmp_path: Path) -> None:
    labels = np.zeros((4, 5, 6), np.uint8)
    labels[1, 2:4, 1:4] = 2
    path = write_labels(
        tmp_path / "ct.tif", labels, classes=mask_classes(["pancreas", "tumour"]), spacing=(2.0, 0.5, 0.5),
        units=("millimeter",) * 3,
    )  # fmt: skip
    rows = measure([path])
    sizes = [(r.structure, r.part, r.pixels, r.volume_mm3) for r in rows]
    assert sizes == [("pancreas", None, 0, 0.0), ("tumour", None, 6, 3.0), ("tumour", 1, 6, 3.0)]


def test_structures_of_a_ct_have_its_hounsfield_units_and_lie_on_it(shared_data, tmp_path: Path, capsys) -> None:
    folder = shared_data / "ct_totalseg_example"
    labels, image = folder / "example_seg.nii.gz", folder / "example_ct_sm.nii.gz"
    out = tmp_path / "organs.csv"
    names = "1=spleen,5=liver"
    assert main(["measure", str(labels), "--image", str(image), "--classes", names, "--out", str(out)]) == 0
    assert " ml)" in capsys.readouterr().out
    grey, mask = (nibabel.load(path) for path in (image, labels))
    voxel = abs(np.linalg.det(mask.affine[:3, :3]))
    liver = np.asarray(mask.dataobj) == 5
    rows = list(csv.DictReader(out.read_text("utf-8").splitlines()))
    row = next(r for r in rows if r["structure"] == "liver" and r["measure"] == "size")
    assert float(row["volume_mm3"]) == pytest.approx(liver.sum() * voxel, rel=1e-5)
    assert float(row["grey_mean"]) == pytest.approx(grey.get_fdata()[liver].mean(), rel=1e-4)


def test_labels_that_lie_elsewhere_than_the_image_are_refused(tmp_path: Path) -> None:
    for name, shift in (("ct", 0.0), ("labels", 40.0)):
        affine = np.diag([-1.0, -1.0, 2.0, 1.0])
        affine[0, 3] = shift
        nibabel.save(nibabel.Nifti1Image(np.ones((5, 6, 7), np.int16), affine), tmp_path / f"{name}.nii.gz")
    with pytest.raises(ConfigError, match="lie elsewhere in the body"):
        measure([tmp_path / "labels.nii.gz"], image=tmp_path / "ct.nii.gz")
    assert measure([tmp_path / "ct.nii.gz"], image=tmp_path / "ct.nii.gz")[0].grey_mean == 1


def test_layers_are_known_by_name_or_named(tmp_path: Path) -> None:
    assert [s.name for s in surfaces_of_known_names(CLASSES)] == ["ILM", "RNFL/GCL+IPL", "GCL+IPL/RPE", "BM"]
    assert surfaces_of_known_names(mask_classes(["RNFL", "RPE", "drusen"])) == ()
    path = write_labels(tmp_path / "a.tif", volume()[5], classes=mask_classes(["upper", "middle", "lower"]))
    named = measure([path], options=MeasureOptions(layers=("upper", "middle", "lower")))
    assert named[0].structure == "background/upper to lower/background"
    with pytest.raises(ConfigError, match="no class 'top'"):
        measure([path], options=MeasureOptions(layers=("top", "lower")))


def test_masks_of_other_programs_get_names_and_a_pile(tmp_path: Path, capsys) -> None:
    labels = volume()[5]
    labels[60:] = np.where(labels[60:] == 0, 9, labels[60:])
    Picture.fromarray(labels).save(tmp_path / "mask.png")
    plain = measure([tmp_path / "mask.png"])
    assert {r.structure for r in plain if r.pixels} == {"label 1", "label 2", "label 3", "label 9"}
    names = "1=RNFL,2=GCL+IPL,3=RPE,9=deeper"
    layers = "background,RNFL,GCL+IPL,RPE,deeper"
    arguments = ["measure", str(tmp_path / "mask.png"), "--classes", names, "--layers", layers, "--json"]
    assert main(arguments) == 0
    rows = {r["structure"]: r for r in json.loads(capsys.readouterr().out)["rows"] if r["measure"] == "thickness"}
    assert set(rows) == {"ILM to RPE/deeper", "RNFL", "GCL+IPL", "RPE"}
    assert rows["RPE"]["mean_px"] == pytest.approx((labels[:, 20:] == 3).sum(axis=0).mean())
    assert main([*arguments[:4], "--layers", "RNFL,shadow"]) == 1
    assert "no class 'shadow'" in capsys.readouterr().err
    assert main([*arguments[:4], "--layers", "background,RNFL"]) == 1
    assert "name more" in capsys.readouterr().err


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    surfaces = surfaces_of_pile(["background", *LAYERS, "background"])
    info = DatasetInfo(name="eyes", kind="oct", classes=CLASSES, surfaces=surfaces)
    data = Dataset.create(tmp_path / "eyes", info)
    pixels = np.zeros(SHAPE, np.uint8)
    image = Image(levels=(pixels,), axes="zyx", spacing=SPACING, units=("millimeter",) * 3, kind="oct")
    data.add_image(image, "eye1", extra={"laterality": "L"})
    case = data.case("eye1")
    store = data.label_store(case, SHAPE)
    store.write_box(tuple((0, n) for n in SHAPE), volume())
    case = record_labels(data, "eye1", store, revision=case.revision)
    mark_done(data, "eye1", store, revision=case.revision)
    return Dataset.open(data.path)


def test_cases_of_a_data_set_are_measured_as_their_files_are(dataset: Dataset, label_file: Path) -> None:
    rows = [r for r in measure(data=dataset.path) if r.measure == "etdrs"]
    expected = [r for r in measure([label_file], options=MeasureOptions(laterality="L")) if r.measure == "etdrs"]
    assert {r.case for r in rows} == {"eye1"}
    assert [(r.field, r.mean_um, r.volume_mm3) for r in rows] == [(r.field, r.mean_um, r.volume_mm3) for r in expected]


def test_fovea_that_a_person_gave_is_kept_and_used(dataset: Dataset) -> None:
    update_form(dataset, "eye1", {"fovea": [14.0, 280.5], "seen": True})
    update_form(dataset, "eye1", {"seen": None})
    assert read_form(dataset.path, "eye1") == {"fovea": [14.0, 280.5]}
    assert fovea_of(dataset.path, "eye1") == (14.0, 280.5)
    row = next(r for r in measure(data=dataset.path) if r.measure == "etdrs")
    assert row.note.startswith("fovea given at B-scan 14.0, column 280.5")
    told = [c for c in dataset.history.read() if c.what == "form"]
    assert [json.loads(c.after.get("fovea", "null")) for c in told] == [[14.0, 280.5], None]
    (dataset.path / "forms" / "eye1.json").write_text('{"fovea": "middle"}')
    with pytest.raises(DatasetError, match=r"write \[bscan, column\]"):
        measure(data=dataset.path)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "Name label files"),
        (["{file}", "--data", "x"], "not both"),
        (["{file}", "--fovea", "middle"], "write B-scan,column"),
        (["{file}", "--fovea", "500,3"], "lies outside the scan of 27 B-scans"),
        (["{file}", "--span", "ILM"], "write two surfaces"),
        (["{file}", "--span", "BM:ILM"], "name the upper one first"),
        *[
            (["{file}", "--spacing", text], f"spacing '{text}' is not understood: write millimetres")
            for text in ("0,1", "-1,2", "nan,1", "-inf,1", "1", "1,2,3,4", "a,b", ".,1")
        ],
        (["{file}", "{file}", "--image", "{file}"], "One image belongs to one label file"),
        (["missing.tif"], "missing.tif"),
    ],
)
def test_what_cannot_be_measured_is_a_sentence(label_file: Path, capsys, arguments, sentence) -> None:
    assert main(["measure", *(a.format(file=label_file) for a in arguments)]) == 1
    assert sentence in capsys.readouterr().err


def test_spacing_that_cannot_be_true_is_told_and_measured_all_the_same(label_file: Path, capsys) -> None:
    assert main(["measure", str(label_file), "--spacing", "250,4,12"]) == 0
    told = capsys.readouterr().err
    assert "eye: Depth is 4 mm per pixel" in told
    assert "so 0.012 mm may be meant" in told
    assert main(["measure", str(label_file)]) == 0
    assert capsys.readouterr().err == ""


def model_file(folder: Path, classes: tuple[MaskClass, ...], layers: tuple[str, ...]) -> Path:
    """A model that knows these layers, as far as measuring asks."""
    card = ModelCard(
        scheme="oct",
        config={},
        classes=classes,
        surfaces=surfaces_of_pile(layers),
        expects=Expects(axes="yx", channels=1),
    )
    write_model(folder / "model.safetensors", {"weight": np.zeros(1, np.float32)}, card)
    return folder / "model.safetensors"


def test_a_model_names_the_values_and_layers_of_a_file_that_names_none(tmp_path: Path) -> None:
    names = mask_classes(["upper", "middle", "lower", "hole"])
    model = model_file(tmp_path, names, ("background", "upper", "middle", "lower", "background"))
    Picture.fromarray(volume()[5]).save(tmp_path / "a.png")
    named = write_labels(tmp_path / "b.tif", volume()[5], classes=names)
    by_model = measure([tmp_path / "a.png"], model=model)
    assert {r.structure for r in by_model if r.measure == "thickness"} >= {"upper", "middle", "lower", "hole"}
    as_named = measure([named], model=model)
    assert [(r.structure, r.mean_px, r.coverage) for r in by_model] == [
        (r.structure, r.mean_px, r.coverage) for r in as_named
    ]


def test_a_model_of_other_classes_is_refused_with_both_names(label_file: Path, tmp_path: Path) -> None:
    other = mask_classes(["upper", "lower"])
    model = model_file(tmp_path, other, ("background", "upper", "lower"))
    with pytest.raises(ConfigError, match=r"layer 'upper' is no class of .*which has RNFL, GCL\+IPL, RPE, fluid"):
        measure([label_file], model=model)
    listed = measure([label_file], model=model, options=MeasureOptions(layers=LAYERS))
    assert listed == measure([label_file])


def test_image_of_another_size_is_refused(label_file: Path, tmp_path: Path) -> None:
    other = write_labels(tmp_path / "other.tif", np.zeros((4, 4), np.uint8))
    with pytest.raises(ConfigError, match="27 × 96 × 560 pixels, but the image has 4 × 4"):
        measure([label_file], image=other)
