"""Scenes: which clips one camera view consists of, and where their ground truth lies.

A scene is one YAML file (`config/scenes/<name>.yaml`; the README beside it has every key). Reading
it finds the files, puts them into their natural order and refuses what does not fit together; no
video is decoded here.
"""

import os
import re
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import inf
from pathlib import Path
from typing import Any, Literal

from sdor.errors import SdorError
from sdor.files import digest_of
from sdor.study.config import Document, check, hint, load_yaml
from sdor.study.sources import (
    Kind,
    distinct_names,
    find_sources,
    identity,
    is_usable_name,
    names_from,
    no_text,
    some_of,
)

# Folders that a run puts beside the scenes' own under results/.
RESERVED_NAMES = ("benchmarks", "figures", "logs", "manifest", "pools", "tables", "weights")
MASK_KINDS = {"folder", "arrays", "boxes"}
# What a file of boxes has, of each group one: the upper left corner or the centre, in pixels.
BOX_COLUMNS = (("frame",), ("x", "center_x"), ("y", "center_y"), ("width",), ("height",))
PROJECT_SCENES = Path(__file__).resolve().parents[3] / "config" / "scenes"


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
    """Anomalous ranges typed in the scene file, or none; inclusive, None is the clip's end."""

    ranges: tuple[tuple[float, float | None], ...]


@dataclass(frozen=True)
class UcsdList:
    """A UCSD .m file of which one entry is the clip's.

    Attributes
    ----------
    place : of the clip among those of its entry in the scene file, from 1.
    numbers : that the names of all these clips end in; None for a name without.
    """

    path: Path
    place: int
    numbers: tuple[int | None, ...]


@dataclass(frozen=True)
class RangeTable:
    """Rows of a table, each an anomalous range: its columns `first` and `last`, inclusive.

    Attributes
    ----------
    where : column and value of the rows that are the clip's.
    others_normal : whether a clip without such a row is normal.
    kind : a CSV file, or a list as that of UCF-Crime.
    """

    path: Path
    first: str
    last: str
    where: tuple[tuple[str, str], ...] = ()
    others_normal: bool = False
    kind: Literal["csv", "list"] = "csv"


@dataclass(frozen=True)
class FrameTable:
    """A CSV file with a row a frame: its number, and 0 or 1; the rest is as in a `RangeTable`."""

    path: Path
    frame: str
    anomalous: str
    where: tuple[tuple[str, str], ...] = ()
    others_normal: bool = False


@dataclass(frozen=True)
class ArrayFile:
    """A `.npy` or `.mat` file of one clip: a label a frame, or a mask a frame.

    Attributes
    ----------
    variable : of a `.mat` file; empty where it has only one.
    """

    path: Path
    variable: str = ""


@dataclass(frozen=True)
class BoxTable:
    """A text file of one clip with a row a box, within which all is anomalous.

    Attributes
    ----------
    columns : what they are, in their order; one of each of `BOX_COLUMNS`, others are not looked at.
    """

    path: Path
    columns: tuple[str, ...]


Labels = Ranges | UcsdList | RangeTable | FrameTable | ArrayFile
Masks = Path | ArrayFile | BoxTable


@dataclass(frozen=True)
class GroundTruth:
    """What is known about a clip, for evaluation only.

    Attributes
    ----------
    labels : where the frame labels are; None when they follow from `pixel_masks`.
    pixel_masks : where it is anomalous: a folder with one picture a frame of the clip (not black
        there), an array, or boxes.
    numbering : whether the labels count from 1 at the clip's first frame or number the source's.
    unit : what ranges are given in; seconds are those of the frames' timestamps.
    """

    labels: Labels | None
    pixel_masks: Masks | None = None
    numbering: Literal["clip", "source"] = "clip"
    unit: Literal["frames", "seconds"] = "frames"


