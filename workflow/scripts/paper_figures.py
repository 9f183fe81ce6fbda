from itertools import starmap

from sdor.reporting.figures import (
    ablations,
    anomaly_rates,
    feedback,
    iterations,
    localisation,
    saliency,
)
from sdor.reporting.figures.style import save
from sdor.reporting.findings import read_findings
from sdor.reporting.runs import Runs
from sdor.running.jobs import job
from sdor.study.scenes import find_scene

stage, inputs, config = snakemake.params.stage, snakemake.input, snakemake.config


def runs(scene, variant=stage["main"]):
    return Runs(scene, variant, tuple(stage["seeds"]))


def pictured(name, columns):
    scene = find_scene(name, config["scene_folder"], config["data_root"])
    return scene, {title: runs(name, variant) for title, variant in columns.items()}


draw = {
    "figure3": lambda: feedback.draw(
        map(runs, stage["scenes"]), stage["rounds"], stage["last"], stage["neighbours"]
    ),
    "figure4": lambda: saliency.draw(
        [*starmap(pictured, stage["columns"].items())], stage["frames"]
    ),
    "figure5": lambda: anomaly_rates.draw(read_findings(inputs[0])),
    "figure6": lambda: iterations.draw(read_findings(inputs[0]), stage["main"]),
    "ablations": lambda: ablations.draw(read_findings(inputs[0])),
    "localisation": lambda: localisation.draw(inputs),
}
with job(snakemake, snakemake.wildcards.figure):
    save(draw[snakemake.wildcards.figure](), snakemake.output)
