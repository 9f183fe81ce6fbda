"""Tables of all runs: measured, reported by the paper, or not run; CSV, Markdown and LaTeX."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import pandas as pd

from sdor.config import with_defaults
from sdor.errors import SdorError
from sdor.files import atomic, damaged, read_json
from sdor.metrics import COLUMNS

Metrics = Mapping[str, Any]

MINUS, DASH, DAGGER = "\N{MINUS SIGN}", "\N{EN DASH}", "\N{DAGGER}"
REPORTED = Path(__file__).resolve().parent.parent / "report" / "reported.csv"
# The paper's backbones by our names: Table 1 is of ResNet-50, the others are in Table 2.
PAPERS_BACKBONE = "resnet50"
TABLE_2 = {"vgg16": "vgg16", "r3d_18": "3dconv"}
# What does not train, and the settings that reach it.
INITIAL_ROWS = ("sp", "iforest", "sp_iforest")
INITIAL_SETTINGS = (
    *("input_size", "masks", "features", "pca"),
    *("sp_bags", "sp_bag_size", "iforest_trees", "iforest_samples", "rescale"),
)
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
    "ours": "Our method (mean of all iterations)",
    "ours_smoothed": "Our method, smoothed in time",
    "split_oracle": "Oracle: the clip is from the test split",
    "clip_rate_oracle": "Oracle: the clip's share of anomalies",
}
EXPLANATION = (
    "Area under the ROC curve of the frames, in percent. merged: all labelled frames pooled, which "
    "is the paper's figure; train-side: anomalous frames against the frames of training clips; "
    "test-only: the test clips alone; within-clip: mean over the clips that hold both classes. AP: "
    "average precision, merged. A detector that only tells test clips from training clips does "
    "well on merged: see the oracles, which use the ground truth. ± is the standard deviation over "
    "seeds; brackets are 95 % intervals from resampling whole clips (bounds averaged over seeds). "
    "reported: the paper's own merged figure. A dash is a value that does not exist."
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
    """

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    caption: str = ""
    rules: tuple[int, ...] = ()
    notes: tuple[str, ...] = ()


def write_tables(
    metrics_paths: Sequence[str | Path],
    skipped: Mapping[str, str],
    output_csv: str | Path,
    output_md: str | Path,
    output_tex: str | Path,
    *,
    title: str,
) -> None:
    """Gather the `metrics.json` of all runs into one table file of each kind.

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
    """One table per scene and variant, one of the variants if there are several, one of Table 1."""
    tables = [scene_table(group) for group in groups(runs).values()]
    variants, comparison = variants_table(runs), comparison_table(runs, skipped)
    tables += [table for table in (variants, comparison) if table.rows]
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
    """The paper's merged AUC (percent) of a row, on the run's scene and with its backbone.

    `differing_settings` says whether the paper ran the same thing.
    """
    about = run["about"]
    backbone = about["method"]["backbone"]
    in_table_1 = backbone == PAPERS_BACKBONE
    # Table 2 has our method only.
    if not in_table_1 and row != "ours":
        return None
    figures = reported()
    found = figures[
        (figures["table"] == (1 if in_table_1 else 2))
        & (figures["method"] == (row if in_table_1 else TABLE_2.get(backbone)))
        & (figures["scene"] == about["scene"])
    ]
    return float(found["auc"].iloc[0]) if len(found) else None


def differing_settings(run: Metrics, row: str, *, with_backbone: bool = False) -> str:
    """Settings that reach a row and are not the paper's, which are the schema's defaults.

    Parameters
    ----------
    with_backbone : the row stands beside figures of the paper's own backbone.

    Returns
    -------
    Ours, and the paper's in parentheses, such as "epochs 8 (50), iterations 3 (5)"; empty: none.
    """
    paper, method = with_defaults({}, "method"), run["about"]["method"]
    keys = INITIAL_SETTINGS if row in INITIAL_ROWS else [key for key in paper if key != "backbone"]
    return ", ".join(
        f"{key} {_setting(method.get(key, paper[key]))} ({_setting(paper[key])})"
        for key in [*(["backbone"] if with_backbone else []), *keys]
        if method.get(key, paper[key]) != paper[key]
    )


def long_table(runs: Sequence[Metrics], skipped: Mapping[str, str]) -> pd.DataFrame:
    """Everything in one table with a row per value, in percent.

    `kind` is detector, oracle, difference, pseudo labels, reported (the paper's figure, not
    measured here) or not run. `mean`, `std`, `low` and `high` are over `seeds` runs, whose own
    values are in `by_seed` ("seed: value; …"). `reported` is the paper's figure, and
    `reported_settings` whether its settings are this run's.
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
                        differing = differing_settings(group[0], row)
                        place["reported"] = known
                        place["reported_settings"] = f"differ: {differing}" if differing else "same"
                    records.append({**place, **_over_runs(group, part, row, column)})
        for name in ("anomalous_precision", "normal_precision"):
            for place_in_list, labels in enumerate(group[0].get("pseudo_labels", [])):
                values = [run["pseudo_labels"][place_in_list][name] for run in group]
                cell = over_seeds([{"value": value} for value in values])
                row = f"iteration_{labels['iteration']}"
                place = {**key, "kind": "pseudo labels", "row": row, "column": name}
                records.append({**place, **cell})
    for scene, reason in skipped.items():
        records.append({"scene": scene, "kind": "not run", "reason": reason})
    for figure in reported().to_dict("records"):
        name = _cited(figure["name"], figure["reference"])
        place = {"scene": figure["scene"], "variant": f"table {figure['table']}"}
        place |= {"kind": "reported", "row": name, "column": "merged"}
        records.append({**place, "reported": figure["auc"]})
    table = pd.DataFrame.from_records(records, columns=LONG_COLUMNS)
    return table.astype({"seeds": "Int64", "clips": "Int64"})


