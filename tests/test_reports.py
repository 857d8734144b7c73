"""Reports as pictures: what stands in them is what was found."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image as Pillow

from napari_medseg import api
from napari_medseg.api.report_sheet import Sheet
from napari_medseg.api.reports import Findings
from napari_medseg.data.synthetic_ultrasound import LESIONS, frame, make_dataset
from napari_medseg.errors import ConfigError, WriteError
from napari_medseg.structures import Image, MaskClass, Prediction, TagResult

BLUE, YELLOW = (59, 130, 196), (240, 228, 66)
MADE = frame(LESIONS[2], seed=0)
SPACE = {"spacing": (0.1, 0.1), "units": ("millimeter", "millimeter")}
ANSWERS = {"composition": "solid", "echogenicity": "hypoechoic", "shape": "taller", "margin": "irregular"}


def prediction(shares=(0.1, 0.2, 0.6, 0.1), *, attention=True, frames=(), region=MADE.scan, notes=()) -> Prediction:
    """A made-up answer about the frame above."""
    (top, bottom), (left, right) = region[-2:]
    heat = np.zeros((bottom - top, right - left), np.float32)
    heat[40:80, 50:90] = 1.0
    best = LESIONS[int(np.argmax(shares))]
    return Prediction(
        labels=None,
        classes=(MaskClass(value=1, name=best, color="#e69f00"),),
        tag=TagResult(tag=best, probabilities=dict(zip(LESIONS, shares, strict=True)), calibrated=True),
        probabilities=None,
        region=region,
        seconds=0.1,
        attention=heat if attention else None,
        frames=frames,
        notes=notes,
    )


def written(path, image, found, **options) -> np.ndarray:
    api.write_report(path, image, found, model="m", identity="0123456789abcdef", **options)
    return np.asarray(Pillow.open(path))


def image(pixels=MADE.pixels, axes="yx", **facts) -> Image:
    return Image(levels=(pixels,), axes=axes, name="frame", kind="ultrasound", **facts)


def runs_of(sheet: np.ndarray, color) -> list[int]:
    """Widths of the bars of a colour, from top to bottom."""
    hits = (sheet == color).all(axis=-1)
    rows = np.flatnonzero(hits.any(axis=1))
    starts = [row for row in rows if row - 1 not in rows]
    return [int(hits[row].sum()) for row in starts]


def test_bars_are_as_long_as_classes_are_probable(tmp_path):
    shares = (0.05, 0.25, 0.6, 0.1)
    widths = runs_of(written(tmp_path / "r.png", image(), prediction(shares)), BLUE)
    np.testing.assert_allclose(np.array(widths) / sum(widths), shares, atol=0.02)


def test_the_overlay_and_the_box_lie_where_they_belong(tmp_path):
    plain = written(tmp_path / "a.png", image(), prediction(attention=False)).astype(int)
    overlaid = written(tmp_path / "b.png", image(), prediction()).astype(int)
    rows, columns = np.nonzero(np.abs(plain - overlaid).max(axis=-1) > 20)
    # Lines are smoothed where the frame is enlarged.
    hits = np.abs(plain - YELLOW).max(axis=-1) < 40
    box = [np.flatnonzero(hits.any(axis=1 - axis)) for axis in (0, 1)]
    # The machine's text, and names that it may hold, are not shown.
    text = plain[box[0][-1] + 4 : 80 + round(360 * 760 / 560), 40:700]
    assert len(np.unique(text)) == 1
    (top, bottom), (left, right) = MADE.scan
    factor = (box[1][-1] - box[1][0]) / (right - left)
    for found, start, inside in ((rows, box[0][0], 40), (columns, box[1][0], 50)):
        assert found.min() == pytest.approx(start + inside * factor, abs=4)
        assert found.max() == pytest.approx(start + (inside + 40) * factor, abs=4)
    assert (box[0][-1] - box[0][0]) / (bottom - top) == pytest.approx(factor, abs=0.02)


@pytest.mark.parametrize(
    ("pixels", "axes"),
    [
        (np.stack([MADE.pixels] * 3, axis=-1), "yxc"),
        (MADE.pixels.astype(np.uint16) * 200, "yx"),
        (np.stack([MADE.pixels] * 3), "tyx"),
        (np.full(MADE.pixels.shape, np.nan, np.float32), "yx"),
        (np.stack([np.stack([MADE.pixels] * 3, axis=-1)] * 2), "tyxc"),
    ],
)
def test_every_sort_of_frame_can_be_reported(tmp_path, pixels, axes):
    lead = ((0, len(pixels)),) if axes[0] == "t" else ()
    frames = (TagResult(tag=LESIONS[0], probabilities={}),) * 3 if lead else ()
    found = prediction(frames=frames, region=(*lead, *MADE.scan))
    if lead:
        found = replace(found, attention=np.stack([found.attention] * len(pixels)))
    line = ((*[1.0] * len(lead), 100.0, 100.0), (*[1.0] * len(lead), 100.0, 180.0))
    findings = Findings(lines=(line,), tirads={**ANSWERS, "foci": ["punctate"]}, tag=LESIONS[1])
    assert written(tmp_path / "r.png", image(pixels, axes), found, findings=findings).shape[0] >= 500


def test_what_a_person_found_makes_the_report_longer_but_never_wider(tmp_path):
    short = written(tmp_path / "a.png", image(**SPACE), prediction())
    findings = Findings(tirads={**ANSWERS, "foci": ["punctate", "rim"]}, lines=(((10.0, 20.0), (90.0, 20.0)),) * 12)
    long = written(
        tmp_path / "b.png", image(**SPACE), prediction(notes=["A note " * 60]), findings=findings, title="n" * 300
    )
    assert long.shape[0] > short.shape[0]
    assert long.shape[1] == short.shape[1]
    assert (long[-5:] == 255).all()
    assert (long[:, -4:] == 255).all()


def test_words_without_a_place_to_break_end_at_the_edge():
    sheet = Sheet(np.zeros((10, 10, 3), np.uint8), "t")
    sheet.bar("x" * 400, 0.5)
    assert (sheet.pixels()[:, -4:] == 255).all()


def test_a_report_that_cannot_be_written_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(WriteError):
        api.write_report(tmp_path / "file" / "r.png", image(), prediction(), model="m")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A hardly trained model."""
    folder = tmp_path_factory.mktemp("thyroid")
    make_dataset(folder / "data", n=40, rows=96, columns=128)
    tiny = ["network.base_width=4", "network.middle_modules=1", "input_size=64", "training.epochs=1"]
    tiny += ["training.steps_per_epoch=1", "training.batch_size=4"]
    api.train("thyroid", folder / "data", folder / "run", assignments=tiny, device="cpu", precision="fp32")
    return folder


def test_the_command_writes_a_report_per_image(run, tmp_path):
    images = sorted((run / "data" / "images").glob("*.png"))[:2]
    options = {"device": "cpu", "precision": "fp32", "reports": True}
    rows = api.predict_files(run / "run", images, tmp_path, **options)
    assert [row["error"] for row in rows] == ["", ""]
    for picture, row in zip(images, rows, strict=True):
        sheet = np.asarray(Pillow.open(tmp_path / f"{picture.stem}-report.png"))
        widths = runs_of(sheet, BLUE)
        shares = [row[f"p_{lesion}"] for lesion in LESIONS]
        shown = [width for share, width in zip([s for s in shares if round(160 * s)], widths, strict=True)]
        np.testing.assert_allclose(np.array(shown) / 161, [s for s in shares if round(160 * s)], atol=0.02)


def test_models_that_draw_are_refused(tmp_path):
    picture = tmp_path / "a.png"
    Pillow.fromarray(np.zeros((64, 64, 3), np.uint8)).save(picture)
    with pytest.raises(ConfigError, match="leave --report out"):
        api.predict_files(api.bundled_model("pathology"), [picture], tmp_path / "out", device="cpu", reports=True)
