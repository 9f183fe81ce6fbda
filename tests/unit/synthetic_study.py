"""A whole study's files from invented scores: real metrics, real draws, in a second."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd

from sdor.evaluation import metrics
from sdor.evaluation.about import About, Subset
from sdor.evaluation.bootstrap import Measure, draw_clips, measure, paired
from sdor.evaluation.evaluate import Evaluation
from sdor.evaluation.localisation import MEASURES
from sdor.files import write_json, write_parquet
from sdor.method.units import between_clips
from sdor.networks.provenance import Provenance
from sdor.reporting.findings import read_findings, write_findings
from sdor.study.plan import EvaluationSettings
from sdor.study.study import read_method

COMPETITORS = {
    "del_giorno_1_w100": 0.2,
    "del_giorno_1_w10": 0.1,
    "unmasking_appearance": 0.3,
    "unmasking_motion": 0.5,
    "unmasking": 0.6,
}
FRAMES = 30
DRAWS = 200


def frames_of(train, test):
    """Clips of 30 frames; the second half of every test clip is anomalous."""
    clips = train + test
    clip = np.repeat(np.arange(clips), FRAMES)
    anomalous = (clip >= train) & (np.tile(np.arange(FRAMES), clips) >= FRAMES // 2)
    return metrics.LabelledFrames(clip, anomalous, ("train",) * train + ("test",) * test)


def scores(frames, strength, seed):
    """Scores that tell anomalies the better, the higher `strength` is, with a mood a clip."""
    rng = np.random.default_rng(seed)
    mood = np.random.default_rng(99).normal(0, 0.5, len(frames.split))
    noise = rng.normal(0, 1, len(frames.clip))
    return strength * frames.anomalous + mood[frames.clip] + noise


def about(scene="ped2", variant="paper", seed=0, overrides=None, **more):
    """What a run came from, with the default method but for the overrides."""
    method = read_method(overrides or {}, "")
    return About(scene, variant, seed, method, overrides or {}, **more)


def evaluation(about, frames, strengths, iterations=2):
    """Metrics and draws of rows that tell anomalies with these strengths.

    Nothing in unmasking is random: it has the same scores in every seed.
    """
    weights = draw_clips(len(frames.split), DRAWS)
    found = {
        row: scores(frames, strength, [0 if "unmasking" in row else about.seed, number])
        for number, (row, strength) in enumerate(strengths.items())
    }
    oracles = {
        "split_oracle": metrics.split_oracle(frames),
        "clip_rate_oracle": metrics.clip_rate_oracle(frames),
    }
    parts = []
    for row, values in {**found, **oracles}.items():
        drawn = pd.DataFrame(metrics.per_draw(values, frames, weights))
        parts.append(drawn.assign(row=row, draw=np.arange(DRAWS)))
    split = frames.split
    counts = {
        "clips": len(split),
        "training_clips": split.count("train"),
        "test_clips": split.count("test"),
        "labelled_clips": len(split),
        "clips_with_anomalies": int((frames.positives > 0).sum()),
        "frames": len(frames.clip),
        "labelled_frames": len(frames.clip),
        "anomalous_frames": int(frames.anomalous.sum()),
        "anomalies": split.count("test"),
    }
    # The first event finds an anomaly, the second none, and so on; no event is like another seed's.
    watched = {
        "anomalies_found": [1, 1, 2, 2, 3, 3],
        "true_events": [1, 1, 2, 2, 3, 3],
        "seconds_watched": [10.0 * number + about.seed for number in range(1, 7)],
    }
    measured = Evaluation(
        about,
        EvaluationSettings(smoothing_sigma=5, bootstrap_draws=DRAWS),
        iterations,
        counts,
        {row: measure(values, frames, weights) for row, values in found.items()},
        {row: measure(one, frames, weights) for row, one in oracles.items()},
        {"ours - initial": paired(found["ours"], found["initial"], frames, weights)},
        [
            {
                "iteration": t,
                "anomalous": 42,
                "anomalous_precision": 0.5 + 0.1 * t,
                "normal": 84,
                "normal_precision": 0.95,
            }
            for t in range(1, iterations + 1)
        ],
        {row: between_clips(values, frames.clip) for row, values in (found | oracles).items()},
        {"initial": watched, "ours": watched},
    )
    return measured, pd.concat(parts)


def write_run(folder, about, frames, strengths):
    """Write `metrics.json` and `draws.parquet` of one run."""
    measured, drawn = evaluation(about, frames, strengths)
    write_json(folder / "metrics.json", measured.as_document())
    write_parquet(folder / "draws.parquet", drawn, {})


def strengths_of(ours, competitors=(), detectors=("sp", "iforest")):
    return {
        **dict(zip(detectors, (0.6, 0.7), strict=True)),
        "initial": 0.8,
        **{row: COMPETITORS[row] for row in competitors},
        **{f"iteration_{number}": ours - 0.2 / number for number in (1, 2)},
        **{f"ensemble_{number}": ours - 0.1 / number for number in (1, 2)},
        "ours": ours,
        "ours_smoothed": ours + 0.4,
    }


def write_study(
    folder,
    scenes,
    variants,
    *,
    seeds=(0, 1),
    competitors=tuple(COMPETITORS),
    main="",
    pooled=(),
):
    """Write the files of every scene, variant and seed.

    Parameters
    ----------
    scenes : name: (training clips, test clips).
    variants : name: (overrides, strength of our method); the main one has the competitors.
    pooled : names of pools, which are made of 8 training and 8 test clips.
    """
    main = main or next(iter(variants))
    made = {"metrics": [], "draws": [], "pooled": []}
    for scene in (*scenes, *pooled):
        for variant, (overrides, ours) in variants.items():
            rate = overrides.get("anomaly_rate")
            for seed in seeds:
                subset = None
                if rate is not None:
                    subset = Subset(rate, rate + 0.002 * seed, 3 + seed, 8, seed)
                run = about(
                    *(scene, variant, seed, overrides),
                    description=f"The scene {scene}, <invented>",
                    device="cpu, fp32",
                    weights=Provenance("resnet50", "<npm>", "f" * 64),
                    versions={"torch": "2.13.0"},
                    fingerprints={"training": "abc123", "evaluation": f"of {scene}"},
                    subset=subset,
                )
                train, test = scenes.get(scene, (8, 8))
                # Each seed of a part of the frames has frames of its own.
                frames = frames_of(train + (seed if rate is not None else 0), test)
                found = (
                    ["speed", "relative_speed"] if "approach" in overrides else ["sp", "iforest"]
                )
                rows = strengths_of(ours, competitors if variant == main else (), found)
                place = folder / scene / variant / f"seed{seed}"
                if scene in pooled:
                    measured, _ = evaluation(run, frames, rows)
                    for way in ("raw", "ranks"):
                        of_way = replace(measured, about=replace(run, way=way), events={})
                        write_json(place / f"{way}.json", of_way.as_document())
                        made["pooled"].append(place / f"{way}.json")
                    continue
                write_run(place, run, frames, rows)
                made["metrics"].append(place / "metrics.json")
                made["draws"].append(place / "draws.parquet")
    return made


def gathered(files, plan, folder):
    """The findings of these files, written and read again."""
    write_findings(files, plan, folder / "findings.parquet")
    return read_findings(folder / "findings.parquet")


def change(path, edit):
    """Let `edit` change what a JSON file holds."""
    content = json.loads(path.read_text())
    edit(content)
    write_json(path, content)


def blind(content):
    """Make the metrics of a scene those of one without ground truth."""
    empty = {column: vars(Measure(reason="no ground truth")) for column in metrics.COLUMNS}
    for part in ("rows", "oracles", "differences"):
        content[part] = dict.fromkeys(content[part], empty)
    content["events"] = {}
    for labels in content["pseudo_labels"]:
        labels.update(anomalous_precision=None, normal_precision=None)
    names = ("labelled_clips", "clips_with_anomalies", "labelled_frames", "anomalous_frames")
    content["counts"].update(dict.fromkeys(names, 0))


def abouts(files, main):
    """What the runs of the main variant came from, as in their files."""
    found = (json.loads(path.read_text())["about"] for path in files["metrics"])
    return [one for one in found if one["variant"] == main]


def write_localisation(files, folder, main="paper", skip=()):
    """Localisation of the main variant on every scene; those to skip have no pixel masks."""
    paths = []
    for one in abouts(files, main):
        found = []
        for less in (0, 0.1):
            value = vars(Measure(0.6 + 0.02 * one["seed"] - less, 0.5, 0.7))
            if one["scene"] in skip:
                value = vars(Measure(reason="no pixel masks"))
            found.append(dict.fromkeys(MEASURES, value))
        content = {"about": one, "settings": {"draws": DRAWS}, "counts": {}, "all_clips": found[0]}
        paths.append(folder / one["scene"] / f"localisation{one['seed']}.json")
        write_json(paths[-1], {**content, "headline": "test_only", "test_only": found[1]})
    return {**files, "localisation": paths}


def write_feedback(files, folder, scene, main="paper"):
    """Two rounds of feedback on one scene, for every seed of the main variant."""
    paths = []
    for one in abouts(files, main):
        if one["scene"] != scene:
            continue
        rounds = []
        for number in range(3):
            value = 0.7 + 0.05 * number + 0.01 * one["seed"]
            measured = {
                part: dict.fromkeys(
                    metrics.COLUMNS, vars(Measure(value - loss, value - 0.1, value + 0.1))
                )
                for part, loss in (("all", 0), ("unmarked", 0.03), ("before_unmarked", 0.06))
            }
            gained = vars(Measure(0.03, -0.01, 0.05 + 0.02 * one["seed"]))
            measured["gain"] = dict.fromkeys(metrics.COLUMNS, gained)
            counts = {"marked": 10 * number, "marked_frames": 75 * number}
            picks = {"anomalous_picks": 5 * number, "normal_picks": 5 * number}
            rounds.append({"round": number, **counts, **picks, **measured})
        paths.append(folder / scene / f"feedback{one['seed']}.json")
        write_json(paths[-1], {"about": one, "settings": {}, "rounds": rounds})
    return {**files, "feedback": paths}
