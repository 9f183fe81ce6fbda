from pathlib import Path

from sdor.method.mark import write_marks
from sdor.running.jobs import job

w = snakemake.wildcards
with job(snakemake, f"expert's marks in {w.scene}/{w.variant}/seed{w.seed}, round {w.round}"):
    write_marks(
        Path(snakemake.input.scores),
        Path(snakemake.input.ground_truth),
        [Path(path) for path in snakemake.input.earlier],
        Path(snakemake.output[0]),
        settings=snakemake.params.stage,
        seed=int(w.seed),
    )
