"""The one exception for what a user can put right, and the one way to say a line to a user."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class SdorError(Exception):
    """A fault in the input, shown as one line without a traceback.

    The message names the file or clip, the key, the value, and what to do next.
    """


@contextmanager
def fault_in(path: Path, advice: str = "") -> Iterator[None]:
    """Turn what a computation refuses (a ValueError) into a fault of the file that it came from."""
    try:
        yield
    except ValueError as error:
        raise SdorError(f"{path}: {error}{advice and '; '}{advice}") from error


def say(line: str) -> None:
    """Print one line of ours, among Snakemake's, on the standard error."""
    print(f"sdor: {line}", file=sys.stderr, flush=True)
