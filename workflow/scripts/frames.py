from sdor.running.jobs import job
from sdor.running.run import began
from sdor.video.cuts import located_scene
from sdor.video.frames import View, extract_clip

w, output = snakemake.wildcards, snakemake.output
with job(snakemake, f"frames of {w.scene}/{w.clip} at {w.view}") as work:
    scene = located_scene(w.scene, snakemake.config, snakemake.input.get("cuts"), began())
    view = View.named(w.view)
    whole, files = (scene.clip(w.clip), scene.masks, view), (output.frames, output.times)
    found = extract_clip(*whole, *files, **snakemake.params.stage["coding"])
    left_out = f" of {len(found.times):,}" if not found.sampled.all() else ""
    work.summary = f"{found.sampled.sum():,}{left_out} frames"
