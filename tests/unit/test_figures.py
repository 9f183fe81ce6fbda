"""Figures: files of both formats, the same bytes again, and the right things in them."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.image import imread

from sdor import figures
from sdor.evaluate import evaluate
from sdor.figures import KINDS, draw_scene_figures
from sdor.files import write_json, write_parquet

OVERSIZE = 3000  # pixels: no figure of the test scenes needs a side longer than this


def make_run(
    folder, *, lengths=(60, 50, 40), splits=("train", "test", "test"), seeds=1, truth=True
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
        measured = evaluate(
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


def panels(folder, folders, **settings):
    clips = pd.read_parquet(folder / "clips.parquet")
    truth = pd.read_parquet(folder / "ground_truth.parquet")
    scored = pd.read_parquet(folders[0] / "ensemble.parquet")
    run = figures._read_run(folders[0])
    return figures.timeline(clips, truth, scored, run, **settings).axes


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
    shown = [axes for axes in panels(tmp_path, folders, training_panels=8) if axes.lines]
    assert len(shown) == 44
    width, height = shown[0].get_figure().get_size_inches()
    assert height / width < 1.7


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
    assert list(lines["merged, reported: 83.2"].get_ydata()) == [83.2, 83.2]
    mean = [
        np.mean([run["rows"][row]["merged"]["value"] for run in runs]) * 100
        for row in ("sp_iforest", "ensemble_1", "ours")
    ]
    assert list(lines["merged, running mean"].get_ydata()) == pytest.approx(mean)
    assert len(axes.collections) == 2


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
