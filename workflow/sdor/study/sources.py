"""Sources: the video files and folders of images that a pattern stands for, and clips' names."""

import errno
import os
import re
import stat
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal

from sdor.errors import SdorError
from sdor.files import digest

Kind = Literal["video", "images"]
Unreadable = Callable[[Path, OSError], None]  # is told what cannot be read, and why
IMAGE = re.compile(r"(?![.]).*[.](tiff?|jpe?g|png|bmp|gif|webp)", re.I | re.S)
PICTURE = re.compile("[.](tiff?|jpe?g|png|bmp|gif|webp|jp2|p[gnp]m|heic)", re.I)
# What a pattern without an ending of its own, as entrance.*, takes for video: beside it lie tables
# of labels, and ffmpeg would draw the text of a .txt.
VIDEO = re.compile(
    "[.](264|265|3g2|3gp|amv|asf|avc|avi|dav|divx|dv|f4v|flv|h264|h265|hevc|ivf|m1v|m2t|m2ts|m2v|m4v"
    "|mjpeg|mjpg|mkv|mov|mp4|mpe|mpeg|mpg|mpv|mts|mxf|nut|ogm|ogv|qt|rm|rmvb|ts|vob|webm|wmv|y4m)",
    re.I,
)
# What systems leave in any folder.
LEFTOVERS = re.compile(
    r"[.]_|(Thumbs[.]db|desktop[.]ini|[.]DS_Store|__MACOSX|@eaDir|#recycle|lost[+]found"
    r"|[$]RECYCLE[.]BIN|System Volume Information)$"
)
GROUND_TRUTH = re.compile(
    r"(?<![a-z])(gt[0-9]*|(masks?|labels?|annotations?|ground[ _.-]?truth)[ _.-]?[0-9]*)$", re.I
)
NO_TEXT = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")  # \ud800...: bytes that are no UTF-8
NO_UTF8 = re.compile(r"[\ud800-\udfff]")
MAGIC = re.compile(r"[*?[]")
# At most 100 signs, as files of a clip have longer names, and no end that Snakemake takes for a
# wildcard that grows for ever (PeriodicityDetector).
USABLE = re.compile(r"(?=.*[A-Za-z0-9])(?!.*(.+)\1{19}$)[A-Za-z0-9_-]{1,100}")
SHOWN = 5  # names of a list in a message


def no_text(name: str) -> str:
    """Why a name cannot be written down as a line of text; empty where it can."""
    if NO_UTF8.search(name):
        return "is no UTF-8 text"
    return "has control characters in it" if NO_TEXT.search(name) else ""


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
        names = _images(folder)
    except OSError as error:
        raise SdorError(f"{folder}: cannot be read ({error.strerror})") from error
    if not names:
        raise SdorError(f"{folder}: no images (TIFF, JPEG, PNG, BMP, GIF or WebP) in this folder")
    stems: dict[object, str] = {}
    for name in sorted(names, key=natural_key):
        if NO_UTF8.search(name):
            raise SdorError(f"{folder}: {name!a} is no UTF-8 text; rename the file")
        # 1.png and 01.png have the same number.
        if (other := stems.setdefault(tuple(natural_key(Path(name).stem)[0]), name)) != name:
            raise SdorError(f"{folder}: {other} and {name} would be the same frame; keep one")
    return [folder / name for name in stems.values()]


