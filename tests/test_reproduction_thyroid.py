"""The experiment behind the claim of scheme `thyroid`, on made-up frames, as its command runs it."""

from __future__ import annotations

import json

import numpy as np
import pytest

from napari_medseg.api import reproduce
from napari_medseg.data import synthetic
from napari_medseg.data.synthetic_ultrasound import LESIONS, make_dataset
from napari_medseg.errors import ConfigError
from napari_medseg.schemes.thyroid_experiment import ARMS

SMALL = ["network.base_width=4", "network.middle_modules=1", "input_size=64"]
SMALL += [f"{stage}.{s}" for stage in ("training", "pretraining") for s in ("epochs=2", "steps_per_epoch=1")]
SMALL += ["training.batch_size=4", "pretraining.batch_size=4"]


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sets")
    make_dataset(folder / "frames", 40, rows=144, columns=192)
    synthetic.make_dataset(folder / "others", n=10, size=64)
    return folder


def test_every_arm_is_judged_with_equal_steps_and_compared(sets, tmp_path):
    events = []
    document = reproduce(
        "thyroid",
        sets / "frames",
        tmp_path / "out",
        pretrain=sets / "others",
        seeds=2,
        assignments=SMALL,
        device="cpu",
        precision="fp32",
        threads=1,
        report=lambda event, **values: events.append((event, values)),
    )
    for row in document["rows"]:
        assert set(row["figures"]) == set(ARMS)
        assert len({row["steps"][arm] for arm in ARMS}) == 1
        assert row["steps"]["pretrain_modified"] == row["steps"]["pretrain_plain"]
        assert set(row["figures"]["full"]["per_class"]) == set(LESIONS)
    assert document["rarest"] in LESIONS
    full, plain = ([row["figures"][arm]["auc"] for row in document["rows"]] for arm in ("full", "plain"))
    compared = {(c["arm"], c["control"], c["figure"]): c for c in document["comparisons"]}
    difference = compared["full", "plain", "auc"]
    assert difference["difference"] == pytest.approx(np.mean(np.subtract(full, plain)))
    assert difference["holds"] == (difference["difference"] > difference["margin"])
    assert "raw_frame against full" in (tmp_path / "out" / "table.md").read_text("utf-8")

    # Finished trials are taken up; another pretraining set would not be comparable.
    again = reproduce(
        "thyroid", sets / "frames", tmp_path / "out", pretrain=sets / "others", seeds=2, assignments=SMALL, threads=1
    )
    assert again["rows"] == json.loads(json.dumps(document["rows"]))
    with pytest.raises(ConfigError, match="pretrain"):
        reproduce("thyroid", sets / "frames", tmp_path / "out", seeds=2, assignments=SMALL, threads=1)


def test_without_a_pretraining_set_its_arm_is_left_out(sets, tmp_path):
    document = reproduce(
        "thyroid", sets / "frames", tmp_path / "out", seeds=1, assignments=SMALL, device="cpu", precision="fp32"
    )
    (row,) = document["rows"]
    assert set(row["figures"]) == set(ARMS) - {"no_pretraining"}
    assert "no_pretraining" not in document["table"]
