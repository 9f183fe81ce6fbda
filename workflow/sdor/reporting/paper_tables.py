"""The paper's tables with what was measured here: Tables 1 and 2, Figure 5, and their company.

Each comes twice: to be typeset, and as records of one value each for its CSV file.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from sdor.errors import SdorError
from sdor.files import atomic, damaged, read_json
from sdor.reporting.comparisons import Draws, Passage, compare, difference, gain, page, read_draws
from sdor.reporting.comparisons import markdown as passages_markdown
from sdor.reporting.tables import (
    COLUMN_NAMES,
    DASH,
    DOUBLE_DAGGER,
    EXPLANATION,
    INITIAL_ROWS,
    NOT_RUN,
    PAPERS_BACKBONE,
    PROTOCOL_NOTE,
    QUOTED_BLOCK,
    TABLE_2,
    TEST_DATA_ALONE,
    THREE_D,
    THREE_D_NETWORK,
    Metrics,
    Table,
    anomaly_rate,
    cell_text,
    cited,
    differing_settings,
    figure_of,
    groups,
    has_subset,
    is_measured,
    latex,
    markdown,
    marked,
    over_runs,
    over_seeds,
    overrides_text,
    paper_method,
    read_metrics,
    reported,
    row_name,
    setting,
    settings_notes,
    settings_text,
    skipped_table,
    used_notes,
)

Record = dict[str, Any]
Group = Sequence[Metrics]

PAPER_SCENES = {
    "ped1": "Ped1",
    "ped2": "Ped2",
    "subway-entrance": "Subway Entrance",
    "subway-exit": "Subway Exit",
    "umn1": "UMN 1",
    "umn2": "UMN 2",
    "umn3": "UMN 3",
}
ALL_UMN = "umn"
WAYS = {"raw": "as they are", "ranks": "as ranks"}
PAPER_BACKBONES = {"vgg16": "VGG", THREE_D: "3DConv", PAPERS_BACKBONE: "ResNet-50"}
# Our networks where they are not the paper's of that line.
OTHER_NETWORKS = {"i3d": "I3D (paper: 3DConv)", "r3d_18": "R3D-18 (paper: 3DConv)"}
# Of Table 1, above our own rows: what the paper has, and the settings that we run of it.
COMPETITORS = (
    *("unmasking", "two_sample_test"),
    *("del_giorno_1_w100", "del_giorno_1_w10", "del_giorno_2_w100", "del_giorno_2_w10"),
)
PARTS_OF = {
    "unmasking": ("unmasking_appearance", "unmasking_motion"),
    "two_sample_test": ("two_sample_appearance", "two_sample_motion"),
}
OURS = ("ours", "ours_smoothed")
ORACLES = ("split_oracle", "clip_rate_oracle")
JUDGED = ("merged", "test_only")
SHOWN = (*JUDGED, "average_precision")
LOCALISATION = {
    "pixel_auc": "pixel AUC",
    "pixel_criterion": "40 % criterion",
    "rbdc": "RBDC",
    "tbdc": "TBDC",
}
LOCALISED = {"values": "all clips", "test_only": "test clips"}
FEEDBACK = {"all": "all", "unmarked": "unmarked", "before_unmarked": "before", "gain": "gain"}
BACKBONES_STUDY, RATES_STUDY = "backbones", "anomaly_rate"
VALUES = [
    *("mean", "std", "low", "high", "seeds"),
    *("reported", "reported_settings", "reason"),
]
NOT_MEASURED = {"value": None, "reason": "not measured"}
SPREAD = "± is the standard deviation over seeds, brackets are 95 % intervals from whole clips."
COMPARISONS_TITLE = "Which differences hold"


@dataclass(frozen=True)
class StudyFiles:
    """Where the results of a whole study lie, and what stands beside what in it.

    Attributes
    ----------
    metrics, draws : `metrics.json` and `draws.parquet` of every run, in the same order.
    main : the variant that is "our method" of the paper's tables.
    localisation, feedback : `localisation.json` and `feedback.json` of the runs that have them.
    pooled : metrics of pooled scenes; the file's name is the way ("raw", "ranks").
    studies : name: `variants`, in the order wanted, and optionally `scenes`.
    pools : name: `scenes`, and optionally `joint`, the scene with one model for all of them.
    not_run : scene: why it was not run.
    """

    metrics: Sequence[str | Path]
    draws: Sequence[str | Path]
    main: str
    localisation: Sequence[str | Path] = ()
    feedback: Sequence[str | Path] = ()
    pooled: Sequence[str | Path] = ()
    studies: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    pools: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    not_run: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Findings:
    """The contents of `StudyFiles`.

    Attributes
    ----------
    localisation, feedback : (scene, variant): the contents of each seed's file.
    pooled : (pool, variant, way): the metrics of each seed.
    """

    runs: Sequence[Metrics]
    main: str
    draws: Draws = field(default_factory=dict)
    localisation: Mapping[tuple[str, str], Group] = field(default_factory=dict)
    feedback: Mapping[tuple[str, str], Group] = field(default_factory=dict)
    pooled: Mapping[tuple[str, str, str], Group] = field(default_factory=dict)
    studies: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    pools: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    not_run: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def grouped(self) -> dict[tuple[str, str], list[Metrics]]:
        """(scene, variant): its runs, one a seed."""
        return groups(self.runs)

    @cached_property
    def scenes(self) -> list[str]:
        """The scenes that were run, in order."""
        return list(dict.fromkeys(scene for scene, _ in self.grouped))

    def group(self, scene: str, variant: str, way: str = "") -> Group:
        """The runs (seeds) of a scene and variant, or of a pool; empty where there are none."""
        if way:
            return self.pooled.get((scene, variant, way), ())
        return self.grouped.get((scene, variant), ())

    def any_of(self, variant: str) -> Group:
        """The runs of a variant on the first scene that it was run on."""
        return next((group for (_, name), group in self.grouped.items() if name == variant), ())

    def scenes_of(self, study: str) -> list[str]:
        """The scenes that a study asks for, those too whose data is absent."""
        every = [*self.scenes, *self.not_run]
        asked = self.studies[study].get("scenes", every)
        return [scene for scene in every if scene in asked]

    def variants_of(self, study: str, scene: str) -> list[str]:
        """The variants of a study that were run on a scene, in the study's order."""
        return [name for name in self.studies[study]["variants"] if self.group(scene, name)]

    def why_not(self, scene: str, row: str = "") -> str:
        """Why something was not run, for the CSV files."""
        if scene in self.not_run:
            return f"{NOT_RUN}: {self.not_run[scene]}"
        if row:
            return f"{NOT_RUN}: not among the competitors of this configuration"
        if scene in self.pools:
            return f"{NOT_RUN}: not all of its scenes are there, or it was not asked for"
        return f"{NOT_RUN}: not part of this configuration"


