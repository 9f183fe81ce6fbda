"""A human expert in the loop (section 4.5), simulated from the ground truth.

In each round the expert looks at the highest-ranked frames, marks some as anomalous and some as
normal, and the model is fine-tuned on them and on their neighbours in time.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from sdor import metrics
from sdor.evaluate import labelled_frames
from sdor.files import read_parquet, write_json, write_parquet
from sdor.metrics import Cell, FloatArray, LabelledFrames


def write_marks(
    scores_path: Path,
    ground_truth_path: Path,
    earlier_paths: Sequence[Path],
    output: Path,
    *,
    settings: Mapping[str, Any],
    seed: int,
) -> None:
    """Let the simulated expert mark frames of the present ranking, and write what was marked.

    Parameters
    ----------
    earlier_paths : marks of the rounds before, the first one first.
    settings : picks (k), share (l / K) and neighbours.
    """
    scores = read_parquet(scores_path, ["clip", "frame", "score"])
    earlier = [read_parquet(path) for path in earlier_paths]
    marks = simulated_expert(
        scores,
        read_parquet(ground_truth_path),
        touched=pd.concat([_no_marks(), *earlier]),
        picks=settings["picks"],
        share=settings["share"],
        neighbours=settings["neighbours"],
        rng=np.random.default_rng([seed, len(earlier) + 1]),
    )
    write_parquet(output, marks.assign(round=len(earlier) + 1), {"label": "1 anomalous, 0 normal"})


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


def evaluate_feedback(
    clips_path: Path,
    ground_truth_path: Path,
    score_paths: Sequence[Path],
    marks_paths: Sequence[Path],
    output: Path,
    *,
    settings: Mapping[str, Any],
    draws: int,
    about: Mapping[str, Any],
) -> list[dict[str, Any]]:
    """Metrics before the feedback and after each round, with and without the marked frames.

    Parameters
    ----------
    score_paths : before any feedback, then after each round.
    marks_paths : of each round.

    Writes and returns a list of rounds (0 is before any feedback) with `all` (columns of
    `metrics.measure` over all labelled frames), `unmarked` (without every frame that was marked so
    far, neighbours too), `before_unmarked` (the scores before any feedback on those same frames)
    and `gain` (the paired difference of the two).
    """
    clips, ground_truth = read_parquet(clips_path), read_parquet(ground_truth_path)
    tables = [read_parquet(path) for path in score_paths]
    marks = [read_parquet(path) for path in marks_paths]
    frames, labelled = labelled_frames(clips, tables[0], ground_truth)
    index = pd.MultiIndex.from_frame(tables[0].loc[labelled, ["clip", "frame"]])
    weights = metrics.draw_clips(len(frames.split), draws, seed=0)
    scores = [table["score"].to_numpy(dtype=float)[labelled] for table in tables]
    rounds = []
    for number, values in enumerate(scores):
        so_far = pd.concat([_no_marks(), *marks[:number]])
        picked = so_far.loc[so_far["picked"].astype(bool), "label"]
        left = ~index.isin(pd.MultiIndex.from_frame(so_far[["clip", "frame"]]))
        rounds.append(
            {
                "round": number,
                "marked": len(picked),
                "marked_frames": len(so_far),
                "anomalous_picks": int((picked == 1).sum()),
                "normal_picks": int((picked == 0).sum()),
                "all": metrics.measure(values, frames, weights),
                "unmarked": _measured_without(values, frames, left, weights),
                "before_unmarked": _measured_without(scores[0], frames, left, weights),
                "gain": metrics.paired(values[left], scores[0][left], _rest(frames, left), weights),
            }
        )
    write_json(output, {"about": dict(about), "settings": dict(settings), "rounds": rounds})
    return rounds


def _measured_without(
    scores: FloatArray, frames: LabelledFrames, left: npt.NDArray[np.bool_], weights: FloatArray
) -> dict[str, Cell]:
    """Metrics of the frames that are left."""
    return metrics.measure(scores[left], _rest(frames, left), weights)


def _rest(frames: LabelledFrames, left: npt.NDArray[np.bool_]) -> LabelledFrames:
    """The frames that are left; the clips stay what they are."""
    return LabelledFrames(frames.clip[left], frames.anomalous[left], frames.split)


def _no_marks() -> pd.DataFrame:
    types = {"clip": object, "frame": np.int64, "label": np.int8, "picked": bool}
    return pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in types.items()})
