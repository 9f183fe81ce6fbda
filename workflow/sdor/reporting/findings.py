"""One table of everything that is printed: `results/findings.parquet`, one value a row.

Tables, figures, the report and the records in MLflow are drawn from it; only curves (ROC, scores
over time, training loss) and saliency maps come from the files of the runs themselves. Columns:

scene : a scene, or a pool of scenes.
variant : a variant; empty where a row is of no run.
seed : empty for what is of no one seed: the paper's values, and paired differences over all seeds
    (of the means of their values, and of the means of every draw).
row : what was measured: a detector (sp, iforest, or speed, relative_speed, appearance of the
    approach "motion"; initial, which joins them; competitors, iteration_t, ensemble_t, ours,
    ours_smoothed), an oracle (split_oracle, clip_rate_oracle), "feedback" (the model after a
    round of it), or empty for counts of the run. For localisation it is ours. Of the paper's
    values that no run stands beside, the paper's method.
way : how: empty for a scene's frames; "raw", "ranks" for pools; "all_clips", "test_only" for
    localisation; "all", "unmarked", "before", "gain" for feedback (all frames; without those that
    were marked; the scores before any feedback on these; their paired difference); "first_5",
    "first_10", "first_20" for what is found when so many events are watched.
metric : merged, train_side, test_only, within_clip, average_precision, macro_auc, eer (the lower,
    the better); between_clips (share of the variance of the scores of all frames); pixel_auc,
    pixel_criterion, rbdc, tbdc, rbdc_boxes, tbdc_boxes; anomalous_precision, normal_precision and
    the counts anomalous, normal (of frames) and anomalous_places, normal_places of the pseudo
    labels (row iteration_t); anomalies_found, true_events, seconds_watched (rows initial and ours);
    marked, marked_frames (row feedback); of a run (row empty) the counts
    of `metrics.json`, iterations, draws, smoothing_sigma, anomaly_rate (reached) and, where
    anomalies were left out, anomaly_rate_asked, events_kept, events. Empty for a scene not run.
value, low, high : fractions of 1 (counts are numbers) and the bounds of the 95 % interval.
clips : of within_clip and macro_auc, how many they average.
draws : of the clip bootstrap, those behind the interval.
against : empty for a plain value; of a paired difference, what it is taken to: a row, or
    "variant/row" of another variant. Of the paper's values "table 1" or "table 2".
round : of feedback; 0 is before any.
reason : why there is no value, or no interval.
source : "measured", or "reported" by the paper. A reported value with a scene, variant, row and
    way stands beside the measured one of these: that of the run's own backbone (against is empty),
    and that of Table 1, which is of ResNet-50. The paper's tables as they are have no variant.
settings : of a reported value, whether it is for the same thing as the run beside it: "same", or
    what is not (the protocol, settings).

The file's metadata hold the plan of the study and what each run came from.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain, combinations, product, starmap
from pathlib import Path
from statistics import fmean, stdev
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from sdor.errors import SdorError
from sdor.evaluation.about import About
from sdor.evaluation.bootstrap import Measure, mean_draws, read_draws, with_interval
from sdor.evaluation.events import FIRST, after
from sdor.evaluation.metrics import COLUMNS as METRICS
from sdor.evaluation.metrics import FloatArray
from sdor.files import damaged, read_about, read_json, read_parquet, write_parquet
from sdor.reporting.reported import (
    OTHER_PROTOCOL,
    PAPERS_BACKBONE,
    QUOTED_BLOCK,
    TABLE_2,
    TEST_DATA_ALONE,
    paper_method,
    paper_values,
    reported,
    settings_text,
)
from sdor.study.plan import Plan

COLUMNS = "scene variant seed row way metric value low high clips draws against round reason"
SCHEMA = (
    dict.fromkeys((*COLUMNS.split(), "source", "settings"), "str")
    | dict.fromkeys(("value", "low", "high"), "float64")
    | dict.fromkeys(("seed", "clips", "draws", "round"), "Int64")
)
MEASURED, REPORTED = "measured", "reported"
# The columns that paired differences over all seeds are taken of.
JUDGED = ("merged", "test_only", "within_clip")
OURS, INITIAL = "ours", "initial"
ALL_UMN = "umn"  # the paper's value for all scenes of UMN
LOCALISED = ("all_clips", "test_only")
MARKED = ("marked", "marked_frames")
FEEDBACK = {"all": "all", "unmarked": "unmarked", "before_unmarked": "before", "gain": "gain"}
PERCENT = (
    *(*METRICS, "pixel_auc", "pixel_criterion"),
    *("rbdc", "tbdc", "rbdc_boxes", "tbdc_boxes"),
    *("anomalous_precision", "normal_precision", "anomaly_rate", "anomaly_rate_asked"),
    "between_clips",
)
# Nothing in these is random: all seeds have the same values, so they have no spread.
SEEDLESS = ("split_oracle", "clip_rate_oracle", "unmasking", "speed", "relative_speed")
ORACLES = ("split_oracle", "clip_rate_oracle")
STEPS = ("iteration_", "ensemble_")
NOT_RUN = "not run"

Side = tuple[str, str]  # variant, row
Record = dict[str, object]
Result = tuple[About, Any]  # a JSON file about one run: what it is of, and all of it
Draws = Mapping[str, FloatArray]


# "metrics" and "draws": these files of every run, in the same order; and "localisation", "feedback"
# and "pooled", of those that have them.
StudyFiles = Mapping[str, Sequence[str | Path]]


class Key(NamedTuple):
    """What a finding is about; see the module."""

    scene: str
    variant: str = ""
    row: str = OURS
    way: str = ""
    metric: str = "merged"
    against: str = ""
    round: int | None = None
    source: str = MEASURED


@dataclass(frozen=True)
class Cell:
    """A finding over its seeds, in the unit that is printed: percent, counts as they are.

    Attributes
    ----------
    by_seed : seed: value. std : over the seeds; None with one, or where nothing is random.
    low, high : bounds averaged over the seeds; of a paired difference, its own.
    draws : the fewest of the seeds'.
    """

    key: Key
    by_seed: Mapping[int, float]
    mean: float | None = None
    std: float | None = None
    low: float | None = None
    high: float | None = None
    clips: int | None = None
    draws: int | None = None
    reason: str = ""
    settings: str = ""

    @property
    def holds(self) -> bool | None:
        """Of a difference, whether its interval leaves out 0."""
        if not self.key.against or self.low is None or self.high is None:
            return None
        return self.low > 0 or self.high < 0


@dataclass(frozen=True)
class Findings:
    """What `results/findings.parquet` holds.

    Attributes
    ----------
    table : see the module.
    plan : what stands beside what.
    runs : what each run came from, in the order of the config.
    """

    table: pd.DataFrame
    plan: Plan
    runs: Sequence[About]

    @cached_property
    def cells(self) -> dict[Key, Cell]:
        """Every finding, over its seeds."""
        whole = self.table.astype(object).where(self.table.notna(), None)
        found: dict[Key, list[Any]] = {}
        for one in whole.itertuples(index=False):
            key = Key(*(getattr(one, name) for name in Key._fields))
            found.setdefault(key, []).append(one)
        return {key: _over_seeds(key, some, self.partial) for key, some in found.items()}

    @cached_property
    def grouped(self) -> dict[Side, list[About]]:
        """(scene, variant): its runs, one a seed."""
        found: dict[Side, list[About]] = {}
        for run in self.runs:
            found.setdefault((run.scene, run.variant), []).append(run)
        return found

    @cached_property
    def partial(self) -> frozenset[Side]:
        """(scene, variant) whose anomalies were left out in part: other ones by each seed."""
        chosen = self.table[self.table["metric"] == "anomaly_rate_asked"]
        return frozenset(zip(chosen["scene"], chosen["variant"], strict=True))

    @cached_property
    def rows(self) -> dict[tuple[str, str, str], list[str]]:
        """(scene, variant, way): the detectors and oracles measured, in order."""
        found: dict[tuple[str, str, str], list[str]] = {}
        for key in self.cells:
            if key == Key(key.scene, key.variant, key.row, key.way) and key.row:
                found.setdefault((key.scene, key.variant, key.way), []).append(key.row)
        return found

    @cached_property
    def scenes(self) -> list[str]:
        """The scenes that were run, in order."""
        return list(dict.fromkeys(scene for scene, _ in self.grouped))

    def variants(self, scene: str) -> list[str]:
        """The variants that were run on a scene, in order."""
        return [variant for its, variant in self.grouped if its == scene]

    def whole(self, scene: str, variants: Sequence[str]) -> list[str]:
        """The variant that differs from these in the anomaly rate alone, if there is one."""
        methods = {one: self.grouped[scene, one][0].method for one in self.variants(scene)}
        wanted = [replace(methods[one], anomaly_rate=None) for one in variants[:1]]
        return [one for one, method in methods.items() if method in wanted][:1]

    def headline_pairs(self, scene: str) -> list[tuple[Side, Side]]:
        """Pairs of headline rows (variant, row) of a scene, whose first is taken against the other.

        These are, of the main variant, the final score (also smoothed), the initial detectors, the
        competitors and the last iteration alone, and of every other variant the final score.
        A variant that saw a part of the frames is paired with its own initial scores only.
        """
        main, sides, alone = self.plan.main, list[Side](), list[tuple[Side, Side]]()
        for variant in sorted(self.variants(scene), key=lambda one: one != main):
            if (scene, variant) in self.partial:
                alone.append(((variant, OURS), (variant, INITIAL)))
            elif variant == main:
                rows = self.rows[scene, main, ""]
                plain = [row for row in rows if not row.startswith((*STEPS, *ORACLES, OURS))]
                last = [row for row in rows if row.startswith(STEPS[0])][-1:]
                headline = [OURS, *plain, *last, "ours_smoothed"]
                sides += [(main, row) for row in headline if row in rows]
            else:
                sides.append((variant, OURS))
        return [*combinations(sides, 2), *alone]

    def cell(self, scene: str, variant: str = "", row: str = OURS, **more: Any) -> Cell:
        """A finding, or the reason why there is none."""
        key = Key(scene, variant, row, **more)
        if key in self.cells:
            return self.cells[key]
        why = "not part of this configuration"
        if scene in self.plan.not_run:
            why = self.plan.not_run[scene]
        elif (scene, variant, key.way) in self.rows:
            why = "not among the competitors of this configuration"
        elif scene in self.plan.pools:
            why = "not all of its scenes are there, or it was not asked for"
        return Cell(key, {}, reason=f"{NOT_RUN}: {why}")

    def judged(self, variants: Collection[str]) -> tuple[dict[str, list[str]], dict[str, str]]:
        """Scene: those of the variants that have a merged AUC; and why other scenes have none."""
        shown: dict[str, list[str]] = {}
        asked = [self.cell(*key) for key in self.grouped if key[1] in variants]
        for cell in [one for one in asked if one.mean is not None]:
            shown.setdefault(cell.key.scene, []).append(cell.key.variant)
        return shown, {one.key.scene: one.reason for one in asked if one.key.scene not in shown}

    @cached_property
    def counts(self) -> dict[Side, dict[str, float]]:
        """(scene, variant): its counts by name; of the first seed, where each has its own."""
        found: dict[Side, dict[str, float]] = {}
        for key, cell in self.cells.items():
            if cell.by_seed and not (key.row or key.way):
                first = next(iter(cell.by_seed.values()))
                found.setdefault((key.scene, key.variant), {})[key.metric] = first
        return found

    def is_measured(self, scene: str, variant: str, way: str = "") -> bool:
        """Whether there is any ground truth to measure a scene and variant with."""
        return bool(self.cell(scene, variant, way=way).by_seed)

    def about(self, variant: str) -> About | None:
        """What a variant came from, on the first scene that it was run on."""
        return next((run for run in self.runs if run.variant == variant), None)


def write_findings(files: StudyFiles, plan: Plan, output: str | Path) -> None:
    """Gather all results of a study in one table, and write it; see `gather`."""
    findings = gather(files, plan)
    about = {
        "unit": "fractions of 1; counts as they are",
        "plan": plan.as_document(),
        "runs": [run.as_document() for run in findings.runs],
    }
    write_parquet(output, findings.table, about)


def gather(files: StudyFiles, plan: Plan) -> Findings:
    """All results of a study, or of a part of it.

    Raises
    ------
    SdorError : a file is missing or damaged, or does not belong to the others.
    """
    runs = _read(files["metrics"], "rows", "oracles")
    pooled = _read(files.get("pooled", ()), "rows", "oracles")
    localised = _read(files.get("localisation", ()), *LOCALISED)
    records: list[Record] = [
        *chain.from_iterable(starmap(_of_run, runs + pooled)),
        *chain.from_iterable(starmap(_of_localisation, localised)),
        *chain.from_iterable(starmap(_of_feedback, _read(files.get("feedback", ()), "rounds"))),
        *(Record(scene=scene, reason=why) for scene, why in plan.not_run.items()),
    ]
    measured = Findings(typed(records), plan, [about for about, _ in runs])
    records += [
        *_differences(measured, _drawn(runs, files["draws"])),
        *_reported_beside(reversed(runs + pooled), plan),
        *_reported_alone(),
    ]
    return replace(measured, table=typed(records))


def read_findings(path: str | Path) -> Findings:
    """Read what `write_findings` wrote.

    Raises
    ------
    SdorError : the file is missing or damaged.
    """
    about = read_about(path)
    try:
        plan, runs = Plan.read(about["plan"]), [About.read(run) for run in about["runs"]]
    except (KeyError, TypeError) as error:
        raise SdorError(damaged(path, error)) from error
    return Findings(read_parquet(path), plan, runs)


def held_against(variants: Sequence[str], main: str) -> str:
    """The variant of an ablation that the others are compared to."""
    return main if main in variants else variants[0]


def paired_key(scene: str, left: Side, right: Side, metric: str) -> Key:
    """What the difference of two rows is about, `left` minus `right`."""
    against = right[1] if left[0] == right[0] else "/".join(right)
    return Key(scene, *left, metric=metric, against=against)


def right_side(key: Key) -> Side:
    """The variant and row that a difference is taken to."""
    variant, _, row = key.against.rpartition("/")
    return variant or key.variant, row


def _read(paths: Iterable[str | Path], *keys: str) -> list[Result]:
    """JSON files that must hold some keys, with what they are of."""
    found = []
    for path in paths:
        content = read_json(path)
        try:
            found.append((About.read(content["about"]), content))
            _ = [content[key] for key in keys]
        except (KeyError, TypeError) as error:
            raise SdorError(damaged(path, error)) from error
    return found


def _of_run(about: About, content: Any) -> Iterator[Record]:
    """All values of one `metrics.json`, of a scene or of a pool."""
    counts, settings, subset = content["counts"], content["settings"], about.subset
    draws, key = settings["bootstrap_draws"], {**_key(about), "way": about.way}
    values = {**counts, "iterations": content["iterations"], "draws": draws}
    values["smoothing_sigma"] = settings["smoothing_sigma"]
    if subset is not None:
        values |= {"anomaly_rate": subset.rate, "anomaly_rate_asked": subset.target}
        values |= {"events_kept": subset.events_kept, "events": subset.events}
    elif counts["labelled_frames"]:
        values["anomaly_rate"] = counts["anomalous_frames"] / counts["frames"]
    yield from ({**key, "metric": name, "value": value} for name, value in values.items())
    measured = {**content["rows"], **content["oracles"], **content["differences"]}
    for name, measures in measured.items():
        row, _, against = name.partition(" - ")
        yield from _measures({**key, "row": row, "against": against}, measures, draws)
    for labels in content["pseudo_labels"]:
        place = {**key, "row": f"{STEPS[0]}{labels['iteration']}"}
        for name in [one for one in labels if one != "iteration"]:
            reason = "no labelled frames" if labels[name] is None else ""
            yield {**place, "metric": name, "value": labels[name], "reason": reason}
    for row, share in content["between_clips"].items():
        yield {**key, "row": row, "metric": "between_clips", "value": share}
    for row, curves in content["events"].items():
        for (metric, curve), first in product(curves.items(), FIRST):
            value = {"metric": metric, "value": after(curve, first)}
            yield {**key, "row": row, "way": f"first_{first}", **value}


def _of_localisation(about: About, content: Any) -> Iterator[Record]:
    for way in LOCALISED:
        key = {**_key(about), "row": OURS, "way": way}
        yield from _measures(key, content[way], content["settings"]["draws"])


def _of_feedback(about: About, content: Any) -> Iterator[Record]:
    for one in content["rounds"]:
        key = {**_key(about), "row": "feedback", "round": one["round"]}
        yield from ({**key, "metric": name, "value": one[name]} for name in MARKED)
        for part, way in FEEDBACK.items():
            yield from _measures({**key, "way": way}, one[part], None)


def _key(about: About) -> Record:
    return {"scene": about.scene, "variant": about.variant, "seed": about.seed}


def _measures(key: Record, measures: Mapping[str, Any], draws: int | None) -> Iterator[Record]:
    """One record a column of a measured row."""
    for metric, one in measures.items():
        found = Measure(**one)
        used = None if draws is None or found.low is None else draws - found.skipped
        yield {**key, "metric": metric, **vars(found), "draws": used}


def _drawn(runs: Sequence[Result], paths: Sequence[str | Path]) -> dict[Side, Draws]:
    """(scene, variant): row: (draws, columns) means over the seeds."""
    found: dict[Side, list[Draws]] = {}
    for (about, content), path in zip(runs, paths, strict=True):
        valued = [
            row
            for row, measures in content["rows"].items()
            if any(one["value"] is not None for one in measures.values())
        ]
        drawn = read_draws(path, valued, content["settings"]["bootstrap_draws"])
        found.setdefault((about.scene, about.variant), []).append(drawn)
    return {side: mean_draws(drawn) for side, drawn in found.items()}


def _differences(measured: Findings, drawn: Mapping[Side, Draws]) -> Iterator[Record]:
    """Paired differences over all seeds of a scene, each once."""
    plan = measured.plan
    for scene in measured.scenes:
        here = measured.variants(scene)
        pairs = measured.headline_pairs(scene) + [((one, OURS), (one, INITIAL)) for one in here]
        for study in plan.ablations.values():
            asked = [one for one in study.variants if one in here]
            pairs += [((one, OURS), (held_against(asked, plan.main), OURS)) for one in asked]
        for (left, right), metric in product(dict.fromkeys(pairs), JUDGED):
            # Where anomalies are left out, each seed has an interval of its own.
            if left != right and (left[0] != right[0] or (scene, left[0]) not in measured.partial):
                found = _difference(measured, scene, (left, right), metric, drawn)
                draws = int(measured.counts[scene, left[0]]["draws"])
                key = paired_key(scene, left, right, metric)._asdict()
                yield from _measures(key, {metric: vars(found)}, draws)


def _difference(
    measured: Findings,
    scene: str,
    sides: tuple[Side, Side],
    metric: str,
    drawn: Mapping[Side, Draws],
) -> Measure:
    left, right = (measured.cell(scene, *side, metric=metric) for side in sides)
    if left.mean is None or right.mean is None:
        return Measure(reason="one of the two has no value")
    if any((scene, variant) in measured.partial for variant, _ in sides):
        return Measure(reason="not of the same frames: some anomalies are left out")
    gap = (left.mean - right.mean) / 100
    why = left.reason or right.reason
    if not why and len({measured.counts[scene, one]["labelled_clips"] for one, _ in sides}) > 1:
        why = "the variants were not judged on the same clips"
    values = [drawn[scene, variant].get(row, np.empty(0)) for variant, row in sides]
    lengths = {len(one) for one in values}
    if why or 0 in lengths or len(lengths) > 1:
        return Measure(gap, reason=why or "no draws to pair")
    return with_interval(gap, np.subtract(*values)[:, METRICS.index(metric)])


def _reported_beside(runs: Iterable[Result], plan: Plan) -> Iterator[Record]:
    """The paper's values beside the measured ones that they can be compared to."""
    joint = plan.pools[ALL_UMN].joint if ALL_UMN in plan.pools else None
    first = {(about.scene, about.variant, about.way): (about, content) for about, content in runs}
    for (scene, variant, way), (about, content) in first.items():
        backbone = about.method.backbone
        for row, measures in content["rows"].items():
            method = paper_method(row)
            own = (1, method, scene)
            if backbone != PAPERS_BACKBONE:
                # Table 2 has our method only.
                own = (2, TABLE_2.get(backbone, "") if row == OURS else "", scene)
            beside = {"": own, "table 1": (1, method, ALL_UMN if scene == joint else scene)}
            for against, place in beside.items():
                if place in paper_values() and measures["merged"]["value"] is not None:
                    text = settings_text(about, row, with_backbone=bool(against))
                    key = {"scene": scene, "variant": variant, "row": row, "way": way}
                    yield {**key, **_reported(against, paper_values()[place]), "settings": text}


