"""What this machine offers: looked at, never changed, and nothing that is asked can hang or fail.

Programs are asked with a limit in time; torch, which may crash on a strange machine, is asked in a
process of its own. What is not there, or does not answer, is a fact with its reason in words.
"""

import contextlib
import importlib.metadata
import json
import os
import platform
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from sdor.tracking.receipt import shown_uri, sqlite_file, store_uri

ANSWER_SECONDS = 10.0
NETWORK_SECONDS = 180.0  # torch and torchvision, from a cold disk
PROJECT = Path(__file__).resolve().parents[3]
PLUGIN = "snakemake-executor-plugin-slurm"
VIDEO_FRAMES = 5


@dataclass(frozen=True)
class Answer:
    """What a program said: its output, or why there is none."""

    ok: bool
    words: str


@dataclass(frozen=True)
class Package:
    """A package that the project needs, and the version that is installed ("": none)."""

    name: str
    version: str
    oldest: str

    @property
    def fits(self) -> bool:
        """Whether it is there and new enough."""
        return self.version != "" and _release(self.version) >= _release(self.oldest)


@dataclass(frozen=True)
class Gpu:
    """A GPU of NVIDIA's, its memory in bytes."""

    name: str
    memory: int
    free: int
    driver: str


@dataclass(frozen=True)
class Network:
    """What torch can do here.

    Attributes
    ----------
    fault : why torch cannot be used; empty where it can.
    device : "cuda" or "cpu": what `device: auto` chooses.
    bf16 : whether that device multiplies in bfloat16 itself.
    cuda : CUDA's version that torch is built for; empty for a CPU build.
    kept : backbone: way to its weights: the file that would hold them (see `weights.ways_to`).
    """

    fault: str = ""
    device: str = ""
    bf16: bool = False
    cuda: str = ""
    kept: dict[str, dict[str, str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Ffmpeg:
    """The ffmpeg that would be used; `fault` says why it cannot be."""

    path: str = ""
    origin: str = ""
    version: str = ""
    fault: str = ""


@dataclass(frozen=True)
class Store:
    """MLflow's store; `fault` says why it cannot be used, `there` whether it has been made."""

    version: str
    uri: str
    there: bool = False
    bytes: int = 0
    fault: str = ""


@dataclass(frozen=True)
class Partition:
    """A partition of a cluster; `gres` is what it offers beside cores and memory."""

    name: str
    time_limit: str
    nodes: int
    gres: str

    @property
    def has_gpus(self) -> bool:
        """Whether jobs can ask for a GPU there."""
        return "gpu" in self.gres


@dataclass(frozen=True)
class Slurm:
    """The cluster that jobs would be sent to.

    Attributes
    ----------
    sbatch : path of the program; empty where there is none.
    fault : why the cluster does not answer.
    queue_fault : why squeue does not.
    minimal_age : seconds that squeue still knows a job that has ended; None: unknown.
    accounting : whether sacct can be asked instead.
    plugin : version of Snakemake's executor; empty where it is not installed.
    """

    sbatch: str = ""
    version: str = ""
    fault: str = ""
    queue_fault: str = ""
    partitions: list[Partition] = field(default_factory=list)
    minimal_age: int | None = None
    accounting: bool = False
    plugin: str = ""


@dataclass(frozen=True)
class Machine:
    """All of it. Sizes are in bytes, 0 where they are not known."""

    python: str
    executable: str
    packages: list[Package]
    processor: str
    cores: int
    memory: int
    memory_free: int
    folder: str
    writable: bool
    disk_free: int
    gpus: list[Gpu]
    gpu_fault: str
    network: Network
    ffmpeg: Ffmpeg
    which: str
    npm: str
    pip: str
    pytest: str
    store: Store
    slurm: Slurm


def look_around(backbones: Sequence[str]) -> Machine:
    """Look at everything that a run may need, for some backbones."""
    memory, memory_free = _memory()
    gpus, gpu_fault = find_gpus()
    return Machine(
        python=platform.python_version(),
        executable=sys.executable,
        packages=needed_packages(),
        processor=_processor(),
        cores=len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1,
        memory=memory,
        memory_free=memory_free,
        folder=str(Path.cwd()),
        writable=os.access(Path.cwd(), os.W_OK),
        disk_free=shutil.disk_usage(Path.cwd()).free,
        gpus=gpus,
        gpu_fault=gpu_fault,
        network=ask_torch(backbones),
        ffmpeg=find_ffmpeg(),
        which=shutil.which("which") or "",
        npm=shutil.which("npm") or shutil.which("npm", path=str(Path(sys.executable).parent)) or "",
        pip=_version("pip") or shutil.which("pip") or shutil.which("pip3") or "",
        pytest=_version("pytest"),
        store=find_store(),
        slurm=find_slurm(),
    )


def ask(
    command: Sequence[str],
    *,
    given: bytes = b"",
    seconds: float = ANSWER_SECONDS,
    environment: dict[str, str] | None = None,
) -> Answer:
    """Run a program that only looks; with what it started, it is stopped when its time is over."""
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
            start_new_session=True,
        )
    except FileNotFoundError:
        return Answer(False, f"no {command[0]} on the PATH")
    except OSError as error:
        return Answer(False, f"{command[0]} cannot be run ({error.strerror})")
    try:
        output, complaints = process.communicate(given, timeout=seconds)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        return Answer(False, f"{Path(command[0]).name} gave no answer within {seconds:g} seconds")
    if process.returncode:
        said = complaints.decode(errors="replace").strip() or output.decode(errors="replace")
        last = " ".join(
            (said.strip().splitlines() or [f"exit status {process.returncode}"])[-1].split()
        )
        return Answer(False, last[:200])
    return Answer(True, output.decode(errors="replace"))


def needed_packages() -> list[Package]:
    """The packages that pyproject.toml asks for, as they are installed."""
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    asked = [requirement.split(">=") for requirement in project["dependencies"]]
    return [Package(name, _version(name), oldest) for name, oldest in asked]


def find_gpus() -> tuple[list[Gpu], str]:
    """NVIDIA's GPUs, as their driver names them; where there are none, the reason."""
    columns = "name,memory.total,memory.free,driver_version"
    answer = ask(["nvidia-smi", f"--query-gpu={columns}", "--format=csv,noheader,nounits"])
    if not answer.ok:
        return [], answer.words
    rows = [[cell.strip() for cell in line.split(",")] for line in answer.words.splitlines()]
    try:
        gpus = [Gpu(row[0], int(row[1]) << 20, int(row[2]) << 20, row[3]) for row in rows]
    except (IndexError, ValueError):
        return [], f"nvidia-smi gave no sense: {answer.words.strip()[:100]}"
    return gpus, "" if gpus else "nvidia-smi lists none"


def ask_torch(backbones: Sequence[str]) -> Network:
    """What torch can do, and where it would keep weights, asked in a process of its own."""
    code = "import sys; from sdor.doctor.machine import tell_network; tell_network(sys.argv[1:])"
    known = [str(Path(__file__).parents[2]), *filter(None, [os.environ.get("PYTHONPATH")])]
    answer = ask(
        [sys.executable, "-c", code, *backbones],
        seconds=NETWORK_SECONDS,
        environment=os.environ | {"PYTHONPATH": os.pathsep.join(known)},
    )
    if not answer.ok:
        return Network(fault=answer.words)
    return Network(**json.loads(answer.words.splitlines()[-1]))


def tell_network(backbones: Sequence[str]) -> None:
    """Print what `ask_torch` asks for."""
    import torch

    from sdor.networks.compute import choose_compute
    from sdor.networks.fetch import ways_to

    compute = choose_compute()
    kept = {
        backbone: {way: str(file) for way, file in ways_to(backbone).items()}
        for backbone in backbones
    }
    about = {"device": compute.device.type, "bf16": compute.bf16, "cuda": torch.version.cuda or ""}
    print(json.dumps({**about, "kept": kept}))


def find_ffmpeg() -> Ffmpeg:
    """The ffmpeg of this machine, tried: a small video as the demo's is written and read again."""
    try:
        from sdor.video.decode import ffmpeg_binary, probe

        path = ffmpeg_binary()
    except Exception as error:  # a broken PyAV fails at its import, in any way
        return Ffmpeg(fault=" ".join(str(error).split()))
    origin = "PATH" if shutil.which("ffmpeg") else "imageio-ffmpeg"
    told = ask([path, "-version"])
    version = re.match(r"ffmpeg version (\S+)", told.words) if told.ok else None
    found = Ffmpeg(path, origin, version[1] if version else "")
    if not told.ok:
        return Ffmpeg(path, origin, fault=told.words)
    with tempfile.TemporaryDirectory() as scratch:
        video = str(Path(scratch, "tiny.avi"))
        quiet = [path, "-nostdin", "-loglevel", "error"]
        raw = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", "64x48", "-r", "5", "-i", "pipe:"]
        grey = bytes([128]) * (64 * 48 * 3 * VIDEO_FRAMES)
        answer = ask([*quiet, *raw, "-vcodec", "mpeg4", video], given=grey)
        if answer.ok:
            answer = ask([*quiet, "-i", video, "-f", "framecrc", "-"])
        frames = [line for line in answer.words.splitlines() if not line.startswith("#")]
        if not answer.ok or len(frames) != VIDEO_FRAMES:
            reason = f"{len(frames)} of {VIDEO_FRAMES} frames came back"
            fault = answer.words if not answer.ok else reason
            return Ffmpeg(path, origin, found.version, f"cannot write and read video ({fault})")
        try:
            probe(video)
        except Exception as error:
            return Ffmpeg(path, origin, found.version, f"PyAV: {' '.join(str(error).split())}")
    return found


def find_store() -> Store:
    """MLflow and its store. Files are opened for reading only, servers just called."""
    version, uri = _version("mlflow"), store_uri()
    shown = shown_uri(uri)
    file = sqlite_file(uri)
    if file is not None:
        if not file.exists():
            folder = file.absolute().parent
            usable = folder.is_dir() and os.access(folder, os.W_OK)
            return Store(version, shown, fault="" if usable else f"{folder} cannot be written")
        return Store(version, shown, True, file.stat().st_size, _sqlite_fault(file))
    parts = urlsplit(uri)
    if parts.scheme in ("http", "https") and parts.hostname:
        port = parts.port or (443 if parts.scheme == "https" else 80)
        code = "import sys, socket; socket.create_connection((sys.argv[1], int(sys.argv[2])), 5)"
        answer = ask([sys.executable, "-c", code, parts.hostname, str(port)])
        return Store(version, shown, answer.ok, fault="" if answer.ok else answer.words)
    if parts.scheme in ("", "file"):
        return Store(version, shown, fault="MLflow keeps no runs in folders of files any more")
    return Store(version, shown, True)


def find_slurm() -> Slurm:
    """The cluster, as its programs describe it."""
    plugin = _version(PLUGIN)
    sbatch = shutil.which("sbatch")
    if sbatch is None:
        return Slurm(plugin=plugin)
    version = ask(["sbatch", "--version"])
    listed = ask(["sinfo", "--noheader", "--format=%P|%l|%D|%G"])
    if not listed.ok:
        return Slurm(
            sbatch, version.words.strip() if version.ok else "", listed.words, plugin=plugin
        )
    queue = ask(["squeue", "--noheader", f"--user={os.getuid()}", "--format=%i"])
    settings = ask(["scontrol", "show", "config"])
    age = re.search(r"^MinJobAge\s*=\s*([0-9]+)", settings.words, re.MULTILINE)
    kind = re.search(r"^AccountingStorageType\s*=\s*(\S+)", settings.words, re.MULTILINE)
    return Slurm(
        sbatch=sbatch,
        version=version.words.strip() if version.ok else "",
        queue_fault="" if queue.ok else queue.words,
        partitions=_partitions(listed.words),
        minimal_age=int(age[1]) if age else None,
        accounting=kind is not None and not kind[1].endswith("none"),
        plugin=plugin,
    )


def _partitions(listed: str) -> list[Partition]:
    """A partition has a line for each kind of node in it."""
    found: dict[str, Partition] = {}
    for line in listed.splitlines():
        cells = [cell.strip() for cell in line.split("|")]
        if len(cells) != 4 or not cells[2].isdigit():
            continue
        name, time_limit, nodes, gres = cells
        name, gres = name.rstrip("*"), "" if gres == "(null)" else gres
        known = found.get(name, Partition(name, time_limit, 0, ""))
        both = ",".join(filter(None, dict.fromkeys([known.gres, gres])))
        found[name] = Partition(name, time_limit, known.nodes + int(nodes), both)
    return list(found.values())


def _sqlite_fault(file: Path) -> str:
    try:
        with contextlib.closing(
            sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro", uri=True, timeout=2)
        ) as database:
            database.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except (sqlite3.Error, OSError) as error:
        return str(error)
    return "" if os.access(file, os.W_OK) else "cannot be written"


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _release(version: str) -> tuple[int, ...]:
    """The leading numbers of a version, without zeros at their end: (2, 13) of 2.13.0+cpu."""
    leading = re.match(r"[0-9]+(\.[0-9]+)*", version)
    numbers = [int(part) for part in leading[0].split(".")] if leading else []
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)


def _processor() -> str:
    with contextlib.suppress(OSError):
        found = re.search(
            r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE
        )
        if found:
            return " ".join(found[1].split())
    return platform.processor() or platform.machine()


def _memory() -> tuple[int, int]:
    """Memory of the machine, and how much of it programs can still have."""
    with contextlib.suppress(OSError):
        text = Path("/proc/meminfo").read_text()
        total, free = (
            re.search(rf"^{key}:\s*([0-9]+) kB", text, re.MULTILINE)
            for key in ("MemTotal", "MemAvailable")
        )
        return int(total[1]) << 10 if total else 0, int(free[1]) << 10 if free else 0
    return 0, 0
