from pathlib import Path

from sdor.files import write_parquet
from sdor.running.jobs import job, logger
from sdor.video.cuts import located_scene
from sdor.video.frames import Reading, clips_table

w = snakemake.wildcards
with job(snakemake, f"clips of {w.scene}") as work:
    scene = located_scene(w.scene, snakemake.config, snakemake.input.get("cuts"))
    found = {Path(path).stem: Reading.read(path) for path in snakemake.input.times}
    clips, times, remarks = clips_table(scene, found)
    remarks = [*snakemake.params.stage["remarks"], *remarks]
    for remark in remarks:
        logger.warning(remark)
    units = {"first": "frame of the source, from 1", "fps": "1/s", "begin": "s", "width": "pixels"}
    write_parquet(snakemake.output.clips, clips, {**units, "remarks": remarks})
    write_parquet(
        snakemake.output.times,
        times,
        {"time": "s in the source", "sampled": "whether it is stored"},
    )
    left_out = f" of {len(found):,}" if len(clips) < len(found) else ""
    work.summary = f"{len(clips):,}{left_out} clips, {clips['frames'].sum():,} frames"
