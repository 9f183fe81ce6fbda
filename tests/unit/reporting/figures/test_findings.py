"""Figures of values with intervals, drawn from findings: rates, iterations, ablations."""

import numpy as np
import pytest
from matplotlib.colors import to_rgba
from synthetic_runs import findings_of, reported, run, words

from sdor.reporting.figures import ablations, anomaly_rates, iterations
from sdor.reporting.figures.style import METRIC_COLOURS

STUDIES = {"initial_features": ("paper", "logits"), "training_loss": ("paper", "l2", "l2-warm")}


def test_rates_are_those_that_were_reached_and_bars_the_seeds_deviation():
    runs = [
        run(
            scene,
            f"rate{rate}",
            seed,
            start=0.6 + rate,
            end=0.7 + rate + 0.01 * seed,
            rate=rate + 0.01 * seed,
            method={"anomaly_rate": rate},
        )
        for scene in ("ped1", "ped2")
        for rate in (0.05, 0.1)
        for seed in (0, 1)
    ]
    # Another variant of all frames is of another comparison.
    findings = findings_of(
        *runs, run("ped1", "l2", method={"loss": "l2"}), rates=("rate0.05", "rate0.1")
    )
    first, second = anomaly_rates.draw(findings).axes
    assert [axes.get_title() for axes in (first, second)] == ["ped1", "ped2"]
    lines = [bars for bars in first.containers if bars.get_label() == "Our method"]
    line, _, (bars,) = lines[0]
    assert line.get_xdata() == pytest.approx([5.5, 10.5])
    assert line.get_ydata() == pytest.approx([75.5, 80.5])
    deviation = np.std([75, 76], ddof=1)
    assert bars.get_segments()[0][:, 1] == pytest.approx([75.5 - deviation, 75.5 + deviation])
    dots = [found for found in first.lines if found.get_marker() == "."]
    assert dots[1].get_xdata() == pytest.approx([5, 6, 10, 11])
    left, right = first.get_xlim()
    assert left == 0
    assert right > 11
    assert first.get_ylim()[0] < 65 < 81 < first.get_ylim()[1]


def test_with_one_seed_bars_are_intervals_and_the_whole_scene_has_its_own_rate():
    rare = run("ped1", "rare", rate=0.12, method={"anomaly_rate": 0.1})
    findings = findings_of(rare, run("ped1"), run("ped2"), rates=("rare",))
    figure = anomaly_rates.draw(findings)
    (axes,) = figure.axes
    line, _, (bars,) = axes.containers[1]
    assert line.get_xdata() == pytest.approx([12, 30])
    assert bars.get_segments()[1][:, 1] == pytest.approx([65, 75])
    assert "resampled clips (one seed)" in words(figure)


def test_a_final_score_that_is_more_than_the_last_mean_is_marked():
    moved = run("ped1", "moved", method={"approach": "motion"})
    figure = iterations.draw(findings_of(moved), "moved")
    assert figure.axes[0].lines[2].get_xydata().tolist() == [[2, pytest.approx(70)]]
    assert "final score" in words(figure)
    assert "final score" not in words(iterations.draw(findings_of(run("ped1")), "paper"))


def test_iterations_begin_with_the_initial_scores_and_span_the_same_everywhere():
    findings = findings_of(
        *(run("ped1", seed=seed, end=0.7 + 0.02 * seed) for seed in (0, 1)),
        run("umn1", start=0.9, end=0.995, split=False),
        run("street", reason="no ground truth"),
        run("ped1", "l2", end=0.1),
        beside=[
            reported("ped1", auc=0.717),
            reported("umn1", auc=0.992, settings="differ: epochs 8 (50)"),
            {**reported("ped1", auc=0.1), "against": "table 2"},
        ],
    )
    figure = iterations.draw(findings, "paper")
    merged, umn, test = (axes for axes in figure.axes if axes.lines)
    single, running, paper = merged.lines
    assert running.get_ydata() == pytest.approx([60, 65.5, 71])
    assert single.get_ydata() == pytest.approx([60, 65.5, 69])
    assert paper.get_ydata() == pytest.approx([71.7])
    assert len(merged.collections) == 1
    assert not umn.collections
    assert to_rgba(umn.lines[2].get_markerfacecolor()) == to_rgba("white")
    assert to_rgba(test.lines[1].get_color()) == to_rgba(METRIC_COLOURS["test_only"])
    assert test.lines[1].get_ydata() == pytest.approx([50, 55.5, 61])
    assert len(test.lines) == 2
    assert [axes.get_title() for axes in (merged, test)] == ["ped1, merged", "ped1, test-only"]
    spans = [np.ptp(axes.get_ylim()) for axes in (merged, umn, test)]
    assert spans == pytest.approx([spans[0]] * 3)
    assert umn.get_ylim()[1] < 101
    said = " ".join(words(figure).split())
    assert "not shown (street: no ground truth; umn1, test-only: no labelled test clips)" in said
    assert "reported, other settings" in said


def test_another_backbone_stands_beside_its_own_figure_of_the_paper():
    findings = findings_of(
        run("ped1", "vgg", method={"backbone": "vgg16"}),
        beside=[{**reported("ped1", "vgg"), "against": "table 1"}, reported("ped1", "vgg", 0.65)],
    )
    axes = iterations.draw(findings, "vgg").axes[0]
    assert axes.lines[2].get_ydata() == pytest.approx([65])


def test_ablations_show_every_variant_beside_its_base():
    names = ("paper", "logits", "l2", "l2-warm")
    runs = [run("ped1", name, end=0.7 + 0.01 * place) for place, name in enumerate(names)]
    runs += [run("umn1", name, end=0.95, split=False) for name in names[:3]]
    ped1, umn1 = ablations.draw(findings_of(*runs, ablations=STUDIES)).axes
    assert [label.get_text() for label in ped1.get_yticklabels()] == [
        *("initial features", "paper (base)", "logits"),
        *("training loss", "paper (base)", "l2", "l2-warm"),
    ]
    blue = to_rgba(METRIC_COLOURS["merged"])
    dots = [line for line in ped1.lines if to_rgba(line.get_color()) == blue]
    assert [line.get_xdata()[0] for line in dots] == pytest.approx([70, 71, 70, 72, 73])
    assert [round(line.get_ydata()[0]) for line in dots] == [1, 2, 4, 5, 6]
    ends = [one.get_segments()[0] for one in ped1.collections if len(one.get_segments()) == 1]
    merged = [one for one in ends if one[0][1] == one[1][1] and round(one[0][0]) == 66]
    assert merged[0][:, 0] == pytest.approx([66, 76])
    assert [text.get_text() for text in umn1.texts] == ["not run"]
    assert len(umn1.lines) == 4
    other = ablations.draw(findings_of(*runs, ablations={"loss": ("l2", "l2-warm")})).axes[0]
    assert other.get_yticklabels()[1].get_text() == "l2 (base)"