@dataclass(frozen=True)
class PaperTable:
    """One of the paper's tables.

    Attributes
    ----------
    name : of its files.
    tables : to be typeset; empty where there is nothing to show.
    records : a value each: keys of its own, then VALUES.
    keys : the columns before VALUES.
    nothing : one line on why there is nothing to show.
    """

    name: str
    title: str
    explanation: str
    keys: tuple[str, ...]
    tables: tuple[Table, ...] = ()
    records: tuple[Record, ...] = ()
    nothing: str = ""


@dataclass(frozen=True)
class Place:
    """A column of Tables 1 and 2: a scene, or several pooled.

    Attributes
    ----------
    title : in print.
    scene : whose runs it shows.
    way : how a pool was pooled; empty for a scene.
    paper_scene : whose figures of the paper stand there; empty: none do.
    """

    title: str
    scene: str
    way: str = ""
    paper_scene: str = ""


def write_paper_tables(files: StudyFiles, folder: str | Path) -> None:
    """Write each of `paper_tables` as `{name}.csv`, `.md`, `.tex`, and `comparisons.csv`, `.md`.

    A table with nothing to show says in one line why.

    Raises
    ------
    SdorError : a file is missing or damaged.
    """
    folder, findings = Path(folder), read_findings(files)
    for paper_table in paper_tables(findings):
        title, explanation = paper_table.title, paper_table.explanation
        tables = list(paper_table.tables)
        if not tables:
            tables, explanation = [Table(title, (), (), paper_table.nothing)], ""
        elif paper_table.name == "table1" and findings.not_run:
            tables.append(skipped_table(findings.not_run))
        with atomic(folder / f"{paper_table.name}.csv") as temporary:
            _write_csv(csv_table(paper_table), temporary)
        with atomic(folder / f"{paper_table.name}.md") as temporary:
            temporary.write_text(markdown(tables, title, explanation))
        with atomic(folder / f"{paper_table.name}.tex") as temporary:
            temporary.write_text(latex(tables, title, explanation))
    compared, passages = comparisons(findings)
    with atomic(folder / "comparisons.csv") as temporary:
        _write_csv(compared, temporary)
    with atomic(folder / "comparisons.md") as temporary:
        nothing = f"{NOT_RUN}: no scene has ground truth to compare by."
        temporary.write_text(passages_markdown(passages, COMPARISONS_TITLE, nothing))


def read_findings(files: StudyFiles) -> Findings:
    """Read all files of a study.

    Raises
    ------
    SdorError : a file is missing or damaged.
    """
    runs = [read_metrics(path) for path in files.metrics]
    pooled: dict[tuple[str, str, str], list[Metrics]] = {}
    for path in files.pooled:
        run = read_metrics(path)
        key = (str(run["about"]["scene"]), str(run["about"]["variant"]), Path(path).stem)
        pooled.setdefault(key, []).append(run)
    return Findings(
        runs,
        files.main,
        read_draws(runs, files.draws),
        groups(_read_part(path, "values") for path in files.localisation),
        groups(_read_part(path, "rounds") for path in files.feedback),
        pooled,
        files.studies,
        files.pools,
        files.not_run,
    )


def paper_tables(findings: Findings) -> list[PaperTable]:
    """All of them, in the order of the report."""
    makers = (table_1, table_2, localisation, feedback, rates, ablations)
    return [maker(findings) for maker in makers]


