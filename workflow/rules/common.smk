# What all stages share: the checked config, the scenes that are there, and the names of files.

import os
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path

# Not workflow.basedir: as a module of another workflow, that is the folder of the other one.
PROJECT = Path(str(workflow.current_basedir)).parents[1]
# Jobs run the package of this checkout, whether or not it is installed.
PACKAGES = str(PROJECT / "workflow")
sys.path.insert(0, PACKAGES)
os.environ.update(
    PYTHONPATH=os.pathsep.join([PACKAGES, *filter(None, [os.environ.get("PYTHONPATH")])])
)
# Trainings run side by side: threads that wait must not spin on each other's cores.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

from sdor.errors import SdorError, say
from sdor.files import digest_of, file_sha256
from sdor.progress import counted
from sdor.running.cluster import ON_CLUSTER
from sdor.running.gpus import cores_of_each, visible_gpus
from sdor.running.noted import asks_for_list, is_noted, note_command, require_videos
from sdor.running.run import (
    STATE,
    began,
    begin,
    faults,
    is_of_run,
    one_line_faults,
    pass_on_lines,
    require_writable,
    rounds_then,
)
from sdor.study.backbones import ARCHITECTURES
from sdor.study.config import load_yaml, named, typed
from sdor.study.contents import copies, fingerprints
from sdor.study.fingerprint import code_of, versions_of
from sdor.study.layout import (
    RUN,
    CHANNELS,
    DEL_GIORNO,
    Run,
    cuts,
    judged,
    motion_frames,
    rendered,
    runs,
    stored_frames,
)
from sdor.study.rounds import finished_rounds
from sdor.study.settings import Method, MotionMethod
from sdor.study.study import left_behind, read_study, weights_setting, with_scenes

# What Snakemake was called for; its jobs, and workflows that this is a module of, say other words.
LISTS = (
    Path(workflow.basedir) in (PROJECT, PROJECT / "workflow")
    and not is_of_run()
    and asks_for_list(sys.argv)
)
OF_DEMO = not workflow.configfiles and not {"videos", "scenes"} & {*config}

if not workflow.configfiles:

    configfile: str(PROJECT / "config" / f"{'operator' if 'videos' in config else 'config'}.yaml")


with one_line_faults():
    # Snakemake would say it with a traceback.
    require_writable(Path(), STATE)
    if set(str(PROJECT)) & set("{}"):
        raise SdorError(f"{PROJECT}: Snakemake takes braces for wildcards; rename the folder")
    # Snakemake has read them, and lets the last of two equal keys win.
    for path in workflow.configfiles:
        load_yaml(os.path.relpath(path))
    FILE = os.path.relpath(workflow.configfiles[-1]) if workflow.configfiles else "config"
    GIVEN = workflow.config_settings.config
    config.update({key: typed(config[key]) for key in GIVEN})
    with named(FILE, GIVEN):
        asked = read_study(config, FILE, data_root_given="data_root" in GIVEN)
        if LISTS and OF_DEMO:  # not before: where videos is misspelt, that is said
            require_videos()
        STUDY = with_scenes(asked, now=began())
    # Only the paper's approach goes the way of scenes with cameras, too.
    FILMED = STUDY.scenes | (STUDY.cameras if STUDY.approach == "paper" else {})
    SOURCES, LABELS = fingerprints(FILMED.values(), STATE / "sdor" / "contents.json")
    WEIGHTS = {
        name: weights_setting(STUDY.weights.get(name, "auto"), name)
        for name in sorted({method.backbone for method in STUDY.methods.values()})
    }

# Scripts find a scene's files by this, and no absolute path gets into a job's params.
for key in ("videos", "data_root", "scene_folder"):
    config[key] = getattr(STUDY, key)
METHODS, SCENES, CAMERAS, PLAN = STUDY.methods, STUDY.scenes, STUDY.cameras, STUDY.plan

if LISTS:
    with one_line_faults():
        # Not in a hook: none is called where nothing is to be done, as where a camera is gone.
        for line in left_behind(STUDY):
            say(line)
        # Else in the hook, when the graph is built: a target that there is not gives no command.
        is_made = Path("results/watchlist.html").is_file()
        if is_made and not is_noted() and not workflow.output_settings.dryrun:
            note_command(sys.argv, STUDY.videos)

# On a cluster, and only there, Snakemake has a limit of jobs (--jobs). Each network job asks for a GPU
# there, whatever the host is that Snakemake runs on; jobs themselves are told by a variable.
CLUSTER = bool(workflow.resource_settings.nodes or os.environ.get(ON_CLUSTER))
VISIBLE = visible_gpus(os.environ)
HAS_GPU = STUDY.compute.device == "cuda" or (
    STUDY.compute.device == "auto"
    and (CLUSTER or (VISIBLE != 0 and bool(shutil.which("nvidia-smi"))))
)
# A network on a CPU takes all cores that a run has, so that two never share them (heads alone are
# light enough to train side by side); on GPUs its share of them, so that two never share a GPU.
ALL_CORES = 64
CORES = workflow.resource_settings.cores
NETWORK_THREADS = (
    cores_of_each(CORES, VISIBLE or 1) if HAS_GPU and CORES and not CLUSTER else ALL_CORES
)
NETWORK_GPUS = 1 if HAS_GPU else 0
ENVIRONMENT = str(PROJECT / "envs" / ("cuda.yaml" if HAS_GPU else "cpu.yaml"))
COMPUTE = STUDY.compute.as_document()
# Unasked, a camera keeps what its basis was made with.
INT8 = [
    name for name in ("nncf", "openvino") if STUDY.compute.precision == "int8" and find_spec(name)
]


