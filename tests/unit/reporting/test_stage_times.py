"""Time and memory of each stage, from benchmark files written by hand."""

import pandas as pd
import pytest

from sdor.errors import SdorError
from sdor.reporting.stage_times import job_times, stages, write_stage_times

PATTERNS = {
    "frames": r".*/yard/frames/64/[ab]\.tsv",
    "cuts": r".*/yard/cuts\.tsv",
    "train": r".*/yard/(?P<variant>paper)/seed(?P<seed>[0-9]+)/train\.tsv",
}
JOBS = {
    "yard/frames/64/a": "10.0\t-\t5",
    "yard/frames/64/b": "20.0\t700\t25",
    "yard/paper/seed0/train": "3650\t1500\t7300",
    "yard/cuts": "1.0\t-\t-",
}
# Of another scene, variant or seed, and no benchmark of today.
OTHERS = ("ped2/frames/64/a", "yard/old/seed0/train", "yard/paper/seed7/train", "yard/cuts.tsv")


@pytest.fixture
def folder(tmp_path):
    for name, line in (JOBS | dict.fromkeys(OTHERS, "nonsense")).items():
        path = tmp_path / "benchmarks" / f"{name}.tsv"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"s\tmax_rss\tcpu_time\n{line}\n")
    return tmp_path / "benchmarks"


def test_the_jobs_of_a_study_are_added_up_by_stage_longest_first(folder):
    (table,) = stages(job_times(folder, PATTERNS, [0])).tables
    assert [row.texts for row in table.rows] == [
        ("train", "1", "3,650.0", "3,650.0", "2.0", "1,500"),
        ("frames", "2", "30.0", "20.0", "1.0", "700"),
        ("cuts", "1", "1.0", "1.0", "", ""),
    ]
    assert table.caption == "4 jobs, 3,681 seconds one after the other."
    assert stages(job_times(folder, {}, [0])).tables == []
    assert len(job_times(folder, {}, [0])) == 0
    (folder / "yard" / "frames" / "64" / "a.tsv").write_text("nonsense\n")
    with pytest.raises(SdorError, match=r"a\.tsv: damaged"):
        job_times(folder, PATTERNS, [0])


def test_the_table_of_stages_is_written_for_people_and_for_programs(folder, tmp_path):
    times = job_times(folder, PATTERNS, [0])
    write_stage_times(times, tmp_path / "stages.csv", tmp_path / "stages.md")
    text = (tmp_path / "stages.md").read_text()
    assert "| frames | 2 | 30.0 | 20.0 | 1.0 | 700 |" in text
    found = pd.read_csv(tmp_path / "stages.csv").to_dict("records")[0]
    wanted = {"job": "yard/paper/seed0/train", "stage": "train", "s": 3650, "cores": 2, "MB": 1500}
    assert found == wanted
