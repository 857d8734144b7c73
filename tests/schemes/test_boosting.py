"""What the source of scheme `boosting` says of groups, freezing, budgets and selection."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_medseg.errors import ConfigError, DatasetError
from napari_medseg.schemes import build_config, find_scheme
from napari_medseg.schemes.boosting_experiment import CONDITIONS, BoostingExperiment, spoilt
from napari_medseg.schemes.boosting_levels import choose_patch, multiple_of, parse_variants, plan_poolings
from napari_medseg.structures import Image
from tests.factories import lesion_case, lesion_set

torch = pytest.importorskip("torch")

BOOSTING = find_scheme("boosting")
SMALL = [
    "base_width=4",
    "variants=2+1",
    "training.batch_size=2",
    "training.epochs=2",
    "training.steps_per_epoch=2",
    "training.weight_decay=0.5",
]
SHAPE = (12, 20, 16)


@pytest.fixture(scope="module")
def compute():
    from napari_medseg.models.compute import choose_compute

    return choose_compute("cpu", "fp32", 1)


def config_of(*assignments):
    return build_config(BOOSTING, assignments=[*SMALL, *assignments])


def data_of(**options):
    return lesion_set(train=3, val=1, test=2, shape=SHAPE, **options)


def drive(compute, *assignments, scores=(), data=None, start=None):
    """The scheme's stages without training; the n-th result has the n-th score, 0.1 beyond them."""
    from napari_medseg.training.stage import StageResult

    generator = BOOSTING.stages(config_of(*assignments), data or data_of(), 0, compute, start)
    stages, result = [], None
    try:
        while True:
            stage = generator.send(result)
            stages.append(stage)
            score = scores[len(stages) - 1] if len(stages) <= len(scores) else 0.1
            result = StageResult(
                name=stage.name,
                identity=stage.name,
                best_score=score,
                epochs=1,
                steps=2,
                seconds=1.5,
                reused=False,
                details={"dice tumour": score},
            )
    except StopIteration as end:
        return stages, end.value


def levels_that_learn(stage) -> list[int]:
    frozen = {id(p) for part in stage.frozen for p in part.parameters()}
    model = stage.model
    return [
        level
        for level in range(1, model.levels + 1)
        if not any(id(p) in frozen for part in model.parts([level]) for p in part.parameters())
    ]


@pytest.mark.parametrize(
    ("variant", "learning"),
    [("2+1", [[1, 2], [3]]), ("3+1", [[1, 2, 3], [4]]), ("2+1+1", [[1, 2], [3], [4]]), ("2+2", [[1, 2], [3, 4]])],
)
def test_each_stage_trains_its_group_inside_the_network_so_far(compute, variant, learning):
    stages, trained = drive(compute, f"variants={variant}")
    assert [levels_that_learn(stage) for stage in stages] == learning
    assert [stage.model.levels for stage in stages] == [group[-1] for group in learning]
    assert [list(stage.parents) for stage in stages] == [[s.name for s in stages[:k]] for k in range(len(stages))]
    assert trained.preprocessing["groups"] == [len(group) for group in learning]
    assert list(BOOSTING.known_stages(config_of(f"variants={variant}"))) == [stage.name for stage in stages]


def test_frozen_levels_do_not_move_by_a_bit_and_the_new_one_does(compute, tmp_path):
    from napari_medseg.training.run import run_stages

    kept = {}

    def watched():
        generator = BOOSTING.stages(config_of(), data_of(), 0, compute)
        result = None
        while True:
            try:
                stage = generator.send(result)
            except StopIteration as end:
                return end.value
            kept[stage.name] = stage, {k: v.clone() for k, v in stage.model.state_dict().items()}
            result = yield stage

    run_stages(watched(), run=tmp_path, seed=0, compute=compute)
    first, second = kept.values()
    trained = first[0].model.state_dict()
    assert any(not torch.equal(trained[name], value) for name, value in first[1].items())
    after = second[0].model.state_dict()
    assert all(torch.equal(after[name], value) for name, value in trained.items())
    new = set(after) - set(trained)
    assert any(not torch.equal(after[name], second[1][name]) for name in new)
    assert all(p.requires_grad for p in second[0].model.parameters()), "what was frozen can be trained on later"


