from pathlib import Path

from sdor.method.pseudo_labels import select_pseudo_labels
from sdor.running.jobs import job

w = snakemake.wildcards
with job(snakemake, f"pseudo labels of {w.scene}/{w.variant}/seed{w.seed}, t = {w.t}") as work:
    table = select_pseudo_labels(
        [Path(path) for path in snakemake.input],
        Path(snakemake.output[0]),
        method=snakemake.params.stage["method"],
        about=snakemake.params.stage,
    )
    anomalous = int(table["label"].sum())
    work.figure = f"{anomalous:,} anomalous, {len(table) - anomalous:,} normal"
