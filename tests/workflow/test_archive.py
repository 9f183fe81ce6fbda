"""A camera's archive as it comes: what can be read is ranked, and what cannot is named."""

import random

import numpy as np
import pandas as pd
import pytest
import yaml
from workplace import CONFIG


@pytest.mark.nightly
def test_bad_files_stop_a_benchmark_and_no_archive(lean, write_video):
    data, scenes = lean.folder / "data", lean.folder / "scenes"
    for name in ("gate", "still"):
        (data / name).mkdir()
    pictures = np.random.default_rng(0).integers(0, 255, (40, 48, 64, 3), dtype=np.uint8)
    write_video(data / "gate/a.MP4", pictures, "-c:v", "mpeg4", "-q:v", "3", fps=10)
    damaged = write_video(data / "gate/b.avi", pictures[::-1], "-c:v", "mjpeg", fps=10)
    content = bytearray(damaged.read_bytes())
    place = content.index(b"00dc", len(content) // 2) + 8
    content[place : place + 2000] = random.Random(0).randbytes(2000)
    damaged.write_bytes(content)
    (data / "gate/empty.mp4").touch()
    (data / "gate/text.avi").write_text("no video")
    write_video(data / "still/a.mkv", np.repeat(pictures[:1], 60, axis=0))
    clips = [{"video": "*.mp4"}, {"video": "*.avi", "sample_fps": 2.5}]
    (scenes / "gate.yaml").write_text(yaml.safe_dump({"root": "gate", "clips": clips}))
    still = {"root": "still", "clips": [{"video": "a.mkv"}]}
    (scenes / "still.yaml").write_text(yaml.safe_dump(still))
    config = {**CONFIG, "scenes": ["gate", "still"], "frames": {"store": "jpeg"}}
    config["method"] = {**CONFIG["method"], "iterations": 1, "epochs": 1, "trainable": "head"}
    (lean.folder / "config.yaml").write_text(yaml.safe_dump(config))

    done = lean.run("results/report.html")
    assert done.returncode == 0, done.stdout
    found = pd.read_parquet(lean.folder / "results/gate/clips.parquet")
    assert found["clip"].tolist() == ["a", "b"]
    assert found["frames"].tolist() == [40, 10]
    assert found["last"].tolist() == [40, 40]
    kept = sorted(path.name for path in (lean.folder / "results/gate/frames/64").iterdir())
    assert kept == [f"{n}.{it}" for n in ("a", "b", "empty", "text") for it in ("arrow", "parquet")]
    times = pd.read_parquet(lean.folder / "results/gate/times.parquet")
    np.testing.assert_allclose(times["time"], np.tile(np.arange(40) / 10, 2), atol=1e-6)
    ranked = pd.read_parquet(lean.folder / "results/gate/tiny/seed0/ensemble.parquet")
    for clip, step in (("a", 1), ("b", 4)):
        assert ranked["frame"][ranked["clip"] == clip].tolist() == [*range(1, 41, step)]
    page = (lean.folder / "results/report.html").read_text()
    assert "not read: clip empty:" in page
    assert "not read: clip text:" in page
    assert "clip b: near frame" in page
    assert page.count("Nothing stands out") == 1

    clips[1]["ground_truth"] = "normal"
    (scenes / "gate.yaml").write_text(yaml.safe_dump({"root": "gate", "clips": clips}))
    done = lean.run("results/report.html")
    assert done.returncode != 0
    (fault,) = [line for line in done.stdout.splitlines() if line.startswith("sdor: failed")]
    assert "clips of gate: clip empty:" in fault
    assert "\nrule frames:" not in done.stdout
