"""A whole study's files from invented scores: real metrics, real draws, in a second."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd

from sdor.evaluation import metrics
from sdor.files import write_json, write_parquet
from sdor.reporting.paper_tables import StudyFiles
from sdor.study.config import with_defaults

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


def write_run(folder, about, frames, strengths, iterations=2):
    """Write `metrics.json` and `draws.parquet` of rows that tell anomalies with these strengths.

    Nothing in unmasking is random: it has the same scores in every seed.
    """
    weights = metrics.draw_clips(len(frames.split), DRAWS, 0)
    found = {
        row: scores(frames, strength, [0 if "unmasking" in row else about["seed"], number])
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
    content = {
        "about": about,
        "settings": {"smoothing_sigma": 5, "draws": DRAWS, "bootstrap_seed": 0},
        "iterations": iterations,
        "counts": {
            "clips": len(split),
            "training_clips": split.count("train"),
            "test_clips": split.count("test"),
            "labelled_clips": len(split),
            "clips_with_anomalies": int((frames.positives > 0).sum()),
            "frames": len(frames.clip),
            "labelled_frames": len(frames.clip),
            "anomalous_frames": int(frames.anomalous.sum()),
        },
        "rows": {row: metrics.measure(values, frames, weights) for row, values in found.items()},
        "oracles": {row: metrics.measure(one, frames, weights) for row, one in oracles.items()},
        "differences": {
            "ours - sp_iforest": metrics.paired(found["ours"], found["sp_iforest"], frames, weights)
        },
        "pseudo_labels": [
            {
                "iteration": number,
                "anomalous": 42,
                "anomalous_precision": 0.5 + 0.1 * number,
                "normal": 84,
                "normal_precision": 0.95,
            }
            for number in range(1, iterations + 1)
        ],
    }
    write_json(folder / "metrics.json", content)
    write_parquet(folder / "draws.parquet", pd.concat(parts), {})
    return content


def strengths_of(ours, competitors=()):
    return {
        "sp": 0.6,
        "iforest": 0.7,
        "sp_iforest": 0.8,
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
    main=None,
    pooled=(),
    **more,
):
    """Write the files of every scene, variant and seed.

    Parameters
    ----------
    scenes : name: (training clips, test clips), no clip at all for a scene without ground truth.
    variants : name: (overrides, strength of our method); the first one has the competitors.
    pooled : names of pools, which are made of 8 training and 8 test clips.
    """
    main = main or next(iter(variants))
    made = {"metrics": [], "draws": [], "pooled": [], "localisation": [], "feedback": []}
    for scene in (*scenes, *pooled):
        for variant, (overrides, ours) in variants.items():
            rate = overrides.get("anomaly_rate")
            for seed in seeds:
                about = {
                    "scene": scene,
                    "variant": variant,
                    "seed": seed,
                    "description": f"The scene {scene}, <invented>",
                    "method": with_defaults(overrides, "method"),
                    "overrides": overrides,
                    "device": "cpu, fp32",
                    "weights": {"source": "<npm>", "sha256": "f" * 64},
                    "versions": {"torch": "2.13.0"},
                    "fingerprints": {"training": "abc123", "evaluation": f"of {scene}"},
                }
                if rate is not None:
                    kept = {"target": rate, "rate": rate + 0.002 * seed}
                    about["subset"] = {**kept, "events_kept": 3 + seed, "events": 8, "seed": seed}
                rows = strengths_of(ours, competitors if variant == main else ())
                train, test = scenes.get(scene, (8, 8))
                # Each seed of a part of the frames has frames of its own.
                frames = frames_of(train + (seed if rate is not None else 0), test)
                run = folder / scene / variant / f"seed{seed}"
                if scene in pooled:
                    content = write_run(run, about, frames, rows)
                    for way in ("raw", "ranks"):
                        write_json(run / f"{way}.json", content)
                        made["pooled"].append(run / f"{way}.json")
                    continue
                write_run(run, about, frames, rows)
                made["metrics"].append(run / "metrics.json")
                made["draws"].append(run / "draws.parquet")
    return StudyFiles(main=main, **{**made, **more})


def blind(content):
    """The metrics of a scene without ground truth."""
    text = json.loads(json.dumps(content))
    empty = {column: metrics.empty_cell("no ground truth") for column in metrics.COLUMNS}
    for part in ("rows", "oracles", "differences"):
        text[part] = dict.fromkeys(text[part], empty)
    for labels in text["pseudo_labels"]:
        labels.update(anomalous_precision=None, normal_precision=None)
    names = ("labelled_clips", "clips_with_anomalies", "labelled_frames", "anomalous_frames")
    text["counts"].update(dict.fromkeys(names, 0))
    return text


def write_localisation(files, folder, skip=()):
    """Localisation of the main variant on every scene; those to skip have no pixel masks."""
    paths = []
    for path in files.metrics:
        about = json.loads(path.read_text())["about"]
        if about["variant"] != files.main:
            continue
        value = {"value": 0.6 + 0.02 * about["seed"], "low": 0.5, "high": 0.7}
        if about["scene"] in skip:
            value = metrics.empty_cell("no pixel masks")
        names = ("pixel_auc", "pixel_criterion", "rbdc", "tbdc")
        values = dict.fromkeys(names, value)
        if value["value"] is not None:
            value = {**value, "value": value["value"] - 0.1}
        content = {"about": about, "settings": {}, "counts": {}, "values": values}
        content["test_only"] = dict.fromkeys(names, value)
        paths.append(folder / about["scene"] / f"localisation{about['seed']}.json")
        write_json(paths[-1], content)
    return replace(files, localisation=paths)


def write_feedback(files, folder, scene):
    """Two rounds of feedback on one scene, for every seed of the main variant."""
    paths = []
    for path in files.metrics:
        about = json.loads(path.read_text())["about"]
        if (about["scene"], about["variant"]) != (scene, files.main):
            continue
        rounds = []
        for number in range(3):
            value = 0.7 + 0.05 * number + 0.01 * about["seed"]
            measured = {
                part: {
                    column: {"value": value - loss, "low": value - 0.1, "high": value + 0.1}
                    for column in metrics.COLUMNS
                }
                for part, loss in (("all", 0), ("unmarked", 0.03), ("before_unmarked", 0.06))
            }
            gained = {"value": 0.03, "low": -0.01, "high": 0.05 + 0.02 * about["seed"]}
            measured["gain"] = dict.fromkeys(metrics.COLUMNS, gained)
            counts = {"marked": 10 * number, "marked_frames": 75 * number}
            picks = {"anomalous_picks": 5 * number, "normal_picks": 5 * number}
            rounds.append({"round": number, **counts, **picks, **measured})
        paths.append(folder / scene / f"feedback{about['seed']}.json")
        write_json(paths[-1], {"about": about, "settings": {}, "rounds": rounds})
    return replace(files, feedback=paths)
