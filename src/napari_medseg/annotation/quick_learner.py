"""A pixel classifier that learns from the first strokes, while a person draws, and proposes the rest.

A forest of random trees on features of every pixel (`napari_medseg.annotation.quick_features`), as in ilastik. What
makes it quick: features of the field in view are kept, the forest learns from a few thousand pixels, and only every
fourth pixel along each axis is judged at first; the pixels between are judged where their neighbours differ, and
interpolated elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_medseg.annotation.change import Mask
from napari_medseg.annotation.quick_features import Planes
from napari_medseg.annotation.surfaces import Labels
from napari_medseg.errors import AnnotationError
from napari_medseg.structures import NOT_LOOKED_AT, Progress

#: Pixels that the forest learns from, of all labels together.
MOST_EXAMPLES = 6000
_TREES, _LEAF, _THREADS = 48, 3, 2
#: Pixels along an axis between those that are judged first.
_STEP = 4
#: Pixels judged at once, between which the work can be stopped.
_AT_ONCE = 1 << 16
#: Above so many pixels, those between the last ones are interpolated everywhere.
_FINE = 600 * 600
#: Standard deviation of the smoothing of probabilities, in pixels.
_SMOOTHING = 1.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Examples:
    """Pixels that somebody labelled, with what the forest sees of them.

    Parameters
    ----------
    features
        float32 (pixel, feature).
    values
        uint8 (pixel,): a class, or background.
    """

    features: npt.NDArray[np.float32]
    values: npt.NDArray[np.uint8]

    @property
    def present(self) -> tuple[int, ...]:
        """The values that occur."""
        return tuple(np.unique(self.values).tolist())

    def thinned(self, most: int = MOST_EXAMPLES, seed: int = 0) -> Examples:
        """At most so many, the same number of each value where there are enough."""
        rng = np.random.default_rng(seed)
        share = most // max(1, len(self.present))
        kept = [_some(np.flatnonzero(self.values == value), share, rng) for value in self.present]
        places = np.sort(np.concatenate(kept)) if kept else np.zeros(0, np.intp)
        return Examples(features=self.features[places], values=self.values[places])


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """What the forest says of every pixel of a picture.

    Parameters
    ----------
    values
        uint8 (y, x): the most probable class, or background.
    confidence
        float32 (y, x): its share of the trees' votes, 0..1.
    """

    values: Labels
    confidence: npt.NDArray[np.float32]

    def surer_than(self, least: float) -> Labels:
        """The values where the confidence is not below a limit; 255, not looked at, elsewhere."""
        return np.where(self.confidence >= np.float32(least), self.values, np.uint8(NOT_LOOKED_AT))


class QuickForest:
    """A forest that was taught by examples.

    Parameters
    ----------
    examples
        What it learns from; they are thinned.

    Raises
    ------
    AnnotationError
        There are none, or of one value alone.
    """

    def __init__(self, examples: Examples) -> None:
        if len(examples.present) < 2:
            raise AnnotationError(
                "The quick learner needs strokes of two kinds: draw one in a structure, and one of another class or of "
                "the eraser (it marks background) beside it."
            )
        self.values = np.array(examples.present, np.uint8)
        taught = examples.thinned()
        with ThreadPoolExecutor(_THREADS, thread_name_prefix="forest") as pool:
            self._trees = list(pool.map(lambda seed: _grown_tree(taught, seed), range(_TREES)))

    def propose(self, features: Planes, progress: Progress | None = None) -> Proposal:
        """Judge a picture.

        Parameters
        ----------
        features
            float32 (y, x, feature).
        progress
            Told after every part; may raise `Cancelled`.
        """
        shape = features.shape[:2]
        step = _STEP
        votes = self._judge(features[::step, ::step], None, progress)
        while step > 1:
            step //= 2
            finer = tuple(-(-n // step) for n in shape)
            differs = _near_differences(votes.argmax(axis=2), finer)
            votes = _between(votes, finer)
            if step > 1 or features[..., 0].size <= _FINE:
                votes = self._judge(features[::step, ::step], (differs, votes), progress)
        votes = ndimage.gaussian_filter(votes, (_SMOOTHING, _SMOOTHING, 0))
        best = votes.argmax(axis=2)
        return Proposal(values=self.values[best], confidence=votes.max(axis=2))

    def votes(self, features: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Share of the trees' votes for each of `values`, float32 (pixel, value), of features (pixel, feature)."""
        with ThreadPoolExecutor(_THREADS, thread_name_prefix="forest") as pool:
            shares = pool.map(lambda tree: tree.predict(features), self._trees)
            return np.asarray(sum(shares) / len(self._trees), np.float32)

    def _judge(self, features: Planes, known: tuple[Mask, Planes] | None, progress: Progress | None) -> Planes:
        """Votes (y, x, value) of the pixels that a mask tells; others as they are known."""
        shape = features.shape[:2]
        mask, votes = known or (np.ones(shape, bool), np.empty((*shape, len(self.values)), np.float32))
        rows, columns = np.nonzero(mask)
        for start in range(0, len(rows), _AT_ONCE):
            if progress is not None:
                progress(start, len(rows), "learning")
            part = slice(start, start + _AT_ONCE)
            votes[rows[part], columns[part]] = self.votes(features[rows[part], columns[part]])
        return votes


