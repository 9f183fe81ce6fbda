# What the rule of track.smk asks for.

from sdor.tracking.store import (
    DEFAULT_STORE,
    failed_imports,
    sqlite_file,
    store_uri,
    without_secrets,
)

RECEIPT = "results/mlflow.json"
# A line for each import that could not be completed: another line, and the next run tries again.
FAILED_IMPORTS = "results/logs/mlflow-failures.txt"
# A store elsewhere is not an output of ours: it may hold more than this study.
STORE_FILE = [str(sqlite_file(DEFAULT_STORE))] if store_uri() == DEFAULT_STORE else []
TRACKED = [RECEIPT, *STORE_FILE] if STUDY.tracking.enabled else []
MEASURED_LATER = {*STUDY_FILES["localisation"], *STUDY_FILES["feedback"]}


def kept_files(run):
    """Files of a run that are kept with its record."""
    later = [f"{run.folder}/{name}.json" for name in ("localisation", "feedback")]
    kinds = FIGURE_KINDS if run.variant in STUDY.shown() else ()
    return [
        f"{run.folder}/metrics.json",
        *(path for path in later if path in MEASURED_LATER),
        *(f"results/figures/{run.scene}/{run.variant}-{kind}.png" for kind in kinds),
    ]


def kept_model(run):
    """What a run's ensemble is put together from, where it is kept as a model; else nothing.

    Heads of the approach "motion" are no model by themselves: motion comes before them.
    """
    main = (run.variant, run.seed) == (PLAN.main, STUDY.seeds[0])
    if isinstance(run.method, MotionMethod):
        return {}
    if STUDY.tracking.models == "none" or (STUDY.tracking.models == "main" and not main):
        return {}
    return {
        "models": run.each("model.safetensors"),
        "weights": run.weights,
        "frames": run.frames,
        "trainable": run.method.training.trainable,
    }


def tracked_files(wildcards):
    """All files of runs that are read."""
    for run in runs(STUDY):
        files = [*run.each("history.parquet"), *kept_files(run)]
        if f"{run.folder}/feedback.json" in files:
            files += run.rounds("history.parquet")
        if model := kept_model(run):
            files += [*model["models"], model["weights"], *model["frames"].values()]
        yield from files
