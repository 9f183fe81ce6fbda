"""Figures: files of both formats, the same bytes again, and the right things in them."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread

from sdor.evaluation import metrics
from sdor.evaluation.evaluate import evaluate
from sdor.files import write_json, write_parquet
from sdor.reporting import figures
from sdor.reporting.figures import KINDS, draw_scene_figures
from sdor.study.config import with_defaults

OVERSIZE = 3000  # pixels: no figure of the test scenes needs a side longer than this


def make_run(
    folder,
    *,
    lengths=(60, 50, 40),
    splits=("train", "test", "test"),
    seeds=1,
    truth=True,
    method=None,
):
    """Files of a small scene: anomalies in the last third of every test clip."""
    names = [f"clip_{number}" for number in range(len(lengths))]
    clips = pd.DataFrame({"clip": names, "split": splits, "fps": 10.0, "frames": lengths})
    base = pd.DataFrame(
        {
            "clip": np.repeat(names, lengths),
            "frame": np.concatenate([np.arange(1, length + 1) for length in lengths]),
        }
    )
    labels = np.concatenate(
        [
            (np.arange(length) > 2 * length / 3) & (split != "train")
            for length, split in zip(lengths, splits, strict=True)
        ]
    )
    known = base.assign(anomalous=labels.astype("int8"))[: None if truth else 0]
    write_parquet(folder / "clips.parquet", clips, {})
    write_parquet(folder / "ground_truth.parquet", known, {})
    folders = []
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        run = folder / f"seed{seed}"
        scores = [rng.normal(size=len(base)) + labels for _ in range(3)]
        initial = base.assign(sp=scores[0], iforest=scores[0], score=scores[0])
        singles = [base.assign(score=values) for values in scores[1:]]
        ensemble = base.assign(score=(scores[1] + scores[2]) / 2)
        chosen = base.assign(label=(scores[1] > 0).astype("int8"), weight=1.0).iloc[::2]
        write_parquet(run / "initial.parquet", initial, {})
        write_parquet(run / "ensemble.parquet", ensemble, {})
        for number, single in enumerate(singles, start=1):
            place = run / f"iteration{number}"
            write_parquet(place / "scores.parquet", single, {})
            write_parquet(place / "pseudo_labels.parquet", chosen, {})
            history = pd.DataFrame({"epoch": [1, 2], "loss": [0.5, 0.25], "seconds": [1.0, 1.0]})
            write_parquet(place / "history.parquet", history, {})
        about = {"scene": "ped2", "variant": "paper", "seed": seed}
        about["method"] = with_defaults(method or {}, "method")
        measured, _ = evaluate(
            clips,
            known,
            initial,
            singles,
            ensemble,
            pseudo_labels=[chosen, chosen],
            smoothing_sigma=1.0,
            draws=10,
            seed=0,
            about=about,
        )
        write_json(run / "metrics.json", measured)
        folders.append(run)
    return folders


def draw(folder, folders, name="out", kinds=KINDS, suffixes=(".svg", ".png")):
    outputs = {kind: [folder / name / f"{kind}{suffix}" for suffix in suffixes] for kind in kinds}
    draw_scene_figures(folder / "clips.parquet", folder / "ground_truth.parquet", folders, outputs)
    return outputs


def panels(folder, folders):
    clips = pd.read_parquet(folder / "clips.parquet")
    truth = pd.read_parquet(folder / "ground_truth.parquet")
    scored = pd.read_parquet(folders[0] / "ensemble.parquet")
    run = figures._read_run(folders[0])
    return figures.timeline(clips, truth, scored, run).axes


def timeline_title(shown):
    return shown[0].get_figure().legends[0].get_title().get_text()


def test_every_figure_is_drawn_in_both_formats_and_again_the_same(tmp_path):
    folders = make_run(tmp_path, seeds=2)
    first = draw(tmp_path, folders)
    again = draw(tmp_path, folders, "again", suffixes=(".svg",))
    for kind in KINDS:
        svg, png = first[kind]
        assert svg.read_bytes() == again[kind][0].read_bytes()
        assert b"<dc:date>" not in svg.read_bytes()
        height, width, _ = imread(png).shape
        assert 400 < width < OVERSIZE
        assert 100 < height < OVERSIZE


def test_a_scene_without_ground_truth_gets_a_note_and_a_timeline(tmp_path):
    folders = make_run(tmp_path, truth=False)
    outputs = draw(tmp_path, folders, suffixes=(".png",))
    heights = {kind: imread(paths[0]).shape[0] for kind, paths in outputs.items()}
    assert heights["roc"] == heights["iterations"] < 200 < heights["timeline"]
    shown = panels(tmp_path, folders)
    assert not any(axes.patches for axes in shown)


def test_the_timeline_shades_the_anomalous_frames(tmp_path):
    folders = make_run(tmp_path)
    shown = {axes.get_title(loc="left"): axes for axes in panels(tmp_path, folders) if axes.lines}
    assert list(shown) == ["clip_1", "clip_2", "clip_0 (training)"]
    # Frames 35 to 50 of clip_1 at 10 frames per second, half a frame to either side.
    box = shown["clip_1"].patches[0].get_extents().transformed(shown["clip_1"].transData.inverted())
    assert (box.x0, box.x1) == pytest.approx((3.35, 4.95))
    assert not shown["clip_0 (training)"].patches
    assert len({axes.get_ylim() for axes in shown.values()}) == 1


def test_the_timeline_holds_seventy_clips_on_one_page(tmp_path):
    splits = ("train",) * 34 + ("test",) * 36
    folders = make_run(tmp_path, lengths=(20,) * 70, splits=splits)
    shown = [axes for axes in panels(tmp_path, folders) if axes.lines]
    assert len(shown) == 44
    assert timeline_title(shown) == "ped2, variant paper, seed 0 (26 training clips left out)"
    width, height = shown[0].get_figure().get_size_inches()
    assert height / width < 1.7


@pytest.mark.parametrize(
    ("train", "test", "shown_test", "left_out"),
    [
        (0, 1400, 60, "1,340 clips"),
        (1400, 0, 0, "1,340 training clips"),
        (700, 700, 52, "1,340 clips"),
    ],
)
def test_the_timeline_of_1400_clips_is_an_even_choice_of_60(
    tmp_path, train, test, shown_test, left_out
):
    splits = ("train",) * train + ("test",) * test
    folders = make_run(tmp_path, lengths=(3,) * 1400, splits=splits, truth=False)
    shown = [axes for axes in panels(tmp_path, folders) if axes.lines]
    assert timeline_title(shown) == f"ped2, variant paper, seed 0 ({left_out} left out)"
    titles = [axes.get_title(loc="left") for axes in shown]
    assert len(titles) == 60
    numbers = [int(title.removesuffix(" (training)").removeprefix("clip_")) for title in titles]
    assert [splits[number] for number in numbers] == (
        ["test"] * shown_test + ["train"] * (60 - shown_test)
    )
    for part, size in ((numbers[:shown_test], test), (numbers[shown_test:], train)):
        assert not part or part[-1] - part[0] + 1 == size
        assert len(part) < 2 or np.ptp(np.diff(part)) <= 1
    figures.save(shown[0].get_figure(), tmp_path / "timeline.png")
    assert max(imread(tmp_path / "timeline.png").shape) < 4000


def test_panels_stay_few_however_long_the_clips_are():
    # 30 clips of a day each at 25 frames per second.
    frames = [25 * 86_400] * 30
    clips = pd.DataFrame({"clip": [f"c{n}" for n in range(30)], "split": None, "frames": frames})
    strips = figures._strips(figures._shown_clips(clips))
    assert 30 <= len(strips) <= figures.PANELS
    assert [strip.start for strip in strips[1:]] == [strip.stop for strip in strips[:-1]]
    assert (strips[0].start, strips[-1].stop) == (0, sum(frames))


def test_a_long_clip_goes_over_several_panels_and_keeps_its_peaks(tmp_path):
    folders = make_run(tmp_path, lengths=(60_000,), splits=("",))
    path = folders[0] / "ensemble.parquet"
    table = pd.read_parquet(path)
    table.loc[41_234, "score"] = 50.0
    write_parquet(path, table, {})
    shown = panels(tmp_path, folders)
    assert len(shown) == 3
    final = [axes.lines[1].get_ydata() for axes in shown]
    assert max(len(values) for values in final) < 2000
    assert [values.max() == 50.0 for values in final] == [False, False, True]


def test_the_iterations_figure_marks_the_papers_figure_as_reported(tmp_path):
    folders = make_run(tmp_path, seeds=2)
    runs = [figures.read_metrics(folder / "metrics.json") for folder in folders]
    axes = figures.iterations(runs).axes[0]
    lines = {str(line.get_label()): line for line in axes.lines}
    assert list(lines["reported: 83.2"].get_ydata()) == [83.2, 83.2]
    mean = [
        np.mean([run["rows"][row]["merged"]["value"] for run in runs]) * 100
        for row in ("sp_iforest", "ensemble_1", "ours")
    ]
    assert list(lines["merged, running mean"].get_ydata()) == pytest.approx(mean)
    assert len(axes.collections) == 2


def test_the_papers_figure_for_other_settings_is_called_so(tmp_path):
    folders = make_run(tmp_path, method={"epochs": 8})
    figure = figures.iterations([figures.read_metrics(folders[0] / "metrics.json")])
    assert "reported (other settings): 83.2" in [line.get_label() for line in figure.axes[0].lines]
    figures.save(figure, tmp_path / "iterations.png")
    legend = figure.legends[0].get_window_extent()
    assert legend.x0 >= 0
    assert legend.x1 <= figure.bbox.width


@pytest.mark.parametrize(
    ("kind", "name"),
    [("l1", "Mean absolute error"), ("l2", "Mean squared error"), ("focal", "Mean focal loss")],
)
def test_the_loss_is_called_what_was_trained_with(tmp_path, monkeypatch, kind, name):
    folders = make_run(tmp_path, method={"loss": kind})
    drawn = []
    monkeypatch.setattr(figures, "save", lambda figure, _: drawn.append(figure))
    draw(tmp_path, folders, kinds=("loss",), suffixes=(".svg",))
    assert [figure.axes[0].get_ylabel() for figure in drawn] == [name]


def test_roc_curves_carry_the_auc_of_the_table(tmp_path):
    folders = make_run(tmp_path)
    clips = pd.read_parquet(tmp_path / "clips.parquet")
    truth = pd.read_parquet(tmp_path / "ground_truth.parquet")
    run = figures._read_run(folders[0])
    scored = pd.read_parquet(folders[0] / "ensemble.parquet")
    drawn = figures.roc(clips, truth, scored, [run]).axes
    assert [axes.get_title() for axes in drawn] == [
        "All labelled frames (merged)",
        "Test clips alone",
    ]
    for axes, column in zip(drawn, ("merged", "test_only"), strict=True):
        line = axes.lines[-1]
        value = run.metrics["rows"]["ours"][column]["value"]
        assert line.get_label() == f"Our method, AUC {100 * value:.1f}"
        assert np.trapezoid(line.get_ydata(), line.get_xdata()) == pytest.approx(value)


def test_the_mean_roc_curve_has_the_mean_area():
    # Two curves of few, wide steps: joining their corners by straight lines would add area.
    truth = np.arange(12) % 3 == 0
    scores = [np.arange(12.0) * factor % 7 for factor in (5, 3)]
    curves = [metrics.roc_curve(values, truth) for values in scores]
    axes = Figure().add_subplot()
    figures.roc_line(axes, curves, color="black")
    (line,) = axes.lines
    mean = np.mean([metrics.auc(values, truth) for values in scores])
    assert np.trapezoid(line.get_ydata(), line.get_xdata()) == pytest.approx(mean, abs=0.002)
    assert len(axes.collections) == 1
