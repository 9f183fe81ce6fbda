from pathlib import Path

from sdor.method.place_labels import Looked, write_place_labels
from sdor.running.jobs import job
from sdor.study.settings import PlaceLabelSettings
from sdor.video.timeline import Timeline

w, stage, read = snakemake.wildcards, snakemake.params.stage, snakemake.input
with job(snakemake, f"pseudo labels of {w.scene}/{w.variant}/seed{w.seed}, t = {w.t}") as work:
    timeline = Timeline.read(read.times, stage["rates"])
    table = write_place_labels(
        Looked.read(Path(read.index), timeline, stage["fps"]),
        Path(read.scores[0]),
        (Path(read.places), Path(read.initial_places)),
        Path(snakemake.output[0]),
        PlaceLabelSettings.read(stage["method"]),
        about=stage,
    )
    anomalous = int(table["label"].sum())
    work.summary = f"{anomalous:,} anomalous places, {len(table) - anomalous:,} normal"
