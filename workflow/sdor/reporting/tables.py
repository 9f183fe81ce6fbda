"""Tables of each scene's runs, and what all tables share: cells, names, Markdown and LaTeX."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import pandas as pd

from sdor.errors import SdorError
from sdor.evaluation.metrics import COLUMNS
from sdor.files import atomic, damaged, read_json
from sdor.study.config import with_defaults

Metrics = Mapping[str, Any]

MINUS, DASH = "\N{MINUS SIGN}", "\N{EN DASH}"
LINE_END = r"\\"  # of LaTeX
DAGGER, DOUBLE_DAGGER = "\N{DAGGER}", "\N{DOUBLE DAGGER}"
NOT_RUN = "not run"
REPORTED = Path(__file__).resolve().parents[2] / "report" / "reported.csv"
# The paper's backbones by our names: Table 1 is of ResNet-50, the others are in Table 2.
PAPERS_BACKBONE = "resnet50"
TABLE_2 = {"vgg16": "vgg16", "r3d_18": "3dconv", "i3d": "3dconv"}
# Its 3DConv is C3D (Tran et al. 2015): no network of ours, and at an input size it does not state.
THREE_D, THREE_D_NETWORK = "3dconv", "C3D"
# What does not train, and the settings that reach it.
INITIAL_ROWS = ("sp", "iforest", "sp_iforest")
FRAME_SETTINGS = ("input_size", "anomaly_rate")
FEATURE_SETTINGS = (*FRAME_SETTINGS, "features", "pca")
INITIAL_SETTINGS = (
    *FEATURE_SETTINGS,
    *("sp_bags", "sp_bag_size", "iforest_trees", "iforest_samples", "rescale"),
)
# The paper has no word on masks, so they make no difference to it.
NOT_COMPARED = ("backbone", "masks")
# The paper quotes these from other papers, which judged test data alone: two rows that we run too,
# and a whole block of its Table 1.
OTHER_PROTOCOL = ("unmasking", "two_sample_test")
QUOTED_BLOCK = "labelled normal data"
TEST_DATA_ALONE = "other protocol: test data alone"
# Nothing in these is random: all seeds have one file, so they have no spread.
SEEDLESS = ("split_oracle", "clip_rate_oracle", "unmasking")
SEE_COMPARISONS = "the interval of several seeds is in comparisons.csv"
COLUMN_NAMES = {
    "merged": "merged",
    "train_side": "train-side",
    "test_only": "test-only",
    "within_clip": "within-clip",
    "average_precision": "AP",
}
LONG_COLUMNS = [
    *("scene", "variant", "kind", "row", "column"),
    *("mean", "std", "low", "high", "seeds", "by_seed", "clips"),
    *("reported", "reported_settings", "reason"),
]
ROW_NAMES = {
    "sp": "Sp",
    "iforest": "iForest",
    "sp_iforest": "Sp + iForest (initial scores)",
    "del_giorno_1_w100": "Del Giorno et al. #1, w = 100",
    "del_giorno_1_w10": "Del Giorno et al. #1, w = 10",
    "del_giorno_2_w100": "Del Giorno et al. #2, w = 100",
    "del_giorno_2_w10": "Del Giorno et al. #2, w = 10",
    "unmasking_appearance": "Unmasking, appearance",
    "unmasking_motion": "Unmasking, motion",
    "unmasking": "Unmasking, both fused",
    "two_sample_appearance": "Two-sample test, appearance",
    "two_sample_motion": "Two-sample test, motion",
    "two_sample_test": "Two-sample test, both fused",
    "ours": "Our method (mean of all iterations)",
    "ours_smoothed": "Our method, smoothed in time",
    "split_oracle": "Oracle: the clip is from the test split",
    "clip_rate_oracle": "Oracle: the clip's share of anomalies",
}
SHORT_NAMES = {"sp_iforest": "Sp + iForest", "ours": "Our method"}
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
PROTOCOL_NOTE = (
    f"{DOUBLE_DAGGER} The paper quotes these figures from other papers, which judged the test data "
    "alone: they do not compare with merged ones."
)
IN_PARENTHESES = (
    "in parentheses: the paper's, or this project's default where the paper states none"
)
LATEX = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "±": r"$\pm$",
    DAGGER: r"$\dagger$",
    DOUBLE_DAGGER: r"$\ddagger$",
    MINUS: r"$-$",
    DASH: "--",
    "…": r"\dots{}",
    "·": r"$\cdot$",
}


@dataclass(frozen=True)
class Table:
    """A table ready to be typeset: all cells are text.

    Attributes
    ----------
    caption : one line above the table.
    rules : numbers of the rows above which a line is drawn.
    notes : lines below the table.
    headings : (number of a row, text that stands in a line of its own above it).
    soft : numbers of the rows that are printed more lightly: what was not measured here.
    strong : numbers of the rows that are printed boldly.
    """

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    caption: str = ""
    rules: tuple[int, ...] = ()
    notes: tuple[str, ...] = ()
    headings: tuple[tuple[int, str], ...] = ()
    soft: tuple[int, ...] = ()
    strong: tuple[int, ...] = ()


def write_tables(
    metrics_paths: Sequence[str | Path],
    skipped: Mapping[str, str],
    output_csv: str | Path,
    output_md: str | Path,
    output_tex: str | Path,
    *,
    title: str,
) -> None:
    """Gather the `metrics.json` of all runs, scene by scene, into one file of each kind.

    Parameters
    ----------
    skipped : scene: why it was not run.

    Raises
    ------
    SdorError : a metrics file is missing or damaged.
    """
    runs = [read_metrics(path) for path in metrics_paths]
    with atomic(output_csv) as temporary:
        long_table(runs, skipped).round(3).to_csv(temporary, index=False, lineterminator="\n")
    tables = all_tables(runs, skipped)
    with atomic(output_md) as temporary:
        temporary.write_text(markdown(tables, title))
    with atomic(output_tex) as temporary:
        temporary.write_text(latex(tables, title))


def read_metrics(path: str | Path) -> dict[str, Any]:
    """Read one `metrics.json`.

    Raises
    ------
    SdorError : the file is damaged, or does not say which scene, variant, seed and method it is of.
    """
    content = read_json(path)
    try:
        about = content["about"]
        _ = about["scene"], about["variant"], about["seed"], about["method"]["backbone"]
        _ = content["rows"], content["oracles"]
    except (KeyError, TypeError) as error:
        raise SdorError(damaged(path, error)) from error
    metrics: dict[str, Any] = content
    return metrics


def all_tables(runs: Sequence[Metrics], skipped: Mapping[str, str]) -> list[Table]:
    """One table per scene and variant, and one of the variants if there are several."""
    tables = [scene_table(group) for group in groups(runs).values()]
    variants = variants_table(runs)
    tables += [variants] if variants.rows else []
    if skipped:
        tables.append(skipped_table(skipped))
    return tables


def groups(runs: Iterable[Metrics]) -> dict[tuple[str, str], list[Metrics]]:
    """(scene, variant): its runs, one per seed, in the order in which they come."""
    grouped: dict[tuple[str, str], list[Metrics]] = {}
    for run in runs:
        key = (str(run["about"]["scene"]), str(run["about"]["variant"]))
        grouped.setdefault(key, []).append(run)
    return grouped


@cache
def reported(path: Path = REPORTED) -> pd.DataFrame:
    """The paper's own figures: table, block, method, name, reference, scene, auc (percent)."""
    return pd.read_csv(path, keep_default_na=False)


