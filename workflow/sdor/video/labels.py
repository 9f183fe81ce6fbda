"""Label files, read strictly: a shifted cell or the labels of another clip are refused, not used.

Labels may be typed in the scene file, or lie in a UCSD list or in a CSV table; they count frames or
seconds. Each becomes one number a frame.
"""

import csv
import io
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from textwrap import shorten
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from sdor.errors import SdorError
from sdor.study.scenes import Clip, FrameTable, GroundTruth, Ranges, RangeTable, UcsdList

Labels = npt.NDArray[np.int8]
FloatArray = npt.NDArray[np.float64]

# How files begin that people keep labels in and that are no text.
BEGINNINGS = {
    b"\x93NUMPY": "a NumPy file",
    b"MATLAB 5": "a MATLAB file",
    b"\x89HDF": "an HDF5 file, as MATLAB writes",
    b"PK\x03\x04": "a ZIP file, as Excel and NumPy's savez write",
    b"\xd0\xcf\x11\xe0": "an old Excel file",
    b"PAR1": "a Parquet file",
    b"\xff\xfe": "text in UTF-16",
    b"\xfe\xff": "text in UTF-16",
    b"\0": "a binary file",  # wherever it stands
}
# No sign, no exponent, no thousands: spreadsheets round what they write as 1E+05.
FRAME_NUMBER = re.compile(r"0*([0-9]{1,15})(?:\.0+)?")
SECONDS = re.compile(r"[0-9]{1,12}(?:\.[0-9]+)?")
# Matroska and others keep times to the millisecond, and a typed label has no more digits either.
DECIMALS = 3
# What may stand in a UCSD list: its beginning, its entries, and what scripts start with.
MATLAB = re.compile(
    r"(?P<entry>(?P<name>\w+)\s*[{(]\s*(?:end\s*\+\s*1|(?P<index>[0-9]{1,6}))\s*[})]\s*\.\s*gt_frame"
    r"\s*=\s*(?:\[(?P<listed>[^\]]*)\]|(?P<bare>[^\[\];\n]*))[^\S\n]*)(?=[;,\n]|$)"
    r"|(?P<beginning>\w+\s*=\s*\{\s*\})|(?:clear|clc|close)\b[^;\n]*|[\s;,]+"
)


class LabelledRange(NamedTuple):
    """An anomalous range, both ends included; None is the end of the video."""

    first: float
    last: float | None
    where: str  # it is written, for messages


class LabelTables:
    """The CSV files of a scene's labels: read once each; it is known which rows were anybody's."""

    def __init__(self) -> None:
        self._tables: dict[Path, pd.DataFrame] = {}
        self._unused: dict[Path, set[int]] = {}
        self._of_anomalous: set[Path] = set()

    def rows(self, labels: RangeTable | FrameTable, columns: Sequence[str]) -> pd.DataFrame:
        """The rows that are the clip's, as `read_table` has them; none where it may be left out.

        Raises
        ------
        SdorError : a column is missing, or no row is the clip's although it has to be listed, or
            the table has the clip under a name that is written in another way.
        """
        path = labels.path
        if path not in self._tables:
            self._tables[path] = read_table(path)
            self._unused[path] = set(self._tables[path].index)
        table = self._tables[path]
        for column in (*columns, *(column for column, _ in labels.where)):
            if column not in table:
                found = ", ".join(table.columns)
                numbers = all(SECONDS.fullmatch(name) for name in table.columns if name)
                advice = "; the first line must have the columns' names" if numbers else ""
                raise SdorError(
                    f"{path}: line 1: expected a column {column}, found "
                    f"{shorten(found, 200)}{advice}"
                )
        for column, value in labels.where:
            same = table[table[column] == value]
            if same.empty:
                none = f"{path}: no row with {column} = {value}"
                for name in table[column].unique():
                    if _alike(name, value):
                        raise SdorError(f"{none}, but with {shorten(name, 80)}: write it alike")
                if not labels.others_normal:
                    raise SdorError(
                        f"{none}; where a table lists only the anomalous clips, say others: normal"
                    )
            table = same
        self._unused[path].difference_update(table.index)
        if labels.others_normal:
            self._of_anomalous.add(path)
        return table

    def unused(self) -> dict[str, int]:
        """How many rows of each table were no clip's, where there are any.

        Raises
        ------
        SdorError : a table of anomalous clips lists none of the scene's.
        """
        for path in self._of_anomalous:
            if len(self._unused[path]) == len(self._tables[path]):
                raise SdorError(
                    f"{path}: no row is of a clip of this scene, so that all would be normal; "
                    "check where, or say ground_truth: normal"
                )
        return {
            f"{path.parent.name}/{path.name}": len(lines)
            for path, lines in self._unused.items()
            if lines
        }


