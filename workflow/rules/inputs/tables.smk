# What the rules of tables.smk ask for, and what tables, figures and report share.

# What tables and figures are told about the study, beside its files.
ASKED = {
    "main": PLAN.main,
    "studies": {
        name: one.as_document()
        for name, one in {
            "backbones": PLAN.backbones,
            "anomaly_rate": PLAN.anomaly_rates,
            **PLAN.ablations,
        }.items()
        if one.variants
    },
    "pools": {name: pool.as_document() for name, pool in PLAN.pools.items()},
    "not_run": PLAN.not_run,
}


def seeds_of(scene, variant, name):
    """A file of every seed of one scene and variant."""
    run = RUN.format(scene=scene, variant=variant, seed="{seed}")
    return [f"{run}/{name}".format(seed=seed) for seed in STUDY.seeds]


def study_files():
    """All results that tables and report are made of."""
    masked = [scene for scene in SCENES if has_pixel_masks(scene)]
    located = [(scene, variant) for scene in masked for variant in with_saliency(scene)]
    asked = [scene for scene in STUDY.feedback_scenes if scene in SCENES]
    pooled = [
        f"results/pools/{pool}/{variant}/seed{seed}/{way}.json"
        for pool in STUDY.pools()
        for variant in pooled_variants(pool)
        for seed in STUDY.seeds
        for way in ("raw", "ranks")
    ]
    return {
        "metrics": [f"{RUN}/metrics.json".format(**run) for run in RUNS],
        "draws": [f"{RUN}/draws.parquet".format(**run) for run in RUNS],
        "localisation": [path for key in located for path in seeds_of(*key, "localisation.json")],
        "feedback": [path for one in asked for path in seeds_of(one, PLAN.main, "feedback.json")],
        "pooled": pooled,
    }


def paths_in(files):
    """All paths in nested lists and mappings."""
    if isinstance(files, str):
        return [files]
    parts = files.values() if isinstance(files, dict) else files
    return [path for part in parts for path in paths_in(part)]