def reported_auc(run: Metrics, row: str) -> float | None:
    """The paper's AUC (percent) of a row, on the run's scene and with its backbone.

    `differing_settings` says whether the paper ran the same thing.
    """
    about = run["about"]
    backbone = about["method"]["backbone"]
    if backbone == PAPERS_BACKBONE:
        return figure_of(1, paper_method(row), about["scene"])
    # Table 2 has our method only.
    return figure_of(2, TABLE_2.get(backbone), about["scene"]) if row == "ours" else None


def figure_of(table: int, method: str | None, scene: str) -> float | None:
    """One figure (percent) of the paper's Table 1 or 2, by the names in `reported`."""
    return _figures().get((table, method, scene))


@cache
def _figures() -> dict[tuple[int, str | None, str], float]:
    return {
        (int(figure["table"]), str(figure["method"]), str(figure["scene"])): float(figure["auc"])
        for figure in reported().to_dict("records")
    }


def paper_method(row: str) -> str:
    """The paper's name of a row: it has one figure where we run several settings."""
    return row.rpartition("_w")[0] if row.startswith("del_giorno") else row


def differing_settings(run: Metrics, row: str, *, with_backbone: bool = False) -> str:
    """Settings that reach a row and are not the schema's defaults.

    The defaults are the paper's settings where it states them, and this project's elsewhere.

    Parameters
    ----------
    with_backbone : the row stands beside figures of the paper's own backbone, and not beside those
        of its Table 2.

    Returns
    -------
    Ours, and the default in parentheses, such as "epochs 8 (50), iterations 3 (5)"; empty: none.
    """
    paper, about = with_defaults({}, "method"), run["about"]
    method = about["method"]
    backbone = method["backbone"]
    keys: tuple[str, ...] = tuple(key for key in paper if key not in NOT_COMPARED)
    if row in INITIAL_ROWS:
        keys = INITIAL_SETTINGS
    elif row.startswith("del_giorno_1"):
        keys = FEATURE_SETTINGS
    elif row.startswith(("unmasking", "two_sample")):
        keys = FRAME_SETTINGS
    found = []
    if with_backbone:
        keys = ("backbone", *keys)
    elif TABLE_2.get(backbone) == THREE_D:
        found.append(f"backbone {backbone} ({THREE_D_NETWORK})")
        keys = tuple(key for key in keys if key != "input_size")
    found += [
        f"{key} {setting(method.get(key, paper[key]))} ({setting(paper[key])})"
        for key in keys
        if method.get(key, paper[key]) != paper[key]
    ]
    if (about.get("weights") or {}).get("source") == "random":
        found.append("weights random (trained)")
    return ", ".join(found)


