"""What was seen of all video of a camera, a folder a clip: a new day adds to it, and no more."""

import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Self
from zipfile import BadZipFile

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sdor.errors import SdorError
from sdor.files import (
    About,
    atomic,
    digest_of,
    opening,
    read_json,
    read_parquet,
    write_json,
    write_parquet,
)
from sdor.operator.look import Eye, Looks, look
from sdor.operator.pace import Pace, Say
from sdor.progress import counted
from sdor.study.scenes import Clip, Scene
from sdor.video.clock import in_order_of_time, recorded
from sdor.video.decode import Declared, declared
from sdor.video.frames import read_clip
from sdor.video.picture import Doubt, Picture, UnreadableError
from sdor.video.sampling import ROUNDING
from sdor.video.timeline import seconds_of

PART = 18_000  # rows of a file: half an hour
WAIT = 7 * 86_400.0  # s that a look is kept for a clip that is gone
MISSED = "missed"  # file in a look, as old as the run that first missed its clip
PIECE = 1 << 20  # bytes at the begin, in the middle and at the end by which a file is known


def look_at_camera(
    scene: Scene, eye: Eye, outputs: tuple[Path, Path], *, threads: int, say: Say, about: About
) -> pd.DataFrame:
    """Look at the clips of a camera that nobody has looked at yet, and write the table of all.

    Parameters
    ----------
    outputs : the table, and where a folder a clip is kept, called by the clip, its content and how
        it is looked at.
    say : is told what there is to do, and every half a minute how far it is.

    Returns
    -------
    One row a clip, in the order of time: clip, source, look (its folder; "" where nothing of it can
    be read), parts (files in it), frames, first (seconds of its first frame in the source),
    seconds, fps, width, height, begin (timestamp of its first frame), clock (local time of that,
    ISO 8601; "" where nothing tells), stretch (number, shared by clips that adjoin), offset
    (seconds of its first frame since the stretch's), failure and remarks (lists of text).

    Raises
    ------
    SdorError : the disk takes no more.
    """
    output, folder = outputs
    looks = {clip.name: folder / _name(clip, eye) for clip in scene.clips}
    told = {one.name: declared(one.path) if one.kind == "video" else None for one in scene.clips}
    lengths = {clip.name: _length(clip, told[clip.name]) for clip in scene.clips}
    new = [lengths[name] for name, look in looks.items() if not look.is_dir()]
    pace = Pace(scene.name, [*lengths.values()], new, say)
    rows = []
    for clip in scene.clips:
        facts = _looked_at(clip, eye, looks[clip.name], threads, pace)
        when = recorded(clip.path, told[clip.name], facts["first"])
        rows.append({"clip": clip.name, "source": clip.source, **facts, **when})
    table = in_order_of_time(pd.DataFrame(rows))
    write_parquet(output, table, about)
    folder.mkdir(parents=True, exist_ok=True)
    if missed := _clear(folder, table):
        are, them, come = ("is", "it", "it comes") if missed == 1 else ("are", "them", "they come")
        say(
            f"camera {scene.name}: {counted(missed, 'file')} {are} gone; what was seen of {them} "
            f"is kept for {WAIT / 86_400:.0f} days: nothing is looked at again if {come} back"
        )
    return table


def _clear(folder: Path, table: pd.DataFrame) -> int:
    """Remove looks that nobody asks for; returns how many clips are gone whose looks are kept.

    A disk that is away for a while takes its files along, and to look at them again costs hours.
    """
    kept, failed = set(table["look"]), set(table["clip"][table["look"] == ""])
    there, missed = set(table["clip"]), set[str]()
    for each in folder.iterdir():
        clip, since = each.name.rpartition("-")[0], each / MISSED
        if each.name in kept:
            with contextlib.suppress(OSError):
                since.unlink(missing_ok=True)
            continue
        if clip in failed:  # what cannot be read now may be there again tomorrow
            continue
        # What a killed run began, or is of other settings or another content.
        is_away = not each.name.startswith(".") and clip not in there
        with contextlib.suppress(OSError):
            if is_away and not since.exists():
                since.touch()
            if is_away and time.time() - since.stat().st_mtime < WAIT:
                missed.add(clip)
                continue
        shutil.rmtree(each, ignore_errors=True)
    return len(missed)


