from pathlib import Path

from sdor.operator.watchlist import make_previews
from sdor.running.jobs import job
from sdor.running.run import began
from sdor.study.cameras import cameras_of

name, output = snakemake.wildcards.scene, Path(snakemake.output[0])
with job(snakemake, f"previews of {name}") as work:
    [camera] = cameras_of([name], snakemake.config, began())
    count = make_previews(camera, output.parent, output, snakemake.params.stage["lead"])
    work.summary = f"{count} moments"
