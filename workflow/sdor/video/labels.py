"""Label files, read strictly: a shifted cell or the labels of another clip are refused, not used.

Labels may be typed in the scene file, or lie in a UCSD list, a CSV table, a list of videos or an
array; they count frames or seconds. Each becomes one number a frame.
"""

import csv
import re
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path
from textwrap import shorten
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from sdor.errors import SdorError
from sdor.study.scenes import ArrayFile, Clip, FrameTable, Ranges, RangeTable, UcsdList
from sdor.video.label_files import SLACK, array_of, bridge, expect_marks, in_words, name_of, text_of

Labels = npt.NDArray[np.int8]
FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Unit = Literal["frames", "seconds"]
# Where an anomalous range is written, and its ends, both included; None is the end of the video.
LabelledRange = tuple[str, float, float | None]
# The tables that were read, each with the lines that were no clip's so far.
Tables = dict[Path, tuple[pd.DataFrame, set[int]]]

# No sign, no exponent, no thousands: spreadsheets round what they write as 1E+05.
NUMBERS = {"frames": r"0*[1-9][0-9]{0,14}(\.0+)?", "seconds": r"[0-9]{1,12}(\.[0-9]+)?"}
LABELS = {"1": 1, "true": 1, "0": 0, "false": 0}
# What stands in a UCSD list without brackets, and between them.
RANGE = r"[0-9]{1,15}(?:\s*:\s*[0-9]{1,15})?"
RANGES = rf"[\s,;]*(?:{RANGE}(?:[\s,;]+{RANGE})*[\s,;]*)?"
# Matroska and others keep times to the millisecond, and a typed label has no more digits either.
DECIMALS = 3


def frame_labels(clip: Clip, times: FloatArray, tables: Tables, remarks: list[str]) -> Labels:
    """Labels of a clip's frames, from wherever its ground truth says that they are.

    Parameters
    ----------
    clip : with labels.
    times : (frames,) when each frame was taken, seconds of the source; NaN where unknown.
    tables : read for other clips of the scene; what is read for this one is added.
    remarks : gets a line where labels of an array or a list do not end with the clip.

    Returns
    -------
    (frames,) int8: 1 anomalous, 0 normal.

    Raises
    ------
    SdorError : the labels cannot be read, or do not fit to the clip; with file and line.
    """
    truth = clip.ground_truth
    assert truth is not None
    assert truth.labels is not None
    of_source = truth.numbering == "source"
    frames = np.arange(len(times)) + (clip.first if of_source else 1)
    # What follows a part of a video is labelled there too.
    goes_on = of_source and clip.last is not None
    match truth.labels:
        case FrameTable() as labels:
            return _labels_of_rows(labels, tables, frames, goes_on)
        case ArrayFile() as file:
            return _labels_of_array(file, frames, goes_on, remarks)
        case RangeTable() as labels:
            ranges = _ranges_of_rows(labels, tables, truth.unit)
            if labels.kind == "list" and not goes_on:
                ranges = list(_within(ranges, int(frames[-1]), remarks))
        case UcsdList(path) as labels:
            entries = parse_ucsd(path)
            entry = _entry_of(labels, len(entries))
            ranges = [(f"{path}, entry {entry}", *ends) for ends in entries[entry - 1]]
        case Ranges(typed):
            ranges = [("the scene file", *ends) for ends in typed]
    if truth.unit == "frames":
        return _labels_of_ranges(ranges, frames.astype(np.float64), "frames", goes_on)
    if np.isnan(times).any():
        raise SdorError(
            "its labels are in seconds (unit), but the times of its frames are not known; give "
            "fps: for this clip in the scene file"
        )
    seconds = (times - (0 if of_source else times[0])).round(DECIMALS)
    return _labels_of_ranges(ranges, seconds, "seconds", goes_on)


