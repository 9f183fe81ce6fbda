from pathlib import Path

from sdor.method.units import write_final
from sdor.running.jobs import job

w, read = snakemake.wildcards, snakemake.input
with job(snakemake, f"ensemble of {w.scene}/{w.variant}/seed{w.seed}") as work:
    table = write_final(
        Path(read.initial),
        [Path(path) for path in read.scores],
        Path(snakemake.output[0]),
        about=snakemake.params.stage,
    )
    work.summary = f"{len(table):,} frames, {len(read.scores)} iterations"