def over_seeds(cells: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Mean, standard deviation and mean interval (percent) of one value over the seeds."""
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


def scene_table(group: Sequence[Metrics]) -> Table:
    """Detectors and oracles of one scene and variant, over its seeds."""
    first = group[0]
    iterations = first["iterations"]
    # The first and the last running mean stand in the table already, under other names.
    shown = [row for row in first["rows"] if row not in ("ensemble_1", f"ensemble_{iterations}")]
    within = next(iter(first["rows"].values()))["within_clip"].get("clips", 0)
    header = [f"{COLUMN_NAMES[column]}" for column in COLUMNS]
    header[COLUMNS.index("within_clip")] += f" ({count_of(within, 'clip')})"
    rows = [
        *(detector_row(group, row) for row in shown),
        *(detector_row(group, row, "oracles") for row in first["oracles"]),
    ]
    about = first["about"]
    return Table(
        title=f"{about['scene']}, variant {about['variant']}",
        header=("detector", *header, "reported"),
        rows=tuple(rows) if is_measured(group) else (),
        caption=_caption(group),
        rules=(len(shown),),
        notes=(*reported_notes([group]), *_notes(group)),
    )


def is_measured(group: Sequence[Metrics]) -> bool:
    """Whether the scene has any ground truth to be measured with."""
    return any(cell["value"] is not None for cell in group[0]["rows"]["ours"].values())


def detector_row(group: Sequence[Metrics], row: str, part: str = "rows") -> tuple[str, ...]:
    """A line of the scene table: the row's name, every column, and the paper's figure."""
    cells = [_over_runs(group, part, row, column) for column in COLUMNS]
    return (row_name(row), *(cell_text(cell) for cell in cells), _reported_text(group, row))


def reported_notes(listed: Sequence[Sequence[Metrics]]) -> tuple[str, ...]:
    """What the daggers beside the paper's figures mean.

    Parameters
    ----------
    listed : the runs of each scene and variant in the table.
    """
    found = {}
    for group in listed:
        # Whatever reaches another row with a figure reaches the final score too.
        if is_measured(group) and reported_auc(group[0], "ours") is not None:
            who = "this run" if len(listed) == 1 else f"variant {group[0]['about']['variant']}"
            found[who] = differing_settings(group[0], "ours")
    return _footnotes(found)


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
        caption="What each iteration was trained on, held against the ground truth (percent).",
    )


def variants_table(runs: Sequence[Metrics]) -> Table:
    """The final score of every variant on the scenes that have several (no rows: none has)."""
    grouped = groups(runs)
    all_scenes = [scene for scene, _ in grouped]
    scenes = [scene for scene in dict.fromkeys(all_scenes) if all_scenes.count(scene) > 1]
    rows = []
    for variant in dict.fromkeys(variant for _, variant in grouped):
        texts = [variant]
        for scene in scenes:
            group = grouped.get((scene, variant))
            for column in ("merged", "test_only"):
                texts.append("not run" if group is None else _final(group, "ours", column))
            texts.append("" if group is None else _reported_text(group, "ours"))
        rows.append(tuple(texts))
    if not scenes:
        rows = []
    header = [
        f"{scene}, {name}" for scene in scenes for name in ("merged", "test-only", "reported")
    ]
    return Table(
        title="Variants",
        header=("variant", *header),
        rows=tuple(rows),
        caption="AUC of the final score of every variant, in percent (± over seeds).",
        notes=reported_notes([group for (scene, _), group in grouped.items() if scene in scenes]),
    )


def comparison_table(runs: Sequence[Metrics], skipped: Mapping[str, str]) -> Table:
    """The paper's Table 1 on its scenes that this run knows, and what was measured here."""
    grouped = groups(runs)
    figures = reported()
    table_1 = figures[figures["table"] == 1]
    known = dict.fromkeys([*(str(run["about"]["scene"]) for run in runs), *skipped])
    scenes = [scene for scene in known if (table_1["scene"] == scene).any()]
    if not scenes:
        return Table("Table 1 of the paper beside this run", (), ())
    rows: list[tuple[str, ...]] = []
    rules: list[int] = []
    block = None
    for (kind, _), part in table_1.groupby(["block", "method"], sort=False):
        if kind != block:
            rules.append(len(rows))
            block = kind
        name = _cited(part["name"].iloc[0], part["reference"].iloc[0])
        values = dict(zip(part["scene"], part["auc"], strict=True))
        found = [values.get(scene) for scene in scenes]
        rows.append(
            (name, "reported", *(DASH if value is None else f"{value:.1f}" for value in found))
        )
    rules.append(len(rows))
    marked = {}
    for variant in dict.fromkeys(variant for _, variant in grouped):
        for row in ("sp_iforest", "ours"):
            texts = []
            for scene in scenes:
                group = grouped.get((scene, variant))
                if group is None:
                    texts.append("not run")
                    continue
                text = _final(group, row, "merged")
                differing = differing_settings(group[0], row, with_backbone=True)
                if text == DASH or not differing:
                    texts.append(text)
                    continue
                texts.append(_marked(text, differing))
                marked[f"variant {variant}"] = differing
            rows.append((f"{row_name(row)}, variant {variant}", "measured", *texts))
    return Table(
        title="Table 1 of the paper beside this run",
        header=("method", "", *scenes),
        rows=tuple(rows),
        caption=(
            "Merged frame AUC in percent. Rows marked reported are typed from the paper and were "
            "not measured here; the first block there is trained on videos labelled as normal."
        ),
        rules=tuple(rule for rule in rules if rule),
        notes=_footnotes(marked),
    )


def skipped_table(skipped: Mapping[str, str]) -> Table:
    """Scenes of the configuration that were not run, and why."""
    rows = tuple((scene, "not run", reason) for scene, reason in skipped.items())
    return Table("Not run", ("scene", "", "reason"), rows)


def row_name(row: str) -> str:
    """What a row is called in print."""
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
        text += f" [{cell['low']:{form}}, {cell['high']:{form}}]"
    return text.replace("-", MINUS)


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


def markdown(tables: Sequence[Table], title: str) -> str:
    """The tables as one Markdown page."""
    lines = [f"# {_markdown(title)}", "", _markdown(EXPLANATION), ""]
    for table in tables:
        lines += [f"## {_markdown(table.title)}", ""]
        if table.caption:
            lines += [_markdown(table.caption), ""]
        if table.rows:
            rule = "|".join(["---", *["---:"] * (len(table.header) - 1)])
            lines += [_markdown_row(table.header), f"|{rule}|"]
            lines += [_markdown_row(row) for row in table.rows]
            lines.append("")
        for note in table.notes:
            lines += [f"- {_markdown(note)}"]
        if table.notes:
            lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def latex(tables: Sequence[Table], title: str) -> str:
    """The tables as LaTeX to be included; the document needs the packages booktabs and graphicx."""
    lines = [f"% {title.replace(chr(10), ' ')}", f"% {EXPLANATION}"]
    for table in tables:
        if not table.rows:
            continue
        caption = " ".join([f"{table.title}.", table.caption, *table.notes]).strip()
        lines += [
            "",
            r"\begin{table}[tp]",
            r"\centering",
            rf"\caption{{{_latex(caption)}}}",
            r"\resizebox{\textwidth}{!}{%",
            rf"\begin{{tabular}}{{l{'r' * (len(table.header) - 1)}}}",
            r"\toprule",
            _latex_row(table.header),
            r"\midrule",
        ]
        for number, row in enumerate(table.rows):
            if number in table.rules:
                lines.append(r"\midrule")
            lines.append(_latex_row(row))
        lines += [r"\bottomrule", r"\end{tabular}}", r"\end{table}"]
    return "\n".join(lines) + "\n"


def _over_runs(group: Sequence[Metrics], part: str, row: str, column: str) -> dict[str, Any]:
    """`over_seeds` of one cell; an oracle does not depend on the seed, so it has no spread."""
    runs = group[:1] if part == "oracles" else group
    cells = {int(run["about"]["seed"]): run[part][row][column] for run in runs}
    values = {seed: cell["value"] for seed, cell in cells.items() if cell["value"] is not None}
    by_seed = "; ".join(f"{seed}: {100 * value:.3f}" for seed, value in values.items())
    return {**over_seeds(list(cells.values())), "by_seed": by_seed or None}


def _caption(group: Sequence[Metrics]) -> str:
    first = group[0]
    counts = first["counts"]
    seeds = ", ".join(str(run["about"]["seed"]) for run in group)
    sigma = first["settings"]["smoothing_sigma"]
    parts = [
        f"{counts['frames']:,} frames in {count_of(counts['clips'], 'clip')} "
        f"({counts['training_clips']} training, {counts['test_clips']} test); "
        f"{counts['labelled_frames']:,} frames labelled, {counts['anomalous_frames']:,} anomalous",
        f"{count_of(len(group), 'seed')} ({seeds})",
        f"{count_of(first['settings']['draws'], 'draw')} of "
        f"{count_of(counts['labelled_clips'], 'labelled clip')}",
        f"smoothing sigma {sigma:g} frames",
        weights_text(first["about"]),
    ]
    text = "; ".join(parts)
    return f"{text[0].upper()}{text[1:]}."


def _notes(group: Sequence[Metrics]) -> tuple[str, ...]:
    """Why values or intervals are missing, and the paired differences."""
    first = group[0]
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
    for name, columns in first.get("differences", {}).items():
        found = []
        for column in ("merged", "test_only"):
            cell = over_seeds([run["differences"][name][column] for run in group])
            if cell.get("mean") is not None:
                found.append(f"{COLUMN_NAMES[column]} {cell_text(cell, sign=True)}")
        left, _, right = name.partition(" - ")
        if found and columns:
            notes.append(
                f"Paired difference, {row_name(left)} minus {row_name(right)}: {'; '.join(found)} "
                "points."
            )
    return tuple(notes)


def _final(group: Sequence[Metrics], row: str, column: str) -> str:
    return cell_text(_over_runs(group, "rows", row, column), interval=False)


def _reported_text(group: Sequence[Metrics], row: str) -> str:
    """The paper's figure beside a measured one, with a dagger where the settings are not the same.

    Empty where there is none.
    """
    known = reported_auc(group[0], row) if is_measured(group) else None
    return "" if known is None else _marked(f"{known:.1f}", differing_settings(group[0], row))


def _marked(text: str, differing: str) -> str:
    return f"{text} {DAGGER}" if differing else text


def _footnotes(found: Mapping[str, str]) -> tuple[str, ...]:
    """One line for each run or variant (keys) whose settings differ from the paper's (values)."""
    return tuple(
        f"{DAGGER} The paper's figure is for its own settings (in parentheses); {who} differs "
        f"in: {differing}."
        for who, differing in found.items()
        if differing
    )


def _setting(value: Any) -> str:
    """A setting as it is written in YAML."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _cited(name: str, reference: str) -> str:
    return f"{name} [{reference}]" if reference else name


def _markdown(text: str) -> str:
    """Keep text from being read as table borders, tags or emphasis."""
    for character in "\\`*_<>|":
        text = text.replace(character, f"\\{character}")
    return " ".join(text.split())


def _markdown_row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(_markdown(cell) for cell in cells)} |"


def _latex(text: str) -> str:
    return "".join(LATEX.get(character, character) for character in " ".join(text.split()))


def _latex_row(cells: Sequence[str]) -> str:
    # A bracket that opens a row would be read as the optional argument of the \\ before it.
    return " & ".join(_latex(cell).replace("[", "{[}") for cell in cells) + r" \\"
