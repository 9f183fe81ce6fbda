"""What was seen of all video of a camera, a folder a clip: a new day adds to it, and no more."""

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, Self
from zipfile import BadZipFile

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sdor.errors import SdorError
from sdor.files import About, digest_of, opening, read_json, read_parquet, write_parquet
from sdor.operator.look import Eye, Looks, look
from sdor.operator.pace import Pace
from sdor.study.scenes import Clip, Scene
from sdor.video.clock import clock_of, stretches
from sdor.video.decode import declared
from sdor.video.frames import read_clip
from sdor.video.picture import Doubt, Picture, UnreadableError
from sdor.video.timeline import ROUNDING

PART = 18_000  # rows of a file: half an hour
PIECE = 1 << 20  # bytes at the begin, in the middle and at the end by which a file is known
Say = Callable[[str], None]


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
    be read), frames, seconds, fps, width, height, clock (local time of its first frame, ISO 8601;
    "" where nothing tells), stretch (number, shared by clips that adjoin), offset (seconds of its
    first frame since the stretch's), failure and remarks (lists of text).

    Raises
    ------
    SdorError : nothing of any clip can be read; or the disk takes no more.
    """
    output, folder = outputs
    looks = {clip.name: folder / _name(clip, eye) for clip in scene.clips}
    lengths = {clip.name: _length(clip) for clip in scene.clips}
    new = [lengths[name] for name, look in looks.items() if not look.is_dir()]
    pace = Pace(scene.name, [*lengths.values()], new, say)
    rows = []
    for clip in scene.clips:
        facts = _looked_at(clip, eye, looks[clip.name], threads, pace)
        rows.append({"clip": clip.name, "source": clip.source, **facts})
    table = pd.DataFrame(rows)
    if not table["look"].any():
        raise SdorError(f"camera {scene.name}: nothing of it can be read ({rows[0]['failure']})")
    read = table[table["look"] != ""].copy()
    clocks = [datetime.fromisoformat(one) if one else None for one in read["clock"]]
    placed = stretches(clocks, read["seconds"].tolist(), read["begin"].tolist())
    read["stretch"], read["offset"] = zip(*placed, strict=True)
    read = read.sort_values(["stretch", "offset"], kind="stable")
    table = pd.concat([read, table[table["look"] == ""].assign(stretch=-1, offset=0.0)])
    write_parquet(output, table.reset_index(drop=True), about)
    for other in folder.iterdir():  # of clips that are gone, or of other settings
        if other.name not in set(read["look"]):
            shutil.rmtree(other, ignore_errors=True)
    return table


def _looked_at(clip: Clip, eye: Eye, output: Path, threads: int, pace: Pace) -> About:
    """What is known of a clip, which is looked at if nobody has."""
    try:
        if not output.is_dir():
            _look(clip, eye, output, threads, pace)
        return {**read_json(output / "facts.json"), "look": output.name, "failure": ""}
    except (UnreadableError, OSError) as error:
        words = error.strerror if isinstance(error, OSError) else str(error)
        blank = dict.fromkeys(("frames", "seconds", "fps", "width", "height", "begin"), 0)
        return {**blank, "clock": "", "remarks": [], "look": "", "failure": words}


def _look(clip: Clip, eye: Eye, output: Path, threads: int, pace: Pace) -> None:
    """Write parts of half an hour, and the facts, in a folder that gets its name at the end."""
    with opening(output):
        temporary = Path(tempfile.mkdtemp(dir=output.parent, prefix=f".{output.name}."))
    try:
        doubts = list[Doubt]()
        seen = Seen(read_clip(clip, doubts))
        waiting, part = list[Looks](), 0
        for looks in look(seen, eye, threads):
            waiting.append(looks)
            pace.at(clip.name, float(looks.time[-1]))
            if sum(map(len, waiting)) >= PART:
                _write_part(waiting, temporary / f"{part:04}.npz")
                waiting, part = [], part + 1
        if waiting:
            _write_part(waiting, temporary / f"{part:04}.npz")
        facts = {**seen.facts(), "remarks": [str(one) for one in doubts]}
        told = declared(clip.path) if clip.kind == "video" else None
        when = clock_of(clip.path, told.metadata if told else {})
        facts |= {"clock": when.isoformat() if when else "", "begin": told.begin if told else 0.0}
        (temporary / "facts.json").write_text(json.dumps(facts))
        os.replace(temporary, output)
    except OSError as error:
        raise SdorError(f"{output}: not written ({error.strerror}); make room for it") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _name(clip: Clip, eye: Eye) -> str:
    """Of the folder of its looks: another where its content or the eye is another."""
    try:
        return f"{clip.name}-{digest_of([content_of(clip), eye.key])}"
    except OSError:  # which looking at it says, too
        return clip.name


def _length(clip: Clip) -> tuple[float, int]:
    """Seconds and frames of a clip, as it says itself; 0 where it does not."""
    told = declared(clip.path) if clip.kind == "video" else None
    return (told.seconds, told.frames) if told else (0.0, 0)


def content_of(clip: Clip) -> list[Any]:
    """What tells a clip from others: some of its content, and which part of it is meant."""
    how = [clip.first, clip.last, clip.fps, clip.stream, clip.bits]
    if clip.kind == "images":
        stats = sorted((one.name, one.stat().st_size) for one in clip.path.iterdir())
        return [digest_of(stats), *how]
    size = clip.path.stat().st_size
    found = sha256(str(size).encode())
    with clip.path.open("rb") as file:
        for place in (0, size // 2, max(size - PIECE, 0)):
            file.seek(place)
            found.update(file.read(PIECE))
    return [found.hexdigest(), *how]


class Seen:
    """Passes pictures on, and remembers what is to be said of all of them."""

    def __init__(self, pictures: Iterator[Picture]) -> None:
        self._pictures = pictures
        self._count, self._first, self._last, self._size = 0, 0.0, 0.0, (0, 0)

    def __iter__(self) -> Iterator[Picture]:
        for picture in self._pictures:
            if not self._count:
                self._first, self._size = picture.time, picture.pixels.shape[1::-1]
            self._count, self._last = self._count + 1, picture.time
            yield picture

    def facts(self) -> About:
        """Number of frames, seconds from the first to behind the last, rate, and size."""
        between = self._last - self._first
        step = between / (self._count - 1) if self._count > 1 and between > 0 else 0.1
        width, height = self._size
        return {
            "frames": self._count,
            "seconds": self._count * step,
            "fps": 1 / step,
            "width": width,
            "height": height,
        }


def _write_part(parts: list[Looks], path: Path) -> None:
    with path.open("wb") as file:
        np.savez(file, allow_pickle=False, **Looks.joined(parts).arrays())


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
        looked (frames that the network saw).
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
            for path in sorted((folder / clip["look"]).glob("*.npz")):
                found = _members(path, "time", "looked")
                time = found["time"]
                first = time[0] if first is None else first
                shift = clip["offset"] - first
                about = {"path": path, "clip": clip["clip"], "stretch": clip["stretch"]}
                ends = {"begin": time[0] + shift, "end": time[-1] + shift, "shift": shift}
                rows.append({**about, **ends, "looked": len(found["looked"])})
        if not rows:
            raise SdorError(f"{folder}: what was looked at is gone; delete {table} and run again")
        return cls(clips, pd.DataFrame(rows))

    def piece(self, stretch: int, begin: float, end: float) -> Piece:
        """All rows from one second of a stretch to another, in whichever files they are."""
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