def find_sources(
    root: Path, given: str, kind: Kind, where: str, *, benchmark: bool
) -> tuple[list[Path], dict[Path, str]]:
    """The sources that a name or a pattern stands for, and its other matches, with the reasons.

    Sources are files (of video) or folders (of images), in natural order. Endings match in any
    case; hidden files are left out unless the pattern begins with a dot; links are followed, and
    what is there twice is found once, under its own path rather than a link's.

    Parameters
    ----------
    given : path relative to `root`, or a pattern: *, ?, [...] in a name, ** for any folders.
    where : file and entry, for messages.
    benchmark : what cannot be read is refused, not passed over.

    Raises
    ------
    SdorError : all that is found is of another kind or cannot be read; a pattern matches what is
        called like ground truth.
    """
    where, passed_over = f"{where}.{kind}: {given}", dict[Path, str]()

    def unreadable(path: Path, error: OSError) -> None:
        passed_over[path] = f"cannot be read ({error.strerror})"
        if benchmark:
            raise SdorError(
                f"{where} matches {some_of([path], root)}: {passed_over[path]}; mend it, "
                "or write a pattern that leaves it out"
            )

    sources, others = matching(root, given, kind, unreadable)
    passed_over |= others
    magic = next((at for at, one in enumerate(Path(given).parts) if MAGIC.search(one)), 0)
    if truths := [
        one
        for one in ([] if os.path.lexists(root / given) else sources)
        if any(map(GROUND_TRUTH.search, (*one.relative_to(root).parts[magic:], one.stem)))
    ]:
        raise SdorError(
            f"{where} matches {some_of(sources, root)}, of which {some_of(truths, root)} is called "
            "like ground truth; write a pattern that leaves it out, as Test*[0-9], or list each"
        )
    passed_over |= repeated(sources, root)
    kept = [one for one in sources if one not in passed_over]
    if passed_over and not kept:
        few = list(passed_over)[:SHOWN]
        reasons = ", ".join(f"{some_of([one], root)}: {passed_over[one]}" for one in few)
        raise SdorError(
            f"{where} matches nothing of use under {root} ({reasons}); video takes files, "
            "or folder/* for those of a folder, and images takes folders, not the names in them"
        )
    return kept, passed_over


def matching(
    root: Path, given: str, kind: Kind, unreadable: Unreadable
) -> tuple[list[Path], dict[Path, str]]:
    """What a name or a pattern stands for, in natural order, and its matches of another kind."""
    parts = Path(given).parts or (".",)
    parts += ("*",) * (kind == "video" and parts[-1] == "**")
    fixed = next((at for at, part in enumerate(parts[:-1]) if MAGIC.search(part)), len(parts) - 1)
    found: Iterable[Path] = [root / given]
    if not (named := os.path.lexists(root / given)):
        found = _matches(root.joinpath(*parts[:fixed]), parts[fixed:], unreadable)
    sources, others = [], {}
    for one in dict.fromkeys(found):
        try:
            if "**" in parts and one.is_dir() and not (kind == "images" and _images(one)):
                continue  # ** has looked into it
            if other := _other_kind(one, root, kind, "" if named else parts[-1]):
                others[one] = other
            else:
                sources.append(one)
        except OSError as error:
            unreadable(one, error)
    return sorted(sources, key=lambda one: natural_key(one.relative_to(root).as_posix())), others


def repeated(sources: Sequence[Path], root: Path) -> dict[Path, str]:
    """The sources that are there under another path, too; what needs no link is not one of them."""
    real, own, found = os.path.realpath(root), dict[object, Path](), {}
    for one in sorted(
        sources, key=lambda one: os.path.realpath(one) != os.path.join(real, one.relative_to(root))
    ):
        if own.setdefault(identity(one), one) != one:
            found[one] = f"the same as {own[identity(one)].relative_to(root)}"
    return found


def some_of(paths: Sequence[Path], root: Path) -> str:
    """The first of some paths, for a message; one that is no text with its signs escaped."""
    texts = [str(one.relative_to(root)) for one in paths]
    names = [ascii(text) if NO_TEXT.search(text) else text for text in texts[:SHOWN]]
    return ", ".join(names) + f" and {len(texts) - SHOWN} more" * (len(texts) > SHOWN)


def identity(path: Path) -> tuple[object, ...]:
    """Equal for two paths of one file or folder (with size and time: not all inodes are unique)."""
    try:
        about = path.stat()
    except OSError:
        return (path,)
    return about.st_dev, about.st_ino, about.st_size, about.st_mtime_ns


def is_usable_name(name: str) -> bool:
    """Whether a scene or clip can be called so: as a file, as a wildcard, and in a table."""
    return bool(USABLE.fullmatch(name))


