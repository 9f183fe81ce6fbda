"""Figure 4: frames chosen by rule, maps on one scale, the outline where the mask is."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from synthetic_runs import words, write_maps, write_runs

from sdor.errors import SdorError
from sdor.reporting.figures.saliency import Cell, choose_frames, draw, lay_out, rows_of
from sdor.reporting.runs import Runs
from sdor.study.scenes import Clip, GroundTruth, Ranges, Scene

BLANK = np.zeros((10, 10), np.uint8)
HEAT = np.eye(3)


@pytest.fixture
def scene(tmp_path):
    """A scene of 30 x 20 pixels with masks of one clip, and the runs of two columns."""
    runs = write_runs(tmp_path)
    masks = write_maps(runs, ("paper", "vgg16"))
    source = tmp_path / "source"
    source.mkdir()
    for number in range(1, 51):
        Image.new("L", (30, 20)).save(source / f"{number}.png")
    truths = {"clip_1": GroundTruth(None, masks), "clip_2": GroundTruth(Ranges(()))}
    clips = [
        Clip(name, "images", source, name, ground_truth=truths.get(name))
        for name in runs.clips["clip"]
    ]
    columns = {"ResNet-50": runs, "VGG-16": Runs("ped2", "vgg16", (0,), tmp_path)}
    return Scene("ped2", tmp_path, tuple(clips)), columns


def test_frames_are_chosen_by_rule():
    frames = pd.DataFrame(
        {
            "clip": [*"xxxxxxxx", *"yyyyyy", *"zzzz"],
            "frame": [*range(1, 9), *range(1, 7), *range(1, 5)],
            #        events: 2-3, 6-8 of x, 1 of y (not one with the end of x), 4-6 of y
            "score": [0, 5, 4, 3, 0, 1, 2, 1, 9, 6, 0, 7, 7, 2, 8, 8, 9, 9.5],
        }
    )
    times = frames[["clip", "frame"]].assign(time=(frames["frame"] - 1) / 10)
    anomalous = [0, 1, 1, 0, 0, 1, 1, 1, 1, 0, 0, 1, 1, 1]
    truth = frames[["clip", "frame"]][:14].assign(anomalous=anomalous)
    chosen = choose_frames(times, truth, frames, 3)
    assert [tuple(row) for row in chosen.itertuples(index=False)] == [
        ("y", 1, "true event"),
        ("y", 4, "true event"),
        ("x", 2, "true event"),
        # Frames of z score higher, but nobody knows that they are normal.
        ("y", 2, "false alarm, 1 frame from a true event"),
    ]
    everything = choose_frames(times, truth, frames, 10)
    assert len(everything) == 5
    assert everything.loc[3, ["clip", "frame"]].tolist() == ["x", 7]
    for labels, why in (([], "top moment, no ground truth"), ([0] * 14, "false alarm")):
        known = truth[: len(labels)].assign(anomalous=labels)
        moments = choose_frames(times, known, frames[:14], 1)
        assert moments.to_numpy().tolist() == [["y", 1, why]]


def test_rows_say_what_they_show_on_one_scale(scene):
    said = words(draw([scene], "12/{clip}.npy", count=1))
    runs = scene[1]["ResNet-50"]
    ranking = pd.read_parquet(runs.folders[0] / "ensemble.parquet")
    event = ranking[runs.ground_truth["anomalous"] > 0].nlargest(1, "score").iloc[0]
    assert f"ped2, {event['clip']}, frame {event['frame']}: true event" in " ".join(said.split())
    assert ": false alarm" in said
    lower = 100 * (ranking["score"] < event["score"]).mean()
    assert f"score {event['score']:.2f}, percentile {int(10 * lower) / 10}" in said
    assert "VGG-16" in said
    row, _ = rows_of(*scene, "12/{clip}.npy", 1)
    maps = np.load(runs.folders[0] / "saliency.npy")
    low, high = np.percentile(maps, [1, 99.9])
    heat = (maps[event.name].astype(float) - low) / (high - low)
    assert row["ResNet-50"].heat == pytest.approx(heat.clip(0, 1))
    stored = np.load(runs.results / "ped2" / "frames" / "12" / f"{event['clip']}.npy")
    assert (row["Frame"].image == stored[event["frame"] - 1]).all()
    assert row["Frame"].aspect == 1.5


def test_the_mask_is_that_of_the_frame(scene):
    outlines = {
        cells["Frame"].text: cells["Frame"].outline
        for cells in rows_of(*scene, "12/{clip}.npy", 100)
    }
    for text, outline in outlines.items():
        assert (outline is not None) == ("clip_1" in text)
        if outline is not None:
            assert outline.any() == text.endswith(": true event")


def test_the_outline_is_that_of_the_mask_and_pictures_keep_their_shape():
    mask = np.zeros((8, 12), bool)
    mask[:4, :6] = True
    frame = Cell(BLANK, "frame", 1.5, outline=mask)
    figure = lay_out([{"Frame": frame, "ResNet-50": Cell(BLANK, "score 1", 1.5, HEAT)}])
    figure.draw_without_rendering()
    shown, over, _ = figure.axes
    size = shown.get_position().size * figure.get_size_inches()
    assert size[0] / size[1] == pytest.approx(1.5)
    (outline,) = shown.collections
    ends = outline.get_paths()[0].get_extents()
    # The upper left quarter, half a pixel of the mask to either side.
    assert (ends.x1, ends.y1) == pytest.approx((0.75, 0.5), abs=0.07)
    assert (ends.x0, ends.y0) == pytest.approx((0, 0), abs=0.07)
    assert [len(axes.images) for axes in (shown, over)] == [1, 2]
    assert over.images[0].get_extent() == over.images[1].get_extent()


def test_a_map_hides_more_of_the_grey_frame_the_hotter_it_is():
    image = np.tile(np.arange(0, 240, 24, dtype=np.uint8)[:, None], (10, 1, 3))
    heats = [np.full((2, 2), heat) for heat in (0.0, 0.5, 1.0)]
    row = {str(heat.max()): Cell(image, "", 1.0, heat) for heat in heats}
    figure = lay_out([{"Frame": Cell(image, "", 1.0), **row}])
    figure.canvas.draw()
    pixels = np.asarray(figure.canvas.buffer_rgba()).astype(int)
    contrast = []
    for axes in figure.axes[:4]:
        box = axes.get_window_extent()
        row = pixels[len(pixels) - int((box.y0 + box.y1) / 2)]
        shown = row[int(box.x0) + 2 : int(box.x1) - 2, :3]
        contrast.append(np.ptp(shown.mean(axis=1)))
    assert contrast[0] == pytest.approx(contrast[1], abs=2)
    assert contrast[1] > contrast[2] > contrast[3] > 0


def test_many_rows_stand_in_two_blocks_of_pictures_of_one_size():
    row = {title: Cell(BLANK, "score 1, percentile 2", 1.5, HEAT) for title in "ABCD"}
    for count, blocks in ((8, 1), (14, 2)):
        figure = lay_out([row] * count)
        figure.draw_without_rendering()
        pictures = [axes.get_position() for axes in figure.axes if axes.images]
        assert len(pictures) == 4 * count
        assert len({round(box.x0, 3) for box in pictures}) == 4 * blocks
        assert np.ptp([box.height for box in pictures]) < 0.002
        assert figure.get_figwidth() == pytest.approx(7.2)
        assert figure.get_figheight() < 14


def test_maps_of_other_frames_are_refused(scene):
    path = scene[1]["VGG-16"].folders[0] / "saliency.npy"
    np.save(path, np.zeros((79, 3, 3), np.float32))
    with pytest.raises(SdorError, match=r"saliency.npy: .*expected 150 rows, .* delete it"):
        draw([scene], "12/{clip}.npy")
