"""What the source of scheme `pathology` says happens between the stages, and what mixed labels mean."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_medseg.errors import DatasetError, ModelError
from napari_medseg.io.model_file import ModelCard
from napari_medseg.schemes import build_config, find_scheme
from napari_medseg.schemes.pathology_controls import thin_out
from napari_medseg.structures import DatasetInfo
from tests.factories import INFO, spot_case, spot_set

torch = pytest.importorskip("torch")

SMALL = ["network.base_width=4", "input_size=32", "training.batch_size=4", "training.epochs=2"]


@pytest.fixture(scope="module")
def compute():
    from napari_medseg.models.compute import choose_compute

    return choose_compute("cpu", "fp32", 1)


def run_without_training(data, compute, assignments=(), start=None):
    """Drive the scheme's generator; 'training' a stage shifts all its weights, so that copies show."""
    from napari_medseg.training.stage import StageResult

    scheme = find_scheme("pathology")
    config = build_config(scheme, assignments=[*SMALL, *assignments])
    generator = scheme.stages(config, data, 0, compute, start)
    stages, starts, ends = [], [], []
    try:
        stage = next(generator)
        while True:
            stages.append(stage)
            starts.append({k: v.clone() for k, v in stage.model.state_dict().items()})
            with torch.no_grad():
                for parameter in stage.model.parameters():
                    parameter += 0.125 * (len(stages))
            ends.append({k: v.clone() for k, v in stage.model.state_dict().items()})
            stage = generator.send(
                StageResult(
                    name=stage.name,
                    identity="",
                    best_score=0.5,
                    epochs=1,
                    steps=1,
                    seconds=0.0,
                    reused=False,
                    details={},
                )
            )
    except StopIteration as stop:
        return stages, starts, ends, stop.value


def part(state, prefix):
    return {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}


def beside_encoder(state):
    return {k: v for k, v in state.items() if not k.startswith("encoder.")}


def assert_equal(one, other):
    assert one.keys() == other.keys()
    assert one
    assert all(torch.equal(one[k], other[k]) for k in one)


def test_encoders_are_handed_on_and_the_result_is_b_and_c(compute):
    stages, starts, ends, trained = run_without_training(spot_set(), compute)
    assert [stage.name for stage in stages] == ["a_classifier", "b_segmenter", "c_classifier"]
    assert_equal(part(starts[1], "encoder."), part(ends[0], "encoder."))
    assert_equal(part(starts[2], "encoder."), part(ends[1], "encoder."))
    assert_equal(beside_encoder(starts[2]), beside_encoder(ends[0]))
    assert_equal(part(dict(trained.tensors), "segmenter."), ends[1])
    assert_equal(part(dict(trained.tensors), "classifier."), ends[2])


def test_fresh_head_starts_c_with_another_linear_layer(compute):
    _, starts, ends, _ = run_without_training(spot_set(), compute, ["fresh_head=true"])
    heads = [k for k in starts[2] if not k.startswith("encoder.") and k.endswith("weight")]
    assert heads
    assert not any(torch.equal(starts[2][k], ends[0][k]) for k in heads)


def test_a_model_to_start_from_gives_its_networks_but_not_cs_fresh_head(compute):
    *_, ends, trained = run_without_training(spot_set(), compute)
    given = {name: tensor.numpy() for name, tensor in trained.tensors.items()}
    _, starts, _, _ = run_without_training(spot_set(), compute, ["fresh_head=true"], start=given)
    assert_equal(starts[0], ends[2])
    assert_equal(beside_encoder(starts[1]), beside_encoder(ends[1]))
    heads = [name for name in beside_encoder(starts[2]) if name.endswith("weight")]
    assert heads
    assert not any(torch.equal(starts[2][name], ends[2][name]) for name in heads)


def test_a_start_with_fewer_tags_gives_its_encoder(compute):
    *_, ends, trained = run_without_training(spot_set(), compute)
    given = {name: tensor.numpy() for name, tensor in trained.tensors.items()}
    data = spot_set()
    info = replace(data.info, tags=(*INFO.tags, replace(INFO.tags[0], name="third")))
    third = replace(spot_case(50), tag="third")
    _, starts, _, _ = run_without_training(replace(data, info=info, cases=(*data.cases, third)), compute, start=given)
    assert_equal(part(starts[0], "encoder."), part(ends[2], "encoder."))


def test_a_model_of_another_width_is_refused_as_a_start(compute):
    *_, trained = run_without_training(spot_set(), compute)
    given = {name: tensor.numpy() for name, tensor in trained.tensors.items()}
    with pytest.raises(ModelError, match="base_width"):
        run_without_training(spot_set(), compute, ["network.base_width=8"], start=given)


def test_each_stage_sees_the_samples_that_have_its_label(compute):
    data = spot_set(train=10, masks=4, tags=8)
    stages, *_ = run_without_training(data, compute)
    assert [len(stage.source) for stage in stages] == [8, 4, 8]


def test_an_empty_mask_trains_the_segmenter_and_a_missing_one_does_not(compute):
    data = spot_set(train=6, masks=0)
    empty = spot_case(0, spotted=False)
    stages, *_ = run_without_training(replace(data, cases=(*data.cases, replace(empty, case="extra"))), compute)
    assert [stage.name for stage in stages] == ["a_classifier", "b_segmenter", "c_classifier"]
    assert len(stages[1].source) == 1


