from pathlib import Path

from sdor.method.initial import initial_scores
from sdor.running.jobs import job

w = snakemake.wildcards
subset = snakemake.input.get("subset")
with job(snakemake, f"initial scores of {w.scene}/{w.variant}/seed{w.seed}") as work:
    table = initial_scores(
        Path(snakemake.input.features),
        Path(snakemake.output[0]),
        method=snakemake.params.stage["method"],
        seed=int(w.seed),
        about=snakemake.params.stage,
        subset=Path(subset) if subset else None,
    )
    work.figure = f"{len(table):,} frames"