def _looked_at(clip: Clip, eye: Eye, output: Path, threads: int, pace: Pace) -> About:
    """What is known of a clip, which is looked at if nobody has."""
    try:
        if not output.is_dir():
            _look(clip, eye, output, threads, pace)
        return {**read_json(output / "facts.json"), "look": output.name, "failure": ""}
    except (UnreadableError, OSError) as error:
        words = error.strerror if isinstance(error, OSError) else str(error)
        names = ("parts", "frames", "first", "seconds", "fps", "width", "height")
        return {**dict.fromkeys(names, 0), "remarks": [], "look": "", "failure": words}


def _look(clip: Clip, eye: Eye, output: Path, threads: int, pace: Pace) -> None:
    """Write parts of half an hour, and the facts, in a folder that gets its name at the end."""
    with opening(output):
        around = tempfile.TemporaryDirectory(
            dir=output.parent, prefix=f".{output.name}.", ignore_cleanup_errors=True
        )
    with around:
        temporary = Path(around.name, output.name)  # which others may read, unlike what is around
        doubts = list[Doubt]()
        seen = Seen(read_clip(clip, doubts))
        waiting, part = list[Looks](), 0
        for looks in look(seen, eye, threads):
            waiting.append(looks)
            pace.at(clip.name, float(looks.time[-1]) - seen.first)
            if sum(map(len, waiting)) >= PART:
                _write_part(waiting, temporary / f"{part:04}.npz")
                waiting, part = [], part + 1
        if waiting:
            _write_part(waiting, temporary / f"{part:04}.npz")
            part += 1
        facts = {**seen.facts(), "parts": part, "remarks": [str(one) for one in doubts]}
        write_json(temporary / "facts.json", facts)
        with opening(output):
            os.replace(temporary, output)


def _name(clip: Clip, eye: Eye) -> str:
    """Of the folder of its looks: another where its content or the eye is another."""
    try:
        return f"{clip.name}-{digest_of([content_of(clip), eye.key])}"
    except OSError:  # which looking at it says, too
        return clip.name


def _length(clip: Clip, told: Declared | None) -> tuple[float, int]:
    """Seconds and frames of a clip, as its source says itself; 0 where it does not."""
    if not told or not told.frames:
        return (told.seconds if told else 0.0), 0
    frames = max(0, min(clip.last or told.frames, told.frames) - clip.first + 1)
    return told.seconds * frames / told.frames, frames