def read_table(path: Path) -> pd.DataFrame:
    """The cells of a CSV file as text without spaces around; the index is their line in the file.

    Rows without anything in them are left out.

    Raises
    ------
    SdorError : two columns of one name; with the line number: no UTF-8, a quote that is not closed
        on its line or stands within a cell, a row of more or fewer cells than the first.
    """
    header: list[str] = []
    rows: dict[int, list[str]] = {}
    for line, text in enumerate(text_of(path).split("\n"), start=1):
        where = f"{path}: line {line}"
        if "\0" in text or "\ufffd" in text:
            raise SdorError(f"{where}: not text in UTF-8; expected a table, saved as CSV in UTF-8")
        try:
            cells = next(csv.reader([text], strict=True, skipinitialspace=True))
            # Python takes a quote within a cell without quotes for a letter.
            if any('"' in cell and cell.replace('"', '""') not in text for cell in cells):
                raise csv.Error('a quote (") within a cell')
        except csv.Error as error:
            raise SdorError(f"{where}: not a row of CSV in one line ({error})") from error
        cells = [cell.strip() for cell in cells]
        if not any(cells):
            continue
        header = header or cells
        if len(cells) != len(header):
            raise SdorError(
                f"{where}: expected {len(header)} cells, as the first line has, found "
                f"{len(cells)} (a comma within a cell needs quotes around it)"
            )
        rows[line] = cells
    if not header or {name for name in header if name and header.count(name) > 1}:
        raise SdorError(
            f"{path}: expected the columns' names in the first line, each once, found "
            f"{shorten(', '.join(header), 200)!r}"
        )
    return pd.DataFrame(list(rows.values())[1:], list(rows)[1:], header, dtype=object)


def read_list(path: Path) -> pd.DataFrame:
    """A list of videos as UCF-Crime's: a name, a class, and pairs of first and last frame.

    A pair of -1 is none: `Abuse028_x264.mp4  Abuse  165  240  -1  -1`.

    Returns
    -------
    As `read_table`: video, class, first, last; a row a range, or one with empty cells.

    Raises
    ------
    SdorError : with the line number: anything else.
    """
    rows: list[tuple[int, str, str, str, str]] = []
    for line, text in enumerate(text_of(path).split("\n"), start=1):
        name, kind, *ends = [*text.split(), "", ""]
        ends = ends[:-2]
        if not name:
            continue
        if not ends or len(ends) % 2 or not all(re.fullmatch("-?[0-9]+", end) for end in ends):
            raise SdorError(
                f"{path}: line {line}: expected a video, its class, and pairs of first and last "
                f"frame (-1 -1 for none), found {shorten(text, 80)!r}"
            )
        pairs = [pair for pair in zip(ends[::2], ends[1::2], strict=True) if pair != ("-1", "-1")]
        rows += [(line, name, kind, *pair) for pair in pairs or [("", "")]]
    cells = pd.DataFrame(rows, columns=["line", "video", "class", "first", "last"], dtype=object)
    return cells.set_index("line")


def _lines_alone(found: re.Match[str]) -> str:
    return "\n" * found[0].count("\n")


def parse_ucsd(path: Path) -> list[list[tuple[int, int]]]:
    """Anomalous ranges (inclusive) of each entry of a UCSD ground-truth `.m` file.

    Entries are lines such as `TestVideoFile{end+1}.gt_frame = [5:90, 140:200];`. Comments, single
    numbers, missing brackets, line continuations, an empty list, and the entry's number in place of
    `end+1` are understood.

    Raises
    ------
    SdorError : with the line: anything but the next entry of one list.
    """
    # Comments in another encoding are no fault; in what counts, a strange letter is not understood.
    text = re.sub(r"(?ms)^\s*%\{\s*$.*?^\s*%\}\s*$", _lines_alone, text_of(path))
    text = re.sub(r"(?:%|\.\.\.).*", "", text)
    rest = re.sub(r"^\s*\w+\s*=\s*\{\s*\}", "", text)
    entries: list[list[tuple[int, int]]] = []
    name = r"\w+"
    while rest := rest.lstrip(" \t\n;,"):
        number = len(entries) + 1
        found = re.match(
            rf"({name})\s*[{{(]\s*(?:end\s*\+\s*1|{number})\s*[)}}]\s*\.\s*gt_frame\s*="
            rf"\s*(\[{RANGES}\]|{RANGE})[^\S\n]*(?=[;,\n]|$)",
            rest,
        )
        if found is None:
            line = text.count("\n") - rest.count("\n") + 1
            words = shorten(rest.partition("\n")[0], 60)
            raise SdorError(
                f"{path}: line {line}: expected entry {number} of one UCSD list, found {words!r}"
            )
        name, rest = found[1], rest[found.end() :]
        ends = re.findall(r"([0-9]+)(?:\s*:\s*([0-9]+))?", found[2])
        entries.append([(int(first), int(last or first)) for first, last in ends])
    return entries


