"""Sources: the video files and folders of images that a pattern stands for, and clips' names."""

import os
import re
import stat
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal

from PIL import Image

from sdor.errors import SdorError
from sdor.files import digest

Kind = Literal["video", "images"]
IMAGE_SUFFIXES = frozenset({".tif", ".tiff", ".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp"})
PICTURE_SUFFIXES = IMAGE_SUFFIXES | {".jp2", ".pgm", ".ppm", ".pnm", ".heic"}
# What a pattern without an ending of its own, as entrance.*, takes for video: beside it lie tables
# of labels, and ffmpeg would draw the text of a .txt.
VIDEO_SUFFIXES = frozenset(
    f".{ending}"
    for ending in re.findall(
        r"\w+",
        """
        264 265 3g2 3gp amv asf avc avi dav divx dv f4v flv gif h264 h265 hevc ivf m1v m2t m2ts
        m2v m4v mjpeg mjpg mkv mov mp4 mpe mpeg mpg mpv mts mxf nut ogm ogv qt rm rmvb ts vob webm
        wmv y4m
        """,
    )
)
# What systems leave in any folder, beside AppleDouble files (._name).
LEFTOVERS = frozenset(
    (
        *("Thumbs.db", "desktop.ini", ".DS_Store", "__MACOSX", "@eaDir", "#recycle", "lost+found"),
        *("$RECYCLE.BIN", "System Volume Information"),
    )
)
GROUND_TRUTH = re.compile(
    r"(?<![a-z])(gt[0-9]*|(masks?|labels?|annotations?|ground[ _.-]?truth)[ _.-]?[0-9]*)$", re.I
)
NO_TEXT = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")  # \ud800...: bytes that are no UTF-8
MAGIC = re.compile(r"[*?[]")
SAFE_NAME = re.compile(r"[A-Za-z0-9_-]+")
LONGEST_NAME = 100  # characters: files of a clip have longer names
# What Snakemake takes for a wildcard that grows without end, and refuses (PeriodicityDetector).
PERIODIC = re.compile(r"(.+)\1{19}$")
SHOWN = 5  # names of a list in a message


@dataclass(frozen=True)
class Found:
    """What an entry stands for.

    Attributes
    ----------
    sources : files or folders in natural order.
    passed_over : what the pattern might mean and that is no source, each with the reason.
    """

    sources: tuple[Path, ...]
    passed_over: dict[Path, str] = field(default_factory=dict)


def natural_key(name: str) -> tuple[list[str | int], str]:
    """Sort key that puts numbers in names into their order: Test2 comes before Test10."""
    parts = re.split(r"([0-9]+)", name)  # text, number, text, ...
    return [int(part) if place % 2 else part.casefold() for place, part in enumerate(parts)], name


def image_files(folder: Path) -> list[Path]:
    """The images of a folder in natural order; hidden files (`._001.tif`) and others are left out.

    Raises
    ------
    SdorError : the folder is missing or has no image, two images have one name (001.tif, 1.jpg), or
        the name of one is no text.
    """
    try:
        with os.scandir(folder) as entries:
            names = [one.name for one in entries if _is_picture(one.name) and not one.is_dir()]
    except OSError as error:
        raise SdorError(f"{folder}: cannot be read ({error.strerror})") from error
    if not names:
        raise SdorError(f"{folder}: no images (TIFF, JPEG, PNG, BMP, GIF or WebP) in this folder")
    files = [folder / name for name in sorted(names, key=natural_key)]
    stems: dict[object, Path] = {}
    for file in files:
        if re.search(r"[\ud800-\udfff]", file.name):
            raise SdorError(f"{folder}: {file.name!a} is no UTF-8 text; rename the file")
        # 1.png and 01.png have the same number.
        other = stems.setdefault(tuple(natural_key(file.stem)[0]), file)
        if other is not file:
            raise SdorError(
                f"{folder}: {other.name} and {file.name} would be the same frame; keep one of them"
            )
    return files


