"""What MLflow is shown of a study: runs with parameters, metrics and files.

A run for each scene, variant and seed, below it one for each iteration and each round of feedback,
and one for the whole study. Values come from the findings, loss curves from the histories of the
trainings; the same files always give the same runs.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from sdor.files import digest_of, read_parquet
from sdor.reporting.findings import Findings


@dataclass(frozen=True)
class RunFiles:
    """Files of a run of one scene, variant and seed.

    Attributes
    ----------
    artefacts : what is kept with it.
    models : of all iterations, where their ensemble is kept too. weights : of the backbone.
    frames : clip: its stored frames, in the scene's order.
    trainable : what differs between the models: "all", "layer4" or "head".
    """

    scene: str
    variant: str
    seed: int
    artefacts: Sequence[str] = ()
    models: Sequence[str] = ()
    weights: str = ""
    frames: Mapping[str, str] = field(default_factory=dict)
    trainable: str = "all"


@dataclass
class Entry:
    """One run of MLflow's.

    Attributes
    ----------
    place : what it is of: "scene/variant/seed0", "scene/variant/seed0/iteration1".
    key : fingerprint of what it is of and of its scores; a run with this key is this run.
    parent : place of the entry that it stands below.
    start, end : milliseconds since 1970, from the times of files.
    metrics : name, value and step of each.
    model : whose ensemble is kept as a model.
    """

    place: str
    key: str
    start: int = 0
    end: int = 0
    parent: str = ""
    params: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    metrics: Sequence[tuple[str, float, int]] = ()
    artefacts: Sequence[str] = ()
    model: RunFiles | None = None


def run_entries(run: RunFiles, findings: Findings, results: Path = Path("results")) -> list[Entry]:
    """The entry of a run, then those of its iterations and rounds of feedback.

    Raises
    ------
    SdorError : a file of the run is missing or damaged.
    """
    named = {"scene": run.scene, "variant": run.variant, "seed": run.seed}
    rows = findings.table[findings.table["value"].notna()]
    for column, value in named.items():
        rows = rows[(rows[column] == value).fillna(False)]
    about = next(one for one in findings.runs if named.items() <= vars(one).items())
    weights = about.weights and about.weights.source
    params = {**named, "weights": weights, "device": about.device, **about.method.as_document()}
    iterations = range(1, about.method.iterations + 1)
    place = f"{run.scene}/{run.variant}/seed{run.seed}"
    # What is measured later, localisation and feedback, joins the run.
    scores = rows[(rows["way"] == "") & (rows["row"] != "feedback")]
    # MLflow takes no quote in a name.
    prints = {name.replace("'s ", "_"): one for name, one in about.fingerprints.items()}
    whole = Entry(
        place=place,
        key=digest_of([place, about.as_document(), scores.to_csv(index=False)]),
        params={
            key: one if isinstance(one, str) else json.dumps(one) for key, one in params.items()
        },
        tags={"sdor.kind": "run", "mlflow.note.content": about.description}
        | {f"fingerprint.{name}": value for name, value in prints.items()}
        | {f"version.{name}": value for name, value in about.versions.items()},
        metrics=_metrics(rows),
        artefacts=run.artefacts,
        model=run if run.models else None,
    )
    trained = {f"iteration{t}": rows[rows["row"] == f"iteration_{t}"] for t in iterations}
    for number, measured in rows[rows["row"] == "feedback"].groupby("round"):
        if number != 0:
            trained[f"feedback/round{number!s}"] = measured
    parts = [_training(whole, part, measured, results) for part, measured in trained.items()]
    whole.start, whole.end = parts[0].start, parts[len(iterations) - 1].end
    return [whole, *parts]


def study_entry(wholes: Sequence[Entry], artefacts: Sequence[str]) -> Entry:
    """The entry of the whole study, beside those of its runs: tables, and figures over all runs."""
    return Entry(
        place="study",
        key=digest_of(["study", sorted(entry.key for entry in wholes)]),
        start=min(entry.start for entry in wholes),
        end=max(entry.end for entry in wholes),
        tags={"sdor.kind": "study"},
        artefacts=artefacts,
    )


def _training(whole: Entry, part: str, measured: pd.DataFrame, results: Path) -> Entry:
    """The entry of one training: its loss by epoch, and the metrics of its model."""
    path = results / whole.place / part / "history.parquet"
    history = read_parquet(path, ["epoch", "loss", "seconds"])
    losses = zip(history["loss"], history["epoch"], strict=True)
    end = path.stat().st_mtime_ns // 1_000_000
    return Entry(
        place=f"{whole.place}/{part}",
        key=digest_of([whole.key, part]),
        start=end - round(1000 * float(history["seconds"].sum())),
        end=end,
        parent=whole.place,
        params={**whole.params, "part": part},
        tags={**whole.tags, "sdor.kind": "feedback" if "/" in part else "iteration"},
        metrics=[*_metrics(measured), *(("loss", loss, epoch) for loss, epoch in losses)],
    )


def _metrics(rows: pd.DataFrame) -> list[tuple[str, float, int]]:
    """Findings as metrics, named by their columns: row[-against][/way]/metric.

    The number of an iteration or round is the step: iteration_2 is step 2 of "iteration".
    """
    parts = rows["row"].str.extract(r"(?P<name>.*?)(?:_(?P<step>\d+))?$")
    steps = parts["step"].astype("Int64").fillna(rows["round"]).fillna(0).astype(int)
    held = rows["against"].where(rows["against"] == "", "-" + rows["against"])
    names = parts["name"] + held + "/" + rows["way"] + "/" + rows["metric"]
    names = names.str.replace("//", "/").str.removeprefix("/")
    return list(zip(names, rows["value"], steps, strict=True))
