from pathlib import Path

import yaml

from sdor.jobs import job
from sdor.report import Moments, Picture, write_report

stage = snakemake.params.stage
results = Path("results")
pairs = [(scene, variant) for scene in stage["scenes"] for variant in stage["variants"]]
with job(snakemake.log[0], "report"):
    write_report(
        snakemake.input.metrics,
        stage["not_run"],
        snakemake.output[0],
        title=f"Anomalies in {', '.join(stage['scenes'])}",
        pictures=[
            Picture(scene, variant, results / "figures" / f"{scene}-{variant}-{kind}.svg", caption)
            for scene, variant in pairs
            for kind, caption in stage["captions"].items()
        ],
        moments=[
            Moments(
                scene,
                variant,
                results / scene / "clips.parquet",
                results / scene / variant / f"seed{stage['seed']}" / "ensemble.parquet",
                results / scene / "ground_truth.parquet",
            )
            for scene, variant in pairs
        ],
        configuration=yaml.safe_dump(stage["config"], sort_keys=False),
        benchmark_paths=sorted((results / "benchmarks").rglob("*.tsv")),
    )
