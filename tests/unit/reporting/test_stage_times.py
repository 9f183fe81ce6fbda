"""Time and memory of each stage, from benchmark files written by hand."""

import pandas as pd
import pytest

from sdor.errors import SdorError
from sdor.reporting.stage_times import duration, run_times, study_benchmarks, write_stage_times


def test_run_times_are_added_up_by_stage_longest_first(tmp_path):
    names = ("frames/64/a", "frames/64/b", "paper/seed0/iteration1/train", "cuts")
    lines = ("10.0\t-\t5", "20.0\t700\t25", "3650\t1500\t7300", "1.0\t-\t-")
    paths = [tmp_path / "benchmarks" / "yard" / f"{name}.tsv" for name in names]
    for path, line in zip(paths, lines, strict=True):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"s\tmax_rss\tcpu_time\n{line}\n")
    times = run_times(dict(zip(paths, ("frames", "frames", "train", "cuts"), strict=True)))
    assert [row.texts for row in times.stages.rows] == [
        ("train", "1", "1 h 00 min", "1 h 00 min", "2.0", "1,500"),
        ("frames", "2", "30.0 s", "20.0 s", "1.0", "700"),
        ("cuts", "1", "1.0 s", "1.0 s", "", ""),
    ]
    assert times.stages.caption.startswith("4 jobs, 1 h 01 min in all")
    assert [row.texts for row in times.jobs.rows[:2]] == [
        ("yard/paper/seed0/iteration1/train", "1 h 00 min", "1,500"),
        ("yard/frames/64/b", "20.0 s", "700"),
    ]
    assert run_times({}).stages.rows == []
    paths[0].write_text("nonsense\n")
    with pytest.raises(SdorError, match=r"a\.tsv: damaged"):
        run_times({paths[0]: "frames"})


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.04, "0.0 s"), (59.9, "59.9 s"), (61, "1 min 01 s"), (7500, "2 h 05 min")],
)
def test_durations(seconds, words):
    assert duration(seconds) == words


def test_jobs_of_other_scenes_variants_and_seeds_are_not_counted(tmp_path):
    patterns = {
        "features": ".*/(?P<scene>plaza)/features/(?P<backbone>resnet50)-pool-64.tsv",
        "classify": ".*/(?P<scene>plaza)/features/resnet50-(?P<layer>logits)-64.tsv",
        "evaluate": ".*/(?P<scene>plaza)/(?P<variant>paper)/seed(?P<seed>[0-9]+)/evaluate.tsv",
    }
    ours = {
        "plaza/features/resnet50-pool-64.tsv": "features",
        "plaza/features/resnet50-logits-64.tsv": "classify",
        "plaza/paper/seed0/evaluate.tsv": "evaluate",
    }
    others = [
        *("ped2/paper/seed0/evaluate.tsv", "plaza/old/seed0/evaluate.tsv"),
        *("plaza/paper/seed7/evaluate.tsv", "plaza/paper/seed0/evaluate.tsv.old"),
    ]
    for name in (*ours, *others):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found = study_benchmarks(tmp_path, patterns, [0])
    assert {str(path.relative_to(tmp_path)): stage for path, stage in found.items()} == ours


def test_the_table_of_stages_is_written_for_people_and_for_programs(tmp_path):
    path = tmp_path / "benchmarks" / "yard" / "paper" / "seed0" / "ensemble.tsv"
    path.parent.mkdir(parents=True)
    path.write_text("s\tmax_rss\tcpu_time\n4.0\t120.0\t2.0\n")
    write_stage_times({path: "ensemble"}, tmp_path / "stages.csv", tmp_path / "stages.md")
    assert "| ensemble | 1 | 4.0 s | 4.0 s | 0.5 | 120 |" in (tmp_path / "stages.md").read_text()
    found = pd.read_csv(tmp_path / "stages.csv").to_dict("records")
    expected = {"job": "yard/paper/seed0/ensemble", "stage": "ensemble", "s": 4, "cores": 0.5}
    assert found == [{**expected, "MB": 120}]
