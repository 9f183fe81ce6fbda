"""Events of a scene: neighbouring high frames, for a person to watch, strongest first.

One rule for the report, the evaluation and the watchlist. It knows neither a threshold nor a label:
a budget says how many events there is time for.
"""

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.ndimage import find_objects, label

from sdor.files import digest
from sdor.method.scores import LEAST_SIZE, FloatArray, IntArray, all_alike, rounding
from sdor.study.settings import EventSettings
from sdor.video.sampling import ROUNDING
from sdor.video.timeline import Timeline

BoolArray = NDArray[np.bool_]

SMOOTHING = 0.5  # s: sigma of the Gaussian, inside a stretch
REACH = 15.0  # s to either side of its peak that an event has at most
AROUND = 2.0  # s to either side of an event that are not looked at again
DAY = 86_400.0  # s
# Robust spreads from which on a value is an outlier (Iglewicz & Hoaglin 1993, "How to Detect and
# Handle Outliers"), and what makes a standard deviation of the median and of the mean distance.
OUTLYING, FROM_MEDIAN, FROM_MEAN = 3.5, 1.4826, 1.2533
UNLIKE, ORDINARY = "unlike", "ordinary"


def find_events(
    scores: pd.DataFrame, settings: EventSettings, blocked: BoolArray | None = None
) -> pd.DataFrame:
    """The events of a scene, strongest first.

    Scores are smoothed inside each stretch. The highest frame is the peak of the first event, which
    reaches down to half its height above the scene's median, at most `REACH` to either side. It is
    taken away with `AROUND`, and the highest frame that is left is the next peak, as long as one is
    above the median. The first ones of the scene, or of each day, are those of the budget.

    Parameters
    ----------
    scores : clip, frame, time (s in the source), stretch (clips that adjoin share one), seconds
        (from its beginning), score; the frames of a stretch stand together, in order. Where there
        is a `clock` (NaT: unknown), a day is one of the calendar; else 24 h of video.
    blocked : (frames,) true where nothing is to be found: such frames are no part of the scene.

    Returns
    -------
    event : 10 hexadecimal digits of the peak's clip and frame, whatever else is found.
    rank : from 1. stretch. clip : of the peak.
    first, last, peak (frames), begin, end, peak_time (s in the source) : in the peak's clip.
    begin_seconds, end_seconds, peak_seconds : in the stretch, of the event in all its clips.
    score : of the peak, smoothed. unusual : how many robust spreads of the scene's scores that is
        above their median. percentile : of the scene's frames that are not above it.
    group : "unlike" the rest of the scene, or "ordinary" (see `highest_ordinary`).

    No rows where all scores are equal up to rounding: nothing stands out.
    """
    stretch, names = pd.factorize(scores["stretch"])
    seconds = scores["seconds"].to_numpy(dtype=float)
    known = np.ones(len(scores), dtype=bool) if blocked is None else ~blocked
    values = scores["score"].to_numpy(dtype=float)
    timeline = Timeline(tuple(names), stretch, seconds)
    smooth = timeline.smoothed(values, np.arange(len(values)), SMOOTHING, known)
    usual = np.sort(smooth[known])
    height = smooth - (np.median(usual) if known.any() else 0.0)
    free = known & (height > rounding(usual, LEAST_SIZE)) & (not all_alike(usual, LEAST_SIZE))
    peak, first, last = _taken(height, free, seconds, timeline.spans(), stretch).T
    unusual = height[peak] / _spread(height[known]) if len(peak) else height[peak]
    number, _ = pd.factorize(pd.MultiIndex.from_arrays([stretch, scores["clip"]]))
    begins = np.flatnonzero(np.diff(number, prepend=-1))
    ends = np.append(begins[1:], len(number)) - 1
    inside = {"peak": peak}
    inside["first"] = np.maximum(first, begins[number[peak]])
    inside["last"] = np.minimum(last, ends[number[peak]])
    clip, frame, time = (scores[name].to_numpy() for name in ("clip", "frame", "time"))
    keys = zip(clip[peak], frame[peak], strict=True)
    found = pd.DataFrame(
        {
            "event": [digest(f"{name}/{one}".encode())[:10] for name, one in keys],
            "rank": 0,
            "stretch": scores["stretch"].to_numpy()[peak],
            "clip": clip[peak],
            **{name: frame[rows] for name, rows in inside.items()},
            "begin": time[inside["first"]],
            "end": time[inside["last"]],
            "peak_time": time[peak],
            "begin_seconds": seconds[first],
            "end_seconds": seconds[last],
            "peak_seconds": seconds[peak],
            "score": smooth[peak],
            "unusual": unusual,
            "percentile": 100 * np.searchsorted(usual, smooth[peak], "right") / max(1, len(usual)),
            "group": np.where(unusual > highest_ordinary(unusual), UNLIKE, ORDINARY),
        }
    )
    days = days_of(scores)[peak] if settings.per == "day" else np.zeros(len(peak))
    found = found.groupby(days, sort=False).head(settings.budget).reset_index(drop=True)
    return found.assign(rank=np.arange(1, len(found) + 1))


