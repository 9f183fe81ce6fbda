# What the rules of selftrain.smk ask for.


def training_memory(wildcards):
    """In MB; the demo took 1,000 for the last stage (what all weights take was only projected)."""
    return 16000 if METHODS[wildcards.variant].training.trainable == "all" else 6000


def training_time(wildcards, epochs):
    """In minutes: an epoch of the largest scene has 45,000 frames, at 400 a second (projected)."""
    head = METHODS[wildcards.variant].training.trainable == "head"
    return 30 + (epochs // 10 if head else 2 * epochs)
