"""What the source of scheme `oct` says of windows, candidates and the choice between them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import jaccard_score

from napari_medseg.data.dataset import Dataset
from napari_medseg.data.synthetic_oct import bscan, make_oct_dataset, volume
from napari_medseg.data.training_set import training_set
from napari_medseg.errors import Cancelled, ConfigError, ModelError
from napari_medseg.io.model_file import ModelCard, read_card, read_model
from napari_medseg.schemes import build_config, find_scheme
from napari_medseg.schemes.oct import Candidate
from napari_medseg.schemes.oct_league import neighbours
from napari_medseg.schemes.oct_parts import OctParts
from napari_medseg.structures import Image
from tests.factories import layer_case, layer_set

torch = pytest.importorskip("torch")

OCT = find_scheme("oct")
SMALL = [
    "window_width=32",
    "stride=16",
    "training.batch_size=4",
    "training.epochs=1",
    "training.steps_per_epoch=2",
    "search=false",
    'candidates=[{"base_width":4,"downsamplings":2},{"base_width":8,"downsamplings":2},'
    '{"architecture":"fpn","encoder":"resnet18","downsamplings":3}]',
]
CPU = {"device": "cpu", "precision": "fp32", "threads": 1}
KNOBS = ("convs_per_level", "base_width", "downsamplings")


@pytest.fixture(scope="module")
def compute():
    from napari_medseg.models.compute import choose_compute

    return choose_compute("cpu", "fp32", 1)


def race(scores, compute, assignments=(), data=None):
    """Drive the scheme without training; each candidate gets its score by name, 0.1 when it has none."""
    from napari_medseg.training.stage import StageResult

    config = build_config(OCT, assignments=[*SMALL, *assignments])
    generator = OCT.stages(config, data or layer_set(), 0, compute)
    stages = []
    try:
        stage = next(generator)
        while True:
            stages.append(stage)
            result = StageResult(
                name=stage.name,
                identity="",
                best_score=scores.get(stage.name, 0.1),
                epochs=1,
                steps=1,
                seconds=1.0,
                reused=False,
                details={},
            )
            stage = generator.send(result)
    except StopIteration as stop:
        return stages, stop.value


def chosen(trained):
    return [entry["name"] for entry in trained.candidates if entry["chosen"]]


def test_the_candidate_with_the_best_score_is_the_model(compute):
    stages, trained = race({"unet-plain-c2-w8-d2": 0.7, "fpn-resnet18-d3": 0.6}, compute)
    assert [stage.name for stage in stages] == ["unet-plain-c2-w4-d2", "unet-plain-c2-w8-d2", "fpn-resnet18-d3"]
    assert all(stage.candidate for stage in stages)
    assert chosen(trained) == ["unet-plain-c2-w8-d2"]
    best = stages[1].model.state_dict()
    assert {f"segmenter.{name}" for name in best} == set(trained.tensors)
    assert all(torch.equal(trained.tensors[f"segmenter.{name}"], tensor) for name, tensor in best.items())
    for entry, stage in zip(trained.candidates, stages, strict=True):
        assert entry["parameters"] == sum(p.numel() for p in stage.model.parameters())


def test_round_two_goes_one_step_around_the_winner_and_may_find_a_better_one(compute):
    scores = {"unet-plain-c2-w8-d2": 0.7, "unet-plain-c2-w8-d3": 0.8}
    stages, trained = race(scores, compute, ["search=true"])
    rounds = {entry["name"]: entry["round"] for entry in trained.candidates}
    assert list(rounds) == [stage.name for stage in stages]
    # One convolution less and more, kernels by half, one halving less and more; the one of round 1 is not repeated.
    assert {name for name, number in rounds.items() if number == 2} == {
        "unet-plain-c1-w8-d2",
        "unet-plain-c3-w8-d2",
        "unet-plain-c2-w12-d2",
        "unet-plain-c2-w8-d1",
        "unet-plain-c2-w8-d3",
    }
    assert chosen(trained) == ["unet-plain-c2-w8-d3"]


@st.composite
def candidates(draw):
    architecture = draw(st.sampled_from(["unet-plain", "unetplusplus", "fpn"]))
    encoder = draw(st.sampled_from(["unet-plain", "resnet18"]))
    plain = architecture == encoder == "unet-plain"
    return Candidate(
        architecture=architecture,
        encoder=encoder,
        convs_per_level=draw(st.integers(1, 5)),
        base_width=draw(st.integers(4, 256)),
        downsamplings=draw(st.integers(1, 6) if plain else st.integers(3, 5)),
    )


@given(candidates(), st.integers(1, 64), st.integers(6, 11))
def test_neighbours_differ_in_one_knob_that_shows_and_fit_the_windows(winner, blocks, power):
    width, height = 16 * blocks, 2**power
    found = neighbours(winner, width, height)
    assert len({c.name for c in (winner, *found)}) == len(found) + 1
    for candidate in found:
        changed = [knob for knob in KNOBS if getattr(candidate, knob) != getattr(winner, knob)]
        assert len(changed) == 1
        assert candidate.model_copy(update={changed[0]: getattr(winner, changed[0])}) == winner
        assert width % 2**candidate.downsamplings == height % 2**candidate.downsamplings == 0
        Candidate.model_validate(candidate.model_dump())


def test_a_target_is_the_model_whatever_it_scores(compute):
    _, trained = race({"unet-plain-c2-w8-d2": 0.9}, compute, ["target=unet-plain-c2-w4-d2"])
    assert chosen(trained) == ["unet-plain-c2-w4-d2"]
    names = r"no candidate 'x' .*unet-plain-c2-w4-d2, unet-plain-c2-w8-d2"
    with pytest.raises(ConfigError, match=names):
        build_config(OCT, assignments=[*SMALL, "target=x"])
    # Round 2 may bring what was asked for, so that it is known only in the end what there is.
    with pytest.raises(ConfigError, match=names):
        race({}, compute, ["search=true", "target=x"])


@pytest.mark.parametrize(
    ("assignment", "sentence"),
    [
        ("window_width=36", "window_width must be a multiple of 8 for 3 downsamplings, e.g. 40"),
        ("stride=32", "stride must be less than window_width=32, e.g. 16"),
        ("height=100", "must be a power of two, e.g. 128"),
        ('candidates=[{"base_width":4},{"base_width":4}]', "two candidates are the same network"),
        ('candidates=[{"downsamplings":7}]', "downsamplings"),
        ("candidates=[]", "candidates"),
        ('candidates=[{"encoder":"resnet18","downsamplings":2}]', "need 3, 4 or 5 downsamplings"),
    ],
)
def test_settings_that_windows_do_not_allow_are_refused_with_the_mend(assignment, sentence):
    with pytest.raises(ConfigError, match=sentence):
        build_config(OCT, assignments=[*SMALL, assignment])


@pytest.mark.parametrize(
    ("second", "sentence"),
    [
        ('{"architecture":"unett"}', "no decoder 'unett'"),
        ('{"encoder":"resnet1"}', "no encoder 'resnet1'"),
        ('{"architecture":"linknet","encoder":"mit_b0"}', "'mit_b0' cannot be used like that"),
        ('{"architecture":"deeplabv3plus","downsamplings":5}', "do not fit together with 5 downsamplings"),
    ],
)
def test_a_network_that_cannot_be_built_is_refused_before_the_first_one_trains(second, sentence, compute):
    assignments = [f'candidates=[{{"base_width":4,"downsamplings":2}},{second}]']
    config = build_config(OCT, assignments=[*SMALL, *assignments])
    with pytest.raises(ConfigError, match=sentence):
        next(OCT.stages(config, layer_set(), 0, compute))


def test_round_two_leaves_out_what_the_library_has_not(compute):
    only = 'candidates=[{"architecture":"fpn","encoder":"mit_b0","downsamplings":5}]'
    _, trained = race({}, compute, [only, "search=true"])
    assert [entry["name"] for entry in trained.candidates] == ["fpn-mit_b0-d5"]


@pytest.mark.parametrize(
    ("data", "assignments", "severities"),
    [
        (layer_set(), [], []),
        (layer_set(train=0), [], ["error"]),
        (layer_set(val=0), [], ["error"]),
        (layer_set(val=0), ['candidates=[{"base_width":4}]'], ["warning"]),
        (replace(layer_set(val=0), cases=(layer_case(0), layer_case(1, split="val", source="other"))), [], ["warning"]),
        (replace(layer_set(val=0), cases=(layer_case(0), layer_case(1, split="val", drawn=False))), [], ["error"]),
    ],
)
def test_check_refuses_what_cannot_be_compared_and_warns_of_what_surprises(data, assignments, severities):
    faults = OCT.check(build_config(OCT, assignments=[*SMALL, *assignments]), data)
    assert [fault.severity for fault in faults] == severities
    assert all(str(fault).endswith(".") for fault in faults)


def test_windows_of_a_person_stand_on_one_side_of_the_split(tmp_path, compute):
    make_oct_dataset(tmp_path / "data", n=12, subjects=4, size=(48, 64))
    parts = OctParts.fit(
        build_config(OCT, assignments=SMALL), training_set(Dataset.open(tmp_path / "data")), 0, compute
    )
    train, judged = ({case.group for case in cases} for cases in (parts.train, parts.judged))
    assert train
    assert judged
    assert not train & judged
    # 64 columns, windows of 32, stride 16: three per B-scan, of training cases alone.
    assert len(parts.windows) == 3 * len(parts.train)
    assert parts.height == 64


def test_the_score_is_iou_of_stitched_images_with_pooled_pixels(compute):
    parts = OctParts.fit(build_config(OCT, assignments=SMALL), layer_set(), 0, compute)
    torch.manual_seed(1)
    network = parts.network(parts.config.candidates[0]).eval()
    scorer = parts.stage(parts.config.candidates[0], network).scorer
    scores = [scorer.score_case(network, case, preview=True) for case in scorer.cases]
    truth = np.concatenate([case.load_labels().ravel() for case in parts.judged])
    predicted = np.concatenate([score.preview.ravel() for score in scores])
    present = [c.value for c in parts.classes if (truth == c.value).any()]
    assert len(present) < len(parts.classes)  # fluid is in none of these B-scans and is left out
    expected = jaccard_score(truth, predicted, labels=present, average="macro", zero_division=0)
    assert scorer.summarise(scores)[0] == pytest.approx(expected)


TRAINED = [
    *SMALL,
    'candidates=[{"base_width":8,"downsamplings":2},{"base_width":4,"downsamplings":2}]',
    "training.epochs=4",
    "training.steps_per_epoch=12",
    "training.learning_rate=0.01",
]


def train(run, assignments=TRAINED, **options):
    from napari_medseg.api.training import train_cases

    return train_cases(OCT, build_config(OCT, assignments=assignments), layer_set(), run, **CPU, **options)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("oct") / "run"
    train(folder)
    return folder


@pytest.fixture(scope="module")
def model(run):
    from napari_medseg.api import load_model

    return load_model(run, **CPU)


def labels_of(model, pixels, **options):
    from napari_medseg.api import predict

    image = Image(levels=(pixels,), axes="zyx"[-pixels.ndim :], kind="oct", name="scan")
    return predict(model, image, **options)


def test_the_winner_draws_layers_of_bscans_it_has_not_seen(model):
    hits = []
    for case in layer_set().of_split("test"):
        found = np.asarray(labels_of(model, case.load_image().data).labels)
        hits.append((found == case.load_labels()).mean())
    assert np.mean(hits) > 0.85


@pytest.mark.parametrize(
    ("size", "note"),
    [((48, 64), ""), ((48, 20), ""), ((33, 200), ""), ((90, 64), "90 pixels high, more than the 64 of the training")],
)
def test_any_size_is_predicted_and_a_taller_image_is_told(model, size, note):
    result = labels_of(model, bscan(size[0], max(size[1], 32), seed=7)[0][:, : size[1]])
    assert np.asarray(result.labels).shape == size
    assert (note in " ".join(result.notes)) if note else not result.notes


def test_added_rows_are_taken_away_where_they_were_added(model):
    pixels = bscan(64, 64, seed=3)[0]
    whole = np.asarray(labels_of(model, pixels).labels)
    # Without its lowest rows the image is padded; what lies far above them is seen as before.
    short = np.asarray(labels_of(model, pixels[:60]).labels)
    assert (short[:36] == whole[:36]).mean() > 0.999


def test_a_volume_is_predicted_bscan_by_bscan(model):
    scans = volume(3, 48, 64, seed=9)[0]
    stack = np.asarray(labels_of(model, scans).labels)
    for scan, labels in zip(scans, stack, strict=True):
        np.testing.assert_array_equal(np.asarray(labels_of(model, scan).labels), labels)


def test_another_candidate_becomes_the_model_without_training(run):
    card, tensors = read_model(run / "model.safetensors")
    other = next(entry["name"] for entry in card.training.candidates if not entry["chosen"])
    summary = train(run, [*TRAINED, f"target={other}"], resume=True)
    try:
        assert all(stage["reused"] for stage in summary["stages"])
        assert [entry["name"] for entry in summary["candidates"] if entry["chosen"]] == [other]
        now, weights = read_model(run / "model.safetensors")
        assert now.preprocessing["candidate"] != card.preprocessing["candidate"]
        assert {name: w.shape for name, w in weights.items()} != {name: w.shape for name, w in tensors.items()}
    finally:
        train(run, resume=True)
    assert read_card(run / "model.safetensors").preprocessing == card.preprocessing


def test_an_interrupted_search_goes_on_to_the_same_weights(run, tmp_path):
    def stop_in_the_second(event, **values):
        if event == "epoch_ended" and values["stage"] == "unet-plain-c2-w4-d2" and values["epoch"] == 2:
            raise Cancelled("enough")

    with pytest.raises(Cancelled):
        train(tmp_path / "run", report=stop_in_the_second)
    summary = train(tmp_path / "run", resume=True)
    assert [stage["reused"] for stage in summary["stages"]] == [True, False]
    expected, found = (read_model(folder / "model.safetensors")[1] for folder in (run, tmp_path / "run"))
    assert expected.keys() == found.keys()
    assert all(np.array_equal(expected[name], found[name]) for name in expected)


def test_a_finished_candidate_of_an_interrupted_search_is_a_model_at_once(run, tmp_path):
    def stop_in_the_second(event, **values):
        if event == "epoch_ended" and values["stage"] == "unet-plain-c2-w4-d2":
            raise Cancelled("enough")

    with pytest.raises(Cancelled):
        train(tmp_path / "run", report=stop_in_the_second)
    first = read_card(run / "model.safetensors").training.candidates[0]["name"]
    started = []

    def note(event, **values):
        if event == "stage_started":
            started.append(values["stage"])

    summary = train(tmp_path / "run", [*TRAINED, f"target={first}"], resume=True, report=note)
    assert started == [first]
    assert [(stage["name"], stage["reused"]) for stage in summary["stages"]] == [(first, True)]
    assert [(entry["name"], entry["chosen"]) for entry in summary["candidates"]] == [(first, True)]
    assert (tmp_path / "run" / "model.safetensors").is_file()
    # The search can still be brought to its end.
    assert [stage["reused"] for stage in train(tmp_path / "run", TRAINED, resume=True)["stages"]] == [True, False]


def test_a_file_stop_ends_one_candidate_and_the_next_one_trains(tmp_path):
    told = []

    def ask(event, **values):
        if event == "preview_written" and values["stage"] == "unet-plain-c2-w8-d2":
            (tmp_path / "run" / "stages" / values["stage"] / "stop").touch()
        told.append((event, values))

    summary = train(tmp_path / "run", report=ask)
    assert [stage["epochs"] for stage in summary["stages"]] == [1, 4]
    assert [entry["stopped"] for entry in summary["candidates"]] == [True, False]
    assert [values["stopped"] for event, values in told if event == "stage_ended"] == [True, False]
    assert not list((tmp_path / "run").rglob("stop"))
    known = next(values["stages"] for event, values in told if event == "started")
    assert [(stage["name"], stage["candidate"]) for stage in known] == [
        ("unet-plain-c2-w8-d2", True),
        ("unet-plain-c2-w4-d2", True),
    ]


@pytest.mark.parametrize(
    "change",
    [
        {"config": {"stride": 0}},
        {"preprocessing": {}},
        {"preprocessing": {"intensity": {"channels": 1, "mean": [0], "std": [1]}, "height": 64, "candidate": {"x": 1}}},
    ],
)
def test_a_card_of_other_settings_or_preprocessing_is_refused_in_a_sentence(change, compute):
    card = ModelCard.model_validate({"scheme": "oct", "config": {}, "expects": {"axes": "yx", "channels": 1}} | change)
    with pytest.raises(ModelError, match="settings or preprocessing that this program has not"):
        OCT.predictor(card, {}, compute)
