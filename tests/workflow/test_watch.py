"""From a folder of video to the page of moments, by one command; tomorrow's video costs its own."""

import csv
import json
import os
import re
import shutil
import subprocess
from collections import Counter

import numpy as np
import pytest
import yaml
from synthetic_walkers import RUNS, walkers
from workplace import CONFIG as STUDY
from workplace import MOTION, Workplace

from sdor.running.noted import watchlist_command

METHOD = STUDY["method"]
CONFIG = {
    "weights": {"resnet18": "random"},
    "device": "cpu",
    "precision": "fp32",
    "tracking": {"enabled": False},
    "main": "motion",
    "variants": {"motion": {"approach": "motion"}, "paper": {}},
    "motion": MOTION,
    "method": METHOD,
    "events": {"budget": 3},
}
LOOKED = re.compile(
    r"camera (\w+): (\d+) files?, .*?(?:; (\d+) files? w\w+ looked at before)?$", re.M
)


def record(write_video, path, frames):
    path.parent.mkdir(parents=True, exist_ok=True)
    write_video(path, frames[..., np.newaxis], fps=10)
    os.utime(path, (1e9, 1e9))


@pytest.fixture(scope="module")
def watched(tmp_path_factory, write_video):
    """A gate, whose recorder writes six seconds a file; a still yard; odd files."""
    work = Workplace(tmp_path_factory.mktemp("watch"))
    calm, other, event = walkers()[0]
    for second, frames in zip(("00", "06", "12"), (calm, other, event), strict=True):
        record(write_video, work.folder / f"rec/gate/2026-11-26_13-00-{second}.mkv", frames)
    record(write_video, work.folder / "rec/yard/still.mkv", np.repeat(calm[:1], 60, axis=0))
    for name, content in {"text.mp4": b"no video", "notes.txt": b"", "empty.mp4": b""}.items():
        (work.folder / "rec/gate" / name).write_bytes(content)
        os.utime(work.folder / "rec/gate" / name, (1e9, 1e9))
    (work.folder / "rec/dead").mkdir()
    shutil.copy2(work.folder / "rec/gate/text.mp4", work.folder / "rec/dead/all.mp4")
    write_video(work.folder / "rec/gate/late.mkv", calm[..., np.newaxis], fps=10)  # just now
    (work.folder / "config.yaml").write_text(yaml.safe_dump({**CONFIG, "videos": "rec"}))
    done = work.run("watchlist")
    assert done.returncode == 0, done.stdout
    return work, done.stdout


def moments(work):
    with (work.folder / "results/watchlist.csv").open() as file:
        return list(csv.DictReader(file))


def test_the_moment_is_found_with_its_clock_and_its_file(watched):
    first = moments(watched[0])[0]
    assert (first["camera"], first["rank"], first["kind"]) == ("gate", "1", "moment")
    assert first["source"] == "2026-11-26_13-00-12.mkv"
    assert RUNS[1] <= int(first["peak_frame"]) - 1 <= RUNS[2]
    assert first["clock"].startswith("2026-11-26T13:00:1")
    assert (watched[0].folder / "results" / first["preview"]).is_file()


def test_nothing_stands_out_where_nothing_happens(watched):
    assert Counter(row["camera"] for row in moments(watched[0]))["yard"] == 0
    assert "othing stands out" in (watched[0].folder / "results/yard/watchlist.html").read_text()


def test_what_was_not_read_is_on_the_page_and_stops_nothing(watched):
    for page in ("watchlist.html", "gate/watchlist.html"):
        text = (watched[0].folder / "results" / page).read_text()
        for name in ("text.mp4", "empty.mp4", "late.mkv"):
            assert name in text, (page, name)
    text = (watched[0].folder / "results/watchlist.html").read_text()
    assert "all.mp4" in text  # of a camera that has nothing else


def test_files_that_adjoin_are_one_stretch(watched):
    import pandas as pd

    looks = pd.read_parquet(watched[0].folder / "results/gate/watch/looks.parquet")
    read = looks[looks["look"] != ""]
    assert [*read["stretch"]] == [0, 0, 0]
    np.testing.assert_allclose(read["offset"], [0, 6, 12], atol=0.2)


def test_it_says_what_there_is_and_makes_no_tables(watched):
    work, said = watched
    found = {one[1]: int(one[2]) for one in LOOKED.finditer(said)}
    assert found == {"gate": 4, "yard": 1, "dead": 1}
    lines = [line for line in said.splitlines() if line.startswith("sdor: look at ")]
    ends = {line.split()[3].strip(":"): line.partition("; files: ")[2] for line in lines}
    unread = "1 file cannot be read"
    assert ends == {"gate": f"4; {unread}", "yard": "1", "dead": f"1; {unread}"}
    assert not (work.folder / "results/tables").exists()
    assert not (work.folder / "mlflow.db").exists()


