from pathlib import Path

from sdor.method.features import classify_features
from sdor.networks.compute import choose_compute
from sdor.running.jobs import job

w, stage = snakemake.wildcards, snakemake.params.stage
with job(snakemake, f"{w.layer} of {w.scene}, {w.backbone} at {w.view}"):
    classify_features(
        Path(snakemake.input.features),
        Path(snakemake.input.weights),
        Path(snakemake.output[0]),
        layer=w.layer,
        compute=choose_compute("cpu", "fp32", threads=snakemake.threads),
        about=stage,
    )
