"""Which differences hold, in words: paired differences of the headline rows of each scene."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from sdor.evaluation.bootstrap import CONFIDENCE
from sdor.reporting.findings import (
    INITIAL,
    JUDGED,
    NOT_RUN,
    ORACLES,
    OURS,
    STEPS,
    Cell,
    Findings,
    paired_key,
    right_side,
)
from sdor.reporting.reported import INITIAL_ROWS
from sdor.reporting.typeset import COLUMN_NAMES, MINUS, bound, count_of, markdown_text, row_name

TITLE = "Which differences hold"
NOTHING = f"{NOT_RUN}: no scene has ground truth to compare by."
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
    cells : the differences that it is about.
    lead : our method against the initial scores; empty where that is not among them.
    opening : how many clips and pairs there are, and what that asks of the reader.
    groups : (heading, sentences).
    """

    title: str
    cells: Sequence[Cell]
    lead: str
    opening: Sequence[str]
    groups: Sequence[tuple[str, Sequence[str]]]


def passages(findings: Findings) -> list[Passage]:
    """The comparisons of all scenes, merged and test-only."""
    found = []
    for scene in findings.scenes:
        for metric in JUDGED:
            cells = list(_compared(findings, scene, metric))
            if cells:
                main = findings.plan.main
                lead = findings.cell(scene, main, metric=metric, against=INITIAL)
                found.append(
                    Passage(
                        f"{scene}, {COLUMN_NAMES[metric]}",
                        cells,
                        sentence(lead, main) if lead in cells else "",
                        list(_opening(findings, cells)),
                        _groups(cells, main),
                    )
                )
    return found


def page(found: Sequence[Passage]) -> str:
    """The passages as Markdown."""
    blocks = [f"# {TITLE}", markdown_text(HOW_TO_READ if found else NOTHING)]
    for passage in found:
        blocks += [f"## {markdown_text(passage.title)}", markdown_text(" ".join(passage.opening))]
        for heading, sentences in passage.groups:
            blocks.append(f"**{markdown_text(heading)}**")
            blocks.append("\n".join(f"- {markdown_text(one)}" for one in sentences))
    return "\n\n".join(blocks) + "\n"


def sentence(cell: Cell, main: str) -> str:
    """A difference in words, such as "On ped2 (merged), our method is 10.3 points above …"."""
    key, difference = cell.key, cell.mean or 0.0
    left, right = _spoken(key.variant, key.row, main), _spoken(*right_side(key), main)
    gap = f"{abs(difference):.1f}"
    relation = f"{gap} points {'above' if difference > 0 else 'below'} {right}"
    if gap == "0.0":
        relation = f"level with {right}"
    start = f"On {key.scene} ({COLUMN_NAMES[key.metric]}), {left} is {relation}"
    if cell.low is None or cell.high is None:
        return f"{start}; no interval: {cell.reason}."
    interval = f"[{bound(cell.low)}, {bound(cell.high)}]".replace("-", MINUS)
    return f"{start} {interval}: {'holds' if cell.holds else 'does not hold'}."


def _compared(findings: Findings, scene: str, metric: str) -> Iterator[Cell]:
    """Differences of a scene that have a value.

    A variant that saw a part of the frames is held against its own initial scores only.
    """
    partial = [one for one in findings.variants(scene) if (scene, one) in findings.partial]
    pairs = findings.headline_pairs(scene)
    pairs += [((one, OURS), (one, INITIAL)) for one in partial]
    keys = [paired_key(scene, *sides, metric) for sides in pairs]
    for key in keys:
        cell = findings.cells.get(key)
        if cell is not None and cell.mean is not None:
            yield cell


