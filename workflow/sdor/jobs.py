"""What surrounds the work of one job: its log file, its progress, and its failure in one line."""

import logging
import os
import signal
import sys
import time
from collections.abc import Iterable, Iterator, Sized
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from tqdm import tqdm

from sdor.errors import SdorError
from sdor.invocation import hold_as_job

FAILURES_VARIABLE, STATE_VARIABLE = "SDOR_FAILURES", "SDOR_STATE"
LOG_INTERVAL = 60.0  # seconds between two progress lines in a log file
Item = TypeVar("Item")
logger = logging.getLogger("sdor")


@contextmanager
def job(log: str | Path, name: str) -> Iterator[None]:
    """Run one job: log to its file; show a user's fault as one line and leave with status 1.

    Parameters
    ----------
    log : the job's log file; it starts anew.
    name : what the job does, in words that stand before the fault ("frames of ped2/Test001").
    """
    path = Path(log)
    path.parent.mkdir(parents=True, exist_ok=True)
    file_handler = logging.FileHandler(path, mode="w")
    file_handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logger.setLevel(logging.INFO)
    logger.addHandler(file_handler)
    started = time.monotonic()
    # A job that is asked to end leaves through the same doors as one that fails.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    held = hold_as_job(Path(os.environ[STATE_VARIABLE])) if STATE_VARIABLE in os.environ else None
    try:
        yield
        logger.info("%s: done in %.1f s", name, time.monotonic() - started)
    except SdorError as error:
        line = f"{name}: {' '.join(str(error).split())}"
        logger.error(line)
        print(f"sdor: {line}", file=sys.stderr)
        report_failure(f"{line} (log: {path})")
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        line = f"{name}: stopped; the same command goes on from here"
        logger.info(line)
        print(f"sdor: {line}", file=sys.stderr)
        raise SystemExit(130) from None
    except Exception:
        logger.exception("%s: failed", name)
        raise
    finally:
        logger.removeHandler(file_handler)
        file_handler.close()
        if held is not None:
            held.close()


def report_failure(line: str) -> None:
    """Leave one line for the end of the whole run, where its own output scrolled by."""
    path = os.environ.get(FAILURES_VARIABLE)
    if path:
        with Path(path).open("a") as file:
            file.write(line + "\n")


def track(
    items: Iterable[Item], *, total: int | None = None, unit: str, label: str
) -> Iterator[Item]:
    """Pass the items through, showing rate and time left.

    A person at a terminal sees a bar; a log file gets a line a minute.
    """
    if total is None and isinstance(items, Sized):
        total = len(items)
    last_line = time.monotonic()
    with tqdm(
        items, total=total, unit=unit, desc=label, leave=False, disable=not sys.stderr.isatty()
    ) as bar:
        started = time.monotonic()
        for done, item in enumerate(bar, start=1):
            yield item
            now = time.monotonic()
            if now - last_line >= LOG_INTERVAL:
                last_line = now
                logger.info(
                    "%s",
                    tqdm.format_meter(done, total or 0, now - started, unit=unit, prefix=label),
                )
