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
from sdor.reporting.report import Moments, Picture, provenance_table, thumbnail, write_report
from sdor.reporting.tables import paper_pages
from sdor.study.plan import Comparison, Plan

SCENE = "yard<1>"
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
    files = write_localisation(files, folder, skip=(SCENE,))
    (folder / "roc.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    Image.new("RGB", (4, 4)).save(folder / "all.png")
    clips = pd.DataFrame({"clip": ["<door>"], "split": [""], "fps": [10.0], "frames": [100]})
    scores = np.zeros(100)
    scores[40:50] = np.linspace(1, 2, 10)
    base = pd.DataFrame({"clip": "<door>", "frame": np.arange(1, 101)})
    write_parquet(folder / "clips.parquet", clips, {})
    write_parquet(folder / "ensemble.parquet", base.assign(score=scores), {})
    truth = base.assign(anomalous=(base["frame"] == 50).astype("int8"))
    write_parquet(folder / "ground_truth.parquet", truth, {})
    frames = np.zeros((100, 8, 8, 1), dtype=np.uint8)
    frames[49] = 200
    np.save(folder / "door.npy", frames)
    (folder / "benchmarks").mkdir()
    (folder / "benchmarks" / "train.tsv").write_text(
        "s\th:m:s\tmax_rss\tmax_vms\n125.4\t0:02:05\t2048.0\t-\n"
    )
    files = write_feedback(files, folder, "ped2")
    gathered(files, PLAN, folder)
    return folder, files


def write(results, output, *, frame_paths=None, **settings):
    folder, _ = results
    given = {
        "title": "Ranked & <listed>",
        "pictures": [
            Picture(scene, "paper", folder / "roc.svg", 'ROC "curves"', needs_truth=True)
            for scene in ("ped2", SCENE)
        ],
        "study_pictures": [(folder / "all.png", "Figure 6 & more")],
        "moments": [
            Moments(
                SCENE,
                "paper",
                folder / "clips.parquet",
                folder / "ensemble.parquet",
                folder / "ground_truth.parquet",
                frame_paths or {},
            )
        ],
        "configuration": "method:\n  backbone: <b>resnet50</b>",
        "benchmarks": {folder / "benchmarks" / "train.tsv": "train"},
    }
    findings = settings.pop("findings", folder / "findings.parquet")
    write_report(findings, output, **{**given, **settings})
    return output.read_text()


@pytest.fixture(scope="module")
def source(results, tmp_path_factory):
    return write(results, tmp_path_factory.mktemp("report") / "report.html")


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
    for tag in ("<npm>", "<door>", "<listed>", "<1>", "<here>", "<b>", "<invented>"):
        assert tag not in source
        assert tag in text
    for words in ("cpu, fp32", "ffffffffffff", "abc123", "torch 2.13.0", "not run", "2 min 05 s"):
        assert words in text
    images = [attributes["alt"] for tag, attributes in Page(source).tags if tag == "img"]
    assert images == ["Figure 6 & more", *['ROC "curves"'] * 2]


def test_the_parts_come_in_order(source):
    headings = [re.sub("<[^>]*>", "", text) for text in re.findall("<h[23].*?</h[23]>", source)]
    assert headings == [
        *("Results", "At a glance", "Table 1: all methods", "Table 2: backbones", "Localisation"),
        *("Figure 3 in numbers: feedback of an expert", "Figure 5 in numbers: anomaly rates"),
        *("Ablations", "Which differences hold", "Not run", "Figures of the whole study"),
        *("ped2, variant paper", "Detectors", "Pseudo labels"),
        *("yard&lt;1&gt;, variant paper", "Moments to look at first", "Detectors"),
        *("Pseudo labels", "Configuration", "Provenance", "Run times"),
    ]
    text = words_of(source)
    for words in ("On ped2 (merged), our method is ", "Initial features", "Caution: 3 clips"):
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
    gathered(files, Plan("paper"), tmp_path)
    write_report(tmp_path / "findings.parquet", tmp_path / "report.html", title="")
    words = (
        "Its settings the paper's, and this project's defaults where the paper states none Seeds"
    )
    assert words in words_of((tmp_path / "report.html").read_text())
    change(files.metrics[0], lambda content: content["about"]["weights"].update(source="random"))
    gathered(files, Plan("paper"), tmp_path)
    write_report(tmp_path / "findings.parquet", tmp_path / "report.html", title="")
    words = "Its settings not the paper's in: weights random (trained); in parentheses"
    assert words in words_of((tmp_path / "report.html").read_text())


def test_only_variants_with_pictures_have_a_section(results, tmp_path):
    folder, _ = results
    pictures = [Picture("ped2", "vgg16", folder / "roc.svg", "curves")]
    source = write(results, tmp_path / "report.html", pictures=pictures, moments=())
    sections = re.findall(r'<h2 id="scene-\d+">(.*?)</h2>', source)
    assert sections == ["ped2, variant vgg16"]


def test_the_description_stands_under_the_heading_of_its_scene(source):
    heading = r"<h2[^>]*>yard&lt;1&gt;, variant paper</h2>\s*"
    assert re.search(heading + "<p>The scene yard&lt;1&gt;, &lt;invented&gt;</p>", source)


def test_a_scene_without_ground_truth_has_a_sentence_and_no_blank_figures(results, tmp_path):
    _, files = results
    paths = []
    for path in files.metrics:
        paths.append(tmp_path / f"{len(paths)}.json")
        paths[-1].write_text(path.read_text())
        if SCENE in str(path):
            change(paths[-1], blind)
    gathered(replace(files, metrics=paths), PLAN, tmp_path)
    findings = tmp_path / "findings.parquet"
    source = write(results, tmp_path / "report.html", findings=findings)
    text = words_of(source)
    assert (
        "The scene has no ground truth: its frames are ranked, and nothing is measured. Not "
        'drawn: ROC "curves".'
    ) in text
    assert [a["alt"] for tag, a in Page(source).tags if tag == "img"].count('ROC "curves"') == 1
    assert "Ranked but not measured, for want of ground truth: yard<1>." in text


def test_provenance_names_each_fact_once_with_its_runs(results):
    table = provenance_table(read_findings(results[0] / "findings.parquet"))
    rows = [row.texts for row in table.rows]
    assert ("versions", "torch 2.13.0", "all runs") in rows
    assert ("backbone", "vgg16", f"ped2, {SCENE}: vgg16") in rows
    assert ("fingerprint: evaluation", "of ped2", "ped2: all variants") in rows


def test_the_moment_is_listed_with_time_score_and_truth(source):
    assert "41 to 50 0:04.0 to 0:05.0 50 2.000 anomalous" in words_of(source)


def test_moments_show_their_peak_where_the_frames_are_given(results, tmp_path):
    folder, _ = results
    frames = {"<door>": folder / "door.npy"}
    source = write(results, tmp_path / "report.html", frame_paths=frames)
    page = Page(source)
    alts = [a["alt"] for tag, a in page.tags if tag == "img"]
    assert alts[2] == "Peak frame of moment 1. <door>, 0:04.0 to 0:05.0"
    assert "1. <door>, 0:04.0 to 0:05.0: anomalous" in words_of(source)
    picture = thumbnail(folder / "door.npy", 50)
    assert picture in source
    content = base64.b64decode(picture.removeprefix("data:image/jpeg;base64,"))
    assert np.asarray(Image.open(io.BytesIO(content))).mean() == pytest.approx(200, abs=2)
    with pytest.raises(SdorError, match=r"door\.npy: damaged"):
        thumbnail(folder / "door.npy", 101)


def test_a_missing_picture_is_named_and_the_old_report_stays(results, tmp_path):
    before = write(results, tmp_path / "report.html")
    gone = [Picture("ped2", "paper", tmp_path / "roc.svg", "curves")]
    with pytest.raises(SdorError, match=r"roc\.svg: damaged or missing"):
        write(results, tmp_path / "report.html", pictures=gone)
    assert (tmp_path / "report.html").read_text() == before
