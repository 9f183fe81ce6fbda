from pathlib import Path

from sdor.method.initial import write_initial_scores
from sdor.running.jobs import job
from sdor.study.settings import InitialSettings

w, stage = snakemake.wildcards, snakemake.params.stage
subset = snakemake.input.get("subset")
with job(snakemake, f"initial scores of {w.scene}/{w.variant}/seed{w.seed}") as work:
    table = write_initial_scores(
        Path(snakemake.input.features),
        Path(snakemake.output[0]),
        InitialSettings.read(stage["method"]),
        seed=int(w.seed),
        about=stage,
        subset=Path(subset) if subset else None,
    )
    work.summary = f"{len(table):,} frames"
