"""The tables of a study, each defined once as a selection of findings: the paper's and ours."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from sdor.files import atomic
from sdor.reporting import comparisons
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
    held_against,
    read_findings,
)
from sdor.reporting.reported import (
    DIFFER,
    INITIAL_ROWS,
    PAPERS_BACKBONE,
    QUOTED_BLOCK,
    TABLE_2,
    THREE_D,
    THREE_D_NETWORK,
    cited,
    overrides_text,
    paper_method,
    reported,
    setting,
)
from sdor.reporting.typeset import (
    COLUMN_NAMES,
    CSV_COLUMNS,
    DAGGER,
    DASH,
    DOUBLE_DAGGER,
    Row,
    Table,
    count_of,
    csv_table,
    latex,
    markdown,
    row_name,
    text,
)

PAPER_SCENES = {
    "ped1": "Ped1",
    "ped2": "Ped2",
    "subway-entrance": "Subway Entrance",
    "subway-exit": "Subway Exit",
    "umn1": "UMN 1",
    "umn2": "UMN 2",
    "umn3": "UMN 3",
}
WAYS = {"raw": "as they are", "ranks": "as ranks"}
PAPER_BACKBONES = {"vgg16": "VGG", THREE_D: "3DConv", PAPERS_BACKBONE: "ResNet-50"}
# Our networks where they are not the paper's of that line.
OTHER_NETWORKS = {"i3d": "I3D (paper: 3DConv)", "r3d_18": "R3D-18 (paper: 3DConv)"}
# Of Table 1, above our own rows: what the paper has, and the settings that we run of it.
COMPETITORS = (
    *("unmasking_appearance", "unmasking_motion", "unmasking"),
    *("two_sample_appearance", "two_sample_motion", "two_sample_test"),
    *("del_giorno_1_w100", "del_giorno_1_w10", "del_giorno_2_w100", "del_giorno_2_w10"),
)
PARTS = ("_appearance", "_motion")
SHOWN = (*JUDGED, "average_precision")
LOCALISATION = {
    "pixel_auc": "pixel AUC",
    "pixel_criterion": "40 % criterion",
    "rbdc": "RBDC",
    "tbdc": "TBDC",
}
LOCALISED = {"all_clips": "all clips", "test_only": "test clips"}
FEEDBACK = ("all", "unmarked", "before", "gain")
GLANCE = ("initial", "ours", "gain")
EXPLANATION = (
    "Area under the ROC curve of the frames, in percent. merged: all labelled frames pooled, which "
    "is the paper's figure; train-side: anomalous frames against the frames of training clips; "
    "test-only: the test clips alone; within-clip: mean over the clips that hold both classes. AP: "
    "average precision, merged. A detector that only tells test clips from training clips does "
    "well on merged: see the oracles, which use the ground truth. ± is the standard deviation over "
    "seeds (none where nothing is random); brackets are 95 % intervals from resampling whole clips "
    "(bounds averaged over seeds). reported: the paper's own figure. A dash is a value that does "
    "not exist."
)
SPREAD = "± is the standard deviation over seeds, brackets are 95 % intervals from whole clips."
IN_PARENTHESES = (
    "in parentheses: the paper's, or this project's default where the paper states none"
)
PROTOCOL_NOTE = (
    f"{DOUBLE_DAGGER} The paper quotes these figures from other papers, which judged the test data "
    "alone: they do not compare with merged ones."
)


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
    title: str
    explanation: str
    tables: Sequence[Table] = ()
    nothing: str = ""


@dataclass(frozen=True)
class Place:
    """A column of Tables 1 and 2: a scene, or several pooled.

    Attributes
    ----------
    way : how a pool was pooled; empty for a scene.
    paper_scene : whose figures of the paper are shown there; empty: none are.
    """

    title: str
    scene: str
    way: str = ""
    paper_scene: str = ""


def write_tables(findings_path: str | Path, folder: str | Path) -> None:
    """Write every page as CSV, Markdown and LaTeX, and the comparisons as CSV and in words.

    The CSV of a page holds the findings that it shows, that of `auc` all there are.

    Raises
    ------
    SdorError : the findings are missing or damaged.
    """
    findings, folder = read_findings(findings_path), Path(folder)
    for page in (scene_page(findings), *paper_pages(findings)):
        tables = page.tables or [Table(page.title, (), (), page.nothing)]
        explanation = page.explanation if page.tables else ""
        cells = [(table.title, cell) for table in page.tables for cell in table.findings]
        if page.name == "auc":
            cells = [("", cell) for cell in findings.cells.values()]
        _write_csv(folder / f"{page.name}.csv", cells, page.nothing)
        with atomic(folder / f"{page.name}.md") as temporary:
            temporary.write_text(markdown(tables, page.title, explanation))
        with atomic(folder / f"{page.name}.tex") as temporary:
            temporary.write_text(latex(tables, page.title, explanation))
    compared = comparisons.passages(findings)
    differences = [("", cell) for passage in compared for cell in passage.cells]
    _write_csv(folder / "comparisons.csv", differences, comparisons.NOTHING)
    with atomic(folder / "comparisons.md") as temporary:
        temporary.write_text(comparisons.page(compared))


def scene_page(findings: Findings) -> Page:
    """A table of each scene and variant, one of the variants, and what was not run."""
    tables = [scene_table(findings, *key) for key in findings.grouped]
    return Page(
        "auc",
        "Frame-level AUC",
        EXPLANATION,
        [*tables, *variants_table(findings), *not_run_table(findings)],
    )


def paper_pages(findings: Findings) -> list[Page]:
    """The paper's tables and the numbers of its figures, in the order of the report."""
    makers = (table_1, table_2, localisation, feedback, rates, ablations)
    return [maker(findings) for maker in makers]


