"""Where runs are recorded: MLflow's store by its URI, and whether it can be used."""

import os
import re
import sqlite3
import ssl
import urllib.request
from contextlib import closing
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import urlsplit

# In the working directory, where a plain `mlflow ui` looks for it.
DEFAULT_STORE = "sqlite:///mlflow.db"
SECONDS = 5.0  # for an answer


def store_uri() -> str:
    """The URI: MLFLOW_TRACKING_URI, else of a file in the working directory."""
    return os.environ.get("MLFLOW_TRACKING_URI") or DEFAULT_STORE


def without_secrets(words: str) -> str:
    """A URI, or a line that quotes one, as it may be written down: no user name, no password."""
    return re.sub(r"(\w+://)[^/\s]*@", r"\1", words)


def sqlite_file(uri: str) -> Path | None:
    """The file of an SQLite store; None for other stores."""
    found = re.match(r"sqlite(?:\+\w+)?:///([^?]+)", uri)
    return Path(found[1]) if found else None


def store_fault(uri: str) -> str:
    """Why a store cannot be used, found out in seconds; empty where nothing speaks against it.

    An SQLite file is opened for reading only, a server just called; nothing is made or changed.
    """
    if not re.match(r"[\w+.-]+:|databricks", uri) or uri.startswith("file:"):
        return "MLflow keeps no runs in folders of files any more"
    file = sqlite_file(uri)
    try:
        urlsplit(uri)
        if uri.startswith(("http://", "https://")):
            urllib.request.urlopen(without_secrets(uri), timeout=SECONDS).close()
        elif file is not None and file.exists():
            address = f"{file.resolve().as_uri()}?mode=ro"
            with closing(sqlite3.connect(address, uri=True, timeout=SECONDS)) as database:
                database.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except HTTPError:
        return ""  # an answer, such as that it wants a password
    except sqlite3.Error as error:
        return f"its file is damaged ({error}): move or delete it"
    except (OSError, HTTPException, ValueError) as error:
        reason = getattr(error, "reason", error)
        # A certificate that Python does not know is an answer; MLflow may be told to trust it.
        return "" if isinstance(reason, ssl.SSLError) else f"no answer ({reason})"
    place = file if file is None or file.exists() else file.absolute().parent
    return "" if place is None or os.access(place, os.W_OK) else f"{place} cannot be written"


def failed_imports(failures: Path) -> int:
    """How many imports could not be completed: lines of the file that tells of them.

    A job runs again when its parameters change, and this is one of them.
    """
    return len(failures.read_text().splitlines()) if failures.is_file() else 0
