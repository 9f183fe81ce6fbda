"""Which differences hold: any two rows of a scene, compared over the same draws of clips.

What makes a draw of clips easy or hard is common to both rows and cancels in their difference, so
two overlapping intervals can still hide a difference that holds, and only the paired interval
tells.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import pandas as pd

from sdor.errors import SdorError
from sdor.evaluation.metrics import COLUMNS, CONFIDENCE, FloatArray, with_interval
from sdor.files import damaged, read_parquet
from sdor.reporting.tables import (
    COLUMN_NAMES,
    INITIAL_ROWS,
    MINUS,
    Metrics,
    bound_text,
    count_of,
    groups,
    has_subset,
    markdown_text,
    of_first_seed,
    over_seeds,
    row_name,
)

# (scene, variant): row: (draws, columns of COLUMNS), the mean over the seeds of every draw.
Draws = Mapping[tuple[str, str], Mapping[str, FloatArray]]
# (variant, row) of a scene.
Side = tuple[str, str]

COMPARED_COLUMNS = ("merged", "test_only")
KEYS = ["scene", "column", "left_variant", "left_row", "right_variant", "right_row"]
TABLE_COLUMNS = [*KEYS, "difference", "low", "high", "draws", "skipped", "holds", "reason"]
# With fewer, percentile intervals are known to be too narrow.
ENOUGH_CLIPS = 10
# Fewer that all agree are no surprise: five tossed coins fall alike in 1 of 16 times.
LEAST_CLIPS = 6
HOW_TO_READ = (
    "Each sentence holds two rankings of the same frames against each other: the difference of "
    "their frame AUC in points, means over the seeds, and in brackets its 95 % interval when whole "
    "clips are drawn anew, the same draws on both sides. A difference holds when 0 is not in the "
    "interval. The interval tells how much hangs on which clips were filmed; how much hangs on the "
    "seed is the ± of the tables. Of many pairs some hold by chance: 1 in 20 where there is no "
    "difference at all, and as pairs share rows, chance makes many of them hold at once, or none. "
    "Where anomalies are left out, every seed has frames of its own: there each seed has an "
    "interval of its own, and the bounds are their means."
)


@dataclass(frozen=True)
class Passage:
    """What the comparisons of one scene and column say, in sentences.

    Attributes
    ----------
    lead : our method against the initial scores; empty where that is not among the pairs.
    opening : how many clips and pairs there are, and what that asks of the reader.
    groups : (heading, sentences).
    """

    title: str
    lead: str
    opening: tuple[str, ...]
    groups: tuple[tuple[str, tuple[str, ...]], ...]


def read_draws(runs: Sequence[Metrics], paths: Sequence[str | Path]) -> Draws:
    """Every row over the draws of clips, averaged over the seeds of a scene and variant.

    Parameters
    ----------
    runs, paths : the metrics and the `draws.parquet` of each run, in the same order.

    Raises
    ------
    SdorError : a file is missing or damaged, or is not of the rows or the draws of its metrics.
    """
    sums: dict[tuple[str, str], dict[str, FloatArray]] = {}
    counts: dict[tuple[str, str], int] = {}
    for run, path in zip(runs, paths, strict=True):
        key = _key(run)
        values = _read_rows(run, path)
        known = sums.get(key)
        if known is None:
            sums[key] = values
        else:
            # A row that a seed lacks is not a row of the mean.
            sums[key] = {
                row: known[row] + values[row]
                for row in known
                if row in values and len(known[row]) == len(values[row])
            }
        counts[key] = counts.get(key, 0) + 1
    return {
        key: {row: total / counts[key] for row, total in rows.items()} for key, rows in sums.items()
    }


def difference(
    left: Sequence[Metrics],
    right: Sequence[Metrics],
    rows: tuple[str, str],
    column: str,
    draws: Draws,
) -> dict[str, Any]:
    """One row minus another, in percent points, over the same draws of clips.

    Parameters
    ----------
    left, right : the runs (seeds) of a scene and variant each, of the same scene.
    rows : the row of `left` and the row of `right`, detectors or oracles.

    Returns
    -------
    `difference` (of the means over the seeds), `low` and `high` (95 %), `draws` behind them,
    `skipped` draws that did not hold both classes, `holds` (the interval leaves out 0); where
    something cannot be said it is None, with the `reason`.
    """
    found: dict[str, Any] = dict.fromkeys(TABLE_COLUMNS[len(KEYS) :])
    groups_and_rows = list(zip((left, right), rows, strict=True))
    cells = [[_cell(run, row, column) for run in group] for group, row in groups_and_rows]
    if any(cell.get("value") is None for side in cells for cell in side):
        return {**found, "reason": "one of the two has no value"}
    if has_subset((*left, *right)):
        return {**found, "reason": "not of the same frames: some anomalies are left out"}
    means = [fmean(cell["value"] for cell in side) for side in cells]
    found["difference"] = 100 * (means[0] - means[1])
    for cell in (*cells[0], *cells[1]):
        if cell.get("low") is None:
            return {**found, "reason": cell.get("interval_reason", "no interval")}
    if len({_drawing(run) for run in (*left, *right)}) > 1:
        return {**found, "reason": "the seeds or variants were not judged on the same clips"}
    place = COLUMNS.index(column)
    sides = [draws.get(_key(group[0]), {}).get(row) for group, row in groups_and_rows]
    if sides[0] is None or sides[1] is None or len(sides[0]) != len(sides[1]):
        return {**found, "reason": "no draws to pair"}
    drawn = 100 * (sides[0][:, place] - sides[1][:, place])
    paired: Mapping[str, Any] = with_interval(found["difference"], drawn, None)
    low, high = paired["low"], paired["high"]
    if low is None:
        return {**found, "reason": "no draw holds both classes"}
    used = {"draws": len(drawn) - paired["skipped"], "skipped": paired["skipped"]}
    return {**found, "low": low, "high": high, **used, "holds": low > 0 or high < 0}


def gain(group: Sequence[Metrics], column: str, draws: Draws) -> dict[str, Any]:
    """Our method minus the initial scores of the same runs, in percent points.

    Where each seed leaves out other anomalies, its interval stands in its metrics file, and the
    bounds are averaged over the seeds; everywhere else it is the `difference` of the two rows.

    Parameters
    ----------
    group : the runs (seeds) of a scene and variant.

    Returns
    -------
    As `difference`.
    """
    if not has_subset(group):
        return difference(group, group, ("ours", "sp_iforest"), column, draws)
    found: dict[str, Any] = dict.fromkeys(TABLE_COLUMNS[len(KEYS) :])
    cells = [run["differences"]["ours - sp_iforest"][column] for run in group]
    over = over_seeds(cells)
    if over.get("mean") is None:
        return {**found, "reason": over["reason"]}
    low, high, skipped = over["low"], over["high"], max(cell.get("skipped", 0) for cell in cells)
    found |= {"difference": over["mean"], "low": low, "high": high, "reason": over["reason"]}
    if low is None or high is None:
        return found
    draws = group[0]["settings"]["draws"] - skipped
    return {**found, "draws": draws, "skipped": skipped, "holds": low > 0 or high < 0}


def compare(runs: Sequence[Metrics], draws: Draws, main: str) -> pd.DataFrame:
    """All pairs of the headline rows of every scene, merged and test-only.

    Headline rows are, of the main variant, the final score (also smoothed), the initial detectors,
    the competitors and the last iteration alone, and of every other variant the final score. A
    variant that saw a part of the frames is held against its own initial scores only.

    Parameters
    ----------
    draws : see `read_draws`.
    main : name of the main variant.

    Returns
    -------
    A table of TABLE_COLUMNS with a row per pair that has values, in percent points: what was
    compared, then what `difference` says.
    """
    grouped = groups(runs)
    records: list[dict[str, Any]] = []
    for scene in dict.fromkeys(scene for scene, _ in grouped):
        of_scene = {variant: group for (its, variant), group in grouped.items() if its == scene}
        for (left, left_row), (right, right_row) in _pairs(of_scene, main):
            for column in COMPARED_COLUMNS:
                groups_of = of_scene[left], of_scene[right]
                if has_subset(groups_of[0]):
                    found = gain(groups_of[0], column, draws)
                else:
                    found = difference(*groups_of, (left_row, right_row), column, draws)
                if found["difference"] is not None:
                    names = (scene, column, left, left_row, right, right_row)
                    records.append({**dict(zip(KEYS, names, strict=True)), **found})
    table = pd.DataFrame.from_records(records, columns=TABLE_COLUMNS)
    return table.astype({"draws": "Int64", "skipped": "Int64", "holds": "boolean"})


def page(table: pd.DataFrame, runs: Sequence[Metrics], main: str) -> list[Passage]:
    """The comparisons in words, a passage for each scene and column that has any.

    Parameters
    ----------
    table : what `compare` returned for the runs.
    """
    grouped = groups(runs)
    passages = []
    for (scene, column), part in table.groupby(["scene", "column"], sort=False):
        some = next(group for (its, _), group in grouped.items() if its == scene)
        whole = grouped.get((str(scene), main), some)
        passages.append(
            Passage(
                title=f"{scene}, {COLUMN_NAMES[str(column)]}",
                lead=_lead(part, main),
                opening=_opening(part, whole, str(column)),
                groups=tuple(_grouped_sentences(part, main)),
            )
        )
    return passages


def markdown(passages: Sequence[Passage], title: str, nothing: str) -> str:
    """The passages as one Markdown page.

    Parameters
    ----------
    nothing : said where there are none.

    Returns
    -------
    The page; what the passages are about is escaped.
    """
    lines = [f"# {markdown_text(title)}", ""]
    lines += [markdown_text(HOW_TO_READ if passages else nothing), ""]
    for passage in passages:
        lines += [f"## {markdown_text(passage.title)}", ""]
        lines += [markdown_text(" ".join(passage.opening)), ""]
        for heading, sentences in passage.groups:
            lines += [f"**{markdown_text(heading)}**", ""]
            lines += [f"- {markdown_text(sentence)}" for sentence in sentences]
            lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def sentence(pair: Mapping[str, Any], main: str) -> str:
    """One row of the table in words, such as "On ped2 (merged), our method is 10.3 points …"."""
    left = _spoken(pair["left_variant"], pair["left_row"], main)
    right = _spoken(pair["right_variant"], pair["right_row"], main)
    gap = f"{abs(pair['difference']):.1f}"
    relation = f"{gap} points {'above' if pair['difference'] > 0 else 'below'} {right}"
    if gap == "0.0":
        relation = f"level with {right}"
    start = f"On {pair['scene']} ({COLUMN_NAMES[pair['column']]}), {left} is {relation}"
    if pd.isna(pair["low"]):
        return f"{start}; no interval: {pair['reason']}."
    # Adding 0 to a rounded -0.04 takes its sign off.
    low, high = (bound_text(pair[name]) for name in ("low", "high"))
    interval = f"[{low}, {high}]".replace("-", MINUS)
    return f"{start} {interval}: {'holds' if pair['holds'] else 'does not hold'}."


def _pairs(of_scene: Mapping[str, Sequence[Metrics]], main: str) -> list[tuple[Side, Side]]:
    """Pairs of headline rows; the row that a sentence is about comes first."""
    sides: list[Side] = []
    own: list[tuple[Side, Side]] = []
    if main in of_scene and not has_subset(of_scene[main]):
        rows = of_scene[main][0]["rows"]
        steps = ("iteration_", "ensemble_")
        others = [row for row in rows if not row.startswith((*steps, "ours"))]
        last = f"iteration_{of_scene[main][0]['iterations']}"
        headline = ["ours", *others, last, "ours_smoothed"]
        sides = [(main, row) for row in headline if row in rows]
    for variant, group in of_scene.items():
        if has_subset(group):
            own.append(((variant, "ours"), (variant, "sp_iforest")))
        elif variant != main:
            sides.append((variant, "ours"))
    return [*combinations(sides, 2), *own]


def _grouped_sentences(part: pd.DataFrame, main: str) -> list[tuple[str, tuple[str, ...]]]:
    """(heading, sentences) about one scene and column."""
    pairs: list[dict[str, Any]] = [
        {str(key): value for key, value in pair.items()} for pair in part.to_dict("records")
    ]
    ours: list[dict[str, Any]] = []
    initial: list[dict[str, Any]] = []
    variants: list[dict[str, Any]] = []
    rest: list[dict[str, Any]] = []
    own: list[dict[str, Any]] = []
    for pair in pairs:
        left, right = (pair[f"{side}_variant"] for side in ("left", "right"))
        rows = pair["left_row"], pair["right_row"]
        if left != right and rows == ("ours", "ours"):
            (variants if main in (left, right) else rest).append(pair)
        elif left == right and left != main:
            own.append(pair)
        elif left == right and rows[0] == "ours":
            ours.append(pair)
        elif left == right and rows[0] == "sp_iforest" and _competes(rows[1]):
            initial.append(pair)
    found = [
        ("Our method against every other row", [sentence(pair, main) for pair in ours]),
        (
            "The initial scores against the competitors",
            [sentence(pair, main) for pair in initial],
        ),
        (
            "Variants",
            [sentence(pair, main) for pair in variants] + _among(rest, main),
        ),
        (
            "With fewer anomalies, each variant on frames of its own",
            [sentence(pair, main) for pair in own],
        ),
    ]
    return [(heading, tuple(sentences)) for heading, sentences in found if sentences]


def _among(pairs: Sequence[Mapping[str, Any]], main: str) -> list[str]:
    """The pairs of two variants that hold, and how many do not."""
    if not pairs:
        return []
    holding = [pair for pair in pairs if not pd.isna(pair["holds"]) and pair["holds"]]
    counted = count_of(len(pairs), "pair")
    if not holding:
        return [f"Among the other variants none of {counted} holds."]
    verb = "holds" if len(holding) == 1 else "hold"
    return [
        f"Among the other variants {len(holding)} of {counted} {verb}:",
        *(sentence(pair, main) for pair in holding),
    ]


def _lead(part: pd.DataFrame, main: str) -> str:
    """The sentence that matters most."""
    wanted = {"left_variant": main, "left_row": "ours"}
    wanted |= {"right_variant": main, "right_row": "sp_iforest"}
    for pair in part.to_dict("records"):
        if all(pair[name] == value for name, value in wanted.items()):
            return sentence({str(key): value for key, value in pair.items()}, main)
    return ""


def _opening(part: pd.DataFrame, whole: Sequence[Metrics], column: str) -> tuple[str, ...]:
    """How many clips and pairs there are, and how far that carries."""
    counts = whole[0]["counts"]
    clips, anomalous = counts["labelled_clips"], counts["clips_with_anomalies"]
    first_only = f" (counts{of_first_seed(whole)})" if of_first_seed(whole) else ""
    texts = [
        f"The unit is the clip: {clips:,} labelled, {anomalous:,} of them with anomalies"
        f"{first_only}."
    ]
    if column == "test_only":
        clips = min(clips, counts["test_clips"])
        texts = [
            f"The unit is the clip: {count_of(clips, 'test clip')}; in the scene "
            f"{count_of(anomalous, 'clip')} with anomalies{first_only}."
        ]
    judged = part[part["low"].notna()]
    holding = int(judged["holds"].sum())
    if len(judged):
        expected = round((1 - CONFIDENCE) * len(judged))
        texts.append(
            f"Of {count_of(len(judged), 'pair')} {holding:,} "
            f"{'holds' if holding == 1 else 'hold'}; if no two rows differed, about {expected:,} "
            "would by chance."
        )
    if len(judged) < len(part):
        lacking = part[part["low"].isna()]
        reasons = ", ".join(dict.fromkeys(str(reason) for reason in lacking["reason"]))
        texts.append(f"{count_of(len(lacking), 'pair')} without an interval: {reasons}.")
    fewest = min(clips, anomalous)
    if fewest < LEAST_CLIPS:
        texts.append(
            f"Caution: {count_of(fewest, 'clip')} cannot show that any difference holds, whatever "
            "is said below: that few can all agree by chance."
        )
    elif fewest < ENOUGH_CLIPS:
        texts.append(
            f"Caution: intervals from fewer than {ENOUGH_CLIPS} clips are too narrow; take what "
            "holds as a hint."
        )
    return tuple(texts)


def _competes(row: str) -> bool:
    """Whether a row is neither an initial detector nor a step of our method."""
    return row not in INITIAL_ROWS and not row.startswith(("iteration_", "ensemble_", "ours"))


def _spoken(variant: str, row: str, main: str) -> str:
    """A row's name inside a sentence."""
    name = row_name(row, short=True)
    if name.startswith(("Our ", "Iteration ", "Unmasking", "Two-")):
        name = name[0].lower() + name[1:]
    return name if variant == main else f"{name} ({variant})"


