from sdor.running.jobs import job
from sdor.video.cuts import located_scene
from sdor.video.frames import View, extract_frames

w = snakemake.wildcards
with job(snakemake, f"frames of {w.scene}/{w.clip} at {w.view}") as work:
    scene = located_scene(w.scene, snakemake.config, snakemake.input.get("cuts"))
    view = View.named(w.view)
    count = extract_frames(scene.clip(w.clip), scene.masks, view, snakemake.output[0])
    work.summary = f"{count:,} frames"
