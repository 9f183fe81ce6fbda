"""The command of a folder's watchlist, as its user gave it: noted, to be run after each round."""

import os
import re
import shlex
from collections.abc import Sequence
from pathlib import Path

from sdor.errors import SdorError
from sdor.files import read_json, write_json

# The command line of the last run that was asked for a watchlist here.
COMMAND = Path(".snakemake/sdor/watchlist-command")
PAGES = ("watchlist", "watchlist.html", "watchlist.csv")
# Options with which Snakemake makes no list, or not all of it.
STAYS = re.compile(
    r"-[DOSUlt]|--(archive|cleanup-.*|cm|conda-(cleanup-envs|create-envs-only)|containerize"
    r"|container-cleanup-images|d3dag|dag|delete-.*|detailed-summary|draft-notebook|edit-notebook"
    r"|export-cwl|filegraph|generate-unit-tests|l[ciptu]|lint|list.*|omit-from|print-compilation"
    r"|report|rulegraph|summary|touch|unlock|until)"
)
# Options that would make anew after each round what is there; the last two are followed by names.
FORCES = ("-F", "--forceall", "-f", "--force")
FORCES_SOME = ("-R", "--forcerun")
# Options that are followed by files, and what Snakemake looks for without the first.
FILES = ("--snakefile", "--configfile", "--configfiles")
SNAKEFILES = ("Snakefile", "snakefile", "workflow/Snakefile", "workflow/snakefile")
DIRECTORY = re.compile(r"(--directory=|-d=?)(.+)", re.DOTALL)


def asks_for_list(argv: Sequence[str]) -> bool:
    """Whether a command line is to make a watchlist, or to say how."""
    words = _repeatable(argv[1:])
    if any(STAYS.fullmatch(one.partition("=")[0]) for one in words):
        return False
    at, _, _ = _directory(words)
    targets = (one for place, one in enumerate(words) if place != at and "=" not in one)
    return any(Path(one).name in PAGES for one in targets)


def note_command(argv: Sequence[str], videos: str = "", folder: Path = Path()) -> None:
    """Keep the command line of a run that asks for a watchlist, for `watchlist_command`.

    Parameters
    ----------
    videos : the folder of video that the list is of, "" where it is of scenes.
    """
    words, begun = _repeatable(argv[1:]), ""
    if directory := _directory(words)[2]:
        # Snakemake has left the folder then that paths in its words are below.
        begun = os.environ.get("PWD", "")
        if not begun or not _is_same(Path(begun, directory), folder):
            begun = ""  # of a program that says it is elsewhere than it is
    document = {"argv": ["snakemake", *words], "folder": begun, "videos": videos}
    write_json(folder / COMMAND, document)


def is_noted(folder: Path = Path()) -> bool:
    """Whether a command of a folder's watchlist is known."""
    return bool(_noted(folder)[0])


def watchlist_command(folder: Path = Path(), videos: str = "") -> list[str]:
    """The command that makes the watchlist of a folder of results as its user did, word by word.

    Its first word is "snakemake", which Python runs as a module, too (`python -m`). Where the
    folder is a copy, or was moved, the command is for it, not for the one that it was given for.

    Parameters
    ----------
    folder : that holds `results`; `command_folder` says where the command is to be run.
    videos : folder of video for the command where none is known.
    """
    words, begun, _ = _noted(folder)
    if not words:
        given = ["--config", f"videos={videos}"] if videos else []
        return ["snakemake", "--cores", "all", "watchlist", *given]
    at, option, directory = _directory(words)
    if directory and not (begun and _is_same(Path(begun, directory), folder)):
        words[at] = f"{option}{folder.absolute()}"
    return words


def command_folder(folder: Path = Path()) -> Path:
    """Where the command of a folder of results is run: there, unless its user did elsewhere."""
    begun = _noted(folder)[1]
    return Path(begun) if begun and Path(begun).is_dir() else folder.absolute()


def lacking(folder: Path = Path()) -> str:
    """What the noted command of a folder names and is not there; "" where nothing is missing.

    Its paths are those of the place that it was given at: a copy elsewhere may have none of them.
    """
    words, _, videos = _noted(folder)
    begun, wanted, option = command_folder(folder), list[Path](), ""
    for word in words[1:]:
        if word.startswith("-"):
            option, _, value = re.sub("^-s(=|$)?", "--snakefile=", word).partition("=")
        else:
            value = word
        if value and option in FILES:
            wanted.append(begun / value)
            option = option.replace("--snakefile", "")  # the next word is a target
    if words and not any(re.match("-s|--snakefile", one) for one in words):
        there = (one for one in SNAKEFILES if (begun / one).is_file())
        wanted.append(begun / next(there, SNAKEFILES[0]))
    wanted += [folder / videos] if videos else []
    return next((os.path.abspath(one) for one in wanted if not one.exists()), "")


def require_videos(folder: Path = Path()) -> None:
    """Keep the demo's watchlist from the place of one of a folder of video.

    Raises
    ------
    SdorError : there is such a list.
    """
    if videos := _noted(folder)[2]:
        raise SdorError(
            f"videos: is not given, and the demo's watchlist would take the place of that of "
            f"{videos}, which was made by: {shlex.join(watchlist_command(folder))}"
        )


def _noted(folder: Path) -> tuple[list[str], str, str]:
    """Words, where they were given, and the folder of video; empty where nothing is known."""
    try:
        document = read_json(folder / COMMAND)
        words, begun = document["argv"], document["folder"]
        if isinstance(words, list) and all(isinstance(one, str) for one in (*words, begun)):
            given = (one.partition("=")[2] for one in words if one.startswith("videos="))
            return words, begun, document.get("videos", next(given, ""))
    except (SdorError, KeyError, TypeError):
        pass
    return [], "", ""


def _repeatable(words: Sequence[str]) -> list[str]:
    """Words without those that would make everything anew each time that they are given."""
    kept, names_follow = list[str](), False
    for word in words:
        names_follow = names_follow and not word.startswith("-")
        if word.partition("=")[0] in FORCES_SOME:
            names_follow = "=" not in word
        elif not names_follow and word not in FORCES:
            kept.append(re.sub("^-[Ff]+(?=[^-=])", "-", word))
    return kept


def _directory(words: Sequence[str]) -> tuple[int, str, str]:
    """Which word names the folder that Snakemake works in, what is before it, and that folder."""
    for at, word in enumerate(words):
        if word in ("-d", "--directory") and at + 1 < len(words):
            return at + 1, "", words[at + 1]
        if match := DIRECTORY.fullmatch(word):
            return at, match[1], match[2]
    return -1, "", ""


def _is_same(one: Path, other: Path) -> bool:
    return one.resolve() == other.resolve()
