"""The moments of a scene that a person should look at first."""

import pandas as pd

from sdor.method.scores import LEAST_SIZE, all_alike

# Where nothing tells the times of a clip's frames, moments are separated as at this rate.
USUAL_FRAME_RATE = 25.0


def top_moments(
    times: pd.DataFrame,
    ensemble: pd.DataFrame,
    *,
    count: int = 10,
    separation: float = 2.0,
    share: float = 0.1,
) -> pd.DataFrame:
    """The highest-ranked stretches of a scene, for a person to look at first.

    A moment is a stretch of one clip whose frames are among the `share` of highest scores; dips
    shorter than `separation` seconds do not end it. It is ranked by its highest score.

    Parameters
    ----------
    times : clip, frame, time of every frame (s in the source; NaN when unknown).
    ensemble : clip, frame, score of every frame.

    Returns
    -------
    clip, first, last, peak (frames), score, begin, end (s, of `first` and `last`); at most `count`
    rows, highest score first. None where all scores are equal up to rounding: nothing stands out.
    """
    if all_alike(ensemble["score"].to_numpy(), LEAST_SIZE):
        ensemble = ensemble[:0]
    high = ensemble[ensemble["score"] >= ensemble["score"].quantile(1 - share)]
    high = high.merge(times, on=["clip", "frame"], validate="1:1")
    time = high["time"].fillna(high["frame"] / USUAL_FRAME_RATE)
    # Times are sums of steps that are not exact.
    begins = (high["clip"] != high["clip"].shift()) | (time.diff() > separation + 1e-6)
    stretches = high.groupby(begins.cumsum())
    peaks = high.loc[stretches["score"].idxmax()].rename(columns={"frame": "peak"})
    ends = {"first": stretches["frame"].min(), "last": stretches["frame"].max()}
    ends |= {"begin": stretches["time"].min(), "end": stretches["time"].max()}
    found = peaks.assign(**{name: values.to_numpy() for name, values in ends.items()})
    found = found[["clip", "first", "last", "peak", "score", "begin", "end"]]
    return found.sort_values("score", ascending=False, kind="stable", ignore_index=True)[:count]
