from sdor.evaluation.about import About
from sdor.evaluation.localisation import localise_run
from sdor.running.jobs import job
from sdor.video.cuts import located_scene

w, stage = snakemake.wildcards, snakemake.params.stage
with job(snakemake, f"localisation of {w.scene}/{w.variant}/seed{w.seed}") as work:
    measured = localise_run(
        located_scene(w.scene, snakemake.config, snakemake.input.get("cuts")),
        snakemake.input.clips,
        snakemake.input.times,
        snakemake.input.saliency,
        snakemake.output[0],
        draws=stage["draws"],
        about=About.read(
            {"scene": w.scene, "variant": w.variant, "seed": int(w.seed), **stage["about"]}
        ),
    )
    work.summary = measured.printed["pixel_auc"].in_words("pixel AUC")