def find_sources(root: Path, given: str, kind: Kind, where: str, *, benchmark: bool) -> Found:
    """The files (of video) or folders (of images) that a name or a pattern stands for.

    The ending of a file matches in any case; hidden files are left out unless the pattern begins
    with a dot; links are followed, and what is there twice is found once, under its own path rather
    than a link's.

    Parameters
    ----------
    given : path relative to `root`, or a pattern: *, ?, [...] in a name, ** for any folders.
    where : file and key, for messages.
    benchmark : what cannot be read is refused, not passed over.

    Raises
    ------
    SdorError : what is named, or all that a pattern matches, is of another kind or cannot be read;
        a pattern matches what is called like ground truth.
    """
    path = root / given
    try:
        path.lstat()
        named = True
    except (FileNotFoundError, NotADirectoryError):
        named = False
    except OSError as error:
        raise SdorError(f"{where}: {path}: cannot be read ({error.strerror})") from error
    if named:
        if fault := _unreadable(path) or _other_kind(path, kind, given):
            raise SdorError(f"{where}: {_shown(given)}: {fault}{_advice([path], kind, given)}")
        return Found((path,))
    unreadable: dict[Path, str] = {}
    passed_over: dict[Path, str] = {}
    sources: list[Path] = []
    parts = Path(given).parts + (("*",) if kind == "video" and given.endswith("**") else ())
    for match in dict.fromkeys(_matches(root, parts, unreadable)):
        name, last = match.name, parts[-1]
        if last == "**":
            if _has_pictures(match):
                sources.append(match)
        elif not _is_called(name, last):
            if _is_nearly_called(match, last, kind):
                passed_over[match] = f"not called like {last}"
        elif name.startswith(".") and not last.startswith("."):
            if Path(name).suffix.lower() in VIDEO_SUFFIXES:
                passed_over[match] = "hidden"
        elif fault := _unreadable(match):
            unreadable[match] = fault
        elif fault := _other_kind(match, kind, last):
            # ** has looked into folders, but one that is called like a video was meant for one.
            if "**" not in parts or not match.is_dir() or match.suffix.lower() in VIDEO_SUFFIXES:
                passed_over[match] = fault
        elif kind == "images" and not _has_pictures(match):
            unreadable[match] = "no images in this folder"
        else:
            sources.append(match)
    relative = {one: one.relative_to(root) for one in [*sources, *unreadable]}
    if benchmark and unreadable:
        one, fault = next(iter(unreadable.items()))
        raise SdorError(
            f"{where}: {given} matches {_shown(relative[one])}: {fault}; mend it, or write a "
            "pattern that leaves it out"
        )
    fixed = next((place for place, part in enumerate(parts) if MAGIC.search(part)), len(parts))
    truths = [one for one in sources if _is_called_like_truth(relative[one], kind, fixed)]
    if truths:
        others = some_of([one for one in sources if one not in truths], root) or "nothing else"
        raise SdorError(
            f"{where}: {given} matches {some_of(truths, root)}, called like ground truth, beside "
            f"{others}; write a pattern that leaves it out"
            f"{f', as {given}[0-9]' * given.endswith('*')}, or list each by its name"
        )
    kept, twice = _once(sources, root)
    passed_over |= unreadable | twice
    if not kept and passed_over:
        few = list(passed_over)[:SHOWN]
        reasons = ", ".join(f"{_shown(one.relative_to(root))}: {passed_over[one]}" for one in few)
        raise SdorError(
            f"{where}: {given} matches nothing of use under {root} ({reasons})"
            f"{_advice(few, kind, given)}"
        )
    return Found(tuple(kept), passed_over)


def listed(passed_over: dict[Path, str], root: Path) -> list[str]:
    """What was passed over, a line each."""
    return [f"{_shown(one.relative_to(root))}: {why}" for one, why in passed_over.items()]


def some_of(paths: Sequence[Path], root: Path) -> str:
    """The first of some paths, for a message."""
    names = [_shown(one.relative_to(root)) for one in paths[:SHOWN]]
    more = len(paths) - len(names)
    return ", ".join(names) + (f" and {more} more" if more else "")


def identity(path: Path) -> tuple[object, ...]:
    """Equal for two paths of one file or folder (with size and time: not all inodes are unique)."""
    try:
        about = path.stat()
    except OSError:
        return (path,)
    return about.st_dev, about.st_ino, about.st_size, about.st_mtime_ns


