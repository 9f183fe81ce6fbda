from pathlib import Path

from sdor.method.fine_tuning import fine_tune
from sdor.networks.compute import choose_compute
from sdor.running.jobs import job

w, stage = snakemake.wildcards, snakemake.params.stage
with job(snakemake, f"fine-tuning of {w.scene}/{w.variant}/seed{w.seed}, round {w.round}") as work:
    history = fine_tune(
        rows=[Path(path) for path in snakemake.input.rows],
        index=Path(snakemake.input.index),
        marks_paths=[Path(path) for path in snakemake.input.marks],
        weights=Path(snakemake.input.weights),
        model=Path(snakemake.input.model),
        folder=Path(snakemake.output.model).parent,
        method=stage["method"],
        epochs=stage["epochs"],
        seed=int(w.seed),
        compute=choose_compute(**stage["compute"], threads=snakemake.threads),
        about=stage,
    )
    work.figure = f"loss {history['loss'].iloc[-1]:.4f} after {len(history)} epochs"
