"""Rounds of an operator's marks: which there are, what was learnt from them, and by which command.

A camera's rounds are files that people write, `feedback/{camera}/round{n}.csv`, from 1 without a
gap. What is learnt from the first n of them lies in `results/{camera}/watch/round{n}/`, and what
is learnt without marks in the folder above.
"""

import os
import re
from collections.abc import Sequence
from pathlib import Path

from sdor.errors import SdorError
from sdor.files import read_json, write_json

FEEDBACK = Path("feedback")
# The command line of the last run that made a watchlist here.
COMMAND = Path(".snakemake/sdor/watchlist-command")
PAGES = ("watchlist", "watchlist.html", "watchlist.csv")
ROUND = re.compile(r"round([1-9]\d*)")


def finished_rounds(camera: str, feedback: Path = FEEDBACK) -> list[Path]:
    """The files of a camera's finished rounds, in order.

    Raises
    ------
    SdorError : a number is left out, or a file is called like a round without being one.
    """
    folder, found = feedback / camera, dict[int, Path]()
    for path in sorted(folder.glob("round*.csv")):
        if not (match := ROUND.fullmatch(path.stem)):
            raise SdorError(
                f"{path}: rounds are called round1.csv, round2.csv and so on; rename it, or move "
                "it out of the folder"
            )
        found[int(match[1])] = path
    for number in range(1, len(found) + 1):
        if number not in found:
            raise SdorError(
                f"{folder}/round{max(found)}.csv: there is no round{number}.csv, and rounds are "
                "counted from 1 without a gap; rename the files"
            )
    return [found[number] for number in sorted(found)]


def newest(watch: Path, file: str = "model.safetensors", rounds: int | None = None) -> Path:
    """The folder of the newest round that has a file, or the one without marks.

    Parameters
    ----------
    watch : `results/{camera}/watch`.
    rounds : how many are finished, where that is known: what is learnt from more of them is left
        of marks that were taken away.
    """
    found = {
        int(match[1]): one
        for one in watch.glob("round*")
        if (match := ROUND.fullmatch(one.name)) and (one / file).is_file()
    }
    known = [number for number in found if rounds is None or number <= rounds]
    return found[max(known)] if known else watch


def archive_of(folder: Path) -> Path:
    """Where a camera's looks are, of the folder of a round, or of the one without marks."""
    return folder.parent if ROUND.fullmatch(folder.name) else folder


def note_command(argv: Sequence[str], folder: Path = Path()) -> None:
    """Keep the command line of a run that asks for a watchlist, for `watchlist_command`."""
    if any(Path(one).name in PAGES for one in argv[1:] if "=" not in one):
        # Snakemake has left the folder then that paths in its words are below.
        left = any(one.partition("=")[0] in ("-d", "--directory") for one in argv)
        begun = os.environ.get("PWD", "") if left else ""
        write_json(folder / COMMAND, {"argv": ["snakemake", *argv[1:]], "folder": begun})


def watchlist_command(folder: Path = Path(), videos: str = "") -> list[str]:
    """The command that makes the watchlist of a folder of results as its user did, word by word.

    Its first word is "snakemake", which Python runs as a module, too (`python -m`).

    Parameters
    ----------
    folder : that holds `results`; `command_folder` says where the command is to be run.
    videos : folder of video for the command where none is known.
    """
    try:
        words = read_json(folder / COMMAND)["argv"]
        if isinstance(words, list) and words and all(isinstance(one, str) for one in words):
            return words
    except (SdorError, KeyError, TypeError):
        pass
    given = ["--config", f"videos={videos}"] if videos else []
    return ["snakemake", "--cores", "all", "watchlist", *given]


def command_folder(folder: Path = Path()) -> Path:
    """Where the command of a folder of results is run: there, unless its user did elsewhere."""
    try:
        begun = read_json(folder / COMMAND)["folder"]
        return Path(begun) if Path(begun).is_dir() and begun else folder.absolute()
    except (SdorError, KeyError, TypeError):
        return folder.absolute()
