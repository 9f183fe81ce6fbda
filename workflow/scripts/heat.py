from pathlib import Path

from sdor.method.flow import read_flow
from sdor.method.heat import write_heat
from sdor.method.motion import initial_motion
from sdor.running.jobs import job
from sdor.study.settings import StartSettings
from sdor.video.timeline import Timeline

w, stage, read = snakemake.wildcards, snakemake.params.stage, snakemake.input
with job(snakemake, f"saliency of {w.scene}/{w.variant}/seed{w.seed}"):
    timeline = Timeline.read({Path(path).stem: path for path in read.times}, stage["rates"])
    motion = [name for name in stage["method"]["detectors"] if name != "appearance"]
    settings = StartSettings.read({**stage["method"], "detectors": motion})
    write_heat(
        initial_motion(read_flow(Path(read.flow), timeline), timeline, settings),
        [Path(path) for path in read.places],
        timeline.sampled(stage["fps"]),
        timeline,
        Path(snakemake.output[0]),
    )