def scene_table(findings: Findings, scene: str, variant: str) -> Table:
    """Detectors and oracles of one scene and variant."""
    last = findings.count(scene, variant, "iterations")
    # The first and the last running mean stand in the table already, under other names.
    doubled = (f"{STEPS[1]}1", f"{STEPS[1]}{last:.0f}")
    shown = [row for row in findings.rows[scene, variant, ""] if row not in doubled]
    ours = {
        name: findings.cell(scene, variant, metric=metric) for metric, name in COLUMN_NAMES.items()
    }
    within = count_of(findings.cell(scene, variant, metric="within_clip").clips or 0, "clip")
    names = {"within-clip": f"within-clip ({within}{findings.of_first_seed(scene, variant)})"}
    rows = [
        Row(
            (
                row_name(row),
                *(findings.cell(scene, variant, row, metric=metric) for metric in COLUMN_NAMES),
                findings.cell(scene, variant, row, source=REPORTED),
            ),
            rule=row == ORACLES[0],
        )
        for row in shown
        if findings.is_measured(scene, variant)
    ]
    header = ("detector", *(names.get(name, name) for name in ours), "reported")
    known = findings.cell(scene, variant, source=REPORTED)
    notes = [*_marks(rows, [("this run", known)]), *_missing(ours)]
    draws = findings.count(scene, variant, "draws")
    skipped = [
        f"{count_of(draws - cell.draws, 'draw')} of {name}"
        for name, cell in ours.items()
        if cell.draws is not None and cell.draws < draws
    ]
    if skipped:
        notes.append(
            f"Left out of the intervals because a class was missing: {', '.join(skipped)}."
        )
    caption = _caption(findings, scene, variant)
    return Table.of(f"{scene}, variant {variant}", header, rows, caption, notes)


