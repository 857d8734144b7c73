"""Add readings of made-up readers to a data set, to try what compares readers where only one person has drawn.

Every outline is moved by smooth noise (a Gaussian field of 12 pixels) of a standard deviation in pixels, and a share of
the connected parts is missed:

    python tools/simulate_readers.py DATASET ben=1.5:0.02 cora=3:0.1 [--seed N]
"""

from __future__ import annotations

import argparse

import numpy as np
from scipy import ndimage

from napari_medseg.data.dataset import Dataset
from napari_medseg.data.finishing import mark_done, record_labels
from napari_medseg.data.readings import open_reading

#: Pixels over which outlines move together.
REACH = 12


def reread(labels: np.ndarray, shift: float, missed: float, rng: np.random.Generator) -> np.ndarray:
    """Labels as another reader might draw them; what nobody looked at stays so.

    Parameters
    ----------
    labels
        uint8 ([z,] y, x).
    shift
        Standard deviation of the distance that outlines move, in pixels.
    missed
        Share of the connected parts that become background.
    """
    noise = np.stack(
        [ndimage.gaussian_filter(rng.normal(size=plane.shape), REACH) for plane in np.atleast_3d(labels.T).T]
    )
    noise = (noise / noise.std() * shift).reshape(labels.shape)
    moved = np.zeros_like(labels)
    # A volume's slices are drawn one by one.
    sampling = (1e6, 1, 1)[-labels.ndim :]
    for value in np.unique(labels[(labels > 0) & (labels < 255)]):
        mask = labels == value
        parts, count = ndimage.label(mask)
        kept = np.concatenate([[False], rng.random(count) >= missed])
        mask = kept[parts]
        if mask.any():
            inside = ndimage.distance_transform_edt(mask, sampling) - 0.5
            outside = ndimage.distance_transform_edt(~mask, sampling) - 0.5
            moved[np.where(mask, inside, -outside) + noise > 0] = value
    moved[labels == 255] = 255
    return moved


def main() -> None:
    """Read all finished cases again."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", metavar="DATASET")
    parser.add_argument("readers", nargs="+", metavar="NAME=SHIFT:MISSED")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    dataset = Dataset.open(args.data)
    for number, words in enumerate(args.readers):
        name, figures = words.split("=")
        shift, missed = (float(part) for part in figures.split(":"))
        reading = open_reading(args.data, name)
        for place, case in enumerate(dataset.cases):
            labels = dataset.read_labels(case) if case.status == "done" else None
            if labels is None:
                continue
            drawn = reread(labels, shift, missed, np.random.default_rng((args.seed, number, place)))
            own = reading.case(case.case)
            store = reading.label_store(own, drawn.shape)
            store.read()
            store.write_box(tuple((0, n) for n in drawn.shape), drawn)
            own = record_labels(reading, own.case, store, revision=own.revision)
            mark_done(reading, own.case, store, revision=own.revision, tag=case.tag, grade=case.grade)
        print(f"{name}: {sum(case.status == 'done' for case in reading.cases)} cases read")


if __name__ == "__main__":
    main()
