from pathlib import Path

from sdor.method.saliency import write_hidden
from sdor.networks.compute import choose_compute
from sdor.running.jobs import job

w, stage = snakemake.wildcards, snakemake.params.stage
with job(snakemake, f"hidden layer of {w.scene}/{w.variant}/seed{w.seed}"):
    write_hidden(
        Path(snakemake.input.model),
        Path(snakemake.input.weights),
        [Path(path) for path in snakemake.input.rows],
        Path(snakemake.input.index),
        Path(snakemake.output[0]),
        method=stage["method"],
        compute=choose_compute(**stage["compute"], threads=snakemake.threads),
        about=stage,
    )
