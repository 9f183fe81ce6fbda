"""The command `sdor`: what is done beside a run of the workflow."""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from sdor.errors import SdorError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="sdor",
        description="What is done beside a run of the workflow. The workflow itself is run by "
        "snakemake: see README.md.",
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_doctor(commands)
    _add_verify(commands)
    asked = parser.parse_args(arguments)
    try:
        status: int = asked.run(asked)
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever reads has seen enough, as `head` does; Python would complain at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except SdorError as error:
        print(f"sdor: {error}", file=sys.stderr)
        return 1
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] == "sdor":
            raise
        print(
            f"sdor: the package {error.name} is not installed in {sys.executable}: set the "
            "project up with python3 envs/bootstrap.py doctor, or pip install -e .",
            file=sys.stderr,
        )
        return 1
    return status


def _add_doctor(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    words = "print what this machine offers, and what is missing for which target"
    parser = commands.add_parser(
        "doctor",
        help=words,
        description=f"{words[0].upper()}{words[1:]}. Nothing is changed or fetched. The exit "
        "status is 0 where the demo can run.",
    )
    parser.add_argument(
        "--configfile",
        nargs="+",
        action="extend",
        default=[],
        metavar="FILE",
        help="configs to look at beside the demo's, each by itself (default: config/paper.yaml)",
    )
    parser.add_argument("--json", action="store_true", help="print the facts as JSON")
    parser.set_defaults(run=_doctor)


def _doctor(asked: argparse.Namespace) -> int:
    from sdor.doctor import diagnose, page

    diagnosis = diagnose(asked.configfile)
    print(json.dumps(diagnosis.as_json(), indent=2) if asked.json else page(diagnosis))
    return 0 if diagnosis.demo_can_run else 1


def _add_verify(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    words = "read every result here and compare it with the record of what was made"
    parser = commands.add_parser(
        "verify",
        help=words,
        description=f"{words[0].upper()}{words[1:]}. A run does so only where a file's size or "
        "time is not as recorded. The exit status is 0 where nothing is damaged.",
    )
    parser.add_argument(
        "--repair", action="store_true", help="remove what is damaged, for the next run to make"
    )
    parser.set_defaults(run=_verify)


def _verify(asked: argparse.Namespace) -> int:
    from sdor.invocation import verify

    found = verify(Path(".snakemake"), repair=asked.repair)
    gone = len(found.damaged) if asked.repair else 0
    print(f"{found.recorded + gone:,} results read, {len(found.damaged):,} damaged")
    return 1 if found.damaged else 0
