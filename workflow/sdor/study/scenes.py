"""Scenes: which clips one camera view consists of, and where their ground truth lies.

A scene is one YAML file (`config/scenes/<name>.yaml`; the README beside it has every key). Reading
it finds the files, puts them into their natural order and refuses what does not fit together; no
video is decoded here.
"""

import hashlib
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from sdor.errors import SdorError
from sdor.files import digest, digest_of, file_sha256
from sdor.study.config import check, hint, load_yaml

IMAGE_SUFFIXES = frozenset({".tif", ".tiff", ".jpg", ".jpeg", ".png", ".bmp"})
# Folders that a run puts beside the scenes' own under results/.
RESERVED_NAMES = frozenset(
    {"benchmarks", "figures", "logs", "manifest", "pools", "tables", "weights"}
)
# What `sdor.demo.render` renders; each clip is the file of its name, with the ending .avi.
DEMO_CLIPS = tuple(f"clip{number:02d}" for number in range(1, 11))
# Enough of both ends of a video to tell a replaced or still growing file, at any length of it.
FINGERPRINT_BYTES = 64 * 1024
PROJECT_SCENES = Path(__file__).resolve().parents[3] / "config" / "scenes"
SAFE_NAME = re.compile(r"[A-Za-z0-9_-]+")


class DataNotFound(SdorError):  # noqa: N818 - it is a state of the disk, and callers go on without it
    """None of a scene's clips is on this machine: the scene is "not run", which is no fault."""


@dataclass(frozen=True)
class Rectangle:
    """A region of the picture, in pixels of the source, hidden from the method."""

    x: int
    y: int
    width: int
    height: int


@dataclass(frozen=True)
class Ranges:
    """Anomalous ranges typed in the scene file, inclusive; None is the clip's end.

    Without any range every frame is normal.
    """

    ranges: tuple[tuple[int, int | None], ...]


@dataclass(frozen=True)
class UcsdList:
    """Entry number `entry` (from 1) of a UCSD .m file that must have `entries` of them."""

    path: Path
    entry: int
    entries: int


@dataclass(frozen=True)
class RangeTable:
    """Rows of a CSV file, each an anomalous range: its columns `first` and `last`, inclusive."""

    path: Path
    first: str
    last: str
    where: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class FrameTable:
    """A CSV file with one row a frame: its number and whether it is anomalous (0 or 1)."""

    path: Path
    frame: str
    anomalous: str


Labels = Ranges | UcsdList | RangeTable | FrameTable


@dataclass(frozen=True)
class GroundTruth:
    """What is known about a clip, for evaluation only.

    Attributes
    ----------
    labels : where the frame labels are; None when they follow from `pixel_masks`.
    pixel_masks : folder with one picture a frame of the clip, not black where it is anomalous.
    numbering : whether the labels count from 1 at the clip's first frame or number the source's.
    """

    labels: Labels | None
    pixel_masks: Path | None = None
    numbering: Literal["clip", "source"] = "clip"


@dataclass(frozen=True)
class Clip:
    """One video, one folder of images, or a range of frames of one.

    Attributes
    ----------
    source : the path relative to the scene's root, for tables and fingerprints.
    first, last : frames of the source, from 1, inclusive; None is its end.
    sequence : which sequence of a joined video the clip is, while its range is still unknown.
    frames : the expected number of frames, when the scene file tells it.
    rendered : fingerprint of the demo settings when the project renders this clip itself.
    """

    name: str
    kind: Literal["video", "images"]
    path: Path
    source: str
    first: int = 1
    last: int | None = None
    sequence: int | None = None
    split: Literal["train", "test", ""] = ""
    frames: int | None = None
    fps: float | None = None
    ground_truth: GroundTruth | None = None
    rendered: str | None = None


@dataclass(frozen=True)
class Joined:
    """One video that holds all clips, one after the other, with a hard cut between them."""

    path: Path
    sequences: int


