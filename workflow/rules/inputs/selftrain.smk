# What the rules of selftrain.smk ask for.


def training_memory(wildcards):
    """In MB; the demo took 1,000 for the last stage (what all weights take was only projected)."""
    return 16000 if METHODS[wildcards.variant].training.trainable == "all" else 6000


def training_time(wildcards, epochs):
    """In minutes: an epoch of the largest scene has 45,000 frames, at 400 a second (projected)."""
    head = METHODS[wildcards.variant].training.trainable == "head"
    return 30 + (epochs // 10 if head else 2 * epochs)


def scores_before(wildcards):
    """The scores that the pseudo labels of iteration t are chosen by."""
    t = int(wildcards.t)
    if t == 1:
        return [initial_file(wildcards)]
    earlier = range(1, t) if METHODS[wildcards.variant].labels_from == "ensemble" else [t - 1]
    return of_iterations("scores.parquet", earlier)


def training_rows(wildcards):
    """What the trainable part starts from: frames, the trunk's maps, or pooled features."""
    method = METHODS[wildcards.variant]
    if method.training.trainable == "head":
        return [features_file(wildcards.scene, method, "pool")]
    if method.training.trainable == "layer4":
        return [f"results/{wildcards.scene}/trunk/{method.backbone}-{method.view}.npy"]
    return frame_files(wildcards.scene, method.view)


def model_before(wildcards):
    """The model that a warm restart goes on from; none for a restart from the backbone."""
    t = int(wildcards.t)
    if t == 1 or METHODS[wildcards.variant].restart == "imagenet":
        return []
    return of_iterations("model.safetensors", [t - 1])


def iterations_of(wildcards):
    return range(1, METHODS[wildcards.variant].iterations + 1)


def of_iterations(name, iterations):
    return [f"{RUN}/iteration{t}/{name}" for t in iterations]
