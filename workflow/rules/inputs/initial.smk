# What the rules of initial.smk ask for.


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
    return method.backbone, method.view, method.features, method.anomaly_rate, method.initial
