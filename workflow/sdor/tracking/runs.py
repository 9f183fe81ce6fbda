"""What MLflow is shown of a study: runs with parameters, metrics, words and files.

A run for each scene, variant and seed, below it one for each iteration and each round of feedback,
and one for the whole study. Values come from the findings, loss curves from the histories of the
trainings; the same files always give the same runs.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Self

import pandas as pd

from sdor.evaluation.metrics import COLUMNS
from sdor.files import digest_of, file_sha256, read_parquet
from sdor.reporting.findings import Findings
from sdor.tracking.model import ModelFiles

# Metrics of findings that have another name here.
NAMES = {column: f"auc_{column}" for column in COLUMNS if column != "average_precision"}
PSEUDO = ("anomalous", "normal", "anomalous_precision", "normal_precision")
NAMES |= {name: f"pseudo_{name}" for name in PSEUDO}
SERIES = {"iteration": "by_iteration/", "ensemble": "by_iteration/mean_"}
LOCALISED = {"all_clips": "localisation/", "test_only": "localisation/test_only_"}
ROUNDS = {"": "", "all": "", "unmarked": "unmarked_", "before": "before_", "gain": "gain_"}
# By row, and what it is held against.
FINAL = {("ours", ""): "", ("sp_iforest", ""): "initial/", ("ours", "sp_iforest"): "gain/"}
LEGEND = (
    "`initial/`: the scores before any training; `gain/`: the final scores minus these, paired; "
    "`by_iteration/`: each model alone, and the `mean_` so far; `by_round/`: after each round of "
    "the simulated expert's feedback. Intervals are in the tables of the run `study`."
)
SHOWN_TABLE = "table1.md"  # in the words about the whole study
NOTE_LENGTH = 7500  # characters; MLflow's stores take 8000


class Point(NamedTuple):
    """One value of a metric."""

    name: str
    value: float
    step: int


@dataclass(frozen=True)
class RunFiles:
    """A run of one scene, variant and seed.

    Attributes
    ----------
    artefacts : files that are kept with it.
    model : what its ensemble is put together from, where that is kept too.
    """

    scene: str
    variant: str
    seed: int
    artefacts: Sequence[str] = ()
    model: ModelFiles | None = None

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> Self:
        """From nested mappings with these names."""
        model = document["model"] and ModelFiles(**document["model"])
        return cls(**{**document, "model": model})


@dataclass
class Entry:
    """One run of MLflow's.

    Attributes
    ----------
    place : what it is of: "scene/variant/seed0", "scene/variant/seed0/iteration1".
    key : fingerprint of what it is of and of its scores; a run with this key is this run.
    kind : "run", "iteration", "feedback" or "study".
    parent : place of the entry that it stands below.
    start, end : milliseconds since 1970, from the times of files.
    note : a description, in Markdown.
    """

    place: str
    key: str
    kind: str
    note: str
    start: int = 0
    end: int = 0
    parent: str = ""
    params: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    metrics: list[Point] = field(default_factory=list)
    artefacts: Sequence[str] = ()

    def content(self) -> str:
        """Fingerprint of all that is recorded, but for times: those of copied files may change."""
        files = {path: file_sha256(path) for path in self.artefacts}
        return digest_of([self.metrics, self.params, files])


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
    source = {"device": about.device, "weights": about.weights and about.weights.source}
    params = {**named, **source, **about.method.as_document()}
    prints, versions = about.fingerprints, about.versions
    place = f"{run.scene}/{run.variant}/seed{run.seed}"
    # What is measured later, localisation and feedback, joins the run.
    scores = rows[(rows["way"] == "") & (rows["row"] != "feedback")]
    whole = Entry(
        place=place,
        key=digest_of([place, about.as_document(), scores.to_csv(index=False)]),
        kind="run",
        note=f"{about.description or run.scene}\n\n{LEGEND}\n\nFiles: `results/{place}/`",
        params={key: _text(one) for key, one in params.items()},
        # MLflow takes no quote in a name.
        tags={"fingerprint." + name.replace("'s ", "_"): prints[name] for name in prints}
        | {f"version.{name}": versions[name] for name in versions},
        metrics=_points(rows, _of_run),
        artefacts=run.artefacts,
    )
    iterations = [
        _child(whole, "iteration", t, rows[rows["row"] == f"iteration_{t}"], results)
        for t in range(1, about.method.iterations + 1)
    ]
    rounds = rows[rows["row"] == "feedback"].groupby("round")
    feedback = [_child(whole, "feedback", r, one, results) for r, one in rounds if r]
    whole.start, whole.end = iterations[0].start, max(child.end for child in iterations)
    seconds = sum(child.end - child.start for child in iterations) / 1000
    whole.metrics.append(Point("minutes_of_training", seconds / 60, 0))
    return [whole, *iterations, *feedback]


def study_entry(wholes: Sequence[Entry], artefacts: Sequence[str]) -> Entry:
    """The entry of the whole study: its tables, and the figures over all runs.

    Parameters
    ----------
    wholes : entries of all runs of the study.
    """
    scenes = dict.fromkeys(entry.params["scene"] for entry in wholes)
    shown = [Path(path).read_text() for path in artefacts if Path(path).name == SHOWN_TABLE]
    note = "\n\n".join(["Tables and figures over all runs, under *Artifacts*.", *shown])
    return Entry(
        place="study",
        key=digest_of(["study", sorted(entry.key for entry in wholes)]),
        kind="study",
        note=note[:NOTE_LENGTH],
        start=min(entry.start for entry in wholes),
        end=max(entry.end for entry in wholes),
        params={"scenes": ", ".join(scenes), "runs": str(len(wholes))},
        artefacts=artefacts,
    )


def _child(whole: Entry, kind: str, number: Any, rows: pd.DataFrame, results: Path) -> Entry:
    """The entry of one training: its loss by epoch, and the metrics of its model."""
    part = f"iteration{number}" if kind == "iteration" else f"feedback/round{number}"
    path = results / whole.place / part / "history.parquet"
    history = read_parquet(path, ["epoch", "loss", "seconds"])
    losses = zip(history["epoch"], history["loss"], strict=True)
    end = path.stat().st_mtime_ns // 1_000_000
    return Entry(
        place=f"{whole.place}/{part}",
        key=digest_of([whole.key, part]),
        kind=kind,
        note=f"Training `{part}` of `{whole.place}`, and the scores of its model.",
        start=end - round(1000 * float(history["seconds"].sum())),
        end=end,
        parent=whole.place,
        params={**whole.params, kind: str(number)},
        tags=whole.tags,
        metrics=[Point("by_epoch/loss", float(loss), int(epoch)) for epoch, loss in losses]
        + _points(rows, lambda one: (ROUNDS[one["way"]], 0)),
    )


def _text(value: object) -> str:
    """A setting as a config has it."""
    return value if isinstance(value, str) else json.dumps(value)


def _points(
    rows: pd.DataFrame, where: Callable[[Mapping[Any, Any]], tuple[str, int] | None]
) -> list[Point]:
    """Metrics of findings: `where` says the prefix of a name and its step; None leaves one out."""
    found = [(where(one), one) for one in rows.to_dict("records")]
    return [
        Point(place[0] + NAMES.get(one["metric"], one["metric"]), one["value"], place[1])
        for place, one in found
        if place is not None
    ]


def _of_run(one: Mapping[Any, Any]) -> tuple[str, int] | None:
    row, way = one["row"], one["way"]
    kind, _, t = row.rpartition("_")
    if kind in SERIES:
        return SERIES[kind], int(t)
    if row == "feedback":
        return f"by_round/{ROUNDS[way]}", int(one["round"])
    prefix = LOCALISED[way] if way else FINAL.get((row, one["against"]))
    return None if prefix is None else (prefix, 0)
