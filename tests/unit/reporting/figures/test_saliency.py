"""Figure 4: frames chosen by rule, maps on one scale, the outline where the mask is."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from synthetic_runs import words, write_maps, write_runs

from sdor.errors import SdorError
from sdor.reporting.figures.saliency import (
    Cell,
    Pictured,
    choose_frames,
    draw,
    lay_out,
    overlaid,
    rows_of,
)
from sdor.reporting.runs import Runs
from sdor.study.scenes import Clip, GroundTruth, Scene

BLANK = np.zeros((10, 10), np.uint8)


@pytest.fixture
def pictured(tmp_path):
    runs = write_runs(tmp_path)
    masks = write_maps(runs, ("paper", "vgg16"))
    columns = {"ResNet-50": runs, "VGG-16": Runs("ped2", "vgg16", (0,), tmp_path)}
    return Pictured(columns, "12", {"clip_1": masks}, 1.5)


def test_frames_are_chosen_by_rule():
    clips = pd.DataFrame({"clip": ["x", "y", "z"], "fps": 10.0, "frames": [8, 6, 4]})
    frames = pd.DataFrame(
        {
            "clip": [*"xxxxxxxx", *"yyyyyy", *"zzzz"],
            "frame": [*range(1, 9), *range(1, 7), *range(1, 5)],
            #        events: 2-3, 6-8 of x, 1 of y (not one with the end of x), 4-6 of y
            "score": [0, 5, 4, 3, 0, 1, 2, 1, 9, 6, 0, 7, 7, 2, 8, 8, 9, 9.5],
        }
    )
    anomalous = [0, 1, 1, 0, 0, 1, 1, 1, 1, 0, 0, 1, 1, 1]
    truth = frames[["clip", "frame"]][:14].assign(anomalous=anomalous)
    chosen = choose_frames(clips, truth, frames, 3)
    assert [tuple(row) for row in chosen.itertuples(index=False)] == [
        ("y", 1, "true event"),
        ("y", 4, "true event"),
        ("x", 2, "true event"),
        # Frames of z score higher, but nobody knows that they are normal.
        ("y", 2, "false alarm, 1 frame from a true event"),
    ]
    everything = choose_frames(clips, truth, frames, 10)
    assert len(everything) == 5
    assert everything.loc[3, ["clip", "frame"]].tolist() == ["x", 7]
    for labels, why in (([], "top moment, no ground truth"), ([0] * 14, "false alarm")):
        known = truth[: len(labels)].assign(anomalous=labels)
        moments = choose_frames(clips, known, frames[:14], 1)
        assert moments.to_numpy().tolist() == [["y", 1, why]]


def test_rows_say_what_they_show_on_one_scale(pictured):
    said = words(draw([pictured], count=1))
    runs = pictured.runs["ResNet-50"]
    ranking = pd.read_parquet(runs.folders[0] / "ensemble.parquet")
    event = ranking[runs.ground_truth["anomalous"] > 0].nlargest(1, "score").iloc[0]
    assert f"ped2, {event['clip']}, frame {event['frame']}: true event" in " ".join(said.split())
    assert ": false alarm" in said
    lower = 100 * (ranking["score"] < event["score"]).mean()
    assert f"score {event['score']:.2f}, percentile {int(10 * lower) / 10}" in said
    assert "VGG-16" in said
    row, _ = rows_of(pictured, 1)
    maps = np.load(runs.folders[0] / "saliency.npy")
    low, high = np.percentile(maps, [1, 99.9])
    heat = ((maps[event.name].astype(float) - low) / (high - low)).clip(0, 1)
    frame = np.load(runs.results / f"ped2/frames/12/{event['clip']}.npy")[event["frame"] - 1]
    assert (row["ResNet-50"].image == overlaid(frame, heat)).all()


def test_the_outline_is_that_of_the_mask_and_pictures_keep_their_shape():
    mask = np.zeros((8, 12), bool)
    mask[:4, :6] = True
    row = {"Frame": Cell(BLANK, "frame", 1.5, mask), "ResNet-50": Cell(BLANK, "score 1", 1.5)}
    figure = lay_out([row])
    figure.draw_without_rendering()
    frame, overlay, _ = figure.axes
    size = frame.get_position().size * figure.get_size_inches()
    assert size[0] / size[1] == pytest.approx(1.5)
    (outline,) = frame.collections
    ends = outline.get_paths()[0].get_extents()
    # The upper left quarter, half a pixel of the mask to either side.
    assert (ends.x1, ends.y1) == pytest.approx((0.75, 0.5), abs=0.07)
    assert (ends.x0, ends.y0) == pytest.approx((0, 0), abs=0.07)
    assert not overlay.collections
    assert not lay_out([{"Frame": Cell(BLANK, "frame", 1.5)}]).axes[0].collections


def test_a_map_hides_more_of_the_frame_the_hotter_it_is():
    image = np.tile(np.arange(0, 250, 25, dtype=np.uint8), (10, 1))
    assert (overlaid(image, np.zeros((2, 2))) == image[:, :, None]).all()
    mixed = [overlaid(image, np.full((2, 2), heat)) for heat in (0.0, 0.5, 1.0)]
    contrast = [np.ptp(one.astype(int), axis=1).max() for one in mixed]
    assert contrast[0] > contrast[1] > contrast[2] > 0


def test_many_rows_stand_in_two_blocks_of_pictures_of_one_size():
    row = {title: Cell(BLANK, "score 1, percentile 2", 1.5) for title in ("Frame", *"ABC")}
    for count, blocks in ((8, 1), (14, 2)):
        figure = lay_out([row] * count)
        figure.draw_without_rendering()
        pictures = [axes.get_position() for axes in figure.axes if axes.images]
        assert len(pictures) == 4 * count
        assert len({round(box.x0, 3) for box in pictures}) == 4 * blocks
        assert np.ptp([box.height for box in pictures]) < 0.002
        assert figure.get_figwidth() == pytest.approx(7.2)
        assert figure.get_figheight() < 14


def test_maps_of_other_frames_are_refused(pictured):
    path = pictured.runs["VGG-16"].folders[0] / "saliency.npy"
    np.save(path, np.zeros((79, 3, 3), np.float32))
    with pytest.raises(SdorError, match=r"saliency.npy: expected 150 maps .* delete the file"):
        draw([pictured])


def test_masks_and_shape_are_those_of_the_scene(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        Image.new("L", (30, 20)).save(tmp_path / name / "1.png")
    marked = GroundTruth(None, tmp_path / "masks")
    clips = (
        Clip("a", "images", tmp_path / "a", "a"),
        Clip("b", "images", tmp_path / "b", "b", ground_truth=marked),
    )
    found = Pictured.of(Scene("yard", tmp_path, clips), {}, "64")
    assert (found.pixel_masks, found.aspect) == ({"b": tmp_path / "masks"}, 1.5)
