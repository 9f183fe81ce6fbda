from pathlib import Path

from sdor.method.place_labels import Looked
from sdor.method.places import train_and_score_places
from sdor.method.sources import Sources
from sdor.networks.compute import choose_compute
from sdor.running.jobs import job
from sdor.study.settings import PlaceTrainingSettings
from sdor.video.timeline import Timeline

w, stage, read = snakemake.wildcards, snakemake.params.stage, snakemake.input
with job(snakemake, f"training of {w.scene}/{w.variant}/seed{w.seed}, t = {w.t}") as work:
    timeline = Timeline.read(read.times, stage["rates"])
    history = train_and_score_places(
        Looked.read(Path(read.index), timeline, stage["fps"]),
        Sources([Path(path) for path in read.rows], Path(read.index), Path(read.weights)),
        Path(read.pseudo_labels),
        Path(snakemake.output.model).parent,
        PlaceTrainingSettings.read(stage["method"]),
        seed=[int(w.seed), int(w.t)],
        compute=choose_compute(**stage["compute"], threads=snakemake.threads),
        about=stage,
    )
    work.summary = f"loss {history['loss'].iloc[-1]:.4f}"
