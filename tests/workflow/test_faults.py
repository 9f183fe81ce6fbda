import os
import signal
import subprocess
import time

import numpy as np
import pytest
import yaml
from workplace import CONFIG

from sdor.video import ffmpeg_binary


def kill_when(workplace, condition):
    """Start a run and SIGKILL all of its processes as soon as the condition holds."""
    process = workplace.start()
    try:
        while not condition():
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


def test_killed_in_the_middle_of_a_training(fresh):
    fresh.configure(method={**CONFIG["method"], "epochs": 30, "iterations": 1})
    checkpoint = fresh.folder / "results/yard/tiny/seed0/iteration1/checkpoint.pt"
    kill_when(fresh, checkpoint.exists)
    assert not (checkpoint.parent / "scores.parquet").exists()
    done = fresh.run()
    assert done.returncode == 0, done.stdout
    log = fresh.folder / "results/logs/yard/tiny/seed0/iteration1/train.log"
    assert "resumed after epoch" in log.read_text()
    resumed = fresh.content()
    assert not [path for path in (fresh.folder / "results").rglob(".*") if path.is_file()]
    assert fresh.run("--forcerun", "train").returncode == 0
    assert "resumed" not in log.read_text()
    undisturbed = fresh.content()
    assert [name for name in resumed if resumed[name] != undisturbed[name]] == []


def test_killed_in_the_middle_of_a_frame_extraction(fresh, write_video):
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 255, (1500, 48, 64, 1), dtype=np.uint8)
    write_video(fresh.folder / "data" / "yard" / "long.avi", frames)
    scene = {"root": "yard", "clips": [{"video": "long.avi"}]}
    (fresh.folder / "scenes" / "yard.yaml").write_text(yaml.safe_dump(scene))
    target = fresh.folder / "results/yard/frames/64/long.npy"

    def half_written():
        return any(file.stat().st_size > 0 for file in target.parent.glob(".long.*"))

    kill_when(fresh, half_written)
    assert not target.exists()
    done = fresh.run(str(target.relative_to(fresh.folder)))
    assert done.returncode == 0, done.stdout
    first = target.read_bytes()
    target.unlink()
    assert fresh.run(str(target.relative_to(fresh.folder))).returncode == 0
    assert target.read_bytes() == first
    assert len(np.load(target)) == 1500


def test_a_second_run_in_the_same_folder_says_so_and_leaves(fresh):
    process = fresh.start()
    try:
        lock = fresh.folder / ".snakemake" / "sdor.lock"
        while not (lock.exists() and lock.read_text()):
            assert process.poll() is None
            time.sleep(0.01)
        done = fresh.run()
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
def test_a_wrong_config_is_one_line(fresh, changes, parts):
    fresh.configure(**changes)
    done = fresh.run()
    one_line(done, *parts)
    assert not (fresh.folder / "results").exists()


def test_a_missing_clip_is_named(fresh):
    scene = {"root": "yard", "clips": [{"images": "calm1"}, {"video": "gone.avi"}]}
    (fresh.folder / "scenes" / "yard.yaml").write_text(yaml.safe_dump(scene))
    one_line(fresh.run(), "clip gone: no file data/yard/gone.avi")


def test_labels_beyond_a_clip_stop_before_anything_is_trained(fresh):
    scene = yaml.safe_load((fresh.folder / "scenes" / "yard.yaml").read_text())
    scene["clips"][1]["ground_truth"] = {"ranges": [[11, 21]]}
    (fresh.folder / "scenes" / "yard.yaml").write_text(yaml.safe_dump(scene))
    done = fresh.run()
    one_line(done, "label audit of yard", "clip event", "1 to 20", "11 to 21")
    assert not list((fresh.folder / "results").rglob("*.safetensors"))[1:]
    assert not (fresh.folder / "results/yard/tiny").exists()


def test_a_truncated_video_is_named_with_both_counts(fresh):
    video = fresh.folder / "data" / "yard" / "cut.avi"
    source = ["-f", "lavfi", "-i", "testsrc=size=64x48:rate=25:duration=4"]
    command = [ffmpeg_binary(), "-loglevel", "error", *source, "-c:v", "mpeg4", str(video)]
    subprocess.run(command, check=True)
    content = video.read_bytes()
    video.write_bytes(content[: len(content) // 2])
    scene = {"root": "yard", "clips": [{"video": "cut.avi"}]}
    (fresh.folder / "scenes" / "yard.yaml").write_text(yaml.safe_dump(scene))
    done = fresh.run()
    one_line(done, "frames of yard/cut", "clip cut")
    assert not (fresh.folder / "results/yard/frames/64/cut.npy").exists()


def test_too_few_frames_for_the_pseudo_labels(fresh):
    scene = {"root": "yard", "clips": [{"images": "calm1"}]}
    (fresh.folder / "scenes" / "yard.yaml").write_text(yaml.safe_dump(scene))
    fresh.configure(method={**CONFIG["method"], "anomalous_fraction": 0.02})
    one_line(fresh.run(), "pseudo labels of yard/tiny/seed0", "20 frames give 0", "at least 50")


def test_a_parquet_cut_by_a_full_disk_is_named(copy):
    workplace = copy()
    initial = workplace.folder / "results/yard/tiny/seed0/initial.parquet"
    content = initial.read_bytes()
    initial.write_bytes(content[: len(content) // 2])
    one_line(workplace.run(), "initial.parquet: damaged", "delete it")


def test_weights_of_another_architecture_are_refused(copy):
    workplace = copy()
    own = workplace.folder / "results/weights/resnet18.safetensors"
    own.rename(workplace.folder / "mine.safetensors")
    workplace.configure(
        weights={"vgg16": "mine.safetensors"}, method={**CONFIG["method"], "backbone": "vgg16"}
    )
    one_line(workplace.run(), "weights of vgg16", "mine.safetensors holds weights of resnet18")
