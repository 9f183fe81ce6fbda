from sdor.evaluate import evaluate_pool
from sdor.files import read_json
from sdor.jobs import job

w, stage = snakemake.wildcards, snakemake.params.stage
with job(snakemake.log[0], f"evaluation of {w.pool}/{w.variant}/seed{w.seed}, {w.way}"):
    about = read_json(snakemake.input.metrics[0])["about"]
    evaluate_pool(
        stage["members"],
        snakemake.output[0],
        ranks=w.way == "ranks",
        smoothing_sigma=stage["evaluation"]["smoothing_sigma"],
        draws=stage["evaluation"]["bootstrap_draws"],
        seed=0,
        about={**about, "scene": w.pool, "pooled": list(stage["members"]), "way": w.way},
    )
