"""The places of the picture, and how long what is seen there is smoothed."""

import numpy as np
from numpy.typing import NDArray

from sdor.video.timeline import Rows, Timeline

GRID = 7  # places on each side of the frame
PLACES = GRID * GRID
# Seconds: sigma by which what is measured, and by which scores are smoothed in time.
FEATURES, SCORES = 0.2, 0.5
MapArray = NDArray[np.float16]


def smoothed_maps(
    maps: MapArray, rows: Rows, timeline: Timeline, known: NDArray[np.bool_] | None = None
) -> MapArray:
    """The maps (n, 49, components), smoothed in time a place at a time, as training needs them."""
    smooth = np.empty(maps.shape, dtype=np.float16)
    for place in range(maps.shape[1]):
        values = np.asarray(maps[:, place], dtype=np.float32)
        smooth[:, place] = timeline.smoothed(values, rows, FEATURES, known)
    return smooth