def is_usable_name(name: str) -> bool:
    """Whether a scene or clip can be called so: as a file, as a wildcard, and in a table."""
    return bool(
        SAFE_NAME.fullmatch(name)
        and re.search(r"[A-Za-z0-9]", name)
        and len(name) <= LONGEST_NAME
        and not PERIODIC.search(name)
    )


def names_from(stem: str, source: str) -> tuple[str, ...]:
    """Names for a clip, the better first: of its file, with folders, with ending, with a digest.

    Signs that are not letters, digits, _ or - become one _.
    """
    path = (Path(source).parent / stem).as_posix()
    safe = [re.sub(r"[^A-Za-z0-9_-]+", "_", one) for one in (stem, path, source)]
    base = safe[0][:80] if re.search(r"[A-Za-z0-9]", safe[0]) else "clip"
    return (*safe, f"{base}_{digest(os.fsencode(source))[:10]}")


def distinct_names(choices: Sequence[Sequence[str]]) -> list[str]:
    """The first usable one of each clip's names that no other has, in whatever order they come.

    All that share a name take their next one, since some file systems do not tell Clip1 from clip1
    also those that differ in case only. Where nothing is left to take, they keep the last.
    """
    place = [0] * len(choices)
    while True:
        names = [names[at] for names, at in zip(choices, place, strict=True)]
        counts = Counter(name.casefold() for name in names)
        unfit = [
            number
            for number, name in enumerate(names)
            if (counts[name.casefold()] > 1 or not is_usable_name(name))
            and place[number] + 1 < len(choices[number])
        ]
        if not unfit:
            return names
        for number in unfit:
            place[number] += 1


def _matches(folder: Path, parts: Sequence[str], unreadable: dict[Path, str]) -> Iterator[Path]:
    """All that lies where the last part of a pattern looks, whatever it is called."""
    part, *rest = parts
    if part == "**":
        for below in _folders(folder, unreadable):
            if rest:
                yield from _matches(below, rest, unreadable)
            else:
                yield below
    elif not rest:
        yield from _inside(folder, unreadable)
    elif not MAGIC.search(part):
        yield from _matches(folder / part, rest, unreadable)
    else:
        for one in _inside(folder, unreadable):
            if fnmatchcase(one.name, part) and _is_open(one, part, unreadable):
                yield from _matches(one, rest, unreadable)


def _folders(folder: Path, unreadable: dict[Path, str]) -> Iterator[Path]:
    """A folder and all below it, each once; what can be reached without a link, without it."""
    seen: set[tuple[object, ...]] = set()
    own, linked = deque([folder]), deque[Path]()
    while own or linked:
        one = (own or linked).popleft()
        if (which := identity(one)) in seen:
            continue
        seen.add(which)
        yield one
        for below in _inside(one, unreadable):
            if _is_open(below, "**", unreadable):
                (linked if below.is_symlink() else own).append(below)


def _inside(folder: Path, unreadable: dict[Path, str]) -> list[Path]:
    try:
        names = os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        unreadable[folder] = f"cannot be read ({error.strerror})"
        return []
    kept = [name for name in names if name not in LEFTOVERS and not name.startswith("._")]
    return [folder / name for name in sorted(kept, key=natural_key)]


def _is_open(path: Path, part: str, unreadable: dict[Path, str]) -> bool:
    """Whether it is a folder that a part of a pattern leads into."""
    if not os.path.isdir(path) or (path.name.startswith(".") and not part.startswith(".")):
        return False
    if NO_TEXT.search(path.name):
        unreadable[path] = "its name is no UTF-8 text"
    return path not in unreadable


def _is_called(name: str, part: str) -> bool:
    """Whether a part of a pattern matches a name, with the ending in any case."""
    if fnmatchcase(name, part):
        return True
    (stem, dot, ending), (wanted, dotted, endings) = name.rpartition("."), part.rpartition(".")
    same = fnmatchcase(ending.lower(), endings.lower())
    return bool(dot and dotted and same and fnmatchcase(stem, wanted))


