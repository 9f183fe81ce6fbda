from sdor.evaluation.evaluate import evaluate_pool
from sdor.files import digest_of, read_json
from sdor.running.jobs import job, percent

w, stage = snakemake.wildcards, snakemake.params.stage
with job(snakemake, f"evaluation of {w.pool}/{w.variant}/seed{w.seed}, {w.way}") as work:
    abouts = [read_json(path)["about"] for path in snakemake.input.metrics]
    fingerprints = {
        **abouts[0]["fingerprints"],
        "video": digest_of([about["fingerprints"]["video"] for about in abouts]),
    }
    measured = evaluate_pool(
        stage["members"],
        snakemake.output[0],
        ranks=w.way == "ranks",
        smoothing_sigma=stage["evaluation"]["smoothing_sigma"],
        draws=stage["evaluation"]["bootstrap_draws"],
        seed=0,
        about={
            **abouts[0],
            "scene": w.pool,
            "description": f"Scenes {', '.join(stage['members'])}, judged together",
            "fingerprints": fingerprints,
            "pooled": list(stage["members"]),
            "way": w.way,
        },
    )
    work.figure = percent("merged AUC", measured["rows"]["ours"]["merged"])