def comparisons(findings: Findings) -> tuple[pd.DataFrame, list[Passage]]:
    """All comparisons of the headline rows, as a table and in words."""
    compared = compare(findings.runs, findings.draws, findings.main)
    return compared, page(compared, findings.runs, findings.main)


def csv_table(paper_table: PaperTable) -> pd.DataFrame:
    """The records as a table; the reason alone where there are none."""
    records = paper_table.records or ({"reason": paper_table.nothing},)
    table = pd.DataFrame.from_records(records, columns=[*paper_table.keys, *VALUES])
    return table.astype({"seeds": "Int64"})


def table_1(findings: Findings) -> PaperTable:
    """Table 1: all methods on all scenes, merged with the paper's figures, and test clips alone."""
    places = _places(findings)
    measured = any(is_measured(group) for place in places if (group := _group(findings, place)))
    tables = [_typeset_1(findings, places, column) for column in JUDGED] if measured else []
    return PaperTable(
        name="table1",
        title="Table 1: all methods",
        explanation=EXPLANATION,
        keys=("kind", "scene", "way", "variant", "row", "column"),
        tables=tuple(tables),
        records=tuple(_records_1(findings, places)) if measured else (),
        nothing=f"{NOT_RUN}: no scene with ground truth was run.",
    )


def table_2(findings: Findings) -> PaperTable:
    """Table 2: our method with other backbones, merged with the paper's figures, and test-only."""
    asked = BACKBONES_STUDY in findings.studies
    nothing = f"{NOT_RUN}: the configuration has no study called {BACKBONES_STUDY}."
    return PaperTable(
        name="table2",
        title="Table 2: backbones",
        explanation=EXPLANATION,
        keys=("scene", "way", "variant", "backbone", "column"),
        tables=tuple(_typeset_2(findings, column) for column in JUDGED) if asked else (),
        records=tuple(_records_2(findings)) if asked else (),
        nothing=nothing,
    )


def localisation(findings: Findings) -> PaperTable:
    """How well the saliency maps show where an anomaly is."""
    rows: list[tuple[str, ...]] = []
    records: list[Record] = []
    reasons: dict[tuple[str, str], list[str]] = {}
    for (scene, variant), group in findings.localisation.items():
        somewhere = False
        for part, clips in LOCALISED.items():
            cells = {
                name: over_seeds([run.get(part, {}).get(name, NOT_MEASURED) for run in group])
                for name in LOCALISATION
            }
            key = {"scene": scene, "variant": variant, "clips": clips}
            records += [{**key, "column": name, **_values(cell)} for name, cell in cells.items()]
            if any(cell.get("mean") is not None for cell in cells.values()):
                texts = (cell_text(cell) for cell in cells.values())
                rows.append((scene, variant, clips, *texts))
                somewhere = True
            elif somewhere or part == "values":
                # Of a scene that has nothing anywhere, the reason stands there once.
                where = f", {clips}" if somewhere else ""
                reason = str(cells["pixel_auc"]["reason"])
                reasons.setdefault((where, reason), []).append(scene)
    notes = [
        f"Not measured{where} ({reason}): {', '.join(dict.fromkeys(scenes))}."
        for (where, reason), scenes in reasons.items()
    ]
    header = ("scene", "variant", "clips", *LOCALISATION.values())
    table = Table("Localisation", header, tuple(rows), notes=tuple(notes))
    why = "no scene has pixel masks" if findings.localisation else "no saliency maps were asked for"
    return PaperTable(
        name="localisation",
        title="Localisation",
        explanation=(
            "Where in the frame the anomaly is, in percent. pixel AUC: of all pixels; 40 % "
            "criterion: the AUC of frames, where an anomalous one is found once 40 % of its "
            "anomalous pixels are flagged; RBDC, TBDC: areas under the detection rate of regions "
            "and of tracks up to one false region a frame. All clips hold the training clips too, "
            "whose frames are all normal, which makes them easier than the test clips alone. "
            f"{SPREAD}"
        ),
        keys=("scene", "variant", "clips", "column"),
        tables=(table,) if rows else (),
        records=tuple(records),
        nothing=f"{NOT_RUN}: {why}.",
    )


