"""The user's own command of a watchlist, run again after a round of marks, one at a time."""

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

UNSHOWN = re.compile(r"\x1b\[[0-9;]*m|[\x00-\x1f\x7f-\x9f]")  # colours, and what acts on terminals
OWN, FAULT = "sdor: ", "failed: "  # how lines among Snakemake's begin, and the faults of jobs
LAST = 10.0  # s that a run has to end in


class Command(NamedTuple):
    """A command, word by word, and the folder that it is run in.

    Attributes
    ----------
    noted : whether a run has noted it. lacks : a path that it names and is not there; "" for none.
    """

    words: Sequence[str]
    folder: Path = Path()
    noted: bool = True
    lacks: str = ""


class Run:
    """A run of the workflow.

    Parameters
    ----------
    command : that runs it.

    Attributes
    ----------
    line : the last that `sdor` said in it, or why it failed. failed : whether the last run did.
    """

    def __init__(self, command: Command) -> None:
        self.line, self.failed = "", False
        self._command, self._lock = command, threading.Lock()
        self._process: subprocess.Popen[str] | None = None
        self._again = False

    @property
    def at_work(self) -> bool:
        """Whether it has not ended yet."""
        return self._process is not None

    def start(self, *, anew: bool = False) -> None:
        """Start it; where it is at work, once more when that has ended, if it is to be anew."""
        with self._lock:
            if self._process:
                self._again = self._again or anew
                return
            self._again = False
            self.line, self.failed = "begins", False
            words, folder = self._command[:2]
            if words[0] == "snakemake":
                words = [sys.executable, "-m", *words]
            try:
                self._process = subprocess.Popen(
                    words,
                    cwd=folder,
                    env={**os.environ, "PWD": str(folder.absolute())},  # as a shell has it
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    text=True,
                    errors="replace",
                    start_new_session=True,  # Ctrl-C is for the page
                )
            except OSError as error:
                self.line, self.failed = f"{words[0]}: cannot be run ({error.strerror})", True
                return
            threading.Thread(target=self._follow, args=[self._process], daemon=True).start()

    def stop(self) -> None:
        """End it, if it is at work; what its jobs have finished is kept."""
        process, self._again = self._process, False
        if process is None:
            return
        for sign in (signal.SIGTERM, signal.SIGKILL):
            with suppress(ProcessLookupError):
                os.killpg(process.pid, sign)
            with suppress(subprocess.TimeoutExpired):
                process.wait(LAST)
                return

    def _follow(self, process: "subprocess.Popen[str]") -> None:
        assert process.stdout is not None
        last = ""
        for line in process.stdout:
            last = UNSHOWN.sub("", line).strip() or last
            if last.startswith(OWN):
                self.line = last.removeprefix(OWN)
        if process.wait() != 0:
            fault = self.line if self.line.startswith(FAULT) else last.removeprefix(OWN)
            self.line, self.failed = fault.removeprefix(FAULT), True
        with self._lock:
            self._process = None
        if self._again:
            self.start()