def anomaly_rate(run: Metrics) -> float:
    """Share of a run's frames, labelled or not, that are known to be anomalous (fraction).

    Where anomalies were left out it is the share that was reached.
    """
    subset = run["about"].get("subset")
    if subset:
        return float(subset["rate"])
    return float(run["counts"]["anomalous_frames"] / run["counts"]["frames"])


def overrides_text(run: Metrics) -> str:
    """What a variant changes in the method of its config, such as "features softmax"."""
    overrides = run["about"].get("overrides") or {}
    return ", ".join(f"{key} {setting(value)}" for key, value in overrides.items())


def long_table(runs: Sequence[Metrics], skipped: Mapping[str, str]) -> pd.DataFrame:
    """Everything in one table with a row per value, in percent.

    `kind` is detector, oracle, difference, pseudo labels, reported (the paper's figure, not
    measured here) or not run. `mean`, `std`, `low` and `high` are over `seeds` runs, whose own
    values are in `by_seed` ("seed: value; …"). `reported` is the paper's figure, and
    `reported_settings` whether its settings are this run's, or how else it is another thing.

    A difference of several seeds has its one interval in `comparisons.csv`, and none here. Where
    each seed leaves out other anomalies, its interval is the mean of theirs, and `clips` is of the
    first seed.
    """
    records: list[dict[str, Any]] = []
    for (scene, variant), group in groups(runs).items():
        key = {"scene": scene, "variant": variant}
        for kind, part in (
            ("detector", "rows"),
            ("oracle", "oracles"),
            ("difference", "differences"),
        ):
            for row in group[0].get(part, {}):
                for column in COLUMNS:
                    place = {**key, "kind": kind, "row": row, "column": column}
                    known = reported_auc(group[0], row) if column == "merged" else None
                    if known is not None:
                        place["reported"] = known
                        place["reported_settings"] = settings_text(group[0], row)
                    cell = over_runs(group, part, row, column)
                    averaged = cell["seeds"] > 1 and cell.get("low") is not None
                    if kind == "difference" and averaged and not has_subset(group):
                        cell |= {"low": None, "high": None, "reason": SEE_COMPARISONS}
                    records.append({**place, **cell})
        for name in ("anomalous_precision", "normal_precision"):
            for place_in_list, labels in enumerate(group[0].get("pseudo_labels", [])):
                values = [run["pseudo_labels"][place_in_list][name] for run in group]
                cell = over_seeds([{"value": value} for value in values])
                row = f"iteration_{labels['iteration']}"
                place = {**key, "kind": "pseudo labels", "row": row, "column": name}
                records.append({**place, **cell})
    for scene, reason in skipped.items():
        records.append({"scene": scene, "kind": NOT_RUN, "reason": reason})
    for figure in reported().to_dict("records"):
        name = cited(figure["name"], figure["reference"])
        place = {"scene": figure["scene"], "variant": f"table {figure['table']}"}
        place |= {"kind": "reported", "row": name, "column": "merged"}
        if figure["block"] == QUOTED_BLOCK or figure["method"] in OTHER_PROTOCOL:
            place["reported_settings"] = TEST_DATA_ALONE
        records.append({**place, "reported": figure["auc"]})
    table = pd.DataFrame.from_records(records, columns=LONG_COLUMNS)
    return table.astype({"seeds": "Int64", "clips": "Int64"})