def feedback(findings: Findings) -> PaperTable:
    """Figure 3 in numbers: AUC after each round, with and without the frames that were marked."""
    rows: list[tuple[str, ...]] = []
    headings = []
    records: list[Record] = []
    # Older files have no gain.
    shown = [
        frames
        for frames in FEEDBACK
        if any(
            frames in one
            for group in findings.feedback.values()
            for run in group
            for one in run["rounds"]
        )
    ]
    for (scene, variant), group in findings.feedback.items():
        headings.append((len(rows), f"{scene}, variant {variant}"))
        for place, first in enumerate(group[0]["rounds"]):
            rounds = [run["rounds"][place] for run in group if place < len(run["rounds"])]
            key = {"scene": scene, "variant": variant, "round": first["round"]}
            texts = [str(first["round"])]
            for name in ("marked", "marked_frames"):
                mean = sum(one[name] for one in rounds) / len(rounds)
                texts.append(_count_text(mean))
                records.append({**key, "column": name, "mean": mean, "seeds": len(rounds)})
            for column in SHOWN:
                for frames in shown:
                    cells = [one.get(frames, {}).get(column, NOT_MEASURED) for one in rounds]
                    cell = over_seeds(cells)
                    # The gain has the interval that before and unmarked are to be judged by.
                    interval, sign = frames != "before_unmarked", frames == "gain"
                    if column in JUDGED:
                        texts.append(cell_text(cell, interval=interval, sign=sign))
                    records.append({**key, "frames": frames, "column": column, **_values(cell)})
            rows.append(tuple(texts))
    names = [FEEDBACK[frames] for frames in shown]
    header = [f"{COLUMN_NAMES[column]}, {name}" for column in JUDGED for name in names]
    title = "Figure 3 in numbers: feedback of an expert"
    table = Table(
        title=title,
        header=("round", "picks", "with neighbours", *header),
        rows=tuple(rows),
        headings=tuple(headings),
    )
    return PaperTable(
        name="feedback",
        title=title,
        explanation=(
            "An expert, simulated from the ground truth, marks frames among the highest-ranked "
            "ones; the model is fine-tuned with them and ranks anew. Frame AUC in percent. all: "
            "every labelled frame, which is the paper's way; unmarked: without the frames that "
            "were marked so far and their neighbours, which the model was told; before: the scores "
            "of round 0 on just those unmarked frames; gain: unmarked minus before over the same "
            "draws of clips, in points, which holds when 0 is not in its brackets. Only the gain "
            "shows what was learnt about frames that nobody marked. Round 0 is the model of the "
            "last iteration alone, not the mean of all iterations that Table 1 has. "
            f"{SPREAD}"
        ),
        keys=("scene", "variant", "round", "frames", "column"),
        tables=(table,) if rows else (),
        records=tuple(records),
        nothing=f"{NOT_RUN}: feedback was asked for on no scene that is there.",
    )


def rates(findings: Findings) -> PaperTable:
    """Figure 5 in numbers: the initial scores and ours where some anomalies are left out."""
    asked = RATES_STUDY in findings.studies
    rows: list[tuple[str, ...]] = []
    headings = []
    records: list[Record] = []
    for scene in findings.scenes_of(RATES_STUDY) if asked else ():
        variants = findings.variants_of(RATES_STUDY, scene)
        if not variants:
            records.append({"scene": scene, "reason": findings.why_not(scene)})
            continue
        headings.append((len(rows), scene))
        for variant in [*variants, *_whole(findings, scene, variants)]:
            if group := findings.group(scene, variant):
                rows.append(_rate_row(group, findings.draws))
                records += _rate_records(scene, variant, group, findings.draws)
    title = "Figure 5 in numbers: anomaly rates"
    table = Table(
        title=title,
        header=(
            *("target", "reached", "events kept", "Sp + iForest", "Our method", "difference"),
            *("Sp + iForest, test-only", "Our method, test-only"),
        ),
        rows=tuple(rows),
        headings=tuple(headings),
    )
    why = "no scene of its study is there" if asked else f"there is no study called {RATES_STUDY}"
    return PaperTable(
        name="rates",
        title=title,
        explanation=(
            "Whole anomalous events are dropped at random until the share of anomalous frames is "
            "next to the target; every seed drops others. reached: the share of all frames in "
            "percent. Frame AUC in percent, merged where nothing else is said; the difference is "
            f"paired, in points. {SPREAD}"
        ),
        keys=("scene", "variant", "target", "row", "column"),
        tables=(table,) if rows else (),
        records=tuple(records),
        nothing=f"{NOT_RUN}: {why}.",
    )


def ablations(findings: Findings) -> PaperTable:
    """A table for each study that is neither of backbones nor of anomaly rates."""
    studies = [name for name in findings.studies if name not in (BACKBONES_STUDY, RATES_STUDY)]
    tables = []
    records: list[Record] = []
    for study in studies:
        rows: list[tuple[str, ...]] = []
        headings = []
        absent = []
        blind = []
        for scene in findings.scenes_of(study):
            variants = findings.variants_of(study, scene)
            if variants and not _has_truth(findings, scene):
                blind.append(scene)
                continue
            if not variants:
                absent.append(scene)
                key = {"study": study, "scene": scene}
                records.append({**key, "reason": findings.why_not(scene)})
                continue
            against = findings.main if findings.main in variants else variants[0]
            headings.append((len(rows), f"{scene}; differences to variant {against}"))
            for variant in variants:
                key = {"study": study, "scene": scene, "variant": variant}
                row, more = _ablation(findings, key, against)
                rows.append(row)
                records += more
        notes = [f"Not run: {', '.join(absent)}."] if absent else []
        notes += [f"Not measured (no ground truth): {', '.join(blind)}."] if blind else []
        if rows:
            title = study.replace("_", " ")
            tables.append(
                Table(
                    title=f"{title[:1].upper()}{title[1:]}",
                    header=(
                        *("variant", "differs in", "merged", "test-only", "AP"),
                        *("difference, merged", "difference, test-only"),
                    ),
                    rows=tuple(rows),
                    notes=tuple(notes),
                    headings=tuple(headings),
                )
            )
    why = "no scene of its studies is there" if studies else "there is no study of settings"
    return PaperTable(
        name="ablations",
        title="Ablations",
        explanation=(
            "The final score of each variant, in percent, and its difference to another one over "
            "the same draws of clips, in points: it holds when 0 is not in the brackets. "
            f"{SPREAD}"
        ),
        keys=("study", "scene", "variant", "overrides", "against", "column"),
        tables=tuple(tables),
        records=tuple(records),
        nothing=f"{NOT_RUN}: {why}.",
    )


