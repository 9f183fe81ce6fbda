"""One table of everything that is printed: `results/findings.parquet`, one value a row.

Tables, figures, the report and the records in MLflow are drawn from it; only curves (ROC, scores
over time, training loss) and saliency maps come from the files of the runs themselves. Columns:

scene : a scene, or a pool of scenes.
variant : a variant; empty where a row is of no run.
seed : empty for what is of no one seed: the paper's figures, and paired differences over all seeds
    (means of the values and of every draw).
row : what was measured: a detector (sp, iforest, sp_iforest, competitors, iteration_t, ensemble_t,
    ours, ours_smoothed), an oracle (split_oracle, clip_rate_oracle), "feedback" (the model after a
    round of it), or empty for counts of the run. For localisation it is ours. Of the paper's
    figures that no run stands beside, the paper's method.
way : how: empty for a scene's frames; "raw", "ranks" for pools; "all_clips", "test_only" for
    localisation; "all", "unmarked", "before", "gain" for feedback (all frames; without those that
    were marked; the scores before any feedback on these; their paired difference).
metric : merged, train_side, test_only, within_clip, average_precision; pixel_auc, pixel_criterion,
    rbdc, tbdc; anomalous_precision, normal_precision and the counts anomalous, normal of the pseudo
    labels (row iteration_t); marked, marked_frames (row feedback); of a run (row empty) the counts
    of `metrics.json`, iterations, draws, smoothing_sigma, anomaly_rate (reached) and, where
    anomalies were left out, anomaly_rate_asked, events_kept, events. Empty for a scene not run.
value, low, high : fractions of 1 (counts are numbers) and the bounds of the 95 % interval.
clips : of within_clip, how many it averages.
draws : of the clip bootstrap, those behind the interval.
against : what a paired difference is taken to: a row, or "variant/row" of another variant; of the
    paper's figures, the table that has them ("table 1", "table 2").
round : of feedback; 0 is before any.
reason : why there is no value, or no interval.
source : "measured", or "reported" by the paper. A reported figure that stands beside a measured one
    has its scene, variant, row and way; the paper's tables as they are have no variant.
settings : of a reported figure, whether it is for the same thing as the run beside it: "same", or
    what is not (the protocol, settings).

The file's metadata hold the plan of the study and what each run came from (`Findings`).
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from sdor.errors import SdorError
from sdor.files import damaged, read_about, read_json, read_parquet, write_parquet
from sdor.reporting.comparisons import Draws, difference, read_draws
from sdor.reporting.tables import (
    PAPERS_BACKBONE,
    TABLE_2,
    TEST_DATA_ALONE,
    Metrics,
    anomaly_rate,
    figure_of,
    groups,
    has_subset,
    paper_method,
    read_metrics,
    reported,
    settings_text,
)
from sdor.study.plan import Plan

Record = dict[str, Any]

TEXTS = ("scene", "variant", "row", "way", "metric", "against", "reason", "source", "settings")
WHOLE_NUMBERS = ("seed", "clips", "draws", "round")
COLUMNS = [
    *("scene", "variant", "seed", "row", "way", "metric", "value", "low", "high", "clips"),
    *("draws", "against", "round", "reason", "source", "settings"),
]
MEASURED, REPORTED = "measured", "reported"
# The columns that paired differences over all seeds are taken of.
JUDGED = ("merged", "test_only")
OURS, INITIAL = "ours", "sp_iforest"
LOCALISED = {"values": "all_clips", "test_only": "test_only"}
FEEDBACK = {"all": "all", "unmarked": "unmarked", "before_unmarked": "before", "gain": "gain"}
QUOTED = ("unmasking", "two_sample_test")  # judged on test data alone, as the upper block is
ALL_UMN = "umn"


@dataclass(frozen=True)
class StudyFiles:
    """Where the results of a whole study lie.

    Attributes
    ----------
    metrics, draws : `metrics.json` and `draws.parquet` of every run, in the same order.
    localisation, feedback : `localisation.json` and `feedback.json` of the runs that have them.
    pooled : metrics of pooled scenes; the file's name is the way ("raw", "ranks").
    """

    metrics: Sequence[str | Path]
    draws: Sequence[str | Path]
    localisation: Sequence[str | Path] = ()
    feedback: Sequence[str | Path] = ()
    pooled: Sequence[str | Path] = ()


@dataclass(frozen=True)
class Findings:
    """What `results/findings.parquet` holds.

    Attributes
    ----------
    table : see the module.
    plan : what stands beside what.
    runs : what each run came from (`about` of its `metrics.json`), in the order of the config.
    """

    table: pd.DataFrame
    plan: Plan
    runs: Sequence[Mapping[str, Any]]


def write_findings(files: StudyFiles, plan: Plan, output: str | Path) -> None:
    """Gather all results of a study in one table, and write it.

    Raises
    ------
    SdorError : a file is missing or damaged, or does not belong to the others.
    """
    findings = gather(files, plan)
    about = {
        "unit": "fractions of 1; counts as they are",
        "plan": plan.as_document(),
        "runs": findings.runs,
    }
    write_parquet(output, findings.table, about)


def gather(files: StudyFiles, plan: Plan) -> Findings:
    """All results of a study, or of a part of it, in one table.

    Raises
    ------
    SdorError : a file is missing or damaged, or does not belong to the others.
    """
    runs = [read_metrics(path) for path in files.metrics]
    draws = read_draws(runs, files.draws)
    pooled = [(Path(path).stem, read_metrics(path)) for path in files.pooled]
    records = [
        *(one for run in runs for one in _of_run(run)),
        *(one for way, run in pooled for one in _of_run(run, way)),
        *(one for path in files.localisation for one in _of_localisation(_part(path, "values"))),
        *(one for path in files.feedback for one in _of_feedback(_part(path, "rounds"))),
        *_differences(groups(runs), draws, plan),
        *_reported_beside([("", run) for run in runs] + pooled, plan),
        *_reported_alone(),
        *({"scene": scene, "reason": why} for scene, why in plan.not_run.items()),
    ]
    return Findings(typed(records), plan, [run["about"] for run in runs])


def read_findings(path: str | Path) -> Findings:
    """Read what `write_findings` wrote.

    Raises
    ------
    SdorError : the file is missing or damaged.
    """
    about = read_about(path)
    try:
        plan, runs = Plan.read(about["plan"]), about["runs"]
    except KeyError as error:
        raise SdorError(damaged(path, error)) from error
    return Findings(read_parquet(path), plan, runs)


def headline_pairs(
    groups_of_scene: Mapping[str, Sequence[Metrics]], main: str
) -> Iterator[tuple[tuple[str, str], tuple[str, str]]]:
    """Pairs of (variant, row) of a scene that are compared; a sentence is about the first one.

    Headline rows are, of the main variant, the final score (also smoothed), the initial detectors,
    the competitors and the last iteration alone, and of every other variant the final score. A
    variant that saw a part of the frames is held against its own initial scores only.
    """
    sides: list[tuple[str, str]] = []
    for variant, group in groups_of_scene.items():
        if has_subset(group):
            continue
        rows = list(group[0]["rows"])
        others = [row for row in rows if not row.startswith(("iteration_", "ensemble_", OURS))]
        headline = [OURS]
        if variant == main:
            headline += [*others, f"iteration_{group[0]['iterations']}", "ours_smoothed"]
        mine = [(variant, row) for row in headline if row in rows]
        sides = [*mine, *sides] if variant == main else [*sides, *mine]
    for number, left in enumerate(sides):
        yield from ((left, right) for right in sides[number + 1 :])


def _of_run(run: Metrics, way: str = "") -> Iterator[Record]:
    """All values of one `metrics.json`, or of one pool."""
    about, settings = run["about"], run["settings"]
    key = {name: about[name] for name in ("scene", "variant", "seed")} | {"way": way}
    counts = {
        **run["counts"],
        "iterations": run["iterations"],
        "draws": settings["draws"],
        "smoothing_sigma": settings["smoothing_sigma"],
    }
    if run["counts"]["labelled_frames"]:
        counts["anomaly_rate"] = anomaly_rate(run)
    if subset := about.get("subset"):
        counts |= {"anomaly_rate_asked": subset["target"]}
        counts |= {name: subset[name] for name in ("events_kept", "events")}
    yield from ({**key, "metric": name, "value": count} for name, count in counts.items())
    for row, cells in {**run["rows"], **run["oracles"]}.items():
        yield from _cells({**key, "row": row}, cells, settings["draws"])
    for pair, cells in run.get("differences", {}).items():
        row, against = pair.split(" - ")
        yield from _cells({**key, "row": row, "against": against}, cells, settings["draws"])
    for labels in run.get("pseudo_labels", []):
        place = {**key, "row": f"iteration_{labels['iteration']}"}
        for name in ("anomalous", "anomalous_precision", "normal", "normal_precision"):
            reason = "no labelled frames" if labels[name] is None else ""
            yield {**place, "metric": name, "value": labels[name], "reason": reason}


def _of_localisation(content: Metrics) -> Iterator[Record]:
    key = _key(content)
    for part, way in LOCALISED.items():
        cells = content.get(part, {})
        yield from _cells({**key, "row": OURS, "way": way}, cells, content["settings"].get("draws"))


def _of_feedback(content: Metrics) -> Iterator[Record]:
    for one in content["rounds"]:
        key = {**_key(content), "row": "feedback", "round": one["round"]}
        for name in ("marked", "marked_frames"):
            yield {**key, "metric": name, "value": one[name]}
        for part, way in FEEDBACK.items():
            yield from _cells({**key, "way": way}, one.get(part, {}), None)


def _cells(key: Record, cells: Mapping[str, Metrics], draws: int | None) -> Iterator[Record]:
    """One record a column of a measured row."""
    for metric, cell in cells.items():
        used = None if draws is None or cell.get("low") is None else draws - cell.get("skipped", 0)
        yield {
            **key,
            "metric": metric,
            **{name: cell.get(name) for name in ("value", "low", "high", "clips")},
            "draws": used,
            "reason": cell.get("reason") or cell.get("interval_reason") or "",
        }


def _differences(
    grouped: Mapping[tuple[str, str], Sequence[Metrics]], draws: Draws, plan: Plan
) -> Iterator[Record]:
    """Paired differences over all seeds of a scene, each once."""
    for scene in dict.fromkeys(scene for scene, _ in grouped):
        here = {variant: group for (its, variant), group in grouped.items() if its == scene}
        whole = [variant for variant, group in here.items() if not has_subset(group)]
        pairs = dict.fromkeys(headline_pairs(here, plan.main))
        pairs |= dict.fromkeys(((one, OURS), (one, INITIAL)) for one in whole)
        for study in plan.ablations.values():
            asked = [variant for variant in study.variants if variant in here]
            against = plan.main if plan.main in asked else next(iter(asked), "")
            others = (variant for variant in asked if variant != against)
            pairs |= dict.fromkeys(((other, OURS), (against, OURS)) for other in others)
        for (left, row), (right, other) in pairs:
            against = other if left == right else f"{right}/{other}"
            key = {"scene": scene, "variant": left, "row": row, "against": against}
            for metric in JUDGED:
                found = difference(here[left], here[right], (row, other), metric, draws)
                values = {name: found[name] for name in ("difference", "low", "high")}
                shares = {n: None if one is None else one / 100 for n, one in values.items()}
                yield {
                    **key,
                    "metric": metric,
                    "value": shares.pop("difference"),
                    **shares,
                    "draws": found["draws"],
                    "reason": found["reason"] or "",
                }


def _reported_beside(runs: Iterable[tuple[str, Metrics]], plan: Plan) -> Iterator[Record]:
    """The paper's figure for each measured row that it has one of."""
    joint = {pool.joint: ALL_UMN for name, pool in plan.pools.items() if name == ALL_UMN}
    seen: set[tuple[str, ...]] = set()
    for way, run in runs:
        about = run["about"]
        scene, variant = str(about["scene"]), str(about["variant"])
        if (scene, variant, way) in seen:
            continue
        seen.add((scene, variant, way))
        known = joint.get(scene, scene)
        backbone = about["method"]["backbone"]
        for row in run["rows"]:
            found = {"table 1": figure_of(1, paper_method(row), known)}
            if row == OURS:
                found["table 2"] = figure_of(2, TABLE_2.get(backbone), known)
            if row == OURS and backbone == PAPERS_BACKBONE:
                found["table 2"] = figure_of(2, backbone, known)
            for table, figure in found.items():
                if figure is not None:
                    same = settings_text(run, row, with_backbone=table == "table 1")
                    key = {"scene": scene, "variant": variant, "row": row, "way": way}
                    yield {**key, **_reported(table, figure), "settings": same}


