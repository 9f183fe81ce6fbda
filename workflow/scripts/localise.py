from pathlib import Path

from sdor.evaluation.localisation import localise_run
from sdor.running.jobs import job, percent
from sdor.video.cuts import located_scene

w, stage = snakemake.wildcards, snakemake.params.stage
with job(snakemake, f"localisation of {w.scene}/{w.variant}/seed{w.seed}") as work:
    about = {"scene": w.scene, "variant": w.variant, "seed": int(w.seed), "method": stage["method"]}
    measured = localise_run(
        located_scene(w.scene, snakemake.config, snakemake.input.get("cuts")),
        Path(snakemake.input.clips),
        Path(snakemake.input.saliency),
        Path(snakemake.output[0]),
        draws=stage["draws"],
        seed=0,
        about=about,
    )
    work.figure = percent("pixel AUC", measured["values"]["pixel_auc"])
