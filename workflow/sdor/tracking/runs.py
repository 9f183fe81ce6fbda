"""What MLflow is shown of the results: runs with their parameters, figures, words and files.

One entry for each run of a scene, variant and seed, below it one for each iteration and each round
of feedback, and one for the whole study with its tables. All is read from files; the same files
always give the same entries.
"""

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from sdor.errors import SdorError
from sdor.evaluation.metrics import COLUMNS
from sdor.files import damaged, digest_of, file_sha256, read_json, read_parquet

COLUMN_NAMES = {
    column: column if column == "average_precision" else f"auc_{column}" for column in COLUMNS
}
SHOWN_TABLE = "table1.md"  # in the words about the whole study
NOTE_LENGTH = 7500  # characters; MLflow's stores take 8000


class Point(NamedTuple):
    """One value of a metric; `time` in milliseconds since 1970."""

    name: str
    value: float
    step: int
    time: int


@dataclass
class Part:
    """Metrics and artefacts of a run that are recorded together.

    Attributes
    ----------
    digest : of the content that they come from: recorded again only when it changes.
    artefacts : files, by the folder that they are put into ("" is the top).
    """

    digest: str
    metrics: list[Point] = field(default_factory=list)
    artefacts: list[tuple[Path, str]] = field(default_factory=list)


@dataclass
class Entry:
    """One run of MLflow's.

    Attributes
    ----------
    place : what it is of: "scene/variant/seed0", "scene/variant/seed0/iteration1".
    key : fingerprint of what it is of and of its result; a run with this key is this run.
    parent : place of the entry that it stands below.
    start, end : milliseconds since 1970, from the times of files.
    note : a description, in Markdown.
    dataset : name, fingerprint, source and size of what it was trained on.
    """

    place: str
    key: str
    name: str
    start: int
    end: int
    note: str
    parent: str | None = None
    params: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    parts: dict[str, Part] = field(default_factory=dict)
    dataset: dict[str, Any] | None = None


def run_entries(run: Mapping[str, Any], results: Path = Path("results")) -> list[Entry]:
    """The entry of one run of a scene, variant and seed, then those of its iterations and rounds.

    Parameters
    ----------
    run : scene, variant, seed; figures (paths of pictures); localisation and feedback (paths of
        their JSON files, or None).

    Raises
    ------
    SdorError : a file of the run is missing or damaged.
    """
    place = f"{run['scene']}/{run['variant']}/seed{run['seed']}"
    folder = results / place
    path = folder / "metrics.json"
    measured = read_json(path)
    identity = [run["scene"], run["variant"], run["seed"], digest_of(measured)]
    params = _params(measured["about"])
    iterations = [
        _iteration(t, folder, results / "benchmarks" / place, measured, identity, params)
        for t in range(1, measured["iterations"] + 1)
    ]
    whole = _run(run, place, path, measured, identity, params, [one for one, _ in iterations])
    trained = sum(one.frames for _, one in iterations)
    seconds = sum(one.seconds for _, one in iterations)
    whole.parts["metrics"].metrics += _points(
        {
            "minutes_of_training": round(seconds / 60, 3),
            "frames_per_second": _rate(trained, seconds),
        },
        0,
        whole.end,
    )
    rounds = []
    if run["feedback"]:
        rounds = _feedback(Path(run["feedback"]), folder, whole, identity, params)
    return [whole, *(one for one, _ in iterations), *rounds]


def study_entry(entries: Sequence[Entry], tables: Sequence[str], figures: Sequence[str]) -> Entry:
    """The entry of the whole study: its tables, and the figures over all runs.

    Parameters
    ----------
    entries : of all runs of the study.
    """
    wholes = [entry for entry in entries if entry.parent is None]
    scenes = list(dict.fromkeys(entry.params["scene"] for entry in wholes))
    times = [_mtime(Path(path)) for path in tables]
    listed = ", ".join(scenes) if len(scenes) <= 3 else f"{len(scenes)} scenes"
    artefacts = [(Path(path), "tables") for path in tables]
    artefacts += [(Path(path), "figures") for path in figures]
    note = "Tables and figures over all runs, under *Artifacts*."
    for path in tables:
        if Path(path).name == SHOWN_TABLE:
            note += "\n\n" + Path(path).read_text().strip()
    return Entry(
        place="study",
        key=digest_of(["study", sorted(entry.key for entry in wholes)]),
        name=f"study · {listed}",
        start=min(times),
        end=max(times),
        note=note[:NOTE_LENGTH],
        params={"scenes": ", ".join(scenes), "runs": str(len(wholes))},
        tags={"sdor.kind": "study"},
        parts={"artefacts": _artefacts(artefacts)},
    )