def settings_text(run: Metrics | None, row: str, *, with_backbone: bool = False) -> str:
    """Whether the paper's figure beside a row is for the same thing, for the CSV files.

    Parameters
    ----------
    run : one that has the row; None where it was not run.
    with_backbone : see `differing_settings`.

    Returns
    -------
    "same", or what is not: the protocol, settings ("differ: …"); empty: nothing to compare.
    """
    found = [TEST_DATA_ALONE] if row in OTHER_PROTOCOL else []
    if run is None:
        return "; ".join(found)
    differing = differing_settings(run, row, with_backbone=with_backbone)
    found += [f"differ: {differing}"] if differing else []
    return "; ".join(found) or "same"


def over_runs(group: Sequence[Metrics], part: str, row: str, column: str) -> dict[str, Any]:
    """`over_seeds` of one cell of the runs that have the row, with the values of each in `by_seed`.

    What does not depend on the seed is taken once and has no spread, unless each seed leaves out
    other anomalies.

    Parameters
    ----------
    group : the runs (seeds) of a scene and variant.
    part : "rows", "oracles" or "differences" of the metrics files.
    """
    runs = [run for run in group if row in run[part]]
    if row.startswith(SEEDLESS) and not has_subset(group):
        runs = runs[:1]
    cells = {int(run["about"]["seed"]): run[part][row][column] for run in runs}
    values = {seed: cell["value"] for seed, cell in cells.items() if cell["value"] is not None}
    by_seed = "; ".join(f"{seed}: {100 * value:.3f}" for seed, value in values.items())
    return {**over_seeds(list(cells.values())), "by_seed": by_seed or None}


