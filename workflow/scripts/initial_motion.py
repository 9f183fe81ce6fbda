from pathlib import Path

from sdor.method.motion import write_initial_motion
from sdor.running.jobs import job
from sdor.study.settings import StartSettings
from sdor.video.timeline import Timeline

w, stage, read = snakemake.wildcards, snakemake.params.stage, snakemake.input
with job(snakemake, f"initial scores of {w.scene}/{w.variant}/seed{w.seed}") as work:
    files = {name: Path(read.get(name)) for name in ("flow", "maps", "subset") if read.get(name)}
    table = write_initial_motion(
        files,
        Timeline.read(read.times, stage["rates"]),
        StartSettings.read(stage["method"]),
        (Path(snakemake.output.table), Path(snakemake.output.places)),
        fps=stage["fps"],
        seed=int(w.seed),
        about=stage,
    )
    work.summary = f"{len(table):,} frames"
