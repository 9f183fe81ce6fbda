from pathlib import Path

from sdor.method.saliency import write_saliency
from sdor.networks.compute import choose_compute
from sdor.running.jobs import job

w, stage = snakemake.wildcards, snakemake.params.stage
with job(snakemake, f"saliency of {w.scene}/{w.variant}/seed{w.seed}"):
    write_saliency(
        [Path(path) for path in snakemake.input.models],
        Path(snakemake.input.weights),
        [Path(path) for path in snakemake.input.rows],
        Path(snakemake.input.index),
        Path(snakemake.output[0]),
        method=stage["method"],
        compute=choose_compute(**stage["compute"], threads=snakemake.threads),
    )
