"""Time and memory of a study's jobs, from the benchmark files that Snakemake writes."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from sdor.errors import SdorError
from sdor.files import atomic, damaged
from sdor.reporting.typeset import Row, Table, count_of, markdown

TITLE = "Time and memory of each stage"
HOW_TO_READ = (
    "As Snakemake's benchmarks measured them, of the last run of each job: time on the clock, the "
    "cores that were busy meanwhile, and the highest resident memory of a job. What comes after "
    "this table, the report and MLflow's record, is not in it."
)


@dataclass(frozen=True)
class RunTimes:
    """What the jobs took, by stage and job by job.

    Attributes
    ----------
    records : a line a job: job, stage, s (seconds), cores (busy on average), MB (peak, resident).
    """

    stages: Table
    jobs: Table
    records: pd.DataFrame


def write_stage_times(
    benchmarks: Mapping[Path, str], output_csv: Path, output_md: Path
) -> RunTimes:
    """Write the table of stages for people, and every job's figures as CSV.

    Raises
    ------
    SdorError : a file is no Snakemake benchmark.
    """
    times = run_times(benchmarks)
    with atomic(output_csv) as temporary:
        times.records.round(2).to_csv(temporary, index=False, lineterminator="\n")
    with atomic(output_md) as temporary:
        temporary.write_text(markdown([replace(times.stages, title=TITLE)], TITLE, HOW_TO_READ))
    return times


def study_benchmarks(
    folder: Path, patterns: Mapping[str, str], seeds: Iterable[int]
) -> dict[Path, str]:
    """Benchmark files of a study's jobs and their stages; other scenes, variants, seeds stay out.

    Parameters
    ----------
    folder : where Snakemake writes benchmarks.
    patterns : by stage, the regular expression of its files' paths; a group `seed` in it is the
        seed of a job.
    seeds : those of the study.
    """
    wanted = {str(seed) for seed in seeds}
    found = {}
    for path in sorted(folder.rglob("*.tsv")):
        for stage, pattern in patterns.items():
            match = re.fullmatch(pattern, path.as_posix())
            if match and match.groupdict().get("seed") in {None, *wanted}:
                found[path] = stage
    return found


def run_times(benchmarks: Mapping[Path, str]) -> RunTimes:
    """Time and memory of every benchmarked job, longest first, and of each stage.

    Parameters
    ----------
    benchmarks : the stage of each benchmark file (TSV with the columns s, h:m:s, max_rss, …).

    Raises
    ------
    SdorError : a file is no Snakemake benchmark.
    """
    records = []
    for path, stage in benchmarks.items():
        try:
            lines = pd.read_csv(path, sep="\t", na_values=["-", "NA"])
            seconds = float(lines["s"].mean())
            memory = float(lines["max_rss"].max()) if "max_rss" in lines else np.nan
            busy = float(lines["cpu_time"].mean()) if "cpu_time" in lines else np.nan
        except (OSError, ValueError, KeyError) as error:
            raise SdorError(damaged(path, error)) from error
        record = {
            "job": _job_name(path),
            "stage": stage,
            "s": seconds,
            "cores": busy / seconds if seconds else np.nan,
            "MB": memory,
        }
        records.append(record)
    jobs = pd.DataFrame.from_records(records, columns=["job", "stage", "s", "cores", "MB"])
    jobs = jobs.sort_values("s", ascending=False, kind="stable")
    stages = (
        jobs.assign(busy=jobs["cores"] * jobs["s"])
        .groupby("stage", sort=False)
        .agg(
            jobs=("s", "size"),
            total=("s", "sum"),
            longest=("s", "max"),
            busy=("busy", "sum"),
            memory=("MB", "max"),
        )
    )
    stages = stages.sort_values("total", ascending=False, kind="stable")
    return RunTimes(
        Table(
            title="Run times",
            header=("stage", "jobs", "time", "longest job", "cores", "peak memory (MB)"),
            rows=[
                Row(
                    (
                        str(stage).replace("_", " "),
                        f"{row['jobs']:,.0f}",
                        *(duration(row[name]) for name in ("total", "longest")),
                        f"{row['busy'] / row['total']:.1f}" if row["busy"] > 0 else "",
                        _megabytes(row["memory"]),
                    )
                )
                for stage, row in stages.iterrows()
            ],
            caption=(
                f"{count_of(len(jobs), 'job')}, {duration(float(jobs['s'].sum()))} in all "
                "(one after the other)."
            ),
        ),
        Table(
            title="Every job",
            header=("job", "time", "peak memory (MB)"),
            rows=[
                Row((row["job"], duration(row["s"]), _megabytes(row["MB"])))
                for row in jobs.to_dict("records")
            ],
        ),
        jobs,
    )


def duration(seconds: float) -> str:
    """Seconds in words such as "4.2 s", "3 min 20 s" or "2 h 05 min"."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02} s"
    return f"{minutes // 60} h {minutes % 60:02} min"


def _megabytes(memory: float) -> str:
    return "" if np.isnan(memory) else f"{memory:,.0f}"


def _job_name(path: Path) -> str:
    """The file's name with the folders that say which scene, variant and seed it is of."""
    parts = [part for part in path.with_suffix("").parts if part not in ("/", "..", ".")]
    known = [place for place, part in enumerate(parts) if part in ("benchmarks", "results")]
    return "/".join(parts[known[-1] + 1 :] if known else parts[-1:])