def difference_text(found: Mapping[str, Any]) -> str:
    """A difference in points with its interval, such as "+3.2 [+1.0, +5.5]".

    Parameters
    ----------
    found : what `comparisons.difference` returned.
    """
    if found["difference"] is None:
        return DASH
    return cell_text({**found, "mean": found["difference"]}, sign=True)


def _typeset_1(findings: Findings, places: Sequence[Place], column: str) -> Table:
    merged = column == "merged"
    rows: list[tuple[str, ...]] = []
    headings: list[tuple[int, str]] = []
    soft: list[int] = []
    strong: list[int] = []
    if merged:
        headings.append((0, "Trained on video labelled as normal: the paper's figures"))
        for method, name in _upper_block().items():
            soft.append(len(rows))
            rows.append((name, *(_quoted(method, place) for place in places)))
    below = "; below each the paper's figure, where it has one" if merged else ""
    headings.append((len(rows), f"Without any label: measured here{below}"))
    for row in _measured_rows(findings, places):
        cells = [_cell(findings, place, row, column) for place in places]
        strong += [len(rows)] if row == "ours" else []
        rows.append((row_name(row, short=True), *(_text(cell) for cell in cells)))
        reference = _reference(row)
        if merged and reference is not None:
            soft.append(len(rows))
            beside = [_beside(findings, place, row) for place in places]
            rows.append((cited("reported", reference), *beside))
    headings.append((len(rows), "Oracles, which use the ground truth: measured here"))
    for row in ORACLES:
        cells = [_cell(findings, place, row, column) for place in places]
        rows.append((row_name(row), *(_text(cell) for cell in cells)))
    pooled = "all labelled frames pooled (merged)" if merged else "the test clips alone"
    return Table(
        title="Table 1, merged" if merged else "Table 1, test clips alone",
        header=("method", *(place.title for place in places)),
        rows=tuple(rows),
        caption=f"Frame AUC in percent, {pooled}. Our method is variant {findings.main}.",
        notes=(
            *(used_notes(_notes_1(findings, places), rows) if merged else []),
            *_reasons(findings, places, column, [findings.main]),
        ),
        headings=tuple(headings),
        soft=tuple(soft),
        strong=tuple(strong),
    )


def _notes_1(findings: Findings, places: Sequence[Place]) -> list[str]:
    """What has to be known before the paper's figures are held against ours."""
    group = findings.any_of(findings.main)
    differing = differing_settings(group[0], "ours", with_backbone=True) if group else ""
    notes = [
        *settings_notes({f"variant {findings.main}": differing}),
        PROTOCOL_NOTE,
        "The paper does not state its settings of Del Giorno et al.: its one figure stands below "
        "both window lengths w of the authors.",
    ]
    if sum(place.paper_scene == ALL_UMN for place in places) > 1:
        notes.append(
            "The paper does not say how it put UMN's scenes together. Its one figure stands in all "
            "three columns: one model a scene, whose scores are pooled as they are, or as ranks "
            "within their scene; and one model for all scenes."
        )
    blind = [scene for scene in findings.scenes if not _has_truth(findings, scene)]
    if blind:
        notes.append(f"Ranked but not measured, for want of ground truth: {', '.join(blind)}.")
    return notes


