"""Data that is replaced in place, by files of the same name, size and time."""

import os
import subprocess

import numpy as np
import pytest
import yaml
from workplace import write_images

from sdor.video.ffmpeg import ffmpeg_binary

ASKED = "results/yard/ground_truth.parquet"
LENGTH = 6


@pytest.fixture
def audited(lean):
    """A scene of a video, a folder of images and masks for both, whose labels were audited."""
    yard = lean.folder / "data" / "yard"
    source = ["-f", "lavfi", "-i", f"testsrc=size=64x48:rate=5:duration={LENGTH / 5}"]
    command = [ffmpeg_binary(), "-loglevel", "error", *source, "-c:v", "rawvideo"]
    subprocess.run([*command, "-pix_fmt", "gray", str(yard / "gate.avi")], check=True)
    masks = np.zeros((LENGTH, 48, 64), np.uint8)
    masks[2, 10:20, 10:20] = 255
    write_images(yard / "few", 100 + masks // 4)
    for name in ("gate_gt", "few_gt"):
        write_images(yard / name, masks)
    truth = {"pixel_masks": "{clip}_gt"}
    clips = [{"video": "gate.avi"}, {"images": "few"}]
    scene = {"root": "yard", "clips": [{**clip, "ground_truth": truth} for clip in clips]}
    (lean.folder / "scenes" / "yard.yaml").write_text(yaml.safe_dump(scene))
    done = lean.run(ASKED)
    assert done.returncode == 0, done.stdout
    return lean


def test_the_jobs_that_read_it_run_again(audited):
    yard = audited.folder / "data" / "yard"
    frames = {"frames": 1, "clips": 1, "audit": 1}
    for name, jobs in {"few_gt/004.png": {"audit": 1}, "gate.avi": frames}.items():
        file = yard / name
        before, original = file.stat(), file.read_bytes()
        content = bytearray(original)
        content[len(content) // 2] ^= 64
        file.write_bytes(content)
        os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
        assert audited.planned_jobs(ASKED) == jobs
        file.write_bytes(original)
