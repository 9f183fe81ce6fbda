from pathlib import Path

import yaml

from sdor.reporting.report import write_report
from sdor.reporting.runs import Runs
from sdor.reporting.stage_times import job_times
from sdor.running.jobs import job

stage, seeds = snakemake.params.stage, tuple(snakemake.params.stage["seeds"])
with job(snakemake, "report"):
    write_report(
        Path(snakemake.input.findings),
        Path(snakemake.output[0]),
        sections=[Runs(*one, seeds) for one in stage["sections"]],
        captions=stage["captions"],
        study_captions=stage["study_captions"],
        frames=stage["frames"],
        configuration=yaml.safe_dump(stage["config"], sort_keys=False),
        times=job_times(Path("results/benchmarks"), stage["benchmarks"], seeds),
    )
