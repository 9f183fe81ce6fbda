"""Anomalies found against seconds watched: what a list of events is worth to who watches it."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from sdor.evaluation.metrics import IntArray
from sdor.method.events import find_events, of_clips
from sdor.study.settings import EventSettings

FIRST = (5, 10, 20)  # events that findings are of
Watched = Mapping[str, Sequence[float]]


def anomalies_of(truth: pd.DataFrame, times: pd.DataFrame) -> IntArray:
    """(frames,) number of the anomaly that each frame is in, from 1; 0 where it is normal.

    An anomaly is an unbroken run of anomalous frames of one clip, among those that are looked at.

    Parameters
    ----------
    truth, times : as of `watched`.
    """
    anomalous = truth["anomalous"].to_numpy() > 0
    places = times[["clip", "frame"]].assign(place=np.arange(len(times)))
    place = truth[["clip", "frame"]].merge(places, how="left")["place"]
    follows = (truth["clip"] == truth["clip"].shift()).to_numpy() & (place.diff() == 1).to_numpy()
    begins = anomalous & ~(follows & np.append(False, anomalous[:-1]))
    return np.where(anomalous, np.cumsum(begins), 0)


def watched(truth: pd.DataFrame, times: pd.DataFrame, lead: float) -> Watched:
    """What has been seen after each event of a scene, the strongest first.

    Parameters
    ----------
    truth : clip, frame, anomalous, score of the labelled frames, in order.
    times : clip, frame, time (s in the source) of all frames that are looked at, in order.
    lead : seconds that are watched before each event.

    Returns
    -------
    Of the first, the first two …, at most the last of `FIRST`: anomalies_found (that share a frame
    with one of them), true_events (that share a frame with an anomaly), seconds_watched.
    """
    events = find_events(of_clips(truth, times), EventSettings(FIRST[-1], "scene", lead))
    number, seen, true = anomalies_of(truth, times), [set[int]()], [0]
    for clip, first, last in events[["clip", "first", "last"]].itertuples(index=False):
        here = (truth["clip"] == clip) & truth["frame"].between(first, last)
        shown = {*number[here].tolist()} - {0}
        seen.append(seen[-1] | shown)
        true.append(true[-1] + bool(shown))
    lengths = events["end_seconds"] - events["begin_seconds"] + lead
    return {
        "anomalies_found": [len(one) for one in seen[1:]],
        "true_events": true[1:],
        "seconds_watched": lengths.cumsum().tolist(),
    }


def after(curve: Sequence[float], events: int) -> float:
    """What a curve of `watched` has reached after so many events, or after all there are."""
    return [0, *curve][min(events, len(curve))]
