"""How good the ranking of one run is: every detector, every column, with intervals."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from sdor.evaluation.about import About
from sdor.evaluation.bootstrap import Measure, draw_clips, measure_draws, paired
from sdor.evaluation.events import Watched, anomalies_of, watched
from sdor.evaluation.metrics import (
    COLUMNS,
    FloatArray,
    LabelledFrames,
    clip_rate_oracle,
    split_oracle,
)
from sdor.evaluation.scores import RunTables, check_known, labelled_frames
from sdor.files import write_json, write_parquet
from sdor.method.units import between_clips
from sdor.study.plan import EvaluationSettings
from sdor.study.subset import sampled_frames

Rows = dict[str, dict[str, Measure]]
LabelPurity = dict[str, float | None]


@dataclass(frozen=True)
class Evaluation:
    """What `metrics.json` holds.

    Attributes
    ----------
    iterations : T. counts : of clips and frames.
    rows, oracles, differences : row: column: measure.
    pseudo_labels : of each iteration, how many frames A and N had, and which share of them is right
        (None: unknown); of places, how many these are.
    between_clips : row: share of the variance of its scores that lies between clips.
    events : row: what is found when its first events are watched.
    """

    about: About
    settings: EvaluationSettings
    iterations: int
    counts: Mapping[str, int]
    rows: Rows
    oracles: Rows
    differences: Rows = field(default_factory=dict)
    pseudo_labels: Sequence[LabelPurity] = ()
    between_clips: Mapping[str, float] = field(default_factory=dict)
    events: Mapping[str, Watched] = field(default_factory=dict)

    def as_document(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "about": self.about.as_document()}


def evaluate_run(
    tables: RunTables,
    settings: EvaluationSettings,
    about: About,
    output: str | Path,
    draws_output: str | Path,
    *,
    times: pd.DataFrame,
    lead: float,
) -> Evaluation:
    """Evaluate one run (scene, variant, seed).

    Writes its `metrics.json`, and a table of every row's metrics in every draw of clips (row, draw
    and the columns). Draws are the same for all runs of a scene: any two rows can be paired. Raises
    an SdorError as `evaluate` does.
    """
    measured, drawn = evaluate(tables, settings, about, times=times, lead=lead)
    write_parquet(draws_output, drawn, {"unit": "fractions of 1"})
    write_json(output, measured.as_document())
    return measured


def evaluate(
    tables: RunTables,
    settings: EvaluationSettings,
    about: About,
    *,
    times: pd.DataFrame,
    lead: float,
) -> tuple[Evaluation, pd.DataFrame]:
    """Metrics of every detector of one run, and a table of their draws.

    Parameters
    ----------
    times : clip, frame, time (s in the source; NaN when unknown), sampled (whether it is looked
        at) of all frames.
    lead : seconds that are watched before an event.

    Raises
    ------
    SdorError : tables whose rows do not match, or scores that are not finite; the message names
        the kind of file, the clip and the frame.
    """
    scores = tables.detectors(settings.smoothing_sigma)
    for number, table in enumerate(tables.pseudo_labels, start=1):
        check_known(f"pseudo_labels of iteration {number}", table, tables.index)
    frames, labelled = labelled_frames(tables.clips, tables.index, tables.ground_truth)
    weights = draw_clips(len(frames.split), settings.bootstrap_draws)
    judged = {name: values[labelled] for name, values in scores.items()}
    rows, oracles, drawn = _measure_all(judged, frames, weights)
    truth = tables.index.loc[labelled].assign(anomalous=frames.anomalous)
    clip = tables.index["clip"].to_numpy()
    shares = {name: between_clips(values, clip) for name, values in scores.items()}
    counts, events = _counts(tables.clips, frames), {}
    if len(truth):
        times = sampled_frames(times)
        counts["anomalies"] = int(anomalies_of(truth, times).max())
        for name in ("initial", "ours"):
            events[name] = watched(truth.assign(score=judged[name]), times, lead)
        known = {"split_oracle": split_oracle(frames), "clip_rate_oracle": clip_rate_oracle(frames)}
        shares |= {name: between_clips(one, frames.clip) for name, one in known.items()}
    measured = Evaluation(
        replace(about, subset=tables.subset),
        settings,
        len(tables.scores),
        counts,
        rows,
        oracles,
        {"ours - initial": paired(judged["ours"], judged["initial"], frames, weights)},
        [_purity(number, one, truth) for number, one in enumerate(tables.pseudo_labels, start=1)],
        shares,
        events,
    )
    return measured, drawn


def evaluate_pool(
    members: Sequence[RunTables], settings: EvaluationSettings, about: About, output: str | Path
) -> Evaluation:
    """Judge the scores of several scenes, each with a model of its own, as if they were of one.

    A row that a scene lacks is left out.

    Parameters
    ----------
    members : of each scene.
    about : its `way` is "raw" (scores as they are) or "ranks" (each scene's scores are replaced by
        their ranks in [0, 1] first).

    Raises
    ------
    SdorError : see `evaluate`.
    """
    scores: list[dict[str, FloatArray]] = []
    truths: list[LabelledFrames] = []
    for run in members:
        detectors = run.detectors(settings.smoothing_sigma)
        truth, labelled = labelled_frames(run.clips, run.index, run.ground_truth)
        if about.way == "ranks":
            detectors = {name: rankdata(one) / len(one) for name, one in detectors.items()}
        scores.append({name: one[labelled] for name, one in detectors.items()})
        truths.append(truth)
    offsets = np.cumsum([0, *(len(truth.split) for truth in truths)])
    frames = LabelledFrames(
        np.concatenate([one.clip + start for one, start in zip(truths, offsets, strict=False)]),
        np.concatenate([one.anomalous for one in truths]),
        tuple(split for one in truths for split in one.split),
    )
    shared = [name for name in scores[0] if all(name in other for other in scores)]
    pooled = {name: np.concatenate([one[name] for one in scores]) for name in shared}
    weights = draw_clips(len(frames.split), settings.bootstrap_draws)
    rows, oracles, _ = _measure_all(pooled, frames, weights)
    counts = _counts(pd.concat([run.clips for run in members]), frames)
    iterations = min(len(run.scores) for run in members)
    measured = Evaluation(about, settings, iterations, counts, rows, oracles)
    write_json(output, measured.as_document())
    return measured


def _measure_all(
    scores: Mapping[str, FloatArray], frames: LabelledFrames, weights: FloatArray
) -> tuple[Rows, Rows, pd.DataFrame]:
    """Measures of the detectors and of the oracles, and a table of the draws of both.

    Each ranking is measured once: the last running mean is the ensemble, the first iteration 1.
    """
    oracles = {"split_oracle": split_oracle(frames), "clip_rate_oracle": clip_rate_oracle(frames)}
    known: dict[bytes, tuple[dict[str, Measure], dict[str, FloatArray]]] = {}
    found, drawn = {}, []
    for name, values in {**scores, **oracles}.items():
        key = values.tobytes()
        if key not in known:
            known[key] = measure_draws(values, frames, weights)
        found[name], by_column = known[key]
        table = pd.DataFrame(by_column)
        drawn.append(table.assign(row=name, draw=np.arange(len(table))))
    rows = {name: found[name] for name in scores}
    draws = pd.concat(drawn)[["row", "draw", *COLUMNS]]
    return rows, {name: found[name] for name in oracles}, draws


def _counts(clips: pd.DataFrame, frames: LabelledFrames) -> dict[str, int]:
    split = clips["split"].fillna("")
    return {
        "clips": len(clips),
        "training_clips": int((split == "train").sum()),
        "test_clips": int((split == "test").sum()),
        "labelled_clips": len(frames.split),
        "clips_with_anomalies": int((frames.positives > 0).sum()),
        "frames": int(clips["frames"].sum()),
        "labelled_frames": len(frames.clip),
        "anomalous_frames": int(frames.anomalous.sum()),
    }


def _purity(iteration: int, pseudo_labels: pd.DataFrame, truth: pd.DataFrame) -> LabelPurity:
    """Share of A that is anomalous and of N that is normal, over the labelled frames.

    Of places, their frames are judged, each once.
    """
    frames = pseudo_labels.drop_duplicates(["clip", "frame", "label"])
    known = frames.merge(truth, on=["clip", "frame"], how="inner")

    def share(label: int) -> float | None:
        chosen = known.loc[known["label"] == label, "anomalous"]
        right = chosen.mean() if label else 1 - chosen.mean()
        return None if chosen.empty else float(right)

    counts = frames["label"].value_counts()
    found = {
        "iteration": iteration,
        "anomalous": int(counts.get(1, 0)),
        "anomalous_precision": share(1),
        "normal": int(counts.get(0, 0)),
        "normal_precision": share(0),
    }
    if "place" in pseudo_labels:
        places = pseudo_labels.drop_duplicates(["clip", "frame", "place", "label"])["label"]
        found |= {"anomalous_places": int((places == 1).sum())}
        found |= {"normal_places": int((places == 0).sum())}
    return found
