from pathlib import Path

from sdor.method.training import run_iteration
from sdor.networks.compute import choose_compute
from sdor.running.jobs import job

w = snakemake.wildcards
with job(snakemake, f"training of {w.scene}/{w.variant}/seed{w.seed}, t = {w.t}") as work:
    history = run_iteration(
        rows=[Path(path) for path in snakemake.input.rows],
        index=Path(snakemake.input.index),
        pseudo_labels=Path(snakemake.input.pseudo_labels),
        weights=Path(snakemake.input.weights),
        warm=Path(snakemake.input.warm[0]) if snakemake.input.warm else None,
        folder=Path(snakemake.output.model).parent,
        method=snakemake.params.stage["method"],
        seed=int(w.seed),
        iteration=int(w.t),
        compute=choose_compute(**snakemake.params.stage["compute"], threads=snakemake.threads),
        about=snakemake.params.stage,
    )
    work.figure = f"loss {history['loss'].iloc[-1]:.4f} after {len(history)} epochs"
