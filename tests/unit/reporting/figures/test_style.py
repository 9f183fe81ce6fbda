"""Every figure fits its page, is drawn again the same, and says in words what it cannot show."""

import pytest
from matplotlib.text import Text
from PIL import Image
from synthetic_runs import (
    findings_of,
    reported,
    run,
    words,
    write_feedback,
    write_maps,
    write_runs,
)

from sdor.files import write_json
from sdor.reporting.figures import (
    ablations,
    anomaly_rates,
    feedback,
    iterations,
    localisation,
    loss,
    roc,
    saliency,
    style,
    timeline,
)
from sdor.reporting.runs import Runs
from sdor.study.scenes import Clip, GroundTruth, Scene

SCENES = ("ped1", "ped2", "subway-entrance", "umn1", "umn2")
FIGURES = (
    *("timeline", "roc", "loss", "feedback", "saliency"),
    *("anomaly_rates", "iterations", "ablations", "localisation"),
)


def drawn(name, folder):
    """A figure of each kind, of several scenes where it can show them, and several seeds."""
    seeds = (0, 1)
    if name in ("timeline", "roc", "loss"):
        runs = write_runs(folder, seeds=2)
        draw = {"timeline": lambda: timeline.draw(runs, 2), "roc": lambda: roc.draw(runs)}
        return draw.get(name, lambda: loss.draw(runs, 2, "l1"))()
    if name == "feedback":
        return feedback.draw(
            [write_feedback(write_runs(folder, seeds=2))], rounds=2, last=2, neighbours=0
        )
    if name == "saliency":
        runs = write_runs(folder)
        masks = write_maps(runs, ("paper", "vgg16"))
        columns = {"ResNet-50, paper": runs, "VGG-16, vgg16": Runs("ped2", "vgg16", (0,), folder)}
        marked = {"clip_1": GroundTruth(None, masks)}
        clips = [
            Clip(clip, "images", masks, clip, ground_truth=marked.get(clip))
            for clip in runs.clips["clip"]
        ]
        return saliency.draw([(Scene("ped2", folder, tuple(clips)), columns)], "12/{clip}.npy")
    if name == "anomaly_rates":
        rates = {f"rate{rate}": rate for rate in (0.05, 0.1)}
        runs = [
            run(scene, variant, seed, end=0.7 + rate, rate=rate, method={"anomaly_rate": rate})
            for scene in SCENES
            for variant, rate in rates.items()
            for seed in seeds
        ]
        return anomaly_rates.draw(findings_of(*runs, rates=rates))
    if name == "iterations":
        runs = [
            run(scene, seed=seed, end=0.7 + 0.01 * seed, split=scene.startswith("ped"))
            for scene in SCENES
            for seed in seeds
        ]
        known = [reported(), reported("umn1", settings="differ: epochs 8 (50)")]
        return iterations.draw(findings_of(*runs, beside=known), "paper")
    if name == "ablations":
        studies = {"initial_features": ("paper", "logits"), "loss": ("paper", "l2", "l2-warm")}
        names = ("paper", "logits", "l2", "l2-warm")
        runs = [run(scene, name) for scene in SCENES[:4] for name in names]
        return ablations.draw(findings_of(*runs, ablations=studies))
    curve = {"x": [0.0, 0.3, 0.3, 1.0], "y": [0.0, 0.0, 1.0, 1.0]}
    paths = []
    for scene in SCENES[:2]:
        for variant in ("paper", "vgg16"):
            paths.append(folder / f"{scene}-{variant}.json")
            about = {"scene": scene, "variant": variant}
            values = {name: {"value": 0.7} for name in localisation.MEASURES}
            curves = dict.fromkeys(localisation.MEASURES, curve)
            content = {"about": about, "headline": "all_clips", "all_clips": values}
            write_json(paths[-1], {**content, "curves": curves})
    return localisation.draw(paths)


@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_fits_its_page_and_is_drawn_again_the_same(tmp_path, name):
    figure = drawn(name, tmp_path / "first")
    style.save(figure, [tmp_path / "first.svg", tmp_path / "figure.png"])
    style.save(drawn(name, tmp_path / "again"), [tmp_path / "again.svg"])
    first = (tmp_path / "first.svg").read_bytes()
    assert first == (tmp_path / "again.svg").read_bytes()
    assert b"<dc:date>" not in first
    with Image.open(tmp_path / "figure.png") as picture:
        assert 600 <= picture.width <= 1440
        assert 400 <= picture.height <= 1900
    figure.set_dpi(200)  # as it is saved: letters are a little wider on a coarser grid
    figure.draw_without_rendering()
    seen = [text for text in figure.findobj(Text) if text.get_visible() and text.get_text()]
    assert min(text.get_fontsize() for text in seen) >= style.SMALL
    box, (width, height) = figure.get_tightbbox(), figure.get_size_inches()
    assert min(box.x0, box.y0) > -0.02
    assert box.x1 < width + 0.02
    assert box.y1 < height + 0.02


def test_a_figure_with_nothing_to_show_says_why(tmp_path):
    street = findings_of(run("street", reason="no ground truth"))
    alone = findings_of(run(), ablations={"loss": ("paper", "l2")}, rates=("rate05",))
    unlabelled = write_runs(tmp_path, truth=False)
    notes = {
        "ped2, variant paper: no ROC curve (labelled frames of one class at most)": roc.draw(
            unlabelled
        ),
        "No rounds of feedback": feedback.draw([], rounds=2, last=2, neighbours=0),
        "(ped2: frames of one class at most)": feedback.draw([write_feedback(unlabelled)], 2, 2, 0),
        "No saliency map": saliency.draw([], "12/{clip}.npy"),
        "No AUC at different anomaly rates": anomaly_rates.draw(alone),
        "No AUC per iteration (street: no ground truth)": iterations.draw(street, "paper"),
        "No ablation with two variants": ablations.draw(alone),
        "No curves of localisation": localisation.draw([]),
    }
    for reason, figure in notes.items():
        assert not figure.axes
        assert reason in words(figure)
    # What needs no labels is drawn.
    assert len(timeline.draw(unlabelled, 2).axes) == 3
