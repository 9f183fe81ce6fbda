"""A human expert in the loop (section 4.5), simulated from the ground truth.

In each round the expert looks at the highest-ranked frames, marks some as anomalous and some as
normal, and the model is fine-tuned on them and on their neighbours in time.
"""

import numpy as np
import pandas as pd


def simulated_expert(
    scores: pd.DataFrame,
    ground_truth: pd.DataFrame,
    *,
    touched: pd.DataFrame,
    picks: int,
    share: float,
    neighbours: int,
    rng: np.random.Generator,
) -> pd.DataFrame:
    """Frames that an expert would mark among the highest-ranked ones.

    Of the top l = floor(share · K) frames, `picks` truly anomalous and `picks` truly normal ones
    are drawn (as many as there are); frames marked before and frames without ground truth are
    passed over. The frames within `neighbours` of a pick in its clip get its label; between two
    picks, the nearer one decides, and at the same distance the anomalous one.

    Parameters
    ----------
    scores : clip, frame, score of all frames, in order.
    ground_truth : clip, frame, anomalous of the labelled ones.
    touched : clip and frame of everything that was marked before, neighbours included.

    Returns
    -------
    clip, frame, label (1 or 0), picked (false for a neighbour), in the order of `scores`.
    """
    ranking = scores.merge(ground_truth, on=["clip", "frame"], how="left", validate="one_to_one")
    before = pd.MultiIndex.from_frame(touched[["clip", "frame"]])
    free = ~pd.MultiIndex.from_frame(ranking[["clip", "frame"]]).isin(before)
    order = np.argsort(-ranking["score"].to_numpy(), kind="stable")
    top = order[: int(share * len(ranking) + 1e-9)]
    truth = ranking["anomalous"].to_numpy()
    drawn_frames: list[pd.DataFrame] = []
    for label in (1, 0):
        candidates = np.sort(top[free[top] & (truth[top] == label)])
        drawn = rng.choice(candidates, min(picks, len(candidates)), replace=False)
        drawn_frames.append(ranking.loc[drawn, ["clip", "frame"]].assign(label=np.int8(label)))
    offsets = pd.DataFrame({"offset": range(-neighbours, neighbours + 1)})
    near = pd.concat(drawn_frames).merge(offsets, how="cross")
    near = near.assign(frame=near["frame"] + near["offset"], distance=near["offset"].abs())
    near = near.sort_values(["distance", "label"], ascending=[True, False])
    nearest = near.drop_duplicates(["clip", "frame"])
    marks = ranking.loc[free, ["clip", "frame"]].merge(nearest, on=["clip", "frame"])
    return marks.assign(picked=marks["distance"] == 0)[["clip", "frame", "label", "picked"]]


def no_marks() -> pd.DataFrame:
    """A table of marks without a line."""
    types = {"clip": object, "frame": np.int64, "label": np.int8, "picked": bool}
    return pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in types.items()})