def _is_nearly_called(path: Path, part: str, kind: Kind) -> bool:
    """Whether a file is called like a pattern but for its ending, or for the case."""
    name, wanted = path.name.lower(), part.lower()
    if name.startswith("."):
        return False
    if kind == "images":
        return fnmatchcase(name, wanted) and os.path.isdir(path)
    stem, wanted = Path(name).stem, wanted.rpartition(".")[0] or wanted
    return (
        fnmatchcase(stem, wanted) and Path(name).suffix in VIDEO_SUFFIXES and os.path.isfile(path)
    )


def _unreadable(path: Path) -> str:
    """Why a file or folder cannot be read; empty where it can be."""
    if NO_TEXT.search(path.name):
        return "its name is no UTF-8 text"
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            os.scandir(path).close()
    except OSError as error:
        broken = os.path.islink(path) and not os.path.exists(path)
        return "a broken link" if broken else f"cannot be read ({error.strerror})"
    return "" if os.access(path, os.R_OK) else "cannot be read (Permission denied)"


def _other_kind(path: Path, kind: Kind, given: str) -> str:
    """What else a file or folder is, or is called; empty where it is of the kind."""
    suffix = path.suffix.lower()
    if path.is_dir():
        return "a folder, not a video" * (kind == "video")
    if not path.is_file():
        return "neither a file nor a folder"
    if kind == "images":
        return "a file, not a folder of images"
    if suffix in PICTURE_SUFFIXES and not _is_animated(path):
        return "an image, not a video"
    asked = given.rpartition(".")[2].lower()
    if suffix and suffix not in VIDEO_SUFFIXES and MAGIC.search(asked):
        return "not called like a video"
    return ""


def _is_animated(path: Path) -> bool:
    """Whether it is a GIF with several pictures: ffmpeg reads these as video, with their times."""
    if path.suffix.lower() != ".gif":
        return False
    try:
        with Image.open(path) as image:
            return getattr(image, "n_frames", 1) > 1
    except (OSError, ValueError, SyntaxError):
        return True  # the reader says what is wrong with it


def _advice(wrong: Sequence[Path], kind: Kind, given: str) -> str:
    """How what was given as another kind is written."""
    if kind == "video" and all(map(os.path.isdir, wrong)):
        return f"; write images: {given}, or video: {given}/* for the videos in it"
    if all(os.path.isfile(one) and one.suffix.lower() in PICTURE_SUFFIXES for one in wrong):
        folder = Path(given).parent.as_posix()
        return f"; a clip of images is their folder: write images: {folder}"
    if kind == "images" and all(one.suffix.lower() in VIDEO_SUFFIXES for one in wrong):
        return f"; for video files write video: {given}"
    return ""


def _is_called_like_truth(relative: Path, kind: Kind, fixed: int) -> bool:
    """Whether a part of a path that a pattern matched (all after the first `fixed`) says so."""
    parts = (relative.with_suffix("") if kind == "video" else relative).parts[fixed:]
    return any(GROUND_TRUTH.search(part) for part in parts)


def _once(sources: Sequence[Path], root: Path) -> tuple[list[Path], dict[Path, str]]:
    """Sources in natural order, each real file once, and those that are left out for it."""
    ordered = sorted(sources, key=lambda one: natural_key(one.relative_to(root).as_posix()))
    groups: dict[tuple[object, ...], list[Path]] = {}
    for one in ordered:
        groups.setdefault(identity(one), []).append(one)
    real = os.path.realpath(root)
    twice: dict[Path, str] = {}
    for group in groups.values():
        if len(group) > 1:
            # min takes the first of equals.
            own = min(
                group,
                key=lambda one: os.path.realpath(one) != os.path.join(real, one.relative_to(root)),
            )
            same = f"the same {'folder' if own.is_dir() else 'file'} as {own.relative_to(root)}"
            twice |= {one: same for one in group if one is not own}
    return [one for one in ordered if one not in twice], twice


def _is_picture(name: str) -> bool:
    return not name.startswith(".") and Path(name).suffix.lower() in IMAGE_SUFFIXES


def _has_pictures(folder: Path) -> bool:
    try:
        with os.scandir(folder) as entries:
            return any(_is_picture(one.name) for one in entries)
    except OSError:
        return False


def _shown(path: str | Path) -> str:
    """A path in a message: as it is, or where it is no text, with the signs escaped."""
    text = str(path)
    return ascii(text) if NO_TEXT.search(text) else text