@dataclass(frozen=True)
class Scene:
    """One camera view: the unit that is trained on.

    Attributes
    ----------
    root : the folder that all paths of the scene are relative to.
    joined : set only when the clips are to be cut out of a joined video (see `sdor.video.cuts`).
    demo : settings of the renderer when the scene's video is made by the project.
    """

    name: str
    root: Path
    clips: tuple[Clip, ...]
    description: str = ""
    masks: tuple[Rectangle, ...] = ()
    joined: Joined | None = None
    demo: Mapping[str, int] | None = None

    @property
    def has_pixel_masks(self) -> bool:
        """Whether it is known where in the picture the anomalies of some clip are."""
        truths = [clip.ground_truth for clip in self.clips]
        return any(truth is not None and truth.pixel_masks is not None for truth in truths)

    def clip(self, name: str) -> Clip:
        """The clip of that name (a ValueError when there is none)."""
        for clip in self.clips:
            if clip.name == name:
                return clip
        raise ValueError(f"scene {self.name} has no clip {name}")


def find_scene(name: str, scene_folder: str, data_root: str, where: str = "config") -> Scene:
    """Load one scene by name: from a folder of scene files, else from the project's own.

    Parameters
    ----------
    data_root : folder of the released data.
    where : the config file's name, for messages.

    Raises
    ------
    DataNotFound : none of its clips is there.
    SdorError : there is no such scene file, or it is wrong, or a clip is missing.
    """
    own = Path(scene_folder) / f"{name}.yaml"
    for path in (own, PROJECT_SCENES / own.name):
        if path.is_file():
            return load_scene(path, data_root)
    known = {path.stem for folder in (own.parent, PROJECT_SCENES) for path in folder.glob("*.yaml")}
    words = hint(name, sorted(known))
    raise SdorError(f"{where}: scenes: {name}: no scene file {own} ({words})")


def load_scene(path: str | Path, data_root: str | Path, demo_folder: Path | None = None) -> Scene:
    """Read a scene file and find its clips.

    Parameters
    ----------
    data_root : folder of the released data; the scene's `root` lies in it.
    demo_folder : where the video of a scene with `demo:` is (or will be) rendered, if not in
        results/; it is the root of such a scene, and its files need not be there yet.

    Raises
    ------
    DataNotFound : none of the clips is there.
    SdorError : the file is wrong, or some clips are there and others are not.
    """
    path = Path(path)
    document = load_yaml(path)
    check(document, "scene", path)
    name = path.stem
    if not SAFE_NAME.fullmatch(name):
        raise SdorError(
            f"{path}: the file's name is the scene's: use letters, digits, _ and - only"
        )
    if name in RESERVED_NAMES:
        raise SdorError(
            f"{path}: results/{name} is a folder of the workflow's own; rename the file"
        )
    demo = document.get("demo")
    root = Path(data_root) / document.get("root", "")
    if demo is not None:
        root = demo_folder or Path("results") / name / "video"
    entries = [
        _Entry(entry, f"{path}: clips.{number}", root, demo)
        for number, entry in enumerate(document["clips"])
    ]
    joined = _joined(document.get("joined"), path, root, entries)
    found = [(clip, entry) for entry in entries for clip in entry.clips(joined)]
    _refuse_duplicates(found, path)
    return Scene(
        name=name,
        root=root,
        clips=tuple(clip for clip, _ in found),
        description=document.get("description", ""),
        masks=tuple(Rectangle(**mask) for mask in document.get("masks", [])),
        joined=joined,
        demo=demo,
    )


def natural_key(name: str) -> tuple[object, ...]:
    """Sort key that puts numbers in names into their order: Test2 comes before Test10."""
    # Text, number, text, ...; a name without a number at its end gets -1.
    parts = re.split(r"([0-9]+)", name)
    pairs = zip(parts[::2], [*parts[1::2], "-1"], strict=True)
    return *((part.casefold(), int(number)) for part, number in pairs), name


def image_files(folder: Path) -> list[Path]:
    """The images of a folder in natural order; hidden files (`._001.tif`) and others are left out.

    Raises
    ------
    SdorError : the folder is missing or has no image, or two images of one name (001.tif, 001.jpg).
    """
    return [folder / name for name, _ in _images(folder)]


def fingerprint(clip: Clip) -> dict[str, object]:
    """What the clip's frames are made from, without absolute paths and times.

    A data folder that is moved or copied gives the same fingerprint. Of a video the size and both
    ends are looked at, of an image folder the names and sizes; no picture is decoded.
    """
    keys = ("source", "first", "last", "sequence", "rendered")
    about: dict[str, object] = {key: getattr(clip, key) for key in keys}
    if clip.rendered is not None:
        return about
    if clip.kind == "images":
        return {**about, "images": _folder_digest(clip.path)}
    size = clip.path.stat().st_size
    with clip.path.open("rb") as file:
        ends = hashlib.sha256(file.read(FINGERPRINT_BYTES))
        file.seek(max(0, size - FINGERPRINT_BYTES))
        ends.update(file.read(FINGERPRINT_BYTES))
    return {**about, "bytes": size, "sha256_of_ends": ends.hexdigest()}


