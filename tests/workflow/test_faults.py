import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import psutil
import pytest
import yaml
from workplace import CONFIG, PROJECT, Workplace, leftovers

from sdor.video.decode import ffmpeg_binary

DAY = 86_400_000_000_000  # ns
ANSWER = "results/yard/tiny/seed0/ensemble.parquet"


def kill_when(workplace, condition):
    """Start a run and SIGKILL all of its processes as soon as the condition holds."""
    process, latest = workplace.start(), time.monotonic() + 600
    try:
        while not condition():
            assert time.monotonic() < latest, "what it is to be killed at did not come"
            assert process.poll() is None, "the run ended before it could be killed"
            time.sleep(0.002)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def one_line(done, *parts):
    """The run failed, and said why in one line of ours."""
    assert done.returncode != 0
    lines = [line for line in done.stdout.splitlines() if line.startswith("sdor: ")]
    assert lines, done.stdout
    assert all(part in lines[-1] for part in parts), lines
    assert "Traceback" not in done.stdout
    return lines


def test_killed_in_the_middle_of_a_training(begun):
    begun.configure(method={**CONFIG["method"], "epochs": 8, "iterations": 1})
    checkpoint = begun.folder / "results/yard/tiny/seed0/iteration1/checkpoint.pt"
    kill_when(begun, checkpoint.exists)
    assert not (checkpoint.parent / "scores.parquet").exists()
    done = begun.run(ANSWER)
    assert done.returncode == 0, done.stdout
    log = begun.folder / "results/logs/yard/tiny/seed0/iteration1/train.log"
    assert "resumed after epoch" in log.read_text()
    resumed = begun.content()
    assert leftovers(begun) == []
    assert begun.run("--forcerun", "train", "--", ANSWER).returncode == 0
    assert "resumed" not in log.read_text()
    undisturbed = begun.content()
    assert [name for name in resumed if resumed[name] != undisturbed[name]] == []


def test_killed_in_the_middle_of_a_frame_extraction(lean, write_video):
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 255, (1500, 48, 64, 1), dtype=np.uint8)
    write_video(lean.folder / "data" / "yard" / "long.avi", frames)
    scene = {"root": "yard", "clips": [{"video": "long.avi"}]}
    (lean.folder / "scenes" / "yard.yaml").write_text(yaml.safe_dump(scene))
    target = lean.folder / "results/yard/frames/64/long.npy"

    def half_written():
        return any(file.stat().st_size > 0 for file in target.parent.glob(".long.*"))

    kill_when(lean, half_written)
    assert not target.exists()
    done = lean.run(str(target.relative_to(lean.folder)))
    assert done.returncode == 0, done.stdout
    first = target.read_bytes()
    target.unlink()
    assert lean.run(str(target.relative_to(lean.folder))).returncode == 0
    assert target.read_bytes() == first
    assert len(np.load(target)) == 1500


def test_a_second_run_in_the_same_folder_says_so_and_leaves(lean):
    process = lean.start()
    try:
        lock = lean.folder / ".snakemake" / "sdor.lock"
        while not (lock.exists() and lock.read_text()):
            assert process.poll() is None
            time.sleep(0.01)
        done = lean.run()
        one_line(done, "another run is at work", str(process.pid))
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"method": {"epoch": 3}}, ["config.yaml: method.epoch", "did you mean epochs?"]),
        ({"method": {"epochs": "ten"}}, ["method.epochs: 'ten' is not a whole number"]),
        ({"scenes": ["yerd"]}, ["no scene file scenes/yerd.yaml", "yard"]),
        ({"data_root": "nowhere"}, ["data not found under nowhere/yard", "data_root"]),
    ],
)
def test_a_wrong_config_is_one_line(lean, changes, parts):
    lean.configure(**changes)
    done = lean.run()
    one_line(done, *parts)
    assert not (lean.folder / "results").exists()


