"""What was recorded where: the receipt of the view in MLflow, and whether it still holds."""

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from sdor.errors import SdorError
from sdor.files import read_json
from sdor.tracking.store import shown_uri, sqlite_file


def receipt_is_stale(receipt: Path, uri: str) -> bool:
    """Whether what a receipt says is not so, or no longer: the runs must be recorded (again).

    So it is when the store could not be reached then, when the store is another one now, and when
    the store's SQLite file has gone or lacks a run. Servers are not asked.
    """
    if not receipt.is_file():
        return False  # it is made anyway
    try:
        known = read_json(receipt)
    except SdorError:
        return True
    if not known.get("complete") or known.get("store") != shown_uri(uri):
        return True
    path = sqlite_file(uri)
    return path is not None and not _has_runs(path, known["runs"])


def _has_runs(path: Path, runs: Mapping[str, Any]) -> bool:
    if not path.is_file():
        return False
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as database:
            stored = {run for (run,) in database.execute("SELECT run_uuid FROM runs")}
    except sqlite3.Error:
        return False
    return stored.issuperset(runs.values())
