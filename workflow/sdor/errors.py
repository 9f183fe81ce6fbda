"""The one exception for what a user can mend, and the one way to say a line to a user."""

import sys


class SdorError(Exception):
    """A fault in the input, shown as one line without a traceback.

    The message names the file or clip, the key, the value, and what to do next.
    """


def say(line: str) -> None:
    """Print one line of ours, among Snakemake's, on the standard error."""
    print(f"sdor: {line}", file=sys.stderr, flush=True)
