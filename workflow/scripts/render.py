from pathlib import Path

from sdor.demo.render import DemoSettings, render_clip
from sdor.running.jobs import job

w = snakemake.wildcards
with job(snakemake, f"rendering of {w.scene}/{w.clip}"):
    render_clip(
        w.clip,
        DemoSettings(**snakemake.params.stage["demo"]),
        Path(snakemake.output.video),
        Path(snakemake.output.labels),
        Path(snakemake.output.pixels),
    )