def ground_truth_fingerprint(clip: Clip) -> dict[str, object] | None:
    """What the clip's labels are made from; None when there are none.

    Label files count with their contents, mask folders with names and sizes.
    """
    truth = clip.ground_truth
    if truth is None:
        return None
    labels = {} if truth.labels is None else dict(vars(truth.labels))
    masks: Path | str | None = truth.pixel_masks
    if clip.rendered is None:
        if "path" in labels:
            labels["path"] = file_sha256(labels["path"])
        masks = _folder_digest(truth.pixel_masks) if truth.pixel_masks else None
    return {
        "numbering": truth.numbering,
        "labels": {key: it.name if isinstance(it, Path) else it for key, it in labels.items()},
        "pixel_masks": masks.name if isinstance(masks, Path) else masks,
        "rendered": clip.rendered,
    }


@dataclass
class _Entry:
    """One entry of `clips:`, with the files that it stands for."""

    given: Mapping[str, Any]
    where: str
    root: Path
    demo: Mapping[str, int] | None

    def __post_init__(self) -> None:
        kinds = [kind for kind in ("video", "images") if kind in self.given]
        if len(kinds) != 1:
            raise SdorError(f"{self.where}: give either video or images (found {_listed(kinds)})")
        self.kind: Literal["video", "images"] = "video" if kinds == ["video"] else "images"
        self.pattern: str = self.given[self.kind]
        self.what = "file" if self.kind == "video" else "folder"
        self.first: int = self.given.get("first", 1)
        self.last: int | None = _end(self.given.get("last", "end"))
        self.rendered = None if self.demo is None else digest_of(self.demo)
        self._check_range()
        self.paths = self._found()

    def _check_range(self) -> None:
        if self.last is None:
            return
        if self.last < self.first:
            raise SdorError(f"{self.where}: last ({self.last}) is before first ({self.first})")
        length = self.last - self.first + 1
        if self.given.get("frames", length) != length:
            raise SdorError(
                f"{self.where}: frames is {self.given['frames']}, "
                f"but {self.first} to {self.last} are {length} frames"
            )

    def _found(self) -> list[Path]:
        key = f"{self.where}.{self.kind}: {self.pattern}"
        if Path(self.pattern).is_absolute():
            raise SdorError(f"{key} must be relative to the scene's root")
        literal = self.root / self.pattern
        if self.rendered is not None:
            self._check_rendered(key)
            return [literal]
        if literal.exists() or not any(sign in self.pattern for sign in "*?["):
            return [literal] if self._is_source(literal) else []
        # Path.glob fails on such a part or takes ** for *, depending on Python's version.
        if any("**" in part and part != "**" for part in Path(self.pattern).parts):
            raise SdorError(
                f"{key}: ** stands alone between slashes, for folders of any depth, as in "
                "**/*.mp4; use * within a name"
            )
        paths = sorted(
            (one for one in self.root.glob(self.pattern) if self._is_source(one)),
            key=lambda one: natural_key(one.relative_to(self.root).as_posix()),
        )
        paths = [one for one in paths if not one.name.startswith(".")]
        for name in ("name", "sequence"):
            if name in self.given and len(paths) > 1:
                raise SdorError(
                    f"{self.where}.{name}: one {name}, but {self.pattern} matches {len(paths)}"
                )
        return paths

    def _check_rendered(self, key: str) -> None:
        stem = self.pattern.removesuffix(".avi")
        if self.kind != "video" or f"{stem}.avi" != self.pattern or stem not in DEMO_CLIPS:
            raise SdorError(
                f"{key}: a demo scene names each clip as a video, one of {DEMO_CLIPS[0]}.avi to "
                f"{DEMO_CLIPS[-1]}.avi"
            )
        if (name := self.given.get("name", stem)) != stem:
            raise SdorError(
                f"{self.where}.name: {name}: a clip of a demo scene is called like its file, "
                f"{stem}; leave out name"
            )

    def _is_source(self, path: Path) -> bool:
        return path.is_dir() if self.kind == "images" else path.is_file()

    def check_count(self) -> None:
        expected = self.given.get("count")
        if expected is not None and len(self.paths) != expected:
            raise SdorError(
                f"{self.where}: expected {expected} {self.what}s {self.pattern} under {self.root}, "
                f"found {len(self.paths)}"
            )

    def missing(self) -> str:
        path = self.root / self.pattern
        clip = f"{self.where}: clip {self.given.get('name', path.stem)}"
        if path.exists():
            other = "video" if self.kind == "images" else "images"
            return f"{clip}: {path} is no {self.what}; use {other}:"
        return f"{clip}: no {self.what} {path}"

    def clips(self, joined: Joined | None) -> Iterable[Clip]:
        """The clips of this entry, out of its own files or as a sequence of the joined video."""
        # The joined file's clips have the names that their own files would give them.
        paths = [self.root / self.pattern] if joined else self.paths
        for number, path in enumerate(paths, start=1):
            stem = self.given.get("name", path.stem if self.kind == "video" else path.name)
            name = self._name(stem)
            clip = Clip(
                name=name,
                kind=self.kind,
                path=path,
                source=path.relative_to(self.root).as_posix(),
                first=self.first,
                last=self.last,
                split=self.given.get("split", ""),
                frames=self.given.get("frames"),
                fps=self.given.get("fps"),
                ground_truth=self._ground_truth(f"clip {name}", stem, number, len(paths)),
                rendered=self.rendered,
            )
            if joined:
                clip = replace(
                    clip,
                    kind="video",
                    path=joined.path,
                    source=joined.path.relative_to(self.root).as_posix(),
                    sequence=self.given["sequence"],
                    frames=None,  # the joined video's sequences have lengths of their own
                )
            yield clip

    def _name(self, stem: str) -> str:
        if "name" not in self.given:
            return re.sub(r"[^A-Za-z0-9_-]", "_", stem)
        if not SAFE_NAME.fullmatch(stem):
            raise SdorError(f"{self.where}.name: {stem!r}: use letters, digits, _ and - only")
        return stem

    def _ground_truth(self, clip: str, stem: str, number: int, count: int) -> GroundTruth | None:
        given, where = self.given.get("ground_truth"), f"{self.where}.ground_truth"
        if given is None or given == "normal":
            return GroundTruth(Ranges(())) if given else None
        kinds = [kind for kind in ("ranges", "ucsd", "csv") if kind in given]
        if len(kinds) > 1 or not (kinds or "pixel_masks" in given):
            raise SdorError(
                f"{where}: give one of ranges, ucsd, csv, or pixel_masks alone "
                f"(found {_listed(kinds)})"
            )
        _refuse_stray_columns(given, where)
        folder = self._pixel_masks(given.get("pixel_masks"), f"{where}.pixel_masks: {clip}", stem)
        labels: Labels | None = None
        if "ranges" in given:
            labels = Ranges(tuple(_range(limits, f"{where}.ranges") for limits in given["ranges"]))
        elif "ucsd" in given:
            file = self._file(given["ucsd"], f"{where}.ucsd: {clip}", stem)
            labels = UcsdList(file, entry=number, entries=count)
        elif "csv" in given:
            file = self._file(given["csv"], f"{where}.csv: {clip}", stem)
            if "frame" in given:
                labels = FrameTable(file, given["frame"], given["anomalous"])
            else:
                rows = given.get("where", {}).items()
                wanted = tuple((key, str(value).replace("{clip}", stem)) for key, value in rows)
                labels = RangeTable(file, given["first"], given["last"], wanted)
        elif folder is None:
            return None
        return GroundTruth(labels, folder, given.get("numbering", "clip"))

    def _pixel_masks(self, given: Any, where: str, stem: str) -> Path | None:
        if given is None:
            return None
        asked = {"folder": given} if isinstance(given, str) else given
        folder = self.root / asked["folder"].replace("{clip}", stem)
        if self.rendered is not None or folder.is_dir():
            return folder
        if asked.get("optional", False):
            return None
        raise SdorError(f"{where}: no folder {folder}")

    def _file(self, pattern: str, where: str, stem: str) -> Path:
        file = self.root / pattern.replace("{clip}", stem)
        if self.rendered is None and not file.is_file():
            raise SdorError(f"{where}: no file {file}")
        return file


