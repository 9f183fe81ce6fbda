"""Rounds of an operator's marks: which there are, and what was learnt from them.

A camera's rounds are files that people write, `feedback/{camera}/round{n}.csv`, from 1 without a
gap. What is learnt from the first n of them lies in `results/{camera}/watch/round{n}/`, and what
is learnt without marks in the folder above.
"""

import re
from pathlib import Path

from sdor.errors import SdorError

FEEDBACK = Path("feedback")
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
