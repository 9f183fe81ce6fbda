"""Real Snakemake runs of a small scene: three folders of images, a network with random weights."""

import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml
from PIL import Image

PROJECT = Path(__file__).resolve().parents[2]
# As many frames as the competitors need at least.
LENGTHS = {"calm1": 90, "calm2": 90, "event": 20}
SCENE = {
    "root": "yard",
    "masks": [{"x": 0, "y": 0, "width": 4, "height": 4}],
    "clips": [
        {"images": "calm*", "split": "train", "ground_truth": "normal"},
        {"images": "event", "split": "test", "ground_truth": {"ranges": [[11, 16]]}},
    ],
}
CONFIG = {
    "data_root": "data",
    "scene_folder": "scenes",
    "scenes": ["yard"],
    "variants": {"tiny": {}},
    "weights": {"resnet18": "random", "mobilenet_v2": "random"},
    "device": "cpu",
    "precision": "fp32",
    "evaluation": {"bootstrap_draws": 100},
    "tracking": {"enabled": False},
    "method": {
        "backbone": "resnet18",
        "input_size": 64,
        "trainable": "layer4",
        "iterations": 2,
        "epochs": 2,
        "batch_size": 8,
        "pca": 10,
        "iforest_trees": 10,
    },
}
# Settings of the approach "motion" that take seconds.
MOTION = {
    "backbone": "resnet18",
    "input_size": 64,
    "components": 8,
    "iterations": 2,
    "heads": 1,
    "steps": 50,
    "batch_size": 32,
}
# Everything that a config may ask for beside the main variant.
STUDIES = {
    "main": "tiny",
    "variants": {
        "tiny": {},
        "l2": {"loss": "l2", "trainable": "head"},
        "wide": {"backbone": "mobilenet_v2", "trainable": "head"},
        "rare": {"anomaly_rate": 0.02, "trainable": "head"},
        "moving": {"approach": "motion"},
    },
    "motion": MOTION,
    "backbones": {"variants": ["wide", "tiny"]},
    "anomaly_rates": {"variants": ["rare"]},
    "ablations": {
        "loss": {"variants": ["tiny", "l2"]},
        "approach": {"variants": ["tiny", "moving"]},
    },
    "competitors": ["del_giorno_1", "del_giorno_2", "unmasking", "two_sample_test"],
    "feedback": {"scenes": ["yard"], "rounds": 2, "picks": 1, "epochs": 2},
    "tracking": {"enabled": True, "experiment": "yard"},
}


@dataclass
class Workplace:
    """A folder with data and a config, in which the workflow of `project` runs."""

    folder: Path
    project: Path = PROJECT

    def command(self, *arguments: str) -> list[str]:
        snakemake = [sys.executable, "-m", "snakemake", "--snakefile"]
        config = ["--configfile", "config.yaml", "--cores", "2"]
        return [*snakemake, str(self.project / "Snakefile"), *config, *arguments]

    def run(self, *arguments: str):
        """Run Snakemake; returns the finished process with its output as text."""
        return subprocess.run(
            self.command(*arguments),
            cwd=self.folder,
            env=own_environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def start(self, *arguments: str):
        """Start Snakemake in a process group of its own, without waiting for it; see `said`."""
        with (self.folder / "said.txt").open("w") as output:
            return subprocess.Popen(
                self.command(*arguments),
                cwd=self.folder,
                env=own_environment(),
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def said(self) -> str:
        """What the run that was started last has said so far."""
        return (self.folder / "said.txt").read_text()

    def sdor(self, *arguments: str):
        """Run the command `sdor`; returns the finished process with its output as text."""
        return subprocess.run(
            [sys.executable, "-m", "sdor", *arguments],
            cwd=self.folder,
            env={**own_environment(), "PYTHONPATH": str(self.project / "workflow")},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def configure(self, **changes) -> None:
        config = yaml.safe_load((self.folder / "config.yaml").read_text())
        config.update(changes)
        (self.folder / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))

    def planned(self, *arguments: str) -> set[str]:
        """Rules that a dry run would execute."""
        return set(self.planned_jobs(*arguments))

    def planned_jobs(self, *arguments: str) -> Counter[str]:
        """How many jobs of each rule a dry run would execute."""
        done = self.run("--dry-run", *arguments)
        assert done.returncode == 0, done.stdout
        jobs = Counter(re.findall(r"^(?:local)?rule (\w+):$", done.stdout, flags=re.MULTILINE))
        del jobs["default"], jobs["all"]
        return jobs

    def content(self) -> dict[str, bytes]:
        """The bytes of everything that must be equal between two runs."""
        names = ("*.npy", "scores.parquet", "ensemble.parquet", "model.safetensors")
        results = self.folder / "results"
        wanted = [path for name in names for path in results.rglob(name)]
        wanted += results.rglob("competitors/**/*.parquet")
        return {str(path.relative_to(results)): path.read_bytes() for path in sorted(wanted)}


def prepare(folder: Path) -> Path:
    """Write data, scene file and config into a folder."""
    rng = np.random.default_rng(0)
    for name, length in LENGTHS.items():
        frames = rng.integers(60, 120, (length, 48, 64), dtype=np.uint8)
        if name == "event":
            frames[10:16, 10:40, 20:50] = rng.integers(180, 255, (6, 30, 30), dtype=np.uint8)
        write_images(folder / "data" / "yard" / name, frames)
    (folder / "scenes").mkdir()
    (folder / "scenes" / "yard.yaml").write_text(yaml.safe_dump(SCENE))
    (folder / "config.yaml").write_text(yaml.safe_dump({**CONFIG, **STUDIES}, sort_keys=False))
    return folder


def copy_project(target: Path, project: Path = PROJECT) -> Path:
    """A copy of what runs of the project, in which code may be changed."""
    for name in ("Snakefile", "workflow", "config", "envs", "profiles"):
        source = project / name
        copy = shutil.copytree if source.is_dir() else shutil.copy2
        target.mkdir(parents=True, exist_ok=True)
        copy(source, target / name)
    return target


def leftovers(workplace: Workplace) -> list[Path]:
    """Files of writes that were cut off, and checkpoints of trainings that have ended."""
    results = workplace.folder / "results"
    hidden = [path for path in results.rglob(".*") if path.is_file()]
    return [*hidden, *results.rglob("checkpoint.pt")]


def own_environment() -> dict[str, str]:
    """The environment without the variable that would lead away from a workplace's own data."""
    return {key: value for key, value in os.environ.items() if key != "SDOR_DATA_ROOT"}


def write_images(folder: Path, frames: np.ndarray) -> None:
    folder.mkdir(parents=True)
    for number, frame in enumerate(frames, start=1):
        Image.fromarray(frame).save(folder / f"{number:03d}.png")
