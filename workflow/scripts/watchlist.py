from pathlib import Path

from sdor.operator.watchlist import write_watchlist
from sdor.progress import counted
from sdor.running.jobs import job
from sdor.running.run import began
from sdor.study.cameras import cameras_of

stage, output = snakemake.params.stage, snakemake.output
with job(snakemake, f"watchlist of {', '.join(stage['cameras'])}") as work:
    count = write_watchlist(
        cameras_of(stage["cameras"], snakemake.config, began()),
        [Path(folder) for folder in stage["folders"]],
        (Path(output.page), Path(output.table)),
        lead=stage["lead"],
        left=stage["left"],
        home=stage["home"],
        settings=stage["settings"],
    )
    work.summary = counted(count, "moment")
