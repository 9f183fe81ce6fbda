"""The moments of a camera that are worth watching, with where in the picture they are."""

from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sdor.files import About, atomic, digest, read_about, read_parquet, write_parquet
from sdor.method.events import box_of, find_events
from sdor.method.flow import ACROSS, DOWN, FINE
from sdor.operator.archive import Archive
from sdor.operator.model import MARGIN, CameraModel
from sdor.study.settings import EventSettings
from sdor.video.sampling import ROUNDING

# Robust spreads above the median from which on a moment is shown: what is as high as half of the
# frames saves nobody's time.
LEAST = 1.0
CHANGED = "picture changed"


def write_moments(
    archive: Archive,
    files: tuple[Path, Path],
    outputs: tuple[Path, Path],
    settings: EventSettings,
    about: About,
) -> pd.DataFrame:
    """Write a table of the events, and changes of the picture, and an array of heat maps.

    Parameters
    ----------
    files : model and scores, as `rank` wrote them.
    outputs : the table, with the columns of `find_events` (event: 10 hexadecimal digits, of the
        camera's name too, as recorders call files alike in each of their folders), and kind
        ("moment", or "picture changed"), words (what changed), clock (local time of the peak, NaT
        where nothing tells) and x0, y0, x1, y1 (0 to 1; where it is); and the heat maps (events,
        24, 36).

    Raises
    ------
    SdorError : a file is damaged.
    """
    scores, told = read_parquet(files[1]), read_about(files[1])
    scores["clock"] = clocks_of(scores, archive.clips)
    found = standing_out(scores, settings, scores["blocked"].to_numpy())
    changes = [_change(scores, *one) for one in told["changes"]]
    if changes:
        found = pd.concat([found, pd.DataFrame(changes)], ignore_index=True)
    heat = np.zeros((len(found), FINE * DOWN, FINE * ACROSS), dtype=np.float32)
    if len(found):
        model = CameraModel.load(files[0])
        heat[:] = [_heat(archive, model, *one) for one in _peaks(found)]
    return write_found(found, heat, scores, outputs, {**about, "camera": told["camera"]})


def standing_out(
    scores: pd.DataFrame, settings: EventSettings, blocked: NDArray[np.bool_] | None = None
) -> pd.DataFrame:
    """The events of a camera that are worth a look (see `find_events`), as moments."""
    found = find_events(scores, settings, blocked).assign(kind="moment", words="")
    return found[found["unusual"] >= LEAST].reset_index(drop=True)


def write_found(
    found: pd.DataFrame,
    heat: NDArray[np.float32],
    scores: pd.DataFrame,
    outputs: tuple[Path, Path],
    about: About,
) -> pd.DataFrame:
    """Write events and their heat (events, rows, columns), as `write_moments` says.

    Parameters
    ----------
    scores : clip, frame and clock of all frames. about : camera is its name.
    """
    names = [f"{about['camera']}/{one}" for one in found["event"]]
    found["event"] = [digest(one.encode())[:10] for one in names]
    rows = scores.set_index(["clip", "frame"])["clock"]
    found["clock"] = [
        rows.get(key, pd.NaT) for key in zip(found["clip"], found["peak"], strict=True)
    ]
    boxes = [box_of(one) for one in heat]
    for place, name in enumerate(("x0", "y0", "x1", "y1")):
        found[name] = [box[place] if box else np.nan for box in boxes]
    write_parquet(outputs[0], found, about)
    with atomic(outputs[1]) as temporary:
        np.save(temporary, heat)
    return found


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


def clocks_of(scores: pd.DataFrame, clips: pd.DataFrame) -> pd.Series:
    """When each row was recorded, in local time; NaT where nothing tells."""
    if scores.empty:
        return pd.Series(dtype="datetime64[ns]")
    table = clips.set_index("clip")
    begins = pd.to_datetime(table["clock"].replace("", None), format="ISO8601")
    first = scores.groupby("clip")["time"].transform("first")
    since: pd.Series = pd.to_timedelta(scores["time"] - first, unit="s")
    return scores["clip"].map(begins) + since


def _change(scores: pd.DataFrame, row: int, words: str) -> dict[str, object]:
    """A change of the picture as an event without a score."""
    at = scores.iloc[row]
    frame, time, seconds = int(at["frame"]), float(at["time"]), float(at["seconds"])
    frames = dict.fromkeys(("first", "last", "peak"), frame)
    times = dict.fromkeys(("begin", "end", "peak_time"), time)
    times |= dict.fromkeys(("begin_seconds", "end_seconds", "peak_seconds"), seconds)
    name = {"event": f"{at['clip']}/{frame}/change", "clip": at["clip"]}
    name |= {"rank": 0, "stretch": at["stretch"]}
    rest = {"score": np.nan, "unusual": np.nan, "percentile": np.nan, "group": "", "kind": CHANGED}
    return {**name, **frames, **times, **rest, "words": words}


def _peaks(found: pd.DataFrame) -> list[tuple[str, int, float]]:
    return [*zip(found["kind"], found["stretch"], found["peak_seconds"], strict=True)]


def _heat(
    archive: Archive, model: CameraModel, kind: str, stretch: int, peak: float
) -> NDArray[np.float32]:
    """The map of the row at a peak; of a change of the picture, none."""
    if kind == CHANGED:
        return _blank()
    piece = archive.piece(stretch, peak - MARGIN, peak + MARGIN)
    _, places = model.score(piece.looks, piece.seconds)
    row = np.abs(piece.seconds - peak).argmin()
    heat: NDArray[np.float32] = model.heat(piece.looks, piece.seconds, places, np.array([row]))[0]
    return heat


def _blank() -> NDArray[np.float32]:
    return np.zeros((FINE * DOWN, FINE * ACROSS), dtype=np.float32)
