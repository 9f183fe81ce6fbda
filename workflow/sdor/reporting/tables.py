"""The tables of a study: selections of findings, as `report/tables.yaml` has their columns."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sdor.files import atomic
from sdor.reporting import comparisons
from sdor.reporting.findings import (
    ALL_UMN,
    JUDGED,
    NOT_RUN,
    ORACLES,
    OURS,
    REPORTED,
    STEPS,
    Cell,
    Findings,
    Key,
    Side,
    held_against,
    read_findings,
)
from sdor.reporting.reported import (
    DIFFER,
    INITIAL_ROWS,
    QUOTED_BLOCK,
    TABLE_2,
    overrides_text,
    paper_method,
    reported,
)
from sdor.reporting.typeset import (
    DAGGER,
    DASH,
    DOUBLE_DAGGER,
    TABLES,
    Row,
    Table,
    count_of,
    csv_text,
    printed,
    row_name,
    text,
)
from sdor.study.plan import Comparison

METRICS, COLUMNS, WORDS = TABLES["metrics"], TABLES["columns"], TABLES["words"]
LOCALISED = {"all_clips": "all clips", "test_only": "test clips"}
WAYS = {"raw": "as they are", "ranks": "as ranks"}


@dataclass(frozen=True)
class Page:
    """One of the files of tables.

    Attributes
    ----------
    name : of its files.
    tables : empty where there is nothing to show.
    nothing : one line on why.
    """

    name: str
    tables: Sequence[Table]
    nothing: str

    @property
    def title(self) -> str:
        """Its heading."""
        return str(TABLES["pages"][self.name]["title"])

    @property
    def explanation(self) -> str:
        """How to read it."""
        return str(TABLES["pages"][self.name]["explanation"]).format(**WORDS)

    @classmethod
    def of(cls, name: str, tables: Sequence[Table], *, asked: bool = False) -> "Page":
        """A page; where it has no table: whether it was asked for."""
        reasons = TABLES["pages"][name]["nothing"]
        return cls(name, tables, f"{NOT_RUN}: {reasons[-1 if asked else 0]}.")


@dataclass(frozen=True)
class Place:
    """A column of Tables 1 and 2: a scene, or several pooled.

    Attributes
    ----------
    way : how a pool was pooled; empty for a scene.
    paper : the scene whose values of the paper are shown there; empty: none are.
    """

    title: str
    scene: str
    way: str = ""
    paper: str = ""


def write_tables(findings_path: str | Path, folder: str | Path) -> None:
    """Write every page as CSV, Markdown and LaTeX, and the comparisons as CSV and in words.

    The CSV of a page holds the findings that it shows, that of `auc` all there are.

    Raises
    ------
    SdorError : the findings are missing or damaged.
    """
    findings = read_findings(findings_path)
    passages = comparisons.passages(findings)
    differences = [("", cell) for passage in passages for cell in passage.cells]
    files = {
        "comparisons.csv": csv_text(differences, comparisons.NOTHING),
        "comparisons.md": comparisons.page(passages),
    }
    for page in (scene_page(findings), *paper_pages(findings)):
        rows = [(table.title, row) for table in page.tables for row in table.rows]
        shown = [(title, cell) for title, row in rows for cell in row.findings]
        if page.name == "auc":
            shown = [("", cell) for cell in findings.cells.values()]
        files[f"{page.name}.csv"] = csv_text(shown, page.nothing)
        tables, explanation = page.tables, page.explanation
        if not tables:
            tables, explanation = [Table(page.title, (), (), page.nothing)], ""
        words = {"title": page.title, "explanation": explanation}
        for kind in ("md", "tex"):
            files[f"{page.name}.{kind}"] = printed(f"tables.{kind}.j2", tables=tables, **words)
    for name, content in files.items():
        with atomic(Path(folder) / name) as temporary:
            temporary.write_text(content)


def scene_page(findings: Findings) -> Page:
    """A table of each scene and variant, one of the variants, and what was not run."""
    tables = [scene_table(findings, *key) for key in findings.grouped]
    return Page.of("auc", [*tables, *variants_table(findings), *not_run_table(findings)])


def paper_pages(findings: Findings) -> list[Page]:
    """The paper's tables and the numbers of its figures, in the order of the report."""
    makers = (table_1, table_2, localisation, feedback, rates, ablations)
    return [maker(findings) for maker in makers]


