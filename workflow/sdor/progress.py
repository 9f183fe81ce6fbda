"""Progress of long work: a bar for a person who watches, a line a minute in a log file."""

import logging
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sized
from typing import TypeVar

from tqdm import tqdm

LOG_INTERVAL = 60.0  # seconds between two progress lines in a log file
Item = TypeVar("Item")
logger = logging.getLogger("sdor")


def counted(number: int, thing: str) -> str:
    """How many there are, in words: 1 file, 12,000 files."""
    return f"{number:,} {thing}{'s' * (number != 1)}"


def track(
    items: Iterable[Item],
    *,
    total: int | None = None,
    unit: str,
    label: str,
    count: Callable[[Item], int] = lambda _: 1,
) -> Iterator[Item]:
    """Pass the items through, showing rate and time left.

    A person at a terminal sees a bar; a log file gets a line a minute.

    Parameters
    ----------
    count : how many units an item stands for.
    """
    if total is None and isinstance(items, Sized):
        total = len(items)
    last_line = time.monotonic()
    with tqdm(
        total=total, unit=unit, desc=label, leave=False, disable=not sys.stderr.isatty()
    ) as bar:
        started, done = time.monotonic(), 0
        for item in items:
            yield item
            done += count(item)
            bar.update(count(item))
            now = time.monotonic()
            if now - last_line >= LOG_INTERVAL:
                last_line = now
                logger.info(
                    "%s",
                    tqdm.format_meter(done, total or 0, now - started, unit=unit, prefix=label),
                )