def _entry_of(labels: UcsdList, entries: int) -> int:
    """Number of the clip's entry: its place, or in a longer list the number in the clip's name."""
    clips, numbers = len(labels.numbers), labels.numbers
    if clips == entries:
        # Clips that count from 0 are in order, too.
        right = all(
            not number or number > entries or number == place
            for place, number in enumerate(numbers, start=numbers[0] != 0)
        )
        entry = labels.place
    else:
        right = len(set(numbers) & set(range(1, entries + 1))) == clips
        entry = numbers[labels.place - 1] or 0
    if not right:
        raise SdorError(
            f"{labels.path}: expected {clips} entries (one a clip, in order), found {entries}, or "
            "other numbers in the clips' names: let each name (name:) end in its entry's number"
        )
    return entry


def _labels_of_ranges(
    ranges: Sequence[LabelledRange], positions: FloatArray, unit: Unit, goes_on: bool
) -> Labels:
    """1 for the frames in any of the ranges, else 0; `goes_on`: the video does, behind the clip."""
    anomalous = np.zeros(len(positions), dtype=np.int8)
    lowest, highest = 1, float(positions.max())
    if unit == "seconds":
        # A frame more, where players round.
        length = float(np.median(np.diff(positions))) if len(positions) > 1 else 1.0
        lowest, highest = 0, round(highest + 2 * length, DECIMALS)
    for where, first, last in ranges:
        farthest = first if last is None else last
        found = f"{first} to {'end' if last is None else last}"
        if not lowest <= first <= farthest or (farthest > highest and not goes_on):
            raise SdorError(
                f"{where}: expected ranges within {unit} {lowest} to "
                f"{'end' if goes_on else f'{highest:.10g}'}, found {found}"
            )
        behind = positions >= round(first, DECIMALS)
        inside = behind if last is None else behind & (positions <= round(last, DECIMALS))
        # Seconds may lie between two frames. Outside of a part of a video there are others.
        outside = farthest < positions[0] or (goes_on and not behind.any())
        if not inside.any() and not outside:
            raise SdorError(f"{where}: no frame of the clip lies within {found} {unit}")
        anomalous[inside] = 1
    return anomalous


def _rows(
    labels: RangeTable | FrameTable, columns: Sequence[str], tables: Tables
) -> list[tuple[str, ...]]:
    """Where each row of the clip stands, and its cells in these columns; none if none is needed."""
    path = labels.path
    if path not in tables:
        is_list = isinstance(labels, RangeTable) and labels.kind == "list"
        table = read_list(path) if is_list else read_table(path)
        tables[path] = table, set(table.index)
    table, unused = tables[path]
    for column in (*columns, *dict(labels.where)):
        if column not in table:
            names = shorten(", ".join(table.columns), 200)
            raise SdorError(f"{path}: expected a column {column} in its first line, found {names}")
    for column, value in labels.where:
        same = table[table[column] == value]
        if same.empty:
            # A clip is not left out that the table has under a name written in another way.
            none = f"{path}: no row with {column} = {value}"
            for name in table[column].unique():
                if _bare(value) in (_bare(name), _bare(re.split(r"[/\\]", name)[-1])):
                    raise SdorError(f"{none}, but with {shorten(name, 80)}: write it alike")
            if table.empty or not labels.others_normal:
                raise SdorError(f"{none}; if it lists the anomalous clips only, say others: normal")
        table = same
    unused.difference_update(table.index)
    rows = table[list(columns)].itertuples(name=None)
    return [(f"{path}: line {line}", *cells) for line, *cells in rows]


