from pathlib import Path

from sdor.method.flow import write_flow
from sdor.running.jobs import job
from sdor.video.store import FrameStore
from sdor.video.timeline import Timeline

w, stage, read = snakemake.wildcards, snakemake.params.stage, snakemake.input
with job(snakemake, f"flow of {w.scene}") as work:
    pairs = write_flow(
        FrameStore({Path(path).stem: path for path in read.frames}),
        Timeline.read(read.times, stage["rates"]),
        Path(snakemake.output[0]),
        threads=snakemake.threads,
        about=stage,
    )
    work.summary = f"{pairs:,} pairs"
