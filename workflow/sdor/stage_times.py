"""Time and memory of a study's jobs, from the benchmark files that Snakemake writes."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from sdor.errors import SdorError
from sdor.files import atomic, damaged
from sdor.tables import Table, count_of, markdown

TITLE = "Time and memory of each stage"
HOW_TO_READ = (
    "As Snakemake's benchmarks measured them, of the last run of each job: time on the clock, the "
    "cores that were busy meanwhile, and the highest resident memory of a job."
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
    benchmark_paths: Sequence[Path], variants: Iterable[str], output_csv: Path, output_md: Path
) -> RunTimes:
    """Write the table of stages for people, and every job's figures as CSV.

    Raises
    ------
    SdorError : a file is no Snakemake benchmark.
    """
    times = run_times(benchmark_paths, variants)
    with atomic(output_csv) as temporary:
        times.records.round(2).to_csv(temporary, index=False, lineterminator="\n")
    with atomic(output_md) as temporary:
        temporary.write_text(markdown([replace(times.stages, title=TITLE)], TITLE, HOW_TO_READ))
    return times


def study_benchmarks(
    folder: Path,
    *,
    scenes: Sequence[str],
    variants: Sequence[str],
    seeds: Sequence[int],
    pools: Sequence[str] = (),
) -> list[Path]:
    """Benchmark files of a study's jobs; those of other scenes, variants and seeds stay out.

    Parameters
    ----------
    folder : `results/benchmarks`, with a folder for each scene, one for whole-study figures, and
        one for pools.
    """
    shared = {"render", "frames", "features", "trunk", "competitors"}
    wanted = {f"seed{seed}" for seed in seeds}
    paths = sorted((folder / "figures").glob("*.tsv"))
    for scene in [*scenes, *(f"pools/{pool}" for pool in pools)]:
        for path in sorted((folder / scene).rglob("*.tsv")):
            of, *below = [*path.relative_to(folder / scene).parts[:-1], ""]
            seed = below[0] if of in variants and below else ""
            if of in {"", *shared, *variants} and (not seed or seed in wanted):
                paths.append(path)
    return paths


def run_times(benchmark_paths: Sequence[str | Path], variants: Iterable[str] = ()) -> RunTimes:
    """Time and memory of every benchmarked job, longest first, and of each stage.

    Parameters
    ----------
    variants : names of the variants, whose folders hold the stages' files.

    Raises
    ------
    SdorError : a file is no Snakemake benchmark.
    """
    records = []
    names = set(variants)
    for path in benchmark_paths:
        try:
            lines = pd.read_csv(path, sep="\t", na_values=["-", "NA"])
            seconds = float(lines["s"].mean())
            memory = float(lines["max_rss"].max()) if "max_rss" in lines else np.nan
            busy = float(lines["cpu_time"].mean()) if "cpu_time" in lines else np.nan
        except (OSError, ValueError, KeyError) as error:
            raise SdorError(damaged(path, error)) from error
        job = _job_name(Path(path))
        stage = _stage(job, names)
        record = {
            "job": job,
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
            rows=tuple(
                (
                    str(stage).replace("_", " "),
                    f"{row['jobs']:,.0f}",
                    *(duration(row[name]) for name in ("total", "longest")),
                    f"{row['busy'] / row['total']:.1f}" if row["busy"] > 0 else "",
                    _megabytes(row["memory"]),
                )
                for stage, row in stages.iterrows()
            ),
            caption=(
                f"{count_of(len(jobs), 'job')}, {duration(float(jobs['s'].sum()))} in all "
                "(one after the other)."
            ),
        ),
        Table(
            title="Every job",
            header=("job", "time", "peak memory (MB)"),
            rows=tuple(
                (row["job"], duration(row["s"]), _megabytes(row["MB"]))
                for row in jobs.to_dict("records")
            ),
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


def _stage(job: str, variants: set[str]) -> str:
    """The stage of a job by its name, "{scene}/{stage}/…" or "{scene}/{variant}/…/{stage}"."""
    parts = job.split("/")
    if parts[0] == "pools":
        return "pool"
    own = len(parts) < 3 or any(part in variants for part in parts)
    return parts[-1] if own else parts[1]


def _megabytes(memory: float) -> str:
    return "" if np.isnan(memory) else f"{memory:,.0f}"


def _job_name(path: Path) -> str:
    """The file's name with the folders that say which scene, variant and seed it is of."""
    parts = [part for part in path.with_suffix("").parts if part not in ("/", "..", ".")]
    known = [place for place, part in enumerate(parts) if part in ("benchmarks", "results")]
    return "/".join(parts[known[-1] + 1 :] if known else parts[-1:])
