from sdor.cuts import locate
from sdor.files import read_json
from sdor.frames import View, extract_frames
from sdor.jobs import job
from sdor.study import find_scene

w = snakemake.wildcards
with job(snakemake, f"frames of {w.scene}/{w.clip} at {w.view}") as work:
    cuts = snakemake.input.get("cuts")
    scene = locate(find_scene(snakemake.config, w.scene), read_json(cuts) if cuts else [])
    view = View.named(w.view)
    count = extract_frames(scene.clip(w.clip), scene.masks, view, snakemake.output[0])
    work.figure = f"{count:,} frames"
