from pathlib import Path

from sdor.reporting.stage_times import study_benchmarks, write_stage_times
from sdor.running.jobs import job

stage = snakemake.params.stage
with job(snakemake, "time and memory of each stage"):
    write_stage_times(
        study_benchmarks(Path("results/benchmarks"), stage["benchmarks"], stage["seeds"]),
        Path(snakemake.output.csv),
        Path(snakemake.output.md),
    )
