from pathlib import Path

from sdor.method.motion import write_initial_motion
from sdor.running.jobs import job
from sdor.study.settings import StartSettings
from sdor.video.timeline import Timeline

w, stage, read = snakemake.wildcards, snakemake.params.stage, snakemake.input
with job(snakemake, f"initial scores of {w.scene}/{w.variant}/seed{w.seed}") as work:
    table = write_initial_motion(
        Path(read.flow),
        Timeline.read({Path(path).stem: path for path in read.times}, stage["rates"]),
        StartSettings.read(stage["method"]),
        (Path(snakemake.output.table), Path(snakemake.output.places)),
        fps=stage["fps"],
        about=stage,
        subset=Path(read.subset) if read.get("subset") else None,
        maps=Path(read.maps) if read.get("maps") else None,
        seed=int(w.seed),
    )
    work.summary = f"{len(table):,} frames"
