from pathlib import Path

from sdor.files import forget_checkpoint
from sdor.method.scores import mean_scores, write_scores
from sdor.running.jobs import job

w = snakemake.wildcards
with job(snakemake, f"ensemble of {w.scene}/{w.variant}/seed{w.seed}") as work:
    table = mean_scores([Path(path) for path in snakemake.input])
    write_scores(snakemake.output[0], table, snakemake.params.stage)
    for path in snakemake.input:
        forget_checkpoint(path)
    work.summary = f"{len(table):,} frames, {len(snakemake.input)} iterations"