PAPER = ("watchlist", "--config", "approach=paper")


def test_the_papers_approach_trains_where_there_is_video(watched):
    jobs = watched[0].planned_jobs(*PAPER)
    assert (jobs["paper_moments"], jobs["previews"], jobs["camera_page"]) == (3, 3, 3)
    assert (jobs["train"], jobs["ensemble"]) == (2 * METHOD["iterations"], 2)
    assert jobs["look"] == jobs["saliency"] == jobs["clips"] == jobs["evaluate"] == 0
    finish_round(watched[0], "gate", moments(watched[0])[0], "normal")
    after = watched[0].planned_jobs(*PAPER)
    shutil.rmtree(watched[0].folder / "feedback")
    assert after - jobs == {"paper_learn": 1, "paper_moments": 1}


def finish_round(work, camera, moment, label):
    """As a person may write it."""
    folder = work.folder / "feedback" / camera
    folder.mkdir(parents=True, exist_ok=True)
    line = f"{moment['clip']},{moment['peak_frame']},{label}"
    (folder / "round1.csv").write_text(f"clip,frame,label\n{line}\n")


@pytest.mark.nightly
def test_the_papers_approach_makes_the_same_page(watched, tmp_path):
    shutil.copytree(watched[0].folder, tmp_path / "work", symlinks=True)
    work = Workplace(tmp_path / "work")
    os.remove(work.folder / "rec/gate/late.mkv")
    done = work.run(*PAPER)
    assert done.returncode == 0, done.stdout
    first = moments(work)[0]
    assert (first["camera"], first["kind"], bool(first["box"])) == ("gate", "moment", True)
    assert (work.folder / "results" / first["preview"]).is_file()
    page = (work.folder / "results/watchlist.html").read_text()
    said = "gate/text.mp4", "dead/all.mp4", "nothing of it can be read", "trainable: layer4"
    assert [words for words in said if words not in page] == []
    assert "Nothing to be done" in work.run(*PAPER).stdout
    finish_round(work, "gate", first, "normal")
    done = work.run(*PAPER)
    assert done.returncode == 0, done.stdout
    run = work.folder / "results/gate/paper/seed0"
    before, after = (run / one / "scores.parquet" for one in ("watch", "watch/round1"))
    assert before.read_bytes() != after.read_bytes()
    spans = [(one["clip"], int(one["first"]), int(one["last"])) for one in moments(work)]
    marked = first["clip"], int(first["peak_frame"])
    assert not [one for one in spans if one[0] == marked[0] and one[1] <= marked[1] <= one[2]]
    assert "Nothing to be done" in work.run(*PAPER).stdout
    shutil.rmtree(work.folder / "feedback")
    # Back again, what was looked at is still there; it lies in another folder than it did.
    pages = {"camera_page", "all_cameras_page", "watchlist"}
    assert work.planned("watchlist") == {"moments", "previews", *pages}


@pytest.mark.nightly
def test_a_new_file_is_looked_at_alone_and_without_one_nothing_is_done(
    watched, tmp_path, write_video
):
    shutil.copytree(watched[0].folder, tmp_path / "work", symlinks=True)
    work = Workplace(tmp_path / "work")
    os.remove(work.folder / "rec/gate/late.mkv")
    record(write_video, work.folder / "rec/gate/2026-11-26_13-00-18.mkv", walkers()[0][2][::-1])
    before = set((work.folder / "results/gate/watch/looks").iterdir())
    done = work.run("watchlist")
    assert done.returncode == 0, done.stdout
    assert {one[1]: (one[2], one[3]) for one in LOOKED.finditer(done.stdout)} == {
        "gate": ("5", "3")
    }
    assert before < set((work.folder / "results/gate/watch/looks").iterdir())
    assert "Nothing to be done" in work.run("watchlist").stdout


def copied(watched, tmp_path):
    """Without the file that a recorder was at, which may be whole by now."""
    shutil.copytree(watched[0].folder, tmp_path / "work", symlinks=True)
    os.remove(tmp_path / "work/rec/gate/late.mkv")
    return Workplace(tmp_path / "work")


PAGES = {"moments": 3, "previews": 3, "camera_page": 3, "all_cameras_page": 1, "watchlist": 1}


def test_the_same_files_in_another_folder_are_listed_anew_and_not_looked_at(watched, tmp_path):
    assert copied(watched, tmp_path).planned_jobs("watchlist") == PAGES


