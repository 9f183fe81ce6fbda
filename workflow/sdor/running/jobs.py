"""What surrounds the work of one job: log, progress, record, and its failure in one line."""

import logging
import os
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from sdor.errors import SdorError, say
from sdor.progress import logger
from sdor.running.invocation import join
from sdor.running.records import bring_back, write_records

FAILURES_VARIABLE, STATE_VARIABLE = "SDOR_FAILURES", "SDOR_STATE"
DONE, STOPPED = ": done in ", ": stopped; the same command goes on from here"


class Script(Protocol):
    """What a script gets from the workflow, as far as it is looked at here.

    Attributes
    ----------
    rule : the stage's name. log, input, output : paths.
    """

    rule: str
    log: Any
    input: Any
    output: Any


@dataclass
class Work:
    """The work of one job.

    Attributes
    ----------
    figure : the number that says most about it, in words ("merged AUC 78.4"), for people.
    """

    figure: str = ""


@contextmanager
def job(script: Script, name: str) -> Iterator[Work]:
    """Run one job: log to its file, record what it made, show a user's fault as one line.

    Parameters
    ----------
    script : inputs, outputs and log of the job; the log starts anew.
    name : what the job does, in words that stand before the fault ("frames of ped2/Test001").
    """
    path = Path(script.log[0])
    started = time.monotonic()
    # A job that is asked to end leaves through the same doors as one that fails.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    try:
        state = os.environ.get(STATE_VARIABLE)
        held = join(Path(state)) if state else None
    except SdorError as error:
        # Files and logs are another run's now.
        say(f"{name}: {error}")
        raise SystemExit(1) from None
    file_handler: logging.FileHandler | None = None
    work = Work()
    try:
        file_handler = _open_log(path)
        bring_back(script.input)
        yield work
        seconds = time.monotonic() - started
        about = {"stage": script.rule, "name": name, "seconds": seconds, "figure": work.figure}
        write_records(script.output, script.input, about)
        logger.info("%s%s%.1f s%s", name, DONE, seconds, f"; {work.figure}" if work.figure else "")
    except SdorError as error:
        line = f"{name}: {' '.join(str(error).split())}"
        logger.error(line)
        say(line)
        report_failure(f"{line} (log: {path})")
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        line = f"{name}{STOPPED}"
        logger.info(line)
        say(line)
        raise SystemExit(130) from None
    except Exception:
        logger.exception("%s: failed", name)
        raise
    finally:
        if file_handler is not None:
            logger.removeHandler(file_handler)
            file_handler.close()
        if held is not None:
            held.close()


def percent(name: str, cell: Mapping[str, Any]) -> str:
    """A key figure from a measured cell: its value in percent; nothing where it has none."""
    return "" if cell["value"] is None else f"{name} {100 * cell['value']:.1f}"


def report_failure(line: str) -> None:
    """Leave one line for the end of the whole run, where its own output scrolled by."""
    path = os.environ.get(FAILURES_VARIABLE)
    if path:
        try:
            with Path(path).open("a") as file:
                file.write(line + "\n")
        except OSError:  # the line was printed already; on a full disk there is no more to do
            return


class _LogFile(logging.FileHandler):
    """A log file whose lines are lost without a word where the disk is full."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        if not isinstance(sys.exc_info()[1], OSError):
            super().handleError(record)


def _open_log(path: Path) -> logging.FileHandler:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handler = _LogFile(path, mode="w")
    except OSError as error:
        raise SdorError(f"{path}: cannot write here ({error.strerror}); check the folder") from None
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    return handler
