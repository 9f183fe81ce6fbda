"""Which moments of a camera show nearly the same.

So one mark can be given to several, and suggestions need not repeat each other.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import zoom

from sdor.method.flow import ACROSS, DOWN, FINE
from sdor.method.grid import GRID, PLACES, MapArray

FloatArray = NDArray[np.floating[Any]]
# Moments are nearly equal whose looks have a cosine of so much at least, and whose speeds differ by
# this factor at most. Components of maps are whitened, so looks of different things are about at
# right angles: on UMN's and OpenCV's walkers, 19 of 20 pairs are below 0.5 to 0.6. Above it are a
# person seen again seconds later at another place, and people at one place; a crowd that walks and
# one that runs are as alike, and three times apart in speed.
ALIKE, FACTOR = 0.6, 1.5
HOT = 0.5  # of the strongest place's heat, above the median: what makes a look


def look_of(heat: FloatArray, maps: MapArray, speed: FloatArray) -> NDArray[np.float32]:
    """What a moment looks like where it is unusual, and how fast that moves.

    Parameters
    ----------
    heat : (n, 24, 36) of some of its frames. maps : (n, 49, components) of their places.
    speed : (n, 24, 36) of their cells; NaN where unknown.

    Returns
    -------
    (components + 1,): the mean of the maps of the hottest places, of length 1, and the natural
    logarithm of 1 + the mean speed there; NaN where nothing is hot.
    """
    size = (1, GRID / (FINE * DOWN), GRID / (FINE * ACROSS))
    of_places = zoom(heat, size, order=1, grid_mode=True, mode="nearest").reshape(-1, PLACES)
    mean = np.einsum("np,npc->c", _weights(of_places), maps.astype(np.float32)) / len(maps)
    moves = (_weights(heat.reshape(len(heat), -1)) * speed.reshape(len(heat), -1)).sum(axis=1)
    moves = moves[np.isfinite(moves)]
    length = np.linalg.norm(mean)
    if not length:
        return np.full(len(mean) + 1, np.nan, dtype=np.float32)
    fast = np.log1p(moves.mean()) if len(moves) else np.nan
    return np.append(mean / length, fast).astype(np.float32)


def near(looks: FloatArray) -> NDArray[np.bool_]:
    """(events, events) which moments nearly equal each other; what has no look equals none.

    Parameters
    ----------
    looks : (events, components + 1) as `look_of` gives them.
    """
    what, fast = looks[:, :-1], looks[:, -1]
    apart = np.abs(fast[:, np.newaxis] - fast)
    # What was seen at the begin of a clip only has no speed.
    alike: NDArray[np.bool_] = (what @ what.T >= ALIKE) & ~(apart > np.log(FACTOR))
    np.fill_diagonal(alike, False)
    return alike


def _weights(heat: FloatArray) -> FloatArray:
    """(n, places) shares of what is hot in each of n maps (n, places)."""
    above = np.maximum(heat - np.median(heat, axis=1, keepdims=True), 0)
    above = np.where(above < HOT * above.max(axis=1, keepdims=True), 0, above)
    weights: FloatArray = above / np.maximum(above.sum(axis=1, keepdims=True), 1e-9)
    return weights