def scene_table(findings: Findings, scene: str, variant: str) -> Table:
    """Detectors and oracles of one scene and variant."""
    about = {"scene": scene, "variant": variant}
    count = findings.counts[scene, variant]
    # The first and the last running mean stand in the table already, under other names.
    doubled = (f"{STEPS[1]}1", f"{STEPS[1]}{count['iterations']:.0f}")
    rows = [
        _row(findings, [row_name(row)], COLUMNS["scene"], **about, row=row)
        for row in findings.rows[scene, variant, ""]
        if findings.is_measured(scene, variant) and row not in doubled
    ]
    oracle = row_name(ORACLES[0])
    rows = [replace(row, rule=row.cells[0] == oracle) for row in rows]
    row = _row(findings, [], COLUMNS["scene"], **about)
    *cells, known = row.findings
    ours = dict(zip(METRICS.values(), cells, strict=True))
    runs, first = findings.grouped[scene, variant], findings.of_first_seed(scene, variant)
    within = count_of(ours["within-clip"].clips or 0, "clip")
    header = [f"{name} ({within}{first})" if name == "within-clip" else name for name in ours]
    notes = [*_marks(rows, [("this run", known)]), *_missing(list(ours), [row])]
    skipped = [
        f"{count_of(count['draws'] - cell.draws, 'draw')} of {name}"
        for name, cell in ours.items()
        if cell.draws is not None and cell.draws < count["draws"]
    ]
    notes += [f"{WORDS['skipped']}: {', '.join(skipped)}."] if skipped else []
    weights = runs[0].weights
    sha256 = f" (sha256 {weights.sha256[:12]})" if weights and weights.sha256 else ""
    caption = (
        f"{count['frames']:,.0f} frames in {count_of(count['clips'], 'clip')} "
        f"({count['training_clips']:.0f} training, {count['test_clips']:.0f} test); "
        f"{count['labelled_frames']:,.0f} frames labelled, {count['anomalous_frames']:,.0f} "
        f"anomalous{f' (counts{first})' if first else ''}; {count_of(len(runs), 'seed')} "
        f"({', '.join(str(run.seed) for run in runs)}); {count_of(count['draws'], 'draw')} of "
        f"{count_of(count['labelled_clips'], 'labelled clip')}{first}; smoothing sigma "
        f"{count['smoothing_sigma']:g} frames; backbone {runs[0].method.backbone}, weights "
        f"{weights.source if weights else 'not stated'}{sha256}."
    )
    names = ["detector", *header, "reported"]
    return Table(f"{scene}, variant {variant}", names, rows, caption, notes).compact()


def pseudo_label_table(findings: Findings, scene: str, variant: str) -> Table:
    """How pure the pseudo labels of each iteration were (of the labelled frames)."""
    columns, about = COLUMNS["pseudo_labels"], {"scene": scene, "variant": variant}
    steps = range(1, int(findings.counts[scene, variant]["iterations"]) + 1)
    rows = [_row(findings, [str(t)], columns, **about, row=f"{STEPS[0]}{t}") for t in steps]
    return Table("Pseudo labels", ["iteration", *columns], rows, WORDS["pseudo_labels"])


def variants_table(findings: Findings) -> list[Table]:
    """The final score of every variant, of the scenes that have several; none, if none has."""
    columns, rows = COLUMNS["variants"], []
    for (scene, variant), (run, *_) in findings.grouped.items():
        if len(findings.variants(scene)) > 1:
            labels = [variant, overrides_text(run)]
            rows.append(_row(findings, labels, columns, scene, scene=scene, variant=variant))
    header, notes = ["variant", "differs in", *columns], _marks(rows, _last(rows))
    table = Table("Variants", header, rows, WORDS["variants"], notes)
    return [table.compact()] if rows else []


