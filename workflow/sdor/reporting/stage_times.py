"""Time and memory of a study's jobs, from the benchmark files that Snakemake writes."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from sdor.errors import SdorError
from sdor.files import atomic, damaged
from sdor.reporting.typeset import Page, Row, Table


def write_stage_times(times: pd.DataFrame, output_csv: Path, output_md: Path) -> None:
    """Write the table of stages for people, and every job's numbers (`job_times`) as CSV."""
    with atomic(output_csv) as temporary:
        times.round(2).to_csv(temporary, index=False, lineterminator="\n")
    with atomic(output_md) as temporary:
        temporary.write_text(stages(times).printed("md"))


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
        for stage, pattern in patterns.items():
            match = re.fullmatch(pattern, path.as_posix())
            if match and match.groupdict().get("seed") in wanted:
                name = path.relative_to(folder).with_suffix("").as_posix()
                records.append({"job": name, "stage": stage, **_measured(path)})
    times = pd.DataFrame.from_records(records, columns=["job", "stage", "s", "cores", "MB"])
    return times.sort_values("s", ascending=False, kind="stable")


def stages(times: pd.DataFrame) -> Page:
    """The stages, those that took longest first."""
    jobs = times.assign(busy=times["cores"] * times["s"]).groupby("stage", sort=False)
    total = jobs.agg(
        jobs=("s", "size"),
        s=("s", "sum"),
        longest=("s", "max"),
        busy=("busy", "sum"),
        MB=("MB", "max"),
    ).sort_values("s", ascending=False, kind="stable")
    total["cores"] = (total.pop("busy") / total["s"]).replace(0, np.nan)
    forms = {"jobs": ",d", "s": ",.1f", "longest": ",.1f", "cores": ".1f", "MB": ",.0f"}
    for name, form in forms.items():
        total[name] = [f"{one:{form}}" if one == one else "" for one in total[name]]
    lines = total[[*forms]].itertuples()
    rows = [Row((stage.replace("_", " "), *values)) for stage, *values in lines]
    header = ("stage", "jobs", "seconds", "longest job", "cores", "peak memory (MB)")
    caption = f"{len(times):,} jobs, {times['s'].sum():,.0f} seconds one after the other."
    return Page("stages", [Table("Run times", header, rows, caption)] if rows else [])


def _measured(path: Path) -> dict[str, float]:
    """Seconds, busy cores and memory of one job; NaN where Snakemake saw none."""
    try:
        lines = pd.read_csv(path, sep="\t", na_values=["-", "NA"])
        seconds = float(lines["s"].mean())
        cores = float(lines["cpu_time"].mean()) / seconds if seconds else np.nan
        return {"s": seconds, "cores": cores, "MB": float(lines["max_rss"].max())}
    except (OSError, ValueError, KeyError) as error:
        raise SdorError(damaged(path, error)) from error
