# What the rules of localise.smk ask for.


def with_saliency(scene):
    """The variants of a scene whose saliency is shown and measured."""
    if not STUDY.saliency:
        return []
    others = [
        name
        for name in PLAN.backbones.on(scene)
        if METHODS[name].backbone != METHODS[PLAN.main].backbone
    ]
    return [PLAN.main, *others]


def has_pixel_masks(scene):
    truths = [clip.ground_truth for clip in SCENES[scene].clips]
    return any(truth is not None and truth.pixel_masks is not None for truth in truths)
