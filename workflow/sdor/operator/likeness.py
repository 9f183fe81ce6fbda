"""How much places look like those that somebody marked: what was dismissed fades, wherever it is.

A regression on the marked places (kernel ridge, a Gaussian process's mean): -1 at what was
dismissed, 1 at what was confirmed, and 0 far from both. So marks of one kind alone move nothing
that looks otherwise, and where both kinds look alike they cancel.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from sdor.method.answer import damped
from sdor.method.grid import MapArray
from sdor.method.motion import in_places
from sdor.method.scores import FloatArray
from sdor.method.units import Units

# Distance at which likeness has fallen to 0.6: so many of their standard deviations components are
# apart, in the mean. Twice of that reaches what is of another kind.
REACH = 0.36
MOVES = 0.6  # weight of motion on the ordinal scale beside it: who runs looks like one who walks
RIDGE = 0.1  # what a mark leaves to doubt
AT_A_TIME = 1 << 14  # places

Places = NDArray[np.float32]


@dataclass(frozen=True)
class Likeness:
    """What was marked.

    Attributes
    ----------
    places : (k, components + 1) descriptors of the marked places. weights : (k,) of each.
    """

    places: Places
    weights: NDArray[np.float32]

    @classmethod
    def of(cls, places: Places, labels: NDArray[np.int8]) -> Self:
        """Of descriptors (k, components + 1) and their labels (k,): 1 anomalous, 0 normal."""
        near = _near(places, places).astype(np.float64)
        target = np.where(labels == 1, 1.0, -1.0)
        weights = np.linalg.solve(near + RIDGE * np.eye(len(near)), target)
        return cls(places, weights.astype(np.float32))

    def left(self, places: Places) -> NDArray[np.float64]:
        """What is left of places (n, 49, components + 1), from 0 (dismissed) to 1: (n, 49)."""
        flat = places.reshape(-1, places.shape[2])
        like = np.empty(len(flat))
        for first in range(0, len(flat), AT_A_TIME):
            some = slice(first, first + AT_A_TIME)
            like[some] = _near(flat[some], self.places) @ self.weights
        left: NDArray[np.float64] = np.clip(1 + like, 0, 1)
        return left.reshape(places.shape[:2])


def described(maps: MapArray, cells: FloatArray, units: Units) -> Places:
    """What places look like, (n, 49, components), and how they move: (n, 49, components + 1).

    Parameters
    ----------
    cells : (n, 12, 18) of motion. units : its scale.
    """
    moves = MOVES * damped(in_places(cells), units)
    looks = maps.astype(np.float32) / np.float32(np.sqrt(maps.shape[2]))
    return np.concatenate([looks, moves[..., np.newaxis]], axis=2, dtype=np.float32)


def _near(some: Places, others: Places) -> NDArray[np.float32]:
    """(a, b) from 0 to 1: the Gaussian of the distance."""
    lengths = np.square(some).sum(1)[:, np.newaxis] + np.square(others).sum(1)
    distance = np.maximum(lengths - 2 * some @ others.T, 0)
    near: NDArray[np.float32] = np.exp(-distance / np.float32(2 * REACH**2))
    return near
