"""So many frames a second out of all: the first of each period since the beginning."""

from typing import Any

import numpy as np

ROUNDING = 1e-6  # seconds: times are multiples of 1/30 and the like


def period_of(since: Any, rate: float) -> Any:
    """Number of the period of 1 / rate seconds, from 0, that frames are in.

    Parameters
    ----------
    since : seconds since the beginning of the clip: a number, or (frames,).
    """
    return np.floor((since + ROUNDING) * rate)