@dataclass(frozen=True)
class Clip:
    """One video, one folder of images, or a range of frames of one.

    Attributes
    ----------
    source : the path relative to the scene's root, for tables and fingerprints.
    first, last : frames of the source, from 1, inclusive; None is its end.
    sequence : which sequence of a joined video the clip is, while its range is still unknown.
    frames : the expected number of frames, when the scene file tells it.
    stream : which of a file's streams is the video, numbered as ffmpeg does; None: there is one.
    sample_fps : how many frames a second are stored and looked at; None: all.
    bits : how many bits of 16-bit grey images are used; None: the files tell.
    damaged : what a scene with ground truth does about frames that cannot be read.
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
    sample_fps: float | None = None
    stream: int | None = None
    bits: int | None = None
    damaged: Literal["refuse", "accept"] = "refuse"
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
    passed_over : files that a pattern matches and that are no clips, each with the reason.
    """

    name: str
    root: Path
    clips: tuple[Clip, ...]
    description: str = ""
    masks: tuple[Rectangle, ...] = ()
    joined: Joined | None = None
    demo: Mapping[str, int] | None = None
    passed_over: tuple[str, ...] = ()

    @property
    def has_ground_truth(self) -> bool:
        """Whether it is a benchmark: what is doubtful in its data is refused then, not bridged."""
        return any(clip.ground_truth for clip in self.clips)

    @property
    def has_pixel_masks(self) -> bool:
        """Whether it is known where in the picture the anomalies of some clip are."""
        return any(clip.ground_truth and clip.ground_truth.pixel_masks for clip in self.clips)

    def clip(self, name: str) -> Clip:
        """The clip of that name (a KeyError when there is none)."""
        return {clip.name: clip for clip in self.clips}[name]


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
    raise SdorError(f"{where}: scenes: {name}: no scene file {own} ({hint(name, sorted(known))})")


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
    if not is_usable_name(name) or name in RESERVED_NAMES:
        raise SdorError(
            f"{path}: the file's name is the scene's: use letters, digits, _ and -, at most 100, "
            f"not one part again and again, and none of {', '.join(RESERVED_NAMES)}"
        )
    rendered, root = None, expanded(data_root) / expanded(document.get("root", ""))
    if (demo := document.get("demo")) is not None:
        rendered, root = digest_of(demo), demo_folder or Path("results") / name / "video"
    if words := no_text(str(root)):
        raise SdorError(f"{path}: root: {str(root)!a} {words}; rename the folder")
    benchmark = any("ground_truth" in given for given in document["clips"])
    entries: list[_Entry] = []
    passed_over: dict[Path, str] = {}
    for_all = {key: document[key] for key in ("sample_fps",) if key in document}
    for number, own in enumerate(document["clips"]):
        given = {**for_all, **own}
        where = f"{path}: clips.{number}"
        kind: Kind = "video" if "video" in given else "images"
        sources = [root / given[kind]]
        if demo is None:  # what is rendered need not be there yet
            sources, over = find_sources(root, given[kind], kind, where, benchmark=benchmark)
            passed_over |= over
        entries.append(_Entry(given, where, root, rendered, kind, tuple(sources)))
    if joined := _joined(document.get("joined"), name, root, entries):
        # Its clips have the names that their own files would give them.
        entries = [replace(entry, sources=(entry.path,)) for entry in entries]
    named = {identity(entry.path) for entry in entries if entry.is_named}
    found = [(entry, place) for entry in entries for place in entry.places(named)]
    for entry in entries:  # less those that are clips
        passed_over |= dict.fromkeys(entry.sources, "the same has an entry of its own")
    names = distinct_names([entry.names(place) for entry, place in found])
    clips = tuple(
        entry.clip(place, own_name, joined)
        for (entry, place), own_name in zip(found, names, strict=True)
    )
    _check_apart(clips, path)
    left = [] if joined else sorted(passed_over.keys() - {clip.path for clip in clips})
    return Scene(
        name=name,
        root=root,
        clips=clips,
        description=document.get("description", ""),
        masks=tuple(Rectangle(**mask) for mask in document.get("masks", [])),
        joined=joined,
        demo=demo,
        passed_over=tuple(f"{some_of([one], root)}: {passed_over[one]}" for one in left),
    )


def expanded(path: str | Path) -> Path:
    """A path with the home folder for ~."""
    return Path(os.path.expanduser(path))


