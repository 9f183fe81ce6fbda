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
    chosen: dict[int, int] = {}
    for label in (1, 0):
        candidates = np.sort(top[free[top] & (truth[top] == label)])
        drawn = rng.choice(candidates, min(picks, len(candidates)), replace=False)
        chosen |= dict.fromkeys(drawn.tolist(), label)
    names = ranking["clip"].to_numpy(dtype=object)
    frames = ranking["frame"].to_numpy(dtype=np.int64)
    nearest: dict[int, tuple[int, int]] = {}
    for pick, label in chosen.items():
        for row in range(max(pick - neighbours, 0), min(pick + neighbours + 1, len(ranking))):
            distance = abs(int(frames[row] - frames[pick]))
            if names[row] != names[pick] or distance > neighbours or not free[row]:
                continue
            found = (distance, 1 - label)
            nearest[row] = min(nearest.get(row, found), found)
    rows = sorted(nearest)
    marks = ranking.loc[rows, ["clip", "frame"]].reset_index(drop=True)
    labels = np.array([1 - nearest[row][1] for row in rows], dtype=np.int8)
    return marks.assign(label=labels, picked=np.isin(rows, list(chosen)))


def no_marks() -> pd.DataFrame:
    """A table of marks without a line."""
    types = {"clip": object, "frame": np.int64, "label": np.int8, "picked": bool}
    return pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in types.items()})
