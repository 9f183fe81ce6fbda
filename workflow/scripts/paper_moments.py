from pathlib import Path

from sdor.networks.compute import choose_compute
from sdor.operator.paper import Trained, write_paper_moments
from sdor.progress import counted
from sdor.running.jobs import job
from sdor.running.run import began
from sdor.study.settings import EventSettings
from sdor.video.cuts import located_scene
from sdor.video.frames import Reading

w, stage, read = snakemake.wildcards, snakemake.params.stage, snakemake.input
with job(snakemake, f"moments of {w.scene}/{w.variant}/seed{w.seed}") as work:
    found = write_paper_moments(
        located_scene(w.scene, snakemake.config, read.get("cuts"), began()),
        {Path(path).stem: Reading.read(path) for path in read.times},
        Trained.of(read, stage["trainable"]) if read.get("scores") else None,
        Path(snakemake.output.events).parent,
        EventSettings.read(stage["events"]),
        [*map(Path, read.marks)],
        compute=choose_compute(**stage["compute"], threads=snakemake.threads),
        about=stage,
    )
    work.summary = counted(len(found), "moment")
