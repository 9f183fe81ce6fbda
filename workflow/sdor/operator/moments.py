"""The moments of a camera that are worth watching, with where in the picture they are.

What an operator has marked has the last word: a dismissed moment never comes back, whatever the
model says, and a confirmed one stays.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sdor.files import About, atomic, digest, read_about, read_parquet, write_parquet
from sdor.method.events import AROUND, SMOOTHING, box_of, find_events
from sdor.method.flow import ACROSS, DOWN, FINE
from sdor.method.marks import ANOMALY, LABELS, NORMAL
from sdor.operator.archive import Archive
from sdor.operator.model import MARGIN, CameraModel
from sdor.operator.similar import look_of
from sdor.study.rounds import archive_of
from sdor.study.settings import EventSettings
from sdor.video.sampling import ROUNDING
from sdor.video.timeline import Timeline

BoolArray = NDArray[np.bool_]
# Robust spreads above the median from which on a moment is shown: what is as high as half of the
# frames saves nobody's time.
LEAST = 1.0
CHANGED = "picture changed"
MARKED = "marked"  # the group of moments that an operator has marked as anomalies
MEASURED = ("score", "unusual", "percentile")
MARKS = ["clip", "frame", "first", "last", "label", "event"]  # columns of `read_marks` used here


def write_moments(
    archive: Archive,
    files: tuple[Path, Path],
    outputs: tuple[Path, Path, Path],
    settings: EventSettings,
    about: About,
    marks: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Write a table of the events, and changes of the picture, and arrays of heat maps and looks.

    Parameters
    ----------
    files : model and scores, as `rank` or `learn` wrote them.
    outputs : the table, with the columns of `find_events` (event: 10 hexadecimal digits, of the
        camera's name too, as recorders call files alike in each of their folders), and kind
        ("moment", or "picture changed"), words (what changed), mark ("anomaly" of what was marked
        so, else empty), clock (local time of the peak, NaT where nothing tells) and x0, y0, x1, y1
        (0 to 1; where it is); the heat maps (events, 24, 36); and what each looks like (events,
        dims), see `look_of`. Moments that were marked as anomalies are of the group "marked" and
        have rank 0; what was dismissed is told in the metadata (dismissed: clip, first, last).
    about : goes into the table's metadata; gone is how many marks are of clips that are gone.
    marks : of all rounds, as `read_marks` gives them.

    Raises
    ------
    SdorError : a file is damaged.
    """
    scores, told = read_parquet(files[1]), read_about(files[1])
    scores["clock"] = clocks_of(scores, archive.clips)
    placed = placed_marks(scores, marks)
    changed = [row for row, _ in told["changes"]]
    of_change = placed["row"].isin(changed)
    found = standing_out(scores, settings, scores["blocked"].to_numpy(), placed[~of_change])
    labels = dict(zip(placed["row"][of_change], placed["label"][of_change], strict=True))
    changes = [_change(scores, row, words, labels.get(row)) for row, words in told["changes"]]
    if changes := [one for one in changes if one]:
        found = pd.concat([found, pd.DataFrame(changes)], ignore_index=True)
    heat = np.zeros((len(found), FINE * DOWN, FINE * ACROSS), dtype=np.float32)
    looks = np.full((len(found), 1), np.nan, dtype=np.float32)
    if (moments := found[found["kind"] == "moment"].index).size:
        model = CameraModel.load(files[0])
        seen = [_seen(archive, model, one) for one in found.loc[moments].to_dict("records")]
        looks = np.full((len(found), len(seen[0][1])), np.nan, dtype=np.float32)
        heat[moments], looks[moments] = (np.stack(one) for one in zip(*seen, strict=True))
    gone = placed.loc[placed["label"] == LABELS[NORMAL], ["clip", "first", "last"]]
    about = {**about, "camera": told["camera"], "dismissed": gone.to_numpy().tolist()}
    return write_found(found, (heat, looks), scores, outputs, about)