def load_forests() -> None:
    """Load the library of trees, which takes about a second the first time."""
    import sklearn.tree  # noqa: F401 - loading it is what is asked for


def _grown_tree(examples: Examples, seed: int) -> Any:
    """An extremely randomised tree (Geurts, Ernst and Wehenkel, Machine Learning 63 (2006)), without its wrapping.

    scikit-learn's own forests are run by joblib, which warns once per tree in programs without filters of warnings.
    """
    from sklearn.tree import ExtraTreeClassifier

    tree = ExtraTreeClassifier(min_samples_leaf=_LEAF, class_weight="balanced", max_features="sqrt", random_state=seed)
    return tree.fit(examples.features, examples.values).tree_


def examples_in(features: Planes, labels: Labels, most: int = MOST_EXAMPLES, seed: int = 0) -> Examples:
    """The labelled pixels of a picture, at most so many of each value.

    Parameters
    ----------
    features
        float32 (y, x, feature).
    labels
        uint8 (y, x); 255 where nobody looked.
    """
    rng = np.random.default_rng(seed)
    flat = labels.reshape(-1)
    counts = np.bincount(flat, minlength=NOT_LOOKED_AT + 1)[:NOT_LOOKED_AT]
    kept = [_some(np.flatnonzero(flat == value), most, rng) for value in np.flatnonzero(counts)]
    places = np.concatenate(kept) if kept else np.zeros(0, np.intp)
    rows, columns = np.divmod(places, labels.shape[1])
    return Examples(features=features[rows, columns], values=flat[places])


def joined(parts: Sequence[Examples]) -> Examples:
    """Examples of several pictures together.

    Raises
    ------
    AnnotationError
        There are none.
    """
    if not parts:
        raise AnnotationError("Nothing was drawn yet: draw a stroke in each structure to teach the quick learner.")
    return Examples(
        features=np.concatenate([part.features for part in parts]),
        values=np.concatenate([part.values for part in parts]),
    )


def _some(places: npt.NDArray[np.intp], most: int, rng: np.random.Generator) -> npt.NDArray[np.intp]:
    return places if len(places) <= most else rng.choice(places, most, replace=False)


def _near_differences(best: npt.NDArray[np.intp], finer: tuple[int, ...]) -> Mask:
    """Pixels of a grid twice as fine whose neighbours in the coarse grid are not all of one kind."""
    differ = ndimage.maximum_filter(best, 3, mode="nearest") != ndimage.minimum_filter(best, 3, mode="nearest")
    doubled = np.repeat(np.repeat(differ, 2, axis=0), 2, axis=1)
    return np.asarray(doubled[: finer[0], : finer[1]])


def _between(votes: Planes, finer: tuple[int, ...]) -> Planes:
    """Votes on a grid twice as fine, whose every second pixel is one of the coarse grid; means lie between them."""
    for axis in (0, 1):
        near = np.moveaxis(votes, axis, 0)
        out = np.empty((2 * len(near), *near.shape[1:]), np.float32)
        out[0::2] = near
        out[1::2] = (near + near[np.r_[1 : len(near), len(near) - 1]]) / 2
        votes = np.moveaxis(out[: finer[axis]], 0, axis)
    return np.ascontiguousarray(votes)
