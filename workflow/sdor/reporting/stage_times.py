"""Time and memory of a study's jobs, from the benchmark files that Snakemake writes."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from sdor.errors import SdorError
from sdor.files import atomic, damaged
from sdor.reporting.typeset import Row, Table, count_of, printed

TITLE = "Time and memory of each stage"
HOW_TO_READ = (
    "As Snakemake's benchmarks measured them, of the last run of each job: time on the clock, the "
    "cores that were busy meanwhile, and the highest resident memory of a job. What comes after "
    "this table, the report and MLflow's record, is not in it."
)


def write_stage_times(times: pd.DataFrame, output_csv: Path, output_md: Path) -> None:
    """Write the table of stages for people, and every job's numbers (`job_times`) as CSV."""
    with atomic(output_csv) as temporary:
        times.round(2).to_csv(temporary, index=False, lineterminator="\n")
    with atomic(output_md) as temporary:
        table = replace(stages_table(times), title=TITLE)
        words = {"title": TITLE, "explanation": HOW_TO_READ}
        temporary.write_text(printed("tables.md.j2", tables=[table], **words))


def job_times(folder: Path, patterns: Mapping[str, str], seeds: Iterable[int]) -> pd.DataFrame:
    """What the jobs of a study took, longest first; other scenes, variants and seeds stay out.

    Parameters
    ----------
    folder : where Snakemake writes benchmarks (TSV with the columns s, max_rss, cpu_time and more).
    patterns : by stage, the regular expression of its files' paths; a group `seed` in it is the
        seed of a job.
    seeds : those of the study.

    Returns
    -------
    A line a job: job, stage, s (seconds), cores (busy on average), MB (peak, resident).

    Raises
    ------
    SdorError : a file is no Snakemake benchmark.
    """
    wanted = {None, *map(str, seeds)}
    records = []
    for path in sorted(folder.rglob("*.tsv")):
        found = {stage: re.fullmatch(one, path.as_posix()) for stage, one in patterns.items()}
        for stage, match in found.items():
            if match and match.groupdict().get("seed") in wanted:
                name = path.relative_to(folder).with_suffix("").as_posix()
                records.append({"job": name, "stage": stage, **_measured(path)})
    times = pd.DataFrame.from_records(records, columns=["job", "stage", "s", "cores", "MB"])
    return times.sort_values("s", ascending=False, kind="stable")


def stages_table(times: pd.DataFrame) -> Table:
    """The stages, those that took longest first."""
    rows = []
    stages = [(str(stage), jobs) for stage, jobs in times.groupby("stage", sort=False)]
    for stage, jobs in sorted(stages, key=lambda one: -one[1]["s"].sum()):
        total, busy = jobs["s"].sum(), (jobs["cores"] * jobs["s"]).sum()
        cells = (
            *(stage.replace("_", " "), f"{len(jobs):,}", duration(total)),
            *(duration(jobs["s"].max()), f"{busy / total:.1f}" if busy > 0 else ""),
            _megabytes(jobs["MB"].max()),
        )
        rows.append(Row(cells))
    whole = f"{count_of(len(times), 'job')}, {duration(times['s'].sum())} in all"
    header = ("stage", "jobs", "time", "longest job", "cores", "peak memory (MB)")
    return Table("Run times", header, rows, f"{whole} (one after the other).")


def jobs_table(times: pd.DataFrame) -> Table:
    """Every job."""
    jobs = times[["job", "s", "MB"]].itertuples(index=False)
    rows = [Row((job, duration(seconds), _megabytes(memory))) for job, seconds, memory in jobs]
    return Table("Every job", ("job", "time", "peak memory (MB)"), rows)


def duration(seconds: float) -> str:
    """Seconds in words such as "4.2 s", "3 min 20 s" or "2 h 05 min"."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02} s"
    return f"{minutes // 60} h {minutes % 60:02} min"


def _measured(path: Path) -> dict[str, float]:
    """Seconds, busy cores and memory of one job; NaN where Snakemake saw none."""
    try:
        lines = pd.read_csv(path, sep="\t", na_values=["-", "NA"])
        seconds = float(lines["s"].mean())
        cores = float(lines["cpu_time"].mean()) / seconds if seconds else np.nan
        return {"s": seconds, "cores": cores, "MB": float(lines["max_rss"].max())}
    except (OSError, ValueError, KeyError) as error:
        raise SdorError(damaged(path, error)) from error


def _megabytes(memory: float) -> str:
    return "" if np.isnan(memory) else f"{memory:,.0f}"
