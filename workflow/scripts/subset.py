from pathlib import Path

from sdor.running.jobs import job
from sdor.study.subset import write_subset

w = snakemake.wildcards
with job(snakemake, f"events dropped from {w.scene}/{w.variant}/seed{w.seed}"):
    write_subset(
        Path(snakemake.input.times),
        Path(snakemake.input.ground_truth),
        Path(snakemake.output[0]),
        rate=snakemake.params.stage["rate"],
        seed=int(w.seed),
    )
