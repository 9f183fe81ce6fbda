from sdor.files import write_json
from sdor.running.jobs import job
from sdor.study.study import find_scene
from sdor.video.cuts import sequence_ranges

with job(snakemake, f"cuts of {snakemake.wildcards.scene}"):
    scene = find_scene(snakemake.config, snakemake.wildcards.scene)
    write_json(snakemake.output[0], sequence_ranges(scene.joined, scene.masks))
