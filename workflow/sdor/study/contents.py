"""Contents: what video, images and labels are, whatever their names, places and times.

Every byte counts. A file is read once: its SHA-256 is remembered in the working directory, and the
file is read again only when its size or its times tell that it may be another one.
"""

import hashlib
import json
import os
import stat
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Set
from contextlib import suppress
from dataclasses import is_dataclass
from itertools import chain
from math import inf
from pathlib import Path

from sdor.errors import SdorError, say
from sdor.files import atomic, digest_of
from sdor.study.scenes import Clip, Scene
from sdor.study.sources import image_files

# A file that was written so shortly before it was read may be written again at the same time by
# its clock: such clocks tick every 2 s at most (FAT's).
TICK = 2_000_000_000  # ns
WORTH_SAYING = 1_000_000_000  # bytes that take long enough to wonder at
REMEMBERED_EVERY = 4_000_000_000  # bytes that are read
UNREADABLE = "unreadable"  # instead of a digest
Frames = dict[tuple[str, str], dict[str, object]]  # of each clip (scene, clip)
Labels = dict[str, list[dict[str, object] | None]]  # of each scene, its clips'; None: no labels


def fingerprints(scenes: Collection[Scene], cache: Path) -> tuple[Frames, Labels]:
    """What the frames of each clip and the labels of each scene are made from, by contents.

    A data folder that is moved or copied gives the same. What cannot be read is refused in a scene
    with ground truth, and is "unreadable" in others, where it is for the readers to judge.

    Parameters
    ----------
    cache : a JSON file that remembers what was read.

    Raises
    ------
    SdorError : a file or folder of a scene with ground truth cannot be read.
    """
    clips = [(scene.name, clip) for scene in scenes for clip in scene.clips]
    benchmarks = [scene for scene in scenes if scene.has_ground_truth]
    strict = {path for scene in benchmarks for clip in scene.clips for path in _paths(clip)}
    # What the project renders itself follows from the settings of the demo.
    paths = dict.fromkeys(
        path for _, clip in clips if not clip.rendered for path in _paths(clip)
    ).keys()
    sums = sha256_of(paths, cache, doubtful=paths - strict)
    keys = ("kind", "source", "first", "last", "sequence", "stream", "bits", "rendered")
    frames: Frames = {}
    labels: Labels = {}
    for scene, clip in clips:
        about = {key: getattr(clip, key) for key in keys}
        frames[scene, clip.name] = {**about, "sha256": sums.get(clip.path)}
        truth = clip.ground_truth
        known = {**_described(truth, sums), "rendered": clip.rendered} if truth else None
        labels.setdefault(scene, []).append(known)
    return frames, labels


def copies(scene: Scene, found: Frames) -> list[str]:
    """A line for clips that have frames in common, of one file or of several with one content."""
    groups: dict[object, list[Clip]] = {}
    for clip in scene.clips:
        contents = found[scene.name, clip.name]["sha256"] or clip.name
        if contents != UNREADABLE:
            groups.setdefault((contents, clip.stream, clip.sequence), []).append(clip)
    overlapping: list[list[str]] = []
    for same in groups.values():
        end: float = 0
        for clip in sorted(same, key=lambda one: one.first):
            if clip.first > end:
                overlapping.append([])
            overlapping[-1].append(clip.name)
            end = max(end, clip.last or inf)
    return [
        f"{f'{one}, {names[0]} and {len(more):,} more' if more else f'{one} and {names[0]}'} have "
        "frames in common, which count more than once"
        for one, *names in overlapping
        if names
        for more in [names[1:]]
    ]


def sha256_of(
    paths: Iterable[Path], cache: Path, *, doubtful: Set[Path] = frozenset()
) -> dict[Path, str]:
    """SHA-256 of files; of a folder, a digest of the names and contents of its images.

    Parameters
    ----------
    cache : a JSON file that remembers what was read. One that is damaged or cannot be written is
        done without; what is not there any more is forgotten.
    doubtful : those of which what cannot be read has the digest "unreadable".

    Raises
    ------
    SdorError : another file or folder cannot be read.
    """
    found: dict[Path, str] = {}
    members: dict[Path, list[Path]] = {}
    for one in paths:
        try:
            members[one] = image_files(one) if os.path.isdir(one) else [one]
        except SdorError:
            if one not in doubtful:
                raise
            members[one], found[one] = [], UNREADABLE
    passable = {file for one in doubtful for file in members[one]}

    def miss(file: Path, error: OSError) -> None:
        if file not in passable:
            raise SdorError(f"{file}: cannot be read ({error.strerror})") from error
        found[file] = UNREADABLE

    known: dict[str, str] = {}  # path: signature and SHA-256 of the file
    with suppress(OSError, ValueError, TypeError, RecursionError):
        known = dict(json.loads(cache.read_bytes()))
    new: dict[Path, os.stat_result] = {}
    unsaved = 0  # bytes
    try:
        for file in chain.from_iterable(members.values()):
            try:
                about = file.stat()
            except OSError as error:
                miss(file, error)
                continue
            if not stat.S_ISREG(about.st_mode):
                raise SdorError(f"{file}: is no file; move or delete it")
            signature, _, sha256 = str(known.get(str(file))).rpartition(" ")
            if signature == _signature(about):
                found[file] = sha256
            else:
                new[file] = about
        if (size := sum(about.st_size for about in new.values())) > WORTH_SAYING:
            say(f"reading {size / 1e9:.1f} GB of video once for its fingerprint")
        for file, about in new.items():
            began = time.time_ns()
            try:
                with open(file, "rb") as content:
                    found[file] = hashlib.file_digest(content, "sha256").hexdigest()
            except OSError as error:
                miss(file, error)
                continue
            known.pop(str(file), None)
            if all(abs(began - one) > TICK for one in (about.st_mtime_ns, about.st_ctime_ns)):
                known[str(file)] = f"{_signature(about)} {found[file]}"
            unsaved += about.st_size
            if unsaved >= REMEMBERED_EVERY:
                _remember(known, cache)
                unsaved = 0
    finally:  # who stops it halfway has not waited for nothing
        if new:
            _remember(known, cache)
    return {
        one: found.get(one) or digest_of([[file.name, found[file]] for file in inside])
        for one, inside in members.items()
    }


def _remember(known: Mapping[str, str], cache: Path) -> None:
    """Write the memory, less what is not there any more."""
    there = {name: entry for name, entry in known.items() if os.path.exists(name)}
    with suppress(SdorError, OSError), atomic(cache) as temporary:
        temporary.write_text(json.dumps(there))


def _paths(record: object) -> Iterator[Path]:
    """The files and folders of a clip and of its labels."""
    for value in vars(record).values():
        if isinstance(value, Path):
            yield value
        elif is_dataclass(value):
            yield from _paths(value)


def _described(record: object, sums: Mapping[Path, str]) -> dict[str, object]:
    """The fields of a frozen dataclass, with a file's contents for its path, or else its name."""
    fields: dict[str, object] = {"is": type(record).__name__}
    for key, value in vars(record).items():
        if isinstance(value, Path):
            fields[key] = sums.get(value, value.name)
        else:
            fields[key] = _described(value, sums) if is_dataclass(value) else value
    return fields


def _signature(about: os.stat_result) -> str:
    """Size, time of the last change of the contents, and of anything at all.

    The second time is the system's own: a copy that keeps the first does not keep it. There is no
    inode, as network file systems may give a file another one at each mount.
    """
    return f"{about.st_size} {about.st_mtime_ns} {about.st_ctime_ns}"
