"""Scenes with fewer anomalies (Figure 5): whole anomalous events are dropped at random.

Labels decide here what a method sees: they make another data set, as the paper does, and tell
nothing about the frames that are left.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from sdor.errors import SdorError
from sdor.files import read_parquet, write_parquet

LONG = 2  # times what is asked for, from which on the last event is shortened


def write_subset(
    times_path: Path, ground_truth_path: Path, output: Path, *, rate: float, seed: int
) -> None:
    """Write what `drop_events` leaves, with the rate that was reached as metadata."""
    every = sampled_frames(read_parquet(times_path))[["clip", "frame"]]
    kept, facts = drop_events(every, read_parquet(ground_truth_path), rate=rate, seed=seed)
    write_parquet(output, kept, {"subset": facts})


def drop_events(
    every: pd.DataFrame, ground_truth: pd.DataFrame, *, rate: float, seed: int
) -> tuple[pd.DataFrame, dict[str, float]]:
    """Drop anomalous events in random order until the share of anomalous frames is next to `rate`.

    An event is an unbroken run of anomalous frames of one clip; it goes as a whole. One stays;
    where it alone is more than twice what is asked for, its middle does.

    Parameters
    ----------
    every : clip, frame of all frames, in the scene's order.
    ground_truth : clip, frame, anomalous of the labelled clips.

    Returns
    -------
    kept : clip, frame of the frames that are left, in order.
    facts : target, rate (reached), events_kept, events, seed.

    Raises
    ------
    SdorError : the scene has no anomalous frame, or a smaller share of them than `rate`.
    """
    labels = every.merge(ground_truth, on=["clip", "frame"], how="left", validate="one_to_one")
    anomalous = (labels["anomalous"] > 0).to_numpy()
    same_clip = (every["clip"] == every["clip"].shift()).to_numpy()
    begins = anomalous & ~(same_clip & np.roll(anomalous, 1))
    event = np.where(anomalous, np.cumsum(begins), 0)
    lengths = np.bincount(event)[1:]
    normal = int((~anomalous).sum())
    present = anomalous.sum() / len(anomalous)
    if len(lengths) == 0:
        raise SdorError(
            f"anomaly_rate: {rate:g}: the scene has no frame that is labelled anomalous; leave it "
            "out of anomaly_rates"
        )
    if present < rate:
        raise SdorError(
            f"anomaly_rate: {rate:g}: the scene's own share of anomalous frames is only "
            f"{present:.3f}, and events can only be dropped; lower it, or leave the scene out"
        )
    order = np.random.default_rng(seed).permutation(len(lengths))
    left = lengths[order][::-1].cumsum()[::-1]  # anomalous frames if the first i events are dropped
    dropped = int(np.abs(left / (left + normal) - rate).argmin())
    keep = ~np.isin(event, order[:dropped] + 1)
    of_last = np.flatnonzero(anomalous & keep)
    wanted = max(1, round(rate / (1 - rate) * normal))
    if dropped == len(lengths) - 1 and len(of_last) > LONG * wanted:
        begin = (len(of_last) - wanted) // 2
        keep[of_last] = False
        keep[of_last[begin : begin + wanted]] = True
    facts = {
        "target": rate,
        "rate": float(anomalous[keep].mean()),
        "events_kept": len(lengths) - dropped,
        "events": len(lengths),
        "seed": seed,
    }
    return every[keep].reset_index(drop=True), facts


def sampled_frames(times: pd.DataFrame) -> pd.DataFrame:
    """Clip, frame (from 1) and time of the frames of a scene that are looked at, in its order.

    Parameters
    ----------
    times : of all frames, as `times.parquet` has them: with `sampled`.
    """
    return times.loc[times["sampled"], ["clip", "frame", "time"]].reset_index(drop=True)