def glance_table(findings: Findings, shown: Sequence[Side]) -> Table:
    """The final score beside the initial scores, one line for each scene and variant shown."""
    rows = [
        _row(findings, [scene, variant], COLUMNS["glance"], scene=scene, variant=variant)
        for scene, variant in shown
        if findings.is_measured(scene, variant)
    ]
    header, notes = ["scene", "variant", *COLUMNS["glance"]], _marks(rows, _last(rows))
    return Table("At a glance", header, rows, notes=notes).compact()


def not_run_table(findings: Findings) -> list[Table]:
    """Scenes of the configuration that were not run, and why; none, if all were."""
    rows = [Row((scene, NOT_RUN, reason)) for scene, reason in findings.plan.not_run.items()]
    return [Table("Not run", ["scene", "", "reason"], rows)] if rows else []


def table_1(findings: Findings) -> Page:
    """Table 1: all methods on all scenes, merged with the paper's values, and test clips alone."""
    places, main = _places(findings), findings.plan.main
    measured = any(findings.is_measured(place.scene, main, place.way) for place in places)
    tables = [_table_1(findings, places, metric) for metric in JUDGED] if measured else []
    return Page.of("table1", [*tables, *not_run_table(findings)] if measured else [])


def table_2(findings: Findings) -> Page:
    """Table 2: our method with other backbones, merged with the paper's values, and test-only."""
    asked = findings.plan.backbones.variants
    return Page.of("table2", [_table_2(findings, metric) for metric in JUDGED if asked])


def localisation(findings: Findings) -> Page:
    """How well the saliency maps show where an anomaly is."""
    runs = dict.fromkeys(key[:2] for key in findings.cells if key.way in LOCALISED)
    columns, rows = COLUMNS["localisation"], []
    missing: dict[str, Row] = {}
    for scene, variant in runs:
        for way, clips in LOCALISED.items():
            about = {"scene": scene, "variant": variant, "way": way}
            row = _row(findings, [scene, variant, clips], columns, **about)
            if any(cell.by_seed for cell in row.findings):
                rows.append(row)
            elif scene not in missing:
                title = scene if way == "all_clips" else f"{scene}, {clips}"
                missing[title] = row
    header = ["scene", "variant", "clips", *columns]
    first = Row(tuple(row.findings[0] for row in missing.values()))
    table = Table("Localisation", header, rows, notes=_missing(list(missing), [first]))
    return Page.of("localisation", [table] if rows else [], asked=bool(runs))


def feedback(findings: Findings) -> Page:
    """Figure 3 in numbers: AUC after each round, with and without the frames that were marked."""
    columns, rows = COLUMNS["feedback"], []
    for key in [one for one in findings.cells if one.metric == "marked"]:
        about = {"scene": key.scene, "variant": key.variant, "row": key.row, "round": key.round}
        heading = f"{key.scene}, variant {key.variant}"
        rows.append(_row(findings, [str(key.round)], columns, heading, **about))
    table = Table(TABLES["pages"]["feedback"]["title"], ["round", *columns], rows)
    return Page.of("feedback", [table] if rows else [])


def rates(findings: Findings) -> Page:
    """Figure 5 in numbers: the initial scores and ours where some anomalies are left out."""
    study, rows = findings.plan.anomaly_rates, []
    for scene in findings.scenes:
        asked = _asked(findings, study, scene)
        for variant in [*asked, *findings.whole(scene, asked)]:
            labels = [f"as it is, variant {variant}", DASH]
            if (scene, variant) in findings.partial:
                names = ("anomaly_rate_asked", "events_kept", "events")
                rate, *kept = (findings.cell(scene, variant, "", metric=one) for one in names)
                labels = [f"{rate.mean:g} %", " of ".join(text(one) for one in kept)]
            about = {"scene": scene, "variant": variant}
            rows.append(_row(findings, labels, COLUMNS["rates"], scene, **about))
    header = ["target", "events kept", *COLUMNS["rates"]]
    table = Table(TABLES["pages"]["rates"]["title"], header, rows)
    return Page.of("rates", [table] if rows else [], asked=bool(study.variants))


