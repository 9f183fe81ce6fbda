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
from pathlib import Path
from typing import Any

from sdor.errors import SdorError, say
from sdor.running.invocation import LOOKS, held, only_looks, sign
from sdor.running.records import REPAIR_VARIABLE, Record, Settled, adopt, give_times_back, remember

# Options that ask for a part of the work or for none, by Snakemake's names for them.
PARTIAL = ("until", "omit_from", "forcerun", "batch", "allowed_rules")
OTHER = (
    *("touch", "forceall", "delete_all_output", "delete_temp_output"),
    *(name for name in LOOKS if name != "dryrun"),
)
NAMED = 3  # of the results that a line is about
GRACE = 5.0  # seconds in which the other process ends by itself after an interrupt
Options = Mapping[str, Any]
Parser = Callable[[Sequence[str]], Options]


def repair(
    found: Settled,
    arguments: Sequence[str],
    options: Options,
    *,
    parse: Parser,
    is_output: Callable[[str], bool],
    state_folder: Path,
) -> None:
    """Make again what was found damaged; where a run was only asked for its plan, show the plan.

    Where files are asked for, only what they were made from is. Results without a record get one.

    Parameters
    ----------
    arguments : Snakemake's command line, without the program.
    options : those of it, by Snakemake's names, among them `targets`; none if it is no such line.
    parse : what tells the options of a command line.
    is_output : whether a rule of the workflow makes a path.
    state_folder : Snakemake's own folder.

    Raises
    ------
    SdorError : they could not be made.
    """
    if not only_looks(options) and (adopted := adopt(is_output)):
        say(f"without a record so far, now recorded as they are: {_names(adopted)}")
    paths = [path for path in found.to_make if is_output(path)]
    others = any(options.get(name) not in (None, False) for name in OTHER)
    if not paths or not options or others:
        return
    records, targets = remember(), list(options["targets"])
    if targets and all(map(is_output, targets)):
        wanted = {*targets}.union(*(sources_of(target, records) for target in targets))
        if all(records[path].is_known for path in wanted if path in records):
            left = [path for path in paths if wanted.isdisjoint(family_of(path, records))]
            if left:
                say(f"damaged or missed results that nothing here needs are left: {_names(left)}")
            paths = [path for path in paths if path not in left]
    rest, folder = without_targets(arguments, parse), first_folder(options)
    partial = [f"--{name.replace('_', '-')}" for name in PARTIAL if options.get(name)]
    if paths and (partial or rest is None or folder is None):
        how = f"without {partial[0]}" if partial else "with absolute paths, its targets behind --,"
        say(f"a run {how} makes again what is damaged: {_names(paths)}")
    if not paths or partial or rest is None or folder is None:
        return
    for layer in layers(paths, records):
        say(f"first, damaged or missed results are made again: {_names(layer)}")
        status = _run([sys.executable, "-m", "snakemake", *rest, "--force", "--", *layer], folder)
        if options["dryrun"]:
            continue
        give_times_back(remember())
        sign(state_folder)
        if status:
            raise SdorError(
                f"not all of them were made again (see above): {_names(layer)}; the same command "
                "goes on"
            )
    say("now what was asked for")


def first_folder(options: Options) -> Path | None:
    """Where Snakemake was started (it changes to `--directory`); None if that cannot be told."""
    candidates = (Path.cwd(), Path(os.environ.get("PWD", ".")))
    named = [options.get("snakefile"), options.get("directory"), *(options.get("configfile") or ())]
    profiles = [options.get("workflow_profile"), *(options.get("profile") or ())]
    # What lies in neither folder is the name of a profile elsewhere.
    named += [one for one in profiles if one and any((to / one).exists() for to in candidates)]
    for folder in candidates:
        if all((folder / path).exists() for path in named if path):
            return folder
    return None


def layers(paths: Sequence[str], records: Mapping[str, Record]) -> list[list[str]]:
    """Put first what others were made from, directly or not, as the records tell.

    Were they all forced in one run, it would also make what lies between them.
    """
    families = {path: family_of(path, records) for path in paths}
    sources = {path: sources_of(path, records) for path in paths}
    waiting = {
        path: {other for other in paths if not families[other].isdisjoint(sources[path])}
        for path in paths
    }
    found = []
    while waiting:
        ready = [path for path in waiting if waiting.keys().isdisjoint(waiting[path] - {path})]
        found.append(ready or list(waiting))
        for path in found[-1]:
            waiting.pop(path)
    return found


def family_of(path: str, records: Mapping[str, Record]) -> set[str]:
    """An output and all that its job made with it."""
    return {path, *(records[path].siblings if path in records else ())}


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


def _names(paths: Sequence[str]) -> str:
    more = f" and {len(paths) - NAMED} more" if len(paths) > NAMED else ""
    return ", ".join(paths[:NAMED]) + more


def _run(command: Sequence[str], folder: Path) -> int:
    """Run a command as a part of this process: what stops one stops both."""
    process = subprocess.Popen(
        command, cwd=folder, env=os.environ | {REPAIR_VARIABLE: "yes"}, pass_fds=held()
    )
    before = signal.signal(signal.SIGTERM, lambda number, _: process.send_signal(number))
    try:
        return process.wait()
    except KeyboardInterrupt:
        # A terminal tells both; others may have told this process alone.
        with suppress(subprocess.TimeoutExpired):
            return process.wait(GRACE) or 130
        process.send_signal(signal.SIGINT)
        return process.wait() or 130
    finally:
        signal.signal(signal.SIGTERM, before)