def frame_labels(clip: Clip, times: FloatArray, tables: LabelTables) -> Labels:
    """Labels of a clip's frames, from wherever its ground truth says that they are.

    Parameters
    ----------
    clip : with labels.
    times : (frames,) when each frame was taken, seconds of the source; NaN where unknown.

    Returns
    -------
    (frames,) int8: 1 anomalous, 0 normal.

    Raises
    ------
    SdorError : the labels cannot be read, or do not fit to the clip; with file and line.
    """
    truth = clip.ground_truth
    assert truth is not None
    positions = _positions(clip, truth, times)
    # What follows a part of a video is labelled there too.
    goes_on = truth.numbering == "source" and clip.last is not None
    match truth.labels:
        case FrameTable() as labels:
            first = clip.first if truth.numbering == "source" else 1
            return _labels_of_rows(labels, tables, range(first, first + len(times)), goes_on)
        case Ranges(found):
            ranges = [LabelledRange(*limits, "the scene file") for limits in found]
        case UcsdList() as labels:
            entries = parse_ucsd(labels.path)
            entry = _entry_of(labels, len(entries))
            where = f"{labels.path}, entry {entry}"
            ranges = [LabelledRange(*limits, where) for limits in entries[entry - 1]]
        case RangeTable() as labels:
            ranges = _ranges_of_rows(labels, tables, truth.unit)
        case None:
            raise ValueError(f"{clip.name} has no labels")
    highest = None if goes_on else _highest(positions, truth.unit)
    return _labels_of_ranges(ranges, positions, truth.unit, highest)


def read_table(path: Path) -> pd.DataFrame:
    """The cells of a CSV file as text without spaces around; the index is their line in the file.

    Rows without anything in them are left out.

    Raises
    ------
    SdorError : it is no text in UTF-8 with cells between commas; with the line number: a quote that
        is not closed on its line or stands within a cell, two columns of one name, a row of more or
        fewer cells than the header's.
    """
    expected = "expected a table as text: CSV, with a line of the columns' names"
    header: list[str] = []
    rows: dict[int, list[str]] = {}
    for line, text in enumerate(io.StringIO(_text(path, expected), newline=None), start=1):
        where = f"{path}: line {line}"
        try:
            cells = next(csv.reader([text], strict=True, skipinitialspace=True))
        except csv.Error as error:
            raise SdorError(f"{where}: not a row of CSV in one line ({error})") from error
        for cell in cells:
            # Python takes a quote within a cell without quotes for a letter.
            if '"' in cell and cell.replace('"', '""') not in text:
                raise SdorError(
                    f'{where}: a quote (") within {shorten(cell, 60)!r}: put the whole cell into '
                    "quotes and write it twice, or leave it out"
                )
        cells = [cell.strip() for cell in cells]
        if not any(cells):
            continue
        if not header:
            header = cells
            if separator := re.search(r"[;\t|]", text) if len(cells) == 1 else None:
                sign = {"\t": "tabs"}.get(separator[0], separator[0])
                raise SdorError(f"{where}: separated by {sign}; write the table with commas")
            name, columns = Counter(filter(None, cells)).most_common(1)[0]
            if columns > 1:
                raise SdorError(f"{where}: {columns} columns are called {shorten(name, 60)}")
        elif len(cells) != len(header):
            raise SdorError(
                f"{where}: expected {len(header)} cells, as the first line has, found "
                f"{len(cells)} (a comma within a cell needs quotes around it)"
            )
        else:
            rows[line] = cells
    if not header:
        raise SdorError(f"{path}: it is empty; {expected}")
    return pd.DataFrame(list(rows.values()), index=list(rows), columns=header, dtype=object)


