# What the rules of watch.smk ask for.

from functools import cache

from sdor.study.study import read_method
from sdor.video.frames import holds_frames

with one_line_faults():
    # Whatever the study compares: this is what the approach "motion" makes a watchlist by.
    WATCHING = read_method({**STUDY.document["motion"], "approach": "motion"}, STUDY.file)
    WEIGHTS.setdefault(
        WATCHING.backbone,
        weights_setting(STUDY.weights.get(WATCHING.backbone, "auto"), WATCHING.backbone),
    )

    # Finished rounds of marks, beside the results.
    ROUNDS = rounds_then(lambda: {name: len(finished_rounds(name)) for name in CAMERAS})

# Where what a camera's page is made from lies, and what the page says of how that was made. What is
# made anew after each round of marks lies at "watch", or at "watch/round3".
AT = PAGE = "results/{scene}/{at}"
WATCHED = STUDY.watched()
if STUDY.approach == "paper":
    PAGE = f"results/{{scene}}/{WATCHED}/seed{STUDY.seeds[0]}/{{at}}"
    SETTINGS_SHOWN = {"method": METHODS[WATCHED].as_document()}
else:
    SETTINGS_SHOWN = {"motion": WATCHING.as_document()}
SETTINGS_SHOWN |= {"events": STUDY.events.as_document()}


def listing_of(camera):
    """What is there of a camera, by the sizes and times of its files: contents are not read here."""
    return [
        [clip.name, clip.source, *stat_of(clip.path), clip.first, clip.last, clip.fps, clip.stream]
        for clip in camera.clips
    ]


def root_of(scene):
    """The folder of a camera's video, whose whole path is printed with moments.

    Lists alone depend on it: the same files elsewhere are not looked at, nor learnt from, again.
    """
    return str(CAMERAS[scene].root.absolute())


def stat_of(path):
    try:
        about = os.stat(path)
    except OSError:
        return [None, None]
    return [about.st_size, about.st_mtime_ns]


def rendered_video(wildcards):
    """The files of a camera that the workflow itself makes."""
    camera = CAMERAS[wildcards.scene]
    files = [rendered(camera, clip.name).get("video") for clip in camera.clips]
    return [file for file in files if file]


def rounds_of(scene, at):
    """The files of marks of the rounds up to one; none of what is learnt without marks."""
    count = int(at.rpartition("round")[2]) if "round" in at else 0
    return [f"feedback/{scene}/round{number}.csv" for number in range(1, count + 1)]


def newest_of(name):
    """Where the list of a camera lies that is shown: that of its last finished round."""
    count = ROUNDS.get(name, 0)
    return PAGE.format(scene=name, at=f"watch/round{count}" if count else "watch")


def page_files(name):
    """What a camera's part of a page is made from."""
    made = ("looks.parquet", "scores.parquet", "events.parquet", "heat.npy", "previews")
    own = [f"{newest_of(name)}/{file}" for file in made[1:]]
    return [f"{PAGE.format(scene=name, at='watch')}/{made[0]}", *own]


def left_of(*names):
    """What of some cameras' files, or of all, is not looked at, and what else is to be said."""
    known = [name for name in names or CAMERAS if name in FILMED]
    return [
        *(one[:2] for one in STUDY.left if not names or one.camera in names),
        *(("", f"{name}: {remark}") for name in known for remark in remarks_of(name)),
    ]


@cache
def run_watched(scene, variant, seed, at):
    """Files of a run of the paper's approach that moments follow from; none of too little video.

    After rounds of marks, those are of the model that learnt from them, else of the ensemble.
    """
    run, clips = Run(STUDY, scene, variant, int(seed)), FILMED[scene].clips
    is_there = not any(clip.rendered or clip.sequence for clip in clips)
    if is_there and not holds_frames(clips, run.least_frames):
        return {}
    found = {"models": run.each("model.safetensors"), "scores": f"{run.folder}/ensemble.parquet"}
    if at != "watch":
        learnt = f"{run.folder}/learnt/{Path(at).name}"
        found = {"models": [f"{learnt}/model.safetensors"], "scores": f"{learnt}/scores.parquet"}
    return {**found, "index": run.initial, "rows": run.mapped_rows, "weights": run.weights}