def write_found(
    found: pd.DataFrame,
    arrays: tuple[NDArray[np.float32], NDArray[np.float32]],
    scores: pd.DataFrame,
    outputs: tuple[Path, Path, Path],
    about: About,
) -> pd.DataFrame:
    """Write events, their heat (events, rows, columns) and looks, as `write_moments` says.

    Parameters
    ----------
    scores : clip, frame and clock of all frames. about : camera is its name; clips are added, those
        that there are scores of, so that a later list knows which of its files are new.

    Returns
    -------
    The table, as it is written.

    Raises
    ------
    SdorError : the folder cannot be written.
    """
    names = [f"{about['camera']}/{one}" for one in found["event"]]
    own = [digest(one.encode())[:10] for one in names]
    known = found.pop("known")
    found["event"] = known.where(known != "", own)
    rows = scores.set_index(["clip", "frame"])["clock"]
    found["clock"] = [
        rows.get(key, pd.NaT) for key in zip(found["clip"], found["peak"], strict=True)
    ]
    boxes = [box_of(one) for one in arrays[0]]
    for place, name in enumerate(("x0", "y0", "x1", "y1")):
        found[name] = [box[place] if box else np.nan for box in boxes]
    clips = sorted(set(scores["clip"]))
    write_parquet(outputs[0], found, {**about, "clips": clips})
    for output, array in zip(outputs[1:], arrays, strict=True):
        with atomic(output) as temporary:
            np.save(temporary, array)
    return found


def root_of(folder: Path) -> Path:
    """Where the video of a list lay when it was made, which may be later than it was looked at.

    Parameters
    ----------
    folder : of the list, of a round or without marks.
    """
    asked = folder / "events.parquet", archive_of(folder) / "looks.parquet"
    return Path(next(filter(None, (read_about(one).get("root") for one in asked)), "."))


def pieces_of(
    looks: pd.DataFrame, stretch: int, begin: float, end: float
) -> list[tuple[str, float, float]]:
    """Where in files the seconds of a stretch are: a piece of each clip, in the order of time.

    Parameters
    ----------
    looks : the table of `look_at_camera`: clip, stretch, offset, first, seconds.
    begin, end : seconds from the stretch's beginning.

    Returns
    -------
    (clip, begin, end), in seconds of the clip's source. What lies between clips is in none.
    """
    own = looks[looks["stretch"] == stretch].sort_values("offset", kind="stable")
    last = own["offset"] + own["seconds"]
    start, stop = np.maximum(own["offset"], begin), np.minimum(last, end)
    here = (stop - start > ROUNDING) | ((begin == end) & (start == stop) & (begin < last))
    shift = own["first"] - own["offset"]
    return [*zip(own["clip"][here], (start + shift)[here], (stop + shift)[here], strict=True)]


def placed_marks(scores: pd.DataFrame, marks: pd.DataFrame | None) -> pd.DataFrame:
    """Marks with their rows among the scores, begin, row and end; without those of gone clips."""
    if marks is None:
        marks = pd.DataFrame({name: [] for name in MARKS})
    marks = marks.loc[marks["clip"].isin(set(scores["clip"])), MARKS].reset_index(drop=True)
    row = _row_finder(scores)
    for name, column in (("begin", "first"), ("row", "frame"), ("end", "last")):
        marks[name] = [row(*one) for one in zip(marks["clip"], marks[column], strict=True)]
    return marks