def ablations(findings: Findings) -> Page:
    """A table for each ablation."""
    main, ablations, tables = findings.plan.main, findings.plan.ablations, []
    header = ["variant", "differs in", *COLUMNS["ablations"]]
    header += [f"difference, {METRICS[metric]}" for metric in JUDGED]
    for title, study in ablations.items():
        known = {scene: _asked(findings, study, scene) for scene in findings.scenes}
        blind = [scene for scene in known if known[scene] and not _has_truth(findings, scene)]
        absent, rows = [scene for scene in study.scenes if scene not in known], []
        for scene, asked in known.items():
            for variant in asked if scene not in blind else ():
                against = held_against(asked, main)
                heading = f"{scene}; differences to variant {against}"
                labels = [variant, overrides_text(findings.grouped[scene, variant][0]) or DASH]
                about = {"scene": scene, "variant": variant}
                row = _row(findings, labels, COLUMNS["ablations"], heading, **about)
                gaps: list[str | Cell] = [
                    findings.cell(**about, metric=metric, against=f"{against}/{OURS}")
                    if variant != against
                    else ""
                    for metric in JUDGED
                ]
                rows.append(replace(row, cells=(*row.cells, *gaps)))
        notes = [f"Not run: {', '.join(absent)}."] if absent else []
        notes += [f"Not measured (no ground truth): {', '.join(blind)}."] if blind else []
        words = title.replace("_", " ")
        name = f"{words[:1].upper()}{words[1:]}"
        tables += [Table(name, header, rows, notes=notes)] if rows else []
    return Page.of("ablations", tables, asked=bool(ablations))


def _table_1(findings: Findings, places: Sequence[Place], metric: str) -> Table:
    main, merged = findings.plan.main, metric == "merged"
    titles = [place.title for place in places]
    known = reported()[reported()["table"] == 1].drop_duplicates("method").set_index("method")
    upper = list(known.index[known["block"] == QUOTED_BLOCK]) if merged else []
    blocks = {
        WORDS["upper"]: upper,
        WORDS["lower"] + (WORDS["below"] if merged else ""): _measured_rows(findings, places),
        WORDS["oracles"]: ORACLES,
    }
    rows: list[Row] = []
    for heading, names in blocks.items():
        for row in names:
            method = paper_method(row)
            if row not in upper:
                label, style = row_name(row, short=True), "strong" if row == OURS else ""
                cells = _measured(findings, places, main, row, metric)
                rows.append(Row((label, *cells), heading, style))
            if merged and method in known.index:
                name, number = (str(known.loc[method, one]) for one in ("name", "reference"))
                label = (name if row in upper else "reported") + (f" [{number}]" if number else "")
                beside = _beside(findings, places, main, row, "table 1")
                rows.append(Row((label, *beside), heading, "quiet"))
    ours = _beside(findings, places, main, OURS, "table 1")
    notes = [*_marks(rows, [(f"variant {main}", one) for one in ours]), WORDS["del_giorno"]]
    if sum(place.paper == ALL_UMN for place in places) > 1:
        notes.append(WORDS["umn"])
    blind = [scene for scene in findings.scenes if not _has_truth(findings, scene)]
    if blind:
        notes.append(f"Ranked but not measured, for want of ground truth: {', '.join(blind)}.")
    pooled = "all labelled frames pooled (merged)" if merged else "the test clips alone"
    return Table(
        "Table 1, merged" if merged else "Table 1, test clips alone",
        ["method", *titles],
        rows,
        f"Frame AUC in percent, {pooled}. Our method is variant {main}.",
        [
            *(notes if merged else []),
            *_missing(titles, [one for one in rows if one.style == "strong"]),
        ],
    )


