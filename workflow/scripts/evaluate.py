from dataclasses import asdict

from sdor.evaluation.evaluate import evaluate_run
from sdor.files import read_about
from sdor.networks.provenance import read_provenance
from sdor.running.jobs import job, percent

w, stage = snakemake.wildcards, snakemake.params.stage
with job(snakemake, f"evaluation of {w.scene}/{w.variant}/seed{w.seed}") as work:
    about = {key: stage[key] for key in ("method", "overrides", "versions", "description")}
    measured = evaluate_run(
        snakemake.input.clips,
        snakemake.input.ground_truth,
        snakemake.input.initial,
        snakemake.input.scores,
        snakemake.input.pseudo_labels,
        snakemake.input.ensemble,
        snakemake.output.metrics,
        snakemake.output.draws,
        smoothing_sigma=stage["evaluation"]["smoothing_sigma"],
        draws=stage["evaluation"]["bootstrap_draws"],
        seed=0,
        about={
            "scene": w.scene,
            "variant": w.variant,
            "seed": int(w.seed),
            "weights": asdict(read_provenance(snakemake.input.weights)),
            "device": read_about(snakemake.input.scores[0])["compute"],
            "fingerprints": stage["fingerprints"] | {"evaluation's code": stage["code"]},
            **about,
        },
        competitor_paths=dict(zip(stage["competitors"], snakemake.input.competitors, strict=True)),
        subset_path=snakemake.input.get("subset"),
    )
    work.figure = percent("merged AUC", measured["rows"]["ours"]["merged"])