@dataclass(frozen=True)
class _Entry:
    """One entry of `clips:`, as it is written in a place, with the files that it stands for."""

    given: Document
    where: str
    root: Path
    rendered: str | None
    kind: Kind
    sources: tuple[Path, ...]

    @property
    def path(self) -> Path:
        """The one file or folder that it names, or a pattern for several."""
        return self.root.joinpath(self.given[self.kind])

    @property
    def is_named(self) -> bool:
        """Whether it names one file or folder that is there, not by a pattern."""
        return self.sources == (self.path,)

    @cached_property
    def stems(self) -> list[str]:
        """What {clip} stands for in the ground truth of each: not yet made a usable name."""
        own = (path.stem if self.kind == "video" else path.name for path in self.sources)
        return [self.given.get("name", stem) for stem in own]

    def names(self, place: int) -> tuple[str, str, str]:
        """The names that one of its clips may have, the better first."""
        stem, source = self.stems[place], self.sources[place].relative_to(self.root)
        return (stem,) * 3 if "name" in self.given else names_from(stem, source.as_posix())

    def places(self, named: Container[object]) -> list[int]:
        """Places of its sources, from 0; a pattern leaves to other entries what these have named.

        Raises
        ------
        SdorError : there are not `count` sources; a key holds for one clip only.
        """
        given, found = self.given, len(self.sources)
        matched = f"{given[self.kind]} matches {found} ({some_of(self.sources, self.root)})"
        if (count := given.get("count", found)) != found:
            raise SdorError(f"{self.where}.count: {count}: {matched} under {self.root}")
        kept = [
            place
            for place, source in enumerate(self.sources)
            if self.is_named or identity(source) not in named
        ]
        for key in ("name", "first", "last"):
            if key in given and len(kept) > 1:
                raise SdorError(
                    f"{self.where}.{key}: {given[key]}: is for one clip, and {matched}; give each "
                    "an entry of its own"
                )
        return kept

    def clip(self, place: int, name: str, joined: Joined | None) -> Clip:
        """One of its clips, out of its own file or as a sequence of the joined video."""
        given, path = self.given, joined.path if joined else self.sources[place]
        first, last = _range(
            (given.get("first", 1), given.get("last", "end")), f"{self.where}.last"
        )
        if last is not None and given.get("frames", last - first + 1) != last - first + 1:
            raise SdorError(f"{self.where}.frames: {given['frames']} is not {first} to {last}")
        if "sample_fps" in given and self.kind == "images" and "fps" not in given:
            raise SdorError(
                f"{self.where}.sample_fps: {given['sample_fps']:g}: images have no times; say how "
                "many a second there are with fps"
            )
        copied = ("split", "fps", "sample_fps", "stream", "bits", "damaged")
        return Clip(
            name=name,
            kind="video" if joined else self.kind,
            path=path,
            source=path.relative_to(self.root).as_posix(),
            first=first,
            last=last,
            # The joined video's sequences have lengths of their own.
            sequence=given["sequence"] if joined else None,
            frames=None if joined else given.get("frames"),
            ground_truth=self._ground_truth(place),
            rendered=self.rendered,
            **{key: given[key] for key in copied if key in given},
        )

    def _ground_truth(self, place: int) -> GroundTruth | None:
        """What is known of one of its clips."""
        given = self.given.get("ground_truth")
        if given is None or given == "normal":
            return GroundTruth(Ranges(())) if given else None
        stems, stem = self.stems, self.stems[place]
        unit = given.get("unit", "frames")
        cells = given.get("where", {}).items()
        where = tuple((column, self._filled(str(value), stem)) for column, value in cells)
        rows = where, "others" in given
        labels: Labels | None = None
        match given:
            case {"ranges": ranges}:
                key = f"{self.where}.ground_truth.ranges"
                labels = Ranges(tuple(_range(limits, key) for limits in ranges))
                whole = (0 if unit == "seconds" else 1, None)
                if len(stems) > 1 and any(limits != whole for limits in labels.ranges):
                    raise SdorError(
                        f"{key}: are for one clip, not {len(stems)}; list each by itself"
                    )
            case {"ucsd": file}:
                # Clips may have a list each, which has one entry then.
                own = re.search("{(clip|number)}", file)
                sharing, at = ([stem], 0) if own else (stems, place)
                ends = [re.search(r"[0-9]+$", one) for one in sharing]
                numbers = tuple(end and int(end[0]) for end in ends)
                labels = UcsdList(self._beside("ucsd", file, stem), at + 1, numbers)
            case {"csv": file, "frame": frame, "anomalous": anomalous}:
                labels = FrameTable(self._beside("csv", file, stem), frame, anomalous, *rows)
            case {"csv": file, "first": first, "last": last}:
                labels = RangeTable(self._beside("csv", file, stem), first, last, *rows)
            case {"list": file}:
                whose = where or (("video", self.sources[place].name),)
                path = self._beside("list", file, stem)
                labels = RangeTable(path, "first", "last", whose, rows[1], "list")
            case {"arrays": file}:
                path = self._beside("arrays", file, stem)
                labels = ArrayFile(path, given.get("variable", ""))
        masks = self._masks(given.get("pixel_masks"), stem)
        if labels is None and masks is None:
            return None
        return GroundTruth(labels, masks, given.get("numbering", "clip"), unit)

    def _masks(self, given: str | Document | None, stem: str) -> Masks | None:
        """Where a clip's pixel masks are; None where they are optional and not there."""
        keys = {"folder": given} if isinstance(given, str) else given or {}
        for kind in MASK_KINDS & keys.keys():
            there = os.path.exists(self._path(keys[kind], stem)) or self.rendered is not None
            if keys.get("optional") and not there:
                return None
            path = self._beside(f"pixel_masks.{kind}".removesuffix(".folder"), keys[kind], stem)
            match kind:
                case "arrays":
                    return ArrayFile(path, keys.get("variable", ""))
                case "boxes":
                    columns = keys["columns"]
                    if any(sum(map(columns.count, one)) != 1 for one in BOX_COLUMNS):
                        raise SdorError(
                            f"{self.where}.ground_truth.pixel_masks.columns: {columns}: name each "
                            f"once of {', '.join(' or '.join(one) for one in BOX_COLUMNS)}"
                        )
                    return BoxTable(path, tuple(columns))
            return path
        return None

    def _filled(self, pattern: str, stem: str) -> str:
        """With the clip's name for {clip}, and the number that it ends in for {number}."""
        if "{number}" in pattern:
            found = re.search("[0-9]+$", stem)
            if found is None:
                raise SdorError(
                    f"{self.where}.ground_truth: {pattern}: clip {stem} ends in no number; use "
                    "{clip}, or give the clip a name that does"
                )
            pattern = pattern.replace("{number}", str(int(found[0])))
        return pattern.replace("{clip}", stem)

    def _path(self, pattern: str, stem: str) -> Path:
        return self.root / expanded(self._filled(pattern, stem))

    def _beside(self, key: str, pattern: str, stem: str) -> Path:
        """The file or folder that has a clip's labels."""
        path = self._path(pattern, stem)
        kind = "folder" if key == "pixel_masks" else "file"
        # These say no where a path cannot be looked at, or is too long to be one.
        there = os.path.isdir(path) if kind == "folder" else os.path.isfile(path)
        if self.rendered is None and not there:
            raise SdorError(f"{self.where}.ground_truth.{key}: clip {stem}: no {kind} {path}")
        return path


