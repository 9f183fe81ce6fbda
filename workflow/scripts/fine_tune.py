from dataclasses import replace
from pathlib import Path

from sdor.method.feedback import FIRST_ROUND, labels_of_marks, replayed
from sdor.method.sources import Sources
from sdor.method.training import train_and_score
from sdor.networks.compute import choose_compute
from sdor.running.jobs import job
from sdor.study.settings import TrainingSettings

w, stage, read = snakemake.wildcards, snakemake.params.stage, snakemake.input
marks, output = [*map(Path, read.marks)], Path(snakemake.output.model).parent
with job(snakemake, f"fine-tuning of {w.scene}/{w.variant}/seed{w.seed}, round {w.round}") as work:
    labels = labels_of_marks(marks, read.index, stage["neighbours"], stage.get("begins"), output)
    history = train_and_score(
        Sources([Path(path) for path in read.rows], Path(read.index), Path(read.weights)),
        replayed(labels, Path(read.pseudo_labels), stage["replay"]),
        output,
        replace(TrainingSettings.read(stage["method"]), epochs=stage["epochs"]),
        seed=[int(w.seed), FIRST_ROUND + int(w.round)],
        compute=choose_compute(**stage["compute"], threads=snakemake.threads),
        about=stage,
        model=Path(read.model),
    )
    work.summary = f"loss {history['loss'].iloc[-1]:.4f} after {len(history)} epochs"
