"""Make damaged results again before anything else, and nothing that follows from them.

Snakemake makes a file if what is asked for needs it, and then all that was made from it: a damaged
frame would cost every training, and one that only finished results need would stay away. So the
damaged results are made by a run of their own, with the same options. Those that are byte for byte
what they were get their times back, and the run that was asked for finds that nothing has changed.
"""

import io
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stderr, suppress
from typing import Any

from sdor.errors import SdorError, say
from sdor.invocation import held, only_looks
from sdor.records import Record, Settled, adopt, give_times_back, remember

VARIABLE = "SDOR_REPAIR"  # set in the run that makes damaged results again
# Options that ask for a part of the work, by Snakemake's names for them.
PARTIAL = ("until", "omit_from", "forcerun", "batch", "allowed_rules")
Parser = Callable[[Sequence[str]], Mapping[str, Any]]


def repairing() -> bool:
    """Whether this is a run that makes damaged results again."""
    return bool(os.environ.get(VARIABLE))


def repair(
    found: Settled, arguments: Sequence[str], *, parse: Parser, is_output: Callable[[str], bool]
) -> None:
    """Make again what was found damaged; where a run was only asked for its plan, show the plan.

    Results without a record get one.

    Parameters
    ----------
    arguments : Snakemake's command line, without the program.
    parse : its options by name, among them `targets`.
    is_output : whether a rule of the workflow makes a path.

    Raises
    ------
    SdorError : they could not be made.
    """
    if not only_looks(arguments) and (adopted := adopt(is_output)):
        say(f"{len(adopted)} results had no record: they are recorded as they are")
    paths = [path for path in found.to_make if is_output(path)]
    if not paths:
        return
    options = parse(arguments)
    looks = only_looks(arguments) and not options["dryrun"]
    if looks or options["touch"] or options["forceall"]:
        return
    rest = without_targets(arguments, parse)
    partial = [f"--{name.replace('_', '-')}" for name in PARTIAL if options.get(name)]
    if partial or rest is None:
        without = f" without {partial[0]}" if partial else ", its targets behind --,"
        say(f"a run{without} makes again what is damaged: {', '.join(paths)}")
        return
    before = remember()
    # Were they all forced in one run, it would also make what lies between them.
    for layer in layers(paths, before):
        say(f"first, damaged results are made again: {', '.join(layer)}")
        status = _run([sys.executable, "-m", "snakemake", *rest, "--force", "--", *layer])
        give_times_back(before)
        if status:
            raise SdorError(
                "damaged results were not made again (see above); the same command goes on"
            )
    say("now what was asked for")


def layers(paths: Sequence[str], records: Mapping[str, Record]) -> list[list[str]]:
    """Put first what others were made from, directly or not, as the records tell."""
    waiting = {path: sources_of(path, records).intersection(paths) for path in paths}
    found = []
    while waiting:
        ready = [path for path in waiting if waiting.keys().isdisjoint(waiting[path] - {path})]
        found.append(ready or list(waiting))
        for path in found[-1]:
            waiting.pop(path)
    return found


def sources_of(path: str, records: Mapping[str, Record]) -> set[str]:
    """All that an output was made from, and what that was made from, and so on."""
    found: set[str] = set()
    waiting = [path]
    while waiting:
        record = records.get(waiting.pop())
        new = set(record.made_from) - found if record else set()
        found |= new
        waiting += new
    return found


def without_targets(arguments: Sequence[str], parse: Parser) -> list[str] | None:
    """A command line of Snakemake without its targets; None where they cannot be told apart."""
    options = list(arguments)
    if "--" in options:
        options = options[: options.index("--")]
    targets = list(parse(options)["targets"])
    if not targets:
        return options
    for start in range(len(options) - len(targets), -1, -1):
        end = start + len(targets)
        if options[start:end] != targets:
            continue
        rest = options[:start] + options[end:]
        # Where these were the values of an option instead, the targets are still there.
        with redirect_stderr(io.StringIO()), suppress(SystemExit):
            if not parse(rest)["targets"]:
                return rest
    return None


def _run(command: Sequence[str]) -> int:
    """Run a command as a part of this process: they end together, and hold the folder together."""
    process = subprocess.Popen(command, env=os.environ | {VARIABLE: "yes"}, pass_fds=held())
    before = signal.signal(signal.SIGTERM, lambda number, _: process.send_signal(number))
    try:
        return process.wait()
    except KeyboardInterrupt:
        # The terminal has told them both.
        return process.wait() or 130
    finally:
        signal.signal(signal.SIGTERM, before)