def _check_apart(clips: Sequence[Clip], path: Path) -> None:
    """Hold clips to each other.

    Raises
    ------
    SdorError : names are the same, but for case; clips of different frames would have the same
        pixel masks, or the same labels that do not number one video; the masks of a clip are one.
    """
    truths = [clip.ground_truth or GroundTruth(None) for clip in clips]
    drawn = [truth.pixel_masks for truth in truths if isinstance(truth.pixel_masks, Path)]
    masks = {identity(folder) for folder in drawn}
    owners: dict[object, Clip] = {}
    for clip, truth in zip(clips, truths, strict=True):
        if identity(clip.path) in masks:
            raise SdorError(
                f"{path}: {clip.source} would be a clip, and is the pixel_masks of one; write a "
                "pattern that leaves it out"
            )
        labels = None if isinstance(truth.labels, Ranges) else truth.labels
        for one in filter(None, (clip.name.casefold(), labels, truth.pixel_masks)):
            other = owners.setdefault(one, clip)
            are_labels = one is truth.labels
            if other is not clip and (
                isinstance(one, str) or not _may_share(other, clip, are_labels=are_labels)
            ):
                what = "name" if isinstance(one, str) else "ground truth, which may contain {clip}"
                whole = " (labels that number a whole video: numbering: source)"
                raise SdorError(
                    f"{path}: {other.source} and {clip.source} would have the same {what}; list "
                    "them one by one, each once and with a name of its own"
                    f"{whole * (other.source == clip.source and are_labels)}"
                )


def _may_share(one: Clip, other: Clip, *, are_labels: bool) -> bool:
    """Whether labels or pixel masks can be of both clips."""
    # Before its cuts are found, all sequences of a joined video have one source and one range.
    of_both = [(clip.source, clip.sequence, clip.first, clip.last) for clip in (one, other)]
    numbered = [clip.ground_truth and clip.ground_truth.numbering for clip in (one, other)]
    return of_both[0] == of_both[1] or (
        are_labels
        and one.source == other.source
        and one.sequence is None
        and numbered == ["source", "source"]
    )


def _joined(
    given: Document | None, scene: str, root: Path, entries: Sequence[_Entry]
) -> Joined | None:
    """The joined video when the clips' own files are not complete and it is there, else None."""
    limit = given["sequences"] if given else inf
    for entry in entries:
        if (number := entry.given.get("sequence", 0)) > limit:
            raise SdorError(f"{entry.where}.sequence: {number}: joined.sequences is {limit}")
    missing = [entry for entry in entries if not entry.sources]
    if missing and given and (root / given["video"]).is_file():
        return Joined(root / given["video"], given["sequences"])
    if len(missing) == len(entries):
        looked = missing[0].given[missing[0].kind]
        raise DataNotFound(f"scene {scene}: data not found under {root} (looked for {looked})")
    for entry in missing:
        what = "file" if entry.kind == "video" else "folder"
        raise SdorError(f"{entry.where}: no {what} {entry.path}")
    return None


def _range(limits: Sequence[Any], where: str) -> tuple[Any, Any]:
    """First and last as they are written, None for the end."""
    first, last = (None if limit == "end" else limit for limit in limits)
    if last is not None and last < first:
        raise SdorError(f"{where}: [{first}, {last}] ends before it begins")
    return first, last
