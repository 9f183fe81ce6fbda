from pathlib import Path

from sdor.method.answer import write_answer, write_heat
from sdor.method.motion import read_start
from sdor.method.place_labels import Looked
from sdor.running.jobs import job
from sdor.study.settings import StartSettings
from sdor.video.timeline import Timeline

w, stage, read = snakemake.wildcards, snakemake.params.stage, snakemake.input
ensemble, output = read.get("ensemble"), Path(snakemake.output[0])
what = "saliency" if ensemble else "ensemble"
with job(snakemake, f"{what} of {w.scene}/{w.variant}/seed{w.seed}"):
    timeline = Timeline.read(read.times, stage["rates"])
    looked = Looked.read(Path(read.index), timeline, stage["fps"])
    settings = StartSettings.read(stage["method"])
    start = read_start(Path(read.flow), timeline, settings, Path(read.index))
    places = [Path(path) for path in read.places]
    if ensemble:
        write_heat(looked, start, places, Path(ensemble), output)
    else:
        count = stage["places"]
        write_answer(looked, start, places, output, strongest_places=count, about=stage)
