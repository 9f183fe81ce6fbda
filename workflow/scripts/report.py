from pathlib import Path

import yaml

from sdor.jobs import job
from sdor.report import Moments, Picture, write_report

stage = snakemake.params.stage
results = Path("results")


def benchmarks():
    """Times of this study's jobs; those of other scenes, variants and seeds stay out."""
    stages = ["*.tsv", "render/*.tsv", "frames/*/*.tsv", "features/*.tsv", "trunk/*.tsv"]
    stages += [f"{variant}/*.tsv" for variant in stage["variants"]]
    for variant in stage["variants"]:
        for seed in stage["seeds"]:
            run = f"{variant}/seed{seed}"
            stages += [f"{run}/*.tsv", f"{run}/*/*.tsv"]
    folders = [results / "benchmarks" / scene for scene in stage["scenes"]]
    return [path for folder in folders for kind in stages for path in sorted(folder.glob(kind))]


pairs = [(scene, variant) for scene in stage["scenes"] for variant in stage["variants"]]
with job(snakemake.log[0], "report"):
    write_report(
        snakemake.input.metrics,
        stage["not_run"],
        snakemake.output[0],
        title=f"Anomalies in {', '.join(stage['scenes'])}",
        pictures=[
            Picture(scene, variant, results / "figures" / scene / f"{variant}-{kind}.svg", caption)
            for scene, variant in pairs
            for kind, caption in stage["captions"].items()
        ],
        moments=[
            Moments(
                scene,
                variant,
                results / scene / "clips.parquet",
                results / scene / variant / f"seed{stage['seeds'][0]}" / "ensemble.parquet",
                results / scene / "ground_truth.parquet",
            )
            for scene, variant in pairs
        ],
        configuration=yaml.safe_dump(stage["config"], sort_keys=False),
        benchmark_paths=benchmarks(),
    )
