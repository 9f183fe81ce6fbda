"""How much an expert's feedback helps: metrics of the ranking before it and after each round."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from sdor.evaluation import metrics
from sdor.evaluation.evaluate import labelled_frames
from sdor.evaluation.expert import no_marks
from sdor.evaluation.metrics import Cell, FloatArray, LabelledFrames
from sdor.files import read_parquet, write_json


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
        so_far = pd.concat([no_marks(), *marks[:number]])
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