def _typeset_2(findings: Findings, column: str) -> Table:
    merged = column == "merged"
    places = _backbone_places(findings)
    rows: list[tuple[str, ...]] = []
    soft: list[int] = []
    marks: dict[str, str] = {}
    absent = []
    methods = []
    others = False
    for variant in findings.studies[BACKBONES_STUDY]["variants"]:
        group = findings.any_of(variant)
        if not group:
            absent.append(variant)
            continue
        backbone = group[0]["about"]["method"]["backbone"]
        method = _paper_backbone(backbone)
        methods.append(method)
        name = OTHER_NETWORKS.get(backbone) or PAPER_BACKBONES.get(method, backbone)
        cells = [_cell(findings, place, "ours", column, variant) for place in places]
        rows.append((f"{name}, variant {variant}", *(_text(cell) for cell in cells)))
        if merged and method:
            soft.append(len(rows))
            beside = [_beside_2(findings, place, variant, method) for place in places]
            rows.append(("reported", *beside))
            marks[f"variant {variant}"] = differing_settings(group[0], "ours")
            others |= backbone in OTHER_NETWORKS
    for method, name in PAPER_BACKBONES.items():
        if merged and method not in methods:
            rows.append((name, *(NOT_RUN for _ in places)))
            soft.append(len(rows))
            rows.append(("reported", *(_figure_text(2, method, place) for place in places)))
    notes = [*settings_notes(marks)]
    if others:
        notes.append(
            f"The paper's 3DConv is {THREE_D_NETWORK} (Tran et al. 2015), at an input size that it "
            "does not state: another network, so its figures are no more than neighbours."
        )
    notes += _beside_the_backbone(findings)
    notes += [f"Not run: variants {', '.join(absent)}."] if absent else []
    if any(place.way for place in places):
        notes.append("UMN: one model a scene, whose scores are pooled as they are.")
    return Table(
        title="Table 2, merged" if merged else "Table 2, test clips alone",
        header=("backbone", *(place.title for place in places)),
        rows=tuple(rows),
        caption=f"Frame AUC of our method in percent, {COLUMN_NAMES[column]}.",
        notes=(
            *used_notes(notes, rows),
            *_reasons(findings, places, column, findings.studies[BACKBONES_STUDY]["variants"]),
        ),
        soft=tuple(soft),
    )


def _beside_the_backbone(findings: Findings) -> list[str]:
    """What the variants of the study differ in, where it is more than the network."""
    groups = [findings.any_of(name) for name in findings.studies[BACKBONES_STUDY]["variants"]]
    settings = {}
    for group in filter(None, groups):
        about = group[0]["about"]
        settings[about["variant"]] = {
            key: setting(value)
            for key, value in (about.get("overrides") or {}).items()
            if key != "backbone"
        }
    if len({str(sorted(one.items())) for one in settings.values()}) < 2:
        return []
    listed = "; ".join(
        f"{name}: {', '.join(f'{key} {value}' for key, value in one.items()) or 'no more'}"
        for name, one in settings.items()
    )
    return [f"The variants differ in more than the network. {listed}."]


def _whole(findings: Findings, scene: str, variants: Sequence[str]) -> list[str]:
    """The variant that differs from the study's in the anomaly rate alone, if there is one."""
    wanted = {**findings.any_of(variants[0])[0]["about"]["method"], "anomaly_rate": None}
    for (place, variant), group in findings.grouped.items():
        if place == scene and group[0]["about"]["method"] == wanted:
            return [variant]
    return []


def _rate_row(group: Group, draws: Draws) -> tuple[str, ...]:
    subsets = [run["about"]["subset"] for run in group if run["about"].get("subset")]
    target, events = f"as it is, variant {group[0]['about']['variant']}", DASH
    if subsets:
        target = f"{100 * subsets[0]['target']:g} %"
        kept, every = (
            _count_text(sum(one[name] for one in subsets) / len(subsets))
            for name in ("events_kept", "events")
        )
        events = f"{kept} of {every}"
    texts = {
        column: [_text(over_runs(group, "rows", row, column)) for row in ("sp_iforest", "ours")]
        for column in JUDGED
    }
    gained = difference_text(gain(group, "merged", draws))
    reached = cell_text(_reached(group))
    return (target, reached, events, *texts["merged"], gained, *texts["test_only"])


def _rate_records(scene: str, variant: str, group: Group, draws: Draws) -> Iterator[Record]:
    subset = group[0]["about"].get("subset") or {}
    key = {"scene": scene, "variant": variant, "target": subset.get("target")}
    yield {**key, "column": "anomaly_rate", **_values(_reached(group))}
    for row in ("sp_iforest", "ours"):
        for column in SHOWN:
            cell = over_runs(group, "rows", row, column)
            yield {**key, "row": row, "column": column, **_values(cell)}
    for column in JUDGED:
        place = {**key, "row": "ours - sp_iforest", "column": column}
        yield {**place, **_difference_values(gain(group, column, draws))}


def _reached(group: Group) -> dict[str, Any]:
    """The share of anomalous frames over the seeds, which all have the same without a subset."""
    runs = group if has_subset(group) else group[:1]
    known = [run for run in runs if run["counts"]["labelled_frames"]]
    if not known:
        return over_seeds([NOT_MEASURED])
    return over_seeds([{"value": anomaly_rate(run)} for run in known])


def _ablation(
    findings: Findings, key: Mapping[str, str], against: str
) -> tuple[tuple[str, ...], list[Record]]:
    """The line of one variant on one scene, and its records."""
    scene, variant = key["scene"], key["variant"]
    group, other = findings.group(scene, variant), findings.group(scene, against)
    overrides = overrides_text(group[0])
    place = {**key, "overrides": overrides}
    cells = {column: over_runs(group, "rows", "ours", column) for column in SHOWN}
    records = [{**place, "column": column, **_values(cell)} for column, cell in cells.items()]
    gaps = []
    for column in JUDGED:
        if variant == against:
            gaps.append("")
            continue
        found = difference(group, other, ("ours", "ours"), column, findings.draws)
        gaps.append(difference_text(found))
        records.append({**place, "against": against, "column": column, **_difference_values(found)})
    return (variant, overrides or DASH, *(_text(cell) for cell in cells.values()), *gaps), records


