"""What a person sees when something is wrong: one line that says what, and what to do."""

import os
import shutil
import subprocess

import pytest
import yaml
from workplace import Workplace, copy_project, leftovers

from sdor.video.ffmpeg import ffmpeg_binary

ANSWER = "results/yard/tiny/seed0/ensemble.parquet"


def one_line(done, *parts):
    """The run failed, and said why in one line of ours."""
    assert done.returncode != 0
    lines = [line for line in done.stdout.splitlines() if line.startswith("sdor: ")]
    assert lines, done.stdout
    assert all(part in lines[-1] for part in parts), lines
    assert "Traceback" not in done.stdout
    return lines


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"method": {"epoch": 3}}, ["config.yaml: method.epoch", "did you mean epochs?"]),
        ({"data_root": "nowhere"}, ["data not found under nowhere/yard", "data_root"]),
    ],
)
def test_a_wrong_config_is_one_line_and_costs_nothing(lean, changes, parts):
    lean.configure(**changes)
    one_line(lean.run(), *parts)
    assert not (lean.folder / "results").exists()


def test_a_key_that_is_there_twice_is_one_line(lean):
    for name, key in {"scenes/yard.yaml": "root", "config.yaml": "scenes"}.items():
        file = lean.folder / name
        lines = file.read_text().splitlines()
        file.write_text("\n".join([*lines, f"{key}: other"]))
        (first,) = [number for number, line in enumerate(lines, 1) if line.startswith(f"{key}:")]
        words = f"{name}: line {len(lines) + 1}: {key} again, as in line {first}; keep one"
        one_line(lean.run("--dry-run"), words)


def test_tables_of_a_folder_of_video_are_one_line(lean):
    """Nothing is read of it, and the config is the operator's."""
    (lean.folder / "rec").mkdir()
    (lean.folder / "rec/a.mp4").write_text("no video")
    os.utime(lean.folder / "rec/a.mp4", (1e9, 1e9))
    command = lean.command("--dry-run", "--config", "videos=rec")
    command = [one for one in command if one not in ("--configfile", "config.yaml")]
    done = subprocess.run(command, cwd=lean.folder, capture_output=True, text=True)
    done.stdout += done.stderr
    one_line(done, "operator.yaml: scenes: all needs some", "watchlist --config videos=rec")


def test_a_clone_in_a_folder_with_braces_is_one_line(lean, tmp_path):
    project = copy_project(tmp_path / "take{2}")
    done = Workplace(lean.folder, project).run("--dry-run")
    one_line(done, "take{2}: Snakemake takes braces for wildcards; rename the folder")


def test_a_folder_that_cannot_be_written_is_one_line(lean):
    mounts = [["mount", "--bind", *2 * [str(lean.folder)]]]
    mounts += [["mount", "-o", "remount,bind,ro", str(lean.folder)]]
    if shutil.which("mount") is None or subprocess.run(mounts[0], capture_output=True).returncode:
        pytest.skip("no right to mount on this machine")
    try:
        subprocess.run(mounts[1], check=True)
        one_line(lean.run(), f"{lean.folder}: cannot be written", "run elsewhere")
    finally:
        subprocess.run(["umount", str(lean.folder)], check=True)


def test_labels_beyond_a_clip_stop_before_anything_is_trained(lean):
    scene = yaml.safe_load((lean.folder / "scenes" / "yard.yaml").read_text())
    scene["clips"][1]["ground_truth"] = {"ranges": [[11, 21]]}
    (lean.folder / "scenes" / "yard.yaml").write_text(yaml.safe_dump(scene))
    done = lean.run()
    one_line(done, "label audit of yard", "clip event", "1 to 20", "11 to 21")
    assert not list((lean.folder / "results").rglob("*.safetensors"))[1:]
    assert not (lean.folder / "results/yard/tiny").exists()