def over_seeds(cells: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Mean, standard deviation and mean interval (percent) of one value over the seeds.

    Parameters
    ----------
    cells : of each seed, as `metrics.measure` makes them (fractions).

    Returns
    -------
    `mean`, `std` (None: one seed), `low` and `high` (mean bounds), `seeds` with a value, `clips`
    of the first one and the `reason` for no interval; without any value `seeds` and `reason` alone.
    """
    known = [cell for cell in cells if cell["value"] is not None]
    if not known:
        return {"seeds": len(cells), "reason": cells[0].get("reason", "no labelled frames")}
    values = [100 * cell["value"] for cell in known]
    bounded = [cell for cell in known if cell.get("low") is not None]
    return {
        "mean": fmean(values),
        "std": stdev(values) if len(values) > 1 else None,
        "low": 100 * fmean(cell["low"] for cell in bounded) if bounded else None,
        "high": 100 * fmean(cell["high"] for cell in bounded) if bounded else None,
        "seeds": len(known),
        "clips": known[0].get("clips"),
        "reason": None if bounded else known[0].get("interval_reason"),
    }


def has_subset(group: Sequence[Metrics]) -> bool:
    """Whether anomalies were left out: other ones by each seed, so each has frames of its own."""
    return any(run["about"].get("subset") for run in group)


def of_first_seed(group: Sequence[Metrics]) -> str:
    """What a count of the first seed needs beside it where the other seeds have others."""
    return " of the first seed" if len(group) > 1 and has_subset(group) else ""


def scene_table(group: Sequence[Metrics]) -> Table:
    """Detectors and oracles of one scene and variant, over its seeds."""
    first = group[0]
    iterations = first["iterations"]
    # The first and the last running mean stand in the table already, under other names.
    shown = [row for row in first["rows"] if row not in ("ensemble_1", f"ensemble_{iterations}")]
    within = next(iter(first["rows"].values()))["within_clip"].get("clips", 0)
    header = [f"{COLUMN_NAMES[column]}" for column in COLUMNS]
    counted = f"{count_of(within, 'clip')}{of_first_seed(group)}"
    header[COLUMNS.index("within_clip")] += f" ({counted})"
    rows = [
        *(detector_row(group, row) for row in shown),
        *(detector_row(group, row, "oracles") for row in first["oracles"]),
    ]
    about = first["about"]
    names, lines = without_empty_last(("detector", *header, "reported"), rows)
    return Table(
        title=f"{about['scene']}, variant {about['variant']}",
        header=names,
        rows=lines if is_measured(group) else (),
        caption=_caption(group),
        rules=(len(shown),),
        notes=(*reported_notes([group]), *_notes(first)),
    )


def is_measured(group: Sequence[Metrics]) -> bool:
    """Whether the scene has any ground truth to be measured with."""
    return any(cell["value"] is not None for cell in group[0]["rows"]["ours"].values())


def detector_row(group: Sequence[Metrics], row: str, part: str = "rows") -> tuple[str, ...]:
    """A line of the scene table: the row's name, every column, and the paper's figure."""
    cells = [over_runs(group, part, row, column) for column in COLUMNS]
    return (row_name(row), *(cell_text(cell) for cell in cells), _reported_text(group, row))


def without_empty_last(
    header: tuple[str, ...], rows: Iterable[tuple[str, ...]]
) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    """Header and rows, without their last column if no row has anything in it."""
    lines = tuple(rows)
    if any(row[-1] for row in lines):
        return header, lines
    return header[:-1], tuple(row[:-1] for row in lines)


def reported_notes(
    listed: Sequence[Sequence[Metrics]], *, only_ours: bool = False
) -> tuple[str, ...]:
    """What the daggers beside the paper's figures mean.

    Parameters
    ----------
    listed : the runs of each scene and variant in the table.
    only_ours : the table shows no figure but that of our method.
    """
    found = {}
    quoted = False
    for group in listed:
        # Whatever reaches another row with a figure reaches the final score too.
        if is_measured(group) and reported_auc(group[0], "ours") is not None:
            who = "this run" if len(listed) == 1 else f"variant {group[0]['about']['variant']}"
            found[who] = differing_settings(group[0], "ours")
            quoted |= any(
                row in group[0]["rows"] and reported_auc(group[0], row) is not None
                for row in OTHER_PROTOCOL
            )
    return (*settings_notes(found), *([PROTOCOL_NOTE] if quoted and not only_ours else []))


def pseudo_label_table(group: Sequence[Metrics]) -> Table:
    """How pure the pseudo labels of each iteration were (mean over seeds, labelled frames only)."""
    rows = []
    for place, labels in enumerate(group[0].get("pseudo_labels", [])):
        texts = [str(labels["iteration"])]
        for count, name in (
            ("anomalous", "anomalous_precision"),
            ("normal", "normal_precision"),
        ):
            cells = [{"value": run["pseudo_labels"][place][name]} for run in group]
            texts += [f"{labels[count]:,}", cell_text(over_seeds(cells))]
        rows.append(tuple(texts))
    return Table(
        title="Pseudo labels",
        header=("iteration", "frames in A", "truly anomalous", "frames in N", "truly normal"),
        rows=tuple(rows),
        caption=(
            "What each iteration was trained on, held against the ground truth (percent"
            f"{'; counts' if of_first_seed(group) else ''}{of_first_seed(group)})."
        ),
    )


def variants_table(runs: Sequence[Metrics]) -> Table:
    """The final score of every variant on the scenes that have several (no rows: none has)."""
    grouped = groups(runs)
    all_scenes = [scene for scene, _ in grouped]
    rows: list[tuple[str, ...]] = []
    headings = []
    listed = []
    for scene in dict.fromkeys(scene for scene in all_scenes if all_scenes.count(scene) > 1):
        headings.append((len(rows), scene))
        for (its_scene, variant), group in grouped.items():
            if its_scene == scene:
                cells = [
                    cell_text(over_runs(group, "rows", "ours", column))
                    for column in ("merged", "test_only", "average_precision")
                ]
                rows.append(
                    (variant, overrides_text(group[0]), *cells, _reported_text(group, "ours"))
                )
                listed.append(group)
    header, lines = without_empty_last(
        ("variant", "differs in", "merged", "test-only", "AP", "reported"), rows
    )
    return Table(
        title="Variants",
        header=header,
        rows=lines,
        caption="The final score of every variant, in percent.",
        notes=reported_notes(listed, only_ours=True),
        headings=tuple(headings),
    )


def skipped_table(skipped: Mapping[str, str]) -> Table:
    """Scenes of the configuration that were not run, and why."""
    rows = tuple((scene, NOT_RUN, reason) for scene, reason in skipped.items())
    return Table("Not run", ("scene", "", "reason"), rows)


def row_name(row: str, *, short: bool = False) -> str:
    """What a row is called in print."""
    if short and row in SHORT_NAMES:
        return SHORT_NAMES[row]
    if row in ROW_NAMES:
        return ROW_NAMES[row]
    kind, _, number = row.partition("_")
    if kind == "iteration":
        return f"Iteration {number} alone"
    if kind == "ensemble":
        return f"Mean of iterations 1 to {number}"
    return row


def cell_text(cell: Mapping[str, Any], *, interval: bool = True, sign: bool = False) -> str:
    """A value of `over_seeds` such as "83.2 ± 0.7 [71.0, 92.3]"; a dash when there is none."""
    if cell.get("mean") is None:
        return DASH
    form = "+.1f" if sign else ".1f"
    text = f"{cell['mean']:{form}}"
    if cell.get("std") is not None:
        text += f" ± {cell['std']:.1f}"
    if interval and cell.get("low") is not None:
        text += f" [{bound_text(cell['low'], form)}, {bound_text(cell['high'], form)}]"
    return text.replace("-", MINUS)


def bound_text(bound: float, form: str = ".1f") -> str:
    """A bound with a second digit where the first would not tell on which side of 0 it is."""
    near = bound != 0 and round(bound, 1) == 0
    return f"{bound:{form.replace('.1', '.2') if near else form}}"


def count_of(number: int, name: str) -> str:
    """A count and its noun, such as "1 clip" or "1,200 clips"."""
    return f"{number:,} {name}" if number == 1 else f"{number:,} {name}s"


def weights_text(about: Mapping[str, Any]) -> str:
    """Backbone and weights of a run, with the first 12 digits of their SHA-256."""
    weights = about.get("weights") or {}
    backbone = about["method"]["backbone"]
    text = f"backbone {backbone}, weights {weights.get('source') or 'not stated'}"
    sha256 = weights.get("sha256")
    return f"{text} (sha256 {sha256[:12]})" if sha256 else text


def markdown(tables: Sequence[Table], title: str, explanation: str = EXPLANATION) -> str:
    """The tables as one Markdown page."""
    lines = [f"# {markdown_text(title)}", ""]
    lines += [markdown_text(explanation), ""] if explanation else []
    for table in tables:
        lines += [f"## {markdown_text(table.title)}", ""] if table.title != title else []
        if table.caption:
            lines += [markdown_text(table.caption), ""]
        if table.rows:
            headings = dict(table.headings)
            rule = "|".join(["---", *["---:"] * (len(table.header) - 1)])
            lines += [_markdown_row(table.header), f"|{rule}|"]
            for number, row in enumerate(table.rows):
                if number in headings:
                    blank = [""] * (len(row) - 1)
                    lines.append(_markdown_row((headings[number], *blank), "**"))
                emphasis = "*" if number in table.soft else "**" if number in table.strong else ""
                lines.append(_markdown_row(row, emphasis))
            lines.append("")
        for note in table.notes:
            lines += [f"- {markdown_text(note)}"]
        if table.notes:
            lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def latex(tables: Sequence[Table], title: str, explanation: str = EXPLANATION) -> str:
    """The tables as LaTeX to be included; the document needs the packages booktabs and graphicx."""
    lines = [f"% {' '.join(text.split())}" for text in (title, explanation) if text]
    for table in tables:
        if not table.rows:
            lines += [f"% {' '.join(text.split())}" for text in (table.title, table.caption)]
            continue
        caption = " ".join([f"{table.title}.", table.caption, *table.notes]).strip()
        width = len(table.header)
        lines += [
            "",
            r"\begin{table}[tp]",
            r"\centering",
            rf"\caption{{{_latex(caption)}}}",
            r"\resizebox{\ifdim\width>\textwidth\textwidth\else\width\fi}{!}{%",
            rf"\begin{{tabular}}{{l{'r' * (width - 1)}}}",
            r"\toprule",
            _latex_header(table.header),
            r"\midrule",
        ]
        headings = dict(table.headings)
        for number, row in enumerate(table.rows):
            if number in table.rules or (number and number in headings):
                lines.append(r"\midrule")
            if number in headings:
                heading = _latex(headings[number])
                lines.append(rf"\multicolumn{{{width}}}{{l}}{{\textit{{{heading}}}}} \\")
            style = r"\footnotesize\itshape" if number in table.soft else ""
            lines.append(_latex_row(row, r"\bfseries" if number in table.strong else style))
        lines += [r"\bottomrule", r"\end{tabular}}", r"\end{table}"]
    return "\n".join(lines) + "\n"


def _caption(group: Sequence[Metrics]) -> str:
    first = group[0]
    counts = first["counts"]
    seeds = ", ".join(str(run["about"]["seed"]) for run in group)
    sigma = first["settings"]["smoothing_sigma"]
    first_only = of_first_seed(group)
    parts = [
        f"{counts['frames']:,} frames in {count_of(counts['clips'], 'clip')} "
        f"({counts['training_clips']} training, {counts['test_clips']} test); "
        f"{counts['labelled_frames']:,} frames labelled, {counts['anomalous_frames']:,} anomalous"
        f"{f' (counts{first_only})' if first_only else ''}",
        f"{count_of(len(group), 'seed')} ({seeds})",
        f"{count_of(first['settings']['draws'], 'draw')} of "
        f"{count_of(counts['labelled_clips'], 'labelled clip')}{first_only}",
        f"smoothing sigma {sigma:g} frames",
        weights_text(first["about"]),
    ]
    text = "; ".join(parts)
    return f"{text[0].upper()}{text[1:]}."


def _notes(first: Metrics) -> tuple[str, ...]:
    """Why values or intervals are missing."""
    notes = []
    cells = first["rows"]["ours"]
    reasons: dict[str, list[str]] = {}
    for column in COLUMNS:
        if cells[column]["value"] is None:
            reasons.setdefault(cells[column]["reason"], []).append(COLUMN_NAMES[column])
    notes += [f"No value for {', '.join(names)}: {reason}." for reason, names in reasons.items()]
    reasons = {}
    for column in COLUMNS:
        if cells[column].get("interval_reason"):
            reasons.setdefault(cells[column]["interval_reason"], []).append(COLUMN_NAMES[column])
    notes += [f"No interval for {', '.join(names)}: {reason}." for reason, names in reasons.items()]
    skipped = [
        f"{count_of(cells[column]['skipped'], 'draw')} of {COLUMN_NAMES[column]}"
        for column in COLUMNS
        if cells[column].get("skipped")
    ]
    if skipped:
        notes.append(
            f"Left out of the intervals because a class was missing: {', '.join(skipped)}."
        )
    return tuple(notes)


def _reported_text(group: Sequence[Metrics], row: str) -> str:
    """The paper's figure beside a measured one, with a mark where it is not for the same thing.

    Empty where there is none.
    """
    known = reported_auc(group[0], row) if is_measured(group) else None
    return "" if known is None else marked(f"{known:.1f}", group[0], row)


def marked(text: str, run: Metrics | None, row: str, *, with_backbone: bool = False) -> str:
    """A figure of the paper with the marks that `settings_notes` and `PROTOCOL_NOTE` explain.

    Parameters
    ----------
    run, with_backbone : see `settings_text`.
    """
    differs = run is not None and differing_settings(run, row, with_backbone=with_backbone)
    marks = (DAGGER if differs else "") + (DOUBLE_DAGGER if row in OTHER_PROTOCOL else "")
    return f"{text} {marks}" if marks else text


def settings_notes(found: Mapping[str, str]) -> tuple[str, ...]:
    """One line for each run or variant (keys) whose settings differ from the paper's (values)."""
    return tuple(
        f"{DAGGER} The paper's figure is for its own settings ({IN_PARENTHESES}); {who} differs "
        f"in: {differing}."
        for who, differing in found.items()
        if differing
    )


def used_notes(
    notes: Sequence[str], rows: Sequence[Sequence[str]], marks: Sequence[str] = (DAGGER,)
) -> tuple[str, ...]:
    """The notes without those that explain a mark which no cell bears."""
    borne = "".join(cell for row in rows for cell in row)
    return tuple(note for note in notes if note[0] not in marks or note[0] in borne)


def setting(value: Any) -> str:
    """A setting as it is written in YAML."""
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)


