"""Where in the frame the score of the approach "motion" comes from: cells and places together."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import zoom

from sdor.files import atomic, read_array
from sdor.method.flow import ACROSS, DOWN
from sdor.method.motion import GRID, Start
from sdor.method.scores import FloatArray, mean_of
from sdor.method.units import Units
from sdor.video.timeline import Rows, Timeline

AT_A_TIME = 2048  # frames


def heat_maps(
    start: Start, places: FloatArray, rows: Rows, timeline: Timeline, wanted: Rows
) -> NDArray[np.float32]:
    """Maps (m, 12, 18) of some frames; the higher, the more anomalous.

    Flow says exactly where something moves in an unusual way, places say what looks unusual where
    nothing moves: each in units of its own normal variation, added.

    Parameters
    ----------
    places : (n, 49) mean scores of the iterations, of the frames `rows` that were looked at.
    """
    units = Units.of(places)
    grid = units.weighed(places).reshape(-1, GRID, GRID)
    cells = timeline.spread(start.cells, start.rows, wanted)
    seen = timeline.spread(grid, rows, wanted)
    fine = zoom(seen, (1, DOWN / GRID, ACROSS / GRID), order=1, grid_mode=True, mode="nearest")
    maps: NDArray[np.float32] = (np.maximum(cells, 0) + fine).astype(np.float32)
    return maps


def write_heat(
    start: Start,
    places: Sequence[Path],
    rows: Rows,
    timeline: Timeline,
    output: Path,
) -> None:
    """Write `heat_maps` of all frames as an .npy array (frames, 12, 18).

    Parameters
    ----------
    places : arrays of the iterations' scores of places.
    """
    mean = mean_of([read_array(path, len(rows)) for path in places])
    with atomic(output) as temporary:
        shape = (len(timeline), DOWN, ACROSS)
        maps = np.lib.format.open_memmap(temporary, "w+", np.float32, shape)
        for first in range(0, len(timeline), AT_A_TIME):
            wanted = np.arange(first, min(first + AT_A_TIME, len(timeline)))
            maps[wanted] = heat_maps(start, mean, rows, timeline, wanted)
        del maps  # to the disk, before the file gets its name