def _groups(cells: Sequence[Cell], main: str) -> list[tuple[str, Sequence[str]]]:
    """(heading, sentences) about one scene and column."""
    ours: list[Cell] = []
    initial: list[Cell] = []
    variants: list[Cell] = []
    rest: list[Cell] = []
    own: list[Cell] = []
    for cell in cells:
        left, (right, other) = cell.key.variant, right_side(cell.key)
        if left != right and cell.key.row == other == OURS:
            (variants if main in (left, right) else rest).append(cell)
        elif left == right and left != main:
            own.append(cell)
        elif left == right and cell.key.row == OURS:
            ours.append(cell)
        elif left == right and cell.key.row == INITIAL and _competes(other):
            initial.append(cell)
    said = {
        "Our method against every other row": _sentences(ours, main),
        "The initial scores against the competitors": _sentences(initial, main),
        "Variants": [*_sentences(variants, main), *_among(rest, main)],
        "With fewer anomalies, each variant on frames of its own": _sentences(own, main),
    }
    return [(heading, sentences) for heading, sentences in said.items() if sentences]


def _among(cells: Sequence[Cell], main: str) -> list[str]:
    """The pairs of two variants that hold, and how many do not."""
    if not cells:
        return []
    holding = [cell for cell in cells if cell.holds]
    counted = count_of(len(cells), "pair")
    if not holding:
        return [f"Among the other variants none of {counted} holds."]
    verb = "holds" if len(holding) == 1 else "hold"
    lead = f"Among the other variants {len(holding)} of {counted} {verb}:"
    return [lead, *_sentences(holding, main)]


def _sentences(cells: Iterable[Cell], main: str) -> list[str]:
    return [sentence(cell, main) for cell in cells]


def _opening(findings: Findings, cells: Sequence[Cell]) -> Iterator[str]:
    """How many clips and pairs there are, and how far that carries."""
    scene, metric = cells[0].key.scene, cells[0].key.metric
    here = findings.variants(scene)
    variant = findings.plan.main if findings.plan.main in here else here[0]
    counts = {
        name: findings.count(scene, variant, name)
        for name in ("labelled_clips", "clips_with_anomalies", "test_clips")
    }
    clips, anomalous = counts["labelled_clips"], counts["clips_with_anomalies"]
    first = findings.of_first_seed(scene, variant)
    first = f" (counts{first})" if first else ""
    if metric == "test_only":
        clips = min(clips, counts["test_clips"])
        yield (
            f"The unit is the clip: {count_of(clips, 'test clip')}; in the scene "
            f"{count_of(anomalous, 'clip')} with anomalies{first}."
        )
    else:
        yield (
            f"The unit is the clip: {clips:,.0f} labelled, {anomalous:,.0f} of them with anomalies"
            f"{first}."
        )
    judged = [cell for cell in cells if cell.low is not None]
    if judged:
        holding = sum(bool(cell.holds) for cell in judged)
        expected = round((1 - CONFIDENCE) * len(judged))
        yield (
            f"Of {count_of(len(judged), 'pair')} {holding:,} "
            f"{'holds' if holding == 1 else 'hold'}; if no two rows differed, about {expected:,} "
            "would by chance."
        )
    lacking = [cell for cell in cells if cell.low is None]
    if lacking:
        reasons = ", ".join(dict.fromkeys(cell.reason for cell in lacking))
        yield f"{count_of(len(lacking), 'pair')} without an interval: {reasons}."
    fewest = min(clips, anomalous)
    if fewest < LEAST_CLIPS:
        yield (
            f"Caution: {count_of(fewest, 'clip')} cannot show that any difference holds, whatever "
            "is said below: that few can all agree by chance."
        )
    elif fewest < ENOUGH_CLIPS:
        yield (
            f"Caution: intervals from fewer than {ENOUGH_CLIPS} clips are too narrow; take what "
            "holds as a hint."
        )


def _competes(row: str) -> bool:
    """Whether a row is neither an initial detector nor a step of our method."""
    return row not in INITIAL_ROWS and not row.startswith((*STEPS, *ORACLES, OURS))


def _spoken(variant: str, row: str, main: str) -> str:
    """A row's name inside a sentence."""
    name = row_name(row, short=True)
    if name.startswith(("Our ", "Iteration ", "Unmasking", "Two-")):
        name = name[0].lower() + name[1:]
    return name if variant == main else f"{name} ({variant})"
