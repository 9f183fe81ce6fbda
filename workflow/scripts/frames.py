from sdor.files import read_json
from sdor.running.jobs import job
from sdor.study.scenes import find_scene
from sdor.video.cuts import locate
from sdor.video.frames import View, extract_frames

w = snakemake.wildcards
with job(snakemake, f"frames of {w.scene}/{w.clip} at {w.view}") as work:
    cuts = snakemake.input.get("cuts")
    scene = locate(
        find_scene(w.scene, snakemake.config["scene_folder"], snakemake.config["data_root"]),
        read_json(cuts) if cuts else [],
    )
    view = View.named(w.view)
    count = extract_frames(scene.clip(w.clip), scene.masks, view, snakemake.output[0])
    work.figure = f"{count:,} frames"
