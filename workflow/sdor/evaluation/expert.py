"""A human expert in the loop (section 4.5), simulated from the ground truth.

In each round the expert looks at the highest-ranked frames, marks some as anomalous and some as
normal, and the model is fine-tuned on them and on their neighbours in time. From the file of marks
on, all is as of a person.
"""

import numpy as np
import pandas as pd

from sdor.method.marks import ANOMALY, NORMAL, Mark, lengths_of


def simulated_expert(
    scores: pd.DataFrame,
    ground_truth: pd.DataFrame,
    *,
    touched: pd.DataFrame,
    picks: int,
    share: float,
    neighbours: int,
    rng: np.random.Generator,
) -> list[Mark]:
    """Marks of frames that an expert would mark among the highest-ranked ones.

    Of the top l = floor(share · K) frames, `picks` truly anomalous and `picks` truly normal ones
    are drawn (as many as there are); frames marked before and frames without ground truth are
    passed over. A mark is from `neighbours` before its frame to as many behind, inside its clip;
    see `widened`.

    Parameters
    ----------
    scores : clip, frame, score of all frames, in order.
    ground_truth : clip, frame, anomalous of the labelled ones.
    touched : clip and frame of everything that was marked before, neighbours included.
    """
    ranking = scores.merge(ground_truth, on=["clip", "frame"], how="left", validate="one_to_one")
    before = pd.MultiIndex.from_frame(touched[["clip", "frame"]])
    free = ~pd.MultiIndex.from_frame(ranking[["clip", "frame"]]).isin(before)
    order = np.argsort(-ranking["score"].to_numpy(), kind="stable")
    top = order[: int(share * len(ranking) + 1e-9)]
    truth = ranking["anomalous"].to_numpy()
    lengths = lengths_of(ranking).set_index("clip")["frames"]
    marks = list[Mark]()
    for label, anomalous in ((ANOMALY, 1), (NORMAL, 0)):
        candidates = np.sort(top[free[top] & (truth[top] == anomalous)])
        drawn = rng.choice(candidates, min(picks, len(candidates)), replace=False)
        for clip, frame in zip(*(ranking.loc[drawn, it] for it in ("clip", "frame")), strict=True):
            first, last = max(frame - neighbours, 1), min(frame + neighbours, lengths[clip])
            by = "simulated expert"
            marks.append(Mark(by=by, clip=clip, frame=frame, first=first, last=last, label=label))
    return marks
