"""How much an expert's feedback helps: metrics of the ranking before it and after each round."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd

from sdor.evaluation.about import About
from sdor.evaluation.bootstrap import Measure, draw_clips, measure, paired
from sdor.evaluation.expert import no_marks
from sdor.evaluation.metrics import LabelledFrames
from sdor.evaluation.scores import checked_scores, index_of, labelled_frames
from sdor.files import read_parquet, write_json
from sdor.study.plan import FeedbackSettings


@dataclass(frozen=True)
class Round:
    """Metrics (column: measure) after a round of feedback; round 0 is before any.

    Attributes
    ----------
    marked, marked_frames : frames that were picked so far, and with their neighbours.
    all : over all labelled frames. unmarked : without every frame that was marked so far.
    before_unmarked : the scores before any feedback on those same frames.
    gain : the paired difference of the two.
    """

    round: int
    marked: int
    marked_frames: int
    anomalous_picks: int
    normal_picks: int
    all: Mapping[str, Measure]
    unmarked: Mapping[str, Measure]
    before_unmarked: Mapping[str, Measure]
    gain: Mapping[str, Measure]


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
) -> list[Round]:
    """Metrics before the feedback and after each round, with and without the marked frames.

    Parameters
    ----------
    scores_paths : before any feedback, then after each round.
    marks_paths : of each round.
    settings : of the feedback, carried through.

    Returns
    -------
    What is written to `feedback.json`, beside `settings` and `about`.

    Raises
    ------
    SdorError : a file is missing or damaged, or its rows do not match the others.
    """
    clips, ground_truth = read_parquet(clips_path), read_parquet(ground_truth_path)
    tables = [read_parquet(path) for path in scores_paths]
    marks = [read_parquet(path) for path in marks_paths]
    frames, labelled = labelled_frames(clips, index_of(clips), ground_truth)
    index = pd.MultiIndex.from_frame(index_of(clips)[labelled])
    weights = draw_clips(len(frames.split), draws)
    scores = [
        checked_scores(f"scores after round {number}", table, index_of(clips))[labelled]
        for number, table in enumerate(tables)
    ]
    rounds = []
    for number, values in enumerate(scores):
        so_far = pd.concat([no_marks(), *marks[:number]])
        picked = so_far.loc[so_far["picked"].astype(bool), "label"]
        left = ~index.isin(pd.MultiIndex.from_frame(so_far[["clip", "frame"]]))
        rest = LabelledFrames(frames.clip[left], frames.anomalous[left], frames.split)
        rounds.append(
            Round(
                number,
                len(picked),
                len(so_far),
                int((picked == 1).sum()),
                int((picked == 0).sum()),
                measure(values, frames, weights),
                measure(values[left], rest, weights),
                measure(scores[0][left], rest, weights),
                paired(values[left], scores[0][left], rest, weights),
            )
        )
    content = {"about": about.as_document(), "settings": settings.as_document()}
    write_json(output, {**content, "rounds": [asdict(one) for one in rounds]})
    return rounds