def _records_1(findings: Findings, places: Sequence[Place]) -> Iterator[Record]:
    for method, name in _upper_block().items():
        for place in places:
            figure = figure_of(1, method, place.paper_scene)
            if figure is not None:
                key = {"kind": "reported", "scene": place.scene, "way": place.way}
                known = {"reported": figure, "reported_settings": TEST_DATA_ALONE}
                yield {**key, "row": name, "column": "merged", **known}
    for column in JUDGED:
        for row in (*_measured_rows(findings, places), *ORACLES):
            kind = "oracle" if row in ORACLES else "measured"
            for place in places:
                cell = _cell(findings, place, row, column)
                key = {"kind": kind, "scene": place.scene, "way": place.way}
                record: Record = {**key, "variant": findings.main, "row": row, "column": column}
                figure = figure_of(1, paper_method(row), place.paper_scene)
                if column == "merged" and figure is not None:
                    record["reported"] = figure
                    run = _group(findings, place)[0] if cell.get("mean") is not None else None
                    text = settings_text(run, row, with_backbone=True)
                    record |= {"reported_settings": text} if text else {}
                yield {**record, **_values(cell)}


def _records_2(findings: Findings) -> Iterator[Record]:
    places = _backbone_places(findings)
    for column in JUDGED:
        for variant in findings.studies[BACKBONES_STUDY]["variants"]:
            found = findings.any_of(variant)
            backbone = str(found[0]["about"]["method"]["backbone"]) if found else ""
            for place in places:
                cell = _cell(findings, place, "ours", column, variant)
                key = {"scene": place.scene, "way": place.way, "variant": variant}
                record: Record = {**key, "backbone": backbone, "column": column}
                figure = figure_of(2, _paper_backbone(backbone), place.paper_scene)
                if column == "merged" and figure is not None:
                    record["reported"] = figure
                    if cell.get("mean") is not None:
                        run = _group(findings, place, variant)[0]
                        record["reported_settings"] = settings_text(run, "ours")
                yield {**record, **_values(cell)}


def _places(findings: Findings) -> list[Place]:
    """The columns of Table 1: the paper's, then other scenes; these first if no other was run."""
    paper = [Place(title, scene, "", scene) for scene, title in PAPER_SCENES.items()]
    if ALL_UMN in findings.pools:
        paper += _pool_places(ALL_UMN, "UMN all", findings.pools[ALL_UMN])
    else:
        paper.append(Place("UMN all", ALL_UMN, "", ALL_UMN))
    others = []
    for pool, content in findings.pools.items():
        if pool != ALL_UMN:
            others += _pool_places(pool, pool, content)
    known = {place.scene for place in (*paper, *others)}
    others = [
        *(Place(scene, scene) for scene in findings.scenes if scene not in known),
        *others,
    ]
    others = [place for place in others if place.way or _has_truth(findings, place.scene)]
    return _ordered(findings, paper, others, [findings.main])


def _pool_places(pool: str, title: str, content: Mapping[str, Any]) -> list[Place]:
    """The three ways to put scenes together; of pools that are not the paper's, those asked for."""
    paper_scene = ALL_UMN if pool == ALL_UMN else ""
    places = [Place(f"{title}, {words}", pool, way, paper_scene) for way, words in WAYS.items()]
    joint = content.get("joint")
    if joint:
        places.append(Place(f"{title}, one model", str(joint), "", paper_scene))
    elif paper_scene:
        places.append(Place(f"{title}, one model", pool, "joint", paper_scene))
    return places


def _backbone_places(findings: Findings) -> list[Place]:
    """The columns of Table 2: the paper's, then other scenes of the study."""
    wanted = [scene for scene in PAPER_SCENES if not scene.startswith(ALL_UMN)]
    paper = [Place(PAPER_SCENES[scene], scene, "", scene) for scene in wanted]
    way = "raw" if ALL_UMN in findings.pools else ""
    paper.append(Place("UMN all", ALL_UMN, way, ALL_UMN))
    others = [
        Place(PAPER_SCENES.get(scene, scene), scene)
        for scene in findings.scenes_of(BACKBONES_STUDY)
        if scene in findings.scenes
        and scene not in (*wanted, ALL_UMN)
        and _has_truth(findings, scene)
    ]
    return _ordered(findings, paper, others, findings.studies[BACKBONES_STUDY]["variants"])


def _ordered(
    findings: Findings, paper: list[Place], others: list[Place], variants: Iterable[str]
) -> list[Place]:
    """The paper's scenes first, unless none of them was run."""
    names = list(variants)
    was_run = any(_group(findings, place, name) for place in paper for name in names)
    return [*paper, *others] if was_run else [*others, *paper]


def _has_truth(findings: Findings, scene: str) -> bool:
    return any(is_measured(group) for (its, _), group in findings.grouped.items() if its == scene)


