"""Figures of the whole study: what they show, how they look on a page, and why one is empty."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgba
from matplotlib.text import Text
from PIL import Image

from sdor.errors import SdorError
from sdor.evaluation import metrics
from sdor.files import write_json, write_parquet
from sdor.reporting import paper_figures
from sdor.reporting.paper_figures import COLUMN_COLOURS, Overlay, Panel, choose_frames
from sdor.study.config import with_defaults

SMALLEST = 6.5
CLIPS = pd.DataFrame({"clip": ["a", "b"], "split": ["train", "test"], "fps": 5.0, "frames": 40})
FRAMES = pd.DataFrame({"clip": np.repeat(["a", "b"], 40), "frame": np.tile(np.arange(1, 41), 2)})
ANOMALOUS = ((FRAMES["clip"] == "b") & FRAMES["frame"].between(11, 30)).to_numpy()
TRUTH = FRAMES.assign(anomalous=ANOMALOUS.astype("int8"))


def scores(seed=0, gain=1.0):
    noise = np.random.default_rng(seed).normal(size=len(FRAMES))
    return FRAMES.assign(score=noise + gain * ANOMALOUS)


def cell(value, wide=0.05):
    return {"value": value, "low": value - wide, "high": value + wide, "skipped": 0}


def run(scene="ped1", variant="paper", seed=0, *, start=0.6, end=0.7, split=True, **about):
    """Metrics of two iterations that go from `start` to `end`, test-only 10 points below."""
    steps = {
        "sp_iforest": start,
        "iteration_1": (start + end) / 2,
        "iteration_2": end - 0.02,
        "ensemble_1": (start + end) / 2,
        "ensemble_2": end,
        "ours": end,
    }
    nothing = metrics.empty_cell("no labelled test clips")
    rows = {
        row: {"merged": cell(value), "test_only": cell(value - 0.1, 0.08) if split else nothing}
        for row, value in steps.items()
    }
    method = with_defaults(about.pop("method", {}), "method")
    return {
        "about": {"scene": scene, "variant": variant, "seed": seed, "method": method, **about},
        "rows": rows,
        "oracles": {},
        "iterations": 2,
        "counts": {"frames": 1000, "anomalous_frames": 300},
    }


def unlabelled(scene="street"):
    found = run(scene)
    nothing = metrics.empty_cell("no ground truth")
    found["rows"] = {row: dict.fromkeys(found["rows"][row], nothing) for row in found["rows"]}
    return found


def located(scene="ped2", variant="paper", seed=0, area=0.75):
    """`localisation.json` whose curves all rise to 1 at x = 1 - area."""
    curve = {"x": [0.0, 1 - area, 1 - area, 1.0], "y": [0.0, 0.0, 1.0, 1.0]}
    return {
        "about": {"scene": scene, "variant": variant, "seed": seed},
        "values": dict.fromkeys(paper_figures.MEASURES, cell(area)),
        "curves": dict.fromkeys(paper_figures.MEASURES, curve),
    }


def write_all(folder, contents):
    paths = [folder / f"{number}.json" for number in range(len(contents))]
    for path, content in zip(paths, contents, strict=True):
        write_json(path, content)
    return paths


def feedback_files(folder, scene="ped1", seeds=2):
    """Files of two rounds: round 1 marks normal frames, round 2 anomalous ones."""
    marked = [
        FRAMES[(FRAMES["clip"] == "a") & FRAMES["frame"].isin([3, 4, 5])],
        FRAMES[(FRAMES["clip"] == "b") & FRAMES["frame"].isin([20, 21])],
    ]
    files = {"clips": folder / "clips.parquet", "ground_truth": folder / "truth.parquet"}
    write_parquet(files["clips"], CLIPS, {})
    write_parquet(files["ground_truth"], TRUTH, {})
    files["seeds"] = []
    for seed in range(seeds):
        place = folder / f"seed{seed}"
        given = {"scores": [], "marks": []}
        for number in range(3):
            given["scores"].append(place / f"scores{number}.parquet")
            write_parquet(given["scores"][-1], scores(10 * seed + number, 0.5 * number), {})
        for number, marks in enumerate(marked):
            given["marks"].append(place / f"marks{number}.parquet")
            write_parquet(given["marks"][-1], marks.assign(label=1, picked=True, round=number), {})
        files["seeds"].append(given)
    return {scene: files}


def saliency_files(folder, variants=("ResNet-50",), scene="ped2", masks=True):
    """Files of a scene of two clips, 12 x 12 pixels; the anomaly is the upper left quarter."""
    rng = np.random.default_rng(0)
    files = {"clips": folder / "clips.parquet", "ground_truth": folder / "truth.parquet"}
    write_parquet(files["clips"], CLIPS, {})
    write_parquet(files["ground_truth"], TRUTH, {})
    files |= {"frames": {}, "pixel_masks": {}, "aspect": 1.5, "variants": {}}
    for clip in CLIPS["clip"]:
        files["frames"][clip] = folder / f"{clip}.npy"
        stored = rng.integers(0, 256, (40, 12, 12, 1 if clip == "a" else 3), dtype=np.uint8)
        np.save(files["frames"][clip], stored)
    if masks:
        files["pixel_masks"]["b"] = folder / "masks"
        files["pixel_masks"]["b"].mkdir()
        for frame in range(1, 41):
            mask = np.zeros((8, 12), np.uint8)
            mask[:4, :6] = 255 * (11 <= frame <= 30)
            Image.fromarray(mask).save(files["pixel_masks"]["b"] / f"{frame:03}.png")
    for number, title in enumerate(variants):
        place = folder / f"variant{number}"
        given = {"saliency": place / "saliency.npy", "ensemble": place / "ensemble.parquet"}
        write_parquet(given["ensemble"], scores(number), {})
        maps = rng.normal(size=(80, 3, 3)) + scores(number)["score"].to_numpy()[:, None, None]
        np.save(given["saliency"], maps.astype(np.float32))
        files["variants"][title] = given
    return {scene: files}


def drawn(monkeypatch, write, *args, **settings):
    """The figure that a `write_…` function draws."""
    found = []
    monkeypatch.setattr(paper_figures, "save", lambda figure, _: found.append(figure))
    write(*args, ["out.svg"], **settings)
    (figure,) = found
    return figure


def words(figure):
    return " ".join(text.get_text() for text in figure.findobj(Text))


def rates():
    return [
        run(scene, f"rate{rate}", seed, start=0.6 + rate, end=0.7 + rate + 0.01 * seed,
            subset={"target": rate, "rate": rate + 0.01 * seed})
        for scene in ("ped1", "ped2")
        for rate in (0.05, 0.1)
        for seed in (0, 1)
    ]  # fmt: skip


STUDIES = {"initial_features": ["paper", "logits"], "training_loss": ["paper", "l2", "l2-warm"]}


def study():
    names = ("paper", "logits", "l2", "l2-warm")
    found = [run("ped1", name, end=0.7 + 0.01 * place) for place, name in enumerate(names)]
    return [*found, *(run("umn1", name, end=0.95, split=False) for name in names[:3])]


def cases(folder):
    """Every figure: the function that writes it, and what it takes before the outputs."""
    scenes = ("ped1", "ped2", "subway-entrance", "umn1", "umn2")
    runs = [
        run(scene, seed=seed, end=0.7 + 0.01 * seed, split=scene.startswith("ped"))
        for scene in scenes
        for seed in (0, 1)
    ]
    places = [(scene, variant) for scene in ("ped1", "ped2") for variant in ("paper", "vgg")]
    return {
        "feedback": (paper_figures.write_feedback_roc, feedback_files(folder / "feedback")),
        "saliency": (
            paper_figures.write_saliency,
            saliency_files(folder / "saliency", ("ResNet-50", "VGG-16")),
        ),
        "rates": (paper_figures.write_anomaly_rates, write_all(folder / "rates", rates())),
        "iterations": (paper_figures.write_iterations, write_all(folder / "runs", runs)),
        "ablations": (
            paper_figures.write_ablations,
            write_all(folder / "study", study()),
            STUDIES,
            "paper",
        ),
        "localisation": (
            paper_figures.write_localisation,
            write_all(folder / "places", [located(*place) for place in places]),
        ),
    }


@pytest.mark.parametrize(
    "name", ["feedback", "saliency", "rates", "iterations", "ablations", "localisation"]
)
def test_every_figure_fits_its_page_and_is_drawn_again_the_same(tmp_path, monkeypatch, name):
    (tmp_path / "saliency").mkdir()
    write, *given = cases(tmp_path)[name]
    outputs = [tmp_path / f"{turn}.svg" for turn in ("first", "again")]
    write(*given, outputs[:1])
    write(*given, [outputs[1], tmp_path / "figure.png"])
    assert outputs[0].read_bytes() == outputs[1].read_bytes()
    with Image.open(tmp_path / "figure.png") as picture:
        assert 600 <= picture.width <= 1440
        assert 400 <= picture.height <= 1900
    figure = drawn(monkeypatch, write, *given)
    figure.set_dpi(200)  # as it is saved: letters are a little wider on a coarser grid
    figure.draw_without_rendering()
    seen = [text for text in figure.findobj(Text) if text.get_visible() and text.get_text()]
    assert min(text.get_fontsize() for text in seen) >= SMALLEST
    box, (width, height) = figure.get_tightbbox(), figure.get_size_inches()
    assert min(box.x0, box.y0) > -0.02
    assert box.x1 < width + 0.02
    assert box.y1 < height + 0.02


@pytest.mark.parametrize(
    ("write", "given", "reason"),
    [
        (paper_figures.write_feedback_roc, [{}], "No rounds of feedback"),
        (paper_figures.write_saliency, [{}], "No saliency map"),
        (paper_figures.write_anomaly_rates, [[]], "No AUC at different anomaly rates"),
        (paper_figures.write_iterations, [[unlabelled()]], "street: no ground truth"),
        (paper_figures.write_ablations, [[run()], STUDIES, "paper"], "No ablation"),
        (paper_figures.write_localisation, [[]], "No curves of localisation"),
    ],
)
def test_a_figure_with_nothing_to_show_says_why(tmp_path, monkeypatch, write, given, reason):
    first, *others = given
    first = write_all(tmp_path, first) if isinstance(first, list) else first
    figure = drawn(monkeypatch, write, first, *others)
    assert not figure.axes
    assert reason in words(figure)


def test_feedback_leaves_out_what_was_marked_up_to_each_round(tmp_path, monkeypatch):
    files = feedback_files(tmp_path, seeds=2)
    axes = drawn(monkeypatch, paper_figures.write_feedback_roc, files).axes
    every, unmarked = ({line.get_label(): line for line in one.lines} for one in axes)
    first = (FRAMES["clip"] == "a") & FRAMES["frame"].isin([3, 4, 5])
    second = first | ((FRAMES["clip"] == "b") & FRAMES["frame"].isin([20, 21]))

    def area(number, left):
        tables = [scores(10 * seed + number, 0.5 * number) for seed in (0, 1)]
        values = [table["score"].to_numpy()[left] for table in tables]
        return 100 * np.mean([metrics.auc(one, ANOMALOUS[left]) for one in values])

    everything = np.ones(len(FRAMES), dtype=bool)
    parts = [everything, ~first.to_numpy(), ~second.to_numpy()]
    assert len({round(area(2, left), 1) for left in parts}) == 3
    for number, left in enumerate(parts):
        for lines, part in ((every, everything), (unmarked, left)):
            line = lines[f"H-M {number}: {area(number, part):.1f}"]
            below = 100 * np.trapezoid(line.get_ydata(), line.get_xdata())
            assert below == pytest.approx(area(number, part), abs=0.2)
    assert f"H-M 0*: {area(0, parts[2]):.1f}" in unmarked
    assert not any("*" in label for label in every)


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
        ("y", 1, "event"),
        ("y", 4, "event"),
        ("x", 2, "event"),
        # Frames of z score higher, but nobody knows that they are normal.
        ("y", 2, "false alarm"),
    ]
    everything = choose_frames(clips, truth, frames, 10)
    assert list(everything["kind"]) == ["event"] * 4 + ["false alarm"]
    assert everything.loc[3, ["clip", "frame"]].tolist() == ["x", 7]
    for labels, kind in (([], "moment"), ([0] * 14, "false alarm")):
        known = truth[: len(labels)].assign(anomalous=labels)
        moments = choose_frames(clips, known, frames[:14], 1)
        assert moments.to_numpy().tolist() == [["y", 1, kind]]


def test_saliency_rows_say_what_they_show_on_one_scale(tmp_path, monkeypatch):
    files = saliency_files(tmp_path, ("ResNet-50", "VGG-16"))
    figure = drawn(monkeypatch, paper_figures.write_saliency, files, count=1)
    said = words(figure)
    ranking = scores(0)
    event = ranking[ANOMALOUS].nlargest(1, "score").iloc[0]
    assert f"ped2, b, frame {event['frame']}: true event" in said
    assert ": false alarm" in said
    lower = 100 * (ranking["score"] < event["score"]).mean()
    assert f"score {event['score']:.2f}, percentile {int(10 * lower) / 10}" in said
    assert "VGG-16" in said
    (panel, *_) = paper_figures._panels("ped2", files["ped2"], 1)
    maps = np.load(files["ped2"]["variants"]["ResNet-50"]["saliency"])
    low, high = np.percentile(maps, [1, 99.9])
    wanted = (maps[event.name].astype(float) - low) / (high - low)
    assert panel.overlays[0].heat == pytest.approx(wanted.clip(0, 1))


def test_the_outline_is_that_of_the_mask_and_pictures_keep_their_shape():
    mask = np.zeros((8, 12), bool)
    mask[:4, :6] = True
    image = np.zeros((10, 10), np.uint8)
    overlays = [Overlay("ResNet-50", np.eye(3), "score 1")]
    figure = paper_figures.saliency_figure([Panel("frame", image, mask, 1.5, overlays)])
    frame, overlay, _ = figure.axes
    size = frame.get_position().size * figure.get_size_inches()
    assert size[0] / size[1] == pytest.approx(1.5)
    (outline,) = frame.collections
    ends = outline.get_paths()[0].get_extents()
    # The upper left quarter, half a pixel of the mask to either side.
    assert (ends.x1, ends.y1) == pytest.approx((0.75, 0.5), abs=0.07)
    assert (ends.x0, ends.y0) == pytest.approx((0, 0), abs=0.07)
    assert not overlay.collections
    assert (
        not paper_figures.saliency_figure([Panel("", image, None, 1.5, overlays)])
        .axes[0]
        .collections
    )


def test_a_map_hides_more_of_the_frame_the_hotter_it_is():
    image = np.tile(np.arange(0, 250, 25, dtype=np.uint8), (10, 1))
    cold = paper_figures.overlaid(image, np.zeros((2, 2)))
    assert (cold == image[:, :, None]).all()
    mixed = [paper_figures.overlaid(image, np.full((2, 2), heat)) for heat in (0.0, 0.5, 1.0)]
    contrast = [np.ptp(one.astype(int), axis=1).max() for one in mixed]
    assert contrast[0] > contrast[1] > contrast[2] > 0


def test_many_rows_stand_in_two_blocks():
    overlays = [Overlay(title, np.eye(3), "score 1, percentile 2") for title in "ABC"]
    panel = Panel("frame", np.zeros((10, 10), np.uint8), None, 1.5, overlays)
    for count, blocks in ((8, 1), (14, 2)):
        figure = paper_figures.saliency_figure([panel] * count)
        assert len({round(axes.get_position().x0, 3) for axes in figure.axes[:-1]}) == 4 * blocks
        assert figure.get_figwidth() == pytest.approx(7.2)
        assert figure.get_figheight() < 14


def test_maps_of_other_frames_are_refused(tmp_path):
    files = saliency_files(tmp_path)
    path = files["ped2"]["variants"]["ResNet-50"]["saliency"]
    np.save(path, np.zeros((79, 3, 3), np.float32))
    with pytest.raises(SdorError, match=r"saliency.npy: expected 80 maps .* delete the file"):
        paper_figures.write_saliency(files, [tmp_path / "out.svg"])


def test_rates_are_those_that_were_reached_and_bars_the_seeds_deviation():
    first, second = paper_figures.anomaly_rates(rates()).axes
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
    runs = [run("ped1", "rate", subset={"target": 0.1, "rate": 0.12}), run("ped1", "paper")]
    figure = paper_figures.anomaly_rates(runs)
    line, _, (bars,) = figure.axes[0].containers[1]
    assert line.get_xdata() == pytest.approx([12, 30])
    assert bars.get_segments()[1][:, 1] == pytest.approx([65, 75])
    assert "resampled clips (one seed)" in words(figure)


def test_iterations_begin_with_the_initial_scores_and_span_the_same_everywhere():
    runs = [
        *(run("ped1", seed=seed, end=0.7 + 0.02 * seed) for seed in (0, 1)),
        run("umn1", start=0.9, end=0.995, split=False, method={"epochs": 8}),
        unlabelled(),
    ]
    figure = paper_figures.iterations(runs)
    merged, umn, test, nothing = figure.axes
    single, running, reported = merged.lines
    assert running.get_ydata() == pytest.approx([60, 65.5, 71])
    assert single.get_ydata() == pytest.approx([60, 65.5, 69])
    assert reported.get_ydata() == [71.7]
    assert to_rgba(umn.lines[2].get_markerfacecolor()) == to_rgba("white")
    assert to_rgba(test.lines[1].get_color()) == to_rgba(COLUMN_COLOURS["test_only"])
    assert test.lines[1].get_ydata() == pytest.approx([50, 55.5, 61])
    assert len(test.lines) == 2
    assert "umn1: no labelled" in nothing.texts[0].get_text()
    spans = [np.ptp(axes.get_ylim()) for axes in (merged, umn, test)]
    assert spans == pytest.approx([spans[0]] * 3)
    assert umn.get_ylim()[1] < 101
    assert "not shown (street: no ground truth)" in words(figure)


def test_ablations_show_every_variant_beside_its_base():
    figure = paper_figures.ablations(study(), STUDIES, "paper")
    ped1, umn1 = figure.axes
    assert [label.get_text() for label in ped1.get_yticklabels()] == [
        *("initial features", "paper (base)", "logits"),
        *("training loss", "paper (base)", "l2", "l2-warm"),
    ]
    blue = to_rgba(COLUMN_COLOURS["merged"])
    dots = [line for line in ped1.lines if to_rgba(line.get_color()) == blue]
    assert [line.get_xdata()[0] for line in dots] == pytest.approx([70, 71, 70, 72, 73])
    assert [round(line.get_ydata()[0]) for line in dots] == [1, 2, 4, 5, 6]
    ends = [one.get_segments()[0] for one in ped1.collections if len(one.get_segments()) == 1]
    merged = [one for one in ends if one[0][1] == one[1][1] and round(one[0][0]) == 66]
    assert merged[0][:, 0] == pytest.approx([66, 76])
    assert [text.get_text() for text in umn1.texts] == ["not run"]
    assert len(umn1.lines) == 4
    other = paper_figures.ablations(study(), {"loss": ["l2", "l2-warm"]}, "paper").axes[0]
    assert other.get_yticklabels()[1].get_text() == "l2 (base)"


def test_localisation_curves_carry_the_area_of_the_table(tmp_path, monkeypatch):
    empty = located("umn1")
    empty["values"] = dict.fromkeys(paper_figures.MEASURES, metrics.empty_cell("no pixel masks"))
    empty["curves"] = {name: {"x": [], "y": []} for name in paper_figures.MEASURES}
    contents = [
        located(variant="paper", seed=0, area=0.75),
        located(variant="paper", seed=1, area=0.25),
        located(variant="vgg", area=0.4),
        empty,
    ]
    figure = drawn(
        monkeypatch,
        paper_figures.write_localisation,
        write_all(tmp_path, contents),
    )
    assert len(figure.axes) == 4
    for axes in figure.axes:
        lines = {line.get_label(): line for line in axes.lines}
        mean, single = lines["ped2, paper: 50.0"], lines["ped2, vgg: 40.0"]
        for line, area in ((mean, 0.5), (single, 0.4)):
            found = np.trapezoid(line.get_ydata(), line.get_xdata())
            assert found == pytest.approx(area, abs=0.01)
        assert mean.get_color() == single.get_color()
        assert mean.get_linestyle() != single.get_linestyle()
    assert "Not shown (umn1: no pixel masks)" in words(figure)


def test_a_localisation_file_of_another_kind_is_refused(tmp_path):
    (path,) = write_all(tmp_path, [{"about": {"scene": "ped2", "variant": "paper"}}])
    with pytest.raises(SdorError, match=r"0.json: damaged"):
        paper_figures.write_localisation([path], [tmp_path / "out.svg"])
