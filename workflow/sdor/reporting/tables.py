"""The tables of a study: selections of findings, as `report/tables.yaml` has their columns."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

from sdor.files import atomic
from sdor.reporting.comparisons import comparisons
from sdor.reporting.findings import (
    ALL_UMN,
    INITIAL,
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
    PAPERS_BACKBONE,
    QUOTED_BLOCK,
    TABLE_2,
    overrides_text,
    paper_method,
    paper_values,
    reported,
    weights_text,
)
from sdor.reporting.typeset import (
    COLUMNS,
    DAGGER,
    DASH,
    DOUBLE_DAGGER,
    METRICS,
    TABLES,
    WORDS,
    Page,
    Row,
    Table,
    row_name,
    text,
)
from sdor.study.settings import MotionMethod

JUDGED_TITLES = dict(zip(JUDGED, ("merged", "test clips alone", "within clips"), strict=True))
# The test clips first: those that published figures are over.
LOCALISED = {"test_only": "test clips", "all_clips": "all clips"}
WAYS = {"raw": "as they are", "ranks": "as ranks"}


class Place(NamedTuple):
    """A column of Tables 1 and 2: a scene, or several pooled in a way."""

    title: str
    scene: str
    way: str = ""
    paper: str = ""  # the scene whose values of the paper are shown there, if any


def write_tables(findings_path: str | Path, folder: str | Path) -> None:
    """Write every page as CSV, Markdown and LaTeX (the comparisons, which are long, without it).

    The CSV of a page holds the findings that it shows, that of `auc` all there are.

    Raises
    ------
    SdorError : the findings are missing or damaged.
    """
    findings = read_findings(findings_path)
    for page in (scene_page(findings), *paper_pages(findings)):
        files = {"csv": page.csv(), "md": page.printed("md")}
        if page.name != "comparisons":
            files["tex"] = page.printed("tex")
        for suffix, content in files.items():
            with atomic(Path(folder) / f"{page.name}.{suffix}") as temporary:
                temporary.write_text(content)


def scene_page(findings: Findings) -> Page:
    """A table of each scene and variant, one of the variants, and what was not run."""
    tables = [scene_table(findings, *key) for key in findings.grouped]
    tables += [*variants_table(findings), *not_run_table(findings)]
    return Page("auc", tables, every=findings.cells.values())


def paper_pages(findings: Findings) -> list[Page]:
    """The paper's tables, the numbers of its figures and ours, in the order of the report."""
    makers = (table_1, table_2, events, localisation, feedback, rates, ablations, comparisons)
    return [maker(findings) for maker in makers]


def scene_table(findings: Findings, scene: str, variant: str) -> Table:
    """Detectors and oracles of one scene and variant."""
    about = {"scene": scene, "variant": variant}
    count = findings.counts[scene, variant]
    runs = findings.grouped[scene, variant]
    motion = isinstance(runs[0].method, MotionMethod)
    # The first running mean stands in the table already, and the last one, if it is the answer.
    doubled = (f"{STEPS[1]}1", "" if motion else f"{STEPS[1]}{count['iterations']:.0f}")
    headings = dict.fromkeys(ORACLES, WORDS["oracles"])
    rows = [
        _row(findings, [row_name(row)], "scene", headings.get(row, ""), **about, row=row)
        for row in findings.rows[scene, variant, ""]
        if findings.is_measured(scene, variant) and row not in doubled
    ]
    ours = _row(findings, [], "scene", **about)
    cells = dict(zip(METRICS.values(), ours.findings[:-1], strict=True))
    first = " of the first seed" if (scene, variant) in findings.partial else ""
    averages = [METRICS[metric] for metric in ("within_clip", "macro_auc")]
    header = [
        f"{name} (clips: {cell.clips or 0}{first})" if name in averages else name
        for name, cell in cells.items()
    ]
    skipped = [
        f"{count['draws'] - cell.draws:,.0f} of {name}"
        for name, cell in cells.items()
        if cell.draws is not None and cell.draws < count["draws"]
    ]
    notes = [*_marks(rows), *_missing(list(cells), [ours])]
    notes += [f"{WORDS['skipped']}: {', '.join(skipped)}."] if skipped else []
    notes += [WORDS["motion"]] if motion else []
    caption = WORDS["scene_caption"].format(
        **{name: f"{one:,.5g}" if one % 1 else f"{one:,.0f}" for name, one in count.items()},
        first=first and f" (counts{first})",
        seeds=", ".join(str(run.seed) for run in runs),
        backbone=runs[0].method.backbone,
        weights=weights_text(runs[0]),
    )
    names = ["detector", *header, "reported"]
    return Table(f"{scene}, variant {variant}", names, rows, caption, notes).compact()


