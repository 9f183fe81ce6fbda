from sdor.files import write_json
from sdor.running.jobs import job
from sdor.study.scenes import find_scene
from sdor.video.cuts import sequence_ranges

with job(snakemake, f"cuts of {snakemake.wildcards.scene}"):
    scene = find_scene(
        snakemake.wildcards.scene, snakemake.config["scene_folder"], snakemake.config["data_root"]
    )
    write_json(snakemake.output[0], sequence_ranges(scene.joined, scene.masks))
