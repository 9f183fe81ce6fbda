"""Scores of different detectors on one scale: in units of their own normal variation."""

from dataclasses import dataclass

import numpy as np

from sdor.method.scores import FloatArray, IntArray, rounding

LOW = 5.0  # percentile: as far as ordinary frames lie below the median
CUT = 90.0  # percentile where A begins: as far as pseudo anomalies lie above it
BELOW = 0.25  # what a unit below the median counts: quiet is no news
TELLS_CLIPS = 0.5  # share of variance between clips from which on to warn


@dataclass(frozen=True)
class Units:
    """What a detector's scores are measured by: (score - median) / spread.

    Attributes
    ----------
    median : of its scores. spread : one unit; 0 where all scores are alike.
    """

    median: float
    spread: float

    @classmethod
    def of(cls, scores: FloatArray, percentile: float = LOW) -> "Units":
        """Of the scores (frames,) of a whole scene: from a percentile to the median is one unit.

        With `LOW` that is their normal variation; with `CUT` the ordinal scale, on which the median
        frame has 0 and the first of A has 1. Where half of the scores are equal, a unit is the
        median distance of the others.
        """
        end, median = np.percentile(scores, [percentile, 50])
        spread = abs(median - end)
        if spread <= rounding(scores):
            away = np.abs(scores - median)
            apart = away[away > rounding(scores)]
            spread = np.median(apart) if len(apart) else 0.0
        return cls(float(median), float(spread))

    def measure(self, scores: FloatArray) -> FloatArray:
        """Scores in units; all 0 where nothing varies."""
        away = np.asarray(scores, dtype=np.float64) - self.median
        return away / self.spread if self.spread > 0 else np.zeros_like(away)

    def weighed(self, scores: FloatArray) -> FloatArray:
        """Scores in units, of which those below the median count a quarter: what is added up."""
        units = self.measure(scores)
        return np.where(units > 0, units, BELOW * units)


def between_clips(scores: FloatArray, clip_of: IntArray) -> float:
    """Share of the variance of scores (frames,) that lies between clips, from 0 to 1.

    A high one warns, without any label, of a detector that tells clips apart rather than moments.
    """
    _, clips = np.unique(clip_of, return_inverse=True)
    counts = np.bincount(clips)
    means = np.bincount(clips, scores) / counts
    whole = np.square(scores - scores.mean()).sum()
    return float((counts * np.square(means - scores.mean())).sum() / whole) if whole > 0 else 0.0
