"""Label audit: the ground truth as one table, held against the frames before anything is trained.

A label list that is shifted or belongs to other files gives wrong numbers without any error; so
whatever does not fit is refused here, with the clip, what was expected and what was found.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from sdor.errors import SdorError
from sdor.study.scenes import (
    Clip,
    FrameTable,
    GroundTruth,
    Ranges,
    RangeTable,
    Scene,
    UcsdList,
)
from sdor.video.decode import fault_of, hide, picture_size, read_pixel_masks

Labels = npt.NDArray[np.int8]


def audit(scene: Scene, counts: Mapping[str, int]) -> tuple[pd.DataFrame, dict[str, object]]:
    """Frame labels of a scene's labelled clips, and a summary of what was found.

    Parameters
    ----------
    scene : with its clips located, if they come out of a joined video.
    counts : decoded frames of each clip, by name.

    Returns
    -------
    table : DataFrame: clip, frame (from 1), anomalous (int8: 1 or 0); labelled clips only.
    summary : JSON-able: totals, and per clip how often labels and pixel masks disagree. That is
        reported, not refused: a label may begin before the anomaly is drawn.

    Raises
    ------
    SdorError : the ground truth does not fit to the clips, or a mask to the picture.
    """
    tables = [pd.DataFrame({"clip": [], "frame": [], "anomalous": []})]
    disagreements: dict[str, dict[str, int]] = {}
    for clip in scene.clips:
        with fault_of(clip):
            size = picture_size(clip)
            # Refuses masks as decoding does, on a picture of one byte that is never filled in.
            hide(np.broadcast_to(np.uint8(0), (size[1], size[0], 1)), scene.masks)
            truth = clip.ground_truth
            if truth is None:
                continue
            labels, differs = _labels(clip, truth, counts[clip.name])
        if differs is not None and any(differs.values()):
            disagreements[clip.name] = differs
        frame = np.arange(1, len(labels) + 1)
        tables.append(pd.DataFrame({"clip": clip.name, "frame": frame, "anomalous": labels}))
    table = pd.concat(tables[1:] or tables, ignore_index=True)
    table = table.astype({"clip": object, "frame": np.int64, "anomalous": np.int8})
    summary = {
        "scene": scene.name,
        "clips": len(scene.clips),
        "labelled_clips": len(tables) - 1,
        "frames": sum(counts[clip.name] for clip in scene.clips),
        "labelled_frames": len(table),
        "anomalous_frames": int(table["anomalous"].sum()),
        "disagreements": disagreements,
    }
    return table, summary


def parse_ucsd(path: str | Path) -> list[list[tuple[int, int]]]:
    """Anomalous ranges (from 1, inclusive) of each entry of a UCSD ground-truth `.m` file.

    Entries are lines such as `TestVideoFile{end+1}.gt_frame = [5:90, 140:200];`. Comments, single
    numbers, missing brackets, line continuations and an empty list are understood.

    Raises
    ------
    SdorError : no entry in the file, or something in one that is no number and no range.
    """
    try:
        text = Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise SdorError(f"{path}: cannot be read ({error.strerror})") from error
    text = re.sub(r"%.*", "", text)
    text = re.sub(r"\.\.\.[^\n]*\n", " ", text)
    entries: list[list[tuple[int, int]]] = []
    for found in re.finditer(r"gt_frame\s*=\s*(?:\[([^\]]*)\]|([^;\n]*))", text):
        written = found[1] if found[1] is not None else found[2]
        where = f"{path}: entry {len(entries) + 1}"
        parts = re.sub(r"\s*:\s*", ":", written).replace(",", " ").replace(";", " ").split()
        entries.append([_matlab_range(part, where) for part in parts])
    if not entries:
        raise SdorError(f"{path}: no gt_frame entry in this file")
    return entries


def _labels(clip: Clip, truth: GroundTruth, frames: int) -> tuple[Labels, dict[str, int] | None]:
    """Labels of one clip; with pixel masks beside them, how often the two disagree."""
    drawn = None
    if truth.pixel_masks is not None:
        masks = read_pixel_masks(clip, truth.pixel_masks, frames)
        drawn = np.array([mask.any() for mask in masks], dtype=np.int8)
    source = truth.numbering == "source"
    # Frame number that the labels give to the clip's first frame.
    start = clip.first if source else 1
    # Highest number that can be right: what follows a part of a video is labelled there too.
    highest = None if source and clip.last is not None else start + frames - 1
    match truth.labels:
        case None:
            assert drawn is not None
            return drawn, None
        case Ranges(ranges):
            labels = _range_labels(ranges, start, frames, highest, "the scene file")
        case UcsdList(path, entry, entries):
            found = parse_ucsd(path)
            if len(found) != entries:
                raise SdorError(
                    f"{path}: expected {entries} entries (one a clip), found {len(found)}"
                )
            where = f"{path}, entry {entry}"
            labels = _range_labels(found[entry - 1], start, frames, highest, where)
        case RangeTable() as table:
            ranges = tuple(_table_ranges(table))
            labels = _range_labels(ranges, start, frames, highest, str(table.path))
        case FrameTable() as table:
            labels = _frame_labels(table, start, frames, highest)
    if drawn is None:
        return labels, None
    return labels, {
        "labelled_without_mask": int(((labels == 1) & (drawn == 0)).sum()),
        "mask_without_label": int(((labels == 0) & (drawn == 1)).sum()),
    }


def _range_labels(
    ranges: Sequence[tuple[int, int | None]],
    start: int,
    frames: int,
    highest: int | None,
    where: str,
) -> Labels:
    """1 within the ranges; of a whole video's ranges only what lies in the clip counts."""
    labels = np.zeros(frames, dtype=np.int8)
    for first, last in ranges:
        farthest = first if last is None else last
        if first < 1 or (highest is not None and farthest > highest):
            raise SdorError(
                f"{where}: expected ranges within frames 1 to {highest or 'end'}, "
                f"found {first} to {last or 'end'}"
            )
        stop = start + frames if last is None else last + 1
        labels[max(first - start, 0) : max(stop - start, 0)] = 1
    return labels


