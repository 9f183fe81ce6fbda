"""Motion says what to learn first: initial scores of frames and places from flow in cells."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sdor.files import About, atomic, read_array, read_parquet
from sdor.method.flow import ACROSS, DOWN, Flow, read_flow
from sdor.method.grid import FEATURES, GRID, PLACES, SCORES
from sdor.method.initial import sp_scores
from sdor.method.scores import FloatArray, write_scores
from sdor.method.units import TELLS_CLIPS, Units, between_clips
from sdor.progress import logger
from sdor.study.settings import StartSettings
from sdor.video.timeline import Rows, Timeline

STRONGEST = 3  # cells that make a frame's score
MOVING = 0.02  # share of a cell's pixels from which on something moves there
FAST = 95  # percentile of a row's moving cells that others are held against
LEAST_MOVING = 20  # cells of a row that its percentile is taken of
# How many times more than in the pairs around the picture changes at a cut, and by how many grey
# values; and how many pairs on either side that are.
CUT_RATIO, CUT_CHANGE, AROUND = 2.0, 2.0, 4
STILL = 2.0  # units up to which nothing stands out


@dataclass(frozen=True)
class MotionScale:
    """What the motion of a scene is measured by.

    Attributes
    ----------
    fast : (12,) pixels a second: of each row of cells, the 95th percentile of those that move;
        infinite where next to nothing does.
    units : detector: its normal variation, of those that are used.
    """

    fast: FloatArray
    units: dict[str, Units]

    def speeds(self, name: str, speed: FloatArray) -> FloatArray:
        """What a detector sees in cells (n, rows, columns): speed, or speed against the row's.

        Far away, all is slow: a row of the picture is about as far from a camera that looks down a
        scene, everywhere.
        """
        rows = np.repeat(self.fast, speed.shape[1] // DOWN)
        return speed if name == "speed" else speed / rows[:, np.newaxis]

    def measure(self, speed: FloatArray) -> FloatArray:
        """Cells (n, rows, columns) of smoothed speed: the sum of all detectors in their units."""
        total = np.zeros(speed.shape)
        for name, one in self.units.items():
            if name != "appearance":
                total += one.measure(self.speeds(name, speed))
        return total


@dataclass(frozen=True)
class Start:
    """What learning starts from.

    Attributes
    ----------
    detectors : name: (K,) scores of all frames. score : (K,) their sum in units.
    scale : what motion was measured by.
    flow : what is used of the scene's flow. known : (n,) its frames that are used.
    cells : (n, 12, 18) sum of the cells' motion in the same units.
    """

    detectors: dict[str, FloatArray]
    score: FloatArray
    scale: MotionScale
    flow: Flow
    cells: FloatArray
    known: NDArray[np.bool_] | None = None

    def places(self, rows: Rows) -> FloatArray:
        """Motion of the places of other frames, and the share that moves there: (m, 49, 2)."""
        last = self.flow.last(rows)
        return np.stack([in_places(self.cells[last]), in_places(self.flow.moving[last])], axis=2)


def initial_motion(
    flow: Flow,
    timeline: Timeline,
    settings: StartSettings,
    *,
    known: NDArray[np.bool_] | None = None,
    appearance: FloatArray | None = None,
    seed: int = 0,
    scale: MotionScale | None = None,
) -> Start:
    """Score frames and cells by motion.

    Parameters
    ----------
    known : (K,) frames that are used, where it is not all of the scene.
    appearance : (K, dims) features of all frames, for the detector "appearance".
    seed : of the random subsets of Sp, which only that detector has.
    scale : what other video of the scene was measured by; its own, where there is none.
    """
    flow = without_cuts(flow, timeline)
    here = None if known is None else known[flow.rows]
    every = np.ones(len(timeline), dtype=bool) if known is None else known
    own = scale or MotionScale(fast_of(flow, here), {})
    speed = timeline.smoothed(flow.speed, flow.rows, FEATURES, here)
    detectors: dict[str, FloatArray] = {}
    for name in settings.detectors:
        if name == "appearance":
            assert appearance is not None, "the detector appearance has no features"
            scores: FloatArray = np.zeros(len(timeline))
            scores[every] = sp_scores(appearance[every], seed=seed)
            scores = timeline.smoothed(scores, np.arange(len(timeline)), SCORES, known)
        else:
            frames = strongest(own.speeds(name, speed).reshape(len(speed), -1), STRONGEST)
            scores = timeline.spread(timeline.smoothed(frames, flow.rows, SCORES, here), flow.rows)
        detectors[name] = scores
    units = (
        scale.units if scale else {name: Units.of(one[every]) for name, one in detectors.items()}
    )
    own = replace(own, units=units)
    score = np.where(every, sum(units[name].weighed(one) for name, one in detectors.items()), 0.0)
    return Start(detectors, score, own, flow, own.measure(speed), here)


def write_initial_motion(
    files: Mapping[str, Path],
    timeline: Timeline,
    settings: StartSettings,
    outputs: tuple[Path, Path],
    *,
    fps: float | None,
    seed: int,
    about: About,
) -> pd.DataFrame:
    """Flow → table of (clip, frame, row, each detector, score), and an array of `Start.places`.

    Parameters
    ----------
    files : "flow"; "maps" of the frames that the network looks at, for the detector "appearance";
        "subset", a table of the clips and frames that are used, where it is not all. `row` is the
        place of a frame among all.
    outputs : the table, one line a frame that is used; and the array, (n, 49, 2) of the frames that
        the network looks at, at `fps`.

    Raises
    ------
    SdorError : a file is damaged, or of other frames.
    """
    index, rows = timeline.index(), timeline.sampled(fps)
    index["row"], known, features = np.arange(len(index)), None, None
    if "subset" in files:
        used = read_parquet(files["subset"], ["clip", "frame"])
        index = index.merge(used, on=["clip", "frame"])
        known = np.isin(np.arange(len(timeline)), index["row"])
    if "maps" in files:
        means = read_array(files["maps"], len(rows)).mean(axis=1, dtype=np.float32)
        features = timeline.spread(means, rows)
    flow = read_flow(files["flow"], timeline)
    start = initial_motion(flow, timeline, settings, known=known, appearance=features, seed=seed)
    every = index["row"].to_numpy()
    scores = {**start.detectors, "score": start.score}
    table = index.assign(**{name: one[every] for name, one in scores.items()})
    clips = timeline.clip_of[every]
    shares = {name: between_clips(one[every], clips) for name, one in scores.items()}
    for name, share in shares.items():
        if share > TELLS_CLIPS and len(timeline.clips) > 1:
            words = "%s: %.0f %% of its variance lies between clips: it may tell clips apart"
            logger.warning(words, name, 100 * share)
    highest = Units.of(table["score"].to_numpy()).measure(table["score"].to_numpy()).max()
    if highest < STILL:
        logger.warning("nothing stands out by its motion: the highest score is %.1f units", highest)
    notes = {"between_clips": shares, "highest": float(highest)}
    with atomic(outputs[1]) as temporary:
        np.save(temporary, start.places(rows).astype(np.float32))
    write_scores(outputs[0], table, {**about, **notes})
    return table


def read_start(flow: Path, timeline: Timeline, settings: StartSettings, initial: Path) -> Start:
    """What learning started from, with the scores of the table that `write_initial_motion` wrote.

    Raises
    ------
    SdorError : a file is damaged, or of other frames.
    """
    table = read_parquet(initial)
    known = np.zeros(len(timeline), dtype=bool)
    known[table["row"]] = True
    motion = tuple(name for name in settings.detectors if name != "appearance")
    start = initial_motion(
        read_flow(flow, timeline), timeline, replace(settings, detectors=motion), known=known
    )
    score = np.zeros(len(timeline))
    score[table["row"]] = table["score"]
    return replace(start, score=score)


def fast_of(flow: Flow, known: NDArray[np.bool_] | None = None) -> FloatArray:
    """See `MotionScale.fast`."""
    used = slice(None) if known is None else known
    fast = np.full(DOWN, np.inf)
    for row in range(DOWN):
        speeds = flow.speed[used, row][flow.moving[used, row] > MOVING]
        if len(speeds) > LEAST_MOVING and (high := np.percentile(speeds, FAST)) > 0:
            fast[row] = high
    return fast


def without_cuts(flow: Flow, timeline: Timeline) -> Flow:
    """The flow of the nearest good pair of the clip in place of pairs with a hard cut between.

    Motion goes on for a while; a cut, a flash or a broken frame changes the picture once. Frames
    without a pair, at the beginning of a clip, take that of the nearest good pair too. In a clip
    without any, nothing moves.
    """
    nearest = np.arange(len(flow.rows))
    for start, stop in timeline.spans():
        here = np.arange(*np.searchsorted(flow.rows, [start, stop]))
        pairs = here[np.isfinite(flow.change[here])]
        good = pairs[~_cuts(flow.change[pairs])]
        if len(good):
            right = np.searchsorted(good, here).clip(0, len(good) - 1)
            left = np.maximum(right - 1, 0)
            nearer = np.abs(here - good[left]) <= np.abs(good[right] - here)
            nearest[here] = np.where(nearer, good[left], good[right])
    return flow.taken(nearest)


def _cuts(change: FloatArray) -> NDArray[np.bool_]:
    """Which of a clip's pairs (n,) change far more than the four on either side."""
    around = np.full((2 * AROUND, len(change)), np.nan)
    for away in range(1, min(AROUND + 1, len(change))):
        around[away - 1, away:] = change[:-away]
        around[-away, :-away] = change[away:]
    if len(change) < 2:
        return np.zeros(len(change), dtype=bool)
    found: NDArray[np.bool_] = change > np.maximum(
        CUT_CHANGE, CUT_RATIO * np.nanmedian(around, axis=0)
    )
    return found


def strongest(values: FloatArray, count: int) -> FloatArray:
    """Mean of the `count` highest of each row (rows, values): (rows,)."""
    highest: FloatArray = np.partition(values, -count, axis=1)[:, -count:].mean(axis=1)
    return highest


def in_places(cells: FloatArray) -> FloatArray:
    """What cells (n, 12, 18) say of the 7 x 7 places of the picture: (n, 49).

    That of the strongest cell, as far as it lies within the place: its value times the root of its
    share that does. Cells below 0 say nothing.
    """
    down, across = np.sqrt(_shares(DOWN)), np.sqrt(_shares(ACROSS))
    above = np.maximum(cells, 0)
    places = np.empty((len(cells), GRID, GRID), dtype=cells.dtype)
    for row, column in np.ndindex(GRID, GRID):
        weights = down[row][:, np.newaxis] * across[column]
        places[:, row, column] = (above * weights).max(axis=(1, 2))
    return places.reshape(len(cells), PLACES)


def _shares(cells: int) -> FloatArray:
    """(7, cells) share of each cell's side that lies within each of the places."""
    fine = np.arange(GRID * cells)
    shares = np.zeros((GRID, cells))
    np.add.at(shares, (fine // cells, fine // GRID), 1 / GRID)
    return shares
