from pathlib import Path

from sdor.feedback import evaluate_feedback
from sdor.jobs import job

w, stage = snakemake.wildcards, snakemake.params.stage
with job(snakemake.log[0], f"evaluation of the feedback in {w.scene}/{w.variant}/seed{w.seed}"):
    about = {"scene": w.scene, "variant": w.variant, "seed": int(w.seed), "method": stage["method"]}
    evaluate_feedback(
        Path(snakemake.input.clips),
        Path(snakemake.input.ground_truth),
        [Path(path) for path in snakemake.input.scores],
        [Path(path) for path in snakemake.input.marks],
        Path(snakemake.output[0]),
        settings=stage["settings"],
        draws=stage["draws"],
        about=about,
    )
