from pathlib import Path

from sdor.ensemble import average_scores
from sdor.jobs import job

w = snakemake.wildcards
with job(snakemake.log[0], f"ensemble of {w.scene}/{w.variant}/seed{w.seed}"):
    average_scores(
        [Path(path) for path in snakemake.input],
        Path(snakemake.output[0]),
        about=snakemake.params.stage,
    )
