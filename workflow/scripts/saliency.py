from pathlib import Path

from sdor.method.saliency import write_saliency
from sdor.method.sources import Sources
from sdor.networks.compute import choose_compute
from sdor.running.jobs import job

w, stage = snakemake.wildcards, snakemake.params.stage
read = snakemake.input
with job(snakemake, f"saliency of {w.scene}/{w.variant}/seed{w.seed}"):
    write_saliency(
        [Path(path) for path in read.models],
        Sources([Path(path) for path in read.rows], Path(read.index), Path(read.weights)),
        Path(snakemake.output[0]),
        trainable=stage["trainable"],
        compute=choose_compute(**stage["compute"], threads=snakemake.threads),
    )