def _reported_alone() -> Iterator[Record]:
    """The paper's tables as they are."""
    for figure in reported().to_dict("records"):
        quoted = figure["block"] == "labelled normal data" or figure["method"] in QUOTED
        key = {"scene": figure["scene"], "row": figure["method"]}
        key["settings"] = TEST_DATA_ALONE if quoted else ""
        yield {**key, **_reported(f"table {figure['table']}", figure["auc"])}


def _reported(table: str, percent: float) -> Record:
    return {"metric": "merged", "value": percent / 100, "against": table, "source": REPORTED}


def _key(content: Metrics) -> Record:
    return {name: content["about"].get(name) for name in ("scene", "variant", "seed")}


def _part(path: str | Path, key: str) -> dict[str, Any]:
    """Read a JSON file about one run that must hold a key."""
    content = read_json(path)
    try:
        _ = content[key], content["about"]["scene"], content["about"]["variant"]
    except (KeyError, TypeError) as error:
        raise SdorError(damaged(path, error)) from error
    found: dict[str, Any] = content
    return found


def typed(records: Iterable[Record]) -> pd.DataFrame:
    """The records in the columns of the table; what a record lacks is empty."""
    table = pd.DataFrame.from_records([{"source": MEASURED, **one} for one in records])
    table = table.reindex(columns=COLUMNS)
    table = table.astype(dict.fromkeys(WHOLE_NUMBERS, "Int64"))
    table = table.astype(dict.fromkeys(("value", "low", "high"), "float64"))
    table = table.astype(dict.fromkeys(TEXTS, "object"))
    return table.fillna(dict.fromkeys(TEXTS, "")).astype(dict.fromkeys(TEXTS, "str"))
