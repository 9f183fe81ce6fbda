"""The report: one offline page, all user text escaped, every number from the files."""

import json
import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

from sdor.config import with_defaults
from sdor.errors import SdorError
from sdor.files import write_parquet
from sdor.metrics import COLUMNS
from sdor.report import (
    Moments,
    Picture,
    duration,
    headline_table,
    run_times,
    top_moments,
    write_report,
)

SCENE = "yard<1>"


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


@pytest.fixture
def files(tmp_path):
    row = {column: {"value": 0.75, "low": 0.6, "high": 0.9} for column in COLUMNS}
    row["within_clip"] = {**row["within_clip"], "clips": 1}
    names = ["sp_iforest", "iteration_1", "ensemble_1", "ours"]
    metrics = {
        "about": {
            "scene": SCENE,
            "variant": "paper",
            "seed": 4,
            "description": "A yard, <seen> from above.",
            "method": with_defaults({"epochs": 8}, "method"),
            "device": "cpu & more",
            "weights": {"architecture": "resnet50", "source": "<npm>", "sha256": "f" * 64},
            "versions": {"torch": "2.13.0"},
            "fingerprints": {"sdor.training": "abc123"},
        },
        "settings": {"smoothing_sigma": 4.0, "draws": 100, "bootstrap_seed": 0},
        "iterations": 1,
        "counts": dict.fromkeys(
            (
                *("clips", "training_clips", "test_clips", "labelled_clips"),
                *("clips_with_anomalies", "frames", "labelled_frames", "anomalous_frames"),
            ),
            1,
        ),
        "rows": dict.fromkeys(names, row),
        "oracles": {"split_oracle": row},
        "differences": {"ours - sp_iforest": row},
        "pseudo_labels": [
            {
                "iteration": 1,
                "anomalous": 5,
                "anomalous_precision": 0.8,
                "normal": 10,
                "normal_precision": None,
            }
        ],
    }
    (tmp_path / "metrics.json").write_text(json.dumps(metrics))
    (tmp_path / "roc.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    clips = pd.DataFrame({"clip": ["<door>"], "split": [""], "fps": [10.0], "frames": [100]})
    scores = np.zeros(100)
    scores[40:50] = np.linspace(1, 2, 10)
    base = pd.DataFrame({"clip": "<door>", "frame": np.arange(1, 101)})
    write_parquet(tmp_path / "clips.parquet", clips, {})
    write_parquet(tmp_path / "ensemble.parquet", base.assign(score=scores), {})
    truth = base.assign(anomalous=(base["frame"] == 50).astype("int8"))
    write_parquet(tmp_path / "ground_truth.parquet", truth, {})
    (tmp_path / "benchmarks").mkdir()
    (tmp_path / "benchmarks" / "train.tsv").write_text(
        "s\th:m:s\tmax_rss\tmax_vms\n125.4\t0:02:05\t2048.0\t-\n"
    )
    return tmp_path


def write(files, **settings):
    write_report(
        [files / "metrics.json"],
        {"umn": "no video <here>"},
        files / "report.html",
        title="Ranked & <listed>",
        pictures=[Picture(SCENE, "paper", files / "roc.svg", 'ROC "curves"')],
        moments=[
            Moments(
                SCENE,
                "paper",
                files / "clips.parquet",
                files / "ensemble.parquet",
                files / "ground_truth.parquet",
            )
        ],
        configuration="method:\n  backbone: <b>resnet50</b>",
        benchmark_paths=[files / "benchmarks" / "train.tsv"],
        **settings,
    )
    return (files / "report.html").read_text()


def test_the_page_is_whole_offline_and_has_no_script(files):
    source = write(files)
    page = Page(source)
    tags = [tag for tag, _ in page.tags]
    assert tags.count("h1") == 1
    assert not {"script", "link", "iframe"} & set(tags)
    for _, attributes in page.tags:
        for name in ("src", "href"):
            assert attributes.get(name, "#").startswith(("#", "data:image/"))
    anchors = {attributes["id"] for _, attributes in page.tags if "id" in attributes}
    targets = {a["href"][1:] for tag, a in page.tags if tag == "a"}
    assert targets <= anchors
    assert not re.search(r"https?://", source)


def test_user_text_is_escaped_and_everything_is_said(files):
    source = write(files)
    text = " ".join(Page(source).words)
    for tag in ("<npm>", "<door>", "<listed>", "<1>", "<here>", "<b>", "A yard, <seen>"):
        assert tag not in source
        assert tag in text
    for words in (
        "cpu & more",
        "ffffffffffff",
        "abc123",
        "torch 2.13.0",
        "not run",
        "2 min 05 s",
        "1 job,",
    ):
        assert words in text
    images = [attributes for tag, attributes in Page(source).tags if tag == "img"]
    assert [image["alt"] for image in images] == ['ROC "curves"']


def test_the_description_stands_under_the_heading_of_its_scene(files):
    heading = r"<h2[^>]*>yard&lt;1&gt;, variant paper</h2>\s*"
    assert re.search(heading + "<p>A yard, &lt;seen&gt; from above.</p>", write(files))
    metrics = json.loads((files / "metrics.json").read_text())
    del metrics["about"]["description"]
    (files / "metrics.json").write_text(json.dumps(metrics))
    assert re.search(heading + '<p class="soft">', write(files))


def test_the_headline_has_both_detectors_and_marks_the_papers_figure(files):
    metrics = json.loads((files / "metrics.json").read_text())
    metrics["about"]["scene"] = "ped2"
    table = headline_table([metrics])
    assert [(row[2], row[-1]) for row in table.rows] == [
        ("Sp + iForest (initial scores)", "67.5"),
        ("Our method (mean of all iterations)", "83.2 \N{DAGGER}"),
    ]
    assert table.notes[0].endswith("this run differs in: epochs 8 (50).")


def test_the_moment_is_listed_with_time_score_and_truth(files):
    text = re.sub(r"\s+", " ", " ".join(Page(write(files)).words))
    assert "41 to 50 0:04.0 to 0:05.0 50 2.000 anomalous" in text


def test_moments_join_short_dips_and_never_cross_clips():
    scores = np.zeros(200)
    scores[[10, 11, 25, 90, 99, 100, 150]] = [3, 4, 5, 6, 1, 7, 2]
    table = pd.DataFrame(
        {
            "clip": np.repeat(["a", "b"], 100),
            "frame": np.tile(np.arange(1, 101), 2),
            "score": scores,
        }
    )
    clips = pd.DataFrame({"clip": ["a", "b"], "fps": [10.0, np.nan], "frames": 100})
    found = top_moments(clips, table, separation=2.0, share=7 / 200)
    rows = found[["clip", "first", "last", "peak", "score"]].to_numpy().tolist()
    # Frames 11 to 26 are one moment (14 frames apart, 20 allowed); b starts anew at its frame 1,
    # and has no frame rate: 50 frames part its moments.
    assert rows == [
        ["b", 1, 51, 1, 7.0],
        ["a", 91, 100, 91, 6.0],
        ["a", 11, 26, 26, 5.0],
    ]
    assert len(top_moments(clips, table, count=1)) == 1
    assert top_moments(clips, table[:0]).empty


def test_run_times_are_added_up_longest_first(tmp_path):
    folder = tmp_path / "benchmarks" / "yard"
    folder.mkdir(parents=True)
    (folder / "a.tsv").write_text("s\th:m:s\tmax_rss\n10.0\t0:00:10\t-\n")
    (folder / "b.tsv").write_text("s\th:m:s\tmax_rss\n3650\t1:00:50\t1500\n")
    table, total = run_times([folder / "a.tsv", folder / "b.tsv"])
    assert table.rows == (("yard/b", "1 h 00 min", "1,500"), ("yard/a", "10.0 s", ""))
    assert total == "1 h 01 min"
    (folder / "a.tsv").write_text("nonsense\n")
    with pytest.raises(SdorError, match=r"a\.tsv: damaged"):
        run_times([folder / "a.tsv"])


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.04, "0.0 s"), (59.9, "59.9 s"), (61, "1 min 01 s"), (7500, "2 h 05 min")],
)
def test_durations(seconds, words):
    assert duration(seconds) == words


def test_a_missing_picture_is_named_and_the_old_report_stays(files):
    before = write(files)
    (files / "roc.svg").unlink()
    with pytest.raises(SdorError, match=r"roc\.svg: damaged or missing"):
        write(files)
    assert (files / "report.html").read_text() == before
