# What all rooms share: the checked config, the scenes that are there, and the names of files.

import os
import shutil
import sys
from pathlib import Path

PROJECT = Path(workflow.basedir)
if PROJECT.name == "workflow":
    PROJECT = PROJECT.parent
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
from sdor.study.fingerprint import code_of, digest_of, file_sha256, versions_of
from sdor.running.invocation import enter, join, look, only_looks, read_failures, sign
from sdor.running.records import Settled, repairing
from sdor.running.run_log import listen
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
        os.path.relpath(workflow.configfiles[-1]),
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
        method["backbone"]: weights_setting(STUDY.settings, method["backbone"])
        for method in STUDY.methods.values()
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
config["data_root"] = STUDY.settings["data_root"]
config["scene_folder"] = STUDY.settings["scene_folder"]
SETTINGS, METHODS, SCENES = STUDY.settings, STUDY.methods, STUDY.scenes
# On a cluster, each network job asks for a GPU, whatever the host is that Snakemake runs on. Jobs are
# told that they are on one, since they have no limit of jobs.
if workflow.is_main_process:
    os.environ[ON_CLUSTER] = "yes" if workflow.resource_settings.nodes else ""
HAS_GPU = SETTINGS["device"] == "cuda" or (
    SETTINGS["device"] == "auto" and bool(os.environ.get(ON_CLUSTER) or shutil.which("nvidia-smi"))
)
# A network takes all cores that a run has, so that two never share them, nor a GPU (on a CPU, heads
# alone are light enough to train side by side).
NETWORK_THREADS = 64
NETWORK_GPUS = 1 if HAS_GPU else 0
ENVIRONMENT = str(PROJECT / "envs" / ("cuda.yaml" if HAS_GPU else "cpu.yaml"))
FEEDBACK = SETTINGS["feedback"]
STUDIES_OF_THE_PAPER = ("backbones", "anomaly_rate")
ABLATIONS = [name for name in SETTINGS["studies"] if name not in STUDIES_OF_THE_PAPER]
# What tables and figures are told about the study, beside its files.
ASKED = {
    "main": STUDY.main,
    "studies": SETTINGS["studies"],
    "pools": SETTINGS["pools"],
    "not_run": STUDY.not_run,
}
DEL_GIORNO = ("w100", "w10")
UNMASKING = "results/{scene}/competitors/{backbone}-{view}"
COMPUTE = {key: SETTINGS[key] for key in ("device", "precision")}
# What the initial scores follow from, beside the frames and the network.
INITIAL_KEYS = (
    "pca",
    "sp_bags",
    "sp_bag_size",
    "iforest_trees",
    "iforest_samples",
    "rescale",
)
DECODERS = ("av", "ffmpeg-python", "imageio-ffmpeg", "numpy", "pillow")


wildcard_constraints:
    scene="|".join(SCENES) or "none",
    clip="[A-Za-z0-9_-]+",
    variant="|".join(METHODS),
    view="[0-9]+(x[0-9]+-grey)?(-unmasked)?",
    backbone="resnet50|resnet18|vgg16|mobilenet_v2|r3d_18|i3d",
    layer="pool|logits|softmax",
    seed="[0-9]+",
    t="[1-9][0-9]?",
    round="[1-9][0-9]?",
    pool="|".join(STUDY.pools()) or "none",


def growing(amount):
    """A resource that doubles with each attempt: a number, or a function of the wildcards.

    Memory is in MB, time in minutes. Where no comment says otherwise, the first attempt has twice to
    five times what the demo took (table `stages`), and 300 MB for Snakemake itself, which runs
    beside the work in each cluster job; scenes of 150,000 frames were only projected.
    """
    return lambda wildcards, attempt: 2 ** (attempt - 1) * (
        amount(wildcards) if callable(amount) else amount
    )


def training_memory(wildcards):
    """In MB; the demo took 1,000 for the last stage (what all weights take was only projected)."""
    return 16000 if METHODS[wildcards.variant]["trainable"] == "all" else 6000


