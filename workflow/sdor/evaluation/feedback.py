"""How much an expert's feedback helps: metrics of the ranking before it and after each round."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from sdor.evaluation.about import About
from sdor.evaluation.bootstrap import draw_clips, measure, paired
from sdor.evaluation.metrics import LabelledFrames
from sdor.evaluation.scores import checked_scores, labelled_frames
from sdor.files import read_parquet, write_json
from sdor.method.marks import lengths_of, read_marks, widened
from sdor.study.plan import FeedbackSettings


def evaluate_feedback(
    clips_path: str | Path,
    ground_truth_path: str | Path,
    scores_paths: Sequence[str | Path],
    marks_paths: Sequence[str | Path],
    output: str | Path,
    *,
    settings: FeedbackSettings,
    draws: int,
    about: About,
) -> list[dict[str, Any]]:
    """Metrics before the feedback and after each round, with and without the marked frames.

    Parameters
    ----------
    scores_paths : before any feedback, then after each round.
    marks_paths : of each round.
    settings : of the feedback, carried through.

    Returns
    -------
    What is written to `feedback.json`, beside `settings` and `about`: of each round (0 is before
    any) its number, `marked` (frames that were picked so far, and by kind), `marked_frames` (with
    those around them), and column: measure of `all` labelled frames, of the `unmarked` ones, of
    the scores before any feedback on these (`before_unmarked`), and of the difference (`gain`).

    Raises
    ------
    SdorError : a file is missing or damaged, or its rows do not match the others.
    """
    clips, ground_truth = read_parquet(clips_path), read_parquet(ground_truth_path)
    tables = [read_parquet(path) for path in scores_paths]
    every = tables[0][["clip", "frame"]]
    frames, labelled = labelled_frames(clips, every, ground_truth)
    index = pd.MultiIndex.from_frame(every[labelled])
    weights = draw_clips(len(frames.split), draws)
    scores = [
        checked_scores(f"scores after round {number}", table, every)[labelled]
        for number, table in enumerate(tables)
    ]
    rounds = []
    for number, values in enumerate(scores):
        marks = read_marks([Path(path) for path in marks_paths[:number]], lengths_of(every))
        so_far = widened(marks, every, settings.neighbours)
        picked = so_far.loc[so_far["picked"], "label"]
        left = ~index.isin(pd.MultiIndex.from_frame(so_far[["clip", "frame"]]))
        rest = LabelledFrames(frames.clip[left], frames.anomalous[left], frames.split)
        columns = {
            "all": measure(values, frames, weights),
            "unmarked": measure(values[left], rest, weights),
            "before_unmarked": measure(scores[0][left], rest, weights),
            "gain": paired(values[left], scores[0][left], rest, weights),
        }
        measures = {
            name: {column: asdict(one) for column, one in found.items()}
            for name, found in columns.items()
        }
        picks = {"anomalous_picks": int(picked.sum()), "normal_picks": int((1 - picked).sum())}
        counts = {"round": number, "marked": len(picked), "marked_frames": len(so_far)}
        rounds.append({**counts, **picks, **measures})
    content = {"about": about.as_document(), "settings": settings.as_document()}
    write_json(output, {**content, "rounds": rounds})
    return rounds
