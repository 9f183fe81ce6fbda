"""Files of labels as data sets bring them: text, and arrays of NumPy or MATLAB."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.io import loadmat

from sdor.errors import SdorError
from sdor.study.scenes import ArrayFile

logger = logging.getLogger("sdor")
# By so many frames at a clip's end do decoders differ, and so labels from one of them.
SLACK = 2
NUMBERS = "biuf"  # kinds of NumPy's types that are numbers


def text_of(path: Path) -> str:
    """What is in a text file; a letter in another encoding than UTF-8 becomes U+FFFD.

    Raises
    ------
    SdorError : the file cannot be read.
    """
    try:
        return path.read_text("utf-8-sig", "replace")
    except OSError as error:
        raise SdorError(f"{path}: cannot be read ({error.strerror})") from error


def array_of(file: ArrayFile) -> npt.NDArray[Any]:
    """The array in a `.npy` file, as a memory map, or the variable of a `.mat` file.

    A cell array of MATLAB has NumPy's type object. Nothing is unpickled.

    Raises
    ------
    SdorError : the file is damaged, of another kind, or of MATLAB's version 7.3; there is no such
        variable, or none is named of several.
    """
    path = file.path
    try:
        if path.suffix == ".npy":
            if file.variable:
                raise SdorError(f"{path}: variable: {file.variable}: a .npy file has none")
            return np.lib.format.open_memmap(path, mode="r")
        # Some damage ends the process without a word: the log's last line is this then.
        logger.info("reading %s", path)
        stored = loadmat(path, variable_names=[file.variable] if file.variable else None)
    except SdorError:
        raise
    except NotImplementedError as error:
        raise SdorError(
            f"{path}: a MATLAB file of version 7.3 (HDF5), which is not read; load it in MATLAB "
            "and save it with save(..., '-v7')"
        ) from error
    except Exception as error:  # SciPy lets through what it stumbles over: any kind
        words = " ".join(str(error).split()) or type(error).__name__
        raise SdorError(
            f"{path}: cannot be read as an array of numbers ({words}); put a whole copy in its "
            "place, or save it anew with numpy.save, or in MATLAB with save(..., '-v7')"
        ) from error
    names = [name for name in stored if not name.startswith("_")]  # others are of the format
    if len(names) != 1:
        words = f"no variable {file.variable}" if file.variable else f"variables: {names}"
        raise SdorError(f"{path}: {words}; name the one with the labels (variable)")
    array: npt.NDArray[Any] = np.asarray(stored[names[0]])
    return array


def name_of(file: ArrayFile) -> str:
    """What a message calls the array."""
    return f"{file.path}: {file.variable}" if file.variable else str(file.path)


def in_words(shape: tuple[int, ...]) -> str:
    """The shape of an array, for a message."""
    return " x ".join(map(str, shape)) or "one value"


def expect_marks(values: npt.NDArray[Any], where: str, *others: int) -> None:
    """Refuse an array with anything else in it than 0, 1 and `others`.

    Raises
    ------
    SdorError : with the first such value.
    """
    marks = (0, 1, *others)
    expected = f"{where}: expected {' or '.join(map(str, marks))} (0 is normal), found"
    if values.dtype.kind not in NUMBERS:
        raise SdorError(f"{expected} values of type {values.dtype}")
    wrong = np.flatnonzero(~np.isin(values, marks))
    if len(wrong):
        place = f" as number {wrong[0] + 1}" if values.ndim == 1 else ""
        raise SdorError(f"{expected} {values.flat[wrong[0]]}{place}")


def bridge(where: str, labels: int, frames: int, remarks: list[str]) -> None:
    """Say how a clip's labels are made to fit where they are not as many as its frames.

    Parameters
    ----------
    remarks : gets a line with both counts.

    Raises
    ------
    SdorError : they differ by more than `SLACK`.
    """
    words = f"{where}: {labels} labels for {frames} frames"
    if abs(labels - frames) > SLACK or not labels:
        raise SdorError(f"{words}; expected as many, or up to {SLACK} more or fewer at the end")
    if labels < frames:
        remarks.append(f"{words}; the last label stands for the frames after it, too")
    elif labels > frames:
        remarks.append(f"{words}; those after the last frame are left out")