def training_time(wildcards, epochs):
    """In minutes: an epoch of the largest scene has 45,000 frames, at 400 a second (projected)."""
    head = METHODS[wildcards.variant]["trainable"] == "head"
    return 30 + (epochs // 10 if head else 2 * epochs)


def view_of(method):
    """Name of the frames that a method sees: their size, and whether masks are left off."""
    return f"{method['input_size']}{'' if method['masks'] else '-unmasked'}"


def method_of(wildcards, *keys):
    """The variant's method, or the given keys of it."""
    method = METHODS[wildcards.variant]
    return {key: method[key] for key in keys} if keys else method


def frame_files(scene, view):
    """The stored frames of all clips of a scene, in its order."""
    return [f"results/{scene}/frames/{view}/{clip.name}.npy" for clip in SCENES[scene].clips]


def features_file(scene, method, layer=None):
    """The features of all frames that a method starts from."""
    layer = layer or method["features"]
    return f"results/{scene}/features/{method['backbone']}-{layer}-{view_of(method)}.parquet"


def grey_frames(scene, method):
    """The frames in which motion is looked for."""
    view = "160x120-grey" + ("" if method["masks"] else "-unmasked")
    return frame_files(scene, view)


RUN = "results/{scene}/{variant}/seed{seed}"
RUN_LOG = "results/logs/{scene}/{variant}/seed{seed}"
RUN_TIME = "results/benchmarks/{scene}/{variant}/seed{seed}"
RUNS = [
    {"scene": scene, "variant": variant, "seed": seed}
    for scene in SCENES
    for variant in STUDY.variants_of(scene)
    for seed in SETTINGS["seeds"]
]


def clip_names(scene):
    return [clip.name for clip in SCENES[scene].clips]


def masks_of(scene, view=""):
    """The scene's masks, where a view of its frames has them."""
    if view.endswith("-unmasked"):
        return []
    return [vars(mask) for mask in SCENES[scene].masks]


def weights_file(wildcards):
    return f"results/weights/{METHODS[wildcards.variant]['backbone']}.safetensors"


def rendered(scene, clip):
    """Files of a clip that the project renders itself; none for other clips."""
    if SCENES[scene].demo is None:
        return {}
    folder = f"results/{scene}/video/{clip}"
    return {
        "video": f"{folder}.avi",
        "labels": f"{folder}.csv",
        "pixels": f"{folder}_gt",
    }


def cuts_of(scene):
    """The sequences found in a joined video; none for scenes with files of their own."""
    return {} if SCENES[scene].joined is None else {"cuts": f"results/{scene}/cuts.json"}


def source_of(wildcards):
    """What a clip is decoded from, where the workflow itself makes it."""
    video = {
        key: path
        for key, path in rendered(wildcards.scene, wildcards.clip).items()
        if key == "video"
    }
    return video | cuts_of(wildcards.scene)


def of_iterations(name, iterations):
    return [f"{RUN}/iteration{t}/{name}" for t in iterations]


def network_threads(wildcards):
    """All cores for a network; on a CPU, one where the head alone trains."""
    head = METHODS[wildcards.variant]["trainable"] == "head"
    return 1 if head and not HAS_GPU else NETWORK_THREADS


def subset_of(wildcards):
    """The frames that are used, where it is not all of the scene."""
    if METHODS[wildcards.variant]["anomaly_rate"] is None:
        return {}
    return {"subset": f"{RUN}/subset.parquet".format(**wildcards)}


def initial_file(wildcards):
    """The initial scores; a variant of a study shares them with the first one that starts alike."""
    known = STUDY.variants_of(wildcards.scene)
    first = wildcards.variant
    if first not in STUDY.shown():
        first = next(
            name for name in known if starts_like(METHODS[name]) == starts_like(METHODS[first])
        )
    return f"{RUN}/initial.parquet".format(**{**wildcards, "variant": first})


def starts_like(method):
    keys = ("backbone", "input_size", "masks", "features", "anomaly_rate", *INITIAL_KEYS)
    return [method[key] for key in keys]


def scores_before(wildcards):
    """The scores that the pseudo labels of iteration t are chosen by."""
    t = int(wildcards.t)
    if t == 1:
        return [initial_file(wildcards)]
    earlier = range(1, t) if METHODS[wildcards.variant]["labels_from"] == "ensemble" else [t - 1]
    return of_iterations("scores.parquet", earlier)


def training_rows(wildcards):
    """What the trainable part starts from: frames, the trunk's maps, or pooled features."""
    method = METHODS[wildcards.variant]
    if method["trainable"] == "head":
        return [features_file(wildcards.scene, method, "pool")]
    if method["trainable"] == "layer4":
        return [f"results/{wildcards.scene}/trunk/{method['backbone']}-{view_of(method)}.npy"]
    return frame_files(wildcards.scene, view_of(method))


def model_before(wildcards):
    """The model that a warm restart goes on from; none for a restart from the backbone."""
    t = int(wildcards.t)
    if t == 1 or METHODS[wildcards.variant]["restart"] == "imagenet":
        return []
    return of_iterations("model.safetensors", [t - 1])


def iterations_of(wildcards):
    return range(1, METHODS[wildcards.variant]["iterations"] + 1)


def runs_of(wildcards, name):
    """A file of every seed of a scene and variant."""
    return [f"{RUN}/{name}".format(**wildcards, seed=seed) for seed in SETTINGS["seeds"]]


def mapped_rows(wildcards):
    """What saliency maps start from: the trunk's maps where they are kept, else frames."""
    if METHODS[wildcards.variant]["trainable"] == "layer4":
        return training_rows(wildcards)
    return frame_files(wildcards.scene, view_of(METHODS[wildcards.variant]))


def with_saliency(scene):
    """The variants of a scene whose saliency is shown and measured."""
    if not SETTINGS["saliency"]:
        return []
    others = [
        name
        for name in STUDY.of("backbones", scene)
        if METHODS[name]["backbone"] != METHODS[STUDY.main]["backbone"]
    ]
    return [STUDY.main, *others]


def has_pixel_masks(scene):
    truths = [clip.ground_truth for clip in SCENES[scene].clips]
    return any(truth is not None and truth.pixel_masks is not None for truth in truths)


def competitor_files(wildcards):
    """Row of the tables: file of a competitor's scores, for the main variant."""
    if wildcards.variant != STUDY.main:
        return {}
    files = {}
    for name in SETTINGS["competitors"]:
        if name.startswith("del_giorno"):
            for setting in DEL_GIORNO:
                files[f"{name}_{setting}"] = f"{RUN}/competitors/{name}_{setting}.parquet"
        else:
            folder = UNMASKING if name == "unmasking" else f"{RUN}/competitors"
            channels = {"appearance": "_appearance", "motion": "_motion", "fused": ""}
            prefix = name.removesuffix("_test")
            for channel, suffix in channels.items():
                row = f"{prefix}{suffix}" if suffix else name
                files[row] = f"{folder}/{name}-{channel}.parquet"
    names = {**wildcards, **named_files(wildcards.variant)}
    return {row: path.format(**names) for row, path in files.items()}


def named_files(variant):
    """Wildcards of files that variants share: the network, and the view of the frames."""
    method = METHODS[variant]
    return {"backbone": method["backbone"], "view": view_of(method)}


def rounds_of(name):
    return [f"{RUN}/feedback/round{r}/{name}" for r in range(1, FEEDBACK["rounds"] + 1)]


def last_iteration(wildcards, name):
    """A file of the last iteration."""
    return f"{RUN}/iteration{METHODS[wildcards.variant]['iterations']}/{name}".format(**wildcards)


def marked_before(wildcards):
    """The marks of the rounds before."""
    return [f"{RUN}/feedback/round{r}/marks.parquet" for r in range(1, int(wildcards.round))]


def round_before(wildcards, name):
    """A file of the round before; before the first round, of the last iteration."""
    r = int(wildcards.round)
    if r == 1:
        return last_iteration(wildcards, name)
    return f"{RUN}/feedback/round{r - 1}/{name}".format(**wildcards)


def pool_files(wildcards, name):
    """A file of the run of every scene of a pool."""
    scenes = SETTINGS["pools"][wildcards.pool]["scenes"]
    return [f"{RUN}/{name}".format(**{**wildcards, "scene": scene}) for scene in scenes]


def pooled(wildcards):
    """Scene of a pool: the files that its scores and labels are in."""
    members = {}
    for scene in SETTINGS["pools"][wildcards.pool]["scenes"]:
        of_scene = type(wildcards)(fromdict={**wildcards, "scene": scene})
        run = RUN.format(**of_scene)
        members[scene] = {
            "clips": f"results/{scene}/clips.parquet",
            "ground_truth": f"results/{scene}/ground_truth.parquet",
            "initial": initial_file(of_scene),
            "ensemble": f"{run}/ensemble.parquet",
            "scores": [f"{run}/iteration{t}/scores.parquet" for t in iterations_of(of_scene)],
            "competitors": competitor_files(of_scene),
        }
    return members


def drawn_runs(wildcards):
    """All that the figures of a scene and variant show, of every seed."""
    names = ["metrics.json", "initial.parquet", "ensemble.parquet"]
    for t in iterations_of(wildcards):
        files = ("scores", "pseudo_labels", "history")
        names += [f"iteration{t}/{file}.parquet" for file in files]
    return [path for name in names for path in runs_of(wildcards, name)]


def seeds_of(scene, variant, name):
    """A file of every seed of one scene and variant."""
    run = RUN.format(scene=scene, variant=variant, seed="{seed}")
    return [f"{run}/{name}".format(seed=seed) for seed in SETTINGS["seeds"]]


def study_files():
    """All results that tables and report are made of."""
    masked = [scene for scene in SCENES if has_pixel_masks(scene)]
    located = [(scene, variant) for scene in masked for variant in with_saliency(scene)]
    asked = [scene for scene in FEEDBACK["scenes"] if scene in SCENES]
    pooled = [
        f"results/pools/{pool}/{variant}/seed{seed}/{way}.json"
        for pool in STUDY.pools()
        for variant in pooled_variants(pool)
        for seed in SETTINGS["seeds"]
        for way in ("raw", "ranks")
    ]
    return {
        "metrics": [f"{RUN}/metrics.json".format(**run) for run in RUNS],
        "draws": [f"{RUN}/draws.parquet".format(**run) for run in RUNS],
        "localisation": [path for key in located for path in seeds_of(*key, "localisation.json")],
        "feedback": [path for one in asked for path in seeds_of(one, STUDY.main, "feedback.json")],
        "pooled": pooled,
    }


def pooled_variants(pool):
    """The main variant, the backbones, and variants of no study, where all scenes have them."""
    scenes = SETTINGS["pools"][pool]["scenes"]
    wanted = {*STUDY.shown(), *(one for scene in scenes for one in STUDY.of("backbones", scene))}
    return [
        name
        for name in METHODS
        if name in wanted and all(name in STUDY.variants_of(scene) for scene in scenes)
    ]


def figure_files(figure):
    """What a figure of the whole study is drawn from: paths, by what they are."""
    runs = [(run["scene"], run["variant"]) for run in RUNS if run["seed"] == SETTINGS["seeds"][0]]
    if figure == "figure3":
        return {scene: feedback_files(scene) for scene in FEEDBACK["scenes"] if scene in SCENES}
    if figure == "figure4":
        return {scene: saliency_files(scene) for scene in SCENES if with_saliency(scene)}
    if figure == "localisation":
        return STUDY_FILES["localisation"]
    if figure == "figure5":
        wanted = {(s, v) for s in SCENES for v in STUDY.of("anomaly_rate", s)}
        wanted |= {(s, v) for s, r in set(wanted) for v in METHODS if METHODS[v] == whole(r)}
    elif figure == "figure6":
        wanted = {(scene, STUDY.main) for scene in SCENES}
    else:
        wanted = {(s, v) for study in ABLATIONS for s in SCENES for v in STUDY.of(study, s)}
    return [path for key in runs if key in wanted for path in seeds_of(*key, "metrics.json")]


def whole(variant):
    """The variant's method on all frames."""
    return {**METHODS[variant], "anomaly_rate": None}


def feedback_files(scene):
    """Labels, scores and marks of all rounds of feedback."""
    rounds = range(1, FEEDBACK["rounds"] + 1)
    last = METHODS[STUDY.main]["iterations"]
    files = {
        "scores": [f"iteration{last}/scores.parquet"]
        + [f"feedback/round{r}/scores.parquet" for r in rounds],
        "marks": [f"feedback/round{r}/marks.parquet" for r in rounds],
    }
    runs = seeds_of(scene, STUDY.main, "")
    seeds = [{key: [run + name for name in files[key]] for key in files} for run in runs]
    return {**labels_of(scene), "seeds": seeds}


def saliency_files(scene):
    """Labels, frames, and the maps of every backbone, of the first seed."""
    paths = frame_files(scene, view_of(METHODS[STUDY.main]))
    variants = {}
    for variant in with_saliency(scene):
        run = seeds_of(scene, variant, "")[0]
        files = {"saliency": f"{run}saliency.npy", "ensemble": f"{run}ensemble.parquet"}
        backbone = METHODS[variant]["backbone"]
        name = BACKBONE_NAMES.get(backbone, backbone)
        variants[f"{name}, {variant}"] = files
    frames = dict(zip(clip_names(scene), paths, strict=True))
    return {**labels_of(scene), "frames": frames, "variants": variants, **cuts_of(scene)}


def labels_of(scene):
    return {
        "clips": f"results/{scene}/clips.parquet",
        "ground_truth": f"results/{scene}/ground_truth.parquet",
    }


def paths_in(files):
    """All paths in nested lists and mappings."""
    if isinstance(files, str):
        return [files]
    parts = files.values() if isinstance(files, dict) else files
    return [path for part in parts for path in paths_in(part)]


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
