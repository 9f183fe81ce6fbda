# What the rules of watch.smk ask for.

from sdor.study.study import read_method

with one_line_faults():
    # Whatever the study compares: a watchlist is made by the approach "motion".
    WATCHING = read_method({**STUDY.document["motion"], "approach": "motion"}, STUDY.file)
    WEIGHTS.setdefault(
        WATCHING.backbone,
        weights_setting(STUDY.weights.get(WATCHING.backbone, "auto"), WATCHING.backbone),
    )

# What a page says of how it was made.
SETTINGS_SHOWN = {"motion": WATCHING.as_document(), "events": STUDY.events.as_document()}


def listing_of(camera):
    """What is there of a camera, by the sizes and times of its files: contents are not read here."""
    return [
        [clip.name, clip.source, *stat_of(clip.path), clip.first, clip.last, clip.fps, clip.stream]
        for clip in camera.clips
    ]


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


def page_files(name):
    """What a camera's part of a page is made from."""
    made = ("looks.parquet", "scores.parquet", "events.parquet", "heat.npy", "previews")
    return [f"results/{name}/watch/{file}" for file in made]
