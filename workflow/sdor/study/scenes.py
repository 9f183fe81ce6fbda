"""Scenes: which clips one camera view consists of, and where their ground truth lies.

A scene is one YAML file (`config/scenes/<name>.yaml`; the README beside it has every key). Reading
it finds the files, puts them into their natural order and refuses what does not fit together; no
video is decoded here.
"""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations
from math import inf
from pathlib import Path
from typing import Any, Literal

from sdor.errors import SdorError
from sdor.files import digest_of
from sdor.study.config import Document, check, hint, load_yaml
from sdor.study.sources import (
    NO_TEXT,
    Found,
    Kind,
    distinct_names,
    find_sources,
    identity,
    is_usable_name,
    listed,
    names_from,
    some_of,
)

# Folders that a run puts beside the scenes' own under results/.
RESERVED_NAMES = frozenset(
    {"benchmarks", "figures", "logs", "manifest", "pools", "tables", "weights"}
)
REMARKS = 10  # files that are passed over and named when a run begins
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
    """Anomalous ranges typed in the scene file, inclusive; None is the clip's end.

    Without any range every frame is normal.
    """

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
    """Rows of a CSV file, each an anomalous range: its columns `first` and `last`, inclusive.

    Attributes
    ----------
    where : column and value of the rows that are the clip's.
    others_normal : whether a clip without such a row is normal.
    """

    path: Path
    first: str
    last: str
    where: tuple[tuple[str, str], ...] = ()
    others_normal: bool = False


@dataclass(frozen=True)
class FrameTable:
    """A CSV file with one row a frame: its number and whether it is anomalous (0 or 1).

    `where` and `others_normal` are those of a `RangeTable`.
    """

    path: Path
    frame: str
    anomalous: str
    where: tuple[tuple[str, str], ...] = ()
    others_normal: bool = False


Labels = Ranges | UcsdList | RangeTable | FrameTable


