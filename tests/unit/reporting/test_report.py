"""The report: one offline page, all user text escaped, every number from the files."""

import base64
import io
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from synthetic_study import blind, change, gathered, write_feedback, write_localisation, write_study

from sdor.errors import SdorError
from sdor.files import write_parquet
from sdor.reporting.findings import read_findings
from sdor.reporting.report import provenance_table, times_text, warnings_of, write_report
from sdor.reporting.runs import Runs
from sdor.reporting.tables import paper_pages
from sdor.study.plan import Comparison, Plan

SCENE = "yard<1>"
LATE = ["clip x: a.npy: 9 labels for 10 frames; the last label stands for two"]
REMARKS = ["not read: clip x: x.mp4: cannot be read as video (<b>)"]
KINDS = {"timeline": "Timeline", "roc": 'ROC "curves"'}
VARIANTS = {
    "paper": ({"epochs": 8}, 1.4),
    "vgg16": ({"backbone": "vgg16", "epochs": 8}, 1.0),
    "rate05": ({"anomaly_rate": 0.05, "epochs": 8}, 1.5),
}
PLAN = Plan(
    "paper",
    backbones=Comparison(("vgg16", "paper"), ("ped2", SCENE)),
    anomaly_rates=Comparison(("rate05",), ("ped2",)),
    ablations={"initial_features": Comparison(("paper", "vgg16"), ("ped2", SCENE))},
    not_run={"umn1": "no video <here>"},
)


