from pathlib import Path

from sdor.files import write_parquet
from sdor.running.jobs import job
from sdor.video.cuts import located_scene
from sdor.video.frames import clips_table
from sdor.video.store import stored_frames

w = snakemake.wildcards
with job(snakemake, f"clips of {w.scene}") as work:
    scene = located_scene(w.scene, snakemake.config, snakemake.input.get("cuts"))
    counts = {Path(path).stem: stored_frames(path) for path in snakemake.input.frames}
    units = {"first": "frame of the source, from 1", "fps": "1/s"}
    write_parquet(snakemake.output[0], clips_table(scene, counts), units)
    work.summary = f"{len(counts):,} clips, {sum(counts.values()):,} frames"