def _bare(name: str) -> list[str]:
    """The words and numbers of a name, without its case, ending and leading zeros."""
    name = re.sub(r"\.[a-z][a-z0-9]{1,3}$", "", unicodedata.normalize("NFKC", name).casefold())
    return re.findall(r"[^\W\d_]+|(?!0\d)\d+", name)


def _ranges_of_rows(labels: RangeTable, tables: Tables, unit: Unit) -> list[LabelledRange]:
    """The ranges in the rows of a table that are the clip's."""
    ranges = []
    for where, first, last in _rows(labels, (labels.first, labels.last), tables):
        # An empty first cell says that there is no range; an empty last one, that it never ends.
        if first or last:
            begin = _number(first, f"{where}: {labels.first}", unit)
            stop = None if last in ("", "end") else _number(last, f"{where}: {labels.last}", unit)
            ranges.append((where, begin, stop))
    return ranges


def _labels_of_rows(labels: FrameTable, tables: Tables, frames: IntArray, goes_on: bool) -> Labels:
    """The labels in a table with a row a frame; `goes_on`: rows behind the clip's are others'."""
    rows = _rows(labels, (labels.frame, labels.anomalous), tables)
    if not rows and labels.others_normal:
        return np.zeros(len(frames), dtype=np.int8)
    anomalous: list[int] = []
    for where, frame, cell in rows:
        number = _number(frame, f"{where}: {labels.frame}", "frames")
        if number < frames[0] or (goes_on and number > frames[-1]):
            continue
        expected = frames[0] + len(anomalous)
        label = LABELS.get(re.sub(r"\.0+$", "", cell.lower()))
        if number != expected or label is None:
            raise SdorError(
                f"{where}: expected {labels.frame} {expected} with 0 or 1 in {labels.anomalous}, "
                f"found {number} with {cell[:60]!r}"
            )
        anomalous.append(label)
    if len(anomalous) != len(frames):
        raise SdorError(
            f"{labels.path}: expected {len(frames)} rows, one for each {labels.frame} from "
            f"{frames[0]} to {frames[-1]}, found {len(anomalous)}"
        )
    return np.array(anomalous, dtype=np.int8)


def _labels_of_array(
    file: ArrayFile, frames: IntArray, goes_on: bool, remarks: list[str]
) -> Labels:
    """The labels in an array with a number a frame; `goes_on`: those behind are others'."""
    array, where = array_of(file), name_of(file)
    if array.size != max(array.shape, default=0):
        raise SdorError(
            f"{where}: expected a label a frame, found an array of {in_words(array.shape)}; masks "
            "are pixel_masks: {arrays: ...}"
        )
    values = array.ravel()[frames[0] - 1 :][: len(frames) if goes_on else None]
    bridge(where, len(values), len(frames), remarks)
    expect_marks(values, where)
    labels: Labels = np.full(len(frames), values[-1], dtype=np.int8)
    labels[: len(values)] = values[: len(frames)]
    return labels


def _within(
    ranges: Sequence[LabelledRange], end: int, remarks: list[str]
) -> Iterator[LabelledRange]:
    """The ranges, without what lies at most `SLACK` frames behind the clip's last."""
    for where, first, last in ranges:
        kept = last
        if last is not None and first <= last and end < last <= end + SLACK:
            remarks.append(f"{where}: a range to frame {last:g} of {end} frames; it is cut there")
            kept = end
        if kept == last or first <= end:
            yield where, first, kept


def _number(cell: str, where: str, unit: Unit) -> float:
    if not re.fullmatch(NUMBERS[unit], cell):
        raise SdorError(
            f"{where}: {cell[:60]!r} is not a number of {unit}; frames count from 1, seconds such "
            "as 12.5 need unit: seconds"
        )
    return float(cell) if unit == "seconds" else int(float(cell))
