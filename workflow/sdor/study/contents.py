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
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import is_dataclass
from itertools import chain
from pathlib import Path

from sdor.errors import SdorError, say
from sdor.files import atomic, digest_of
from sdor.study.scenes import Clip, Scene
from sdor.study.sources import image_files, some_of

# A file that was written so shortly before it was read may be written again at the same time by
# its clock: such clocks tick every 2 s at most (FAT's).
TICK = 2_000_000_000  # ns
WORTH_SAYING = 1_000_000_000  # bytes that take long enough to wonder at
INTERVAL = 30.0  # seconds between two lines on the way, and between two times of remembering
PIECE = 1 << 20  # bytes
# Size, time of the last change of the contents (ns), of anything at all (ns), and inode. The second
# time is the system's own: a copy that keeps the first does not keep it.
Signature = tuple[int, int, int, int]
Known = dict[str, tuple[Signature, str]]  # path: signature and SHA-256 of the file


def fingerprints(
    scenes: Iterable[Scene], cache: Path
) -> tuple[dict[tuple[str, str], dict[str, object]], dict[str, list[dict[str, object] | None]]]:
    """What the frames of each clip (scene, clip) and the labels of each scene are made from.

    Parameters
    ----------
    cache : a JSON file that remembers what was read.

    Raises
    ------
    SdorError : a file or folder cannot be read.
    """
    scenes = list(scenes)
    sums = sha256_of(
        (path for one in scenes for clip in one.clips for path in _made_of(clip)), cache
    )
    return (
        {(one.name, clip.name): fingerprint(clip, sums) for one in scenes for clip in one.clips},
        {one.name: [ground_truth_fingerprint(clip, sums) for clip in one.clips] for one in scenes},
    )


def fingerprint(clip: Clip, sums: Mapping[Path, str]) -> dict[str, object]:
    """What a clip's frames are made from: the contents of its source (see `sha256_of`), the range.

    A data folder that is moved or copied gives the same fingerprint.
    """
    keys = ("kind", "source", "first", "last", "sequence", "stream", "bits", "rendered")
    about = {key: getattr(clip, key) for key in keys}
    # What the project renders itself follows from the settings of the demo.
    return about | {"sha256": None if clip.rendered else sums[clip.path]}


def ground_truth_fingerprint(clip: Clip, sums: Mapping[Path, str]) -> dict[str, object] | None:
    """What a clip's labels are made from, files and masks by their contents; None: no labels."""
    truth = clip.ground_truth
    return None if truth is None else {**_described(truth, sums), "rendered": clip.rendered}


def copies(scene: Scene, found: Mapping[tuple[str, str], Mapping[str, object]]) -> list[str]:
    """A line for clips of a scene that are copies of each other; `found` is of `fingerprints`."""
    same: dict[object, dict[Path, Clip]] = {}
    for clip in scene.clips:
        if clip.rendered is None:
            same.setdefault(found[scene.name, clip.name]["sha256"], {})[clip.path] = clip
    return [
        f"{some_of(list(clips), scene.root)} have the same contents, which count several times"
        for clips in same.values()
        if len(clips) > 1
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
    members = {one: image_files(one) if one.is_dir() else None for one in paths}
    files = chain.from_iterable(
        [one] if inside is None else inside for one, inside in members.items()
    )
    signatures = {str(file): _signature(file) for file in files}
    known = _remembered(cache)
    found = {
        name: sha for name, (signature, sha) in known.items() if signatures.get(name) == signature
    }
    if new := {name: one for name, one in signatures.items() if name not in found}:
        found |= _read(new, known, cache)
    return {
        one: found[str(one)]
        if inside is None
        else digest_of([[file.name, found[str(file)]] for file in inside])
        for one, inside in members.items()
    }


def _made_of(clip: Clip) -> list[Path]:
    """The files and folders of a clip and of its labels; none, where the project makes them."""
    if clip.rendered is not None:
        return []
    truth = clip.ground_truth
    records = [clip, *filter(None, [truth, truth and truth.labels])]
    return [it for record in records for it in vars(record).values() if isinstance(it, Path)]


def _described(record: object, sums: Mapping[Path, str]) -> dict[str, object]:
    """The fields of a frozen dataclass, with a file's contents for its path, or else its name."""
    fields: dict[str, object] = {"is": type(record).__name__}
    for key, value in vars(record).items():
        if isinstance(value, Path):
            fields[key] = sums.get(value, value.name)
        else:
            fields[key] = _described(value, sums) if is_dataclass(value) else value
    return fields


def _signature(file: Path) -> Signature:
    try:
        found = file.stat()
    except OSError as error:
        raise SdorError(f"{file}: cannot be read ({error.strerror})") from error
    if not stat.S_ISREG(found.st_mode):
        raise SdorError(f"{file}: is no file, though it is called like one; move or delete it")
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino


def _read(new: Mapping[str, Signature], known: Known, cache: Path) -> dict[str, str]:
    """SHA-256 of files by their paths; those that can be trusted are added to what is known."""
    found, done, last = {}, 0, time.monotonic()
    size = sum(signature[0] for signature in new.values())
    if size > WORTH_SAYING:
        say(f"reading {size / 1e9:.1f} GB of video once for its fingerprint")
    try:
        for name, signature in new.items():
            began, content = time.time_ns(), hashlib.sha256()
            try:
                with open(name, "rb") as file:
                    while piece := file.read(PIECE):
                        content.update(piece)
                        done += len(piece)
                        if time.monotonic() - last > INTERVAL:
                            last = time.monotonic()
                            say(f"{done / 1e9:.1f} of {size / 1e9:.1f} GB read")
                            _remember(known, cache)
            except OSError as error:
                raise SdorError(f"{name}: cannot be read ({error.strerror})") from error
            found[name] = content.hexdigest()
            known.pop(name, None)
            if all(abs(began - changed) > TICK for changed in signature[1:3]):
                known[name] = signature, found[name]
    finally:  # who stops it halfway has not waited for nothing
        _remember(known, cache)
    return found


def _remembered(cache: Path) -> Known:
    try:
        entries = json.loads(cache.read_bytes())
        return {name: (tuple(signature), str(sha)) for name, (signature, sha) in entries.items()}
    except (OSError, ValueError, TypeError, AttributeError, RecursionError):
        return {}


def _remember(known: Known, cache: Path) -> None:
    there = {name: entry for name, entry in known.items() if os.path.exists(name)}
    with suppress(SdorError, OSError), atomic(cache) as temporary:
        temporary.write_text(json.dumps(there))
