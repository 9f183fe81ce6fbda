"""Curves of the runs' own files: ROC, feedback, localisation, training loss."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from sklearn.metrics import roc_auc_score
from synthetic_runs import words, write_feedback, write_runs

from sdor.errors import SdorError
from sdor.evaluation.bootstrap import Measure
from sdor.evaluation.metrics import LabelledFrames
from sdor.files import write_json
from sdor.reporting.figures import feedback, localisation, loss, roc


def area_below(line):
    return np.trapezoid(line.get_ydata(), line.get_xdata())


def scores_of(folder, name):
    return pd.read_parquet(folder / name)["score"].to_numpy()


def test_roc_curves_carry_the_auc_of_all_and_of_the_test_clips(tmp_path):
    runs = write_runs(tmp_path)
    figure = roc.draw(runs)
    titles = [axes.get_title() for axes in figure.axes]
    assert titles == ["All labelled frames (merged)", "Test clips alone"]
    anomalous = runs.ground_truth["anomalous"].to_numpy() > 0
    for axes, part in zip(figure.axes, (slice(None), slice(60, None)), strict=True):
        lines = axes.lines[1:]
        names = ("initial.parquet", "iteration1/scores.parquet", "ensemble.parquet")
        titles = ("Initial scores", "Iteration 1", "Our method")
        for line, name, title in zip(lines, names, titles, strict=True):
            area = roc_auc_score(anomalous[part], scores_of(runs.folders[0], name)[part])
            assert line.get_label() == f"{title}: {100 * area:.1f}"
            assert area_below(line) == pytest.approx(area)


def test_the_mean_roc_curve_has_the_mean_area_and_a_band_over_the_seeds():
    # Two curves of few, wide steps: joining their corners by straight lines would add area.
    truth = np.arange(12) % 3 == 0
    scores = np.array([[np.arange(12.0) * factor % 7 for factor in (5, 3)]])
    ((first, second),) = roc.roc_curves(scores, LabelledFrames(np.zeros(12, int), truth, ("",)))
    axes = Figure().add_subplot()
    roc.panel(axes, {"ours": {"color": "black"}}, [[first, second, None]], band=True)
    _, line = axes.lines
    areas = [100 * roc_auc_score(truth, one) for one in scores[0]]
    assert area_below(line) == pytest.approx(np.mean(areas) / 100, abs=0.002)
    assert line.get_label() == f"ours: {np.mean(areas):.1f} ± {np.std(areas, ddof=1):.1f}"
    assert len(axes.collections) == 1


def test_feedback_leaves_out_what_was_marked_up_to_each_round(tmp_path):
    runs = write_feedback(write_runs(tmp_path, seeds=2))
    figure = feedback.draw([runs], rounds=2, last=2, neighbours=0)
    every, unmarked = ({line.get_label(): line for line in axes.lines} for axes in figure.axes)
    truth = runs.ground_truth
    first = (truth["clip"] == "clip_0") & truth["frame"].isin([3, 4, 5])
    second = first | ((truth["clip"] == "clip_1") & truth["frame"].isin([45, 46]))
    places = ("iteration2", "feedback/round1", "feedback/round2")

    def area(number, left):
        values = [scores_of(one, f"{places[number]}/scores.parquet") for one in runs.folders]
        anomalous = truth["anomalous"].to_numpy()[left] > 0
        return 100 * np.mean([roc_auc_score(anomalous, one[left]) for one in values])

    parts = [np.ones(len(truth), dtype=bool), ~first.to_numpy(), ~second.to_numpy()]
    assert len({round(area(2, left), 1) for left in parts}) == 3
    for number, left in enumerate(parts):
        for lines, part in ((every, parts[0]), (unmarked, left)):
            line = lines[f"H-M {number}: {area(number, part):.1f}"]
            assert 100 * area_below(line) == pytest.approx(area(number, part), abs=0.2)
    assert f"H-M 0*: {area(0, parts[2]):.1f}" in unmarked
    assert not any("*" in label for label in every)
    assert "(mean of 2 seeds)" in words(figure)


def located(folder, variant="paper", area=0.75, scene="ped2", **changed):
    """`localisation.json` whose curves all rise to 1 at x = 1 - area."""
    curve = {"x": [0.0, 1 - area, 1 - area, 1.0], "y": [0.0, 0.0, 1.0, 1.0]}
    measured = {"test_only": vars(Measure(area)), "curves": curve, **changed}
    content = {name: dict.fromkeys(localisation.MEASURES, one) for name, one in measured.items()}
    content["headline"] = next(iter(measured))
    content["about"] = {"scene": scene, "variant": variant}
    path = folder / f"{scene}-{variant}-{area}.json"
    write_json(path, content)
    return path


def test_localisation_curves_carry_the_area_of_the_table(tmp_path):
    nothing = {"test_only": vars(Measure(reason="no pixel masks")), "curves": {"x": [], "y": []}}
    figure = localisation.draw(
        [
            *(located(tmp_path, area=area) for area in (0.75, 0.25)),
            located(tmp_path, "vgg", 0.4),
            located(tmp_path, scene="umn1", **nothing),
        ]
    )
    assert len(figure.axes) == 6
    for axes in figure.axes:
        lines = {line.get_label(): line for line in axes.lines}
        mean, single = lines["ped2, paper: 50.0"], lines["ped2, vgg: 40.0"]
        assert area_below(mean) == pytest.approx(0.5, abs=0.01)
        assert area_below(single) == pytest.approx(0.4, abs=0.01)
        assert mean.get_color() == single.get_color()
        assert mean.get_linestyle() != single.get_linestyle()
    assert "Not shown (umn1: no pixel masks)" in words(figure)


def test_a_localisation_file_of_another_kind_is_refused(tmp_path):
    write_json(tmp_path / "0.json", {"about": {"scene": "ped2", "variant": "paper"}})
    with pytest.raises(SdorError, match=r"0.json: damaged"):
        localisation.draw([tmp_path / "0.json"])


@pytest.mark.parametrize(
    ("kind", "name"),
    [("l1", "Mean absolute error"), ("l2", "Mean squared error"), ("focal", "Mean focal loss")],
)
def test_the_loss_is_called_what_was_trained_with_and_is_the_mean_of_the_seeds(
    tmp_path, kind, name
):
    (axes,) = loss.draw(write_runs(tmp_path, seeds=2), 2, kind).axes
    assert axes.get_ylabel() == name
    means = [line for line in axes.lines if line.get_label().startswith("t = ")]
    assert [line.get_ydata().tolist() for line in means] == [pytest.approx([0.5, 0.3])] * 2
    assert len(axes.lines) == 6
    assert axes.get_ylim()[0] == 0