def test_a_missing_clip_is_named(lean):
    scene = {"root": "yard", "clips": [{"images": "calm1"}, {"video": "gone.avi"}]}
    (lean.folder / "scenes" / "yard.yaml").write_text(yaml.safe_dump(scene))
    one_line(lean.run(), "clip gone: no file data/yard/gone.avi")


def test_labels_beyond_a_clip_stop_before_anything_is_trained(lean):
    scene = yaml.safe_load((lean.folder / "scenes" / "yard.yaml").read_text())
    scene["clips"][1]["ground_truth"] = {"ranges": [[11, 21]]}
    (lean.folder / "scenes" / "yard.yaml").write_text(yaml.safe_dump(scene))
    done = lean.run()
    one_line(done, "label audit of yard", "clip event", "1 to 20", "11 to 21")
    assert not list((lean.folder / "results").rglob("*.safetensors"))[1:]
    assert not (lean.folder / "results/yard/tiny").exists()


def test_a_truncated_video_is_named_with_both_counts(lean):
    video = lean.folder / "data" / "yard" / "cut.avi"
    source = ["-f", "lavfi", "-i", "testsrc=size=64x48:rate=25:duration=4"]
    command = [ffmpeg_binary(), "-loglevel", "error", *source, "-c:v", "mpeg4", str(video)]
    subprocess.run(command, check=True)
    content = video.read_bytes()
    video.write_bytes(content[: len(content) // 2])
    scene = {"root": "yard", "clips": [{"video": "cut.avi"}]}
    (lean.folder / "scenes" / "yard.yaml").write_text(yaml.safe_dump(scene))
    done = lean.run()
    one_line(done, "frames of yard/cut", "clip cut")
    assert not (lean.folder / "results/yard/frames/64/cut.npy").exists()


def test_too_few_frames_for_the_pseudo_labels(lean):
    scene = {"root": "yard", "clips": [{"images": "calm1"}]}
    (lean.folder / "scenes" / "yard.yaml").write_text(yaml.safe_dump(scene))
    lean.configure(method={**CONFIG["method"], "anomalous_fraction": 0.005})
    done = lean.run(ANSWER)
    one_line(done, "pseudo labels of yard/tiny/seed0", "90 frames give 0", "at least 200")


def test_weights_of_another_architecture_are_refused(copy):
    workplace = copy()
    own = workplace.folder / "results/weights/resnet18.safetensors"
    own.rename(workplace.folder / "mine.safetensors")
    workplace.configure(
        weights={"vgg16": "mine.safetensors"}, method={**CONFIG["method"], "backbone": "vgg16"}
    )
    done = workplace.run("results/weights/vgg16.safetensors")
    one_line(done, "weights of vgg16", "mine.safetensors holds weights of resnet18")


def test_damaged_results_are_named_and_they_alone_are_made_again(copy, finished):
    workplace = copy()
    # No job made the input of the first; that of the second is small. All is finished that needs
    # them.
    names = ["results/yard/frames/64/event.npy", "results/yard/tiny/seed0/initial.parquet"]
    for path in [workplace.folder / name for name in names]:
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    for _ in range(2):
        assert workplace.planned_jobs() == {"frames": 1, "initial": 1}
    done = workplace.run("all")
    assert done.returncode == 0, done.stdout
    for name in names:
        assert f"sdor: {name}: not what was made" in done.stdout
        assert (workplace.folder / f"{name}.damaged").exists()
    assert len(re.findall("^sdor: .*: done in ", done.stdout, flags=re.MULTILINE)) == 2
    assert "Nothing to be done" in done.stdout
    expected, found = finished.content(), workplace.content()
    assert [name for name in expected if found[name] != expected[name]] == []
    assert workplace.planned_jobs() == {}


def test_deleted_answers_are_made_again_and_other_results_when_they_are_missed(copy):
    workplace = copy()
    results = workplace.folder / "results"
    (results / "yard/rare/seed0/ensemble.parquet").unlink()
    shutil.rmtree(results / "yard/l2")
    planned = workplace.planned_jobs()
    assert (planned["ensemble"], planned["train"], planned["initial"]) == (2, 2, 0)
    shutil.rmtree(workplace.folder)
    workplace = copy()
    shutil.rmtree(results / "yard/trunk")
    assert workplace.planned_jobs() == {}
    verify = [sys.executable, "-m", "sdor", "verify"]
    missed = "results/yard/trunk/resnet18-64.npy: missing"
    environment = {**os.environ, "PYTHONPATH": str(PROJECT / "workflow")}
    for arguments, planned in (([], {}), (["--repair"], {"trunk": 1})):
        done = subprocess.run(
            [*verify, *arguments],
            cwd=workplace.folder,
            env=environment,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 1
        assert missed in done.stderr
        assert workplace.planned_jobs() == planned


def test_a_result_that_a_person_changed_may_be_kept(copy):
    workplace = copy()
    clips = workplace.folder / "results/yard/clips.parquet"
    (workplace.folder / "results/records/yard/clips.parquet.json").unlink()
    initial = workplace.folder / "results/yard/tiny/seed0/initial.parquet"
    initial.write_bytes(initial.read_bytes() + b"mine")
    name = str(initial.relative_to(workplace.folder))
    # Short options may be written together.
    done = workplace.run("-tf", "--", name)
    assert done.returncode == 0, done.stdout
    assert f"now recorded as they are: {clips.relative_to(workplace.folder)}" in done.stdout
    assert initial.read_bytes().endswith(b"mine")
    planned = workplace.planned_jobs()
    assert planned["pseudo_labels"] > 0
    assert planned["initial"] == 0


def test_damage_to_what_a_study_no_longer_has_stops_nothing(copy):
    workplace = copy()
    for name in ("yard/frames/64/calm2.npy", "yard/features/mobilenet_v2-pool-64.parquet"):
        (workplace.folder / "results" / name).write_bytes(b"nonsense")
    workplace.configure(variants={"tiny": {}}, backbones=None, anomaly_rates=None, ablations={})
    scene = yaml.safe_load((workplace.folder / "scenes" / "yard.yaml").read_text())
    scene["clips"][0]["images"] = "calm1"
    (workplace.folder / "scenes" / "yard.yaml").write_text(yaml.safe_dump(scene))
    # A target that is no file: nothing is left out because it is not asked for.
    done = workplace.run("--dry-run", "--", "tables")
    assert done.returncode == 0, done.stdout
    assert done.stdout.count("not what was made") == 2
    assert "made again" not in done.stdout


def test_a_repair_that_is_cut_off_costs_nothing_more(copy):
    workplace = copy()
    trunk = workplace.folder / "results/yard/trunk/resnet18-64.npy"
    content = bytearray(trunk.read_bytes())
    content[-1] ^= 1
    trunk.write_bytes(content)
    kill_when(workplace, lambda: any(trunk.parent.glob(".resnet18-64.*")))
    assert workplace.planned_jobs() == {"trunk": 1}
    # The other way to have it made leads to the same end.
    done = workplace.run("--forcerun", "trunk", "--", str(trunk.relative_to(workplace.folder)))
    assert done.returncode == 0, done.stdout
    assert workplace.planned_jobs() == {}


def test_a_copy_that_lost_all_times_reruns_nothing(finished, tmp_path):
    whole, bare = tmp_path / "whole", tmp_path / "bare"
    shutil.copytree(finished.folder, whole, copy_function=shutil.copy)
    assert Workplace(whole).planned() == set()
    # Another machine gets the results, and not what Snakemake knows of them.
    hidden = shutil.ignore_patterns(".snakemake")
    shutil.copytree(finished.folder, bare, copy_function=shutil.copy, ignore=hidden)
    assert Workplace(bare).planned() == set()


def test_a_clock_that_was_set_back_hides_no_change(copy):
    workplace = copy()
    for path in (workplace.folder / "results").rglob("*"):
        later = path.stat().st_mtime_ns + DAY
        os.utime(path, ns=(later, later))
    for path in (workplace.folder / "results/records").rglob("*.json"):
        record = json.loads(path.read_text())
        path.write_text(json.dumps({**record, "mtime_ns": record["mtime_ns"] + DAY}))
    done = workplace.run()
    assert "results have times that are still to come" in done.stdout
    assert "Nothing to be done" in done.stdout
    assert "still to come" not in workplace.run("--dry-run").stdout


def test_a_clock_that_is_set_back_between_two_stages(lean):
    """What was made while the clock was ahead is no reason to fail, nor to hide later changes."""
    features = "results/yard/features/resnet18-pool-64.parquet"
    assert lean.run(features).returncode == 0
    for name in (features, features.replace("parquet", "npy").replace("pool", "bins")):
        path = lean.folder / name
        later = time.time_ns() + DAY
        os.utime(path, ns=(later, later))
    done = lean.run("results/yard/tiny/seed0/initial.parquet")
    assert done.returncode == 0, done.stdout
    assert lean.planned("results/yard/tiny/seed0/initial.parquet") == set()


@pytest.fixture
def small_disk(lean):
    """The results of a workplace on a disk of their own, which is soon full."""
    results = lean.folder / "results"
    results.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=70m", "tmpfs", str(results)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("no right to mount a small disk on this machine")
    yield lean
    subprocess.run(["umount", "--lazy", str(results)], check=True)


def remount(workplace, options):
    results = str(workplace.folder / "results")
    subprocess.run(["mount", "-o", f"remount,{options}", results], check=True)


def test_a_full_disk_is_named_and_the_same_command_goes_on(small_disk, undisturbed):
    done = small_disk.run(ANSWER)
    one_line(done, "failed: training of yard/tiny/seed0, t = 1", "No space left", "make room")
    remount(small_disk, "size=1g")
    done = small_disk.run(ANSWER)
    assert done.returncode == 0, done.stdout
    expected, found = undisturbed.content(), small_disk.content()
    assert ANSWER.removeprefix("results/") in found
    assert [name for name in found if found[name] != expected[name]] == []
    assert leftovers(small_disk) == []


def test_results_that_cannot_be_written_cost_nothing(small_disk):
    (small_disk.folder / "results" / "kept.txt").write_text("mine")
    remount(small_disk, "ro")
    one_line(small_disk.run(), "results: cannot be written", "run elsewhere")
    remount(small_disk, "rw")
    assert [path.name for path in (small_disk.folder / "results").iterdir()] == ["kept.txt"]


def test_a_disk_without_room_stops_before_anything_is_made(small_disk):
    filler = small_disk.folder / "results" / "filler"
    filler.write_bytes(bytes(20 << 20))
    one_line(small_disk.run(), "the disk is full", "make room")
    assert [path.name for path in filler.parent.iterdir()] == ["filler"]


def test_a_job_that_was_killed_is_named_with_its_log(begun):
    begun.configure(method={**CONFIG["method"], "epochs": 30, "iterations": 1})
    process = begun.start(stderr=subprocess.PIPE)
    log = begun.folder / "results/logs/yard/tiny/seed0/iteration1/train.log"
    while not log.exists():
        assert process.poll() is None
        time.sleep(0.01)
    jobs = psutil.Process(process.pid).children(recursive=True)
    max(jobs, key=lambda child: child.memory_info().rss).kill()
    said = process.communicate()[1]
    assert process.returncode != 0
    lines = [line for line in said.splitlines() if line.startswith("sdor: failed: ")]
    assert "train: ended without a word: killed, or out of memory or time" in lines[-1]
    assert "results/logs/yard/tiny/seed0/iteration1/train.log" in lines[-1]
