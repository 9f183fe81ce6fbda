"""Cameras: the scenes in a folder of video as a recorder leaves it, without a scene file."""

import json
import os
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from sdor.errors import SdorError
from sdor.files import About
from sdor.progress import counted
from sdor.study.scenes import RESERVED_NAMES, Clip, Scene, find_scene
from sdor.study.sources import (
    VIDEO,
    Unreadable,
    distinct_names,
    find_sources,
    matching,
    names_from,
    natural_key,
    no_text,
    repeated,
    some_of,
)

SETTLED = 60.0  # seconds
WRITTEN = "still being written: left for the next run"
# What recorders file video under by its time, and no camera is called: 2026-11-26, 20261126AM,
# 2026/11/26, 2026-11/26, and hours in them.
DATES = re.compile(
    r"((19|20)\d\d([-_.]?)[01]\d\3[0-3]\d([AP]M|[0-2]\d)?|(19|20)\d\d[-/][01]\d(/[0-3]\d)?)/([0-2]\d/)*"
)
SCENE = """\
# {files} of video. What else can be said of a scene is in config/scenes/README.md. To use
# an entry that is switched off, take away its sign #.
description: {name}
root: {root}
clips:
  - video: {pattern}
# A file of which only a part is to be looked at, in frames of the file, has an entry of its own.
#  - {{video: {first}, first: 1, last: 1500}}

# Rectangles that nobody is to look at, as a clock in the picture or a tree; pixels of the source.
#masks:
#  - {{x: 0, y: 0, width: 320, height: 24}}
"""


class Left(NamedTuple):
    """What is not looked at, and why.

    Attributes
    ----------
    path : below the folder of all; empty of a line that is of several files.
    camera : whose it is; empty where no camera is known by it.
    """

    path: str
    reason: str
    camera: str = ""

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}" if self.path else self.reason


@dataclass(frozen=True)
class Cameras:
    """What a folder holds.

    Attributes
    ----------
    scenes : by their names, in natural order of their folders.
    left : what is not looked at.
    """

    scenes: dict[str, Scene]
    left: tuple[Left, ...] = ()


def find_cameras(
    folder: str | Path, *, settled: float = SETTLED, now: float | None = None, key: str = ""
) -> Cameras:
    """The cameras whose video lies in a folder; names and times are looked at, no contents.

    Video in the folder itself is one camera, called like it. Else each folder in it with video, at
    any depth, is one. Folders that are called like a date, and hours in them, are none: what lies
    in them counts as beside them. Hidden files and what systems leave in any folder are ignored,
    links are followed, and what is there twice is taken once.

    Parameters
    ----------
    settled : seconds for which a file has not changed where nobody writes it any more.
    now : seconds since 1970 of the time that this is told for, if not the present.
    key : of a config that names the folder, for messages; "" of one that was given as it is.

    Raises
    ------
    SdorError : there is no such folder, or no video in it that can be looked at.
    """
    root, left = Path(os.path.expanduser(folder)), dict[Path, str]()
    where = f"{key}: {folder}" if key else str(folder)

    def unreadable(path: Path, error: OSError) -> None:
        left[path] = f"cannot be read ({error.strerror})"

    if not root.is_dir():
        raise SdorError(f"{where}: no such folder; give one that holds video")
    files, others = matching(root, "**/*", "video", unreadable)
    others |= dict.fromkeys((one for one in files if not VIDEO.fullmatch(one.suffix)), "")
    of: dict[str, list[Path]] = {}
    for one in files:
        if one not in others:
            of.setdefault(_camera_of(one.relative_to(root)), []).append(one)
    if "" in of:
        beside = f"not looked at, as {some_of(of[''][:1], root)} makes the folder itself the camera"
        left |= {root / name: beside for name in of if name}
        of = {"": of[""]}
    files = [one for clips in of.values() for one in clips]
    left |= _unfinished(files, settled, time.time() if now is None else now, unreadable)
    left |= repeated(files, root)
    found = {
        name: kept for name, it in of.items() if (kept := [one for one in it if one not in left])
    }
    scenes = _scenes(root, found)
    called = dict(zip(found, scenes, strict=True))
    lines = [
        Left(some_of([one], root), left[one], called.get(_camera_of(one.relative_to(root)), ""))
        for one in sorted(left, key=lambda one: natural_key(str(one)))
    ]
    if others:
        several = f"passed over, as not called like video: {some_of(sorted(others), root)}"
        lines.append(Left("", several))
    if not found:
        said = "; ".join(map(str, lines[:3]))
        said += f"; {len(lines) - 3} more like these" * (len(lines) > 3)
        none = "no video"
        if writing := sum(reason == WRITTEN for reason in left.values()):
            wait = "may still be written: wait a minute, and run the same command again"
            none = f"{counted(writing, 'file')} {wait}; no other video"
        raise SdorError(f"{where}: {none} to look at, at any depth ({said or 'empty'})")
    return Cameras(scenes, tuple(lines))


