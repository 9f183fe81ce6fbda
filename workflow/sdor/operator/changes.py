"""When the picture of a camera as a whole changed: infra-red at night, a bump, rain on the lens.

Scores rise there, and lie on another level from then on, though nothing happened in the scene. Two
looks at the picture, small as it is, tell: it is another one for long, and became so in seconds.
People and vehicles pass before the longer look is half over; dusk takes more than the shorter.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdor.method.flow import ACROSS, CELLS, DOWN
from sdor.method.scores import FloatArray, IntArray

BRIEF, LASTING = 5, 120  # seconds on each side of a change; a state fills more than half of both
SUDDEN = 0.5  # share of the lasting change that is seen within seconds
BLOCKED = 2.0  # seconds on each side of a change, in which flow and maps see two pictures
MINUTE, HALF = 60, 30  # seconds from which on a regime has a level of its own; that are compared
STRETCHED = 4.0  # times at most, so that the noise of a night without motion does not fill the list

# A picture is another one from here on: where seconds show it, and where a minute and more does.
# People of UMN who run, and all of Ped2, leave the correlation of seconds above 0.91, of minutes
# above 0.97. A shift by a ninth of the width brings it to 0.87, by an eighteenth to 0.93.
ALIKE = (0.88, 0.94)  # correlation of the cells
WIDELY = (0.35, 0.3)  # share of moved cells in the middle one of nine areas: lorries fill fewer
MOVED = 0.1  # logarithm of brightness by which a cell differs from what the others do
LIGHT = np.log(1.5)  # brightness of the middle cell, half as much again
COVERED = 0.12  # share of cells in which it is so, where it is not in the others
SATURATION = 8  # of 255: infra-red has next to none
FLICKER = 3  # grey values there and back within a second, in the middle cell; UMN has 1
TIMES = 3  # by which saturation or flicker grow or fall
NOISE = 2.0  # mean difference of grey values below which there is neither other light nor view

LOG = np.log(np.arange(256, dtype=np.float32) + 10)  # of brightness: below 10 most of it is noise
KINDS = (  # what grew, and what fell
    ("grey to colour", "colour to grey"),
    ("all of it flickers", "it no longer flickers"),
    ("the view changed", "part of the view changed"),
    ("much brighter", "much darker"),
)
RECALLED = 50  # regimes that a picture is compared with: what is never the same costs no more
BATCH = 8192  # seconds that are looked at together, for memory

Bytes = NDArray[np.uint8]  # pictures are rows of grey values of cells, saturation and flicker


@dataclass(frozen=True)
class Changes:
    """How the picture of a camera changed.

    Attributes
    ----------
    regime : (n,) number of the state of the picture; the same again when the day returns.
    blocked : (n,) within 2 s of a change.
    moments : (k,) first rows of another picture. words : of each, what changed.
    """

    regime: IntArray
    blocked: NDArray[np.bool_]
    moments: IntArray
    words: tuple[str, ...]


def find_changes(
    thumb: Bytes, colour: FloatArray, seconds: FloatArray, stretch: IntArray
) -> Changes:
    """Where the picture changes within seconds and stays so, and which states it has.

    A state lasts more than a minute, or most of what the stretch has on that side, which has to be
    5 s or more. What changes between stretches is another state and no moment.

    Parameters
    ----------
    thumb : (n, 12, 18) mean grey values of the cells of each frame.
    colour : (n,) mean saturation, 0 to 255.
    seconds : (n,) from its stretch's beginning. stretch : (n,) number of each; rows are in order.
    """
    if not len(thumb):
        return Changes(np.zeros(0, int), np.zeros(0, bool), np.zeros(0, int), ())
    run = np.cumsum(np.append(0, np.diff(stretch) != 0))
    first = np.append(
        0, np.flatnonzero((np.diff(run) != 0) | (np.diff(np.floor(seconds)) != 0)) + 1
    )
    end = np.append(first[1:], len(thumb))
    pictures = _by_second(thumb.reshape(-1, CELLS), colour, first, end)
    begins, ends = (np.searchsorted(run[first], run[first], side) for side in ("left", "right"))
    blocked = np.zeros(len(thumb), dtype=bool)
    moments: list[int] = []
    words: list[str] = []
    for at, kinds in zip(*_sudden(pictures, begins, ends), strict=True):
        near = slice(first[max(begins[at], at - BRIEF)], end[min(ends[at] - 1, at + BRIEF)])
        row = first[at]
        if kinds[[0, 2, 3]].any():  # flicker has no picture of its own
            before, after = (
                np.abs(thumb[near].reshape(-1, CELLS) - picture[:, :CELLS].astype(float)).mean(1)
                + np.abs(colour[near] - picture[:, CELLS].astype(float))
                for picture in _sides(pictures, begins, ends, np.array([at]), BRIEF)
            )
            # Falls before the change and rises behind it.
            nearer = np.cumsum(before - after)
            row = near.start + min(int(np.argmin(nearer)) + 1, len(nearer) - 1)
        blocked[near] |= np.abs(seconds[near] - seconds[row]) <= BLOCKED
        moments.append(int(row))
        words.append(", ".join(KINDS[k][int(kinds[k] < 0)] for k in np.flatnonzero(kinds)))
    cuts = np.union1d(begins, np.searchsorted(first, moments, side="right") - 1).astype(int)
    regime = np.repeat(_regimes(pictures, cuts), end - first)
    return Changes(regime, blocked, np.array(moments, dtype=int), tuple(words))


def levelled(scores: FloatArray, regime: IntArray, seconds: FloatArray) -> FloatArray:
    """Scores (n,) with those of each regime on the level of the whole camera.

    Their median and median deviation become those of all scores; a regime of less than a minute
    stays as it is, and a single one too.
    """
    regimes, of, counts = np.unique(regime, return_inverse=True, return_counts=True)
    result = scores.copy()
    steps = np.diff(seconds)
    if len(regimes) < 2 or not (steps > 0).any():
        return result
    level, spread = _level(scores)
    for number in np.flatnonzero(counts >= np.rint(MINUTE / np.median(steps[steps > 0]))):
        own_level, own = _level(scores[of == number])
        scale = spread / max(own, spread / STRETCHED) if spread > 0 else 1.0
        result[of == number] = level + (scores[of == number] - own_level) * scale
    return result


def _level(scores: FloatArray) -> tuple[float, float]:
    median = np.median(scores)
    return float(median), float(np.median(np.abs(scores - median)))


def _five(first: IntArray, end: IntArray) -> list[IntArray]:
    """Five rows of each span from first to before end, evenly."""
    return [first + (end - first) * part // 10 for part in (1, 3, 5, 7, 9)]


def _median(five: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """Elementwise, of five arrays: numpy sorts small groups fifty times more slowly."""
    a, b, c, d, e = five
    low = np.maximum(np.minimum(a, b), np.minimum(c, d))
    high = np.minimum(np.maximum(a, b), np.maximum(c, d))
    median: NDArray[Any] = np.clip(e, np.minimum(low, high), np.maximum(low, high))
    return median


def _by_second(thumb: Bytes, colour: FloatArray, first: IntArray, end: IntArray) -> Bytes:
    """The picture (m, 218) of each second: flashes of one or two rows are gone."""
    pictures = np.empty((len(first), CELLS + 2), dtype=np.uint8)
    for start in range(0, len(first), BATCH):
        batch = slice(start, start + BATCH)
        rows = _five(first[batch], end[batch])
        five = [thumb[one] for one in rows]
        # There and back: what the light of one second adds is no flicker.
        there = np.maximum.reduce(five) - np.minimum.reduce(five)
        back = there - np.maximum(five[0], five[4]) + np.minimum(five[0], five[4])
        saturation = np.rint(_median([colour[one] for one in rows]))
        pictures[batch] = np.column_stack([_median(five), saturation, np.median(back, axis=1)])
    return pictures


def _sides(
    pictures: Bytes, begins: IntArray, ends: IntArray, at: IntArray, reach: int
) -> tuple[Bytes, Bytes]:
    """The pictures before and after some seconds, within a reach and their stretch."""
    before = _five(np.maximum(begins[at], at - reach), at)
    after = _five(at + 1, np.minimum(ends[at], at + 1 + reach))
    return _median([pictures[one] for one in before]), _median([pictures[one] for one in after])


def _sudden(pictures: Bytes, begins: IntArray, ends: IntArray) -> tuple[IntArray, NDArray[np.int8]]:
    """The seconds of changes (k,), and what changed (k, 4) as in `_kinds`."""
    seconds = np.arange(len(pictures))
    seconds = seconds[(seconds - begins >= BRIEF) & (ends - seconds > BRIEF)]
    found, shown = [seconds[:0]], [np.zeros((0, len(KINDS)), dtype=np.int8)]
    for start in range(0, len(seconds), BATCH):
        at = seconds[start : start + BATCH]
        before, after = _sides(pictures, begins, ends, at, LASTING)
        kinds = _kinds(before, after, np.minimum(at - begins[at], ends[at] - at - 1) >= MINUTE)
        rows = np.flatnonzero(kinds.any(axis=1))
        lasting = _vectors(after[rows]) - _vectors(before[rows])
        before, after = _sides(pictures, begins, ends, at[rows], BRIEF)
        brief = _vectors(after) - _vectors(before)
        # What changes in these seconds, but otherwise than for long, counts nothing.
        share = (lasting * brief).sum(axis=1) / np.square(lasting).sum(axis=1)
        found.append(at[rows[share >= SUDDEN]])
        shown.append(kinds[rows[share >= SUDDEN]])
    at = np.concatenate(found)
    # One change is sudden for several seconds, and lies in their middle.
    groups = np.split(np.arange(len(at)), np.flatnonzero(np.diff(at) > BRIEF) + 1)
    middle = [group[len(group) // 2] for group in groups if len(group)]
    return at[middle], np.concatenate(shown)[middle]


def _vectors(pictures: Bytes) -> FloatArray:
    """Pictures as vectors, in which each kind of change is longer than what people change."""
    return np.hstack([LOG[pictures[:, :CELLS]], pictures[:, CELLS:] / np.float32(2)])


def _kinds(before: Bytes, after: Bytes, sure: NDArray[np.bool_]) -> NDArray[np.int8]:
    """What of `KINDS` tells pictures from others, (m, 4): 1 where it grew, -1 where it fell.

    sure : (m,) whether they are those of minutes.
    """
    before, after = np.broadcast_arrays(before, after)
    kinds = np.zeros((len(sure), len(KINDS)), dtype=np.int8)
    then, now = before[:, CELLS:].astype(int), after[:, CELLS:].astype(int)
    much = np.maximum(then, now) >= TIMES * np.minimum(then, now)
    kinds[:, :2] = np.sign(now - then) * (much & (np.abs(now - then) >= (SATURATION, FLICKER)))
    change = np.maximum(before, after) - np.minimum(before, after)
    rows = np.flatnonzero(change[:, :CELLS].mean(axis=1) >= NOISE)
    then, now, sure = before[rows, :CELLS], after[rows, :CELLS], sure[rows]
    lighter = LOG[now] - LOG[then]
    light = np.median(lighter, axis=1)
    kinds[rows, 3] = np.sign(light) * (np.abs(light) >= LIGHT)
    away = np.abs(lighter - light[:, None])
    areas = (away > MOVED).reshape(-1, 3, DOWN // 3, 3, ACROSS // 3).mean(axis=(2, 4))
    view = np.median(areas.reshape(-1, 9), axis=1) >= np.where(sure, WIDELY[1], WIDELY[0])
    view &= _correlation(then, now) < np.where(sure, ALIKE[1], ALIKE[0])
    covered = sure & ((away >= LIGHT).mean(axis=1) >= COVERED) & ~kinds[rows].any(axis=1)
    kinds[rows, 2] = np.where(view, 1, -covered.astype(int))
    return kinds


def _correlation(one: Bytes, other: Bytes) -> FloatArray:
    """Of the cells of pictures, (m,); 0 where one of them is blank."""
    a, b = (x - x.mean(axis=1, keepdims=True, dtype=np.float32) for x in (one, other))
    size = np.sqrt(np.square(a).sum(axis=1) * np.square(b).sum(axis=1))
    correlation: FloatArray = (a * b).sum(axis=1) / np.maximum(size, 1e-9)
    return correlation


def _regimes(pictures: Bytes, cuts: IntArray) -> IntArray:
    """The state of the picture in each second; between two cuts, half minutes are told apart.

    Each has the state of the one before it, else the first known one that it does not differ from
    as that was first seen: slow drift ends in another state.
    """
    lengths = np.diff(np.append(cuts, len(pictures)))
    counts = np.maximum(lengths // HALF, 1)
    part_of = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    starts = np.repeat(cuts, counts) + part_of * np.repeat(lengths, counts) // np.repeat(
        counts, counts
    )
    ends = np.append(starts[1:], len(pictures))
    parts = _median([pictures[rows] for rows in _five(starts, ends)])
    sure = ends - starts >= HALF
    leaders, state = [0], [0]
    for part in range(1, len(parts)):
        known = np.array([state[-1], *leaders[-RECALLED:]])
        alike = ~_kinds(parts[known], parts[[part]], sure[known] & sure[part]).any(axis=1)
        if not alike.any():
            leaders.append(part)
        state.append(int(known[np.argmax(alike)]) if alike.any() else part)
    return np.repeat(np.unique(state, return_inverse=True)[1], ends - starts)
