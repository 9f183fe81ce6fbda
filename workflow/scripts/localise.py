from pathlib import Path

from sdor.evaluation.localisation import localise_run
from sdor.files import read_json
from sdor.running.jobs import job, percent
from sdor.study.scenes import find_scene
from sdor.video.cuts import locate

w, stage = snakemake.wildcards, snakemake.params.stage
with job(snakemake, f"localisation of {w.scene}/{w.variant}/seed{w.seed}") as work:
    cuts = snakemake.input.get("cuts")
    about = {"scene": w.scene, "variant": w.variant, "seed": int(w.seed), "method": stage["method"]}
    measured = localise_run(
        locate(
            find_scene(w.scene, snakemake.config["scene_folder"], snakemake.config["data_root"]),
            read_json(cuts) if cuts else [],
        ),
        Path(snakemake.input.clips),
        Path(snakemake.input.saliency),
        Path(snakemake.output[0]),
        draws=stage["draws"],
        seed=0,
        about=about,
    )
    work.figure = percent("pixel AUC", measured["values"]["pixel_auc"])