def pseudo_label_table(findings: Findings, scene: str, variant: str) -> Table:
    """How pure the pseudo labels of each iteration were (of the labelled frames)."""
    metrics = {
        "anomalous": "frames in A",
        "anomalous_precision": "truly anomalous",
        "normal": "frames in N",
        "normal_precision": "truly normal",
    }
    last = int(findings.count(scene, variant, "iterations"))
    rows = [
        Row(
            (
                str(t),
                *(findings.cell(scene, variant, f"{STEPS[0]}{t}", metric=one) for one in metrics),
            )
        )
        for t in range(1, last + 1)
    ]
    caption = (
        "What each iteration was trained on, held against the ground truth (percent; means over "
        "the seeds)."
    )
    return Table.of("Pseudo labels", ("iteration", *metrics.values()), rows, caption)


def variants_table(findings: Findings) -> list[Table]:
    """The final score of every variant, of the scenes that have several; none, if none has."""
    rows = []
    who: list[tuple[str, Cell]] = []
    for scene in findings.scenes:
        here = findings.variants(scene)
        for variant in here if len(here) > 1 else ():
            cells = [findings.cell(scene, variant, metric=metric) for metric in SHOWN]
            known = findings.cell(scene, variant, source=REPORTED)
            overrides = overrides_text(findings.grouped[scene, variant][0])
            heading = scene if variant == here[0] else ""
            rows.append(Row((variant, overrides, *cells, known), heading))
            who.append((f"variant {variant}", known))
    header = ("variant", "differs in", *_columns(SHOWN), "reported")
    caption = "The final score of every variant, in percent."
    return [Table.of("Variants", header, rows, caption, _marks(rows, who))] if rows else []


def glance_table(findings: Findings, shown: Sequence[tuple[str, str]]) -> Table:
    """The final score beside the initial scores, one line for each scene and variant shown."""
    rows = []
    who: list[tuple[str, Cell]] = []
    for scene, variant in shown:
        if findings.is_measured(scene, variant):
            known = findings.cell(scene, variant, source=REPORTED)
            who.append((f"variant {variant}", known))
            cells = [
                findings.cell(scene, variant, row, metric=metric, against=against)
                for metric in JUDGED
                for row, against in ((INITIAL, ""), (OURS, ""), (OURS, INITIAL))
            ]
            rows.append(Row((scene, variant, *cells, known)))
    names = [f"{name}, {column}" for column in _columns(JUDGED) for name in GLANCE]
    header = ("scene", "variant", *names, "reported")
    return Table.of("At a glance", header, rows, notes=_marks(rows, who))


def not_run_table(findings: Findings) -> list[Table]:
    """Scenes of the configuration that were not run, and why; none, if all were."""
    rows = [Row((scene, NOT_RUN, reason)) for scene, reason in findings.plan.not_run.items()]
    return [Table.of("Not run", ("scene", "", "reason"), rows)] if rows else []


def table_1(findings: Findings) -> Page:
    """Table 1: all methods on all scenes, merged with the paper's figures, and test clips alone."""
    places, main = _places(findings), findings.plan.main
    measured = any(findings.is_measured(place.scene, main, place.way) for place in places)
    tables = [_table_1(findings, places, metric) for metric in JUDGED if measured]
    return Page(
        "table1",
        "Table 1: all methods",
        EXPLANATION,
        [*tables, *not_run_table(findings)] if measured else [],
        f"{NOT_RUN}: no scene with ground truth was run.",
    )


def table_2(findings: Findings) -> Page:
    """Table 2: our method with other backbones, merged with the paper's figures, and test-only."""
    asked = findings.plan.backbones.variants
    return Page(
        "table2",
        "Table 2: backbones",
        EXPLANATION,
        [_table_2(findings, metric) for metric in JUDGED if asked],
        f"{NOT_RUN}: the configuration compares no backbones.",
    )