def cited(name: str, reference: str) -> str:
    """A name with the paper's number of its reference, such as "Kim et al. [17]"."""
    return f"{name} [{reference}]" if reference else name


def markdown_text(text: str) -> str:
    """Keep text from being read as table borders, tags or emphasis."""
    for character in "\\`*_<>|":
        text = text.replace(character, f"\\{character}")
    return " ".join(text.split())


def _markdown_row(cells: Sequence[str], emphasis: str = "") -> str:
    texts = [markdown_text(cell) for cell in cells]
    return f"| {' | '.join(f'{emphasis}{text}{emphasis}' if text else '' for text in texts)} |"


def _latex(text: str) -> str:
    return "".join(LATEX.get(character, character) for character in " ".join(text.split()))


def _latex_header(cells: Sequence[str]) -> str:
    """The names of the columns; what comes after a comma goes below."""
    texts = [
        _latex_stack("b", f"{_latex(first)},", _latex(rest)) if comma else _latex(first)
        for first, comma, rest in (cell.partition(", ") for cell in cells)
    ]
    return " & ".join(texts) + rf" {LINE_END}"


def _latex_row(cells: Sequence[str], style: str = "") -> str:
    texts = [_latex_cell(cell) if number else _latex(cell) for number, cell in enumerate(cells)]
    if style:
        texts = [f"{{{style} {text}}}" if text else "" for text in texts]
    # A bracket that opens a row would be read as the optional argument of the \\ before it.
    guarded = [f"{{{text}}}" if text[:1] == "[" else text for text in texts]
    return " & ".join(guarded) + rf" {LINE_END}"


def _latex_cell(text: str) -> str:
    """A value with its interval below it, so that wide tables stay readable."""
    value, bracket, interval = text.partition(" [")
    if not bracket:
        return _latex(text)
    return _latex_stack("t", _latex(value), rf"{{\footnotesize\mdseries [{_latex(interval)}}}")


def _latex_stack(position: str, *lines: str) -> str:
    """Lines above each other in one cell."""
    joined = LINE_END.join(lines)
    return rf"\begin{{tabular}}[{position}]{{@{{}}r@{{}}}}{joined}\end{{tabular}}"