class _Trained(NamedTuple):
    frames: int
    seconds: float


def _run(
    run: Mapping[str, Any],
    place: str,
    path: Path,
    measured: Mapping[str, Any],
    identity: list[Any],
    params: dict[str, str],
    iterations: Sequence[Entry],
) -> Entry:
    end = _mtime(path.with_name("ensemble.parquet"))
    about = measured["about"]
    parts = {
        "metrics": Part(digest_of(identity), _run_metrics(measured, end)),
        "artefacts": _artefacts(
            [(path, ""), *((Path(figure), "figures") for figure in run["figures"])]
        ),
    }
    if run["localisation"]:
        located = read_json(run["localisation"])
        parts["localisation"] = Part(
            digest_of(located),
            _cells(located["all_clips"], "localisation/", 0, _mtime(Path(run["localisation"]))),
            [(Path(run["localisation"]), "")],
        )
    return Entry(
        place=place,
        key=digest_of(identity),
        name=place,
        start=min(iteration.start for iteration in iterations),
        end=end,
        note=_note(place, measured),
        params=params,
        tags={"sdor.kind": "run", **_tags(about)},
        parts=parts,
        dataset={
            "name": run["scene"],
            "digest": about["fingerprints"]["video"],
            "source": about.get("description") or run["scene"],
            "frames": measured["counts"]["frames"],
        },
    )


def _iteration(
    t: int,
    folder: Path,
    benchmarks: Path,
    measured: Mapping[str, Any],
    identity: list[Any],
    params: dict[str, str],
) -> tuple[Entry, _Trained]:
    path = folder / f"iteration{t}" / "history.parquet"
    history = read_parquet(path)
    labels = measured["pseudo_labels"][t - 1]
    method = measured["about"]["method"]
    trained = _trained(history, labels["anomalous"] + labels["normal"], method)
    usage = _benchmark(benchmarks / f"iteration{t}" / "train.tsv")
    end = _mtime(path.with_name("scores.parquet"))
    rows = measured["rows"]
    metrics = _history_points(history, end)
    metrics += _cells(rows[f"iteration_{t}"], "", 0, end)
    metrics += _cells(rows[f"ensemble_{t}"], "mean_", 0, end)
    metrics += _points(_precisions(labels), 0, end)
    metrics += _points(
        {
            "seconds_of_training": trained.seconds,
            "frames_per_second": _rate(*trained),
            "seconds_in_all": usage.get("s"),
            "peak_memory_mb": usage.get("max_rss"),
        },
        0,
        end,
    )
    key = digest_of([*identity, "iteration", t])
    place = f"{identity[0]}/{identity[1]}/seed{identity[2]}"
    entry = Entry(
        place=f"{place}/iteration{t}",
        key=key,
        name=f"iteration {t} · {place}",
        start=end - round(1000 * (usage.get("s") or trained.seconds)),
        end=end,
        note=(
            f"Self-training iteration {t} of `{place}`: the model phi_{t} alone; `mean_` is the "
            f"mean of phi_1 … phi_{t}."
        ),
        parent=place,
        params={**params, "iteration": str(t)},
        tags={"sdor.kind": "iteration", "iteration": str(t), **_tags(measured["about"])},
        parts={"metrics": Part(key, metrics)},
    )
    return entry, trained


