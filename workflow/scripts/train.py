from pathlib import Path

from sdor.files import read_parquet
from sdor.method.sources import Sources
from sdor.method.training import train_and_score
from sdor.networks.compute import choose_compute
from sdor.running.jobs import job
from sdor.study.settings import TrainingSettings

w, stage = snakemake.wildcards, snakemake.params.stage
read = snakemake.input
with job(snakemake, f"training of {w.scene}/{w.variant}/seed{w.seed}, t = {w.t}") as work:
    history = train_and_score(
        Sources([Path(path) for path in read.rows], Path(read.index), Path(read.weights)),
        read_parquet(read.pseudo_labels),
        Path(snakemake.output.model).parent,
        TrainingSettings.read(stage["method"]),
        seed=[int(w.seed), int(w.t)],
        compute=choose_compute(**stage["compute"], threads=snakemake.threads),
        about=stage,
        model=Path(read.warm[0]) if read.warm else None,
    )
    work.summary = f"loss {history['loss'].iloc[-1]:.4f} after {len(history)} epochs"