def parse_ucsd(path: str | Path) -> list[list[tuple[int, int]]]:
    """Anomalous ranges (from 1, inclusive) of each entry of a UCSD ground-truth `.m` file.

    Entries are lines such as `TestVideoFile{end+1}.gt_frame = [5:90, 140:200];`. Comments, single
    numbers, missing brackets, line continuations, an empty list, and the entry's number in place of
    `end+1` are understood.

    Raises
    ------
    SdorError : no entry in the file, anything that is no entry, an entry that is called by another
        number than its place, or something in one that is no number and no range.
    """
    # Comments in another encoding are no fault; in what counts, a strange letter is not understood.
    text = _text(Path(path), "expected a list in MATLAB's language", errors="replace")
    text = re.sub(r"\r\n?", "\n", text)
    text = re.sub(r"(?:%|\.\.\.).*", "", text)
    entries: list[list[tuple[int, int]]] = []
    name, place = None, 0
    while place < len(text):
        found = MATLAB.match(text, place)
        line = text.count("\n", 0, place) + 1
        # A list that begins anew forgets what was before.
        if found is None or (entries and found["beginning"]):
            words = shorten(text[place:].partition("\n")[0], 60)
            raise SdorError(f"{path}: line {line}: {words!r} is not understood in a UCSD list")
        place = found.end()
        if found["entry"] is None:
            continue
        number = len(entries) + 1
        if int(found["index"] or number) != number or found["name"] != (name or found["name"]):
            raise SdorError(
                f"{path}: line {line}: expected entry {number} of {name or found['name']}, found "
                f"{shorten(found['entry'], 60)!r}; write the entries of one list in their order"
            )
        name = found["name"]
        written = found["listed"] if found["bare"] is None else found["bare"]
        entries.append(_matlab_ranges(written, f"{path}: entry {number}"))
    if not entries:
        raise SdorError(f"{path}: no gt_frame entry in this file")
    return entries


def _matlab_ranges(written: str, where: str) -> list[tuple[int, int]]:
    ranges = []
    for part in re.sub(r"\s*:\s*", ":", re.sub("[,;]", " ", written)).split():
        limits = re.fullmatch(r"0*([1-9][0-9]{0,14})(?::([0-9]{1,15}))?", part)
        first, last = (int(limits[1]), int(limits[2] or limits[1])) if limits else (1, 0)
        if last < first:
            raise SdorError(
                f"{where}: {part[:60]!r} is neither a frame number nor a range "
                "first:last of frames counted from 1"
            )
        ranges.append((first, last))
    return ranges


def _entry_of(labels: UcsdList, entries: int) -> int:
    """Number of the clip's entry: its place, or in a longer list the number in the clip's name."""
    clips, numbers = len(labels.numbers), labels.numbers
    within = [number if number and number <= entries else None for number in numbers]
    if clips == entries:
        # Clips that count from 0 are in order, too.
        order = range(entries) if numbers[0] == 0 else range(1, entries + 1)
        for place, (number, right) in enumerate(zip(within, order, strict=True), start=1):
            if number not in (None, right):
                raise SdorError(
                    f"{labels.path}: entry {place} would be that of a clip whose name ends in "
                    f"{number}, though there are as many entries as clips ({entries}); give the "
                    "clips names (name:) that end in the numbers of their entries"
                )
        return labels.place
    number = within[labels.place - 1]
    if number is None or None in within or len(set(within)) < clips:
        raise SdorError(
            f"{labels.path}: expected {clips} entries (one a clip), found {entries}; of a list "
            "with more entries, each clip takes the one whose number its name ends in"
        )
    return number


def _positions(clip: Clip, truth: GroundTruth, times: FloatArray) -> FloatArray:
    """Where each frame stands in what the labels count: frames, or seconds."""
    of_source = truth.numbering == "source"
    if truth.unit == "frames":
        return np.arange(len(times), dtype=np.float64) + (clip.first if of_source else 1)
    if np.isnan(times).any():
        raise SdorError(
            "its labels are in seconds (unit), but the times of its frames are not known; give "
            "fps: for this clip in the scene file"
        )
    return (times - (0 if of_source else times[0])).round(DECIMALS)


def _highest(positions: FloatArray, unit: Literal["frames", "seconds"]) -> float:
    """The highest number that labels can have: of seconds a frame more, where players round."""
    if unit == "frames":
        return int(positions[-1])
    length = float(np.median(np.diff(positions))) if len(positions) > 1 else 1.0
    return round(float(positions.max()) + 2 * length, DECIMALS)


def _labels_of_ranges(
    ranges: Sequence[LabelledRange],
    positions: FloatArray,
    unit: Literal["frames", "seconds"],
    highest: float | None,
) -> Labels:
    """1 for the frames in any of the ranges, else 0; `highest` None: the video goes on behind."""
    anomalous = np.zeros(len(positions), dtype=np.int8)
    lowest = 1 if unit == "frames" else 0
    for first, last, where in ranges:
        farthest = first if last is None else last
        found = f"{first} to {'end' if last is None else last}"
        if not lowest <= first <= farthest or (highest is not None and farthest > highest):
            raise SdorError(
                f"{where}: expected ranges within {unit} {lowest} to {highest or 'end'}, "
                f"found {found}" + "; frames count from 1" * (unit == "frames" and first == 0)
            )
        behind = positions >= round(first, DECIMALS)
        inside = behind if last is None else behind & (positions <= round(last, DECIMALS))
        # Seconds may lie between two frames. Outside of a part of a video there are others.
        outside = farthest < positions[0] or (highest is None and not behind.any())
        if not inside.any() and not outside:
            raise SdorError(f"{where}: no frame of the clip lies within {found} {unit}")
        anomalous[inside] = 1
    return anomalous