def _cell(run: Metrics, row: str, column: str) -> Mapping[str, Any]:
    """A value of a detector or an oracle; empty where the run has no such row."""
    cells: Mapping[str, Any] = {**run["oracles"], **run["rows"]}.get(row, {})
    found: Mapping[str, Any] = cells.get(column, {})
    return found


def _drawing(run: Metrics) -> tuple[int, int, int]:
    """What decides which clips each draw holds."""
    settings = run["settings"]
    return run["counts"]["labelled_clips"], settings["draws"], settings["bootstrap_seed"]


def _key(run: Metrics) -> tuple[str, str]:
    return str(run["about"]["scene"]), str(run["about"]["variant"])


def _read_rows(run: Metrics, path: str | Path) -> dict[str, FloatArray]:
    """The (draws, columns) values of every row of one run."""
    table = read_parquet(path)
    if absent := [name for name in ("row", "draw", *COLUMNS) if name not in table]:
        raise SdorError(damaged(path, KeyError(f"no column {absent[0]}")))
    values = table[list(COLUMNS)].to_numpy(dtype=float)
    places = table.groupby("row", sort=False).indices
    order = table["draw"].to_numpy()
    found = {str(row): values[at[np.argsort(order[at])]] for row, at in places.items()}
    wanted = run["settings"]["draws"]
    for row, cells in run["rows"].items():
        # Rows without any value have no draws.
        if all(cell["value"] is None for cell in cells.values()):
            continue
        got = len(found.get(row, ()))
        if got != wanted:
            raise SdorError(
                f"{path}: row {row} has {got} draws, its metrics.json {wanted}; delete both and "
                "run the same command again"
            )
    return found
