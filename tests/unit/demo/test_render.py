"""The demo scene: reproducible, labelled by what is seen, not solved by one pixel statistic."""

from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from PIL import Image
from sklearn.metrics import roc_auc_score

from sdor.demo import render as demo
from sdor.demo.render import CLIPS, DemoSettings, render_clip
from sdor.errors import SdorError

SMALL = DemoSettings(width=72, height=48)
TINY = DemoSettings(width=72, height=48, frames=12)


def render(clip: str, settings: DemoSettings, folder: Path) -> None:
    render_clip(
        clip, settings, folder / f"{clip}.avi", folder / f"{clip}.csv", folder / f"{clip}_masks"
    )


def decoded(video: Path) -> npt.NDArray[np.uint8]:
    with av.open(str(video)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def masks(folder: Path) -> npt.NDArray[np.uint8]:
    return np.stack([np.asarray(Image.open(path)) for path in sorted(folder.iterdir())])


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All ten clips at the default length, in small pictures."""
    folder = tmp_path_factory.mktemp("plaza")
    for clip in CLIPS:
        render(clip, SMALL, folder)
    return folder


@pytest.fixture(scope="module")
def truth(scene: Path) -> pd.DataFrame:
    tables = [pd.read_csv(scene / f"{clip}.csv").assign(clip=clip) for clip in CLIPS]
    return pd.concat(tables, ignore_index=True)


def test_frames_and_size_decode_as_asked(scene: Path) -> None:
    for clip in CLIPS:
        assert decoded(scene / f"{clip}.avi").shape == (130, 48, 72, 3)
        assert sorted(path.name for path in (scene / f"{clip}_masks").iterdir()) == [
            f"{number:04d}.png" for number in range(1, 131)
        ]


def test_labels_are_those_of_the_masks(scene: Path) -> None:
    least = int(40 * SMALL.width * SMALL.height / (240 * 160))
    for clip in CLIPS:
        table = pd.read_csv(scene / f"{clip}.csv", keep_default_na=False)
        seen = masks(scene / f"{clip}_masks")
        assert seen.dtype == np.uint8
        assert set(np.unique(seen)) <= {0, 255}
        pixels = (seen > 0).sum(axis=(1, 2))
        np.testing.assert_array_equal(table.anomalous, (pixels > 0).astype(int))
        assert pixels[pixels > 0].min(initial=least) >= least
        assert list(table.frame) == list(range(1, 131))
        assert ((table.kind != "") == (table.anomalous == 1)).all()


def test_training_clips_are_normal_and_test_clips_hold_both_classes(truth: pd.DataFrame) -> None:
    share = truth.groupby("clip").anomalous.mean()
    assert (share[list(CLIPS[:4])] == 0).all()
    assert ((share[list(CLIPS[4:])] > 0.1) & (share[list(CLIPS[4:])] < 0.6)).all()


def test_anomalies_are_rare_and_of_all_kinds(truth: pd.DataFrame) -> None:
    assert 0.10 <= truth.anomalous.mean() <= 0.15
    assert set(truth.kind.dropna()) == {"cart", "cyclist", "runner", "crosser"}


def test_the_mask_lies_on_the_moving_object(scene: Path) -> None:
    frames = decoded(scene / "clip05.avi").astype(float).mean(axis=3)
    seen = masks(scene / "clip05_masks") > 0
    background = np.median(frames, axis=0)
    inside, outside = [], []
    for frame, mask in zip(frames, seen, strict=True):
        if mask.any():
            change = np.abs(frame - background)
            inside.append(change[mask].mean())
            outside.append(change[~mask].mean())
    assert np.mean(inside) > 3 * np.mean(outside)


def test_people_come_and_go_in_every_clip() -> None:
    settings = DemoSettings()
    camera = demo.Camera(settings.width, settings.height)
    for number, clip in enumerate(CLIPS, start=1):
        cast = demo._cast(clip, settings, camera, np.random.default_rng((settings.seed, number)))
        counts = [
            sum(actor.seen(time, camera) for actor in cast if actor.kind == "walker")
            for time in np.arange(130) / 15
        ]
        assert max(counts) >= min(counts) + 3


def test_no_pixel_statistic_solves_it(scene: Path, truth: pd.DataFrame) -> None:
    statistics = []
    for clip in CLIPS:
        grey = decoded(scene / f"{clip}.avi").mean(axis=3)
        change = np.abs(np.diff(grey, axis=0)).mean(axis=(1, 2))
        statistics.append(
            np.column_stack(
                [grey.mean(axis=(1, 2)), grey.std(axis=(1, 2)), np.concatenate([[0.0], change])]
            )
        )
    for statistic in np.concatenate(statistics).T:
        assert 0.15 < roc_auc_score(truth.anomalous, statistic) < 0.85


def test_one_seed_gives_the_same_bytes_and_another_does_not(tmp_path: Path) -> None:
    for name, seed in (("first", 3), ("again", 3), ("other", 4)):
        render("clip10", replace(TINY, seed=seed), tmp_path / name)

    def content(name: str) -> list[bytes]:
        files = sorted(path for path in (tmp_path / name).rglob("*") if path.is_file())
        return [path.read_bytes() for path in files]

    assert content("first") == content("again")
    video = "clip10.avi"
    assert (tmp_path / "first" / video).read_bytes() != (tmp_path / "other" / video).read_bytes()


def test_clips_differ_but_show_one_square(tmp_path: Path) -> None:
    for clip in ("clip01", "clip02"):
        render(clip, TINY, tmp_path)
    first, second = (decoded(tmp_path / f"{clip}.avi").astype(float) for clip in CLIPS[:2])
    assert not np.array_equal(first, second)
    still = [np.median(frames, axis=0).mean(axis=2).ravel() for frames in (first, second)]
    assert np.corrcoef(*still)[0, 1] > 0.8


def test_a_second_rendering_replaces_the_first(tmp_path: Path) -> None:
    render("clip01", TINY, tmp_path)
    render("clip01", replace(TINY, frames=5), tmp_path)
    assert len(list((tmp_path / "clip01_masks").iterdir())) == 5
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "clip01.avi",
        "clip01.csv",
        "clip01_masks",
    ]


def test_a_failing_ffmpeg_is_one_line_with_the_clip_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "ffmpeg"
    broken.write_text("#!/bin/sh\necho noise >&2\necho 'no room for the moov' >&2\nexit 3\n")
    broken.chmod(0o755)
    monkeypatch.setattr(demo, "ffmpeg_binary", lambda: str(broken))
    with pytest.raises(SdorError) as failure:
        render("clip05", TINY, tmp_path / "out")
    message = str(failure.value)
    assert message.startswith("clip05: ffmpeg")
    assert "no room for the moov" in message
    assert "\n" not in message
    assert list((tmp_path / "out").iterdir()) == []
