"""The answer of the approach "motion": motion and appearance together, also where they are."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.ndimage import zoom

from sdor.files import About, atomic, read_about, read_array
from sdor.method.flow import ACROSS, DOWN, FINE
from sdor.method.grid import FEATURES, GRID, SCORES
from sdor.method.motion import STRONGEST, Start, strongest
from sdor.method.place_labels import Looked
from sdor.method.scores import FloatArray, mean_of, write_scores
from sdor.method.units import CUT, Units
from sdor.video.timeline import Rows

AT_A_TIME = 2048  # frames


def own_iterations(iterations: Sequence[FloatArray]) -> Sequence[FloatArray]:
    """The iterations whose mean is what appearance says: all but the first, which copies motion."""
    return iterations[1:] or iterations


def damped(motion: FloatArray, units: Units) -> FloatArray:
    """Scores of motion, of any shape, on the ordinal scale, on which A begins at 1: 1 + ln beyond.

    Motion says that something belongs to A. How far it lies beyond counts less and less, since
    speed has no bound and appearance has one; it counts still, for what is rarer than A.
    """
    measured = units.weighed(motion)
    beyond: FloatArray = np.where(measured > 1, 1 + np.log(np.maximum(measured, 1)), measured)
    return beyond


def within_frames(cells: FloatArray, places: FloatArray, units: tuple[Units, Units]) -> FloatArray:
    """Scores (n,) of what is in the frames: motion and appearance are added where they are.

    They are added in each cell, on the ordinal scale of the frames' scores, and the strongest
    cells count.

    Parameters
    ----------
    cells : (n, 12, 18) of motion. places : (n, 49) of appearance.
    units : the scales of both.
    """
    moves, looks = units
    seen = looks.measure(places).reshape(-1, GRID, GRID)
    fine = zoom(seen, (1, DOWN / GRID, ACROSS / GRID), order=1, grid_mode=True, mode="nearest")
    added = damped(cells, moves) + fine
    return strongest(added.reshape(len(added), -1), STRONGEST)


def answer(
    start: Start,
    iterations: Sequence[FloatArray],
    places: Sequence[FloatArray],
    looked: Looked,
    units: tuple[Units, Units] | None = None,
) -> tuple[pd.DataFrame, tuple[Units, Units]]:
    """Scores of all frames that are used.

    Parameters
    ----------
    iterations : of each, (n,) scores of the frames that were looked at. places : (n, 49).
    units : the scales of other video of the scene; its own, where there are none.

    Returns
    -------
    Table of clip, frame, motion, appearance and places, all on the ordinal scale, and score, their
    sum; and the scales of motion and of appearance.
    """
    rows, timeline, used = looked.rows, looked.timeline, looked.index["row"].to_numpy()
    appearance, seen = mean_of(own_iterations(iterations)), mean_of(own_iterations(places))
    units = units or (Units.of(start.score[used], CUT), Units.of(appearance[looked.known], CUT))
    cells = start.cells[start.flow.last(rows)]
    within = timeline.smoothed(within_frames(cells, seen, units), rows, SCORES, looked.known)
    parts = {
        "motion": damped(start.score[used], units[0]),
        "appearance": units[1].weighed(looked.spread(appearance)),
        "places": looked.spread(within),
    }
    table = looked.index[["clip", "frame"]].assign(**parts)
    return table.assign(score=sum(parts.values())), units


def heat_maps(
    start: Start, places: FloatArray, units: tuple[Units, Units], looked: Looked
) -> Callable[[Rows], NDArray[np.float32]]:
    """Where in the frame the score comes from: makes maps (m, 24, 36) of some frames, from 0 up.

    Flow says where exactly something moves in an unusual way, places where it looks unusual:
    what moves counts the more, the more unusual its place looks.

    Parameters
    ----------
    places : (n, 49) mean scores of appearance, of the frames that were looked at.
    units : as `answer` gives them.
    """
    moves, looks = units
    timeline, rows = looked.timeline, looked.rows
    speed = timeline.smoothed(start.flow.fine, start.flow.rows, FEATURES, start.known)
    cells = moves.measure(start.scale.measure(speed))
    grid = np.maximum(looks.measure(places), 0).reshape(-1, GRID, GRID)
    size = (1, FINE * DOWN / GRID, FINE * ACROSS / GRID)
    lowest = cells.min()

    def heat(wanted: Rows) -> NDArray[np.float32]:
        seen = zoom(
            timeline.spread(grid, rows, wanted), size, order=1, grid_mode=True, mode="nearest"
        )
        moving = timeline.spread(cells, start.flow.rows, wanted) - lowest
        maps: NDArray[np.float32] = (moving * (1 + seen)).astype(np.float32)
        return maps

    return heat


def write_answer(
    looked: Looked,
    start: Start,
    places: Sequence[Path],
    output: Path,
    *,
    strongest_places: int,
    about: About,
) -> pd.DataFrame:
    """Scores of places → table of clip, frame, motion, appearance, places and score.

    Parameters
    ----------
    places : arrays of every iteration. strongest_places : that make a frame's score.

    Raises
    ------
    SdorError : a file is damaged, or of other frames.
    """
    found = [read_array(path, len(looked.rows)) for path in places]
    frames = [looked.frame_scores(one, strongest_places) for one in found]
    table, units = answer(start, frames, found, looked)
    scales = {name: vars(one) for name, one in zip(("motion", "appearance"), units, strict=True)}
    note = "of the ordinal scale: 0 at the median, 1 where A begins"
    notes = dict.fromkeys(("motion", "appearance", "places"), note)
    write_scores(output, table, {**about, "units": scales, **notes})
    return table


def write_heat(
    looked: Looked, start: Start, places: Sequence[Path], ensemble: Path, output: Path
) -> None:
    """Write `heat_maps` of all frames of the scene as an .npy array (frames, 24, 36).

    Parameters
    ----------
    places : arrays of every iteration. ensemble : what `write_answer` wrote.
    """
    scales = read_about(ensemble)["units"]
    units = Units(**scales["motion"]), Units(**scales["appearance"])
    mean = mean_of(own_iterations([read_array(path, len(looked.rows)) for path in places]))
    frames = len(looked.timeline)
    with atomic(output) as temporary:
        shape = (frames, FINE * DOWN, FINE * ACROSS)
        maps = np.lib.format.open_memmap(temporary, "w+", np.float32, shape)
        heat = heat_maps(start, mean, units, looked)
        for first in range(0, frames, AT_A_TIME):
            wanted = np.arange(first, min(first + AT_A_TIME, frames))
            maps[wanted] = heat(wanted)
        del maps  # to the disk, before the file gets its name
