"""The experiment behind a scheme's claim: trials that train its arms, and what comparing them proves."""

from __future__ import annotations

import math
import statistics
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from napari_medseg.structures import TrainingCase

if TYPE_CHECKING:
    from napari_medseg.inference.predictor import Predictor
    from napari_medseg.models.compute import Compute
    from napari_medseg.training.stage import Stage, StageResult

#: The figures of a predictor on some cases, as the ``evaluate`` document has them.
Judge = Callable[["Predictor", Sequence[TrainingCase]], Mapping[str, Any]]
#: Figures by name; None where one is not defined.
Figures = Mapping[str, float | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """A part of an experiment that is trained and judged at a time, in a folder of its own.

    Parameters
    ----------
    name, title
        Of the folder, and for people.
    seed
        Of every random choice in it.
    facts
        What its row says besides, e.g. ``{"masks": 20}``.
    """

    name: str
    title: str
    seed: int
    facts: Mapping[str, Any] = field(default_factory=dict)


class Experiment(ABC):
    """The arms of a scheme's claim on one data set with one set of settings."""

    #: How many arms a trial trains, where that is known beforehand.
    stages_per_trial: ClassVar[int | None] = None

    @abstractmethod
    def trials(self, seeds: int) -> Sequence[Trial]:
        """What has to be trained, with each of the seeds 0..seeds - 1."""

    @abstractmethod
    def stages(self, trial: Trial, compute: Compute) -> Generator[Stage, StageResult, Mapping[str, Predictor]]:
        """Yield the stages of a trial; return the predictor of every arm by its name."""

    @abstractmethod
    def figures(self, arms: Mapping[str, Predictor], judge: Judge) -> Mapping[str, Mapping[str, Any]]:
        """Figures of every arm on the test cases."""

    def facts(self, trial: Trial) -> Mapping[str, Any]:
        """What a trial's row says of it."""
        return trial.facts

    @abstractmethod
    def summarise(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """``summary``, ``comparisons`` and ``table`` (Markdown) from the rows of all trials."""


def spread(values: Sequence[float]) -> dict[str, float]:
    """Mean, standard deviation and range over the seeds.

    Examples
    --------
    >>> spread([0.5, 0.7])["mean"]
    0.6
    """
    return {
        "mean": statistics.fmean(values),
        "sd": statistics.stdev(values) if len(values) > 1 else 0.0,
        "lowest": min(values),
        "highest": max(values),
        "n": len(values),
    }


def paired_difference(ours: Sequence[float], theirs: Sequence[float]) -> tuple[float, float | None]:
    """Mean of the differences of pairs, and the half width of its 95 % interval (Student's t); None for one pair.

    Examples
    --------
    >>> difference, margin = paired_difference([0.8, 0.9, 0.85], [0.7, 0.7, 0.7])
    >>> round(difference, 3), round(margin, 3)
    (0.15, 0.124)
    """
    from scipy import stats

    differences = [one - other for one, other in zip(ours, theirs, strict=True)]
    mean = statistics.fmean(differences) if differences else math.nan
    if len(differences) < 2:
        return mean, None
    error = statistics.stdev(differences) / math.sqrt(len(differences))
    return mean, float(stats.t.ppf(0.975, len(differences) - 1)) * error


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a table in Markdown.

    Examples
    --------
    >>> markdown_table(["arm", "Dice"], [["b", "0.81"]])
    ['| arm | Dice |', '| --- | --- |', '| b | 0.81 |']
    """
    return [f"| {' | '.join(row)} |" for row in (header, ["---"] * len(header), *rows)]


def margin_text(margin: float | None) -> str:
    """The half width of an interval for people."""
    return "one seed" if margin is None else f"± {margin:.3f}"