def standing_out(
    scores: pd.DataFrame,
    settings: EventSettings,
    blocked: BoolArray | None = None,
    marks: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """The events of a camera that are worth a look, as moments, and those that were confirmed.

    What is within `AROUND` of a marked moment is no part of another, nor is what the score falls
    off by beyond. A model that has learnt moves peaks and ends: an event whose peak is there is the
    marked one, and all of it is taken away; one that only reaches there ends before. Of a mark by
    hand, a frame without a span, the event that the frame is in is meant.

    Parameters
    ----------
    scores, settings, blocked : see `find_events`. marks : of `placed_marks`.

    Returns
    -------
    The columns of `find_events`, kind, words, mark, and known (the event's name, where its mark has
    one).
    """
    if marks is None or marks.empty:
        return _worth(find_events(scores, settings, blocked))
    every = find_events(scores, replace(settings, budget=len(scores), per="scene"), blocked)
    seconds, stretch = scores["seconds"].to_numpy(), scores["stretch"].to_numpy()
    of_stretch = scores.groupby("stretch", sort=False).indices
    timeline = Timeline(tuple(map(str, of_stretch)), pd.factorize(stretch)[0], seconds)
    known = None if blocked is None else ~blocked
    score = scores["score"].to_numpy(dtype=float)
    smooth = timeline.smoothed(score, np.arange(len(scores)), SMOOTHING, known)
    hidden = np.zeros(len(scores), dtype=bool)

    def hide(stretch: int, begin: float, end: float) -> None:
        rows = of_stretch[stretch]
        edges = [begin - AROUND - ROUNDING, end + AROUND + ROUNDING]
        low, high = rows[0] + np.searchsorted(seconds[rows[0] : rows[-1] + 1], edges)
        while low > rows[0] and smooth[low - 1] < smooth[low]:
            low -= 1
        while high <= rows[-1] and smooth[high] < smooth[high - 1]:
            high += 1
        hidden[low:high] = True

    for begin, at, end in marks[["begin", "row", "end"]].to_numpy():
        hide(stretch[at], seconds[begin], seconds[end])
    row = _row_finder(scores)
    again = hidden[[row(*one) for one in zip(every["clip"], every["peak"], strict=True)]]
    for one in marks[marks["first"] == marks["last"]].to_dict("records"):
        again |= _meets(every, one["clip"], one["frame"], one["frame"])
    for one in every[again].to_dict("records"):
        hide(one["stretch"], one["begin_seconds"], one["end_seconds"])
    found = _worth(find_events(scores, settings, hidden if blocked is None else hidden | blocked))
    found = found[_peaks_of_their_own(found, smooth, hidden, row)].reset_index(drop=True)
    anomalies = marks[marks["label"] == LABELS[ANOMALY]].to_dict("records")
    confirmed = [_confirmed(scores, every[again], one) for one in anomalies]
    if not confirmed:
        return found
    kept = pd.DataFrame(confirmed).drop_duplicates(["clip", "first", "last"])
    return pd.concat([found, kept], ignore_index=True)


def _peaks_of_their_own(
    found: pd.DataFrame,
    smooth: NDArray[np.floating[Any]],
    hidden: BoolArray,
    row: Callable[[str, int], int],
) -> BoolArray:
    """(events,) whether each is more than what is left between a marked one and the next."""
    own = []
    for one in found.to_dict("records"):
        first, peak, last = (row(one["clip"], one[name]) for name in ("first", "peak", "last"))
        beside = hidden[max(first - 1, 0) : last + 2].any()
        own.append(not beside or smooth[peak] >= smooth[max(peak - 1, 0) : peak + 2].max())
    return np.array(own, dtype=bool)


def _worth(found: pd.DataFrame) -> pd.DataFrame:
    found = found.assign(kind="moment", words="", mark="", known="")
    return found[found["unusual"] >= LEAST].reset_index(drop=True)


def _confirmed(scores: pd.DataFrame, every: pd.DataFrame, mark: Mapping[Any, Any]) -> About:
    """A marked anomaly as an event, as high as what is found there now, if anything is."""
    at = mark["clip"], mark["first"], mark["last"]
    there = every[_meets(every, *at)].head(1).to_dict("records")
    event: dict[Any, Any] = {**dict.fromkeys(MEASURED, np.nan), **(there[0] if there else {})}
    # By hand, a frame without a span means all of what is found there.
    if mark["first"] < mark["last"] or not there:
        event |= _event(scores, mark["begin"], mark["row"], mark["end"])
    rest = {"kind": "moment", "words": "", "mark": ANOMALY, "known": mark["event"]}
    return {**event, **rest, "rank": 0, "group": MARKED}


def _meets(events: pd.DataFrame, clip: str, first: int, last: int) -> BoolArray:
    """(events,) which of them share a frame with some frames of a clip."""
    same = (events["clip"] == clip) & (events["first"] <= last) & (events["last"] >= first)
    return same.to_numpy()


def _row_finder(scores: pd.DataFrame) -> Callable[[str, int], int]:
    """What finds the row of a frame of a clip, or the next one that there is."""
    of_clip = scores.groupby("clip", sort=False).indices
    frames = scores["frame"].to_numpy()

    def row(clip: str, frame: int) -> int:
        rows = of_clip[clip]  # which stand together, in order
        at = int(np.searchsorted(frames[rows[0] : rows[-1] + 1], frame))
        return int(rows[min(at, len(rows) - 1)])

    return row


def clocks_of(scores: pd.DataFrame, clips: pd.DataFrame) -> pd.Series:
    """When each row was recorded, in local time; NaT where nothing tells."""
    if scores.empty:
        return pd.Series(dtype="datetime64[ns]")
    table = clips.set_index("clip")
    begins = pd.to_datetime(table["clock"].replace("", None), format="ISO8601")
    first = scores.groupby("clip")["time"].transform("first")
    since: pd.Series = pd.to_timedelta(scores["time"] - first, unit="s")
    return scores["clip"].map(begins) + since


def _change(scores: pd.DataFrame, row: int, words: str, label: int | None) -> About:
    """A change of the picture as an event without a score; nothing, where it was dismissed."""
    if label == LABELS[NORMAL]:
        return {}
    event = _event(scores, row, row, row)
    rest = {"event": f"{event['event']}/change", "rank": 0, "known": ""}
    rest |= {"group": MARKED, "mark": ANOMALY} if label else {"group": "", "mark": ""}
    rest |= dict.fromkeys(MEASURED, np.nan)
    return {**event, **rest, "kind": CHANGED, "words": words}


def _event(scores: pd.DataFrame, begin: int, peak: int, end: int) -> About:
    """Where an event is, from its rows among the scores."""
    first, top, last = scores.iloc[[begin, peak, end]].to_dict("records")
    return {
        "event": f"{top['clip']}/{top['frame']}",
        "stretch": top["stretch"],
        "clip": top["clip"],
        "first": first["frame"],
        "last": last["frame"],
        "peak": top["frame"],
        "begin": first["time"],
        "end": last["time"],
        "peak_time": top["time"],
        "begin_seconds": first["seconds"],
        "end_seconds": last["seconds"],
        "peak_seconds": top["seconds"],
    }


def _seen(
    archive: Archive, model: CameraModel, event: Mapping[Any, Any]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Heat map of an event's peak, and what it looks like, within `MARGIN` of the peak."""
    peak = event["peak_seconds"]
    piece = archive.piece(event["stretch"], peak - MARGIN, peak + MARGIN)
    looks, seconds = piece.looks, piece.seconds
    _, places = model.score(looks, seconds)
    rows = looks.looked
    begin, end = event["begin_seconds"], event["end_seconds"]
    inside = (begin <= seconds[rows]) & (seconds[rows] <= end)
    away = np.abs(seconds[rows] - peak)
    # An event may end between two frames that the network looked at.
    own = np.flatnonzero(inside if inside.any() else away == away.min())
    wanted = np.append(rows[own], np.abs(seconds - peak).argmin())
    heat = model.heat(looks, seconds, places, wanted)
    return heat[-1], look_of(heat[:-1], looks.maps[own], looks.fine[rows[own]].astype(np.float32))