def _table_2(findings: Findings, metric: str) -> Table:
    merged, variants = metric == "merged", findings.plan.backbones.variants
    places, names = _backbone_places(findings), TABLES["backbones"]
    titles = [place.title for place in places]
    runs = {one: run for one in variants if (run := findings.about(one)) is not None}
    methods = {name: TABLE_2.get(run.method.backbone, "") for name, run in runs.items()}
    networks = {name: TABLES["networks"].get(run.method.backbone) for name, run in runs.items()}
    rows: list[Row] = []
    known: list[tuple[str, str | Cell]] = []
    for variant, run in runs.items():
        method = methods[variant]
        name = networks[variant] or names.get(method, run.method.backbone)
        cells = _measured(findings, places, variant, OURS, metric)
        rows.append(Row((f"{name}, variant {variant}", *cells)))
        if merged and method:
            beside = _beside(findings, places, variant, method, "table 2")
            rows.append(Row(("reported", *beside), style="quiet"))
            known += [(f"variant {variant}", one) for one in beside]
    for method, name in names.items():
        if merged and method not in methods.values():
            beside = _beside(findings, places, "", method, "table 2")
            rows.append(Row((name, *(NOT_RUN for _ in places))))
            rows.append(Row(("reported", *beside), style="quiet"))
    notes = [
        *_marks(rows, known),
        *([WORDS["three_d"]] if merged and any(networks.values()) else []),
    ]
    more = {name: overrides_text(run, without="backbone") for name, run in runs.items()}
    if len(set(more.values())) > 1:
        listed = "; ".join(f"{name}: {words or 'no more'}" for name, words in more.items())
        notes.append(f"The variants differ in more than the network. {listed}.")
    absent = [name for name in variants if name not in runs]
    notes += [f"Not run: variants {', '.join(absent)}."] if absent else []
    if any(place.way for place in places):
        notes.append("UMN: one model a scene, whose scores are pooled as they are.")
    return Table(
        "Table 2, merged" if merged else "Table 2, test clips alone",
        ["backbone", *titles],
        rows,
        f"Frame AUC of our method in percent, {METRICS[metric]}.",
        [*notes, *_missing(titles, [one for one in rows if one.findings and not one.style])],
    )


def _row(
    findings: Findings,
    labels: Sequence[str],
    columns: Mapping[str, Mapping[str, str]],
    heading: str = "",
    **about: Any,
) -> Row:
    """A line of findings about one thing, in the columns of a table."""
    cells = (findings.cell(**{**about, **column}) for column in columns.values())
    return Row((*labels, *cells), heading)


def _last(rows: Iterable[Row]) -> list[tuple[str, str | Cell]]:
    """Variant and last cell of each line: the paper's value of our method."""
    return [(f"variant {row.findings[0].key.variant}", row.cells[-1]) for row in rows]


def _measured(
    findings: Findings, places: Sequence[Place], variant: str, row: str, metric: str
) -> list[Cell]:
    """What was measured in each column."""
    return [
        findings.cell(place.scene, variant, row, way=place.way, metric=metric) for place in places
    ]


def _beside(
    findings: Findings, places: Sequence[Place], variant: str, method: str, table: str
) -> list[str | Cell]:
    """The paper's values, a dash where it has none, nothing on scenes that it does not know.

    Parameters
    ----------
    method : a row of Table 1, or a backbone of Table 2.
    """
    own = Key("", variant, OURS, source=REPORTED)
    if table == "table 1":
        own = own._replace(row=method, against=table)
    alone = Key("", row=paper_method(method), against=table, source=REPORTED)
    return [
        findings.cells.get(own._replace(scene=place.scene, way=place.way))
        or findings.cells.get(alone._replace(scene=place.paper))
        or (DASH if place.paper else "")
        for place in places
    ]


def _measured_rows(findings: Findings, places: Iterable[Place]) -> list[str]:
    """The lower block of Table 1; rows that the paper has stand there in any case."""
    keys = [(place.scene, findings.plan.main, place.way) for place in places]
    known = dict.fromkeys(row for key in keys for row in findings.rows.get(key, ()))
    rows: list[str] = []
    for one in TABLES["competitors"]:
        rows += [*(part for part in one.get("parts", ()) if part in known), one["row"]]
    last = [*INITIAL_ROWS, OURS, "ours_smoothed"]
    others = [row for row in known if not row.startswith((*STEPS, *ORACLES))]
    return [*rows, *(row for row in others if row not in (*rows, *last)), *last]


