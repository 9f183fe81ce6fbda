"""The command `sdor`: what is done beside a run of the workflow."""

import argparse
import json
import os
import sys
from collections.abc import Sequence

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