def pseudo_label_table(findings: Findings, scene: str, variant: str) -> Table:
    """How pure the pseudo labels of each iteration were (of the labelled frames)."""
    about = {"scene": scene, "variant": variant}
    steps = range(1, int(findings.counts[scene, variant]["iterations"]) + 1)
    motion = isinstance(findings.grouped[scene, variant][0].method, MotionMethod)
    kind = "place_labels" if motion else "pseudo_labels"
    rows = [_row(findings, [str(t)], kind, **about, row=f"{STEPS[0]}{t}") for t in steps]
    header = ["iteration", *COLUMNS[kind]]
    return Table("Pseudo labels", header, rows, WORDS["pseudo_labels"])


def variants_table(findings: Findings) -> list[Table]:
    """The final score of every variant, of the scenes that have several; none, if none has."""
    rows = [
        _row(findings, [key[1], overrides_text(runs[0])], "variants", key[0], *key)
        for key, runs in findings.grouped.items()
        if len(findings.variants(key[0])) > 1
    ]
    header = ["variant", "differs in", *COLUMNS["variants"]]
    table = Table("Variants", header, rows, WORDS["every_variant"], _marks(rows))
    return [table.compact()] if rows else []


def glance_table(findings: Findings, shown: Sequence[Side]) -> Table:
    """The final score beside the initial scores, one line for each scene and variant shown."""
    rows = [_row(findings, key, "glance", "", *key) for key in shown if findings.is_measured(*key)]
    header = ["scene", "variant", *COLUMNS["glance"]]
    return Table("At a glance", header, rows, notes=_marks(rows)).compact()


def not_run_table(findings: Findings) -> list[Table]:
    """Scenes of the configuration that were not run, and why; none, if all were."""
    rows = [Row((scene, NOT_RUN, reason)) for scene, reason in findings.plan.not_run.items()]
    return [Table("Not run", ["scene", "", "reason"], rows)] if rows else []


def table_1(findings: Findings) -> Page:
    """Table 1: all methods on all scenes by `JUDGED`; merged stand the paper's values beside."""
    places, main = _places(findings), findings.plan.main
    measured = any(findings.is_measured(place.scene, main, place.way) for place in places)
    tables = [_table_1(findings, places, metric) for metric in JUDGED] if measured else []
    return Page("table1", [*tables, *not_run_table(findings)] if measured else [])


def table_2(findings: Findings) -> Page:
    """Table 2: our method with other backbones by `JUDGED`; merged with the paper's values."""
    asked = findings.plan.backbones.variants
    return Page("table2", [_table_2(findings, metric) for metric in JUDGED if asked])


def events(findings: Findings) -> Page:
    """Anomalies found against seconds watched, of the main variant and of its initial scores."""
    rows, main = [], findings.plan.main
    for scene, row in product(findings.scenes, (OURS, INITIAL)):
        line = _row(findings, [row_name(row)], "events", scene, scene, main, row=row)
        rows += [line] if all(cell.by_seed for cell in line.findings) else []
    header = ["ranked by", *COLUMNS["events"]]
    table = Table(TABLES["pages"]["events"]["title"], header, rows)
    return Page("events", [table] if rows else [])