def test_the_best_variant_is_the_model_unless_another_is_asked_for(compute):
    variants = "variants=2+1, 3+1"
    stages, best = drive(compute, variants, scores=[0.2, 0.7, 0.9, 0.6])
    assert best.scores["mean_dice"] == 0.7, "the score of the last stage counts, not the best of an earlier one"
    assert [(entry["name"], entry["score"], entry["chosen"]) for entry in best.candidates] == [
        ("2+1", 0.7, True),
        ("3+1", 0.6, False),
    ]
    assert [entry["seconds"] for entry in best.candidates] == [3.0, 3.0]
    assert len(stages) == 4
    _, asked = drive(compute, variants, "target=3+1", scores=[0.2, 0.7, 0.9, 0.6])
    assert asked.preprocessing["groups"] == [3, 1]
    with pytest.raises(ConfigError, match="no variant '5'"):
        drive(compute, variants, "target=5")


def test_repeats_begin_from_other_weights(compute):
    stages, trained = drive(compute, "repeats=2")
    assert len({stage.name for stage in stages}) == 4
    first, second = stages[0].model.state_dict(), stages[2].model.state_dict()
    assert not torch.equal(first["encoders.0.0.weight"], second["encoders.0.0.weight"])
    assert [entry["name"] for entry in trained.candidates] == ["2+1", "2+1 run 2"]


def test_a_network_can_be_trained_at_once(compute):
    stages, trained = drive(compute, "variants=3")
    assert [levels_that_learn(stage) for stage in stages] == [[1, 2, 3]]
    assert trained.preprocessing["groups"] == [3]


def test_training_goes_on_from_a_model(compute):
    _, trained = drive(compute)
    start = {name: tensor.numpy() for name, tensor in trained.tensors.items()}
    stages, _ = drive(compute, start=start)
    for name, value in stages[-1].model.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), start[f"network.{name}"])


def test_levels_are_chosen_by_the_set_and_explained(compute):
    _, trained = drive(compute, "variants=auto")
    assert trained.preprocessing["groups"] == [2, 1]
    assert "3 training images" in trained.candidates[0]["reason"]


def test_planes_train_the_same_network_of_two_dimensions(compute):
    data = lesion_set(train=2, val=1, test=0, shape=(40, 48))
    stages, trained = drive(compute, data=data)
    assert stages[0].model.encoders[0][0].weight.ndim == 4
    assert trained.expects["axes"] == "yx"
    with pytest.raises(ConfigError, match="set dims=2"):
        drive(compute, "dims=3", data=data)


def test_images_of_mixed_dimensions_are_refused_by_name(compute):
    data = data_of()
    odd = lesion_case(50, shape=(40, 48))
    with pytest.raises(DatasetError, match=r"'lesion050' has 2, case 'lesion00\d' has 3"):
        drive(compute, data=replace(data, cases=(*data.cases, odd)))


@pytest.mark.parametrize(
    ("assignment", "words"),
    [
        ("variants=1+1", "begins with one level"),
        ("variants=3+x", "no grouping"),
        ("variants=2+1 2+1", "there twice"),
        ("variants=9", "9 levels"),
        ("variants=", "name at least one"),
        ("window=[3,3]", "lower"),
        ("patch_size=[8]", "one number per dimension"),
        ("patch_size=[1,8,8]", "2 or more"),
    ],
)
def test_settings_that_cannot_be_are_refused_in_words(assignment, words):
    with pytest.raises(ConfigError, match=words):
        config_of(assignment)


def test_a_patch_that_poolings_do_not_divide_is_refused_with_the_nearest(compute):
    with pytest.raises(ConfigError, match=r"multiple of 4, 4, 4.*12, 20, 16"):
        drive(compute, "patch_size=[11,18,16]", "spacing=own")