@dataclass(frozen=True)
class GroundTruth:
    """What is known about a clip, for evaluation only.

    Attributes
    ----------
    labels : where the frame labels are; None when they follow from `pixel_masks`.
    pixel_masks : folder with one picture a frame of the clip, not black where it is anomalous.
    numbering : whether the labels count from 1 at the clip's first frame or number the source's.
    unit : what ranges are given in; seconds are those of the frames' timestamps.
    """

    labels: Labels | None
    pixel_masks: Path | None = None
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
    passed_over : files that a pattern might mean and that are no clips, each with the reason.
    notes : what a person should know of the clips that are there.
    """

    name: str
    root: Path
    clips: tuple[Clip, ...]
    description: str = ""
    masks: tuple[Rectangle, ...] = ()
    joined: Joined | None = None
    demo: Mapping[str, int] | None = None
    passed_over: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def has_ground_truth(self) -> bool:
        """Whether it is a benchmark: what is doubtful in its data is refused then, not bridged."""
        return any(clip.ground_truth for clip in self.clips)

    @property
    def has_pixel_masks(self) -> bool:
        """Whether it is known where in the picture the anomalies of some clip are."""
        return any(clip.ground_truth and clip.ground_truth.pixel_masks for clip in self.clips)

    @property
    def remarks(self) -> list[str]:
        """What is said of its files when a run begins, a line each."""
        few = self.passed_over[:REMARKS]
        more = len(self.passed_over) - len(few)
        lines = [*self.notes, *(f"passed over {one}" for one in few)]
        return lines + [f"passed over {more} more"] * bool(more)

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
    if (other := own.with_suffix(".yml")).is_file():
        raise SdorError(f"{where}: scenes: {name}: {other} must end in .yaml; rename it")
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
    if not is_usable_name(name) or name in RESERVED_NAMES:
        raise SdorError(
            f"{path}: the file's name is the scene's: use letters, digits, _ and - only, 100 of "
            f"them at most, no endless repetition, and none of {', '.join(sorted(RESERVED_NAMES))}"
        )
    demo = document.get("demo")
    root = expanded(data_root) / expanded(document.get("root", ""))
    if demo is not None:
        root = demo_folder or Path("results") / name / "video"
    rendered = None if demo is None else digest_of(demo)
    if NO_TEXT.search(str(root)):
        raise SdorError(f"{path}: root: {str(root)!a} is no UTF-8 text; rename the folder")
    benchmark = any("ground_truth" in entry for entry in document["clips"])
    entries = [
        _Entry(entry, f"{path}: clips.{number}", root, rendered, benchmark)
        for number, entry in enumerate(document["clips"])
    ]
    joined = _joined(document.get("joined"), name, root, entries)
    elsewhere = {} if joined else _named_elsewhere(entries, root)
    if not joined and demo is None:
        _refuse_masks(entries)
    found = [one for entry in entries for one in entry.clips(joined, elsewhere)]
    clips = _with_names(found, path)
    passed_over = {one: why for entry in entries for one, why in entry.found.passed_over.items()}
    passed_over |= {one: why for one, why in elsewhere.items() if why}
    for clip in clips:
        passed_over.pop(clip.path, None)
    return Scene(
        name=name,
        root=root,
        clips=clips,
        description=document.get("description", ""),
        masks=tuple(Rectangle(**mask) for mask in document.get("masks", [])),
        joined=joined,
        demo=demo,
        passed_over=tuple(() if joined else listed(passed_over, root)),
        notes=() if joined or demo is not None else tuple(_in_common(clips)),
    )


def expanded(path: str | Path) -> Path:
    """A path with the home folder for ~."""
    return Path(os.path.expanduser(path))


@dataclass(frozen=True)
class _Entry:
    """One entry of `clips:`, with the files that it stands for."""

    given: Document
    where: str
    root: Path
    rendered: str | None
    benchmark: bool

    @property
    def kind(self) -> Kind:
        return "video" if "video" in self.given else "images"

    @property
    def path(self) -> Path:
        """The one file or folder that it names, or a pattern for several."""
        return self.root.joinpath(self.given[self.kind])

    @cached_property
    def found(self) -> Found:
        """The files or folders that are there."""
        if self.rendered is not None:
            return Found((self.path,))
        given, where = self.given[self.kind], f"{self.where}.{self.kind}"
        return find_sources(self.root, given, self.kind, where, benchmark=self.benchmark)

    @property
    def is_named(self) -> bool:
        """Whether it names one file or folder that is there, not by a pattern."""
        return self.found.sources == (self.path,)

    def stem(self, path: Path) -> str:
        """What {clip} stands for in the entry's ground truth, before it is made a clip's name."""
        own = path.stem if self.kind == "video" else path.name
        return str(self.given.get("name", own))

    def clips(
        self, joined: Joined | None, elsewhere: Mapping[Path, str]
    ) -> Iterator[tuple[Clip, tuple[str, ...]]]:
        """The clips of this entry, out of its own files or as a sequence of the joined video.

        Parameters
        ----------
        elsewhere : files that entries of their own have, which a pattern leaves to them.

        Yields
        ------
        A clip, and the names that it may have, the better first.
        """
        # The joined file's clips have the names that their own files would give them.
        found = (self.path,) if joined else self.found.sources
        if len(found) != (count := self.given.get("count", len(found))) and not joined:
            raise SdorError(
                f"{self.where}.count: {count}: {self.given[self.kind]} matches {len(found)} under "
                f"{self.root}"
            )
        kept = {one: None for one in found if self.is_named or one not in elsewhere}
        self._check_is_of_one(list(kept))
        limits = self.given.get("first", 1), self.given.get("last", "end")
        first, last = _range(limits, f"{self.where}.last")
        length = self.given.get("frames") if last is None else last - first + 1
        if (asked := self.given.get("frames", length)) != length:
            raise SdorError(f"{self.where}.frames: {asked}, but {first} to {last} are {length}")
        stems = [self.stem(path) for path in found]
        for place, (path, stem) in enumerate(zip(found, stems, strict=True)):
            if path not in kept:
                continue
            source = joined.path if joined else path
            own = path.relative_to(self.root).as_posix()
            names = (stem,) if "name" in self.given else names_from(stem, own)
            clip = Clip(
                name=stem,
                kind="video" if joined else self.kind,
                path=source,
                source=source.relative_to(self.root).as_posix(),
                first=first,
                last=last,
                sequence=self.given["sequence"] if joined else None,
                split=self.given.get("split", ""),
                # The joined video's sequences have lengths of their own.
                frames=None if joined else self.given.get("frames"),
                fps=self.given.get("fps"),
                stream=self.given.get("stream"),
                bits=self.given.get("bits"),
                damaged=self.given.get("damaged", "refuse"),
                ground_truth=self._ground_truth(stems, place),
                rendered=self.rendered,
            )
            yield clip, names

    def _check_is_of_one(self, paths: Sequence[Path]) -> None:
        """Refuse what can be meant for one clip only where a pattern matches several."""
        if len(paths) < 2:
            return
        matched = f"{self.given[self.kind]} matches {len(paths)} ({some_of(paths, self.root)})"
        for key in ("name", "first", "last"):
            if key in self.given:
                raise SdorError(
                    f"{self.where}.{key}: {self.given[key]}: is for one clip, and {matched}; give "
                    "each an entry of its own"
                )

    def _ground_truth(self, stems: Sequence[str], place: int) -> GroundTruth | None:
        """What is known of one of the clips of this entry, which are called `stems`."""
        given = self.given.get("ground_truth")
        if given is None or given == "normal":
            return GroundTruth(Ranges(())) if given else None
        stem = stems[place]
        where = tuple(
            (column, str(value).replace("{clip}", stem))
            for column, value in given.get("where", {}).items()
        )
        labels: Labels | None = None
        match given:
            case {"ranges": ranges}:
                key = f"{self.where}.ground_truth.ranges"
                labels = Ranges(tuple(_range(limits, key) for limits in ranges))
                whole = (0 if given.get("unit") == "seconds" else 1, None)
                if len(stems) > 1 and any(limits != whole for limits in labels.ranges):
                    raise SdorError(
                        f"{key}: would be the labels of each of {len(stems)} clips; write an entry "
                        "of clips for each, or a table (csv) with where"
                    )
            case {"ucsd": file}:
                # Clips may have a list each, which has one entry then.
                sharing, at = ([stem], 0) if "{clip}" in file else (stems, place)
                ends = [re.search(r"[0-9]+$", one) for one in sharing]
                numbers = tuple(end and int(end[0]) for end in ends)
                labels = UcsdList(self._beside("ucsd", file, stem), at + 1, numbers)
            case {"csv": file}:
                table, rows = self._beside("csv", file, stem), (where, "others" in given)
                if "frame" in given:
                    labels = FrameTable(table, given["frame"], given["anomalous"], *rows)
                else:
                    labels = RangeTable(table, given["first"], given["last"], *rows)
        masks = None
        match given.get("pixel_masks"):
            case {"folder": folder, "optional": True}:
                masks = self.root / expanded(folder.replace("{clip}", stem))
                masks = masks if self.rendered is not None or masks.is_dir() else None
            case str(folder) | {"folder": folder}:
                masks = self._beside("pixel_masks", folder, stem)
        if labels is None and masks is None:
            return None
        numbering, unit = given.get("numbering", "clip"), given.get("unit", "frames")
        return GroundTruth(labels, masks, numbering, unit)

    def _beside(self, key: str, pattern: str, stem: str) -> Path:
        """The file or folder that has a clip's labels."""
        path = self.root / expanded(pattern.replace("{clip}", stem))
        kind = "folder" if key == "pixel_masks" else "file"
        # These say no where a path cannot be looked at, or is too long to be one.
        there = {"folder": os.path.isdir, "file": os.path.isfile}[kind](path)
        if self.rendered is None and not there:
            other = f"; a {kind} is expected, and it is none" * os.path.exists(path)
            raise SdorError(
                f"{self.where}.ground_truth.{key}: clip {stem}: no {kind} {path}{other}"
            )
        return path