def localisation(findings: Findings) -> Page:
    """How well the saliency maps show where an anomaly is."""
    runs = dict.fromkeys(key[:2] for key in findings.cells if key.way in LOCALISED)
    rows, missing = [], {}
    for scene, variant in runs:
        for way, clips in LOCALISED.items():
            about = {"scene": scene, "variant": variant, "way": way}
            row = _row(findings, [scene, variant, clips], "localisation", **about)
            if any(cell.by_seed for cell in row.findings):
                rows.append(row)
            else:
                missing[f"{scene}, {clips}"] = row.findings[0]
    notes = _missing(list(missing), [Row(tuple(missing.values()))])
    header = ["scene", "variant", "clips", *COLUMNS["localisation"]]
    tables = [Table("Localisation", header, rows, notes=notes)] if rows else []
    return Page("localisation", tables, asked=bool(runs))


def feedback(findings: Findings) -> Page:
    """Figure 3 in numbers: AUC after each round, with and without the frames that were marked."""
    rows = []
    for key in [one for one in findings.cells if one.metric == "marked"]:
        about: Any = {"row": key.row, "round": key.round}
        heading = f"{key.scene}, variant {key.variant}"
        labels = [str(key.round)]
        rows.append(_row(findings, labels, "feedback", heading, key.scene, key.variant, **about))
    table = Table(TABLES["pages"]["feedback"]["title"], ["round", *COLUMNS["feedback"]], rows)
    return Page("feedback", [table] if rows else [])


def rates(findings: Findings) -> Page:
    """Figure 5 in numbers: the initial scores and ours where some anomalies are left out."""
    study, rows = findings.plan.anomaly_rates, []
    for scene in findings.scenes:
        asked = [one for one in study.on(scene) if (scene, one) in findings.grouped]
        for variant in [*asked, *findings.whole(scene, asked)]:
            labels = [f"as it is, variant {variant}", DASH]
            if (scene, variant) in findings.partial:
                names = ("anomaly_rate_asked", "events_kept", "events")
                rate, *kept = (findings.cell(scene, variant, "", metric=one) for one in names)
                labels = [f"{rate.mean:g} %", " of ".join(text(one) for one in kept)]
            rows.append(_row(findings, labels, "rates", scene, scene, variant))
    header = ["target", "events kept", *COLUMNS["rates"]]
    table = Table(TABLES["pages"]["rates"]["title"], header, rows)
    return Page("rates", [table] if rows else [], asked=bool(study.variants))


def ablations(findings: Findings) -> Page:
    """A table for each ablation."""
    plan, tables = findings.plan, []
    header = ["variant", "differs in", *COLUMNS["ablations"]]
    header += [f"difference, {METRICS[metric]}" for metric in JUDGED]
    for title, study in plan.ablations.items():
        rows, unmeasured = [], []
        for scene in study.scenes:
            asked = [one for one in study.on(scene) if (scene, one) in findings.grouped]
            if not _has_truth(findings, scene):
                unmeasured.append(scene)
                continue
            for variant in asked:
                against = held_against(asked, plan.main)
                labels = [variant, overrides_text(findings.grouped[scene, variant][0]) or DASH]
                heading = f"{scene}; differences to variant {against}"
                row = _row(findings, labels, "ablations", heading, scene, variant)
                other = f"{against}/{OURS}"
                gaps = [findings.cell(scene, variant, metric=one, against=other) for one in JUDGED]
                cells = (*row.cells, *(gaps if variant != against else [""] * len(gaps)))
                rows.append(replace(row, cells=cells))
        notes = [f"Not run or without ground truth: {', '.join(unmeasured)}."] if unmeasured else []
        name = title.replace("_", " ")
        name = f"{name[:1].upper()}{name[1:]}"
        tables += [Table(name, header, rows, notes=notes)] if rows else []
    return Page("ablations", tables, asked=bool(plan.ablations))