def _feedback(
    path: Path, folder: Path, whole: Entry, identity: list[Any], params: dict[str, str]
) -> list[Entry]:
    """Add the simulated expert's rounds to the run as series; returns an entry of each."""
    found = read_json(path)
    content = digest_of(found)
    part = Part(content, artefacts=[(path, "")])
    entries = []
    for one in found["rounds"]:
        number = one["round"]
        time = _mtime(path)
        metrics = [
            *_cells(one["all"], "by_round/", number, time),
            *_cells(one["unmarked"], "by_round/unmarked_", number, time),
            *_cells(one["gain"], "by_round/gain_", number, time),
        ]
        part.metrics += metrics
        if number == 0:
            continue
        history = read_parquet(folder / "feedback" / f"round{number}" / "history.parquet")
        end = _mtime(folder / "feedback" / f"round{number}" / "scores.parquet")
        counts = {key: one[key] for key in ("marked", "marked_frames")}
        key = digest_of([*identity, "feedback", number, content])
        entries.append(
            Entry(
                place=f"{whole.place}/feedback{number}",
                key=key,
                name=f"feedback round {number} · {whole.place}",
                start=end - round(1000 * float(history["seconds"].sum())),
                end=end,
                note=(
                    f"Round {number} of feedback from a simulated expert on `{whole.place}`. "
                    "`unmarked_` leaves out every frame marked so far; `gain_` is the difference "
                    "to the scores before any feedback on those same frames."
                ),
                parent=whole.place,
                params={
                    **params,
                    **{f"feedback.{key}": _text(value) for key, value in found["settings"].items()},
                    "round": str(number),
                },
                tags={**whole.tags, "sdor.kind": "feedback", "round": str(number)},
                parts={
                    "metrics": Part(
                        key,
                        [
                            *_history_points(history, end),
                            *_cells(one["all"], "", 0, end),
                            *_cells(one["unmarked"], "unmarked_", 0, end),
                            *_cells(one["gain"], "gain_", 0, end),
                            *_points(counts, 0, end),
                        ],
                    )
                },
            )
        )
    whole.parts["feedback"] = part
    return entries


def _run_metrics(measured: Mapping[str, Any], time: int) -> list[Point]:
    rows = measured["rows"]
    points = [
        *_cells(rows["ours"], "", 0, time, "interval/"),
        *_cells(rows["sp_iforest"], "initial/", 0, time, "interval/initial_"),
        *_cells(measured["differences"]["ours - sp_iforest"], "gain/", 0, time, "interval/gain_"),
    ]
    for t, labels in enumerate(measured["pseudo_labels"], start=1):
        points += _cells(rows[f"iteration_{t}"], "by_iteration/", t, time)
        points += _cells(rows[f"ensemble_{t}"], "by_iteration/mean_", t, time)
        points += _points(_precisions(labels, "by_iteration/"), t, time)
    return points


def _params(about: Mapping[str, Any]) -> dict[str, str]:
    named = {key: about[key] for key in ("scene", "variant", "seed", "device")}
    named["weights"] = about["weights"]["source"]
    return {key: _text(value) for key, value in {**named, **about["method"]}.items()}


def _tags(about: Mapping[str, Any]) -> dict[str, str]:
    """What the run is and what it came from, under names that MLflow takes."""
    prints = {
        name.replace("'s", "").replace(" ", "_"): about["fingerprints"][name]
        for name in about["fingerprints"]
    }
    return {
        **{key: _text(about[key]) for key in ("scene", "variant", "seed")},
        **{f"fingerprint.{name}": value for name, value in prints.items()},
        "weights.source": about["weights"]["source"],
        "weights.sha256": about["weights"]["sha256"] or "none",
        **{f"version.{name}": version for name, version in about["versions"].items()},
    }


def _note(place: str, measured: Mapping[str, Any]) -> str:
    about, counts = measured["about"], measured["counts"]
    overrides = ", ".join(f"{key}: {_text(value)}" for key, value in about["overrides"].items())
    ours, initial = measured["rows"]["ours"]["merged"], measured["rows"]["sp_iforest"]["merged"]
    if ours["value"] is None:
        result = f"No AUC: {ours['reason']}."
    else:
        result = f"Merged AUC **{_percent(ours)}**, of the initial scores {_percent(initial)}."
    return "\n\n".join(
        [
            f"{about.get('description') or about['scene']}: {counts['frames']:,} frames of "
            f"{counts['clips']} clips. Variant `{about['variant']}`"
            f"{f' ({overrides})' if overrides else ''}, seed {about['seed']}.",
            result,
            "| metric | what it is |\n|---|---|\n"
            "| `auc_merged` | all frames together, the paper's figure |\n"
            "| `auc_test_only` | frames of test clips alone |\n"
            "| `auc_train_side` | anomalous frames against those of training clips |\n"
            "| `auc_within_clip` | mean over clips that hold both classes |\n"
            "| `interval/` | bounds of 95 % intervals, from resampled clips |\n"
            "| `initial/` | the scores before any training |\n"
            "| `gain/` | the final scores minus the initial ones, paired |\n"
            "| `by_iteration/` | each model alone, the `mean_` of the models so far, and the share "
            "of pseudo labels that is right |\n"
            "| `by_round/` | after each round with the simulated expert; `unmarked_`: without the "
            "frames marked so far; `gain_`: against the scores before, on those frames |",
            f"Files: `results/{place}/`",
        ]
    )