def _measured_rows(findings: Findings, places: Iterable[Place]) -> list[str]:
    """The lower block of Table 1; rows that the paper has stand there in any case."""
    known: dict[str, None] = {}
    for place in places:
        for run in _group(findings, place):
            known |= dict.fromkeys(run["rows"])
    rows: list[str] = []
    for row in COMPETITORS:
        rows += [part for part in PARTS_OF.get(row, ()) if part in known]
        rows.append(row)
    listed = (*rows, *INITIAL_ROWS, *OURS)
    steps = ("iteration_", "ensemble_")
    rows += [row for row in known if row not in listed and not row.startswith(steps)]
    return [*rows, *INITIAL_ROWS, *OURS]


def _upper_block() -> dict[str, str]:
    """The paper's methods that need labelled normal video, and how they are cited."""
    figures = reported()
    upper = figures[(figures["table"] == 1) & (figures["block"] == QUOTED_BLOCK)]
    listed = upper.drop_duplicates("method")
    return {
        str(figure["method"]): cited(figure["name"], figure["reference"])
        for figure in listed.to_dict("records")
    }


def _reference(row: str) -> str | None:
    """The paper's reference of a row of its lower block; None where it has no such row."""
    figures = reported()
    found = figures[(figures["table"] == 1) & (figures["method"] == paper_method(row))]
    return str(found["reference"].iloc[0]) if len(found) else None


def _reasons(
    findings: Findings, places: Sequence[Place], column: str, variants: Iterable[str]
) -> list[str]:
    """Why values or intervals of our method are missing."""
    found: dict[str, list[str]] = {}
    names = list(variants)
    for place in places:
        cells = (_cell(findings, place, "ours", column, name) for name in names)
        reasons = [(cell, str(cell.get("reason") or "")) for cell in cells]
        for cell, reason in reasons:
            if reason and not reason.startswith(NOT_RUN):
                kind = "value" if cell.get("mean") is None else "interval"
                found.setdefault(f"No {kind} ({reason})", []).append(place.title)
                break
    return [f"{what}: {', '.join(titles)}." for what, titles in found.items()]


def _group(findings: Findings, place: Place, variant: str = "") -> Group:
    return findings.group(place.scene, variant or findings.main, place.way)


def _cell(
    findings: Findings, place: Place, row: str, column: str, variant: str = ""
) -> dict[str, Any]:
    """A measured value over the seeds, or the reason why it is not there."""
    group = _group(findings, place, variant)
    if not group:
        return {"reason": findings.why_not(place.scene)}
    part = "oracles" if row in ORACLES else "rows"
    if not any(row in run[part] for run in group):
        return {"reason": findings.why_not(place.scene, row)}
    return over_runs(group, part, row, column)


def _text(cell: Mapping[str, Any]) -> str:
    return NOT_RUN if str(cell.get("reason")).startswith(NOT_RUN) else cell_text(cell)


def _figure_text(table: int, method: str, place: Place) -> str:
    """The paper's figure, a dash where it has none, nothing on scenes that it does not know."""
    figure = figure_of(table, method, place.paper_scene)
    if figure is None:
        return DASH if place.paper_scene else ""
    return f"{figure:.1f}"


def _beside(findings: Findings, place: Place, row: str) -> str:
    """The paper's figure below a measured one, marked where it is not for the same thing."""
    text = _figure_text(1, paper_method(row), place)
    if text in ("", DASH):
        return text
    run = next((run for run in _group(findings, place) if row in run["rows"]), None)
    return marked(text, run, row, with_backbone=True)


def _beside_2(findings: Findings, place: Place, variant: str, method: str) -> str:
    text = _figure_text(2, method, place)
    if text in ("", DASH):
        return text
    return marked(text, next(iter(_group(findings, place, variant)), None), "ours")


def _quoted(method: str, place: Place) -> str:
    """A figure of the upper block of Table 1: of another protocol, all of it."""
    text = _figure_text(1, method, place)
    return text if text in ("", DASH) else f"{text} {DOUBLE_DAGGER}"


def _paper_backbone(backbone: str) -> str:
    """The paper's name of a backbone; empty where it does not have it."""
    return PAPERS_BACKBONE if backbone == PAPERS_BACKBONE else TABLE_2.get(backbone, "")


def _count_text(mean: float) -> str:
    return f"{mean:,.0f}" if mean == round(mean) else f"{mean:,.1f}"


def _values(cell: Mapping[str, Any]) -> Record:
    return {name: cell[name] for name in VALUES if name in cell}


def _difference_values(found: Mapping[str, Any]) -> Record:
    return {"mean": found["difference"], **_values(found)}


def _write_csv(table: pd.DataFrame, path: Path) -> None:
    table.round(3).to_csv(path, index=False, lineterminator="\n")


def _read_part(path: str | Path, key: str) -> dict[str, Any]:
    """Read a JSON file about one run that must hold a key."""
    content = read_json(path)
    try:
        _ = content[key], content["about"]["scene"], content["about"]["variant"]
    except (KeyError, TypeError) as error:
        raise SdorError(damaged(path, error)) from error
    found: dict[str, Any] = content
    return found
