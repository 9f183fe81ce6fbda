# What the rules of initial.smk ask for.

# What the initial scores follow from, beside the frames and the network.
INITIAL_KEYS = (
    "pca",
    "sp_bags",
    "sp_bag_size",
    "iforest_trees",
    "iforest_samples",
    "rescale",
)


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
