from pathlib import Path

from sdor.reporting.figures import draw_scene_figures
from sdor.running.jobs import job

w, stage = snakemake.wildcards, snakemake.params.stage
with job(snakemake, f"figures of {w.scene}/{w.variant}"):
    kinds = stage["kinds"]
    draw_scene_figures(
        snakemake.input.clips,
        snakemake.input.ground_truth,
        [Path("results") / w.scene / w.variant / f"seed{seed}" for seed in stage["seeds"]],
        {
            kind: [snakemake.output[f"{kind}_svg"], snakemake.output[f"{kind}_png"]]
            for kind in kinds
        },
    )