def _named_elsewhere(entries: Sequence[_Entry], root: Path) -> dict[Path, str]:
    """What patterns match and entries of their own name, with the name where it is another one."""
    named = {identity(entry.path): entry.path for entry in entries if entry.is_named}
    found = [one for entry in entries if not entry.is_named for one in entry.found.sources]
    owners = {one: named[which] for one in found if (which := identity(one)) in named}
    return {
        one: "" if own == one else f"the same as {own.relative_to(root)}"
        for one, own in owners.items()
    }


def _refuse_masks(entries: Sequence[_Entry]) -> None:
    """Refuse folders that are to be a clip and the pixel masks of another one."""
    masks = set()
    for entry in entries:
        match entry.given.get("ground_truth"):
            case {"pixel_masks": str(folder) | {"folder": folder}}:
                stems = (entry.stem(one) for one in entry.found.sources)
                folders = (entry.root / folder.replace("{clip}", stem) for stem in stems)
                masks |= {identity(one) for one in folders}
    for entry in entries:
        if both := [one for one in entry.found.sources if identity(one) in masks]:
            raise SdorError(
                f"{entry.where}.{entry.kind}: {entry.given[entry.kind]} matches "
                f"{some_of(entry.found.sources, entry.root)}, of which {some_of(both, entry.root)} "
                "has pixel_masks of the scene; write a pattern that leaves these out"
            )


