from pathlib import Path

import yaml

from sdor.reporting.report import Moments, Picture, write_report
from sdor.reporting.stage_times import study_benchmarks
from sdor.running.jobs import job

stage = snakemake.params.stage
results = Path("results")


def frames_of(scene):
    folder = results / scene / "frames" / stage["view"]
    return {path.stem: path for path in sorted(folder.glob("*.npy"))}


pairs = [(scene, variant) for scene in stage["scenes"] for variant in stage["shown"]]
with job(snakemake, "report"):
    write_report(
        snakemake.input.findings,
        snakemake.output[0],
        title=f"Anomalies in {', '.join(stage['scenes'])}",
        pictures=[
            Picture(
                scene,
                variant,
                results / "figures" / scene / f"{variant}-{kind}.svg",
                caption,
                needs_truth=kind in ("roc", "iterations"),
            )
            for scene, variant in pairs
            for kind, caption in stage["captions"].items()
        ],
        study_pictures=[
            # Photographs are smaller as PNG.
            (results / "figures" / f"{name}.{'png' if name == 'figure4' else 'svg'}", caption)
            for name, caption in stage["study_captions"].items()
        ],
        moments=[
            Moments(
                scene,
                variant,
                results / scene / "clips.parquet",
                results / scene / variant / f"seed{stage['seeds'][0]}" / "ensemble.parquet",
                results / scene / "ground_truth.parquet",
                frames_of(scene),
            )
            for scene, variant in pairs
        ],
        configuration=yaml.safe_dump(stage["config"], sort_keys=False),
        benchmarks=study_benchmarks(results / "benchmarks", stage["benchmarks"], stage["seeds"]),
    )