def of_clips(scores: pd.DataFrame, times: pd.DataFrame) -> pd.DataFrame:
    """Scores of frames as `find_events` takes them, each clip a stretch of its own.

    Parameters
    ----------
    scores : clip, frame, score; the frames of a clip stand together, in order.
    times : clip, frame, time (s in the source; NaN when unknown) of these frames and others.
    """
    table = scores[["clip", "frame", "score"]].merge(times, on=["clip", "frame"], how="left")
    by_clip = table.groupby("clip", sort=False)["time"]
    seconds = Timeline.of({str(clip): one.to_numpy() for clip, one in by_clip}).seconds
    return table.assign(stretch=table["clip"], seconds=seconds)


def box_of(heat: FloatArray) -> tuple[float, float, float, float] | None:
    """Where in the picture an event is: the box around what is hot next to the hottest cell.

    Like an event it reaches down to half of the height above the median.

    Parameters
    ----------
    heat : (rows, columns) map of the whole picture.

    Returns
    -------
    left, top, right and bottom as shares of the picture's width and height; None where all cells
    are alike.
    """
    if all_alike(heat.ravel()):
        return None
    usual, peak = np.median(heat), np.unravel_index(heat.argmax(), heat.shape)
    parts, _ = label(heat >= (usual + heat[peak]) / 2, structure=np.ones((3, 3)))
    down, across = find_objects((parts == parts[peak]).astype(int))[0]
    tall, wide = heat.shape
    return across.start / wide, down.start / tall, across.stop / wide, down.stop / tall


def highest_ordinary(unusual: FloatArray) -> float:
    """How unusual the highest of ordinary events is expected to be, from all events of a scene.

    Heights of ordinary peaks fall off exponentially, or faster. Of n from an exponential
    distribution the highest is expected about ln n means above 0, and the mean is the median over
    ln 2: anomalies hardly move it, as long as they are the lesser part of the events. What is no
    outlier among the frames (`OUTLYING`) is ordinary in any case.
    """
    if len(unusual) == 0:
        return OUTLYING
    return max(OUTLYING, float(np.median(unusual) * np.log2(len(unusual))))


def days_of(scores: pd.DataFrame) -> IntArray:
    """(frames,) a number of each frame's day: of the calendar, or -1, -2 … for 24 h of video each.

    Stretches without a clock follow each other, as if nothing had passed between them.
    """
    clock = scores.get("clock", pd.Series(pd.NaT, scores.index))
    unknown = clock.isna().to_numpy()
    steps = scores.groupby("stretch", sort=False)["seconds"].diff().fillna(0).to_numpy(dtype=float)
    running = np.cumsum(np.where(unknown, steps, 0.0)) // DAY
    calendar = clock.to_numpy().astype("datetime64[D]").astype(np.int64)
    days: IntArray = np.where(unknown, -1 - running, calendar).astype(np.int64)
    return days


def _taken(
    height: FloatArray,
    free: BoolArray,
    seconds: FloatArray,
    spans: list[tuple[int, int]],
    stretch: IntArray,
) -> IntArray:
    """(events, 3) rows of each event's peak, first and last frame, highest peak first."""
    free, found = free.copy(), []
    candidates = np.flatnonzero(free)
    for peak in candidates[np.argsort(-height[candidates], kind="stable")]:
        if not free[peak]:
            continue
        start, stop = spans[stretch[peak]]
        here = seconds[start:stop]
        low, high = start + _within(here, seconds[peak], seconds[peak], REACH)
        # What bounds it: the first frame to each side that is too low, or taken.
        bounds = low + np.flatnonzero(~free[low:high] | (height[low:high] < height[peak] / 2))
        at = np.searchsorted(bounds, peak)
        first = bounds[at - 1] + 1 if at else low
        last = (bounds[at] if at < len(bounds) else high) - 1
        found.append((peak, first, last))
        low, high = start + _within(here, seconds[first], seconds[last], AROUND)
        free[low:high] = False
    return np.array(found, dtype=np.int64).reshape(-1, 3)


def _within(seconds: FloatArray, begin: float, end: float, more: float) -> IntArray:
    """The first place from `more` before the beginning on, and the first behind `more` after."""
    edges = [begin - more - ROUNDING, end + more + ROUNDING]
    return np.searchsorted(seconds, edges)


def _spread(height: FloatArray) -> float:
    """A standard deviation of heights above the median that few high ones do not move."""
    away = np.abs(height)
    robust = FROM_MEDIAN * np.median(away)
    # Where more than half of the frames are alike, a still camera at night, these have none.
    return float(robust if robust > rounding(height, LEAST_SIZE) else FROM_MEAN * away.mean())
