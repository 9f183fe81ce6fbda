"""What a person sees of a run: a line for each finished stage, and a few at the end.

Jobs run on this machine or on others; what they have to say stands at the end of their log files.
"""

import logging
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sdor.errors import say
from sdor.running.jobs import DONE, STOPPED
from sdor.running.records import note_times, take_over

LONGEST_SAID = 3  # of the stages that ran


@dataclass(frozen=True)
class Announced:
    """A job as the workflow announced it, before it began."""

    rule: str
    log: str
    inputs: Sequence[str]
    outputs: Sequence[str]
    old_logs: Mapping[str, int]  # ns: when logs that were there already had been written


class RunLog(logging.Handler):
    """Listens to Snakemake's events and says in one line what each job has done.

    Parameters
    ----------
    touches : Snakemake only touches files (`--touch`): they are good as they are.

    Attributes
    ----------
    finished : stage of each job that ended well. silent : a line for each job, or group of jobs,
        that failed without saying why itself, by the numbers of its jobs.
    """

    def __init__(self, *, touches: bool = False) -> None:
        super().__init__()
        self.touches = touches
        self.started = time.monotonic()
        self.announced: dict[int, Announced] = {}
        self.finished: list[str] = []
        self.silent: dict[tuple[int, ...], str] = {}

    def emit(self, record: logging.LogRecord) -> None:
        """Take one event; others of Snakemake's messages are none of ours."""
        fields = vars(record)
        event = getattr(fields.get("event"), "value", None)
        try:
            if event == "job_info":
                logs = fields["log"] or [""]
                self.announced[fields["jobid"]] = Announced(
                    fields["rule_name"],
                    logs[0],
                    fields["input"],
                    fields["output"],
                    {log: written for log in logs if (written := _written(log))},
                )
            elif event == "job_finished":
                self._finished(fields["job_id"])
            elif event == "group_error":
                jobs = fields["job_error_info"]
                logs = [log for job in jobs for log in job["log"]]
                rules = ", ".join(dict.fromkeys(job["rule_name"] for job in jobs))
                ids = tuple(job["jobid"] for job in jobs)
                self._failed(ids, f"group {fields['groupid']} ({rules})", logs)
            elif event == "job_error" and not fields["indent"]:  # else of a group
                self._failed((fields["jobid"],), fields["rule_name"], fields["log"])
        except Exception:
            self.handleError(record)

    def summary(self, results: Path) -> list[str]:
        """What has run, and where the answers are."""
        counts = Counter(self.finished)
        kinds = ", ".join(f"{count} {stage}" for stage, count in counts.most_common(LONGEST_SAID))
        others = [count for _, count in counts.most_common()[LONGEST_SAID:]]
        more = f", and {sum(others)} of {len(others)} other stages" if others else ""
        took = time.monotonic() - self.started
        lines = [f"{len(self.finished)} jobs done in {took:,.0f} s: {kinds}{more}"]
        places = {
            "table": "tables/table1.md",
            "time and memory of each stage": "tables/stages.md",
            "report": "report.html",
        }
        for what, place in places.items():
            if (results / place).is_file():
                lines.append(f"{what}: {(results / place).resolve()}")
        return lines

    def _finished(self, jobid: int) -> None:
        job = self.announced.get(jobid)
        if job is None:
            return
        if self.touches:
            take_over(job.outputs, job.inputs)
            return
        note_times(job.outputs)
        # If it failed before, it was tried again.
        self.silent = {ids: line for ids, line in self.silent.items() if jobid not in ids}
        said = last_line(job.log)
        if DONE in said:
            self.finished.append(job.rule)
            say(said)

    def _failed(self, ids: tuple[int, ...], name: str, logs: Sequence[str]) -> None:
        # A log that is as it was before the job was announced is of an earlier run.
        jobs = [self.announced[number] for number in ids if number in self.announced]
        old = {log: written for job in jobs for log, written in job.old_logs.items()}
        begun = [log for log in dict.fromkeys(logs) if _written(log) not in (0, old.get(log))]
        said = [line for log in begun for line in lines_of(log)]
        if any(" ERROR " in line or STOPPED in line for line in said):
            return
        if begun:
            why = "ended without a word: killed, or out of memory or time"
            line = f"{name}: {why}; logs: {', '.join(begun)}"
        else:
            line = f"{name}: did not begin, or left no log: see Snakemake's own words above"
        self.silent[ids] = line
        say(f"failed: {line}")


def last_line(log: str | Path) -> str:
    """The message of the last line of a job's log; nothing where there is none."""
    lines = lines_of(log)
    return lines[-1].split(" INFO ", 1)[-1] if lines else ""


def lines_of(log: str | Path) -> list[str]:
    """The lines of a log file, which may not be there (yet)."""
    try:
        return Path(log).read_text(errors="replace").splitlines()
    except OSError:
        return []


def _written(log: str) -> int:
    """When a file was written last, in ns; 0 where there is none."""
    try:
        return Path(log).stat().st_mtime_ns
    except OSError:
        return 0


def listen(logger: Any, *, touches: bool = False) -> RunLog:
    """Attach a new RunLog to Snakemake's logger."""
    run_log = RunLog(touches=touches)
    logger.addHandler(run_log)
    return run_log