def localisation(findings: Findings) -> Page:
    """How well the saliency maps show where an anomaly is."""
    rows = []
    missing: dict[str, Cell] = {}
    runs = dict.fromkeys(
        (key.scene, key.variant) for key in findings.cells if key.way == "all_clips"
    )
    for scene, variant in runs:
        for way, clips in LOCALISED.items():
            cells = [
                findings.cell(scene, variant, way=way, metric=metric) for metric in LOCALISATION
            ]
            if any(cell.by_seed for cell in cells):
                rows.append(Row((scene, variant, clips, *cells)))
            elif scene not in missing:
                missing[scene if way == "all_clips" else f"{scene}, {clips}"] = cells[0]
    header = ("scene", "variant", "clips", *LOCALISATION.values())
    table = Table.of("Localisation", header, rows, notes=_missing(missing))
    why = "no scene has pixel masks" if runs else "no saliency maps were asked for"
    return Page(
        "localisation",
        "Localisation",
        "Where in the frame the anomaly is, in percent. pixel AUC: of all pixels; 40 % criterion: "
        "the AUC of frames, where an anomalous one is found once 40 % of its anomalous pixels are "
        "flagged; RBDC, TBDC: areas under the detection rate of regions and of tracks up to one "
        "false region a frame. All clips hold the training clips too, whose frames are all normal, "
        f"which makes them easier than the test clips alone. {SPREAD}",
        [table] if rows else [],
        f"{NOT_RUN}: {why}.",
    )


def feedback(findings: Findings) -> Page:
    """Figure 3 in numbers: AUC after each round, with and without the frames that were marked."""
    rows = []
    for key in findings.cells:
        if (key.row, key.metric) == ("feedback", "marked"):
            scene, variant, row, number = key.scene, key.variant, key.row, key.round
            counts = [
                findings.cell(scene, variant, row, round=number, metric=one)
                for one in ("marked", "marked_frames")
            ]
            cells = [
                findings.cell(scene, variant, row, round=number, metric=metric, way=way)
                for metric in JUDGED
                for way in FEEDBACK
            ]
            heading = "" if number else f"{scene}, variant {variant}"
            rows.append(Row((str(number), *counts, *cells), heading))
    names = [f"{column}, {way}" for column in _columns(JUDGED) for way in FEEDBACK]
    title = "Figure 3 in numbers: feedback of an expert"
    table = Table.of(title, ("round", "picks", "with neighbours", *names), rows)
    return Page(
        "feedback",
        title,
        "An expert, simulated from the ground truth, marks frames among the highest-ranked ones; "
        "the model is fine-tuned with them and ranks anew. Frame AUC in percent. all: every "
        "labelled frame, which is the paper's way; unmarked: without the frames that were marked "
        "so far and their neighbours, which the model was told; before: the scores of round 0 on "
        "just those unmarked frames; gain: unmarked minus before over the same draws of clips, in "
        "points, which holds when 0 is not in its brackets. Only the gain shows what was learnt "
        "about frames that nobody marked. Round 0 is the model of the last iteration alone, not "
        f"the mean of all iterations that Table 1 has. {SPREAD}",
        [table] if rows else [],
        f"{NOT_RUN}: feedback was asked for on no scene that is there.",
    )


def rates(findings: Findings) -> Page:
    """Figure 5 in numbers: the initial scores and ours where some anomalies are left out."""
    study = findings.plan.anomaly_rates
    rows = []
    for scene in findings.scenes:
        asked = [one for one in study.on(scene) if one in findings.variants(scene)]
        for variant in [*asked, *findings.whole(scene, asked)]:
            target, events = f"as it is, variant {variant}", DASH
            if (scene, variant) in findings.partial:
                names = ("anomaly_rate_asked", "events_kept", "events")
                rate, *kept = (findings.cell(scene, variant, "", metric=one) for one in names)
                target, events = f"{rate.mean:g} %", " of ".join(text(one) for one in kept)
            reached = findings.cell(scene, variant, "", metric="anomaly_rate")
            cells = [
                findings.cell(scene, variant, row, metric=metric, against=against)
                for metric, row, against in (
                    *(("merged", INITIAL, ""), ("merged", OURS, ""), ("merged", OURS, INITIAL)),
                    *(("test_only", INITIAL, ""), ("test_only", OURS, "")),
                )
            ]
            heading = scene if variant == asked[0] else ""
            rows.append(Row((target, reached, events, *cells), heading))
    header = (
        *("target", "reached", "events kept", "Sp + iForest", "Our method", "difference"),
        *("Sp + iForest, test-only", "Our method, test-only"),
    )
    title = "Figure 5 in numbers: anomaly rates"
    why = "none of its scenes is there" if study.variants else "no anomaly rates are compared"
    return Page(
        "rates",
        title,
        "Whole anomalous events are dropped at random until the share of anomalous frames is next "
        "to the target; every seed drops others. reached: the share of all frames in percent. "
        "Frame AUC in percent, merged where nothing else is said; the difference is paired, in "
        f"points. {SPREAD}",
        [Table.of(title, header, rows)] if rows else [],
        f"{NOT_RUN}: {why}.",
    )