class Page(HTMLParser):
    """Tags and text of a page; elements that are left open are an error."""

    EMPTY = frozenset({"meta", "img"})

    def __init__(self, source):
        super().__init__()
        self.tags, self.words, self.open = [], [], []
        self.feed(source)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.EMPTY:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Two scenes, three variants, two seeds, and what their sections show."""
    folder = tmp_path_factory.mktemp("study")
    files = write_study(folder, {"ped2": (4, 6), SCENE: (2, 3)}, VARIANTS)
    files = write_feedback(write_localisation(files, folder, skip=(SCENE,)), folder, "ped2")
    gathered(files, PLAN, folder)
    (folder / "figures").mkdir()
    Image.new("RGB", (4, 4)).save(folder / "figures" / "figure6.png")
    base = pd.DataFrame({"clip": "<door>", "frame": np.arange(1, 101)})
    frames = np.zeros((100, 8, 8, 1), dtype=np.uint8)
    frames[49] = 200
    for scene in ("ped2", SCENE):
        (folder / "figures" / scene).mkdir()
        for kind in KINDS:
            drawn = folder / "figures" / scene / f"paper-{kind}.svg"
            drawn.write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
        clips = pd.DataFrame({"clip": ["<door>"], "split": [""], "fps": [10.0], "frames": [100]})
        truth = base.assign(anomalous=(base["frame"] == 50).astype("int8"))
        scores = np.where(base["frame"].between(48, 50), base["frame"] / 25, 0)
        write_parquet(folder / scene / "clips.parquet", clips, {"remarks": REMARKS})
        times = base.assign(time=(base["frame"] - 1) * 5.0, sampled=True)
        write_parquet(folder / scene / "times.parquet", times, {})
        write_parquet(folder / scene / "ground_truth.parquet", truth, {"remarks": LATE})
        ensemble = folder / scene / "paper" / "seed0" / "ensemble.parquet"
        write_parquet(ensemble, base.assign(score=scores), {})
        (folder / scene / "frames" / "8").mkdir(parents=True)
        np.save(folder / scene / "frames" / "8" / "<door>.npy", frames)
    return folder, files


def write(folder, output, *, findings=None, sections=("ped2", SCENE), **settings):
    given = {
        "sections": [Runs(scene, "paper", (0, 1), folder) for scene in sections],
        "captions": KINDS,
        "study_captions": {"figure6.png": "Figure 6 & more"},
        "frames": "8/{clip}.npy",
        "configuration": "method:\n  backbone: <b>resnet50</b>",
        "times": pd.DataFrame(
            [{"job": "<a>", "stage": "train", "s": 125.4, "cores": 2, "MB": 9.0}]
        ),
    }
    write_report(findings or folder / "findings.parquet", output, **{**given, **settings})
    return output.read_text()


@pytest.fixture(scope="module")
def source(results, tmp_path_factory):
    return write(results[0], tmp_path_factory.mktemp("report") / "report.html")


def test_a_detector_that_may_tell_clips_apart_is_a_remark(results):
    findings = read_findings(results[0] / "findings.parquet")
    assert warnings_of(findings, "ped2", "paper") == []
    table = findings.table.copy()
    table.loc[(table["row"] == "sp") & (table["metric"] == "between_clips"), "value"] = 0.687
    assert warnings_of(replace(findings, table=table), "ped2", "paper") == [
        "Sp: 69 % of the variance of its scores lies between clips, so it may tell clips apart "
        "rather than moments."
    ]


def words_of(source):
    return re.sub(r"\s+", " ", " ".join(Page(source).words))


def test_the_page_is_whole_offline_and_has_no_script(source):
    page = Page(source)
    tags = [tag for tag, _ in page.tags]
    assert tags.count("h1") == 1
    assert not {"script", "link", "iframe"} & set(tags)
    for _, attributes in page.tags:
        for name in ("src", "href"):
            assert attributes.get(name, "#").startswith(("#", "data:image/"))
    anchors = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    targets = {a["href"][1:] for tag, a in page.tags if tag == "a"}
    assert targets <= set(anchors)
    assert len(set(anchors)) == len(anchors)
    assert not re.search(r"https?://", source)


def test_user_text_is_escaped_and_everything_is_said(source):
    text = words_of(source)
    for tag in ("<npm>", "<door>", "<1>", "<here>", "<b>", "<invented>"):
        assert tag not in source
        assert tag in text
    for words in ("cpu, fp32", "ffffffffffff", "abc123", "torch 2.13.0", "not run", "125.4", *LATE):
        assert words in text
    images = [attributes["alt"] for tag, attributes in Page(source).tags if tag == "img"]
    moment = (
        "Peak frame of moment 1. <door>, 3:55.0 to 4:05.0, frames 48 to 50, score 2.000 at 50: "
    )
    moment += "anomalous"
    assert images == ["Figure 6 & more", *[moment, "Timeline", 'ROC "curves"'] * 2]


def test_the_parts_come_in_order(source):
    headings = [re.sub("<[^>]*>", "", text) for text in re.findall("<h[23].*?</h[23]>", source)]
    assert headings == [
        *("Results", "At a glance", "Table 1: all methods", "Table 2: backbones"),
        *("Anomalies found against seconds watched", "Localisation"),
        *("Figure 3 in numbers: feedback of an expert", "Figure 5 in numbers: anomaly rates"),
        *("Ablations", "Which differences hold", "Not run", "Figures of the whole study"),
        *("ped2, variant paper", "Moments to look at first", "Detectors", "Pseudo labels"),
        *("yard&lt;1&gt;, variant paper", "Moments to look at first", "Detectors"),
        *("Pseudo labels", "Configuration", "Provenance", "Time and memory of each stage"),
    ]
    text = words_of(source)
    for words in ("Our method against every other row", "Initial features", "Caution: 3 clips"):
        assert words in text


def test_every_table_of_the_paper_is_on_the_page(results, source):
    text = words_of(source)
    for page in paper_pages(read_findings(results[0] / "findings.parquet")):
        assert page.tables
        for table in page.tables:
            for row in table.rows:
                assert re.sub(r"\s+", " ", " ".join(filter(None, row.texts))) in text


def test_the_head_tells_what_differs_from_the_paper(source):
    text = words_of(source)
    assert (
        "Its settings not the paper's in: epochs 8 (50); in parentheses: the paper's, or this "
        "project's default where the paper states none Other variants"
    ) in text
    assert "Our method variant paper" in text
    assert "Other variants vgg16, rate05" in text
    assert "Not run umn1 Our method" in text


def test_the_head_says_what_the_weights_are_and_that_nothing_else_differs(tmp_path):
    files = write_study(tmp_path, {"ped2": (4, 6)}, {"paper": ({}, 1.4)}, seeds=[0])
    nothing = {"sections": (), "captions": {}, "study_captions": {}}
    words = (
        "Its settings the paper's, and this project's defaults where the paper states none Seeds"
    )
    gathered(files, Plan("paper"), tmp_path)
    assert words in words_of(write(tmp_path, tmp_path / "report.html", **nothing))
    change(files["metrics"][0], lambda content: content["about"]["weights"].update(source="random"))
    gathered(files, Plan("paper"), tmp_path)
    words = "Its settings not the paper's in: weights random (trained); in parentheses"
    assert words in words_of(write(tmp_path, tmp_path / "report.html", **nothing))


def test_the_description_stands_under_the_heading_of_its_scene(source):
    heading = r"<h2[^>]*>yard&lt;1&gt;, variant paper</h2>\s*"
    assert re.search(heading + "<p>The scene yard&lt;1&gt;, &lt;invented&gt;</p>", source)


def test_a_scene_without_ground_truth_has_a_sentence_and_no_blank_figures(results, tmp_path):
    folder, files = results
    paths = []
    for path in files["metrics"]:
        paths.append(tmp_path / f"{len(paths)}.json")
        paths[-1].write_text(path.read_text())
        if SCENE in str(path):
            change(paths[-1], blind)
    gathered({**files, "metrics": paths}, PLAN, tmp_path)
    (tmp_path / "figures").symlink_to(folder / "figures")
    findings = tmp_path / "findings.parquet"
    source = write(folder, tmp_path / "report.html", findings=findings)
    text = words_of(source)
    assert (
        "The scene has no ground truth: its frames are ranked, and nothing is measured. Not "
        'drawn: ROC "curves".'
    ) in text
    images = [attributes["alt"] for tag, attributes in Page(source).tags if tag == "img"]
    assert (images.count("Timeline"), images.count('ROC "curves"')) == (2, 1)
    assert "Ranked but not measured, for want of ground truth: yard<1>." in text


def test_provenance_names_each_fact_once_with_its_runs(results):
    table = provenance_table(read_findings(results[0] / "findings.parquet"))
    rows = [row.texts for row in table.rows]
    variants = "paper, vgg16, rate05"
    assert ("versions", "torch 2.13.0", f"ped2, {SCENE}", variants) in rows
    assert ("backbone", "vgg16", f"ped2, {SCENE}", "vgg16") in rows
    assert ("fingerprint: evaluation", "of ped2", "ped2", variants) in rows
    assert len({row[:2] for row in rows}) == len(rows)


def test_a_moment_is_listed_with_time_score_and_truth_and_shows_its_peak(results, source):
    text = words_of(source)
    assert "1. <door>, 3:55.0 to 4:05.0, frames 48 to 50, score 2.000 at 50: anomalous" in text
    (picture, *_) = re.findall(r"data:image/jpeg;base64,([^\"]*)", source)
    content = np.asarray(Image.open(io.BytesIO(base64.b64decode(picture))))
    assert content.mean() == pytest.approx(200, abs=2)
    with pytest.raises(SdorError, match=r"<door>\.npy: damaged"):
        Runs(SCENE, "paper", (0,), results[0]).frame("<door>", 101, "8/{clip}.npy")


def test_of_equal_scores_nothing_stands_out(results, tmp_path):
    ensemble = results[0] / SCENE / "paper" / "seed0" / "ensemble.parquet"
    before, table = ensemble.read_bytes(), pd.read_parquet(ensemble)
    noise = 1e-7 * np.random.default_rng(0).normal(size=len(table))
    write_parquet(ensemble, table.assign(score=0.4 + noise), {})
    source = write(results[0], tmp_path / "report.html", sections=(SCENE,))
    ensemble.write_bytes(before)
    assert "Nothing stands out: all frames have the same final score" in words_of(source)
    assert "data:image/jpeg" not in source


def test_times_are_rounded_before_minutes_are_split_off():
    assert times_text(0.0, 59.96) == "0:00.0 to 1:00.0"
    assert times_text(59.9, 120.0) == "0:59.9 to 2:00.0"
    assert times_text(float("nan"), float("nan")) == ""


def test_a_missing_figure_is_named_and_the_old_report_stays(results, tmp_path):
    before = write(results[0], tmp_path / "report.html")
    with pytest.raises(SdorError, match=r"paper-loss\.svg: damaged or missing"):
        write(results[0], tmp_path / "report.html", captions={"loss": "Training loss"})
    assert (tmp_path / "report.html").read_text() == before
