"""Files between the stages: written whole or not at all, read with errors that name the file."""

import contextlib
import errno
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from sdor.errors import SdorError

About = Mapping[str, Any]  # what a file says of itself: units, fingerprints, settings
METADATA_KEY = b"sdor"
CHECKPOINT = "checkpoint.pt"  # beside the outputs of a training: its state, now and then
ROOM = 1 << 20  # bytes: with less left on a disk, a write that failed did so for want of room
UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO)


@contextlib.contextmanager
def opening(path: Path) -> Iterator[None]:
    """Make the folder of a file that the block opens to write (SdorError: it cannot be written)."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise SdorError(
            f"{path}: cannot write here ({error.strerror}); check the folder"
        ) from error


@contextlib.contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """Yield a temporary name beside `path`; rename it to `path` when the block ends well.

    A block that fails or is killed leaves whatever stood under `path` before. The temporary name
    starts with a dot and keeps the suffix, so that writers which look at it behave as usual.

    Raises
    ------
    SdorError : the folder cannot be written, or the disk is full.
    """
    path = Path(path)
    with opening(path):
        handle, name = tempfile.mkstemp(
            dir=path.parent, prefix=f".{path.stem}.", suffix=path.suffix
        )
        os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        os.replace(temporary, path)
    except BaseException as error:
        # Libraries tell of a full disk in exceptions of their own, so look while it is still full.
        reason = _why_unwritable(error, path.parent)
        temporary.unlink(missing_ok=True)
        if reason is not None:
            raise SdorError(f"{path}: not written ({reason}); make room for it") from error
        raise


def forget_checkpoint(output: str | Path) -> None:
    """Remove the checkpoint of the training that an output is of: what followed from it is safe."""
    Path(output).with_name(CHECKPOINT).unlink(missing_ok=True)


def write_json(path: str | Path, value: Any) -> None:
    """Write `value` as indented JSON, atomically; a NaN is refused (it would not be JSON).

    Raises
    ------
    SdorError : the folder cannot be written, or the disk is full. ValueError : a NaN.
    """
    with atomic(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2, allow_nan=False) + "\n")


def read_json(path: str | Path) -> Any:
    """Read JSON; a damaged file is an `SdorError` that names it."""
    try:
        return json.loads(Path(path).read_text())
    except (OSError, ValueError) as error:
        raise SdorError(damaged(path, error)) from error


def digest(content: bytes) -> str:
    """First 16 hexadecimal digits of the SHA-256 of some bytes."""
    return hashlib.sha256(content).hexdigest()[:16]


def digest_of(value: Any) -> str:
    """Fingerprint of a JSON-like value, whatever the order of its keys."""
    return digest(json.dumps(value, sort_keys=True).encode())


def file_sha256(path: str | Path) -> str:
    """SHA-256 of a whole file, read in pieces."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def schema_metadata(about: About) -> dict[bytes, bytes]:
    """Parquet schema metadata that carries `about` (units, fingerprint, settings) as JSON."""
    return {METADATA_KEY: json.dumps(dict(about)).encode()}


def write_parquet(path: str | Path, table: pd.DataFrame, about: About) -> None:
    """Write a table atomically, with `about` (units, producing fingerprint) in its schema.

    Raises
    ------
    SdorError : the folder cannot be written, or the disk is full.
    """
    arrow = pa.Table.from_pandas(table, preserve_index=False)
    merged = {**(arrow.schema.metadata or {}), **schema_metadata(about)}
    with atomic(path) as temporary:
        pq.write_table(arrow.replace_schema_metadata(merged), temporary)


def open_parquet(path: str | Path) -> pq.ParquetFile:
    """Open a Parquet file for reading by row group; a damaged one is an `SdorError`."""
    try:
        return pq.ParquetFile(path)
    except (OSError, pa.ArrowException) as error:
        raise SdorError(damaged(path, error)) from error


def read_parquet(path: str | Path, columns: list[str] | None = None) -> pd.DataFrame:
    """Read a table; a damaged or missing file is an `SdorError` that names it."""
    try:
        table: pd.DataFrame = pq.read_table(path, columns=columns, partitioning=None).to_pandas()
    except (OSError, pa.ArrowException) as error:
        raise SdorError(damaged(path, error)) from error
    return table


def read_array(path: str | Path, rows: int | None = None) -> npt.NDArray[Any]:
    """An `.npy` file as a memory map, of so many rows.

    One that is missing, damaged or of another number of rows is an `SdorError` that names it.
    """
    try:
        array: npt.NDArray[Any] = np.load(path, mmap_mode="r")
        if rows is not None and len(array) != rows:
            raise ValueError(f"expected {rows} rows, as its table has, found {len(array)}")
    except (OSError, ValueError, EOFError) as error:
        raise SdorError(damaged(path, error)) from error
    return array


def read_about(path: str | Path) -> dict[str, Any]:
    """The `about` record that the writer left in the Parquet schema ({} when there is none).

    Raises
    ------
    SdorError : the file is damaged or missing.
    """
    metadata = open_parquet(path).schema_arrow.metadata or {}
    about: dict[str, Any] = json.loads(metadata.get(METADATA_KEY, b"{}"))
    return about


def damaged(path: str | Path, error: Exception) -> str:
    """One line for a file between the stages that cannot be read."""
    reason = " ".join(str(error).split())
    return f"{path}: damaged or missing file ({reason}); delete it and run the same command again"


def _why_unwritable(error: BaseException, folder: Path) -> str | None:
    """Why a file could not be written, where that is the disk's fault; else None."""
    if isinstance(error, OSError) and error.errno in UNWRITABLE:
        return error.strerror
    if isinstance(error, SdorError) or not isinstance(error, Exception):
        return None
    return os.strerror(errno.ENOSPC) if shutil.disk_usage(folder).free < ROOM else None
