# What the rules of evaluate.smk ask for.


def pool_files(wildcards, name):
    """A file of the run of every scene of a pool."""
    scenes = PLAN.pools[wildcards.pool].scenes
    return [f"{RUN}/{name}".format(**{**wildcards, "scene": scene}) for scene in scenes]


def pooled(wildcards):
    """Scene of a pool: the files that its scores and labels are in."""
    members = {}
    for scene in PLAN.pools[wildcards.pool].scenes:
        run = Run(STUDY, scene, wildcards.variant, int(wildcards.seed))
        members[scene] = {
            "clips": f"results/{scene}/clips.parquet",
            "ground_truth": f"results/{scene}/ground_truth.parquet",
            "initial": run.initial,
            "ensemble": f"{run.folder}/ensemble.parquet",
            "scores": run.each("scores.parquet"),
            "competitors": run.competitors,
        }
    return members


def pooled_variants(pool):
    """The main variant, the backbones, and variants of no study, where all scenes have them."""
    scenes = PLAN.pools[pool].scenes
    wanted = {*STUDY.shown(), *(one for scene in scenes for one in PLAN.backbones.on(scene))}
    return [
        name
        for name in METHODS
        if name in wanted and all(name in STUDY.variants_of(scene) for scene in scenes)
    ]


def runs_of(wildcards, name):
    """A file of every seed of a scene and variant."""
    return [f"{RUN}/{name}".format(**wildcards, seed=seed) for seed in STUDY.seeds]
