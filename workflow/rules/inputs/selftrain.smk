# What the rules of selftrain.smk ask for.


def training_memory(wildcards):
    """In MB; the demo took 1,000 for the last stage (what all weights take was only projected)."""
    return 16000 if METHODS[wildcards.variant].training.trainable == "all" else 6000


def fine_tuning(wildcards):
    """What the model after a round of marks depends on, beside files and code."""
    method = METHODS[wildcards.variant]
    return {
        "versions": versions_of("numpy", "torch", "torchvision"),
        "method": method.training.as_document(),
        "epochs": STUDY.feedback.epochs,
        "neighbours": STUDY.feedback.neighbours,
        "replay": STUDY.feedback.replay,
        "clips": clip_names(wildcards.scene),
        "weights": WEIGHTS[method.backbone],
        "compute": COMPUTE,
    }


def training_time(wildcards, epochs):
    """In minutes: an epoch of the largest scene has 45,000 frames, at 400 a second (projected)."""
    head = METHODS[wildcards.variant].training.trainable == "head"
    return 30 + (epochs // 10 if head else 2 * epochs)