wildcard_constraints:
    scene="|".join({**SCENES, **CAMERAS}) or "none",
    clip="[A-Za-z0-9_-]+",
    variant="|".join(METHODS),
    view="[0-9]+(x[0-9]+-grey)?(-unmasked)?",
    backbone="|".join(ARCHITECTURES),
    layer="pool|logits|softmax",
    looks="[a-z]+(-[a-z]+)?-[0-9]+-(all|[0-9.]+fps)",
    seed="[0-9]+",
    t="[1-9][0-9]?",
    round="[1-9][0-9]?",
    at="watch(/round[1-9][0-9]*)?",
    pool="|".join(STUDY.pools()) or "none",


def require_scenes(wildcards):
    """No files, where there are scenes to make tables, figures and a report of."""
    with one_line_faults():
        if not SCENES:
            raise SdorError(
                f"{STUDY.file}: scenes: all needs some; of a folder of video, the target is watchlist: "
                f"snakemake --cores all watchlist --config videos={STUDY.videos}"
            )
    return []


def growing(**amounts):
    """Resources that double with each attempt: numbers, or functions of the wildcards.

    Memory is in MB, time in minutes. Where no comment says otherwise, the first attempt has twice to
    five times what the demo took (table `stages`), and 300 MB for Snakemake itself, which runs
    beside the work in each cluster job; scenes of 150,000 frames were only projected.
    """

    def grown(amount):
        return lambda wildcards, attempt: 2 ** (attempt - 1) * (
            amount(wildcards) if callable(amount) else amount
        )

    return {name: grown(amount) for name, amount in amounts.items()}


def remarks_of(scene):
    """What is to be said of a scene's files before any of them is decoded, a line each."""
    passed_over = [f"passed over: {file}" for file in FILMED[scene].passed_over]
    return [*copies(FILMED[scene], SOURCES), *passed_over]


def of_approach(name):
    """The wildcard constraint of variants of an approach: the paper's, or "motion"."""
    kinds = {"paper": Method, "motion": MotionMethod}
    return "|".join(one for one, method in METHODS.items() if type(method) is kinds[name]) or "none"


def rates_of(scene):
    """Frames a second of all clips, None where the scene file does not tell it.

    It tells their order, too: clips in another order are to be looked at again.
    """
    return {clip.name: clip.fps for clip in FILMED[scene].clips}


def time_files(scene, view):
    """The tables of times beside the stored frames of all clips of a scene, in its order."""
    return [str(Path(file).with_suffix(".parquet")) for file in frame_files(scene, view)]


RUN_LOG = "results/logs/{scene}/{variant}/seed{seed}"
RUN_TIME = "results/benchmarks/{scene}/{variant}/seed{seed}"
RUNS = [{"scene": run.scene, "variant": run.variant, "seed": run.seed} for run in runs(STUDY)]


def run_of(wildcards):
    """The run that a job belongs to."""
    return Run(STUDY, wildcards.scene, wildcards.variant, int(wildcards.seed))


def network_threads(wildcards):
    """The threads of a network; on a CPU, one where the head alone trains."""
    head = METHODS[wildcards.variant].training.trainable == "head"
    return 1 if head and not HAS_GPU else NETWORK_THREADS


onstart:
    # With its limit of a hundred jobs a second, which nothing here nears, Snakemake looks at all that
    # is ready each second again for each job that ever began: after a hundred, a fifth of a core.
    limit = workflow.scheduling_settings.max_jobs_per_timespan
    if limit and (limit.max_jobs, limit.timespan) == (100, 1):
        workflow.scheduler.job_rate_limiter = None
    with one_line_faults():
        begin(on_cluster=not workflow.local_exec)
        if LISTS:
            note_command(sys.argv, STUDY.videos)
    if STUDY.videos:
        found = [clip.path for camera in CAMERAS.values() for clip in camera.clips]
        size = sum(os.stat(path).st_size for path in found if os.path.exists(path)) / 1e9
        files = f"{counted(len(CAMERAS), 'camera')}, {counted(len(found), 'file')}"
        say(f"{STUDY.videos}: {files}, {size:.1f} GB")
    remarks = {f"scene {scene}": remarks_of(scene) for scene in FILMED}
    for where, lines in {**remarks, STUDY.videos: STUDY.left}.items():
        more = [f"{len(lines) - 10} more like these"] * (len(lines) > 10)
        for line in [*lines[:10], *more]:
            say(f"{where}: {line}")


onerror:
    pass_on_lines()
    for fault in faults():
        say(f"failed: {fault}")


onsuccess:
    pass_on_lines()
    if Path("results/report.html").is_file():
        say(f"the report is {Path('results/report.html').resolve()}")