def names_from(stem: str, source: str, what: str = "clip") -> tuple[str, str, str]:
    """Names for a clip, the better first: of its file, with its folders, with digits of its path.

    Signs that are not letters, digits, _ or - become one _; one of nothing else is called `what`.
    """
    path = (Path(source).parent / stem).as_posix()
    short, long = (re.sub(r"[^A-Za-z0-9_-]+", "_", one) for one in (stem, path))
    base = short[:80] if re.search(r"[A-Za-z0-9]", short) else what
    return short, long, f"{base}_{digest(os.fsencode(source))[:10]}"


def distinct_names(choices: Sequence[tuple[str, str, str]]) -> list[str]:
    """The first usable one of each clip's names that no other has, in whatever order they come.

    All that share a name take their next one, since some file systems do not tell Clip1 from clip1
    also those that differ in case only.
    """
    names = [one[0] for one in choices]
    for place in (1, 2):
        counts = Counter(map(str.casefold, names))
        names = [
            name if counts[name.casefold()] == 1 and is_usable_name(name) else one[place]
            for name, one in zip(names, choices, strict=True)
        ]
    return names


def _matches(folder: Path, parts: Sequence[str], unreadable: Unreadable) -> Iterator[Path]:
    """What the parts of a pattern match under a folder; links are followed."""
    part, *rest = parts
    for one in (_folders if part == "**" else _inside)(folder, part, unreadable):
        if not rest:
            yield one
        elif os.path.isdir(one):
            yield from _matches(one, rest, unreadable)


def _folders(folder: Path, part: str, unreadable: Unreadable) -> Iterator[Path]:
    """A folder and all below it, each once; what can be reached without a link, without it."""
    seen: set[tuple[object, ...]] = set()
    waiting = deque([folder])
    while waiting:
        one = waiting.popleft()
        if identity(one) in seen:
            continue
        seen.add(identity(one))
        yield one
        for below in filter(os.path.isdir, _inside(one, part, unreadable)):
            (waiting.append if below.is_symlink() else waiting.appendleft)(below)


def _inside(folder: Path, part: str, unreadable: Unreadable) -> list[Path]:
    """What in a folder a part of a pattern matches, the ending in any case."""
    try:
        names = sorted(os.listdir(folder), key=natural_key)
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        unreadable(folder, error)
        return []
    lowered = [re.sub(r"[.][^.]*$", lambda end: end[0].lower(), one) for one in (*names, part)]
    return [
        folder / name
        for name, low in zip(names, lowered, strict=False)
        if (fnmatchcase(name, part) or fnmatchcase(low, lowered[-1]))
        and (part.startswith(".") or not name.startswith("."))
        and not LEFTOVERS.match(name)
    ]


def _other_kind(path: Path, root: Path, kind: Kind, part: str) -> str:
    """What else than a source that part of a pattern has matched; empty where it is one.

    Raises
    ------
    OSError : it cannot be read.
    """
    if words := no_text(str(path.relative_to(root))):
        raise OSError(errno.EILSEQ, f"its name {words}")
    mode = path.stat().st_mode
    if kind == "images":
        if part and stat.S_ISDIR(mode) and not _images(path):
            raise FileNotFoundError(errno.ENOENT, "no images in this folder")
        return "" if stat.S_ISDIR(mode) else "not a folder of images"
    if not stat.S_ISREG(mode):
        return "not a file of video"
    path.open("rb").close()
    if PICTURE.fullmatch(path.suffix):
        return "an image, not a video"
    if MAGIC.search(part.rpartition(".")[2]) and path.suffix and not VIDEO.fullmatch(path.suffix):
        return "not called like a video"
    return ""


def _images(folder: Path) -> list[str]:
    """The names of the images in a folder."""
    with os.scandir(folder) as entries:
        return [
            one.name
            for one in entries
            if IMAGE.fullmatch(one.name)
            # A link may lead round in a circle, of which is_dir itself raises an error.
            and not (os.path.isdir(one) if one.is_symlink() else one.is_dir())
        ]
