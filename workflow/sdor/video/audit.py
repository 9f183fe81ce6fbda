"""Label audit: the ground truth as one table, held against the frames before anything is trained.

A label list that is shifted or belongs to other files gives wrong numbers without any error; so
whatever does not fit is refused here, with the clip, what was expected and what was found.
"""

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from sdor.errors import SdorError
from sdor.study.scenes import Clip, FrameTable, Ranges, RangeTable, Scene, UcsdList
from sdor.study.scenes import Labels as LabelSource
from sdor.video.decode import hide, picture_size
from sdor.video.images import read_pixel_masks
from sdor.video.picture import fault_of

Labels = npt.NDArray[np.int8]
FrameRanges = tuple[tuple[int, int | None], ...]  # inclusive; None is the end


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
    labelled: dict[str, Labels] = {}
    disagreements: dict[str, dict[str, int]] = {}
    for clip in scene.clips:
        with fault_of(clip):
            width, height = picture_size(clip)
            hide(np.zeros((height, width, 1), np.uint8), scene.masks)
            truth, frames = clip.ground_truth, counts[clip.name]
            if truth is None:
                continue
            labels = drawn = None
            if truth.pixel_masks is not None:
                masks = read_pixel_masks(clip, truth.pixel_masks, frames, (width, height))
                labels = drawn = np.array([mask.any() for mask in masks], dtype=np.int8)
            if truth.labels is not None:
                labels = _labels(clip, truth.labels, truth.numbering == "source", frames)
        assert labels is not None
        labelled[clip.name] = labels
        if drawn is not None and (labels != drawn).any():
            disagreements[clip.name] = {
                "labelled_without_mask": int((labels > drawn).sum()),
                "mask_without_label": int((labels < drawn).sum()),
            }
    rows = [(name, frame) for name, found in labelled.items() for frame in range(1, len(found) + 1)]
    table = pd.DataFrame(rows, columns=["clip", "frame"])
    table["anomalous"] = np.concatenate([*labelled.values(), []])
    table = table.astype({"clip": object, "frame": np.int64, "anomalous": np.int8})
    summary = {
        "scene": scene.name,
        "clips": len(scene.clips),
        "labelled_clips": len(labelled),
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
        ranges = []
        for part in re.sub(r"\s*:\s*", ":", re.sub("[,;]", " ", written)).split():
            limits = re.fullmatch(r"0*([1-9][0-9]*)(?::([0-9]+))?", part)
            first, last = (int(limits[1]), int(limits[2] or limits[1])) if limits else (1, 0)
            if last < first:
                raise SdorError(
                    f"{path}: entry {len(entries) + 1}: {part!r} is neither a frame number nor a "
                    "range first:last of frames counted from 1"
                )
            ranges.append((first, last))
        entries.append(ranges)
    if not entries:
        raise SdorError(f"{path}: no gt_frame entry in this file")
    return entries


def _labels(clip: Clip, labels: LabelSource, of_source: bool, frames: int) -> Labels:
    """1 for the clip's anomalous frames, else 0; `of_source`: the labels number the source's."""
    # Frame number that the labels give to the clip's first frame.
    start = clip.first if of_source else 1
    # Highest number that can be right: what follows a part of a video is labelled there too.
    highest = None if of_source and clip.last is not None else start + frames - 1
    match labels:
        case Ranges(ranges):
            where = "the scene file"
        case UcsdList(path, entry, entries):
            found = parse_ucsd(path)
            if len(found) != entries:
                raise SdorError(
                    f"{path}: expected {entries} entries (one a clip), found {len(found)}"
                )
            ranges, where = tuple(found[entry - 1]), f"{path}, entry {entry}"
        case RangeTable():
            ranges, where = _table_ranges(labels), str(labels.path)
        case FrameTable():
            ranges, where = _frame_ranges(labels, start, frames, highest), str(labels.path)
    anomalous = np.zeros(frames, dtype=np.int8)
    for first, last in ranges:
        farthest = first if last is None else last
        if not 1 <= first <= farthest or (highest is not None and farthest > highest):
            raise SdorError(
                f"{where}: expected ranges within frames 1 to {highest or 'end'}, "
                f"found {first} to {last or 'end'}"
            )
        stop = start + frames if last is None else last + 1
        anomalous[max(first - start, 0) : max(stop - start, 0)] = 1
    return anomalous


def _table_ranges(labels: RangeTable) -> FrameRanges:
    """The ranges in the rows of a table that are the clip's."""
    table = _read_csv(labels.path, [labels.first, labels.last, *(key for key, _ in labels.where)])
    for column, value in labels.where:
        table = table[table[column] == value]
    if labels.where and table.empty:
        wanted = ", ".join(f"{column} = {value}" for column, value in labels.where)
        raise SdorError(f"{labels.path}: no row with {wanted}")
    # An empty first cell says that there is no range; an empty last one, that it never ends.
    return tuple(
        (
            _number(first, labels.path, labels.first),
            None if last in ("", "end") else _number(last, labels.path, labels.last),
        )
        for first, last in zip(table[labels.first], table[labels.last], strict=True)
        if first
    )


def _frame_ranges(labels: FrameTable, start: int, frames: int, highest: int | None) -> FrameRanges:
    """Each anomalous frame of a table as a range; of a whole video's rows only the clip's count."""
    path, end = labels.path, start + frames - 1
    table = _read_csv(path, [labels.frame, labels.anomalous])
    rows, anomalous = 0, []
    for row, cells in enumerate(zip(table[labels.frame], table[labels.anomalous], strict=True), 1):
        number = _number(cells[0], path, labels.frame)
        # Rows beyond a clip's end are left out only where the video goes on there.
        if 1 <= number < start or (highest is None and number > end):
            continue
        if number != start + rows:
            raise SdorError(
                f"{path}: expected {labels.frame} {start + rows} in row {row}, found {number}"
            )
        rows += 1
        value = _number(cells[1], path, labels.anomalous)
        if value not in (0, 1):
            raise SdorError(
                f"{path}: expected 0 or 1 in {labels.anomalous}, found {value} at frame {number}"
            )
        if value:
            anomalous.append((number, number))
    if rows != frames:
        raise SdorError(
            f"{path}: expected {frames} rows, one for each {labels.frame} from {start} to {end}, "
            f"found {rows}"
        )
    return tuple(anomalous)


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
        table[column] = table[column].str.strip()
    return table


def _number(cell: str, path: Path, column: str) -> int:
    try:
        value = float({"true": "1", "false": "0"}.get(cell.lower(), cell))
        if value.is_integer():
            return int(value)
    except ValueError:
        pass
    raise SdorError(f"{path}: {column}: {cell!r} is not a whole number")
