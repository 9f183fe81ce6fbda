"""A GPU for each process: one that no other process of this user computes on, where there is one.

A process locks a file that is called after its GPU, until it ends, however it ends. The files lie
in the folder for temporary files, so that runs in different folders know of each other.
"""

import fcntl
import os
import tempfile
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import BinaryIO

from sdor.progress import logger

_held: dict[str, BinaryIO] = {}  # open, and so locked, until the process ends


def lease(names: Sequence[str], folder: Path | None = None) -> int:
    """Index of a device that is this process's own until it ends; the same at each call.

    Where all are taken, it is one that few share; where nothing can be locked, the first. The log
    says so.

    Parameters
    ----------
    names : of the devices, whatever number a process knows them by.
    folder : of the locks; one of this user's in the folder for temporary files if None.
    """
    folder = folder or Path(tempfile.gettempdir()) / f"sdor-gpus-{os.getuid()}"
    if held := [number for number, name in enumerate(names) if name in _held]:
        return held[0]
    places = ((others, number) for others in count() for number in range(len(names)))
    try:
        for others, number in places:
            if file := _locked(folder / f"{names[number]}.{others}"):
                _held[names[number]] = file
                break
    except OSError as error:
        logger.warning("GPU 0, whoever else computes on it: %s: %s", folder, error.strerror)
        return 0
    if others:
        logger.warning("GPU %d, shared with others (%d): all are taken", number, others)
    else:
        logger.info("GPU %d of %d", number, len(names))
    return number


def _locked(path: Path) -> BinaryIO | None:
    """The file, locked; None if another process has it (OSError: nothing can be locked there)."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    file = path.open("ab")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    return file
