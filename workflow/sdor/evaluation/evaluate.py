"""How good the ranking of one run is: every detector, every column, with intervals."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.stats import rankdata

from sdor.errors import SdorError
from sdor.evaluation import metrics
from sdor.evaluation.metrics import Cell, FloatArray, LabelledFrames
from sdor.files import read_about, read_parquet, write_json, write_parquet

COMPARED = ("ours", "sp_iforest")
# Scores are stored as float32; the mean of T of them is exact to a few units in the last place.
ENSEMBLE_TOLERANCE = 1e-4


def evaluate_run(
    clips_path: str | Path,
    ground_truth_path: str | Path,
    initial_path: str | Path,
    score_paths: Sequence[str | Path],
    pseudo_label_paths: Sequence[str | Path],
    ensemble_path: str | Path,
    output: str | Path,
    draws_output: str | Path,
    *,
    smoothing_sigma: float,
    draws: int,
    seed: int,
    about: Mapping[str, Any],
    competitor_paths: Mapping[str, str | Path] | None = None,
    subset_path: str | Path | None = None,
) -> dict[str, Any]:
    """Evaluate the files of one run (scene, variant, seed).

    Writes its `metrics.json`, and a table of every row's figures in every draw of clips (row, draw
    and the columns). Draws are the same for all runs of a scene: any two rows can be paired.

    Parameters
    ----------
    score_paths, pseudo_label_paths : of iterations 1 … T, in that order.
    competitor_paths : further detectors by row name (columns clip, frame, score), if any.
    subset_path : clips and frames that were used, where it is not all of the scene.
    about : what the numbers came from: `scene`, `variant`, `seed` and `method`, and optionally
        `description` (of the scene), `overrides`, `weights`, `fingerprints`, `versions`, `device`.
        Carried through as it is.

    Returns
    -------
    What `metrics.json` holds, see `evaluate`.

    Raises
    ------
    SdorError : a file is missing or damaged, or its rows do not match the others.
    """
    clips, ground_truth = read_parquet(clips_path), read_parquet(ground_truth_path)
    if subset_path is not None:
        clips, ground_truth = _restricted(clips, ground_truth, read_parquet(subset_path))
        about = {**about, **read_about(subset_path)}
    competitors = {name: read_parquet(path) for name, path in (competitor_paths or {}).items()}
    measured, drawn = evaluate(
        clips,
        ground_truth,
        read_parquet(initial_path),
        [read_parquet(path) for path in score_paths],
        read_parquet(ensemble_path),
        pseudo_labels=[read_parquet(path) for path in pseudo_label_paths],
        competitors=competitors,
        smoothing_sigma=smoothing_sigma,
        draws=draws,
        seed=seed,
        about=about,
    )
    write_parquet(draws_output, drawn, {"unit": "fractions of 1"})
    write_json(output, measured)
    return measured


def evaluate(
    clips: pd.DataFrame,
    ground_truth: pd.DataFrame,
    initial: pd.DataFrame,
    iterations: Sequence[pd.DataFrame],
    ensemble: pd.DataFrame,
    *,
    smoothing_sigma: float,
    draws: int,
    seed: int,
    about: Mapping[str, Any],
    pseudo_labels: Sequence[pd.DataFrame] = (),
    competitors: Mapping[str, pd.DataFrame] | None = None,
) -> tuple[dict[str, Any], pd.DataFrame]:
    """Metrics of every detector of one run, ready to be written as JSON, and their draws.

    Parameters
    ----------
    clips : clip, split, frames (and more) of every clip, in scene order.
    ground_truth : clip, frame, anomalous, for the labelled clips only.
    initial : clip, frame, sp, iforest, score of every frame.
    iterations : clip, frame, score of phi_1 … phi_T.
    ensemble : clip, frame, score: the mean of the iterations (Eq. 9).
    smoothing_sigma : of the row "ours_smoothed", in frames, inside each clip.
    draws, seed : of the clip bootstrap.
    pseudo_labels : clip, frame, label that each iteration was trained on.

    Returns
    -------
    metrics : `rows` and `oracles` (row: column: cell of `metrics.measure`), `counts`,
    `pseudo_labels`, `differences`, `iterations` (T), `settings` and `about`.

    Raises
    ------
    SdorError : tables whose rows do not match, or scores that are not finite; the message names
        the kind of file, the clip and the frame.
    """
    _check_clips(clips, ensemble)
    scores = _detectors(initial, iterations, ensemble, competitors or {}, smoothing_sigma)
    frames, labelled = labelled_frames(clips, ensemble, ground_truth)
    weights = metrics.draw_clips(len(frames.split), draws, seed)
    judged = {name: values[labelled] for name, values in scores.items()}
    rows, oracles, drawn = _measure_all(judged, frames, weights)
    left, right = COMPARED
    difference = metrics.paired(judged[left], judged[right], frames, weights)
    measured = {
        "about": dict(about),
        "settings": {"smoothing_sigma": smoothing_sigma, "draws": draws, "bootstrap_seed": seed},
        "iterations": len(iterations),
        "counts": _counts(clips, frames),
        "rows": rows,
        "oracles": oracles,
        "differences": {f"{left} - {right}": difference},
        "pseudo_labels": [
            {"iteration": number, **_precision(table, ensemble, labelled, frames)}
            for number, table in enumerate(pseudo_labels, start=1)
        ],
    }
    return measured, drawn


def evaluate_pool(
    members: Mapping[str, Mapping[str, Any]],
    output: str | Path,
    *,
    ranks: bool,
    smoothing_sigma: float,
    draws: int,
    seed: int,
    about: Mapping[str, Any],
) -> dict[str, Any]:
    """Judge the scores of several scenes, each with a model of its own, as if they were of one.

    Parameters
    ----------
    members : scene: its files `clips`, `ground_truth`, `initial`, `scores` (a list), `ensemble`
        and `competitors` (row name: file). A row that a scene lacks is left out.
    ranks : each scene's scores are replaced by their ranks in [0, 1] first; else they are pooled as
        they are.

    Returns
    -------
    What `output` holds, as of one scene.

    Raises
    ------
    SdorError : see `evaluate`.
    """
    scores: list[dict[str, FloatArray]] = []
    truths: list[LabelledFrames] = []
    tables = []
    for files in members.values():
        clips, ensemble = read_parquet(files["clips"]), read_parquet(files["ensemble"])
        detectors = _detectors(
            read_parquet(files["initial"]),
            [read_parquet(path) for path in files["scores"]],
            ensemble,
            {name: read_parquet(path) for name, path in files["competitors"].items()},
            smoothing_sigma,
        )
        truth, labelled = labelled_frames(clips, ensemble, read_parquet(files["ground_truth"]))
        if ranks:
            detectors = {name: rankdata(one) / len(one) for name, one in detectors.items()}
        scores.append({name: one[labelled] for name, one in detectors.items()})
        truths.append(truth)
        tables.append(clips)
    offsets = np.cumsum([0, *(len(truth.split) for truth in truths)])
    frames = LabelledFrames(
        np.concatenate([one.clip + start for one, start in zip(truths, offsets, strict=False)]),
        np.concatenate([one.anomalous for one in truths]),
        tuple(split for one in truths for split in one.split),
    )
    shared = [name for name in scores[0] if all(name in other for other in scores)]
    pooled = {name: np.concatenate([one[name] for one in scores]) for name in shared}
    weights = metrics.draw_clips(len(frames.split), draws, seed)
    rows, oracles, _ = _measure_all(pooled, frames, weights)
    settings = {"smoothing_sigma": smoothing_sigma, "draws": draws, "bootstrap_seed": seed}
    measured = {
        "about": dict(about),
        "settings": settings,
        "iterations": min(len(files["scores"]) for files in members.values()),
        "counts": _counts(pd.concat(tables), frames),
        "rows": rows,
        "oracles": oracles,
    }
    write_json(output, measured)
    return measured


def labelled_frames(
    clips: pd.DataFrame, scored: pd.DataFrame, ground_truth: pd.DataFrame
) -> tuple[LabelledFrames, npt.NDArray[np.bool_]]:
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
    _check_rows("ground_truth", ground_truth, scored[labelled])
    chosen = clips[clips["clip"].isin(known)]
    position = {clip: index for index, clip in enumerate(chosen["clip"])}
    index = ground_truth["clip"].map(position).to_numpy(dtype=np.int64)
    anomalous = ground_truth["anomalous"].to_numpy() > 0
    split = tuple(str(name) for name in chosen["split"].fillna(""))
    return LabelledFrames(index, anomalous, split), labelled


def _detectors(
    initial: pd.DataFrame,
    iterations: Sequence[pd.DataFrame],
    ensemble: pd.DataFrame,
    competitors: Mapping[str, pd.DataFrame],
    sigma: float,
) -> dict[str, FloatArray]:
    """Row name: (frames,) scores of every detector, in the order of the tables."""
    if not iterations:
        raise SdorError("scores: there is no iteration to evaluate; set iterations to 1 or more")
    singles = [
        _scores(f"scores of iteration {number}", table, ensemble)
        for number, table in enumerate(iterations, start=1)
    ]
    running = np.cumsum(singles, axis=0) / np.arange(1, len(singles) + 1)[:, None]
    ours = _scores("ensemble", ensemble, ensemble)
    off = np.abs(running[-1] - ours)
    worst = int(np.argmax(off))
    if off[worst] > ENSEMBLE_TOLERANCE * max(1.0, float(np.abs(ours).max())):
        row = ensemble.iloc[worst]
        raise SdorError(
            f"ensemble: clip {row['clip']}, frame {row['frame']}: score {ours[worst]:g} is not the "
            f"mean of the iterations ({running[-1][worst]:g}); delete it and run again"
        )
    return {
        "sp": _scores("initial", initial, ensemble, "sp"),
        "iforest": _scores("initial", initial, ensemble, "iforest"),
        "sp_iforest": _scores("initial", initial, ensemble),
        **{name: _scores(name, table, ensemble) for name, table in competitors.items()},
        **{f"iteration_{number}": values for number, values in enumerate(singles, start=1)},
        **{f"ensemble_{number}": values for number, values in enumerate(running, start=1)},
        "ours": ours,
        "ours_smoothed": metrics.smooth(ours, ensemble["clip"].to_numpy(dtype=object), sigma),
    }


def _scores(
    kind: str, table: pd.DataFrame, reference: pd.DataFrame, column: str = "score"
) -> FloatArray:
    _check_rows(kind, table, reference)
    values = table[column].to_numpy(dtype=float)
    bad = np.flatnonzero(~np.isfinite(values))
    if len(bad):
        row = table.iloc[bad[0]]
        raise SdorError(
            f"{kind}: clip {row['clip']}, frame {row['frame']}: {column} is {values[bad[0]]}; "
            "the training may have diverged: try a lower learning rate"
        )
    return values


def _check_rows(kind: str, table: pd.DataFrame, reference: pd.DataFrame) -> None:
    """Refuse a table whose (clip, frame) rows are not those of the reference, in its order."""
    shared = min(len(table), len(reference))
    same = (
        table["clip"].to_numpy(dtype=object)[:shared]
        == reference["clip"].to_numpy(dtype=object)[:shared]
    ) & (table["frame"].to_numpy()[:shared] == reference["frame"].to_numpy()[:shared])
    if len(table) == len(reference) and bool(np.all(same)):
        return
    at = int(np.argmin(same)) if not np.all(same) else shared
    longer = table if at < len(table) else reference
    row = longer.iloc[at]
    trouble = "stands where another frame belongs" if at < shared else "has no counterpart"
    if at >= len(table):
        trouble = "is missing"
    raise SdorError(
        f"{kind}: clip {row['clip']}, frame {row['frame']} {trouble} ({len(table)} rows, expected "
        f"{len(reference)}); delete the file and run the same command again"
    )


def _check_clips(clips: pd.DataFrame, ensemble: pd.DataFrame) -> None:
    """Refuse scores whose clips are not those of the scene, in its order and length."""
    names = clips["clip"].to_numpy(dtype=object)
    expected = np.repeat(names, clips["frames"].to_numpy(dtype=np.int64))
    scored = ensemble["clip"].to_numpy(dtype=object)
    if len(expected) == len(scored) and bool(np.all(expected == scored)):
        return
    counts = ensemble["clip"].value_counts()
    for name, length in zip(names, clips["frames"], strict=True):
        if counts.get(name, 0) != length:
            raise SdorError(
                f"ensemble: clip {name}: {counts.get(name, 0)} frames are scored, the clip has "
                f"{length}; delete the file and run the same command again"
            )
    stranger = next((name for name in counts.index if name not in set(names)), None)
    if stranger is not None:
        raise SdorError(f"ensemble: clip {stranger}: not a clip of the scene; delete the file")
    raise SdorError("ensemble: the clips are not in scene order; delete the file and run again")


def _measure_all(
    scores: Mapping[str, FloatArray], frames: LabelledFrames, weights: FloatArray
) -> tuple[dict[str, dict[str, Cell]], dict[str, dict[str, Cell]], pd.DataFrame]:
    """Cells of the detectors and of the oracles, and a table of the draws of both.

    Each ranking is measured once: the last running mean is the ensemble, the first iteration 1.
    """
    oracles = {
        "split_oracle": metrics.split_oracle(frames),
        "clip_rate_oracle": metrics.clip_rate_oracle(frames),
    }
    known: dict[bytes, tuple[dict[str, Cell], dict[str, FloatArray]]] = {}
    cells, drawn = {}, []
    for name, values in {**scores, **oracles}.items():
        key = values.tobytes()
        if key not in known:
            known[key] = metrics.measure_draws(values, frames, weights)
        cells[name], by_column = known[key]
        columns = {column: by_column.get(column, np.empty(0)) for column in metrics.COLUMNS}
        table = pd.DataFrame(columns)
        drawn.append(table.assign(row=name, draw=np.arange(len(table))))
    order = ["row", "draw", *metrics.COLUMNS]
    rows = {name: cells[name] for name in scores}
    return rows, {name: cells[name] for name in oracles}, pd.concat(drawn)[order]


def _restricted(
    clips: pd.DataFrame, ground_truth: pd.DataFrame, kept: pd.DataFrame
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Clips and ground truth of a part of the frames."""
    counts = kept["clip"].value_counts()
    clips = clips[clips["clip"].isin(counts.index)]
    clips = clips.assign(frames=clips["clip"].map(counts))
    return clips, ground_truth.merge(kept, on=["clip", "frame"])


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


def _precision(
    pseudo_labels: pd.DataFrame,
    scored: pd.DataFrame,
    labelled: npt.NDArray[np.bool_],
    frames: LabelledFrames,
) -> dict[str, float | int | None]:
    """Share of A that is anomalous and of N that is normal, over the labelled frames."""
    truth = scored.loc[labelled, ["clip", "frame"]].assign(anomalous=frames.anomalous)
    known = pseudo_labels.merge(truth, on=["clip", "frame"], how="inner")
    chosen_anomalous = known.loc[known["label"] == 1, "anomalous"]
    chosen_normal = known.loc[known["label"] == 0, "anomalous"]
    return {
        "anomalous": int((pseudo_labels["label"] == 1).sum()),
        "anomalous_precision": float(chosen_anomalous.mean()) if len(chosen_anomalous) else None,
        "normal": int((pseudo_labels["label"] == 0).sum()),
        "normal_precision": float(1 - chosen_normal.mean()) if len(chosen_normal) else None,
    }
