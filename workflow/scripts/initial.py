from pathlib import Path

from sdor.initial import initial_scores
from sdor.jobs import job

w = snakemake.wildcards
subset = snakemake.input.get("subset")
with job(snakemake.log[0], f"initial scores of {w.scene}/{w.variant}/seed{w.seed}"):
    initial_scores(
        Path(snakemake.input.features),
        Path(snakemake.output[0]),
        method=snakemake.params.stage["method"],
        seed=int(w.seed),
        about=snakemake.params.stage,
        subset=Path(subset) if subset else None,
    )
