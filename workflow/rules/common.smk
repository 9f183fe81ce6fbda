# What all rooms share: the checked config, the scenes that are there, and the names of files.

import os
import shutil
import sys
from pathlib import Path

# Not workflow.basedir: as a module of another workflow, that is the folder of the other one.
PROJECT = Path(str(workflow.current_basedir)).parents[1]
# Jobs run the package of this checkout, whether or not it is installed.
sys.path.insert(0, str(PROJECT / "workflow"))
STATE = Path(".snakemake")
FAILURES = STATE / "sdor-failures.txt"
os.environ.update(
    PYTHONPATH=os.pathsep.join(
        [str(PROJECT / "workflow"), *filter(None, [os.environ.get("PYTHONPATH")])]
    ),
    SDOR_FAILURES=str(FAILURES.resolve()),
    SDOR_STATE=str(STATE.resolve()),
)

from snakemake.cli import get_argument_parser
from snakemake.logging import logger as snakemake_logger
from snakemake.settings.enums import Quietness

from sdor.running.cluster import ON_CLUSTER, require_answer
from sdor.errors import SdorError, say
from sdor.study.backbones import ARCHITECTURES
from sdor.study.fingerprint import code_of, versions_of
from sdor.files import digest_of, file_sha256
from sdor.running.invocation import enter, join, look, only_looks, read_failures, sign
from sdor.running.records import Settled, repairing
from sdor.running.run_log import listen
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
from sdor.study.scenes import fingerprint, ground_truth_fingerprint
from sdor.study.study import load_study, weights_setting

if not workflow.configfiles:

    configfile: str(PROJECT / "config/config.yaml")


def options_of(arguments):
    """Options of a Snakemake command line by their names; empty where it is none of Snakemake's."""
    try:
        return vars(get_argument_parser().parse_args(arguments))
    except SystemExit:
        return {}


OPTIONS = options_of(sys.argv[1:]) if workflow.is_main_process else {}
if OPTIONS:
    OPTIONS["dryrun"] = workflow.output_settings.dryrun  # it may also stand in a profile
LOOKS_ONLY, TOUCHES = only_looks(OPTIONS), bool(OPTIONS.get("touch"))
FOUND = Settled()
try:
    if not workflow.is_main_process:
        HELD = join(STATE)
    STUDY = load_study(
        config,
        os.path.relpath(workflow.configfiles[-1]) if workflow.configfiles else "config",
        data_root_given="data_root" in workflow.config_settings.config,
    )
    SOURCES = {
        (scene.name, clip.name): fingerprint(clip)
        for scene in STUDY.scenes.values()
        for clip in scene.clips
    }
    LABELS = {
        name: [ground_truth_fingerprint(clip) for clip in scene.clips]
        for name, scene in STUDY.scenes.items()
    }
    WEIGHTS = {
        name: weights_setting(STUDY.weights.get(name, "auto"), name)
        for name in sorted({method.backbone for method in STUDY.methods.values()})
    }
    # A wrong config has cost nothing so far.
    if workflow.is_main_process and repairing():
        if not LOOKS_ONLY:
            sign(STATE)
    elif LOOKS_ONLY:
        FOUND = look(STATE)
    elif workflow.is_main_process:
        # There, and only there, Snakemake has a limit of jobs (--jobs).
        if workflow.resource_settings.nodes:
            require_answer()
        keeps = ("touch", "delete_all_output", "delete_temp_output")
        as_they_are = any(OPTIONS.get(name) for name in keeps)
        FOUND = enter(STATE, Path("results"), repair=not as_they_are)
        FAILURES.unlink(missing_ok=True)
except SdorError as error:
    say(str(error))
    sys.exit(1)

# The main process hears of all jobs, wherever they run. Of finished ones it does so only where their
# progress is not quiet; what Snakemake itself shows stays as it was asked for.
EVENTS = listen(snakemake_logger, touches=TOUCHES)
if workflow.output_settings.quiet and not LOOKS_ONLY:
    workflow.output_settings.quiet = workflow.output_settings.quiet - {Quietness.PROGRESS}

# Scripts find a scene's files by this, and no absolute path gets into a job's params.
config["data_root"] = STUDY.data_root
config["scene_folder"] = STUDY.scene_folder
METHODS, SCENES, PLAN = STUDY.methods, STUDY.scenes, STUDY.plan
# On a cluster, each network job asks for a GPU, whatever the host is that Snakemake runs on. Jobs are
# told that they are on one, since they have no limit of jobs.
if workflow.is_main_process:
    os.environ[ON_CLUSTER] = "yes" if workflow.resource_settings.nodes else ""
HAS_GPU = STUDY.compute.device == "cuda" or (
    STUDY.compute.device == "auto"
    and bool(os.environ.get(ON_CLUSTER) or shutil.which("nvidia-smi"))
)
# A network takes all cores that a run has, so that two never share them, nor a GPU (on a CPU, heads
# alone are light enough to train side by side).
NETWORK_THREADS = 64
NETWORK_GPUS = 1 if HAS_GPU else 0
ENVIRONMENT = str(PROJECT / "envs" / ("cuda.yaml" if HAS_GPU else "cpu.yaml"))
COMPUTE = STUDY.compute.as_document()


wildcard_constraints:
    scene="|".join(SCENES) or "none",
    clip="[A-Za-z0-9_-]+",
    variant="|".join(METHODS),
    view="[0-9]+(x[0-9]+-grey)?(-unmasked)?",
    backbone="|".join(ARCHITECTURES),
    layer="pool|logits|softmax",
    seed="[0-9]+",
    t="[1-9][0-9]?",
    round="[1-9][0-9]?",
    pool="|".join(STUDY.pools()) or "none",


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


RUN_LOG = "results/logs/{scene}/{variant}/seed{seed}"
RUN_TIME = "results/benchmarks/{scene}/{variant}/seed{seed}"
RUNS = [{"scene": run.scene, "variant": run.variant, "seed": run.seed} for run in runs(STUDY)]


def run_of(wildcards):
    """The run that a job belongs to."""
    return Run(STUDY, wildcards.scene, wildcards.variant, int(wildcards.seed))


def network_threads(wildcards):
    """All cores for a network; on a CPU, one where the head alone trains."""
    head = METHODS[wildcards.variant].training.trainable == "head"
    return 1 if head and not HAS_GPU else NETWORK_THREADS


onstart:
    # The limit on new jobs is meant for clusters. Here it makes Snakemake look at all waiting jobs
    # anew every second, once for each job that has ended: hundreds of times a second in a long run.
    if workflow.local_exec:
        workflow.scheduler.job_rate_limiter = None


onerror:
    for line in dict.fromkeys([*read_failures(FAILURES), *EVENTS.silent.values()]):
        say(f"failed: {line}")


onsuccess:
    if not repairing() and not TOUCHES:
        for line in EVENTS.summary(Path("results")):
            say(line)
