from pathlib import Path

from sdor.operator.watchlist import write_watchlist
from sdor.running.jobs import job
from sdor.running.run import began
from sdor.study.cameras import find_camera

stage, output = snakemake.params.stage, snakemake.output
with job(snakemake, f"watchlist of {', '.join(stage['cameras'])}") as work:
    count = write_watchlist(
        [find_camera(name, snakemake.config, began()) for name in stage["cameras"]],
        [Path(f"results/{name}/watch") for name in stage["cameras"]],
        (Path(output.page), Path(output.table)),
        lead=stage["lead"],
        left=stage["left"],
        home=stage["home"],
        settings=stage["settings"],
    )
    work.summary = f"{count} moments"