def _percent(cell: Mapping[str, Any]) -> str:
    interval = ""
    if cell.get("low") is not None:
        interval = f" ({100 * cell['low']:.1f} to {100 * cell['high']:.1f})"
    return f"{100 * cell['value']:.1f} %{interval}"


def _trained(history: pd.DataFrame, labelled: int, method: Mapping[str, Any]) -> _Trained:
    """Frames drawn in all epochs, and the seconds that took."""
    steps = method["steps_per_epoch"]
    if steps == "auto":
        steps = math.ceil(labelled / method["batch_size"])
    return _Trained(len(history) * steps * method["batch_size"], float(history["seconds"].sum()))


def _rate(frames: int, seconds: float) -> float | None:
    return round(frames / seconds, 1) if seconds > 0 else None


def _history_points(history: pd.DataFrame, end: int) -> list[Point]:
    points = []
    left = 1000 * (history["seconds"].sum() - history["seconds"].cumsum())
    for epoch, loss, seconds, before_end in zip(
        history["epoch"], history["loss"], history["seconds"], left, strict=True
    ):
        values = {"by_epoch/loss": loss, "by_epoch/seconds": seconds}
        points += _points(values, int(epoch), end - round(before_end))
    return points


def _precisions(labels: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    return {
        f"{prefix}pseudo_{kind}_precision": labels[f"{kind}_precision"]
        for kind in ("anomalous", "normal")
    }


def _cells(
    cells: Mapping[str, Mapping[str, Any]], prefix: str, step: int, time: int, interval: str = ""
) -> list[Point]:
    """Metrics of the cells that have a value.

    Parameters
    ----------
    interval : prefix of the bounds of the 95 % interval; without one, they are left out.
    """
    values: dict[str, float | None] = {}
    for column, cell in cells.items():
        name = COLUMN_NAMES.get(column, column)
        values[prefix + name] = cell["value"]
        if interval:
            values |= {f"{interval}{name}_{bound}": cell.get(bound) for bound in ("low", "high")}
    return _points(values, step, time)


def _points(values: Mapping[str, float | None], step: int, time: int) -> list[Point]:
    return [
        Point(name, float(value), step, time) for name, value in values.items() if value is not None
    ]


def _artefacts(files: list[tuple[Path, str]]) -> Part:
    hashed = hashlib.sha256()
    for path, folder in files:
        try:
            hashed.update(f"{folder}/{path.name} {file_sha256(path)}\n".encode())
        except OSError as error:
            raise SdorError(damaged(path, error)) from error
    return Part(hashed.hexdigest()[:16], artefacts=files)


def _benchmark(path: Path) -> dict[str, float]:
    """Seconds (s) and peak memory in MB (max_rss) of a job, where it was measured."""
    try:
        table = pd.read_csv(path, sep="\t", na_values="-").iloc[-1]
    except (OSError, ValueError, IndexError):
        return {}
    return {
        name: float(table[name])
        for name in ("s", "max_rss")
        if name in table and pd.notna(table[name])
    }


def _mtime(path: Path) -> int:
    """When a file was written, in milliseconds since 1970."""
    try:
        return path.stat().st_mtime_ns // 1_000_000
    except OSError as error:
        raise SdorError(damaged(path, error)) from error


def _text(value: Any) -> str:
    """A setting as YAML would have it."""
    words = {None: "none", True: "true", False: "false"}
    return words[value] if value is None or isinstance(value, bool) else str(value)
