import logging
import re
from enum import Enum
from pathlib import Path
from types import SimpleNamespace

import pytest

from sdor.running.jobs import job
from sdor.running.run_log import listen


class Event(Enum):
    INFO = "job_info"
    GROUP = "group_error"
    FINISHED = "job_finished"
    ERROR = "job_error"


@pytest.fixture
def snakemake(tmp_path, monkeypatch):
    """Sends events as Snakemake does."""
    monkeypatch.chdir(tmp_path)
    logger = logging.Logger("snakemake")
    events = listen(logger)

    def send(event, **fields):
        logger.info("", extra={"event": event, **fields})

    return SimpleNamespace(send=send, events=events)


def announce(snakemake, number, rule="train"):
    log = f"results/logs/{rule}{number}.log"
    snakemake.send(Event.INFO, jobid=number, rule_name=rule, log=[log], input=[], output=[])
    return log


def test_a_finished_job_is_one_line_with_its_key_figure(snakemake, capsys):
    log = announce(snakemake, 1)
    script = SimpleNamespace(rule="train", log=[log], input=[], output=[])
    with job(script, "training of yard/tiny/seed0, t = 1") as work:
        work.figure = "loss 0.1234"
    snakemake.send(Event.FINISHED, job_id=1)
    said = capsys.readouterr().err
    line = r"sdor: training of yard/tiny/seed0, t = 1: done in \d+\.\d s; loss 0\.1234\n"
    assert re.fullmatch(line, said)


def test_jobs_of_no_script_and_strange_events_say_nothing(snakemake, capsys):
    announce(snakemake, 1, "all")
    snakemake.send(Event.FINISHED, job_id=1)
    snakemake.send(Event.FINISHED, job_id=99)
    assert capsys.readouterr().err == ""
    assert snakemake.events.finished == []


def test_a_job_that_was_killed_is_named_with_its_log(snakemake, capsys):
    log = announce(snakemake, 1)
    Path(log).parent.mkdir(parents=True)
    Path(log).write_text("2026-01-01 00:00:00,000 INFO epoch 1/50: loss 0.4\n")
    snakemake.send(Event.ERROR, indent=False, jobid=1, rule_name="train", log=[log, "slurm/1.log"])
    assert (
        f"sdor: failed: train: ended without a word: killed, or out of memory or time; logs: {log}"
        in (capsys.readouterr().err)
    )
    assert list(snakemake.events.silent) == [(1,)]
    # The next attempt goes well.
    snakemake.send(Event.FINISHED, job_id=1)
    assert snakemake.events.silent == {}


def test_a_group_that_was_killed_is_one_line_with_the_logs_that_there_are(snakemake, capsys):
    log = announce(snakemake, 1)
    Path(log).parent.mkdir(parents=True)
    Path(log).write_text("2026-01-01 00:00:00,000 INFO epoch 1/50: loss 0.4\n")
    jobs = [
        {"jobid": 1, "rule_name": "train", "log": [log]},
        {"jobid": 2, "rule_name": "ensemble", "log": ["none.log"]},
    ]
    snakemake.send(Event.GROUP, groupid="chain", job_error_info=jobs)
    for job_info in jobs:
        snakemake.send(Event.ERROR, indent=True, **job_info)
    (line,) = snakemake.events.silent.values()
    assert line.startswith("group chain (train, ensemble): ended without a word")
    assert line.endswith(f"logs: {log}")
    assert capsys.readouterr().err == f"sdor: failed: {line}\n"


def test_a_job_that_said_why_it_failed_is_not_named_twice(snakemake, capsys):
    log = announce(snakemake, 1)
    Path(log).parent.mkdir(parents=True)
    Path(log).write_text("2026-01-01 00:00:00,000 ERROR frames of a/b: clip b: too short\n")
    snakemake.send(Event.ERROR, indent=False, jobid=1, rule_name="frames", log=[log])
    assert capsys.readouterr().err == ""
    assert snakemake.events.silent == {}


def test_what_an_earlier_run_said_is_not_taken_for_this_one(snakemake):
    log = Path("results/logs/frames1.log")
    log.parent.mkdir(parents=True)
    log.write_text("2026-01-01 00:00:00,000 ERROR frames of a/b: clip b: too short\n")
    announce(snakemake, 1, "frames")
    failure = {"indent": False, "jobid": 1, "rule_name": "frames", "log": [str(log)]}
    snakemake.send(Event.ERROR, **failure)
    assert "did not begin" in snakemake.events.silent[1,]
    log.write_text("2026-01-02 00:00:00,000 INFO decoding\n")
    snakemake.send(Event.ERROR, **failure)
    assert "killed" in snakemake.events.silent[1,]


def test_a_job_that_a_person_stopped_was_not_killed(snakemake, capsys):
    log = announce(snakemake, 1)
    script = SimpleNamespace(rule="train", log=[log], input=[], output=[])
    with pytest.raises(SystemExit), job(script, "training of yard"):
        raise KeyboardInterrupt
    snakemake.send(Event.ERROR, indent=False, jobid=1, rule_name="train", log=[log])
    assert "killed" not in capsys.readouterr().err
    assert snakemake.events.silent == {}


def test_a_job_that_was_never_begun_is_not_called_killed(snakemake):
    announce(snakemake, 1)
    snakemake.send(Event.ERROR, indent=False, jobid=1, rule_name="train", log=["none.log"])
    assert "did not begin" in snakemake.events.silent[1,]


def test_the_summary_says_what_ran_and_where_the_answers_are(snakemake, tmp_path):
    (tmp_path / "results" / "tables").mkdir(parents=True)
    (tmp_path / "results" / "tables" / "table1.md").write_text("")
    snakemake.events.finished = [*["train"] * 6, *["frames"] * 3, "audit", "clips"]
    first, second = snakemake.events.summary(tmp_path / "results")
    assert first.startswith("11 jobs done in ")
    assert first.endswith(" s: 6 train, 3 frames, 1 audit, and 1 of 1 other stages")
    assert second == f"table: {tmp_path / 'results' / 'tables' / 'table1.md'}"
