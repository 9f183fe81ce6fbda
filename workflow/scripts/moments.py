from pathlib import Path

from sdor.operator.archive import Archive
from sdor.operator.moments import write_moments
from sdor.running.jobs import job
from sdor.study.settings import EventSettings

stage, read, output = snakemake.params.stage, snakemake.input, snakemake.output
with job(snakemake, f"events of {snakemake.wildcards.scene}") as work:
    looks = Path(read.looks)
    found = write_moments(
        Archive.read(looks, looks.with_name("looks")),
        (Path(read.model), Path(read.scores)),
        (Path(output.events), Path(output.heat)),
        EventSettings.read(stage["events"]),
        about=stage,
    )
    work.summary = f"{len(found)} moments"