def _table_ranges(labels: RangeTable) -> list[tuple[int, int | None]]:
    table = _read_csv(labels.path, [labels.first, labels.last, *(key for key, _ in labels.where)])
    for column, value in labels.where:
        table = table[table[column].str.strip() == value]
    if labels.where and table.empty:
        wanted = ", ".join(f"{column} = {value}" for column, value in labels.where)
        raise SdorError(f"{labels.path}: no row with {wanted}")
    ranges: list[tuple[int, int | None]] = []
    for first, last in zip(table[labels.first], table[labels.last], strict=True):
        # An empty first cell says that there is no range; an empty last one, that it never ends.
        if not first.strip():
            continue
        begin = _number(first, labels.path, labels.first)
        open_end = last.strip() in ("", "end")
        end = None if open_end else _number(last, labels.path, labels.last)
        if end is not None and end < begin:
            raise SdorError(f"{labels.path}: range {begin} to {end} ends before it begins")
        ranges.append((begin, end))
    return ranges


def _frame_labels(labels: FrameTable, start: int, frames: int, highest: int | None) -> Labels:
    """The labels of a table; of a whole video's rows only the clip's count."""
    table = _read_csv(labels.path, [labels.frame, labels.anomalous])
    numbers, values = (
        np.array([_number(cell, labels.path, column) for cell in table[column]])
        for column in (labels.frame, labels.anomalous)
    )
    if numbers.min(initial=1) < 1:
        raise SdorError(
            f"{labels.path}: expected {labels.frame} from 1 on, "
            f"found {numbers.min()} in row {numbers.argmin() + 1}"
        )
    end = start + frames - 1
    # Rows beyond a clip's end are left out only where the video goes on there.
    inside = (numbers >= start) & ((numbers <= end) | (highest is not None))
    numbers, values, rows = numbers[inside], values[inside], np.flatnonzero(inside) + 1
    if len(numbers) != frames:
        raise SdorError(
            f"{labels.path}: expected {frames} rows, one for each {labels.frame} "
            f"from {start} to {end}, found {len(numbers)}"
        )
    expected = np.arange(start, end + 1)
    if (numbers != expected).any():
        wrong = int((numbers != expected).argmax())
        raise SdorError(
            f"{labels.path}: expected {labels.frame} {expected[wrong]} in row {rows[wrong]}, "
            f"found {numbers[wrong]}"
        )
    if not np.isin(values, (0, 1)).all():
        wrong = int((~np.isin(values, (0, 1))).argmax())
        raise SdorError(
            f"{labels.path}: expected 0 or 1 in {labels.anomalous}, "
            f"found {values[wrong]} at frame {numbers[wrong]}"
        )
    return values.astype(np.int8)


def _read_csv(path: Path, columns: list[str]) -> pd.DataFrame:
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False, skipinitialspace=True)
    except (OSError, ValueError) as error:
        raise SdorError(f"{path}: cannot be read ({' '.join(str(error).split())})") from error
    for column in columns:
        if column not in table:
            raise SdorError(
                f"{path}: expected a column {column}, found {', '.join(map(str, table.columns))}"
            )
    return table


def _number(cell: str, path: Path, column: str) -> int:
    truths = {"true": 1, "false": 0}
    cell = cell.strip()
    try:
        value = float(truths.get(cell.lower(), cell))
        if not value.is_integer():
            raise ValueError
    except ValueError:
        raise SdorError(f"{path}: {column}: {cell!r} is not a whole number") from None
    return int(value)


def _matlab_range(part: str, where: str) -> tuple[int, int]:
    found = re.fullmatch(r"([0-9]+)(?::([0-9]+))?", part)
    if found is None:
        raise SdorError(f"{where}: {part!r} is neither a frame number nor a range first:last")
    first, last = int(found[1]), int(found[2] or found[1])
    if last < first or first < 1:
        raise SdorError(f"{where}: {part} is not a range of frames counted from 1")
    return first, last