def _with_names(found: Sequence[tuple[Clip, tuple[str, ...]]], path: Path) -> tuple[Clip, ...]:
    """The clips with names that differ, also in other than case: they are names of files.

    Raises
    ------
    SdorError : names that were given are the same, or one file is taken twice under one name; two
        clips of different files would have the same labels.
    """
    names = distinct_names([names for _, names in found])
    others: dict[str, Clip] = {}
    labels: dict[object, Clip] = {}
    for name, (clip, _) in zip(names, found, strict=True):
        if (other := others.setdefault(name.casefold(), clip)) is not clip:
            raise SdorError(
                f"{path}: two clips are called {clip.name} ({other.source}, {clip.source}); list "
                "them one by one, each once and with a name of its own"
            )
        if not is_usable_name(name):
            raise SdorError(
                f"{path}: name: {name}: cannot be a clip's; give one of letters and digits, of 100 "
                "signs at most, that does not end in one part again and again"
            )
        truth = clip.ground_truth or GroundTruth(None)
        for one in (truth.labels, truth.pixel_masks):
            if one is None or isinstance(one, Ranges):
                continue
            if (other := labels.setdefault(one, clip)).source != clip.source:
                file = one if isinstance(one, Path) else one.path
                raise SdorError(
                    f"{path}: {other.source} and {clip.source} would have the same ground truth "
                    f"({file}); put {{clip}} into the file's name or into where, or list them one "
                    "by one, each with a name and labels of its own"
                )
    return tuple(replace(clip, name=name) for name, (clip, _) in zip(names, found, strict=True))


def _in_common(clips: Sequence[Clip]) -> Iterator[str]:
    """A line for each two clips that have frames of one file in common."""
    files: dict[object, list[Clip]] = {}
    for clip in clips:
        files.setdefault((identity(clip.path), clip.stream), []).append(clip)
    for same in files.values():
        for one, other in combinations(same, 2):
            ends = [inf if clip.last is None else clip.last for clip in (one, other)]
            if max(one.first, other.first) <= min(ends):
                names = f"{one.name} and {other.name}"
                yield f"{names} have frames of {one.source} in common, which count twice"


def _joined(
    given: Document | None, scene: str, root: Path, entries: Sequence[_Entry]
) -> Joined | None:
    """The joined video when the clips' own files are not complete and it is there, else None."""
    if given is not None:
        for entry in entries:
            if (number := entry.given["sequence"]) > given["sequences"]:
                raise SdorError(
                    f"{entry.where}.sequence: {number} is beyond joined.sequences, which is "
                    f"{given['sequences']}"
                )
    missing = [entry for entry in entries if not entry.found.sources]
    if missing and given is not None and (root / given["video"]).is_file():
        return Joined(root / given["video"], given["sequences"])
    if len(missing) == len(entries):
        looked = missing[0].given[missing[0].kind]
        raise DataNotFound(f"scene {scene}: data not found under {root} (looked for {looked})")
    for entry in missing:
        name = entry.given.get("name", entry.path.stem)
        what = "file" if entry.kind == "video" else "folder"
        raise SdorError(f"{entry.where}: clip {name}: no {what} {entry.path}")
    return None


def _range(limits: Sequence[Any], where: str) -> tuple[Any, Any]:
    """First and last as they are written, None for the end."""
    first, last = (None if limit == "end" else limit for limit in limits)
    if last is not None and last < first:
        raise SdorError(f"{where}: [{first}, {last}] ends before it begins")
    return first, last