def ablations(findings: Findings) -> Page:
    """A table for each ablation."""
    studies = findings.plan.ablations
    tables = []
    for title, study in studies.items():
        rows = []
        absent = [scene for scene in study.scenes if scene not in findings.scenes]
        blind = []
        for scene in findings.scenes:
            asked = [one for one in study.on(scene) if one in findings.variants(scene)]
            if asked and not _has_truth(findings, scene):
                blind.append(scene)
                continue
            for variant in asked:
                against = held_against(asked, findings.plan.main)
                cells: list[str | Cell] = [
                    findings.cell(scene, variant, metric=metric) for metric in SHOWN
                ]
                cells += [
                    findings.cell(scene, variant, metric=metric, against=f"{against}/{OURS}")
                    if variant != against
                    else ""
                    for metric in JUDGED
                ]
                overrides = overrides_text(findings.grouped[scene, variant][0]) or DASH
                heading = f"{scene}; differences to variant {against}"
                is_first = variant == asked[0]
                rows.append(Row((variant, overrides, *cells), heading if is_first else ""))
        notes = [f"Not run: {', '.join(absent)}."] if absent else []
        notes += [f"Not measured (no ground truth): {', '.join(blind)}."] if blind else []
        header = (
            *("variant", "differs in", *_columns(SHOWN)),
            *(f"difference, {column}" for column in _columns(JUDGED)),
        )
        if rows:
            tables.append(Table.of(sentence_case(title), header, rows, notes=notes))
    why = "no scene of the ablations is there" if studies else "there is no ablation"
    return Page(
        "ablations",
        "Ablations",
        "The final score of each variant, in percent, and its difference to another one over the "
        f"same draws of clips, in points: it holds when 0 is not in the brackets. {SPREAD}",
        tables,
        f"{NOT_RUN}: {why}.",
    )


def sentence_case(title: str) -> str:
    """The title of an ablation in print."""
    words = title.replace("_", " ")
    return f"{words[:1].upper()}{words[1:]}"


def _table_1(findings: Findings, places: Sequence[Place], metric: str) -> Table:
    main, merged = findings.plan.main, metric == "merged"
    rows: list[Row] = []
    if merged:
        heading = "Trained on video labelled as normal: the paper's figures"
        for method, name in _upper_block().items():
            known = (_paper(findings, place, method, "table 1") for place in places)
            rows.append(Row((name, *known), heading, "quiet"))
            heading = ""
    heading = "Without any label: measured here"
    heading += "; below each the paper's figure, where it has one" if merged else ""
    for row in (*_measured_rows(findings, places), *ORACLES):
        if row == ORACLES[0]:
            heading = "Oracles, which use the ground truth: measured here"
        cells = [
            findings.cell(place.scene, main, row, way=place.way, metric=metric) for place in places
        ]
        style = "strong" if row == OURS else ""
        rows.append(Row((row_name(row, short=True), *cells), heading, style))
        heading = ""
        name = _reported_name(row) if merged else ""
        if name:
            beside = (_beside(findings, place, main, row, "table 1") for place in places)
            rows.append(Row((name, *beside), style="quiet"))
    pooled = "all labelled frames pooled (merged)" if merged else "the test clips alone"
    notes = _notes_1(findings, places, rows) if merged else []
    return Table.of(
        "Table 1, merged" if merged else "Table 1, test clips alone",
        ("method", *(place.title for place in places)),
        rows,
        f"Frame AUC in percent, {pooled}. Our method is variant {main}.",
        [*notes, *_missing(_ours_at(findings, places, [main], metric))],
    )


