# What the rules of frames.smk ask for.

DECODERS = ("av", "numpy", "pillow")
# Of what is coded by others, other pixels come out: frames are made anew, and so all else.
CODERS = ("opencv-python-headless",) if STUDY.frames.coding else ()


def frame_files(scene, view):
    """The stored frames of all clips of a scene, in its order."""
    return list(stored_frames(FILMED[scene], view, STUDY.frames).values())


def clip_names(scene):
    return [clip.name for clip in FILMED[scene].clips]


def masks_of(scene, view=""):
    """The scene's masks, where a view of its frames has them."""
    if view.endswith("-unmasked"):
        return []
    return [vars(mask) for mask in FILMED[scene].masks]


def sampling_of(scene, clip):
    """How a clip is sampled, where not all of its frames are stored."""
    its = FILMED[scene].clip(clip)
    return {} if its.sample_fps is None else {"sample_fps": its.sample_fps, "fps": its.fps}


def source_of(wildcards):
    """What a clip is decoded from, where the workflow itself makes it."""
    scene = FILMED[wildcards.scene]
    video = {key: path for key, path in rendered(scene, wildcards.clip).items() if key == "video"}
    return video | cuts(scene)
