"""Which differences hold: paired differences of the headline rows of each scene, as tables."""

from collections.abc import Sequence

from sdor.evaluation.bootstrap import CONFIDENCE
from sdor.reporting.findings import (
    INITIAL,
    JUDGED,
    ORACLES,
    OURS,
    STEPS,
    Cell,
    Findings,
    paired_key,
    right_side,
)
from sdor.reporting.reported import INITIAL_ROWS
from sdor.reporting.typeset import METRICS, WORDS, Page, Row, Table, row_name

# With fewer, percentile intervals are known to be too narrow.
ENOUGH_CLIPS = 10
# Fewer that all agree are no surprise: five tossed coins fall alike in 1 of 16 times.
LEAST_CLIPS = 6


def comparisons(findings: Findings) -> Page:
    """A table for each scene and column of `JUDGED`; the CSV file has every pair."""
    tables: list[Table] = []
    paired: list[Cell] = []
    for scene in findings.scenes:
        for metric in JUDGED:
            keys = [paired_key(scene, *one, metric) for one in findings.headline_pairs(scene)]
            cells = [findings.cells[key] for key in keys if key in findings.cells]
            if known := [cell for cell in cells if cell.mean is not None]:
                tables.append(_table(findings, scene, metric, known))
                paired += known
    return Page("comparisons", tables, every=paired)


def _table(findings: Findings, scene: str, metric: str, cells: Sequence[Cell]) -> Table:
    main, rows = findings.plan.main, []
    for heading in ("against_ours", "against_initial", "variants", "own_frames"):
        for cell in [one for one in cells if _heading(one, main) == heading]:
            sides = ((cell.key.variant, cell.key.row), right_side(cell.key))
            names = [
                row_name(row, short=True) + ("" if variant == main else f" ({variant})")
                for variant, row in sides
            ]
            outcome = {True: "holds", False: "does not hold", None: f"no interval: {cell.reason}"}
            rows.append(Row((*names, cell, outcome[cell.holds]), WORDS[heading]))
    header = ("row", "against", "difference", "")
    title = f"{scene}, {METRICS[metric]}"
    return Table(title, header, rows, " ".join(_opening(findings, scene, metric, cells)))


def _heading(cell: Cell, main: str) -> str:
    """The group of a difference; empty where it is in the CSV file only."""
    left, (variant, row) = cell.key, right_side(cell.key)
    if left.variant != variant:
        return "variants" if left.row == row == OURS else ""
    if left.variant != main:
        return "own_frames"
    if left.row == OURS:
        return "against_ours"
    competes = row not in INITIAL_ROWS and not row.startswith((*STEPS, *ORACLES, OURS))
    return "against_initial" if left.row == INITIAL and competes else ""


def _opening(findings: Findings, scene: str, metric: str, cells: Sequence[Cell]) -> list[str]:
    """How many clips and pairs there are, and how far that carries."""
    main, here = findings.plan.main, findings.variants(scene)
    variant = main if main in here else here[0]
    counts = findings.counts[scene, variant]
    first = " (counts of the first seed)" if (scene, variant) in findings.partial else ""
    kind = {"merged": "labelled_clips", "test_only": "test_clips"}.get(
        metric, "clips_of_both_classes"
    )
    counts = {
        **counts,
        "clips_of_both_classes": findings.cell(scene, variant, metric=metric).clips or 0,
    }
    clips, anomalous = min(counts[kind], counts["labelled_clips"]), counts["clips_with_anomalies"]
    judged = [cell for cell in cells if cell.holds is not None]
    found = [
        f"The unit is the clip: {clips:,.0f} {kind.replace('_', ' ')}; clips with anomalies in the "
        f"scene: {anomalous:,.0f}{first}.",
        f"Pairs with an interval: {len(judged):,} of {len(cells):,}; of these "
        f"{sum(bool(cell.holds) for cell in judged):,} hold, where about "
        f"{round((1 - CONFIDENCE) * len(judged)):,} would by chance if no two rows differed.",
    ]
    fewest = min(clips, anomalous)
    if fewest < LEAST_CLIPS:
        found.append(WORDS["least_clips"].format(clips=f"{fewest:.0f}"))
    elif fewest < ENOUGH_CLIPS:
        found.append(WORDS["few_clips"])
    return found
