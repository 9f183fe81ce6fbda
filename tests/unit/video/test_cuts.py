import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

from sdor.errors import SdorError
from sdor.study.scenes import Clip, Joined, Rectangle, Scene, load_scene
from sdor.video.cuts import find_sequences, locate, sequence_ranges
from sdor.video.ffmpeg import ffmpeg_binary

SCENES = Path(__file__).parents[3] / "config" / "scenes"
HEIGHT, WIDTH = 96, 128


def sequence(seed: int, count: int, light: int = 0) -> np.ndarray:
    """The same empty square each time, with twelve people of this seed who walk over it."""
    rng = np.random.default_rng(seed)
    background = 100 + 40 * (np.indices((HEIGHT, WIDTH)).sum(axis=0) // 16 % 2)
    frames = np.repeat(background[None], count, axis=0) + light
    places = rng.uniform((0, 0), (HEIGHT - 16, WIDTH - 8), (12, 2))
    steps = rng.uniform(-0.5, 0.5, (12, 2))
    for number in range(count):
        for y, x in np.clip(places + number * steps, 0, (HEIGHT - 16, WIDTH - 8)).astype(int):
            frames[number, y : y + 16, x : x + 8] = 20
    frames = frames + rng.normal(0, 3, frames.shape)
    return frames.clip(0, 255).astype(np.uint8)[..., None]


def find_cuts(frames: np.ndarray) -> list[int]:
    """First frame of each sequence."""
    return [first for first, _ in find_sequences(frames)]


def test_one_camera_with_other_people_is_a_cut():
    frames = np.concatenate([sequence(1, 40), sequence(2, 30), sequence(3, 50)])
    assert find_cuts(frames) == [1, 41, 71]


def test_colour_video_is_cut_at_the_same_frames():
    frames = np.concatenate([sequence(1, 40), sequence(2, 30)])
    assert find_cuts(np.repeat(frames, 3, axis=3)) == [1, 41]


@pytest.mark.parametrize(("share", "cut"), [(0.4, 42), (0.6, 41)])
def test_a_blended_frame_between_two_sequences_is_one_cut(share, cut):
    before, after = sequence(1, 40), sequence(2, 40)
    blended = ((1 - share) * before[-1:] + share * after[:1]).astype(np.uint8)
    assert find_cuts(np.concatenate([before, blended, after])) == [1, cut]


def test_a_jump_of_brightness_is_no_cut():
    darker, brighter = sequence(1, 60), sequence(1, 60, light=30)
    assert find_cuts(np.concatenate([darker[:30], brighter[30:]])) == [1]


def test_a_caption_that_comes_and_goes_is_no_cut():
    frames = sequence(1, 60)
    frames[20:40, 4:12, 4:68] = 255
    assert find_cuts(frames) == [1]


def test_fast_motion_of_many_is_no_cut():
    frames = sequence(1, 60)
    rng = np.random.default_rng(5)
    for number in range(20, 40):
        frames[number] = np.roll(frames[number], rng.integers(-12, 12, 2), axis=(0, 1))
    assert find_cuts(frames) == [1]


@pytest.mark.parametrize("count", [0, 1, 2, 5])
def test_few_frames_have_no_cut(count):
    assert find_cuts(sequence(1, 9)[:count]) == ([1] if count else [])


def test_ranges_of_the_sequences_of_a_video(tmp_path, write_video):
    frames = np.concatenate([sequence(1, 40), sequence(2, 30), sequence(3, 50)])
    path = write_video(tmp_path / "all.avi", frames)
    assert sequence_ranges(Joined(path, 3)) == [(1, 40), (41, 70), (71, 120)]
    with pytest.raises(
        SdorError, match=r"all\.avi: expected 11 sequences, found 3, beginning at frames 1, 41, 71"
    ):
        sequence_ranges(Joined(path, 11))


def test_a_joined_video_that_is_cut_off_is_refused(tmp_path, write_video):
    frames = np.concatenate([sequence(1, 40), sequence(2, 40)])
    path = write_video(tmp_path / "all.avi", frames, "-c:v", "mjpeg")
    content = path.read_bytes()
    start = content.index(b"movi")
    for _ in range(71):
        start = content.index(b"00dc", start + 1)
    path.write_bytes(content[:start])
    with pytest.raises(SdorError, match=r"all\.avi: ends at 2\.80 s of the 3\.20 s"):
        sequence_ranges(Joined(path, 2))


def test_what_the_masks_hide_makes_no_cut(tmp_path, write_video):
    frames = sequence(1, 60)
    frames[30:, :48] = 255
    path = write_video(tmp_path / "all.avi", frames)
    assert sequence_ranges(Joined(path, 1), [Rectangle(0, 0, 128, 48)]) == [(1, 60)]
    with pytest.raises(SdorError, match="found 2"):
        sequence_ranges(Joined(path, 1))


def test_located_clips_are_ranges_of_the_joined_video(tmp_path):
    path = tmp_path / "all.avi"
    clips = tuple(
        Clip(name=f"seq{number}", kind="video", path=path, source="all.avi", sequence=number)
        for number in (2, 3)
    )
    scene = Scene(name="umn", root=tmp_path, clips=clips, joined=Joined(path, 3))
    located = locate(scene, [(1, 40), (41, 70), (71, 120)])
    assert located.joined is None
    assert [(clip.name, clip.first, clip.last, clip.sequence) for clip in located.clips] == [
        ("seq2", 41, 70, None),
        ("seq3", 71, 120, None),
    ]
    assert locate(located, []) is located


@pytest.mark.data
@pytest.mark.skipif(os.cpu_count() == 1, reason="decodes 7,714 frames")
def test_the_eleven_umn_sequences_are_found_again(data_root, tmp_path):
    files = sorted((data_root / "umn").glob("seq*.avi"))
    (tmp_path / "list.txt").write_text("".join(f"file {file.resolve()}\n" for file in files))
    (tmp_path / "umn").mkdir()
    official = tmp_path / "umn" / "Crowd-Activity-All.avi"
    command = [ffmpeg_binary(), "-loglevel", "error", "-f", "concat", "-safe", "0"]
    command += ["-i", str(tmp_path / "list.txt"), "-c:v", "mpeg4", "-q:v", "5", str(official)]
    subprocess.run(command, check=True)
    scene = load_scene(SCENES / "umn2.yaml", tmp_path)
    assert scene.joined is not None
    firsts = [first for first, _ in sequence_ranges(scene.joined, scene.masks)]
    # Seen by eye: the files end up to 5 frames before or 2 behind the cut of the recording.
    assert firsts == [1, 624, 1449, 1997, 2679, 3445, 4022, 4916, 5578, 6234, 6909]
