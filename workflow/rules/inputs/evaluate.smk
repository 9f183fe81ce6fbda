# What the rules of evaluate.smk ask for.


def members_of(wildcards):
    """The runs that a pool judges together."""
    scenes = PLAN.pools[wildcards.pool].scenes
    return [Run(STUDY, scene, wildcards.variant, int(wildcards.seed)) for scene in scenes]


def judged_files(run):
    """The files that a run's scores and labels are in."""
    return {
        "clips": f"results/{run.scene}/clips.parquet",
        "ground_truth": f"results/{run.scene}/ground_truth.parquet",
        "initial": run.initial,
        "ensemble": f"{run.folder}/ensemble.parquet",
        "scores": run.each("scores.parquet"),
        "competitors": run.competitors,
    }
