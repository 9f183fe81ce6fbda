"""The timeline: the right frames are shaded, and it stays on a page however long the video is."""

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from matplotlib.image import imread
from synthetic_runs import write_runs

from sdor.files import write_parquet
from sdor.reporting.figures import style, timeline


def title_of(figure):
    return figure.legends[0].get_title().get_text()


def spans(axes, colour):
    """Begin and end of every bar of a colour."""
    edges = [one.get_data().edges for one in axes.patches if to_hex(one.get_facecolor()) == colour]
    return [pair for each in edges for pair in each.reshape(-1, 2).tolist()]


def test_anomalous_frames_and_pseudo_labels_are_marked(tmp_path):
    runs = write_runs(tmp_path)
    figure = timeline.draw(runs, 2)
    shown = {axes.get_title(loc="left"): axes for axes in figure.axes}
    assert list(shown) == ["clip_1", "clip_2", "clip_0 (training)"]
    # Frames 35 to 50 of clip_1 at 10 frames per second, half a frame to either side.
    assert spans(shown["clip_1"], timeline.BAND) == [pytest.approx([3.35, 4.95])]
    assert not spans(shown["clip_0 (training)"], timeline.BAND)
    labels = pd.read_parquet(runs.folders[0] / "iteration2" / "pseudo_labels.parquet")
    for colour, label in ((style.ORANGE, 1), (style.GREEN, 0)):
        wanted = labels[(labels["clip"] == "clip_1") & (labels["label"] == label)]
        begins = [begin for begin, _ in spans(shown["clip_1"], colour)]
        assert begins == pytest.approx((wanted["frame"] - 1.5) / 10)
    assert len({axes.get_ylim() for axes in shown.values()}) == 1
    final, initial = (shown["clip_1"].lines[number].get_ydata() for number in (1, 0))
    table = pd.read_parquet(runs.folders[0] / "ensemble.parquet")
    assert final == pytest.approx(table.loc[table["clip"] == "clip_1", "score"])
    assert not np.allclose(final, initial)


def test_labels_of_places_mark_each_frame_once(tmp_path):
    runs = write_runs(tmp_path)
    path = runs.folders[0] / "iteration2" / "pseudo_labels.parquet"
    table = pd.DataFrame({"clip": "clip_1", "frame": [11, 11, 11, 16], "label": [0, 1, 1, 0]})
    write_parquet(path, table.assign(place=[0, 3, 4, 7], weight=0.5), {})
    axes = next(it for it in timeline.draw(runs, 2).axes if it.get_title(loc="left") == "clip_1")
    assert spans(axes, style.ORANGE) == [pytest.approx([0.95, 1.05])]
    assert spans(axes, style.GREEN) == [pytest.approx([1.45, 1.55])]


@pytest.mark.parametrize(
    ("train", "test", "shown_test", "left_out"),
    [
        (34, 36, 36, "26"),
        (0, 1400, 60, "1,340"),
        (1400, 0, 0, "1,340"),
        (700, 700, 52, "1,340"),
    ],
)
def test_many_clips_are_an_even_choice_on_one_page(tmp_path, train, test, shown_test, left_out):
    splits = ("train",) * train + ("test",) * test
    runs = write_runs(tmp_path, (3,) * len(splits), splits, truth=False)
    figure = timeline.draw(runs, 2)
    assert title_of(figure) == f"ped2, variant paper, seed 0 (clips left out: {left_out})"
    titles = [axes.get_title(loc="left") for axes in figure.axes if axes.lines]
    assert len(titles) == (60 if len(splits) > 100 else 44)
    numbers = [int(title.removesuffix(" (training)").removeprefix("clip_")) for title in titles]
    shown_train = len(numbers) - shown_test
    assert [splits[number] for number in numbers] == ["test"] * shown_test + ["train"] * shown_train
    for part, size in ((numbers[:shown_test], test), (numbers[shown_test:], train)):
        assert not part or part[-1] - part[0] + 1 == size
        assert len(part) < 2 or np.ptp(np.diff(part)) <= 1
    style.save(figure, [tmp_path / "timeline.png"])
    assert max(imread(tmp_path / "timeline.png").shape) < 4000


def test_a_long_clip_takes_the_width_of_the_page_and_keeps_its_peaks_in_few_points(tmp_path):
    runs = write_runs(tmp_path, (60_000, 20), ("", ""))
    path = runs.folders[0] / "ensemble.parquet"
    table = pd.read_parquet(path)
    table.loc[41_234, "score"] = 50.0
    write_parquet(path, table, {})
    figure = timeline.draw(runs, 2)
    first, second = figure.axes
    assert figure.get_supxlabel() == "Minutes"
    # As it is written to a file.
    with mpl.rc_context(style.STYLE):
        figure.draw_without_rendering()
        drawn = first.lines[1].get_path().transformed(first.transData).cleaned(simplify=True)
    assert len(drawn.vertices) < 10_000
    peak = first.transData.inverted().transform(drawn.vertices)[:, 1].max()
    assert peak == pytest.approx(50.0, abs=0.1)
    assert first.get_position().x0 == second.get_position().x0


def test_frames_whose_times_nothing_tells_are_counted(tmp_path):
    runs = write_runs(tmp_path)
    runs.times.loc[3, "time"] = np.nan
    figure = timeline.draw(runs, 2)
    assert figure.get_supxlabel() == "Frame"
    # Frames 35 to 50 of clip_1.
    assert spans(figure.axes[0], timeline.BAND) == [pytest.approx([34.5, 50.5])]


def test_frames_of_any_rate_are_where_their_times_are(tmp_path):
    runs = write_runs(tmp_path)
    here = runs.times["clip"] == "clip_1"
    runs.times.loc[here & (runs.times["frame"] > 40), "time"] += 20
    figure = timeline.draw(runs, 2)
    assert figure.axes[0].lines[1].get_xdata()[-1] == pytest.approx(24.9)
    begin, end = spans(figure.axes[0], timeline.BAND)[0]
    assert begin == pytest.approx(3.35)
    assert end > 24.9