def _ranges_of_rows(
    labels: RangeTable, tables: LabelTables, unit: Literal["frames", "seconds"]
) -> list[LabelledRange]:
    """The ranges in the rows of a table that are the clip's."""
    table = tables.rows(labels, (labels.first, labels.last))
    ranges = []
    for line, first, last in zip(table.index, table[labels.first], table[labels.last], strict=True):
        where = f"{labels.path}: line {line}"
        # An empty first cell says that there is no range; an empty last one, that it never ends.
        if first:
            begin = _number(first, f"{where}: {labels.first}", unit)
            end = last.lower() in ("", "end")
            stop = None if end else _number(last, f"{where}: {labels.last}", unit)
            ranges.append(LabelledRange(begin, stop, where))
        elif last:
            raise SdorError(
                f"{where}: {labels.last} is {last[:60]!r}, but {labels.first} is empty; leave both "
                "empty where nothing is anomalous"
            )
    return ranges


def _labels_of_rows(
    labels: FrameTable, tables: LabelTables, frames: range, goes_on: bool
) -> Labels:
    """The labels in a table with a row a frame; `goes_on`: rows behind the clip's are others'."""
    table = tables.rows(labels, (labels.frame, labels.anomalous))
    if table.empty and labels.others_normal:
        return np.zeros(len(frames), dtype=np.int8)
    anomalous: list[int] = []
    before = 0
    for line, *cells in zip(table.index, table[labels.frame], table[labels.anomalous], strict=True):
        where = f"{labels.path}: line {line}"
        number = int(_number(cells[0], f"{where}: {labels.frame}", "frames"))
        if number <= before:
            advice = f" after {before}" if before else "; frames count from 1"
            raise SdorError(f"{where}: found {labels.frame} {number}{advice}")
        before = number
        if number < frames.start or (goes_on and number >= frames.stop):
            continue
        if number != frames.start + len(anomalous):
            raise SdorError(
                f"{where}: expected {labels.frame} {frames.start + len(anomalous)}, found {number}"
            )
        value = {"true": "1", "false": "0"}.get(cells[1].lower(), cells[1])
        if not re.fullmatch(r"[01](\.0+)?", value):
            raise SdorError(
                f"{where}: expected 0 or 1 in {labels.anomalous}, found {cells[1][:60]!r}"
            )
        anomalous.append(int(value[0]))
    if len(anomalous) != len(frames):
        raise SdorError(
            f"{labels.path}: expected {len(frames)} rows, one for each {labels.frame} from "
            f"{frames.start} to {frames.stop - 1}, found {len(anomalous)}"
        )
    return np.array(anomalous, dtype=np.int8)


def _number(cell: str, where: str, unit: Literal["frames", "seconds"]) -> float:
    if unit == "seconds":
        if SECONDS.fullmatch(cell):
            return float(cell)
        raise SdorError(f"{where}: {cell[:60]!r} is not a number of seconds, such as 12.5")
    if whole := FRAME_NUMBER.fullmatch(cell):
        return int(whole[1])
    advice = " (of seconds? say unit: seconds)" if SECONDS.fullmatch(cell) else ""
    raise SdorError(f"{where}: {cell[:60]!r} is not a frame's number, counted from 1{advice}")


def _text(path: Path, expected: str, errors: Literal["strict", "replace"] = "strict") -> str:
    """What is in a text file, with or without a byte order mark."""
    try:
        with path.open("rb") as file:
            data = file.read(4096)
            for beginning, kind in BEGINNINGS.items():
                if data.startswith(beginning) or (beginning == b"\0" and beginning in data):
                    raise SdorError(f"{path}: not a text file (it is {kind}); {expected}")
            data += file.read()
        return data.decode("utf-8-sig", errors)
    except OSError as error:
        raise SdorError(f"{path}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise SdorError(f"{path}: line {line}: not text in UTF-8; save it in UTF-8") from error


def _alike(one: str, other: str) -> bool:
    """Whether two names are probably meant to be the same one."""
    if ("/" in one) != ("/" in other):
        one, other = one.rsplit("/", 1)[-1], other.rsplit("/", 1)[-1]
    return _bare(one) == _bare(other)


@cache
def _bare(name: str) -> str:
    """A name without its case, ending, leading zeros, and what separates its words."""
    name = re.sub(r"\.[a-z][a-z0-9]{1,3}$", "", unicodedata.normalize("NFKC", name).casefold())
    return re.sub(r"(?<![0-9])0+(?=[0-9])", "", re.sub(r"[\W_]+", " ", name)).strip()
