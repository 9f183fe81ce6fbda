"""The moments of a scene that a person should look at first."""

import numpy as np
import pandas as pd

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
    clip, first, last, peak (frames), score, fps; at most `count` rows, highest score first.
    """
    columns = ["clip", "first", "last", "peak", "score", "fps"]
    if ensemble.empty:
        return pd.DataFrame(columns=columns)
    scores = ensemble["score"].to_numpy(dtype=float)
    high = np.flatnonzero(scores >= np.quantile(scores, 1 - share))
    names = ensemble["clip"].to_numpy(dtype=object)
    frames = ensemble["frame"].to_numpy(dtype=np.int64)
    rates = dict(zip(clips["clip"], clips["fps"].astype(float), strict=True))
    gap = np.array([separation * _rate(rates[name]) for name in names[high]])
    parted = (names[high][1:] != names[high][:-1]) | (np.diff(frames[high]) > gap[1:])
    records = []
    for stretch in np.split(high, np.flatnonzero(parted) + 1):
        peak = stretch[int(np.argmax(scores[stretch]))]
        records.append(
            {
                "clip": names[peak],
                "first": frames[stretch[0]],
                "last": frames[stretch[-1]],
                "peak": frames[peak],
                "score": scores[peak],
                "fps": rates[names[peak]],
            }
        )
    found = pd.DataFrame.from_records(records, columns=columns)
    return found.sort_values("score", ascending=False, kind="stable").head(count)


def _rate(fps: float) -> float:
    rate = float(fps)
    return rate if np.isfinite(rate) and rate > 0 else USUAL_FRAME_RATE