@given(
    st.integers(2, 6),
    st.tuples(st.integers(1, 300), st.integers(1, 600), st.integers(1, 600)),
    st.tuples(st.floats(0.3, 10), st.floats(0.2, 3), st.floats(0.2, 3)),
)
def test_poolings_halve_planes_always_and_slices_only_while_they_are_thin(levels, shape, spacing):
    poolings = plan_poolings(levels, shape, spacing)
    thickness, width, slices = spacing[0], min(spacing[1:]), shape[0]
    for factors in poolings:
        assert factors[1:] == (2, 2)
        assert (factors[0] == 2) == (thickness <= 2 * width and slices >= 2)
        thickness, width, slices = thickness * factors[0], width * 2, max(1, slices // factors[0])
    patch = choose_patch(shape, multiple_of(poolings))
    assert all(side % step == 0 for side, step in zip(patch, multiple_of(poolings), strict=True))
    assert {factors[0] for factors in plan_poolings(levels, shape, spacing, in_plane_only=True)} == {1}


@given(st.lists(st.integers(1, 3), min_size=1, max_size=3))
def test_groupings_are_read_as_they_are_written(groups):
    text = "+".join(map(str, groups))
    if groups[0] < 2 or sum(groups) > 6:
        with pytest.raises(ValueError, match="level"):
            parse_variants(text)
    else:
        (variant,) = parse_variants(text)
        assert variant.name == text
        levels = [level for group in range(len(groups)) for level in variant.levels_of(group)]
        assert levels == list(range(1, variant.levels + 1))


def test_thin_volumes_of_another_spacing_keep_their_grid(compute):
    from napari_medseg.inference.engine import predict

    _, trained = drive(compute)
    from napari_medseg.schemes.boosting_parts import BoostingParts

    parts = BoostingParts.fit(config_of(), data_of(), 0, compute)
    network = parts.network(3)
    network.load_state_dict({k.removeprefix("network."): v for k, v in trained.tensors.items()})
    pixels = np.random.default_rng(0).normal(0, 50, (1, 33, 7)).astype(np.int16)
    thin = Image(levels=(pixels,), axes="zyx", spacing=(7.0, 0.5, 3.0), units=("millimeter",) * 3, name="thin")
    assert np.asarray(predict(parts.predictor(network.eval()), thin).labels).shape == pixels.shape


def experiment(*assignments):
    return BoostingExperiment(config=config_of(*assignments), data=data_of())


def test_every_arm_has_the_same_steps(compute):
    from napari_medseg.training.schedule import Schedule

    steps = {}
    study = experiment("variants=2+1, 3+1")
    for trial in study.trials(1):
        generator = study.stages(trial, compute)
        stage, total = next(generator), 0
        from napari_medseg.training.stage import StageResult

        try:
            while True:
                assert stage.training.patience == 0
                total += Schedule.plan(stage.training, len(stage.source)).steps
                stage = generator.send(
                    StageResult(
                        name=stage.name,
                        identity="",
                        best_score=0.1,
                        epochs=1,
                        steps=1,
                        seconds=1,
                        reused=False,
                        details={},
                    )
                )
        except StopIteration as end:
            (steps[trial.title],) = [total] if len(end.value) == 1 else []
    assert set(steps.values()) == {8}
    assert len(steps) == 5


def test_spoilt_scans_are_spoilt_by_a_fixed_amount():
    case = lesion_case(0, shape=(20, 40, 40))
    clean = np.asarray(case.load_image().data, np.float64)
    noisy = np.asarray(spoilt(case, "noisy").load_image().data, np.float64)
    again = np.asarray(spoilt(case, "noisy").load_image().data, np.float64)
    low, high = np.percentile(clean, (0.5, 99.5))
    np.testing.assert_array_equal(noisy, again)
    assert np.std(noisy - clean) == pytest.approx(0.1 * (high - low), rel=0.03)
    blurred = np.asarray(spoilt(case, "blurred").load_image().data, np.float64)
    assert blurred.mean() == pytest.approx(clean.mean(), rel=0.02)
    assert np.abs(np.diff(blurred, axis=2)).mean() < 0.5 * np.abs(np.diff(clean, axis=2)).mean()
    assert spoilt(case, CONDITIONS[0]) is case


def test_claims_are_judged_by_pairs_of_seeds():
    study = experiment("variants=2+1")
    rows = [
        {"seed": seed, "figures": {name: {"dice": value, "dice, noisy": value - 0.2, "change, noisy": -0.2}}}
        for seed, (ours, theirs) in enumerate([(0.8, 0.7), (0.82, 0.71), (0.78, 0.69)])
        for name, value in (("2+1, staged", ours), ("2+1, at once", theirs))
    ]
    document = study.summarise(rows)
    verdicts = {c["figure"]: c["holds"] for c in document["comparisons"]}
    assert verdicts["dice"]
    assert verdicts["dice, noisy"]
    assert not verdicts["change, noisy"]
    assert "| 2+1, staged | 0.800" in document["table"]


def test_an_experiment_needs_stages_to_compare():
    with pytest.raises(ConfigError, match="two stages or more"):
        experiment("variants=3").trials(1)
    assert len(experiment("variants=auto").trials(2)) == 14
