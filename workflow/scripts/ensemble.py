from pathlib import Path

from sdor.files import forget_checkpoint
from sdor.method.ensemble import average_scores
from sdor.running.jobs import job

w = snakemake.wildcards
with job(snakemake, f"ensemble of {w.scene}/{w.variant}/seed{w.seed}") as work:
    table = average_scores(
        [Path(path) for path in snakemake.input],
        Path(snakemake.output[0]),
        about=snakemake.params.stage,
    )
    for path in snakemake.input:
        forget_checkpoint(path)
    work.figure = f"{len(table):,} frames, {len(snakemake.input)} iterations"
