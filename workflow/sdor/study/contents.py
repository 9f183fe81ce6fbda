"""Contents: what video, images and labels are, whatever their names, places and times.

Every byte counts. A file is read once: its SHA-256 is remembered in the working directory, and the
file is read again only when its size, its times or its place on the disk tell that it may be
another one.
"""

import hashlib
import json
import os
import stat
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import is_dataclass
from itertools import chain, combinations
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
Frames = dict[tuple[str, str], dict[str, object]]  # of each clip (scene, clip)
Labels = dict[str, list[dict[str, object] | None]]  # of each scene, its clips'; None: no labels


def fingerprints(scenes: Iterable[Scene], cache: Path) -> tuple[Frames, Labels]:
    """What the frames of each clip and the labels of each scene are made from, by contents.

    A data folder that is moved or copied gives the same.

    Parameters
    ----------
    cache : a JSON file that remembers what was read.

    Raises
    ------
    SdorError : a file or folder cannot be read.
    """
    clips = [(scene.name, clip) for scene in scenes for clip in scene.clips]
    # What the project renders itself follows from the settings of the demo.
    sums = sha256_of((one for _, clip in clips if not clip.rendered for one in _paths(clip)), cache)
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
    """A line for each two clips with the same frames, of one file or of two with one content."""
    groups: dict[object, list[Clip]] = {}
    for clip in scene.clips:
        contents = found[scene.name, clip.name]["sha256"] or clip.name
        groups.setdefault((contents, clip.stream, clip.sequence), []).append(clip)
    return [
        f"{one.name} and {other.name} have frames in common, which count twice ({one.source}, "
        f"{other.source})"
        for same in groups.values()
        for one, other in combinations(same, 2)
        if max(one.first, other.first) <= min(one.last or inf, other.last or inf)
    ]


def sha256_of(paths: Iterable[Path], cache: Path) -> dict[Path, str]:
    """SHA-256 of files; of a folder, a digest of the names and contents of its images.

    Parameters
    ----------
    cache : a JSON file that remembers what was read. One that is damaged or cannot be written is
        done without; what is not there any more is forgotten.

    Raises
    ------
    SdorError : a file or folder cannot be read.
    """
    members = {one: image_files(one) if one.is_dir() else [one] for one in paths}
    known: dict[str, str] = {}  # path: signature and SHA-256 of the file
    with suppress(OSError, ValueError, TypeError, RecursionError):
        known = dict(json.loads(cache.read_bytes()))
    found: dict[Path, str] = {}
    new: dict[Path, os.stat_result] = {}
    try:
        for file in chain.from_iterable(members.values()):
            about = file.stat()
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
            with open(file, "rb") as content:
                found[file] = hashlib.file_digest(content, "sha256").hexdigest()
            known.pop(str(file), None)
            if all(abs(began - one) > TICK for one in (about.st_mtime_ns, about.st_ctime_ns)):
                known[str(file)] = f"{_signature(about)} {found[file]}"
    except OSError as error:
        raise SdorError(f"{file}: cannot be read ({error.strerror})") from error
    finally:  # who stops it halfway has not waited for nothing
        if new:
            there = {name: entry for name, entry in known.items() if os.path.exists(name)}
            with suppress(SdorError, OSError), atomic(cache) as temporary:
                temporary.write_text(json.dumps(there))
    return {
        one: found.get(one) or digest_of([[file.name, found[file]] for file in inside])
        for one, inside in members.items()
    }


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
    """Size, time of the last change of the contents, of anything at all, and inode.

    The second time is the system's own: a copy that keeps the first does not keep it.
    """
    return f"{about.st_size} {about.st_mtime_ns} {about.st_ctime_ns} {about.st_ino}"