def test_what_a_list_leaves_out_is_said_and_nothing_but_its_command_is_noted(watched, tmp_path):
    work = copied(watched, tmp_path)
    for name in ("yard", "yrad"):
        (work.folder / "feedback" / name).mkdir(parents=True)
        (work.folder / "feedback" / name / "round1.csv").touch()
    shutil.rmtree(work.folder / "rec/yard")
    noted = work.folder / ".snakemake/sdor/watchlist-command"
    before = noted.read_bytes()
    assert work.run("watchlist", "results/gaet/watchlist.html").returncode == 1  # mistyped
    assert noted.read_bytes() == before
    noted.unlink()
    said = work.run("watchlist", "-n").stdout
    assert not noted.exists()
    gone = "nothing in rec any more; its moments are left out, its marks are kept in feedback/yard"
    assert f"sdor: camera yard: {gone}\n" in said
    assert "sdor: feedback/yrad: there is no camera yrad (known: dead, gate)" in said


def test_the_demos_list_does_not_take_the_place_of_another(watched):
    work = watched[0]
    snakemake = work.command("watchlist", "-n")
    del snakemake[5:7]  # without the config
    done = subprocess.run(snakemake, cwd=work.folder, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "the demo's watchlist would take the place of that of rec, which" in done.stderr
    snakemake += ["--config", "video=rec"]
    done = subprocess.run(snakemake, cwd=work.folder, capture_output=True, text=True, check=False)
    assert "sdor: --config: video: unknown key (did you mean videos?)" in done.stderr


def marks(work, number, *lines):
    path = work.folder / f"feedback/gate/round{number}.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(["clip,frame,label", *lines, ""]))
    return path


@pytest.mark.nightly
def test_what_was_marked_by_hand_is_learnt_once_and_has_the_last_word(watched, tmp_path):
    work = copied(watched, tmp_path)
    dismissed, confirmed = [row for row in moments(work) if row["camera"] == "gate"][:2]
    seen = work.folder / "results/gate/watch/clips.json"
    seen.write_text(json.dumps([*json.loads(seen.read_text()), "deleted"]))
    unmarked = {path: path.read_bytes() for path in work.folder.glob("results/gate/watch/*.*")}
    words = zip((dismissed, confirmed), ("normal", "anomaly"), strict=True)
    marks(
        work,
        1,
        *(f"{row['clip']},{row['peak_frame']},{label}" for row, label in words),
        "deleted,9,normal",
    )
    done = work.run("watchlist")
    assert done.returncode == 0, done.stdout
    assert "1 mark is of a clip that is gone" in done.stdout
    ran = Counter(re.findall(r"^(?:local)?rule (\w+):$", done.stdout, flags=re.MULTILINE))
    assert ran == Counter(learn=1, **PAGES)
    assert all(path.read_bytes() == content for path, content in unmarked.items())
    table = [row for row in moments(work) if row["camera"] == "gate"]
    [kept] = [row for row in table if row["mark"]]
    span = ("event", "clip", "first", "last")
    assert [kept[name] for name in span] == [confirmed[name] for name in span]
    assert (kept["mark"], kept["rank"]) == ("anomaly", "0")
    assert (work.folder / "results" / kept["preview"]).is_file()
    first, last = int(dismissed["first"]), int(dismissed["last"])
    for row in table:
        near = row["clip"] == dismissed["clip"] and int(row["first"]) <= last
        assert not (near and int(row["last"]) >= first), row
    page = (work.folder / "results/gate/watchlist.html").read_text()
    for text in (
        "Marked as anomalies",
        "1 mark is of a clip that is gone: nothing",
        "<code>sdor review gate</code>",
    ):
        assert text in page
    assert "Nothing to be done" in work.run("watchlist").stdout
    assert watchlist_command(work.folder) == ["snakemake", *work.command("watchlist")[3:]]
    scored = work.sdor("score", "rec/gate/2026-11-26_13-00-12.mkv", "--model", "results/gate/watch")
    assert scored.returncode == 0, scored.stdout


def test_a_fault_in_marks_is_one_line(watched, tmp_path):
    work = copied(watched, tmp_path)
    path = marks(work, 1, "gone,5,normal")
    done = work.run("watchlist")
    assert done.returncode == 1
    assert re.search(
        r"feedback/gate/round1\.csv: line 2: clip: there is no gone; mend", done.stdout
    )
    assert "Traceback" not in done.stdout
    path.rename(path.with_name("round3.csv"))
    done = work.run("watchlist")
    assert done.returncode == 1
    assert "feedback/gate/round3.csv: there is no round1.csv, and rounds are counted" in done.stdout