def _joined(given: Any, path: Path, root: Path, entries: Sequence[_Entry]) -> Joined | None:
    """The joined video when the clips' own files are not complete and it is there, else None."""
    for entry in entries:
        sequence = entry.given.get("sequence")
        key = f"{entry.where}.sequence"
        if given is None and sequence is not None:
            raise SdorError(f"{key}: the scene has no key joined")
        if given is None:
            continue
        if sequence is None:
            raise SdorError(
                f"{entry.where}: which sequence of {given['video']} is it? add sequence"
            )
        if {"first", "last"} & set(entry.given):
            raise SdorError(
                f"{entry.where}: a sequence of {given['video']} is taken whole; "
                "leave out first and last"
            )
        if sequence > given["sequences"]:
            raise SdorError(
                f"{key}: {sequence} is beyond joined.sequences, which is {given['sequences']}"
            )
    missing = [entry for entry in entries if not entry.paths]
    if missing and given is not None and (root / given["video"]).is_file():
        return Joined(root / given["video"], given["sequences"])
    if len(missing) == len(entries):
        raise DataNotFound(
            f"scene {path.stem}: data not found under {root} (looked for {entries[0].pattern})"
        )
    if missing:
        raise SdorError(missing[0].missing())
    for entry in entries:
        entry.check_count()
    return None


