from pathlib import Path

from sdor.method.marks import SEEN, gone_marks, read_marks, seen_clips
from sdor.operator.archive import Archive
from sdor.operator.moments import write_moments
from sdor.progress import counted
from sdor.running.jobs import job
from sdor.study.settings import EventSettings

stage, read, output = snakemake.params.stage, snakemake.input, snakemake.output
with job(snakemake, f"moments of {snakemake.wildcards.scene}") as work:
    looks = Path(read.looks)
    archive = Archive.read(looks, looks.with_name("looks"))
    marks, frames = [*map(Path, read.marks)], archive.frames()
    seen = seen_clips(looks.with_name(SEEN), frames["clip"])
    found = write_moments(
        archive,
        (Path(read.model), Path(read.scores)),
        (Path(output.events), Path(output.heat), Path(output.looks)),
        EventSettings.read(stage["events"]),
        about={**stage, "gone": gone_marks(marks, frames, seen)},
        marks=read_marks(marks, frames, seen),
    )
    work.summary = counted(len(found), "moment")
