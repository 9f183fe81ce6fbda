"""What surrounds the work of one job: log, manifest, and its failure in one line."""

import glob
import logging
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sdor.errors import SdorError
from sdor.files import CHECKPOINT, opening
from sdor.progress import logger
from sdor.running.manifest import remove, write_entries
from sdor.running.run import leave, one_line_faults, say_line, take_ticket

# Before a log file is open, faults are said on the terminal alone; and on a full disk only once.
logger.addHandler(logging.NullHandler())
logging.raiseExceptions = False


@dataclass
class Work:
    """What a job says of its work: the number that says most, in words ("merged AUC 78.4")."""

    summary: str = ""


@contextmanager
def job(script: Any, name: str) -> Iterator[Work]:
    """Run one job: alone at its outputs, with a log, a line at its end, and manifest entries.

    Parameters
    ----------
    script : Snakemake's object in scripts, of which `input`, `output` and `log` are looked at.
    name : what the job does, in words that stand before the fault ("frames of ped2/Test001").
    """
    log, started, work = Path(script.log[0]), time.monotonic(), Work()
    # A job that is asked to end removes its temporary files, as one that fails does.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    with one_line_faults():
        ticket = take_ticket(name, log)

    def end(line: str) -> None:
        logger.info(line)
        leave(ticket, "")
        say_line(line)

    with ticket:
        try:
            _log_to(log)
            for output in map(Path, script.output):
                _sweep(output)
                _sweep(output.with_name(CHECKPOINT))
            yield work
            write_entries(script.output, script.input, name)
            seconds = time.monotonic() - started
            end(f"{name}: done in {seconds:.1f} s{work.summary and f'; {work.summary}'}")
        except SdorError as error:
            line = f"{name}: {' '.join(str(error).split())}"
            logger.error(line)
            leave(ticket, f"{line} (log: {log})")
            raise SystemExit(1) from None
        except KeyboardInterrupt:
            end(f"{name}: stopped; the same command goes on from here")
            raise SystemExit(130) from None
        except Exception as error:
            logger.exception("%s: failed", name)
            leave(ticket, f"{name}: a bug ({type(error).__name__}): its traceback is in {log}")
            raise


def _sweep(path: Path) -> None:
    """Remove what killed writers of `path` left beside it, by the names that `tempfile` gives."""
    for left in path.parent.glob(f".{glob.escape(path.stem)}.????????{glob.escape(path.suffix)}"):
        remove(left)


def _log_to(path: Path) -> None:
    with opening(path):
        handler = logging.FileHandler(path, mode="w")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
