"""Scores and ground truth of a scene, checked: the same clips and frames everywhere, in order."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import pandas as pd

from sdor.errors import SdorError
from sdor.evaluation.about import Subset
from sdor.evaluation.metrics import BoolArray, FloatArray, LabelledFrames, smooth
from sdor.files import read_about, read_parquet
from sdor.method.scores import LEAST_SIZE, first_alike

File = str | Path
# Scores are stored as float32; the mean of T of them is exact to a few units in the last place.
ENSEMBLE_TOLERANCE = 1e-4


@dataclass(frozen=True)
class RunTables:
    """Tables of one run.

    Attributes
    ----------
    clips : clip, split, frames (and more) of every clip, in scene order.
    ground_truth : clip, frame, anomalous, for the labelled clips only.
    initial : clip, frame, each detector, score of every frame.
    ensemble : clip, frame, score: the mean of the iterations (Eq. 9), or the sum of more columns.
    scores : clip, frame, score of phi_1 … phi_T.
    pseudo_labels : clip, frame, label that each iteration was trained on.
    competitors : clip, frame, score of further detectors, by row name.
    index : clip and frame of every frame that is scored, in order.
    subset : what was left out, where it is not all of the scene.
    """

    clips: pd.DataFrame
    ground_truth: pd.DataFrame
    initial: pd.DataFrame
    ensemble: pd.DataFrame
    scores: Sequence[pd.DataFrame]
    pseudo_labels: Sequence[pd.DataFrame]
    competitors: Mapping[str, pd.DataFrame]
    index: pd.DataFrame
    subset: Subset | None = None

    @classmethod
    def read(
        cls,
        *,
        clips: File,
        ground_truth: File,
        initial: File,
        ensemble: File,
        scores: Sequence[File],
        pseudo_labels: Sequence[File] = (),
        competitors: Mapping[str, File] | None = None,
        subset: File | None = None,
    ) -> Self:
        """From the files; that of a subset says which frames were used.

        Raises
        ------
        SdorError : a file is missing or damaged.
        """
        every, truth, scored = (read_parquet(path) for path in (clips, ground_truth, initial))
        index, kept = scored[["clip", "frame"]], None
        if subset is not None:
            index, kept = read_parquet(subset), Subset(**read_about(subset)["subset"])
            counts = index["clip"].value_counts()
            every = every[every["clip"].isin(counts.index)]
            every = every.assign(frames=every["clip"].map(counts))
            truth = truth.merge(index, on=["clip", "frame"])
        return cls(
            every,
            truth,
            scored,
            read_parquet(ensemble),
            [read_parquet(path) for path in scores],
            [read_parquet(path) for path in pseudo_labels],
            {name: read_parquet(path) for name, path in (competitors or {}).items()},
            index,
            kept,
        )

    def detectors(self, sigma: float) -> dict[str, FloatArray]:
        """Row name: (frames,) scores of every detector, in the order of the tables.

        Parameters
        ----------
        sigma : of the row "ours_smoothed", in frames, inside each clip.

        Raises
        ------
        SdorError : tables whose rows do not match, or scores that are not finite.
        """
        index = self.index
        singles = [
            checked_scores(f"scores of iteration {number}", table, index)
            for number, table in enumerate(self.scores, start=1)
        ]
        running = np.cumsum(singles, axis=0) / np.arange(1, len(singles) + 1)[:, None]
        ours = checked_scores("ensemble", self.ensemble, index)
        parts = self.ensemble.columns.difference(["clip", "frame", "score"])
        expected, name = running[-1], "mean of the iterations"
        if len(parts):
            expected, name = self.ensemble[parts].sum(axis=1).to_numpy(), "sum of its parts"
        off = np.abs(expected - ours)
        limit = ENSEMBLE_TOLERANCE * max(1.0, float(np.abs(ours).max()))
        if not off.max() <= limit:
            clip, frame = index.iloc[int(off.argmax())][["clip", "frame"]]
            words = f"clip {clip}, frame {frame}: the score is not the {name}"
            raise SdorError(f"ensemble: {words}; delete it and run again")
        others = {name: checked_scores(name, one, index) for name, one in self.competitors.items()}
        return {
            **{
                name: checked_scores("initial", self.initial, index, name)
                for name in self.initial.columns
                if name not in ("clip", "frame", "row", "score")
            },
            "initial": checked_scores("initial", self.initial, index),
            **others,
            **{f"iteration_{number}": one for number, one in enumerate(singles, start=1)},
            **{f"ensemble_{number}": one for number, one in enumerate(running, start=1)},
            "ours": ours,
            "ours_smoothed": smooth(ours, index["clip"].to_numpy(dtype=object), sigma),
        }


def labelled_frames(
    clips: pd.DataFrame, scored: pd.DataFrame, ground_truth: pd.DataFrame
) -> tuple[LabelledFrames, BoolArray]:
    """Ground truth beside the scores.

    Parameters
    ----------
    scored : clip and frame of every scored frame, clips in scene order.

    Returns
    -------
    The labelled frames, and (scored frames,) which rows of `scored` they are.

    Raises
    ------
    SdorError : the ground truth has a clip or frame that is not scored, or lacks one.
    """
    known = set(ground_truth["clip"])
    for clip in sorted(known - set(clips["clip"])):
        raise SdorError(f"ground_truth: clip {clip}: not a clip of the scene; check its file")
    labelled = scored["clip"].isin(known).to_numpy()
    check_rows("ground_truth", ground_truth, scored[labelled])
    chosen = clips[clips["clip"].isin(known)]
    position = {clip: index for index, clip in enumerate(chosen["clip"])}
    index = ground_truth["clip"].map(position).to_numpy(dtype=np.int64)
    anomalous = ground_truth["anomalous"].to_numpy() > 0
    split = tuple(str(name) for name in chosen["split"].fillna(""))
    return LabelledFrames(index, anomalous, split), labelled


def checked_scores(
    kind: str, table: pd.DataFrame, index: pd.DataFrame, column: str = "score"
) -> FloatArray:
    """(frames,) scores of a table whose rows are those of the index, all of them finite.

    Frames that follow each other and are equal up to rounding have the same score: they are ties.

    Parameters
    ----------
    kind : what the table is, for messages.
    index : clip and frame of every row that is expected.

    Raises
    ------
    SdorError : a row is missing, stands in another place, or has a score that is not finite.
    """
    check_rows(kind, table, index)
    values = table[column].to_numpy(dtype=float)
    bad = np.flatnonzero(~np.isfinite(values))
    if len(bad):
        row = table.iloc[bad[0]]
        raise SdorError(
            f"{kind}: clip {row['clip']}, frame {row['frame']}: {column} is {values[bad[0]]}; "
            "the training may have diverged: try a lower learning rate"
        )
    # Of Sp and isolation forest alone, the size depends on the features.
    return values[first_alike(values, LEAST_SIZE if column == "score" else 0)]


def check_known(kind: object, table: pd.DataFrame, index: pd.DataFrame) -> None:
    """Refuse a table with a (clip, frame) row that is not in the index, or is there twice.

    A frame of which places are told is there with each of them, and with each `share` of the
    frames that it belongs to.
    """
    found, known = (pd.MultiIndex.from_frame(one[["clip", "frame"]]) for one in (table, index))
    keys = [name for name in ("clip", "frame", "place", "share") if name in table]
    wrong = np.flatnonzero(~found.isin(known) | table.duplicated(keys))
    if len(wrong):
        clip, frame = found[wrong[0]]
        raise SdorError(
            f"{kind}: clip {clip}, frame {frame}: not a frame of the scene, or twice; delete the "
            "file and run the same command again"
        )


def check_rows(kind: str, table: pd.DataFrame, index: pd.DataFrame) -> None:
    """Refuse a table whose (clip, frame) rows are not those of the index, in its order."""
    found, wanted = (one[["clip", "frame"]].to_numpy(dtype=object) for one in (table, index))
    shared = min(len(found), len(wanted))
    wrong = np.flatnonzero((found[:shared] != wanted[:shared]).any(axis=1))
    at = int(wrong[0]) if len(wrong) else shared
    if at == len(found) == len(wanted):
        return
    here, there = (
        "clip {}, frame {}".format(*rows[at]) if at < len(rows) else "the end"
        for rows in (found, wanted)
    )
    raise SdorError(
        f"{kind}: found {here} where {there} belongs ({len(found)} rows, expected {len(wanted)}); "
        "delete the file and run the same command again"
    )
