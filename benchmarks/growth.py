"""How cost grows: with the number of scenes that of planning, with hours of video that of memory.

python benchmarks/growth.py scenes    # jobs, seconds and memory of Snakemake itself
python benchmarks/growth.py hours     # memory of the stages that video streams through
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

PROJECT = Path(__file__).resolve().parents[1]
CLIPS = 4  # of each scene, a file each; nothing decodes them
# Stages that video streams through, and of how many hours the input can be made in minutes.
STAGES = {"frames": 100, "features": 10, "look": 10, "rank": 100, "moments": 100}
BARS = {"demo": 10.0, "100": 60.0}  # seconds that a run may take that has nothing to do


def main() -> None:
    """Run the benchmark named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["scenes", "hours"])
    parser.add_argument("--counts", type=int, nargs="+", default=[1, 10, 100])
    options = parser.parse_args()
    if options.what == "hours":
        hours(options.counts)
    else:
        scenes(options.counts)


def scenes(counts: Sequence[int]) -> None:
    """Print what Snakemake takes for the demo, and for so many scenes."""
    print("| scenes | jobs | dry run, s (of CPU) | nothing to do, s (of CPU) | memory, MB |")
    print("|---|---:|---:|---:|---:|")
    for name in ["demo", *map(str, counts)]:
        with tempfile.TemporaryDirectory() as folder:
            work = Path(folder)
            config = PROJECT / "config" / "config.yaml"
            if name != "demo":
                config = write_study(work, int(name))
            planned = snakemake(work, config, "--dry-run")
            (jobs,) = re.findall(r"^total +(\d+)$", planned.said, flags=re.MULTILINE)[:1]
            fabricate(work, planned.said)
            # By force, so that Snakemake writes down of each which code and settings it is of.
            snakemake(work, config, "--touch", "--forceall")
            done = snakemake(work, config)
            if "Nothing to be done" not in done.said:
                sys.exit(f"{name}: the outputs that were made up count for nothing\n{done.said}")
            memory = max(planned.memory, done.memory)
            late = "" if done.seconds < BARS.get(name, 60.0) else " (late)"
            print(
                f"| {name} | {int(jobs):,} | {planned.seconds:.1f} ({planned.cpu:.1f}) "
                f"| {done.seconds:.1f} ({done.cpu:.1f}){late} | {memory:.0f} |",
                flush=True,
            )


def write_study(folder: Path, scenes: int) -> Path:
    """The demo's settings of our method alone, on many scenes with ground truth."""
    names = [f"scene{number:03d}" for number in range(1, scenes + 1)]
    (folder / "scenes").mkdir()
    for name in names:
        clips = []
        for number in range(1, CLIPS + 1):
            clip = folder / "data" / name / f"clip{number}.avi"
            clip.parent.mkdir(parents=True, exist_ok=True)
            clip.write_bytes(f"{name}/{number}".encode() * 1000)
            truth = {"ground_truth": {"ranges": [[11, 16]]}, "split": "test"}
            train = {"ground_truth": "normal", "split": "train"}
            clips.append({"video": clip.name, **(truth if number % 2 else train)})
        (folder / "scenes" / f"{name}.yaml").write_text(
            yaml.safe_dump({"root": name, "clips": clips})
        )
    study = yaml.safe_load((PROJECT / "config" / "config.yaml").read_text())
    for key in ("backbones", "anomaly_rates", "ablations", "competitors", "feedback"):
        study.pop(key)
    study |= {"variants": {"demo": {}}, "scenes": names}
    study |= {"data_root": "data", "scene_folder": "scenes"}
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(study))
    return path


@dataclass(frozen=True)
class Run:
    """What a run said and took: seconds, those of processors, and the most memory at once in MB."""

    said: str
    seconds: float
    cpu: float
    memory: float


def snakemake(folder: Path, config: Path, *arguments: str) -> Run:
    """Run Snakemake in a folder."""
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(PROJECT / "Snakefile")]
    command += ["--configfile", str(config), "--cores", "2", "all", *arguments]
    return taken(command, folder)


def taken(command: Sequence[str], folder: Path) -> Run:
    """Run a command to its end; its memory is that of its largest process."""
    started = time.monotonic()
    with (folder / "said.txt").open("w+") as said:
        process = subprocess.Popen(command, cwd=folder, stdout=said, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        seconds = time.monotonic() - started
        said.seek(0)
        text = said.read()
    if process.returncode:
        sys.exit(f"{' '.join(command)}: failed\n{text[-3000:]}")
    return Run(text, seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def fabricate(folder: Path, planned: str) -> None:
    """Make every output that a dry run names, empty; what has no suffix is a folder."""
    for line in re.findall(r"^ +output: (.+)$", planned, flags=re.MULTILINE):
        for name in line.split(", "):
            path = folder / name.removesuffix(" (update)")
            (path.parent if path.suffix else path).mkdir(parents=True, exist_ok=True)
            if path.suffix:
                path.touch()


def hours(counts: Sequence[int]) -> None:
    """Print the memory of each stage for so many hours of video, each in a process of its own."""
    print(f"| stage | {' | '.join(f'{count} h, MB' for count in counts)} |")
    print(f"|---|{'---:|' * len(counts)}")
    with tempfile.TemporaryDirectory() as folder:
        found = {
            (stage, count): measured(stage, count, Path(folder, str(count)))
            for count in counts
            for stage in STAGES
        }
    for stage in STAGES:
        row = [found[stage, count] for count in counts]
        print(f"| {stage} | {' | '.join(f'{one:,.0f}' if one else 'not run' for one in row)} |")


def measured(stage: str, count: int, folder: Path) -> float:
    """Private memory of a stage at its peak, MB; 0 where so many hours take too long to make."""
    if count > STAGES[stage]:
        return 0.0
    folder.mkdir(exist_ok=True)
    script = Path(__file__).with_name("streaming.py")
    done = taken([sys.executable, str(script), stage, str(count)], folder)
    print(f"{stage}, {count} h: {done.seconds:.0f} s", file=sys.stderr, flush=True)
    return float(done.said.splitlines()[-1])


if __name__ == "__main__":
    main()