def test_tags_alone_train_a_and_masks_alone_train_b(compute):
    only_tags, *_ = run_without_training(spot_set(masks=0), compute)
    assert [stage.name for stage in only_tags] == ["a_classifier"]
    only_masks, *_ = run_without_training(spot_set(tags=0), compute)
    assert [stage.name for stage in only_masks] == ["b_segmenter"]


@pytest.mark.parametrize(
    ("data", "severities"),
    [
        (spot_set(), []),
        (spot_set(masks=0, tags=0), ["error"]),
        (spot_set(masks=0, tags=1), ["error"]),
        (spot_set(masks=0), ["warning"]),
        (spot_set(tags=1), ["warning"]),
        (spot_set(val=0), ["warning", "warning"]),
    ],
)
def test_check_refuses_what_cannot_train_and_warns_of_what_is_missing(data, severities):
    scheme = find_scheme("pathology")
    faults = scheme.check(build_config(scheme), data)
    assert [fault.severity for fault in faults] == severities
    assert all(str(fault).endswith(".") for fault in faults)


def test_training_learns_two_kinds_of_label_and_the_file_predicts_the_same(tmp_path, compute):
    from napari_medseg.api import load_model, predict
    from napari_medseg.api.training import train_cases

    scheme = find_scheme("pathology")
    config = build_config(
        scheme,
        assignments=[
            *SMALL,
            "network.base_width=8",
            "training.epochs=12",
            "training.steps_per_epoch=10",
            "training.batch_size=8",
            "training.learning_rate=0.005",
            "downsample=1",
        ],
    )
    data = spot_set(train=12, masks=6)
    summary = train_cases(scheme, config, data, tmp_path / "run", device="cpu", precision="fp32", threads=1)
    assert [stage["name"] for stage in summary["stages"]] == ["a_classifier", "b_segmenter", "c_classifier"]

    model = load_model(tmp_path / "run", device="cpu", precision="fp32", threads=1)
    overlap, right = [], []
    for case in data.of_split("test"):
        result = predict(model, case.load_image())
        drawn = case.load_labels() == 1
        found = np.asarray(result.labels) == 1
        overlap.append(2 * (drawn & found).sum() / max(1, drawn.sum() + found.sum()) if drawn.any() else None)
        right.append(result.tag.tag == case.tag)
    assert np.mean([o for o in overlap if o is not None]) > 0.8
    assert np.mean(right) >= 0.75


@given(
    masks=st.integers(0, 6),
    share=st.floats(0.1, 1.0),
    seed=st.integers(0, 50),
)
def test_thinning_hides_labels_of_training_cases_only(masks, share, seed):
    data = spot_set(train=12, masks=8, val=3, test=3, size=32)
    thinned, tags_alone = thin_out(data, masks=masks, tag_share=share, seed=seed)
    train = thinned.of_split("train")
    assert sum(case.has_mask for case in train) == masks
    expected = 2 * max(1, round(share * 6))
    assert len(tags_alone.of_split("train")) == expected
    assert not any(case.has_mask for case in tags_alone.of_split("train"))
    for split in ("val", "test"):
        assert thinned.of_split(split) == data.of_split(split) == tags_alone.of_split(split)
    again = thin_out(data, masks=masks, tag_share=share, seed=seed)[0]
    assert [(c.case, c.tag, c.has_mask) for c in again.cases] == [(c.case, c.tag, c.has_mask) for c in thinned.cases]


def test_a_kept_mask_brings_its_implied_tag_to_the_scheme_but_not_to_the_control():
    info = DatasetInfo(
        name="implied",
        classes=INFO.classes,
        tags=INFO.tags,
        implies={"spot": "spotted", "<empty>": "plain"},
    )
    data = replace(spot_set(train=20, masks=20), info=info)
    thinned, tags_alone = thin_out(data, masks=10, tag_share=0.1, seed=1)
    assert len(tags_alone.of_split("train")) == 2
    implied = [case for case in thinned.of_split("train") if case.has_mask]
    assert len(implied) == 10
    assert all(case.tag == ("spotted" if (case.load_labels() == 1).any() else "plain") for case in implied)


def test_more_masks_than_there_are_is_refused():
    with pytest.raises(DatasetError, match="only 2 training cases"):
        thin_out(spot_set(masks=2), masks=3, tag_share=1.0, seed=0)


@pytest.mark.parametrize(
    "change",
    [
        {"config": {"input_size": 33}},
        {"config": {"surprise": 1}},
        {"preprocessing": {}},
        {"preprocessing": {"intensity": {"x": 1}, "resolution": None}},
    ],
)
def test_a_card_of_other_settings_or_preprocessing_is_refused_in_a_sentence(change, compute):
    card = ModelCard.model_validate(
        {"scheme": "pathology", "config": {}, "expects": {"axes": "yx", "channels": 3}} | change
    )
    with pytest.raises(ModelError, match="settings or preprocessing that this program has not"):
        find_scheme("pathology").predictor(card, {}, compute)
