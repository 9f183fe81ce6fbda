from pathlib import Path

from sdor.reporting.stage_times import job_times, write_stage_times
from sdor.running.jobs import job

stage, outputs = snakemake.params.stage, snakemake.output
with job(snakemake, "time and memory of each stage"):
    times = job_times(Path("results/benchmarks"), stage["benchmarks"], stage["seeds"])
    write_stage_times(times, Path(outputs.csv), Path(outputs.md))
