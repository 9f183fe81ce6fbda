# What the rules of frames.smk ask for.

DECODERS = ("av", "ffmpeg-python", "imageio-ffmpeg", "numpy", "pillow")


def frame_files(scene, view):
    """The stored frames of all clips of a scene, in its order."""
    return [f"results/{scene}/frames/{view}/{clip.name}.npy" for clip in SCENES[scene].clips]


def clip_names(scene):
    return [clip.name for clip in SCENES[scene].clips]


def masks_of(scene, view=""):
    """The scene's masks, where a view of its frames has them."""
    if view.endswith("-unmasked"):
        return []
    return [vars(mask) for mask in SCENES[scene].masks]


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


def subset_of(wildcards):
    """The frames that are used, where it is not all of the scene."""
    if METHODS[wildcards.variant].anomaly_rate is None:
        return {}
    return {"subset": f"{RUN}/subset.parquet".format(**wildcards)}
