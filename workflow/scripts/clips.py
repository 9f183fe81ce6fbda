from pathlib import Path

from sdor.files import read_json, write_parquet
from sdor.running.jobs import job
from sdor.study.scenes import find_scene
from sdor.video.cuts import locate
from sdor.video.frames import clips_table
from sdor.video.store import stored_frames

with job(snakemake, f"clips of {snakemake.wildcards.scene}") as work:
    cuts = snakemake.input.get("cuts")
    scene = locate(
        find_scene(
            snakemake.wildcards.scene,
            snakemake.config["scene_folder"],
            snakemake.config["data_root"],
        ),
        read_json(cuts) if cuts else [],
    )
    counts = {Path(path).stem: stored_frames(path) for path in snakemake.input.frames}
    units = {"first": "frame of the source, from 1", "fps": "1/s"}
    write_parquet(snakemake.output[0], clips_table(scene, counts), units)
    work.figure = f"{len(counts):,} clips, {sum(counts.values()):,} frames"
