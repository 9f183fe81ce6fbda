"""The command `sdor`: what is done beside a run of the workflow."""

import argparse
import json
import os
import shlex
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
    doctor = commands.add_parser(
        "doctor",
        help="print what this machine offers, and what is missing for which target",
        description="Print what this machine offers, and what is missing for which target. Nothing "
        "is changed or fetched. The exit status is 0 where the demo can run.",
    )
    doctor.add_argument(
        "--configfile",
        nargs="+",
        action="extend",
        default=[],
        metavar="FILE",
        help="configs to look at beside the demo's, each by itself (default: config/paper.yaml)",
    )
    doctor.add_argument("--json", action="store_true", help="print the facts as JSON")
    doctor.set_defaults(run=_doctor)
    verify = commands.add_parser(
        "verify",
        help="read every result here and compare it with the manifest of what was made",
        description="Read every result here and compare it with the manifest of what was made. The "
        "exit status is 0 where all are there and as they were made, and 1 otherwise.",
    )
    verify.add_argument(
        "--repair",
        action="store_true",
        help="remove what is damaged, and give whole results back the times that a copy lost",
    )
    verify.set_defaults(run=_verify)
    scene = commands.add_parser(
        "scene",
        help="print a scene file for a folder of video, for masks and ranges",
        description="Print a scene file for a folder of video of one camera, to be kept in a scene "
        "folder under the scene's name: sdor scene FOLDER > config/scenes/gate.yaml. A watchlist "
        "needs none; with one, parts of the picture and of the video can be left out.",
    )
    scene.add_argument("folder", metavar="FOLDER", help="the folder that the camera's video is in")
    scene.set_defaults(run=_scene)
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


def _doctor(asked: argparse.Namespace) -> int:
    from sdor.doctor.doctor import diagnose

    diagnosis = diagnose(asked.configfile)
    print(json.dumps(diagnosis.as_json(), indent=2) if asked.json else diagnosis.page())
    return 1 if next(iter(diagnosis.missing.values())) else 0


def _scene(asked: argparse.Namespace) -> int:
    from sdor.study.cameras import scene_file

    print(scene_file(asked.folder), end="")
    return 0


def _verify(asked: argparse.Namespace) -> int:
    from sdor.running.manifest import verify
    from sdor.running.run import hold

    # Results that nobody can write need nobody kept out.
    if asked.repair or os.access(".", os.W_OK):
        hold()
    found = verify(repair=asked.repair)
    wrong = {path: fault for path, fault in found.items() if fault}
    for path, fault in wrong.items():
        print(f"{path}: {fault}")
    print(f"{len(found) - len(wrong):,} results are as they were made, {len(wrong):,} are not")
    if wrong and not asked.repair:
        print("sdor verify --repair removes what is damaged and says how it is made again")
    elif wrong:
        print("what was damaged is removed; all is made again, with the options of your run, by")
        print(f"snakemake --cores all {shlex.join(wrong)} && sdor verify --repair")
    return 1 if wrong else 0