def _table_1(findings: Findings, places: Sequence[Place], metric: str) -> Table:
    main, merged = findings.plan.main, metric == "merged"
    known = reported()[reported()["table"] == 1].drop_duplicates("method").set_index("method")
    quoted = list(known.index[known["block"] == QUOTED_BLOCK])
    blocks = {
        WORDS["upper"]: quoted if merged else [],
        WORDS["lower"]: _measured_rows(findings, places),
        WORDS["oracles"]: ORACLES,
    }
    rows: list[Row] = []
    for heading, names in blocks.items():
        for row in names:
            method, label = paper_method(row), row_name(row, short=True)
            if row not in quoted:
                cells = _measured(findings, places, main, row, metric)
                rows.append(Row((label, *cells), heading, "strong" if row == OURS else ""))
            if merged and method in known.index:
                name, number = (str(known.loc[method, one]) for one in ("name", "reference"))
                label = (name if row in quoted else "reported") + (f" [{number}]" if number else "")
                beside = _beside(findings, places, main, row, "table 1")
                rows.append(Row((label, *beside), heading, "quiet"))
    notes: list[str] = []
    if merged:
        notes += [*_marks(rows), WORDS["del_giorno"], WORDS["unmasking"]]
        notes += [WORDS["umn"]] if any(place.paper and place.way for place in places) else []
        blind = [scene for scene in findings.scenes if not _has_truth(findings, scene)]
        words = "Ranked but not measured, for want of ground truth"
        notes += [f"{words}: {', '.join(blind)}."] if blind else []
    titles = [place.title for place in places]
    return Table(
        f"Table 1, {JUDGED_TITLES[metric]}",
        ["method", *titles],
        rows,
        f"Frame AUC in percent, {METRICS[metric]}. Our method is variant {main}.",
        [*notes, *_missing(titles, [row for row in rows if row.style == "strong"])],
    )


def _table_2(findings: Findings, metric: str) -> Table:
    merged, study = metric == "merged", findings.plan.backbones
    places = [
        place
        for place in _places(findings)
        if (place.scene in study.scenes and not place.way)
        or (place.way in ("", "raw") and (2, PAPERS_BACKBONE, place.scene) in paper_values())
    ]
    titles = [place.title for place in places]
    runs = {one: run for one in study.variants if (run := findings.about(one)) is not None}
    methods = {variant: TABLE_2.get(run.method.backbone, "") for variant, run in runs.items()}
    rows: list[Row] = []
    for variant, method in methods.items():
        backbone = runs[variant].method.backbone
        name = TABLES["networks"].get(backbone) or TABLES["backbones"].get(method, backbone)
        cells = _measured(findings, places, variant, OURS, metric)
        rows.append(Row((f"{name}, variant {variant}", *cells)))
        if merged and method:
            beside = _beside(findings, places, variant, method, "table 2")
            rows.append(Row(("reported", *beside), style="quiet"))
    notes = [*_marks(rows), *_missing(titles, [row for row in rows if row.style != "quiet"])]
    for method, name in TABLES["backbones"].items():
        if merged and method not in methods.values():
            beside = _beside(findings, places, "", method, "table 2")
            rows.append(Row((name, *(NOT_RUN for _ in places))))
            rows.append(Row(("reported", *beside), style="quiet"))
    if merged and "3dconv" in methods.values():
        notes.append(WORDS["three_d"])
    more = {name: overrides_text(run, without="backbone") for name, run in runs.items()}
    if len(set(more.values())) > 1:
        listed = "; ".join(f"{name}: {words or 'no more'}" for name, words in more.items())
        notes.append(f"The variants differ in more than the network. {listed}.")
    absent = [name for name in study.variants if name not in runs]
    notes += [f"Not run: variants {', '.join(absent)}."] if absent else []
    return Table(
        f"Table 2, {JUDGED_TITLES[metric]}",
        ["backbone", *titles],
        rows,
        f"Frame AUC of our method in percent, {METRICS[metric]}.",
        notes,
    )