def content_of(clip: Clip) -> list[Any]:
    """What tells a clip from others: some of its content, and which part of it is meant."""
    how = [clip.first, clip.last, clip.fps, clip.stream, clip.bits]
    if clip.kind == "images":
        files = sorted(one for one in clip.path.iterdir() if one.is_file())
        stats = [(one.name, one.stat().st_size) for one in files]
        some = sorted({*files[:1], *files[len(files) // 2 :][:1], *files[-1:]})
        return [digest_of([stats, [_some_of(one) for one in some]]), *how]
    return [_some_of(clip.path), *how]


def _some_of(path: Path) -> str:
    """SHA-256 of a file's size, and of its bytes at three places."""
    size = path.stat().st_size
    found = sha256(str(size).encode())
    with path.open("rb") as file:
        for place in (0, size // 2, max(size - PIECE, 0)):
            file.seek(place)
            found.update(file.read(PIECE))
    return found.hexdigest()


class Seen:
    """Passes pictures on, and remembers what is to be said of all of them.

    Attributes
    ----------
    first : when in the source the first of them is (s).
    """

    def __init__(self, pictures: Iterator[Picture]) -> None:
        self._pictures = pictures
        self._count, self.first, self._last, self._size = 0, 0.0, 0.0, (0, 0)

    def __iter__(self) -> Iterator[Picture]:
        for picture in self._pictures:
            time = seconds_of(picture.number, picture.time)
            if not self._count:
                self.first, self._size = time, picture.pixels.shape[1::-1]
            self._count, self._last = self._count + 1, time
            yield picture

    def facts(self) -> About:
        """Number of frames, seconds from the first to behind the last, rate, and size."""
        between = self._last - self.first
        step = between / (self._count - 1) if self._count > 1 and between > 0 else 0.1
        width, height = self._size
        return {
            "frames": self._count,
            "first": self.first,
            "seconds": self._count * step,
            "fps": 1 / step,
            "width": width,
            "height": height,
        }


def _write_part(parts: list[Looks], path: Path) -> None:
    with atomic(path) as temporary:
        np.savez(temporary, allow_pickle=False, **Looks.joined(parts).arrays())


@dataclass(frozen=True)
class Piece:
    """Some of a stretch.

    Attributes
    ----------
    looks : what was seen. seconds : (n,) from the stretch's beginning. clip : (n,) names.
    """

    looks: Looks
    seconds: NDArray[np.float64]
    clip: NDArray[np.object_]


@dataclass(frozen=True)
class Archive:
    """All that was seen of a camera.

    Attributes
    ----------
    clips : the table of `look_at_camera`, without what could not be read.
    parts : one row a file, in the order of time: path, clip, stretch, begin, end (s of its first
        and last row, from the stretch's beginning), shift (from times in the source to these),
        looked (frames that the network saw), last (number of the frame before which the next row
        would be).
    """

    clips: pd.DataFrame
    parts: pd.DataFrame

    @classmethod
    def read(cls, table: Path, folder: Path) -> Self:
        """The archive of a camera (SdorError: a file is damaged, or gone)."""
        clips = read_parquet(table)
        clips = clips[clips["look"] != ""].reset_index(drop=True)
        rows = list[About]()
        for clip in clips.to_dict("records"):
            first = None
            for part in range(clip["parts"]):
                path = folder / clip["look"] / f"{part:04}.npz"
                found = _members(path, "time", "looked", "frame")
                time, frame = found["time"], found["frame"]
                first = time[0] if first is None else first
                shift = clip["offset"] - first
                about = {"path": path, "clip": clip["clip"], "stretch": clip["stretch"]}
                ends = {"begin": time[0] + shift, "end": time[-1] + shift, "shift": shift}
                last = frame[-1] + np.diff(frame, prepend=frame[0] - 1).max() - 1
                rows.append({**about, **ends, "looked": len(found["looked"]), "last": last})
        return cls(clips, pd.DataFrame(rows))

    def frames(self) -> pd.DataFrame:
        """Clip, and frames (the highest number of a frame of it, in the source)."""
        if self.parts.empty:
            return pd.DataFrame(columns=["clip", "frames"])
        last = self.parts.groupby("clip", sort=False)["last"].max()
        return last.rename("frames").reset_index()

    def place(self, clip: str, frame: int) -> tuple[int, float]:
        """Stretch of a clip, and s of one of its frames in it (SdorError: a file is damaged)."""
        parts = self.parts[self.parts["clip"] == clip]
        each = [_members(path, "frame", "time") for path in parts["path"]]
        frames, times = (np.concatenate([one[name] for one in each]) for name in ("frame", "time"))
        return parts["stretch"].iloc[0], np.interp(frame, frames, times) + parts["shift"].iloc[0]

    def piece(self, stretch: int, begin: float, end: float) -> Piece:
        """All rows from one second of a stretch to another, in whichever files they are.

        Raises
        ------
        SdorError : a file is damaged.
        """
        of_stretch = self.parts[self.parts["stretch"] == stretch]
        near = of_stretch[(of_stretch["end"] >= begin) & (of_stretch["begin"] <= end)]
        looks, seconds, clips = [], [], []
        for part in near.to_dict("records"):
            whole = Looks(**_members(part["path"]))
            times = whole.time + part["shift"]
            first, last = np.searchsorted(times, [begin - ROUNDING, end + ROUNDING])
            looks.append(whole.between(first, last))
            seconds.append(times[first:last])
            clips.append(np.full(last - first, part["clip"], dtype=object))
        return Piece(Looks.joined(looks), np.concatenate(seconds), np.concatenate(clips))


def _members(path: Path, *names: str) -> Mapping[str, NDArray[Any]]:
    """Arrays of a part, or all of them."""
    try:
        with np.load(path) as file:
            return {name: file[name] for name in names or file.files}
    except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
        raise SdorError(
            f"{path}: damaged or missing ({error}); delete its folder and the table "
            f"{path.parents[2] / 'looks.parquet'}, and run the same command again"
        ) from error