def _refuse_duplicates(found: Sequence[tuple[Clip, _Entry]], path: Path) -> None:
    """Names are file names, and some file systems do not tell Clip1 from clip1."""
    seen: dict[str, tuple[Clip, _Entry]] = {}
    for clip, entry in found:
        other, other_entry = seen.setdefault(clip.name.casefold(), (clip, entry))
        if other is clip:
            continue
        advice = "give them different names with name"
        if clip.rendered is not None:
            advice = "list each clip of the demo once"
        elif len(entry.paths) > 1 and len(other_entry.paths) > 1:
            # An entry for several clips takes no name.
            advice = f"rename one {entry.what} or list them one by one, each with its name"
        raise SdorError(
            f"{path}: two clips are called {clip.name} ({other.source}, {clip.source}); {advice}"
        )


def _refuse_stray_columns(given: Mapping[str, Any], where: str) -> None:
    """The column keys belong to `csv`: first and last, or frame and anomalous."""
    columns = sorted({"first", "last", "where", "frame", "anomalous"} & set(given))
    if columns and "csv" not in given:
        raise SdorError(f"{where}.{columns[0]}: only csv has columns")
    fitting = (["first", "last"], ["first", "last", "where"], ["anomalous", "frame"])
    if "csv" in given and columns not in fitting:
        raise SdorError(
            f"{where}.csv: name its columns: first and last (ranges, filtered by where), or frame "
            f"and anomalous (a row a frame); found {_listed(columns)}"
        )


def _range(limits: tuple[int, int | str], where: str) -> tuple[int, int | None]:
    first, last = limits[0], _end(limits[1])
    if last is not None and last < first:
        raise SdorError(f"{where}: [{first}, {last}] ends before it begins")
    return first, last


def _end(value: int | str) -> int | None:
    return value if isinstance(value, int) else None


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) or "none"


def _images(folder: Path) -> list[tuple[str, int]]:
    """Names and sizes of a folder's images, in natural order."""
    try:
        with os.scandir(folder) as items:
            found = [
                (item.name, item.stat().st_size)
                for item in items
                if Path(item.name).suffix.lower() in IMAGE_SUFFIXES
                and not item.name.startswith(".")
            ]
    except OSError as error:
        raise SdorError(f"{folder}: cannot be read ({error.strerror})") from error
    if not found:
        raise SdorError(f"{folder}: no images (TIFF, JPEG, PNG or BMP) in this folder")
    found.sort(key=lambda image: natural_key(image[0]))
    stems: dict[str, str] = {}
    for name, _ in found:
        other = stems.setdefault(Path(name).stem, name)
        if other != name:
            raise SdorError(
                f"{folder}: {other} and {name} would be the same frame; keep one of them"
            )
    return found


def _folder_digest(folder: Path) -> str:
    return digest("\n".join(f"{name} {size}" for name, size in _images(folder)).encode())
