from pathlib import Path

from sdor.operator.watchlist import make_previews
from sdor.progress import counted
from sdor.running.jobs import job
from sdor.running.run import began
from sdor.video.cuts import located_scene

name, output = snakemake.wildcards.scene, Path(snakemake.output[0])
with job(snakemake, f"previews of {name}") as work:
    camera = located_scene(name, snakemake.config, snakemake.input.get("cuts"), began())
    count = make_previews(camera, output.parent, output, snakemake.params.stage["lead"])
    work.summary = counted(count, "moment")
