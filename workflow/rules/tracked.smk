# What MLflow is shown of every run, and whether the receipt of it still holds.

from sdor.tracking.receipt import receipt_is_stale
from sdor.tracking.store import store_uri

TRACKING = STUDY.tracking
RECEIPT = "results/mlflow.json"
TRACKED = [RECEIPT] if TRACKING.enabled else []
STORE = "kept"
# No input changes when a store was away or is lost: without its receipt, the runs are recorded anew.
if workflow.is_main_process and TRACKED and receipt_is_stale(Path(RECEIPT), store_uri()):
    if workflow.output_settings.dryrun:
        STORE = "lost"
    else:
        Path(RECEIPT).unlink()


def tracked_model(run):
    """What a run's ensemble is put together from, where it is kept as a model; else None."""
    scene, variant, seed = run.values()
    main = (variant, seed) == (PLAN.main, STUDY.seeds[0])
    if TRACKING.models == "none" or (TRACKING.models == "main" and not main):
        return None
    method, folder = METHODS[variant], RUN.format(**run)
    names, paths = clip_names(scene), frame_files(scene, method.view)
    return {
        "models": [
            f"{folder}/iteration{t}/model.safetensors" for t in range(1, method.iterations + 1)
        ],
        "weights": f"results/weights/{method.backbone}.safetensors",
        "ensemble": f"{folder}/ensemble.parquet",
        "frames": dict(zip(names, paths, strict=True)),
        "method": {
            "trainable": method.training.trainable,
            "hidden_units": method.training.hidden_units,
        },
    }


def tracked_run(run):
    """Files of a run that MLflow shows, beside those of every run."""
    folder, kinds = RUN.format(**run), FIGURE_KINDS if run["variant"] in STUDY.shown() else ()
    extra = {name: f"{folder}/{name}.json" for name in ("localisation", "feedback")}
    return {
        **run,
        "figures": [
            f"results/figures/{run['scene']}/{run['variant']}-{kind}.png" for kind in kinds
        ],
        **{name: path if path in STUDY_FILES[name] else None for name, path in extra.items()},
        "model": tracked_model(run),
    }


TRACKED_RUNS = [tracked_run(run) for run in RUNS] if TRACKED else []


def tracked_files():
    """Files of runs that are read when they are recorded."""
    for run in TRACKED_RUNS:
        folder = RUN.format(**run)
        iterations = range(1, METHODS[run["variant"]].iterations + 1)
        trained = [f"{folder}/iteration{t}" for t in iterations]
        if run["feedback"]:
            trained += [f"{folder}/feedback/round{r}" for r in range(1, STUDY.feedback.rounds + 1)]
            yield run["feedback"]
        for name in trained:
            yield from (f"{name}/history.parquet", f"{name}/scores.parquet")
        yield from (f"{folder}/metrics.json", f"{folder}/ensemble.parquet", *run["figures"])
        if run["localisation"]:
            yield run["localisation"]
        if run["model"]:
            model = run["model"]
            yield from (*model["models"], model["weights"], *model["frames"].values())