def _notes_1(findings: Findings, places: Sequence[Place], rows: Sequence[Row]) -> list[str]:
    """What has to be known before the paper's figures are held against ours."""
    main = findings.plan.main
    beside = [_beside(findings, place, main, OURS, "table 1") for place in places]
    known = [(f"variant {main}", one) for one in beside if isinstance(one, Cell)]
    notes = [
        *_marks(rows, known),
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


def _table_2(findings: Findings, metric: str) -> Table:
    merged, variants = metric == "merged", findings.plan.backbones.variants
    places = _backbone_places(findings)
    rows: list[Row] = []
    methods, absent = [], []
    who: list[tuple[str, Cell]] = []
    others = False
    for variant in variants:
        about = findings.about(variant)
        if about is None:
            absent.append(variant)
            continue
        backbone = about.method.backbone
        method = TABLE_2.get(backbone, "")
        methods.append(method)
        name = OTHER_NETWORKS.get(backbone) or PAPER_BACKBONES.get(method, backbone)
        cells = [
            findings.cell(place.scene, variant, way=place.way, metric=metric) for place in places
        ]
        rows.append(Row((f"{name}, variant {variant}", *cells)))
        if merged and method:
            beside = [_beside(findings, place, variant, method, "table 2") for place in places]
            rows.append(Row(("reported", *beside), style="quiet"))
            who += [(f"variant {variant}", one) for one in beside if isinstance(one, Cell)]
            others |= backbone in OTHER_NETWORKS
    for method, name in PAPER_BACKBONES.items():
        if merged and method not in methods:
            rows.append(Row((name, *(NOT_RUN for _ in places))))
            known_here = (_paper(findings, place, method, "table 2") for place in places)
            rows.append(Row(("reported", *known_here), style="quiet"))
    notes = _marks(rows, who)
    if others:
        notes.append(
            f"The paper's 3DConv is {THREE_D_NETWORK} (Tran et al. 2015), at an input size that it "
            "does not state: another network, so its figures are no more than neighbours."
        )
    notes += _beside_the_backbone(findings)
    notes += [f"Not run: variants {', '.join(absent)}."] if absent else []
    if any(place.way for place in places):
        notes.append("UMN: one model a scene, whose scores are pooled as they are.")
    return Table.of(
        "Table 2, merged" if merged else "Table 2, test clips alone",
        ("backbone", *(place.title for place in places)),
        rows,
        f"Frame AUC of our method in percent, {COLUMN_NAMES[metric]}.",
        [*notes, *_missing(_ours_at(findings, places, variants, metric))],
    )


def _beside_the_backbone(findings: Findings) -> list[str]:
    """What the variants of Table 2 differ in, where it is more than the network."""
    settings = {}
    for variant in findings.plan.backbones.variants:
        about = findings.about(variant)
        if about is not None:
            settings[variant] = ", ".join(
                f"{key} {setting(value)}"
                for key, value in about.overrides.items()
                if key != "backbone"
            )
    if len(set(settings.values())) < 2:
        return []
    listed = "; ".join(f"{name}: {more or 'no more'}" for name, more in settings.items())
    return [f"The variants differ in more than the network. {listed}."]


def _places(findings: Findings) -> list[Place]:
    """The columns of Table 1: the paper's, then other scenes; these first if no other was run."""
    plan = findings.plan
    paper = [Place(title, scene, "", scene) for scene, title in PAPER_SCENES.items()]
    if ALL_UMN in plan.pools:
        paper += _pool_places(findings, ALL_UMN, "UMN all", ALL_UMN)
    else:
        paper.append(Place("UMN all", ALL_UMN, "", ALL_UMN))
    pools = [name for name in plan.pools if name != ALL_UMN]
    pooled = [place for name in pools for place in _pool_places(findings, name, name)]
    known = {place.scene for place in (*paper, *pooled)}
    others = [
        *(Place(scene, scene) for scene in findings.scenes if scene not in known),
        *pooled,
    ]
    shown = [place for place in others if place.way or _has_truth(findings, place.scene)]
    return _ordered(findings, paper, shown, [plan.main])


def _pool_places(findings: Findings, pool: str, title: str, paper_scene: str = "") -> list[Place]:
    """The three ways to put scenes together; of pools that are not the paper's, those asked for."""
    places = [Place(f"{title}, {words}", pool, way, paper_scene) for way, words in WAYS.items()]
    joint = findings.plan.pools[pool].joint
    if joint or paper_scene:
        place = Place(f"{title}, one model", joint or pool, "" if joint else "joint", paper_scene)
        places.append(place)
    return places


def _backbone_places(findings: Findings) -> list[Place]:
    """The columns of Table 2: the paper's, then other scenes of the comparison."""
    wanted = [scene for scene in PAPER_SCENES if not scene.startswith(ALL_UMN)]
    paper = [Place(PAPER_SCENES[scene], scene, "", scene) for scene in wanted]
    way = "raw" if ALL_UMN in findings.plan.pools else ""
    paper.append(Place("UMN all", ALL_UMN, way, ALL_UMN))
    others = [
        Place(PAPER_SCENES.get(scene, scene), scene)
        for scene in findings.scenes
        if scene in findings.plan.backbones.scenes
        and scene not in (*wanted, ALL_UMN)
        and _has_truth(findings, scene)
    ]
    return _ordered(findings, paper, others, findings.plan.backbones.variants)


def _ordered(
    findings: Findings, paper: list[Place], others: list[Place], variants: Sequence[str]
) -> list[Place]:
    """The paper's scenes first, unless none of them was run."""
    was_run = any(
        (place.scene, name, place.way) in findings.rows for place in paper for name in variants
    )
    return [*paper, *others] if was_run else [*others, *paper]


def _has_truth(findings: Findings, scene: str) -> bool:
    return any(findings.is_measured(scene, variant) for variant in findings.variants(scene))


def _measured_rows(findings: Findings, places: Iterable[Place]) -> list[str]:
    """The lower block of Table 1; rows that the paper has stand there in any case."""
    main = findings.plan.main
    known = dict.fromkeys(
        row for place in places for row in findings.rows.get((place.scene, main, place.way), ())
    )
    rows = [row for row in COMPETITORS if row in known or not row.endswith(PARTS)]
    ours = (*INITIAL_ROWS, OURS, "ours_smoothed")
    others = [row for row in known if row not in (*rows, *ours) and not row.startswith(STEPS)]
    return [*rows, *(row for row in others if row not in ORACLES), *ours]


def _upper_block() -> dict[str, str]:
    """The paper's methods that need labelled normal video, and how they are cited."""
    listed = reported()[reported()["block"] == QUOTED_BLOCK].drop_duplicates("method")
    return {
        one["method"]: cited(one["name"], one["reference"]) for one in listed.to_dict("records")
    }


def _reported_name(row: str) -> str:
    """How the paper's figures below a row are called; empty where it has none."""
    figures = reported()
    found = figures[(figures["table"] == 1) & (figures["method"] == paper_method(row))]
    return cited("reported", str(found["reference"].iloc[0])) if len(found) else ""


def _paper(findings: Findings, place: Place, method: str, table: str) -> str | Cell:
    """The paper's figure; a dash where it has none, nothing on scenes that it does not know."""
    key = Key(place.paper_scene, row=method, against=table, source=REPORTED)
    return findings.cells.get(key) or (DASH if place.paper_scene else "")


def _beside(findings: Findings, place: Place, variant: str, method: str, table: str) -> str | Cell:
    """The paper's figure below a measured one, marked where it is not for the same thing.

    Parameters
    ----------
    method : a row of Table 1, or a backbone of Table 2.
    """
    key = Key(place.scene, variant, OURS, place.way, source=REPORTED)
    if table == "table 1":
        key = key._replace(row=method, against=table)
        method = paper_method(method)
    return findings.cells.get(key) or _paper(findings, place, method, table)


def _ours_at(
    findings: Findings, places: Sequence[Place], variants: Sequence[str], metric: str
) -> dict[str, Cell]:
    """Our method in each column: of the first variant that lacks a value or an interval."""
    found = {}
    for place in places:
        for variant in variants:
            cell = findings.cell(place.scene, variant, way=place.way, metric=metric)
            if cell.reason and place.title not in found:
                found[place.title] = cell
    return found


def _missing(cells: Mapping[str, Cell]) -> list[str]:
    """Why values or intervals are missing, each reason once."""
    found: dict[str, list[str]] = {}
    for name, cell in cells.items():
        if cell.reason and not cell.reason.startswith(NOT_RUN):
            what = "value" if cell.mean is None else "interval"
            found.setdefault(f"No {what} ({cell.reason})", []).append(name)
    return [f"{what}: {', '.join(names)}." for what, names in found.items()]


def _marks(rows: Iterable[Row], known: Sequence[tuple[str, Cell]]) -> list[str]:
    """What the marks beside the paper's figures mean.

    Parameters
    ----------
    known : the paper's figure of our method beside each run or variant.
    """
    notes = [
        f"{DAGGER} The paper's figure is for its own settings ({IN_PARENTHESES}); {who} differs "
        f"in: {cell.settings.partition(DIFFER)[2]}."
        for who, cell in known
        if DIFFER in cell.settings
    ]
    texts = (one for row in rows for one in row.texts)
    if any(DOUBLE_DAGGER in one for one in texts):
        notes.append(PROTOCOL_NOTE)
    return list(dict.fromkeys(notes))


def _columns(metrics: Iterable[str]) -> list[str]:
    return [COLUMN_NAMES[metric] for metric in metrics]


def _caption(findings: Findings, scene: str, variant: str) -> str:
    runs = findings.grouped[scene, variant]
    first = findings.of_first_seed(scene, variant)

    def count(name: str) -> float:
        return findings.count(scene, variant, name)

    weights = runs[0].weights
    source = "not stated" if weights is None else weights.source
    sha256 = f" (sha256 {weights.sha256[:12]})" if weights is not None and weights.sha256 else ""
    parts = [
        f"{count('frames'):,.0f} frames in {count_of(count('clips'), 'clip')} "
        f"({count('training_clips'):.0f} training, {count('test_clips'):.0f} test); "
        f"{count('labelled_frames'):,.0f} frames labelled, {count('anomalous_frames'):,.0f} "
        f"anomalous{f' (counts{first})' if first else ''}",
        f"{count_of(len(runs), 'seed')} ({', '.join(str(run.seed) for run in runs)})",
        f"{count_of(count('draws'), 'draw')} of "
        f"{count_of(count('labelled_clips'), 'labelled clip')}{first}",
        f"smoothing sigma {count('smoothing_sigma'):g} frames",
        f"backbone {runs[0].method.backbone}, weights {source}{sha256}",
    ]
    return f"{'; '.join(parts)}."


def _write_csv(path: Path, cells: Iterable[tuple[str, Cell]], nothing: str) -> None:
    table = csv_table(cells)
    if table.empty:
        table = pd.DataFrame({"reason": [nothing]}).reindex(columns=CSV_COLUMNS)
    with atomic(path) as temporary:
        table.to_csv(temporary, index=False, lineterminator="\n")