def find_camera(name: str, config: About, now: float) -> Scene:
    """A camera of a config, as the rules of a run found it, for one of its jobs.

    Raises
    ------
    SdorError : it is not there any more.
    """
    [camera] = cameras_of([name], config, now)
    if not camera.clips:
        raise SdorError(f"videos: {config['videos']}: the camera {name} is gone from there")
    return camera


def cameras_of(names: Sequence[str], config: About, now: float) -> list[Scene]:
    """Cameras of a config, each with the clips that are still there, if any, and its scenes."""
    if not config.get("videos") or set(names) <= set(config.get("scenes", [])):
        return [find_scene(name, config["scene_folder"], config["data_root"]) for name in names]
    root = Path(os.path.expanduser(config["videos"]))
    found = find_cameras(root, now=now, key="videos").scenes
    return [found.get(name) or Scene(name=name, root=root, clips=()) for name in names]


def scene_file(folder: str | Path) -> str:
    """The text of a scene file for a folder of one camera.

    Raises
    ------
    SdorError : it holds several cameras, or none, or what is called like ground truth.
    """
    scenes = list(find_cameras(folder, settled=0).scenes.values())
    if len(scenes) > 1:
        names = ", ".join(scene.description for scene in scenes[:5])
        raise SdorError(
            f"{folder}: holds {len(scenes)} cameras ({names}); give that of one, or, where all are "
            'one, write a scene file with clips: [{video: "**/*"}]'
        )
    [scene] = scenes
    root = Path(os.path.abspath(scene.root))
    if words := no_text(str(root)):
        raise SdorError(f"{str(root)!a}: {words}; rename the folder")
    endings = {clip.path.suffix.lower() for clip in scene.clips}
    deep = any("/" in clip.source for clip in scene.clips)
    pattern = f"{'**/' * deep}*{endings.pop() if len(endings) == 1 else ''}"
    find_sources(root, pattern, "video", str(folder), benchmark=False)
    texts = {"name": scene.description, "root": str(root), "pattern": pattern}
    texts["first"] = scene.clips[0].source
    quoted = {key: json.dumps(text, ensure_ascii=False) for key, text in texts.items()}
    return SCENE.format(files=counted(len(scene.clips), "file"), **quoted)


def _camera_of(file: Path) -> str:
    """The folder that a camera's video lies in, of a path in it; "" for the folder of all."""
    name, below, _ = DATES.sub("", file.as_posix(), count=1).partition("/")
    return name if below else ""


def _unfinished(
    files: Iterable[Path], settled: float, now: float, unreadable: Unreadable
) -> dict[Path, str]:
    """Files that are not whole yet, or that nothing is in."""
    # A time that is still to come is of a clock that is ahead, and tells nothing.
    end, found = max(now, time.time()) + settled, {}
    for one in files:
        try:
            about = one.stat()
        except OSError as error:  # a recorder deletes what is old
            unreadable(one, error)
            continue
        if now - settled < about.st_mtime < end:
            found[one] = WRITTEN
        elif not about.st_size:
            found[one] = "an empty file"
    return found


def _scenes(root: Path, found: Mapping[str, Sequence[Path]]) -> dict[str, Scene]:
    """A scene of each camera's files."""
    titles = [name or Path(os.path.abspath(root)).name or "camera" for name in found]
    choices = []
    for title, name in zip(titles, found, strict=True):
        short, _, sure = names_from(title, name, "camera")
        free = f"camera_{short}" if short.casefold() in RESERVED_NAMES else short
        choices.append((free, free, sure))
    scenes = {}
    for title, name, own in zip(titles, distinct_names(choices), found, strict=True):
        files = found[own]
        # Below folders of dates, there is no folder that is the camera's alone.
        base = root / own if all(one.is_relative_to(root / own) for one in files) else root
        sources = [one.relative_to(base).as_posix() for one in files]
        # With its folders, so that a clip's name stays when a new day has a file of that name, too.
        names = [names_from(one.stem, it)[1:] for one, it in zip(files, sources, strict=True)]
        clips = tuple(
            Clip(name=clip, kind="video", path=path, source=source)
            for clip, path, source in zip(
                distinct_names([(long, long, sure) for long, sure in names]),
                files,
                sources,
                strict=True,
            )
        )
        scenes[name] = Scene(name=name, root=base, clips=clips, description=title)
    return scenes