def test_a_truncated_video_of_a_benchmark_is_named_before_anything_is_computed(lean):
    video = lean.folder / "data" / "yard" / "cut.avi"
    source = ["-f", "lavfi", "-i", "testsrc=size=64x48:rate=25:duration=4"]
    command = [ffmpeg_binary(), "-loglevel", "error", *source, "-c:v", "mpeg4", str(video)]
    subprocess.run(command, check=True)
    content = video.read_bytes()
    video.write_bytes(content[: len(content) // 2])
    scene = {"root": "yard", "clips": [{"video": "cut.avi", "ground_truth": "normal"}]}
    (lean.folder / "scenes" / "yard.yaml").write_text(yaml.safe_dump(scene))
    done = lean.run()
    one_line(done, "clips of yard: clip cut: cut.avi", "scene file")
    assert not (lean.folder / "results/yard/features").exists()


def test_what_people_ask_for_is_made_again_when_it_is_deleted(copy):
    workplace = copy()
    results = workplace.folder / "results"
    (results / "yard/rare/seed0/ensemble.parquet").unlink()
    shutil.rmtree(results / "yard/l2")
    planned = workplace.planned_jobs()
    assert (planned["ensemble"], planned["train"], planned["initial"]) == (2, 2, 0)


def test_damaged_and_missed_results_are_named_and_they_alone_are_made_again(copy, finished):
    workplace = copy()
    frames, trunk = "results/yard/frames/64/event.npy", "results/yard/trunk/resnet18-64.npy"
    # A failing disk changes no time.
    damaged = workplace.folder / frames
    content, times = bytearray(damaged.read_bytes()), damaged.stat()
    content[len(content) // 2] ^= 1
    damaged.write_bytes(content)
    os.utime(damaged, ns=(times.st_atime_ns, times.st_mtime_ns))
    (workplace.folder / trunk).unlink()
    assert workplace.planned_jobs() == {}
    done = workplace.sdor("verify", "--repair")
    assert done.returncode == 1
    assert done.stdout.splitlines()[:2] == [
        f"{frames}: not what was made",
        f"{trunk}: missing",
    ]
    assert f"snakemake --cores all {frames} {trunk} && sdor verify --repair" in done.stdout
    assert workplace.planned_jobs(frames, trunk) == {"frames": 1, "trunk": 1}
    done = workplace.run(frames, trunk)
    assert done.returncode == 0, done.stdout
    assert workplace.sdor("verify", "--repair").returncode == 0
    assert workplace.planned_jobs() == {}
    expected, found = finished.content(), workplace.content()
    assert [name for name in expected if found[name] != expected[name]] == []


def test_a_copy_that_lost_all_times_reruns_nothing_once_they_are_given_back(finished, tmp_path):
    whole, bare = tmp_path / "whole", tmp_path / "bare"
    shutil.copytree(finished.folder, whole, copy_function=shutil.copy)
    # Another machine gets the results, and not what Snakemake knows of them.
    hidden = shutil.ignore_patterns(".snakemake")
    shutil.copytree(finished.folder, bare, copy_function=shutil.copy, ignore=hidden)
    for workplace in (Workplace(whole), Workplace(bare)):
        assert workplace.sdor("verify", "--repair").returncode == 0
        assert workplace.planned() == set()


@pytest.fixture
def small_disk(begun):
    """The results of a workplace on a disk of their own; and their size in MB."""
    results, kept = begun.folder / "results", begun.folder / "kept"
    results.rename(kept)
    results.mkdir()
    command = ["mount", "-t", "tmpfs", "tmpfs", str(results)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("no right to mount a small disk on this machine")
    subprocess.run(["cp", "-a", f"{kept}/.", str(results)], check=True)
    shutil.rmtree(kept)
    yield begun, shutil.disk_usage(results).used >> 20
    subprocess.run(["umount", "--lazy", str(results)], check=True)


@pytest.mark.nightly
def test_disks_that_are_full_or_read_only_are_named_and_the_same_command_goes_on(
    small_disk, undisturbed
):
    workplace, used = small_disk

    def run_on(*options):
        mount = ["mount", "-o", ",".join(["remount", *options]), str(workplace.folder / "results")]
        subprocess.run(mount, check=True)
        return workplace.run(ANSWER)

    one_line(run_on("ro"), "/results: cannot be written", "run elsewhere")
    one_line(run_on("rw", f"size={used + 20}m"), "the disk is full", "make room")
    assert not (workplace.folder / "results/yard/tiny/seed0/iteration1").exists()
    done = run_on(f"size={used + 70}m")
    one_line(done, "failed: training of yard/tiny/seed0", "No space left", "make room")
    done = run_on("size=1g")
    assert done.returncode == 0, done.stdout
    expected, found = undisturbed.content(), workplace.content()
    assert ANSWER.removeprefix("results/") in found
    assert [name for name in found if found[name] != expected[name]] == []
    assert leftovers(workplace) == []
