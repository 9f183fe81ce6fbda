"""The moments of a scene that a person should look at first."""

import pandas as pd

from sdor.method.scores import all_alike

# Where a scene's clips have no frame rate, moments are separated as at this one.
USUAL_FRAME_RATE = 25.0


def top_moments(
    clips: pd.DataFrame,
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
    clips : clip, fps, frames.
    ensemble : clip, frame, score of every frame.

    Returns
    -------
    clip, first, last, peak (frames), score, fps; at most `count` rows, highest score first. None
    where all scores are equal up to rounding: nothing stands out.
    """
    if all_alike(ensemble["score"].to_numpy()):
        ensemble = ensemble[:0]
    high = ensemble[ensemble["score"] >= ensemble["score"].quantile(1 - share)]
    high = high.assign(fps=high["clip"].map(clips.set_index("clip")["fps"]).astype(float))
    gap = separation * high["fps"].where(high["fps"] > 0, USUAL_FRAME_RATE)
    begins = (high["clip"] != high["clip"].shift()) | (high["frame"].diff() > gap)
    stretches = high.groupby(begins.cumsum())
    peaks = high.loc[stretches["score"].idxmax()].rename(columns={"frame": "peak"})
    ends = {"first": stretches["frame"].min(), "last": stretches["frame"].max()}
    found = peaks.assign(**{name: frames.to_numpy() for name, frames in ends.items()})
    found = found[["clip", "first", "last", "peak", "score", "fps"]]
    return found.sort_values("score", ascending=False, kind="stable", ignore_index=True)[:count]
