from pathlib import Path

from sdor.competitors.del_giorno import SETTINGS, write_discriminability
from sdor.running.jobs import job

w, stage = snakemake.wildcards, snakemake.params.stage
with job(snakemake, f"Del Giorno et al. #{w.kind}, {w.setting}, of {w.scene}/seed{w.seed}") as work:
    table = write_discriminability(
        Path(snakemake.input[0]),
        Path(snakemake.output[0]),
        SETTINGS[w.setting],
        components=stage["components"],
        seed=int(w.seed),
        about=stage,
    )
    work.summary = f"{len(table):,} frames"