def _reported_alone() -> Iterator[Record]:
    """The paper's tables as they are."""
    for one in reported().to_dict("records"):
        quoted = one["block"] == QUOTED_BLOCK or one["method"] in OTHER_PROTOCOL
        key = {"scene": one["scene"], "row": one["method"]}
        settings = TEST_DATA_ALONE if quoted else ""
        yield {**key, **_reported(f"table {one['table']}", one["auc"]), "settings": settings}


def _reported(against: str, percent: float) -> Record:
    return {"metric": "merged", "value": percent / 100, "against": against, "source": REPORTED}


def typed(records: Iterable[Mapping[str, object]]) -> pd.DataFrame:
    """The records in the columns of the table; what a record lacks is empty."""
    table = pd.DataFrame.from_records([{"source": MEASURED, **one} for one in records])
    texts = {name: "" for name, kind in SCHEMA.items() if kind == "str"}
    return table.reindex(columns=[*SCHEMA]).astype(object).fillna(texts).astype(SCHEMA)


def _over_seeds(key: Key, found: Sequence[Any], partial: frozenset[Side]) -> Cell:
    """One finding from its rows, of each seed or of all."""
    scale = 100 if key.metric in PERCENT else 1
    own = [one for one in found if one.seed is not None]
    if (key.scene, key.variant) not in partial and (not key.row or key.row.startswith(SEEDLESS)):
        own = own[:1]
    values = {int(one.seed): scale * one.value for one in own if one.value is not None}
    judged = [one for one in found if one.seed is None] or own

    def mean(name: str) -> float | None:
        known = [scale * value for one in judged if (value := getattr(one, name)) is not None]
        return fmean(known) if known else None

    if mean("value") is None:
        return Cell(key, values, reason=found[0].reason or "no labelled frames")
    first = next(one for one in judged if one.value is not None)
    return Cell(
        key,
        values,
        mean=mean("value"),
        low=mean("low"),
        high=mean("high"),
        std=stdev(values.values()) if len(values) > 1 else None,
        clips=first.clips,
        draws=min((one.draws for one in judged if one.draws is not None), default=None),
        reason=first.reason if mean("low") is None else "",
        settings=first.settings,
    )
