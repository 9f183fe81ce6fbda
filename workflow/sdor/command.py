"""The command `sdor`: what is done beside a run of the workflow."""

import argparse
import json
import os
import shlex
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
    _add_overlay(commands)
    _add_export(commands)
    _add_score(commands)
    _add_review(commands)
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
        how = "set the project up with python3 envs/bootstrap.py doctor, or pip install -e ."
        if (error.name or "").startswith("onnx"):
            how = "pip install -e '.[export]'"
        words = f"the package {error.name} is not installed in {sys.executable}: {how}"
        print(f"sdor: {words}", file=sys.stderr)
        return 1
    return status


def _add_overlay(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    overlay = commands.add_parser(
        "overlay",
        help="show a clip with what the model of its camera finds in it, as a video",
        description="Write a clip as H.264 with a heat map over the picture, and below it the "
        "clock, the curve of the scores with the present moment, and its events. The dotted line "
        "is what one in a thousand frames of the camera's archive reaches.",
    )
    overlay.add_argument("clip", type=Path, metavar="CLIP", help="a video, or a folder of images")
    overlay.add_argument(
        "--model",
        type=Path,
        required=True,
        metavar="PATH",
        help="of the camera: a file, or results/CAMERA/watch",
    )
    overlay.add_argument(
        "--output", type=Path, metavar="FILE", help="(default: CLIP-overlay.mp4, here)"
    )
    overlay.set_defaults(run=_overlay)


def _overlay(asked: argparse.Namespace) -> int:
    from sdor.operator.camera import open_camera, threads
    from sdor.operator.overlay import overlay
    from sdor.study.scenes import Clip

    path, output = asked.clip, asked.output or Path(f"{asked.clip.stem}-overlay.mp4")
    clip = Clip(path.stem, "images" if path.is_dir() else "video", path, path.name)
    model, eye, _ = open_camera(asked.model)
    print(f"{output}: {overlay(clip, model, eye, output, threads() or 1):,} frames")
    return 0


def _add_export(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    export = commands.add_parser(
        "export",
        help="write the model of a camera with its network as ONNX, which needs no torch",
        description="Write the model of a camera with its network as ONNX, if ONNX Runtime gives "
        "what torch gives. It takes the place of the model wherever one is asked for.",
    )
    export.add_argument(
        "model", type=Path, metavar="MODEL", help="of the camera: a file, or results/CAMERA/watch"
    )
    export.add_argument("output", type=Path, metavar="FILE.onnx", help="what is written")
    export.add_argument("--weights", type=Path, metavar="FILE", help="of the network")
    export.set_defaults(run=_export)


def _export(asked: argparse.Namespace) -> int:
    from sdor.operator.export import export

    found = export(asked.model, asked.output, asked.weights)
    words = "{frames} frames of {of}: components differ by {apart:.1e} at most, of a deviation of 1"
    print(f"{asked.output}: {words.format(**found)}")
    return 0


def _add_score(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    score = commands.add_parser(
        "score",
        help="score tomorrow's video with the model of its camera, and tell its events",
        description="Score video as it streams by with what was learnt of its camera. Events are "
        "lines of JSON, of which the start, end, gap and skipped are the kinds. What was scored "
        "with this model before, by the ledger beside the file of scores (else of events, else the "
        "page), is passed over: a line in a crontab keeps up with a recorder. A file in a folder "
        "that cannot be read is told, once, and passed over; where a source that is named itself "
        "cannot, or nothing at all can be read, the exit status is 1, when all else was scored.",
    )
    score.add_argument(
        "sources",
        nargs="+",
        metavar="SOURCE",
        help="a file, a folder of one camera, - (standard input), or the address of a stream "
        "(rtsp://, http://)",
    )
    score.add_argument(
        "--model",
        type=Path,
        required=True,
        metavar="PATH",
        help="of the camera: a file, or results/CAMERA/watch",
    )
    score.add_argument(
        "--weights",
        type=Path,
        metavar="FILE",
        help="of the network (default: those in the results that the model lies in)",
    )
    score.add_argument(
        "--scores",
        type=Path,
        metavar="FILE",
        help="add the scores of ten frames a second to this CSV, or Parquet (.parquet: at the end)",
    )
    score.add_argument(
        "--events", default="-", metavar="FILE", help="add events to it (default: print them)"
    )
    bar = score.add_mutually_exclusive_group()
    bar.add_argument(
        "--above",
        type=float,
        default=99.9,
        metavar="PERCENTILE",
        help="of the scores of the archive, above which an event begins (default: 99.9)",
    )
    bar.add_argument(
        "--budget", metavar="N/day", help="the bar that would have given so many in the archive"
    )
    score.add_argument(
        "--previews",
        type=Path,
        metavar="FOLDER",
        help="write a short silent loop of each event, and the picture of its peak",
    )
    score.add_argument(
        "--watchlist",
        type=Path,
        metavar="FILE.html",
        help="add the events to this page; what it is made of is kept beside it",
    )
    score.add_argument(
        "--follow",
        action="store_true",
        help="go on with files that a recorder adds to the folder, or ask for the stream again",
    )
    score.set_defaults(run=_score)


def _score(asked: argparse.Namespace) -> int:
    from sdor.operator.stream import Wish, score

    given = {name: value for name, value in vars(asked).items() if name != "run"}
    score(Wish(**given))
    return 0


def _add_review(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    review = commands.add_parser(
        "review",
        help="say of moments whether they are anomalies, on a local page",
        description="Serve a page on which the moments of a watchlist are marked as anomalies or "
        "as normal, a key each. Marks are kept in feedback/; a finished round makes the next "
        "list better. Run it in the folder that holds results/.",
    )
    review.add_argument(
        "scenes", nargs="*", metavar="CAMERA", help="cameras (default: all that have a watchlist)"
    )
    review.add_argument(
        "--host",
        default="127.0.0.1",
        help="an address to listen at; browsers elsewhere need the token that is printed then",
    )
    review.add_argument("--port", type=int, default=8765, help="(default: %(default)s)")
    review.add_argument(
        "--learn",
        action="store_true",
        help="run the command of the watchlist when a round is finished, as the page prints it",
    )
    review.set_defaults(run=_review)


def _review(asked: argparse.Namespace) -> int:
    from sdor.operator.review.run import Command
    from sdor.operator.review.server import review
    from sdor.running.noted import command_folder, lacking, watchlist_command

    # A word for the folder of video is in a command that nobody has noted alone.
    words = watchlist_command(videos="FOLDER")
    command = Command(words, command_folder(), words == watchlist_command(), lacking())
    review(asked.scenes, asked.host, asked.port, command=command, learn=asked.learn)
    return 0


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
