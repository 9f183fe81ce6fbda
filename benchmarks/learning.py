"""What learning from marks is worth: the first moments of lists, marked by who knows the truth.

Of each scene and model, a row: the AUC of frames that nobody marked before and after rounds of
marks, and what a round of false alarms alone does. What is learnt from (frames, features, looks,
the paper's models) is made by the workflow in the folder, where a second call finds it.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "workflow"))

from sdor.evaluation.bootstrap import draw_clips, measure_draws, with_interval
from sdor.evaluation.events import anomalies_of
from sdor.evaluation.metrics import COLUMNS, LabelledFrames, no_interval
from sdor.evaluation.scores import labelled_frames
from sdor.files import forget_checkpoint, read_parquet
from sdor.method.events import of_clips
from sdor.method.feedback import FIRST_ROUND, labels_of_marks, replayed
from sdor.method.marks import ANOMALY, HEADER, NORMAL, Mark, csv_of, lengths_of, read_marks, widened
from sdor.method.sources import Sources
from sdor.method.training import train_and_score
from sdor.networks.compute import choose_compute
from sdor.operator.basis import read_basis
from sdor.operator.learn import learn_round
from sdor.operator.moments import placed_marks, standing_out
from sdor.operator.rank import rank
from sdor.operator.rounds import changed_ranks
from sdor.study.layout import Run
from sdor.study.settings import EventSettings
from sdor.study.study import Study, read_study, with_scenes

SNAKEFILE = Path(__file__).resolve().parents[1] / "Snakefile"
SHOWN = 20  # moments of a list
AWAY = 2.0  # s from a marked moment, for the stricter of the two measures
REPLAYS: dict[str, float | None] = {"motion": None, "paper-0": 0, "paper-0.3": 0.3, "paper-1": 1}
LAST = ("pseudo_labels.parquet", "model.safetensors")  # of an iteration
HEAD = """\
| scene | model | marks, true | AUC beyond {} frames | beyond {:g} s | false alarms: marks, spread \
| their percentile | true moments lost (their anomaly too) |
|---|---|---|---|---|---|---|---|"""
Learn = Callable[[Sequence[Path]], pd.DataFrame]  # files of rounds to the scores that follow


def main() -> None:
    """Print the table, each row as soon as it is known."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("learning"), help="of what is kept")
    parser.add_argument("--data-root", default=os.environ.get("SDOR_DATA_ROOT", "data"))
    parser.add_argument("--scenes", nargs="+", default=["ped2", "umn1", "umn2", "umn3"])
    parser.add_argument("--models", nargs="+", choices=REPLAYS, default=list(REPLAYS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--marks", type=int, default=8, help="moments of a round")
    parser.add_argument("--epochs", type=int, default=20, help="of the paper's fine-tuning")
    parser.add_argument("--column", choices=COLUMNS, default="merged", help="which AUC")
    parser.add_argument("--cores", type=int, default=os.cpu_count())
    options = parser.parse_args()
    document = {"scenes": options.scenes, "seeds": options.seeds, "main": "head"}
    document["variants"] = {"head": {"trainable": "head"}, "motion": {"approach": "motion"}}
    document["feedback"] = {"epochs": options.epochs}
    os.environ["SDOR_DATA_ROOT"] = str(Path(options.data_root).expanduser().resolve())
    options.folder.mkdir(parents=True, exist_ok=True)
    os.chdir(options.folder)
    Path("config.yaml").write_text(json.dumps(document), encoding="utf-8")
    study = with_scenes(read_study(document, "config.yaml", data_root_given=False))
    make(study, options.cores)
    print(HEAD.format(study.feedback.neighbours, AWAY))
    for scene in study.scenes:
        for name in options.models:
            started = time.monotonic()
            with TemporaryDirectory() as own:
                runs = [Run(study, scene, "head", seed) for seed in study.seeds]
                done = [trial(run, Path(own, str(run.seed)), options, name) for run in runs]
            print(f"| {scene} | {name} | {row(done)} |", flush=True)
            print(f"{scene}, {name}: {time.monotonic() - started:.0f} s", file=sys.stderr)


def make(study: Study, cores: int) -> None:
    """What all trials start from, where it is not there yet."""
    own = ("ground_truth.parquet", "watch/looks.parquet")
    files = [f"results/{scene}/{name}" for scene in study.scenes for name in own]
    runs = [Run(study, scene, "head", seed) for scene in study.scenes for seed in study.seeds]
    files += [f"{run.folder}/ensemble.parquet" for run in runs]
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(SNAKEFILE), "--cores"]
    command += [str(cores), "--configfile", "config.yaml", "--quiet", "all", "--", *files]
    if status := subprocess.run(command, stdout=sys.stderr).returncode:
        sys.exit(status)  # it has said why


def motion(run: Run, own: Path) -> tuple[pd.DataFrame, Learn]:
    """Scores of the approach "motion", as a watchlist has it, and how it learns."""
    watch = Path("results", run.scene, "watch")
    looks, files = watch / "looks.parquet", (own / "model.safetensors", own / "scores.parquet")
    inputs = (looks, watch / "looks"), files, replace(run, variant="motion").motion
    compute, basis = choose_compute(**run.study.compute.as_document()), watch / "basis.safetensors"
    about, say = {"camera": run.scene}, lambda _: None
    scores = rank(*inputs, read_basis(basis), seed=run.seed, compute=compute, about=about, say=say)

    def learn(marks: Sequence[Path]) -> pd.DataFrame:
        outputs = own / "learnt.safetensors", own / "learnt.parquet"
        learn_round(marks, looks, files, outputs, about={}, say=say)
        return read_parquet(outputs[1])

    return scores, learn


def paper(run: Run, own: Path, replay: float) -> tuple[pd.DataFrame, Learn]:
    """Those of the paper's, the ensemble's; its last model learns from all marks so far."""
    times = read_parquet(f"results/{run.scene}/times.parquet")
    settings = replace(run.paper.training, epochs=run.study.feedback.epochs)
    sources = Sources([*map(Path, run.rows)], Path(run.initial), Path(run.weights))
    last, model = (Path(run.each(f"{it}")[-1]) for it in LAST)

    def learn(marks: Sequence[Path]) -> pd.DataFrame:
        labels = labels_of_marks(marks, sources.index, run.study.feedback.neighbours)
        seed = [run.seed, FIRST_ROUND + len(marks)]
        compute = choose_compute(**run.study.compute.as_document())
        labels, rest = replayed(labels, last, replay), {"about": {}, "model": model}
        train_and_score(sources, labels, own, settings, seed=seed, compute=compute, **rest)
        forget_checkpoint(own / "scores.parquet")
        return of_clips(read_parquet(own / "scores.parquet"), times)

    return of_clips(read_parquet(f"{run.folder}/ensemble.parquet"), times), learn


def trial(run: Run, own: Path, options: argparse.Namespace, name: str) -> dict[str, Any]:
    """All that a row says, of one seed."""
    own.mkdir()
    replay = REPLAYS[name]
    before, learn = motion(run, own) if replay is None else paper(run, own, replay)
    truth = read_parquet(f"results/{run.scene}/ground_truth.parquet")
    truth = before[["clip", "frame"]].merge(truth, on=["clip", "frame"])
    truth["anomaly"] = anomalies_of(truth, truth)
    clips = read_parquet(f"results/{run.scene}/clips.parquet")
    frames, labelled = labelled_frames(clips, before, truth)
    now, files = before, list[Path]()
    for number in range(1, options.rounds + 1):
        first = moments(now, files, SHOWN).head(options.marks)
        if len(first):  # else all of the list is marked
            files.append(marked(own / f"round{number}.csv", first, truth))
            now = learn(files)
    marks = read_marks(files, lengths_of(before))
    learnt = widened(marks, before, run.study.feedback.neighbours)[["clip", "frame"]]
    index = pd.MultiIndex.from_frame(before[["clip", "frame"]])
    weights = draw_clips(len(frames.split), run.study.evaluation.bootstrap_draws)
    found: dict[str, Any] = {"marks": len(marks), "true": int(marks["label"].sum()), "gain": []}
    for left in (~index.isin(pd.MultiIndex.from_frame(learnt)), beyond(before, marks)):
        kept = left[labelled]
        rest = LabelledFrames(frames.clip[kept], frames.anomalous[kept], frames.split)
        scores = [one["score"].to_numpy()[labelled][kept] for one in (before, now)]
        (old, drawn), (new, redrawn) = (measure_draws(one, rest, weights) for one in scores)
        values = [one[options.column].value for one in (old, new)]
        gains = redrawn[options.column] - drawn[options.column]
        found["gain"].append((*values, gains, no_interval(rest, options.column)))
    return found | alone(before, learn, truth, options.marks, own)


def alone(
    before: pd.DataFrame, learn: Learn, truth: pd.DataFrame, count: int, own: Path
) -> dict[str, Any]:
    """After a round of the first false alarms alone, however far down the list they are."""
    every = moments(before, [], len(before))
    true = anomalies(every, truth)
    file = marked(own / "alone.csv", every[[not one for one in true]].head(count), truth)
    marks = read_marks([file], lengths_of(before))
    after = learn([file]) if len(marks) else before
    left, rows = beyond(before, marks), placed_marks(before, marks)["row"]
    spreads = [one["score"][left].std() for one in (after, before)]
    ranks = [100 * one["score"].rank(pct=True).iloc[rows].mean() for one in (before, after)]
    now = moments(after, [file], SHOWN)
    still = set[int]().union(*anomalies(now, truth))
    dismissed = marks[["clip", "first", "last"]].itertuples(index=False, name=None)
    changes = changed_ranks(every.head(SHOWN), now, dismissed)
    out = {*changes.loc[changes["change"] == "left", "event"]}
    lost = [its for event, its in zip(every["event"], true, strict=True) if its and event in out]
    of, gone = sum(map(bool, true[:SHOWN])), sum(not its & still for its in lost)
    spread = spreads[0] / spreads[1] if len(marks) else np.nan
    words = f"{len(lost)} of {of} ({gone})"
    return {"false": len(marks), "spread": spread, "ranks": ranks, "lost": words}


def moments(scores: pd.DataFrame, files: Sequence[Path], count: int) -> pd.DataFrame:
    """The list after rounds of marks, without what was marked."""
    placed = placed_marks(scores, read_marks(files, lengths_of(scores)))
    blocked = scores["blocked"].to_numpy() if "blocked" in scores else None
    found = standing_out(scores, EventSettings(count, "scene", 0.0), blocked, placed)
    return found[found["mark"] == ""]


def marked(file: Path, found: pd.DataFrame, truth: pd.DataFrame) -> Path:
    """A round in which moments are marked truthfully, written to a file."""
    label = [ANOMALY if one else NORMAL for one in anomalies(found, truth)]
    found = found.assign(frame=found["peak"], label=label)
    rows = found[["event", "clip", "frame", "first", "last", "label"]].to_dict("records")
    file.write_text(HEADER + csv_of(Mark(by="truth", **one) for one in rows), encoding="utf-8")
    return file


def anomalies(found: pd.DataFrame, truth: pd.DataFrame) -> list[set[int]]:
    """Numbers of the anomalies that each moment shares a frame with."""
    hot = truth[truth["anomaly"] > 0]
    spans = found[["clip", "first", "last"]].to_numpy()
    within = [(hot["clip"] == clip) & hot["frame"].between(*ends) for clip, *ends in spans]
    return [{*hot.loc[one, "anomaly"].tolist()} for one in within]


def beyond(scores: pd.DataFrame, marks: pd.DataFrame) -> np.ndarray:
    """(frames,) which are more than `AWAY` from all marked moments."""
    seconds, stretch = scores["seconds"].to_numpy(), scores["stretch"].to_numpy()
    left = np.ones(len(scores), dtype=bool)
    for begin, end in placed_marks(scores, marks)[["begin", "end"]].to_numpy():
        near = (seconds >= seconds[begin] - AWAY) & (seconds <= seconds[end] + AWAY)
        left &= ~(near & (stretch == stretch[begin]))
    return left


def row(done: Sequence[dict[str, Any]]) -> str:
    """Means of the seeds, with the interval of the mean gain."""
    names = ("marks", "true", "false", "spread", "ranks")  # NaN where there is no false alarm
    mean: Any = {name: np.nanmean([one[name] for one in done], axis=0) for name in names}
    cells = ["{marks:.3g}, {true:.3g}".format(**mean)]
    for each in zip(*(one["gain"] for one in done), strict=True):
        old, new, gains, reasons = zip(*each, strict=True)
        if None in old:
            cells.append("one class only")
            continue
        before, after = 100 * np.mean(old), 100 * np.mean(new)
        reason = next(filter(None, reasons), None)
        gain = with_interval(after - before, 100 * np.mean(gains, axis=0), reason)
        ends = f" [{gain.low:+.2f}, {gain.high:+.2f}]" if gain.low is not None else ""
        cells.append(f"{before:.1f} → {after:.1f}: {gain.value:+.2f}{ends}")
    cells.append("{false:.3g}, {spread:.2f}".format(**mean))
    cells.append(" → ".join(f"{one:.0f}" for one in mean["ranks"]))
    return " | ".join([*cells, ", ".join(one["lost"] for one in done)])


if __name__ == "__main__":
    main()
