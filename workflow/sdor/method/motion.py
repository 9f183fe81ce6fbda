"""Motion says what to learn first: initial scores of frames and places from flow in cells."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.ndimage import median_filter

from sdor.files import About, atomic, read_array, read_parquet
from sdor.method.flow import ACROSS, DOWN, Flow, read_flow
from sdor.method.initial import combine, sp_scores
from sdor.method.scores import FloatArray, write_scores
from sdor.method.units import Units, added, between_clips
from sdor.progress import logger
from sdor.study.settings import StartSettings
from sdor.video.timeline import Rows, Timeline

GRID = 7  # places on each side of the frame
PLACES = GRID * GRID
FEATURES, SCORES = 0.2, 0.5  # seconds: sigma by which what is measured, and scores, are smoothed
STRONGEST = 3  # cells that make a frame's score
MOVING = 0.02  # share of a cell's pixels from which on something moves there
FAST = 95  # percentile of a row's moving cells that others are held against
LEAST_MOVING = 20  # cells of a row that its percentile is taken of
# How much more than in the frames around the picture changes at a cut, and by how many grey values.
CUT_RATIO, CUT_CHANGE, AROUND = 2.5, 2.0, 7
STILL = 2.0  # units up to which nothing stands out
TELLS_CLIPS = 0.5  # share of variance between clips from which on to warn


@dataclass(frozen=True)
class Start:
    """What learning starts from.

    Attributes
    ----------
    detectors : name: (K,) scores of all frames. score : (K,) their sum in units.
    rows : (n,) numbers of the frames that flow was taken of.
    cells : (n, 12, 18) sum of the cells' motion in the same units.
    moving : (n, 12, 18) share of each cell that moves.
    """

    detectors: dict[str, FloatArray]
    score: FloatArray
    rows: Rows
    cells: FloatArray
    moving: FloatArray

    def places(self, rows: Rows) -> FloatArray:
        """Motion of the places of other frames, and the share that moves there: (m, 49, 2).

        It is that of the last flow before each.
        """
        last = np.searchsorted(self.rows, rows, side="right") - 1
        return np.stack([in_places(self.cells[last]), in_places(self.moving[last])], axis=2)


def initial_motion(
    flow: Flow,
    timeline: Timeline,
    settings: StartSettings,
    *,
    known: NDArray[np.bool_] | None = None,
    appearance: FloatArray | None = None,
    seed: int = 0,
) -> Start:
    """Score frames and cells by motion.

    Parameters
    ----------
    known : (K,) frames that are used, where it is not all of the scene.
    appearance : (K, dims) features of all frames, for the detector "appearance".
    seed : of the random subsets of Sp, which only that detector has.
    """
    flow = without_cuts(flow, timeline)
    here = None if known is None else known[flow.rows]
    every = np.ones(len(timeline), dtype=bool) if known is None else known
    speeds = {"speed": flow.speed, "relative_speed": relative_speed(flow, here)}
    detectors: dict[str, FloatArray] = {}
    cells = np.zeros(flow.speed.shape)
    for name in settings.detectors:
        if name == "appearance":
            assert appearance is not None, "the detector appearance has no features"
            scores = timeline.smoothed(
                sp_scores(appearance, seed=seed), np.arange(len(timeline)), SCORES
            )
        else:
            smooth = timeline.smoothed(speeds[name], flow.rows, FEATURES, here)
            frames = strongest(smooth.reshape(len(smooth), -1), STRONGEST)
            scores = timeline.spread(timeline.smoothed(frames, flow.rows, SCORES, here), flow.rows)
            cells += Units.of(scores[every]).measure(smooth)
        detectors[name] = scores
    used = [one[every] for one in detectors.values()]
    score = np.zeros(len(timeline))
    score[every] = added(used) if settings.units == "variation" else combine(used)
    return Start(detectors, score, flow.rows, cells, flow.moving)


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


def relative_speed(flow: Flow, known: NDArray[np.bool_] | None = None) -> FloatArray:
    """Speed of cells held against the fast ones of their row: far away, all is slow.

    A row of the picture is about as far from a camera that looks down a scene, everywhere.

    Returns
    -------
    (n, 12, 18) speed divided by the 95th percentile of the moving cells of the row; 0 in a row
    where next to nothing moves.
    """
    used = slice(None) if known is None else known
    relative = np.zeros_like(flow.speed)
    for row in range(DOWN):
        speeds = flow.speed[used, row][flow.moving[used, row] > MOVING]
        if len(speeds) > LEAST_MOVING and (fast := np.percentile(speeds, FAST)) > 0:
            relative[:, row] = flow.speed[:, row] / fast
    return relative


def without_cuts(flow: Flow, timeline: Timeline) -> Flow:
    """What is known of the next frame in place of pairs with a hard cut between, or without a pair.

    Motion goes on for a while; a cut, a flash or a broken frame changes the picture once.
    """
    nearest = np.arange(len(flow.rows))
    for start, stop in timeline.spans():
        here = np.arange(*np.searchsorted(flow.rows, [start, stop]))
        change = flow.change[here]
        bad = np.isnan(change)
        if bad.all():
            continue
        filled = np.where(bad, np.nanmedian(change), change)
        around = median_filter(filled, AROUND, mode="mirror")
        bad |= (filled > CUT_RATIO * around) & (filled > CUT_CHANGE)
        if bad.any() and not bad.all():
            good = here[~bad]
            at = np.searchsorted(good, here[bad]).clip(1, max(len(good) - 1, 1))
            left, right = good[at - 1], good[np.minimum(at, len(good) - 1)]
            nearer = np.abs(here[bad] - left) <= np.abs(right - here[bad])
            nearest[here[bad]] = np.where(nearer, left, right)
    speed, moving = (np.nan_to_num(one[nearest]) for one in (flow.speed, flow.moving))
    return Flow(flow.rows, speed, moving, flow.change[nearest])


def strongest(values: FloatArray, count: int) -> FloatArray:
    """Mean of the `count` highest of each row (rows, values): (rows,)."""
    highest: FloatArray = np.partition(values, -count, axis=1)[:, -count:].mean(axis=1)
    return highest


def in_places(cells: FloatArray) -> FloatArray:
    """The mean of cells (n, 12, 18) in each of the 7 x 7 places of the picture: (n, 49)."""
    down, across = _shares(DOWN), _shares(ACROSS)
    places: FloatArray = np.einsum("pi,nij,qj->npq", down, cells, across).reshape(-1, PLACES)
    return places


def _shares(cells: int) -> FloatArray:
    """(7, cells) share of each place's side that each of the cells covers; rows sum to 1."""
    fine = np.arange(GRID * cells)
    shares = np.zeros((GRID, cells))
    np.add.at(shares, (fine // cells, fine // GRID), 1 / cells)
    return shares
