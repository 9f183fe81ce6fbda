from sdor.reporting.figures import iterations, loss, roc, timeline
from sdor.reporting.figures.style import save
from sdor.reporting.findings import gather
from sdor.reporting.runs import Runs
from sdor.running.jobs import job
from sdor.study.plan import Plan

w, stage = snakemake.wildcards, snakemake.params.stage
with job(snakemake, f"figures of {w.scene}/{w.variant}"):
    runs = Runs(w.scene, w.variant, tuple(stage["seeds"]))
    kinds = {"metrics": "metrics.json", "draws": "draws.parquet"}
    files = {kind: [run / name for run in runs.folders] for kind, name in kinds.items()}
    drawn = {
        "timeline": timeline.draw(runs, stage["iterations"]),
        "roc": roc.draw(runs),
        "iterations": iterations.draw(gather(files, Plan(w.variant)), w.variant),
        "loss": loss.draw(runs, stage["iterations"], stage["loss"]),
    }
    for kind, figure in drawn.items():
        save(figure, [snakemake.output[f"{kind}_svg"], snakemake.output[f"{kind}_png"]])