def _places(findings: Findings) -> list[Place]:
    """The columns of Table 1: the paper's, then other scenes; these first if no other was run."""
    paper = [Place(title, scene, "", scene) for scene, title in TABLES["scenes"].items()]
    umn, pools = Place("UMN all", ALL_UMN, "", ALL_UMN), dict(findings.plan.pools)
    paper += _pool_places(umn, pools.pop(ALL_UMN).joint) if ALL_UMN in pools else [umn]
    pooled = [one for name in pools for one in _pool_places(Place(name, name), pools[name].joint)]
    known = {place.scene for place in (*paper, *pooled)}
    others = [Place(scene, scene) for scene in findings.scenes if scene not in known]
    shown = [one for one in (*others, *pooled) if one.way or _has_truth(findings, one.scene)]
    return _ordered(findings, paper, shown, [findings.plan.main])


def _pool_places(pool: Place, joint: str | None) -> list[Place]:
    """The three ways to put scenes together; of pools that are not the paper's, those asked for."""
    found = [replace(pool, title=f"{pool.title}, {words}", way=way) for way, words in WAYS.items()]
    if joint or pool.paper:
        scene, way = (joint, "") if joint else (pool.scene, "joint")
        found.append(Place(f"{pool.title}, one model", scene, way, pool.paper))
    return found


def _backbone_places(findings: Findings) -> list[Place]:
    """The columns of Table 2: the paper's, then other scenes of the comparison."""
    plan, titles = findings.plan, TABLES["scenes"]
    known = [scene for scene in titles if not scene.startswith(ALL_UMN)]
    paper = [Place(titles[scene], scene, "", scene) for scene in known]
    paper.append(Place("UMN all", ALL_UMN, "raw" if ALL_UMN in plan.pools else "", ALL_UMN))
    others = [
        Place(titles.get(scene, scene), scene)
        for scene in findings.scenes
        if scene in plan.backbones.scenes
        and scene not in (*known, ALL_UMN)
        and _has_truth(findings, scene)
    ]
    return _ordered(findings, paper, others, plan.backbones.variants)


def _ordered(
    findings: Findings, paper: list[Place], others: list[Place], variants: Sequence[str]
) -> list[Place]:
    """The paper's scenes first, unless none of them was run."""
    keys = [(place.scene, variant, place.way) for place in paper for variant in variants]
    return [*paper, *others] if any(key in findings.rows for key in keys) else [*others, *paper]


def _has_truth(findings: Findings, scene: str) -> bool:
    return any(findings.is_measured(scene, variant) for variant in findings.variants(scene))


def _asked(findings: Findings, study: Comparison, scene: str) -> list[str]:
    """The variants of a comparison that were run on a scene."""
    return [variant for variant in study.on(scene) if (scene, variant) in findings.grouped]


def _missing(names: Sequence[str], rows: Iterable[Row]) -> list[str]:
    """Why values or intervals are missing: of each column, the first that does not exist."""
    found: dict[str, list[str]] = {}
    for name, cells in zip(names, zip(*(row.findings for row in rows), strict=True), strict=False):
        for cell in [one for one in cells if one.reason and not one.reason.startswith(NOT_RUN)][:1]:
            what = "value" if cell.mean is None else "interval"
            found.setdefault(f"No {what} ({cell.reason})", []).append(name)
    return [f"{what}: {', '.join(names)}." for what, names in found.items()]


def _marks(rows: Iterable[Row], known: Iterable[tuple[str, str | Cell]]) -> list[str]:
    """What the marks beside the paper's values mean.

    Parameters
    ----------
    known : the paper's value of our method beside each run or variant.
    """
    differing = {
        who: cell.settings.partition(DIFFER)[2]
        for who, cell in known
        if isinstance(cell, Cell) and DIFFER in cell.settings
    }
    notes = [
        f"{DAGGER} The paper's value is for its own settings ({WORDS['in_parentheses']}); {who} "
        f"differs in: {settings}."
        for who, settings in differing.items()
    ]
    borne = any(DOUBLE_DAGGER in one for row in rows for one in row.texts)
    return [*notes, WORDS["protocol"]] if borne else notes