def _row(
    findings: Findings,
    labels: Sequence[str],
    table: str,
    heading: str = "",
    scene: str = "",
    variant: str = "",
    **about: Any,
) -> Row:
    """A line of findings about one thing, in the columns that `tables.yaml` has for a table."""
    columns = COLUMNS[table].values()
    cells = (findings.cell(scene, variant, **{**about, **column}) for column in columns)
    return Row((*labels, *cells), heading)


def _measured(
    findings: Findings, places: Sequence[Place], variant: str, row: str, metric: str
) -> list[Cell]:
    """What was measured in each column."""
    return [findings.cell(one.scene, variant, row, way=one.way, metric=metric) for one in places]


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
    paper = {*reported()["method"]}
    listed = [one for one in TABLES["rows"] if one in known or paper_method(one) in paper]
    rows = dict.fromkeys((*listed, *known))
    return [row for row in rows if not row.startswith((*STEPS, *ORACLES))]


def _places(findings: Findings) -> list[Place]:
    """The paper's scenes, then others with ground truth; these first if none of its own was run."""
    pools, titles = findings.plan.pools, TABLES["scenes"]
    own = {*titles, ALL_UMN, *(pool.joint for pool in pools.values())}
    places = [Place(title, scene, "", scene) for scene, title in titles.items()]
    places += [Place(scene, scene) for scene in findings.scenes if scene not in own]
    if ALL_UMN not in pools:
        places.append(Place("UMN all", ALL_UMN, "", ALL_UMN))
    for name, pool in pools.items():
        title, paper = ("UMN all", name) if name == ALL_UMN else (name, "")
        places += [Place(f"{title}, {words}", name, way, paper) for way, words in WAYS.items()]
        if pool.joint or paper:
            joint = (pool.joint, "") if pool.joint else (name, "joint")
            places.append(Place(f"{title}, one model", *joint, paper))
    run = {(scene, way) for scene, _, way in findings.rows}
    paper_first = any(place.paper and (place.scene, place.way) in run for place in places)
    shown = [one for one in places if one.paper or one.way or _has_truth(findings, one.scene)]
    return sorted(shown, key=lambda place: bool(place.paper) != paper_first)


def _has_truth(findings: Findings, scene: str) -> bool:
    return any(findings.is_measured(scene, variant) for variant in findings.variants(scene))


def _missing(names: Sequence[str], rows: Iterable[Row]) -> list[str]:
    """Why values or intervals are missing: of each column, the first that does not exist."""
    found: dict[str, list[str]] = {}
    for name, cells in zip(names, zip(*(row.findings for row in rows), strict=True), strict=False):
        for cell in [one for one in cells if one.reason and not one.reason.startswith(NOT_RUN)][:1]:
            what = "value" if cell.mean is None else "interval"
            found.setdefault(f"No {what} ({cell.reason})", []).append(name)
    return [f"{what}: {', '.join(names)}." for what, names in found.items()]


def _marks(rows: Iterable[Row]) -> list[str]:
    """What the marks beside the paper's values mean, by those of our method."""
    cells = [cell for row in rows for cell in row.findings if cell.key.source == REPORTED]
    differing = {
        cell.key.variant: cell.settings.partition(DIFFER)[2]
        for cell in cells
        if cell.key.row == OURS and DIFFER in cell.settings
    }
    notes = [
        f"{DAGGER} The paper's value is for its own settings ({WORDS['in_parentheses']}); variant "
        f"{variant} differs in: {settings}."
        for variant, settings in differing.items()
    ]
    quoted = any(DOUBLE_DAGGER in text(cell) for cell in cells)
    return [*notes, WORDS["protocol"]] if quoted else notes
