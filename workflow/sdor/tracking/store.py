"""Where runs are recorded: MLflow's store by its URI, and whether it can be used."""

import os
import re
import socket
import sqlite3
import urllib.request
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

# In the working directory, where a plain `mlflow ui` looks for it.
DEFAULT_STORE = "sqlite:///mlflow.db"
CONNECT_SECONDS = 5.0


def store_uri() -> str:
    """The URI: MLFLOW_TRACKING_URI, else of a file in the working directory."""
    return os.environ.get("MLFLOW_TRACKING_URI") or DEFAULT_STORE


def without_secrets(words: str) -> str:
    """A URI, or a line that quotes one, as it may be written down: no user name, no password."""
    return re.sub(r"(\w+://)[^/\s]*@", r"\1", words)


def sqlite_file(uri: str) -> Path | None:
    """The file of an SQLite store; None for other stores."""
    scheme, found, rest = uri.partition(":///")
    if not found or scheme.split("+")[0] != "sqlite":
        return None
    return Path(rest.partition("?")[0])


def store_fault(uri: str) -> str:
    """Why a store cannot be used, found out in seconds; empty where nothing speaks against it.

    An SQLite file is opened for reading only, a server just called; nothing is made or changed.
    """
    file, parts = sqlite_file(uri), urlsplit(uri)
    if file is not None:
        place = file if file.exists() else file.absolute().parent
        if file.exists():
            address = f"{file.resolve().as_uri()}?mode=ro"
            try:
                with closing(sqlite3.connect(address, uri=True, timeout=2)) as database:
                    database.execute("SELECT count(*) FROM sqlite_master").fetchone()
            except sqlite3.Error as error:
                return f"its file is damaged ({error}): move or delete it"
        return "" if os.access(place, os.W_OK) else f"{place} cannot be written"
    if parts.scheme in ("", "file"):
        return "MLflow keeps no runs in folders of files any more"
    proxies = urllib.request.getproxies()
    if parts.scheme not in ("http", "https") or parts.hostname is None:
        return ""
    if parts.scheme in proxies and not urllib.request.proxy_bypass(parts.hostname):
        return ""
    port = parts.port or {"http": 80, "https": 443}[parts.scheme]
    try:
        socket.create_connection((parts.hostname, port), CONNECT_SECONDS).close()
    except OSError as error:
        return f"no answer ({error.strerror or error})"
    return ""


def failed_imports(failures: Path) -> int:
    """How many imports could not be completed: lines of the file that tells of them.

    A job runs again when its parameters change, and this is one of them.
    """
    return len(failures.read_text().splitlines()) if failures.is_file() else 0
