from pathlib import Path

from sdor.initial import initial_scores
from sdor.jobs import job

w = snakemake.wildcards
with job(snakemake.log[0], f"initial scores of {w.scene}/{w.variant}/seed{w.seed}"):
    initial_scores(
        Path(snakemake.input[0]),
        Path(snakemake.output[0]),
        method=snakemake.params.stage["method"],
        seed=int(w.seed),
        about=snakemake.params.stage,
    )
