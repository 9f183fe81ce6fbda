"""Scores of different detectors on one scale: in units of their own normal variation."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from sdor.files import About
from sdor.method.scores import FloatArray, IntArray, all_alike, mean_scores, write_scores

LOW = 5.0  # percentile: as far as ordinary frames lie below the median
BELOW = 0.25  # what a unit below the median counts: quiet is no news


@dataclass(frozen=True)
class Units:
    """A detector's normal variation, by which its scores are measured: (score - median) / spread.

    Attributes
    ----------
    median : of its scores. spread : from its 5th percentile to the median; 0 where all are alike.
    """

    median: float
    spread: float

    @classmethod
    def of(cls, scores: FloatArray) -> "Units":
        """Of the scores (frames,) of a whole scene."""
        low, median = np.percentile(scores, [LOW, 50])
        return cls(float(median), 0.0 if all_alike(scores) else float(median - low))

    def measure(self, scores: FloatArray) -> FloatArray:
        """Scores in units; all 0 where nothing varies."""
        values = np.asarray(scores, dtype=np.float64)
        if self.spread > 0:
            return (values - self.median) / self.spread
        # Half of the frames are alike: what differs at all stands out by its size alone.
        scale = np.abs(values - self.median).max(initial=0)
        return (values - self.median) / scale if scale > 0 else np.zeros_like(values)

    def weighed(self, scores: FloatArray) -> FloatArray:
        """Scores in units, of which those below the median count a quarter: what is added up."""
        units = self.measure(scores)
        return np.where(units > 0, units, BELOW * units)


def added(detectors: list[FloatArray]) -> FloatArray:
    """The sum of several detectors' scores (frames,), each in units of its own."""
    total: FloatArray = np.sum([Units.of(one).weighed(one) for one in detectors], axis=0)
    return total


def between_clips(scores: FloatArray, clip_of: IntArray) -> float:
    """Share of the variance of scores (frames,) that lies between clips, from 0 to 1.

    A high one warns, without any label, of a detector that tells clips apart rather than moments.
    """
    _, clips = np.unique(clip_of, return_inverse=True)
    counts = np.bincount(clips)
    means = np.bincount(clips, scores) / counts
    whole = np.square(scores - scores.mean()).sum()
    return float((counts * np.square(means - scores.mean())).sum() / whole) if whole > 0 else 0.0


def write_final(
    initial: Path, iterations: Sequence[Path], output: Path, *, about: About
) -> pd.DataFrame:
    """Score tables → table of (clip, frame, motion, appearance, score).

    Motion is the initial score and appearance the mean of all iterations, both in units of their
    normal variation, which the file's metadata have; the score is their sum.

    Raises
    ------
    SdorError : a table is damaged, or of other frames than the first.
    """
    found = mean_scores(iterations)
    parts = {
        "motion": mean_scores([initial])["score"].to_numpy(),
        "appearance": found["score"].to_numpy(),
    }
    units = {name: Units.of(one) for name, one in parts.items()}
    table = found[["clip", "frame"]].assign(
        **{name: units[name].measure(one) for name, one in parts.items()},
        score=added([*parts.values()]),
    )
    scales = {name: asdict(one) for name, one in units.items()}
    write_scores(output, table, {**about, "units": scales})
    return table
