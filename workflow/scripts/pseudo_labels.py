from pathlib import Path

from sdor.method.pseudo_labels import write_pseudo_labels
from sdor.running.jobs import job
from sdor.study.settings import LabelSettings

w, stage = snakemake.wildcards, snakemake.params.stage
with job(snakemake, f"pseudo labels of {w.scene}/{w.variant}/seed{w.seed}, t = {w.t}") as work:
    table = write_pseudo_labels(
        [Path(path) for path in snakemake.input],
        Path(snakemake.output[0]),
        LabelSettings.read(stage["method"]),
        about=stage,
    )
    anomalous = int(table["label"].sum())
    work.summary = f"{anomalous:,} anomalous, {len(table) - anomalous:,} normal"
