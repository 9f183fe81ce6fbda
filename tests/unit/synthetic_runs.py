"""Files of small runs, and findings whose values are known, for figures and report."""

import numpy as np
import pandas as pd
from matplotlib.text import Text
from PIL import Image
from synthetic_study import about as what_from

from sdor.files import write_parquet
from sdor.reporting.findings import Findings, typed
from sdor.reporting.runs import Runs
from sdor.study.plan import Comparison, Plan


def write_runs(folder, lengths=(60, 50, 40), splits=("train", "test", "test"), seeds=1, truth=True):
    """A scene at 10 frames a second, two iterations; each test clip ends with an anomaly."""
    runs = Runs("ped2", "paper", tuple(range(seeds)), folder)
    names = [f"clip_{number}" for number in range(len(lengths))]
    clips = pd.DataFrame({"clip": names, "split": splits, "fps": 10.0, "frames": lengths})
    clips = clips.assign(first=1, last=lengths, width=30, height=20, begin=0.0)
    frame = np.concatenate([np.arange(1, length + 1) for length in lengths])
    base = pd.DataFrame({"clip": np.repeat(names, lengths), "frame": frame})
    late = frame > 2 * np.repeat(lengths, lengths) / 3 + 1
    labels = late & (np.repeat(splits, lengths) != "train")
    known = base.assign(anomalous=labels.astype("int8"))[: None if truth else 0]
    write_parquet(folder / "ped2" / "clips.parquet", clips, {"remarks": []})
    times = base.assign(time=(frame - 1) / 10, sampled=True)
    write_parquet(folder / "ped2" / "times.parquet", times, {})
    write_parquet(folder / "ped2" / "ground_truth.parquet", known, {"remarks": []})
    for seed, run in enumerate(runs.folders):
        rng = np.random.default_rng(seed)
        scores = [base.assign(score=rng.normal(size=len(base)) + labels) for _ in range(3)]
        chosen = base.assign(label=(scores[1]["score"] > 0).astype("int8"), weight=1.0).iloc[::2]
        mean = base.assign(score=(scores[1]["score"] + scores[2]["score"]) / 2)
        write_parquet(run / "initial.parquet", scores[0], {})
        write_parquet(run / "ensemble.parquet", mean, {})
        for number in (1, 2):
            place = run / f"iteration{number}"
            write_parquet(place / "scores.parquet", scores[number], {})
            write_parquet(place / "pseudo_labels.parquet", chosen, {})
            history = {"epoch": [1, 2], "loss": [0.5, 0.25 + 0.1 * seed], "seconds": [1.0, 1.0]}
            write_parquet(place / "history.parquet", pd.DataFrame(history), {})
    return runs


def write_feedback(runs):
    """Two rounds of feedback: round 1 marks normal frames, round 2 anomalous ones."""
    marked = [("clip_0", [3, 4, 5]), ("clip_1", [45, 46])]
    for seed, folder in enumerate(runs.folders):
        scores = pd.read_parquet(folder / "iteration2" / "scores.parquet")
        truth = runs.ground_truth["anomalous"].reindex(scores.index, fill_value=0)
        for number, (clip, frames) in enumerate(marked, start=1):
            place = folder / "feedback" / f"round{number}"
            noise = np.random.default_rng(10 * seed + number).normal(size=len(scores))
            better = scores.assign(score=noise + number * truth)
            write_parquet(place / "scores.parquet", better, {})
            label = ("normal", "anomaly")[number - 1]
            lines = [f"{clip},{frame},{label}\n" for frame in frames]
            (place / "marks.csv").write_text("".join(["clip,frame,label\n", *lines]))
    return runs


def write_maps(runs, variants=("paper",)):
    """Stored frames of 12 x 12 pixels, maps of 3 x 3 of each variant, and masks of clip_1.

    The anomaly of its last third is the upper left quarter. Returned: the folder of the masks.
    """
    rng = np.random.default_rng(0)
    scene = runs.results / runs.scene
    (scene / "frames" / "12").mkdir(parents=True)
    for channels, clip in zip((1, 3, 3), runs.clips.itertuples(), strict=True):
        stored = rng.integers(0, 256, (clip.frames, 12, 12, channels), dtype=np.uint8)
        np.save(scene / "frames" / "12" / f"{clip.clip}.npy", stored)
    ranking = pd.read_parquet(runs.folders[0] / "ensemble.parquet")
    for number, variant in enumerate(variants):
        folder = Runs(runs.scene, variant, runs.seeds, runs.results).folders[0]
        other = ranking.assign(score=ranking["score"] * (-1) ** number)
        write_parquet(folder / "ensemble.parquet", other, {})
        maps = rng.normal(size=(len(other), 3, 3)) + other["score"].to_numpy()[:, None, None]
        np.save(folder / "saliency.npy", maps.astype(np.float32))
    masks = scene / "masks"
    masks.mkdir()
    for frame in range(1, 51):
        mask = np.zeros((20, 30), np.uint8)
        mask[:10, :15] = 255 * (frame > 34)
        Image.fromarray(mask).save(masks / f"{frame:03}.png")
    return masks


def run(
    scene="ped1", variant="paper", seed=0, *, start=0.6, end=0.7, split=True, reason="", **about
):
    """What is known of one run of two iterations that goes from `start` to `end`.

    Test-only is 10 points below; intervals are 5 and 8 points to either side. `reason`: why it has
    no value at all. `rate`: the share of anomalous frames (0.3).
    """
    steps = {
        "initial": start,
        "iteration_1": (start + end) / 2,
        "iteration_2": end - 0.02,
        "ensemble_1": (start + end) / 2,
        "ensemble_2": end,
        "ours": end,
    }
    overrides = about.pop("method", {})
    place = {"scene": scene, "variant": variant, "seed": seed}
    counts = {"iterations": 2, "anomaly_rate": about.pop("rate", 0.3)}
    if "anomaly_rate" in overrides:
        counts["anomaly_rate_asked"] = overrides["anomaly_rate"]
    rows = [{**place, "metric": name, "value": count} for name, count in counts.items()]
    for row, value in steps.items():
        for metric, below, wide in (("merged", 0, 0.05), ("test_only", 0.1, 0.08)):
            why = reason or ("" if split or metric == "merged" else "no labelled test clips")
            at = value - below
            cell = {} if why else {"value": at, "low": at - wide, "high": at + wide}
            rows.append({**place, "row": row, "metric": metric, "reason": why, **cell})
    return what_from(scene, variant, seed, overrides), rows


def reported(scene="ped1", variant="paper", auc=0.717, settings="same"):
    """The paper's value beside a run."""
    place = {"scene": scene, "variant": variant, "row": "ours", "metric": "merged", "value": auc}
    return {**place, "source": "reported", "settings": settings}


def findings_of(*runs, beside=(), rates=(), ablations=None):
    """Findings of runs made by `run`, with the paper's values `beside` them."""
    records = [row for _, rows in runs for row in rows]
    studies = {title: Comparison(tuple(names)) for title, names in (ablations or {}).items()}
    plan = Plan("paper", anomaly_rates=Comparison(tuple(rates)), ablations=studies)
    return Findings(typed([*records, *beside]), plan, [about for about, _ in runs])


def words(figure):
    """All that is written in a figure."""
    return " ".join(text.get_text() for text in figure.findobj(Text))
