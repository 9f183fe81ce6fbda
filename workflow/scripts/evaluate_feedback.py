from pathlib import Path

from sdor.evaluation.feedback import evaluate_feedback
from sdor.files import forget_checkpoint
from sdor.running.jobs import job, percent

w, stage = snakemake.wildcards, snakemake.params.stage
with job(snakemake, f"evaluation of the feedback in {w.scene}/{w.variant}/seed{w.seed}") as work:
    about = {"scene": w.scene, "variant": w.variant, "seed": int(w.seed), "method": stage["method"]}
    rounds = evaluate_feedback(
        Path(snakemake.input.clips),
        Path(snakemake.input.ground_truth),
        [Path(path) for path in snakemake.input.scores],
        [Path(path) for path in snakemake.input.marks],
        Path(snakemake.output[0]),
        settings=stage["settings"],
        draws=stage["draws"],
        about=about,
    )
    for path in snakemake.input.scores:
        forget_checkpoint(path)
    work.figure = percent(f"merged AUC after {len(rounds) - 1} rounds", rounds[-1]["all"]["merged"])
