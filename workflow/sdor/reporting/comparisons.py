"""Which differences hold, in words: paired differences of the headline rows of each scene."""

from collections.abc import Iterable, Sequence
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
    Key,
    paired_key,
    right_side,
)
from sdor.reporting.reported import INITIAL_ROWS
from sdor.reporting.typeset import MINUS, TABLES, bound, count_of, printed, row_name

TITLE = "Which differences hold"
HOW_TO_READ = TABLES["words"]["comparisons"]
NOTHING = f"{NOT_RUN}: no scene has ground truth to compare by."
OURS_AGAINST, INITIAL_AGAINST = (
    "Our method against every other row",
    "The initial scores against the competitors",
)
VARIANTS, OTHERS = "Variants", "Other variants"
OWN = "With fewer anomalies, each variant on frames of its own"
# With fewer, percentile intervals are known to be too narrow.
ENOUGH_CLIPS = 10
# Fewer that all agree are no surprise: five tossed coins fall alike in 1 of 16 times.
LEAST_CLIPS = 6


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
    """The comparisons of all scenes, merged and test-only.

    A variant that saw a part of the frames is held against its own initial scores only.
    """
    main, found = findings.plan.main, []
    for scene in findings.scenes:
        partial = [one for one in findings.variants(scene) if (scene, one) in findings.partial]
        pairs = findings.headline_pairs(scene)
        pairs += [((one, OURS), (one, INITIAL)) for one in partial]
        for metric in JUDGED:
            keys = [paired_key(scene, *sides, metric) for sides in pairs]
            cells = [
                cell for key in keys if (cell := findings.cells.get(key)) and cell.mean is not None
            ]
            lead = paired_key(scene, (main, OURS), (main, INITIAL), metric)
            if cells:
                title = f"{scene}, {TABLES['metrics'][metric]}"
                first = "".join(sentence(cell, main) for cell in cells if cell.key == lead)
                found.append(
                    Passage(title, cells, first, _opening(findings, cells), _groups(cells, main))
                )
    return found


def page(found: Sequence[Passage]) -> str:
    """The passages as Markdown."""
    words = {"title": TITLE, "words": HOW_TO_READ, "nothing": NOTHING}
    return printed("comparisons.md.j2", passages=found, **words)


def sentence(cell: Cell, main: str) -> str:
    """A difference in words, such as "On ped2 (merged), our method is 10.3 points above …"."""
    key, difference = cell.key, cell.mean or 0.0
    left, right = _spoken(key.variant, key.row, main), _spoken(*right_side(key), main)
    gap = f"{abs(difference):.1f}"
    relation = f"{gap} points {'above' if difference > 0 else 'below'} {right}"
    if gap == "0.0":
        relation = f"level with {right}"
    start = f"On {key.scene} ({TABLES['metrics'][key.metric]}), {left} is {relation}"
    if cell.low is None or cell.high is None:
        return f"{start}; no interval: {cell.reason}."
    interval = f"[{bound(cell.low)}, {bound(cell.high)}]".replace("-", MINUS)
    return f"{start} {interval}: {'holds' if cell.holds else 'does not hold'}."


def _groups(cells: Iterable[Cell], main: str) -> list[tuple[str, Sequence[str]]]:
    """(heading, sentences) about one scene and column."""
    groups: dict[str, list[Cell]] = {}
    for cell in cells:
        groups.setdefault(_heading(cell.key, main), []).append(cell)
    said = {name: [sentence(cell, main) for cell in some] for name, some in groups.items()}
    if others := groups.get(OTHERS):
        # Of all these pairs, those that hold.
        counted, holding = count_of(len(others), "pair"), [one for one in others if one.holds]
        verb = "holds" if len(holding) == 1 else "hold"
        lead = f"Among the other variants {len(holding)} of {counted} {verb}:"
        if not holding:
            lead = f"Among the other variants none of {counted} holds."
        said[VARIANTS] = [*said.get(VARIANTS, []), lead, *(sentence(one, main) for one in holding)]
    headings = (OURS_AGAINST, INITIAL_AGAINST, VARIANTS, OWN)
    return [(heading, said[heading]) for heading in headings if heading in said]


def _heading(key: Key, main: str) -> str:
    """The group of a difference; empty where no sentence is made of it."""
    variant, row = right_side(key)
    if key.variant != variant:
        if key.row != OURS or row != OURS:
            return ""
        return VARIANTS if main in (key.variant, variant) else OTHERS
    if key.variant != main:
        return OWN
    if key.row == OURS:
        return OURS_AGAINST
    competes = row not in INITIAL_ROWS and not row.startswith((*STEPS, *ORACLES, OURS))
    return INITIAL_AGAINST if key.row == INITIAL and competes else ""


def _opening(findings: Findings, cells: Sequence[Cell]) -> list[str]:
    """How many clips and pairs there are, and how far that carries."""
    scene, metric = cells[0].key.scene, cells[0].key.metric
    here = findings.variants(scene)
    variant = findings.plan.main if findings.plan.main in here else here[0]
    counts, first = findings.counts[scene, variant], findings.of_first_seed(scene, variant)
    clips, anomalous = counts["labelled_clips"], counts["clips_with_anomalies"]
    words = f"{clips:,.0f} labelled, {anomalous:,.0f} of them with anomalies"
    if metric == "test_only":
        clips = min(clips, counts["test_clips"])
        words = f"{count_of(clips, 'test clip')}; in the scene {count_of(anomalous, 'clip')}"
        words = f"{words} with anomalies"
    found = [f"The unit is the clip: {words}{f' (counts{first})' if first else ''}."]
    judged = [cell for cell in cells if cell.low is not None]
    holding, expected = sum(bool(cell.holds) for cell in judged), (1 - CONFIDENCE) * len(judged)
    if judged:
        verb = "holds" if holding == 1 else "hold"
        lead = f"Of {count_of(len(judged), 'pair')} {holding:,} {verb}; if no two rows differed"
        found.append(f"{lead}, about {round(expected):,} would by chance.")
    lacking = [cell.reason for cell in cells if cell.low is None]
    if lacking:
        reasons = ", ".join(dict.fromkeys(lacking))
        found.append(f"{count_of(len(lacking), 'pair')} without an interval: {reasons}.")
    fewest = min(clips, anomalous)
    if fewest < LEAST_CLIPS:
        found.append(f"Caution: {count_of(fewest, 'clip')} {TABLES['words']['least_clips']}")
    elif fewest < ENOUGH_CLIPS:
        found.append(f"Caution: {TABLES['words']['few_clips']}")
    return found


def _spoken(variant: str, row: str, main: str) -> str:
    """A row's name inside a sentence."""
    name = row_name(row, short=True)
    if name.startswith(("Our ", "Iteration ", "Unmasking", "Two-")):
        name = name[0].lower() + name[1:]
    return name if variant == main else f"{name} ({variant})"
